// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/doctor/sandbox_report.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace parapet::cli::doctor {
namespace {

constexpr std::size_t width = 100;

/// "  head: a b c", broken between words.
std::string paragraph(const std::string& head, const std::vector<std::string>& words) {
    std::string text, line = "  " + head + ":";
    for (const std::string& word : words) {
        if (line.size() + 1 + word.size() > width) {
            text += line + "\n";
            line = "   ";
        }
        line += " " + word;
    }
    return words.empty() ? std::string{} : text + line + "\n";
}

std::vector<std::string> names_of(const FilterText::Calls& calls, bool conditional) {
    std::vector<std::string> names;
    for (const auto& [name, conditions] : calls) {
        if (conditions.empty() != conditional) {
            names.push_back(name);
        }
    }
    return names;
}

std::string conditions_of(const FilterText::Calls& calls) {
    std::string text;
    for (const auto& [name, conditions] : calls) {
        std::vector<std::string> words(conditions);
        for (std::size_t i = 0; i + 1 < words.size(); i++) {
            words[i] += ";";
        }
        text += paragraph("allowed if: " + name, words);
    }
    return text;
}

boost::json::object json_of(const FilterText::Calls& calls) {
    boost::json::object object;
    for (const auto& [name, conditions] : calls) {
        object[name] = boost::json::array(conditions.begin(), conditions.end());
    }
    return object;
}

} // namespace

std::string sandbox_report(std::span<const FilterText> filters) {
    std::string text;
    for (const FilterText& filter : filters) {
        text += filter.process + "\n";
        text += paragraph("allowed", names_of(filter.allowed, false)) + conditions_of(filter.allowed);
        text += paragraph("refused", names_of(filter.refused, false));
        text += paragraph("ends the process", names_of(filter.deadly, false));
        text += filter.allows ? "  all others are refused\n" : "  all others are allowed\n";
    }
    return text;
}

std::string sandbox_json(std::span<const FilterText> filters) {
    boost::json::array list;
    for (const FilterText& filter : filters) {
        list.push_back(boost::json::object{{"process", filter.process},
                                           {"others", filter.allows ? "refused" : "allowed"},
                                           {"allowed", json_of(filter.allowed)},
                                           {"refused", json_of(filter.refused)},
                                           {"deadly", json_of(filter.deadly)}});
    }
    return boost::json::serialize(list) + "\n";
}

} // namespace parapet::cli::doctor
