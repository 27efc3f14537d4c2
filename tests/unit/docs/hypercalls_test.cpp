// SPDX-License-Identifier: Apache-2.0
// docs/hypercalls.md against the table of handlers, the constants of pv-abi/, and what the handlers answer.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <regex>

#include "pv-abi/callback.hpp"
#include "pv-abi/hypercalls.hpp"
#include "pv-abi/mmu.hpp"
#include "tests/unit/docs/markdown.hpp"
#include "tests/unit/nucleus/fake_machine.hpp"

namespace parapet::docs_test {
namespace {

using namespace parapet::nucleus;
using nucleus::test::FakeVm;

struct Row {
    unsigned long number;
    std::string name, answer;
};

/// Rows `| number | `name` | answer |` of the page.
const std::vector<Row>& rows() {
    static const std::vector<Row> all = [] {
        std::vector<Row> found;
        for (const std::string& line : lines_of(read_file(source_dir() / "docs/hypercalls.md"))) {
            const auto cells = cells_of(line);
            if (cells.size() == 3 && !cells[0].empty() && std::all_of(cells[0].begin(), cells[0].end(), ::isdigit) &&
                !code_of(cells[1]).empty()) {
                found.push_back({std::stoul(cells[0]), code_of(cells[1]), cells[2]});
            }
        }
        return found;
    }();
    return all;
}

/// The error number with which an answer begins.
std::optional<Status> refusal(const std::string& answer) {
    static const std::map<std::string, Status> errors{
        {"EPERM", abi::XEN_EPERM},   {"EINVAL", abi::XEN_EINVAL},         {"ENOSYS", abi::XEN_ENOSYS},
        {"ENOSPC", abi::XEN_ENOSPC}, {"EOPNOTSUPP", abi::XEN_EOPNOTSUPP}, {"EACCES", abi::XEN_EACCES},
    };
    // What follows must not limit it to some arguments.
    static const std::regex shape{"`-(E[A-Z0-9]+)`(:.*)?"};
    std::smatch match;
    if (!std::regex_match(answer, match, shape)) {
        return std::nullopt;
    }
    const auto found = errors.find(match[1]);
    EXPECT_NE(found, errors.end()) << "an error number that this test does not know: " << answer;
    return found == errors.end() ? std::nullopt : std::optional{-found->second};
}

/// How an operation is issued, by the beginning of its name. The argument is a page of zeroes.
struct Family {
    std::string prefix;
    std::function<Status(FakeVm&, unsigned long)> issue;
};

Status by_command(Handler handler, FakeVm& vm, unsigned long number) {
    return vm.call(handler, number, vm.va(1).address, 1);
}

const std::vector<Family>& families() {
    const auto plain = [](Handler handler) {
        return [handler](FakeVm& vm, unsigned long number) { return by_command(handler, vm, number); };
    };
    static const std::vector<Family> all{
        {"MMU_", nullptr},
        {"MMUEXT_",
         [](FakeVm& vm, unsigned long number) {
             abi::mmuext_op64 op{};
             op.cmd = static_cast<u32>(number);
             return vm.call(do_mmuext_op, vm.arg(op).address, 1, 0, abi::DOMID_SELF);
         }},
        {"XENMEM_", plain(do_memory_op)},
        {"XENVER_", plain(do_xen_version)},
        {"CONSOLEIO_", plain(do_console_io)},
        {"GNTTABOP_", plain(do_grant_table_op)},
        {"VMASST_CMD_", plain(do_vm_assist)},
        {"VMASST_TYPE_", nullptr},
        {"VCPUOP_", [](FakeVm& vm, unsigned long number) { return vm.call(do_vcpu_op, number, 0, vm.va(1).address); }},
        {"SEGBASE_", plain(do_set_segment_base)},
        {"XENNMI_", plain(do_nmi_op)},
        {"SCHEDOP_", plain(do_sched_op)},
        {"CALLBACKOP_", plain(do_callback_op)},
        {"CALLBACKTYPE_",
         [](FakeVm& vm, unsigned long number) {
             const abi::callback_register64 op{static_cast<uint16_t>(number), 0, FakeVm::BASE};
             return vm.call(do_callback_op, abi::CALLBACKOP_register, vm.arg(op).address);
         }},
        {"EVTCHNOP_", plain(do_event_channel_op)},
        {"PHYSDEVOP_", plain(do_physdev_op)},
    };
    return all;
}

/// Constants of pv-abi/ that number an operation.
std::map<std::string, unsigned long> operations() {
    static const std::regex constant{R"(inline constexpr \w+ ([A-Z]+_\w+) = (\d+);)"};
    static const std::regex other{"XENMEM_resource_.*|PHYSDEVOP_[A-Z].*"};
    std::map<std::string, unsigned long> found;
    for (const auto& header : std::filesystem::directory_iterator{source_dir() / "pv-abi"}) {
        for (const std::string& line : lines_of(read_file(header.path()))) {
            std::smatch match;
            if (header.path().extension() != ".hpp" || !std::regex_search(line, match, constant)) {
                continue;
            }
            const std::string name = match[1];
            const bool operation = std::any_of(families().begin(), families().end(), [&name](const Family& family) {
                return name.starts_with(family.prefix);
            });
            if (operation && !std::regex_match(name, other)) {
                found[name] = std::stoul(match[2]);
            }
        }
    }
    return found;
}

bool is_operation(const Row& row) {
    return std::isupper(static_cast<unsigned char>(row.name.front())) != 0;
}

TEST(HypercallsDoc, ListsTheTable) {
    unsigned count = 0;
    const HypercallEntry* table = hypercall_table(count);
    std::map<unsigned long, std::string> code;
    for (unsigned i = 0; i < count; i++) {
        code[table[i].number] = table[i].name;
    }
    std::map<unsigned long, std::string> page;
    for (const Row& row : rows()) {
        if (!is_operation(row)) {
            EXPECT_TRUE(page.emplace(row.number, row.name).second) << row.number << " stands twice";
        }
    }
    ASSERT_GT(code.size(), 30U);
    EXPECT_EQ(page, code);
}

TEST(HypercallsDoc, RefusesWhatItSays) {
    for (const Row& row : rows()) {
        const auto wanted = refusal(row.answer);
        const HypercallEntry* entry = is_operation(row) ? nullptr : find_hypercall(row.number);
        if (entry != nullptr) {
            EXPECT_EQ(wanted.has_value(), entry->guest64 == do_privileged) << row.name;
        }
        if (entry != nullptr && wanted) {
            FakeVm vm;
            EXPECT_EQ(vm.hypercall(row.number), *wanted) << row.name;
        }
    }
}

TEST(HypercallsDoc, ListsEveryOperation) {
    std::map<std::string, unsigned long> page;
    for (const Row& row : rows()) {
        if (is_operation(row)) {
            EXPECT_TRUE(page.emplace(row.name, row.number).second) << row.name << " stands twice";
        }
    }
    const auto code = operations();
    ASSERT_GT(code.size(), 100U);
    for (const auto& [name, number] : code) {
        EXPECT_EQ(page.contains(name) ? page[name] : ~0UL, number) << name << " is missing or misnumbered";
    }
    for (const auto& [name, number] : page) {
        EXPECT_TRUE(code.contains(name)) << name << " is not in pv-abi/";
    }
}

TEST(HypercallsDoc, OperationsAnswerAsItSays) {
    unsigned refused = 0;
    for (const Row& row : rows()) {
        const auto wanted = refusal(row.answer);
        if (!is_operation(row) || !wanted) {
            continue;
        }
        const auto family = std::find_if(families().begin(), families().end(),
                                         [&row](const Family& one) { return row.name.starts_with(one.prefix); });
        ASSERT_NE(family, families().end()) << row.name;
        ASSERT_TRUE(family->issue) << row.name;
        FakeVm vm;
        EXPECT_EQ(family->issue(vm, row.number), *wanted) << row.name;
        refused++;
    }
    EXPECT_GT(refused, 30U);
}

} // namespace
} // namespace parapet::docs_test
