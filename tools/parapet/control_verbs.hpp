// SPDX-License-Identifier: Apache-2.0
// The verbs that command running domains. Each returns the exit status: 0 done, 1 not done (with one sentence on
// standard error), 124 not in --timeout.
#pragma once

#include "tools/parapet/options.hpp"

#include <boost/json/object.hpp>
#include <string>
#include <vector>

namespace parapet::cli {

int list_domains(const ControlOptions& options);
int shut_down_domain(const ControlOptions& options, const std::string& how); ///< "poweroff", "reboot"
int destroy_domain(const ControlOptions& options);
int set_domain_memory(const ControlOptions& options);
int attach_device(const ControlOptions& options);
int detach_device(const ControlOptions& options);
int view_console(const ControlOptions& options);

/// The table of `parapet list`: from the answers to the request "info".
std::string domain_table(const std::vector<boost::json::object>& domains);

/// The sentence on standard error; returns exit_failed.
int complain(const std::string& sentence);

} // namespace parapet::cli
