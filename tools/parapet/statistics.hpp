// SPDX-License-Identifier: Apache-2.0
// Writing a run's statistics: as one JSON object to a place of its own, and as a table for people.
#pragma once

#include "support/result.hpp"
#include "tools/parapet/options.hpp"

#include <boost/json/object.hpp>
#include <string>

namespace parapet::cli {

/// The open place for the JSON object. Opened before the domain starts, so that a wrong one is found at once.
class JsonSink {
public:
    static Result<JsonSink> open(const JsonTarget& target);
    JsonSink(JsonSink&& other) noexcept;
    JsonSink& operator=(JsonSink&&) = delete;
    ~JsonSink();

    /// The object in one line. May wait for a slow reader.
    Result<void> write(const boost::json::object& object);

private:
    JsonSink(int fd, std::string name) : fd_{fd}, name_{std::move(name)} {}

    int fd_;
    std::string name_;
};

/// One line per value, nested names joined by dots, values in a column.
std::string statistics_table(const boost::json::object& object);

} // namespace parapet::cli
