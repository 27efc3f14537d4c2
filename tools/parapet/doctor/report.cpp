// SPDX-License-Identifier: Apache-2.0
// The report of `parapet doctor`, for people and for programs.
#include "tools/parapet/doctor/doctor.hpp"
#include "tools/parapet/exit_status.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

namespace parapet::cli::doctor {
namespace {

struct Look {
    std::string_view word;
    std::string_view colour;
};

Look look(Status status) {
    switch (status) {
    case Status::ok:
        return {"ok", "\033[32m"};
    case Status::warn:
        return {"warn", "\033[33m"};
    case Status::fail:
        break;
    }
    return {"fail", "\033[31m"};
}

std::string padded(std::string_view text, std::size_t width) {
    return std::string{text} + std::string(text.size() < width ? width - text.size() : 0, ' ');
}

constexpr std::string_view verdict(bool good) {
    return good ? "Domains can run on this host."
                : "Domains cannot run on this host until the lines with 'fail' are mended.";
}

} // namespace

std::string text_report(const std::vector<Check>& checks, bool colour) {
    std::string text;
    for (const Check& check : checks) {
        const Look shown = look(check.status);
        const std::string word = padded(shown.word, 4);
        text += colour ? std::string{shown.colour} + word + "\033[0m" : word;
        text += "  " + padded(check.id, 12) + "  " + check.detail;
        text += check.remedy.empty() ? "\n" : "; remedy: " + check.remedy + "\n";
    }
    return text + std::string{verdict(can_run(checks))} + "\n";
}

std::string json_report(const std::vector<Check>& checks) {
    boost::json::array list;
    for (const Check& check : checks) {
        boost::json::object entry{{"id", check.id}, {"status", look(check.status).word}, {"detail", check.detail}};
        if (!check.remedy.empty()) {
            entry["remedy"] = check.remedy;
        }
        list.push_back(std::move(entry));
    }
    const boost::json::object report{{"can_run", can_run(checks)}, {"checks", std::move(list)}};
    return boost::json::serialize(report) + "\n";
}

int run_doctor(bool json, const EntryFacts& entries) {
    const auto checks = diagnose(probe_kvm("/dev/kvm"), probe_host(""), entries);
    const bool colour = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    const std::string text = json ? json_report(checks) : text_report(checks, colour);
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    return written && can_run(checks) ? exit_powered_off : exit_failed;
}

} // namespace parapet::cli::doctor
