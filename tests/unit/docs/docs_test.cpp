// SPDX-License-Identifier: Apache-2.0
// README.md and docs/: links that lead somewhere, and the address map as the code has it.
#include <cctype>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <set>

#include "pv-abi/doorbell.hpp"
#include "pv-abi/nucleus_image.hpp"
#include "tests/unit/docs/markdown.hpp"

namespace parapet::docs_test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> pages() {
    std::vector<fs::path> found{source_dir() / "README.md"};
    for (const auto& entry : fs::directory_iterator{source_dir() / "docs"}) {
        if (entry.path().extension() == ".md") {
            found.push_back(entry.path());
        }
    }
    return found;
}

TEST(Docs, LinksLeadSomewhere) {
    static const std::regex link{R"(\]\(([^)#]+)(#[^)]*)?\))"};
    for (const fs::path& page : pages()) {
        const std::string text = read_file(page);
        for (std::sregex_iterator it{text.begin(), text.end(), link}, end; it != end; ++it) {
            const std::string target = (*it)[1];
            if (target.find("://") == std::string::npos) {
                EXPECT_TRUE(fs::exists(page.parent_path() / target)) << page << " links to " << target;
            }
        }
    }
}

/// A heading's anchor, as GitHub makes it: lower case, a hyphen for each blank, no other punctuation.
std::string anchor(const std::string& heading) {
    std::string made;
    for (const char c : heading) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || c == '-' || c == '_') {
            made += static_cast<char>(std::tolower(byte));
        } else if (c == ' ') {
            made += '-';
        }
    }
    return made;
}

TEST(Docs, AnchorsExist) {
    static const std::regex link{R"(\]\(#([^)]+)\))"};
    static const std::regex heading{R"((?:^|\n)#+ ([^\n]+))"};
    for (const fs::path& page : pages()) {
        const std::string text = read_file(page);
        std::set<std::string> anchors;
        for (std::sregex_iterator it{text.begin(), text.end(), heading}, end; it != end; ++it) {
            anchors.insert(anchor((*it)[1].str()));
        }
        for (std::sregex_iterator it{text.begin(), text.end(), link}, end; it != end; ++it) {
            EXPECT_TRUE(anchors.contains((*it)[1].str())) << page << ": #" << (*it)[1];
        }
    }
}

/// Rows `| `0x…` | `NAME` | … |` of docs/architecture.md.
TEST(Docs, AddressesAreThoseOfTheCode) {
    using namespace doorbell;
    const std::map<std::string, std::uint64_t> code{
        {"M2P_SLOT_ABI", slot_va(M2P_SLOT_ABI)},
        {"M2P_SLOT_OTHER", slot_va(M2P_SLOT_OTHER)},
        {"NUCLEUS_VA", NUCLEUS_VA},
        {"BOOT_INFO_VA", BOOT_INFO_VA},
        {"IDT_VA", IDT_VA},
        {"MAILBOX_VA", MAILBOX_VA},
        {"VCPU_AREA_VA", VCPU_AREA_VA},
        {"CHANNEL_TABLE_VA", CHANNEL_TABLE_VA},
        {"AREA_TABLES_VA", AREA_TABLES_VA},
        {"FRAME_TABLE_VA", FRAME_TABLE_VA},
        {"M2P_WRITABLE_VA", M2P_WRITABLE_VA},
        {"HOST_USE_VA", HOST_USE_VA},
        {"DIRECTMAP_VA", DIRECTMAP_VA},
        {"GATE_VA", GATE_VA},
        {"AREA_VCPU", AREA_VCPU},
        {"AREA_CORE_STACK", AREA_CORE_STACK},
        {"AREA_GDT", AREA_GDT},
        {"AREA_TSS", AREA_TSS},
        {"AREA_PV_EOI", AREA_PV_EOI},
        {"AREA_IST_END", AREA_IST_END},
        {"AREA_CONTROL", AREA_CONTROL},
        {"AREA_REGS", AREA_REGS},
        {"AREA_ENTRY_END", AREA_ENTRY_END},
        {"AREA_GATE", AREA_GATE},
        {"AREA_NMI_END", AREA_NMI_END},
        {"AREA_DEBUG_END", AREA_DEBUG_END},
        {"AREA_FAULT_END", AREA_FAULT_END},
        {"AREA_GDT_WINDOW", AREA_GDT_WINDOW},
        {"AREA_LDT_WINDOW", AREA_LDT_WINDOW},
        {"AREA_INFO", AREA_INFO},
    };
    std::map<std::string, std::uint64_t> page;
    for (const std::string& line : lines_of(read_file(source_dir() / "docs/architecture.md"))) {
        const auto cells = cells_of(line);
        if (cells.size() >= 2 && code_of(cells[0]).starts_with("0x") && !code_of(cells[1]).empty()) {
            page[code_of(cells[1])] = std::stoull(code_of(cells[0]), nullptr, 16);
        }
    }
    EXPECT_EQ(page, code);
    static const std::regex address{R"(constexpr uint64_t (\w+_VA) =)"};
    const std::string header = read_file(source_dir() / "pv-abi/doorbell.hpp");
    for (std::sregex_iterator it{header.begin(), header.end(), address}, end; it != end; ++it) {
        EXPECT_TRUE(code.contains((*it)[1])) << "add " << (*it)[1] << " here and to docs/architecture.md";
    }
}

} // namespace
} // namespace parapet::docs_test
