// SPDX-License-Identifier: Apache-2.0
// A seccomp filter under construction. Whoever includes this links libseccomp.
#pragma once

#include "support/filter_text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <initializer_list>
#include <memory>
#include <seccomp.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <utility>

namespace parapet {

/// fcntl() of a process that only uses what it has open: duplicates and flags. Not F_SETOWN and F_SETSIG, which are a
/// way to signal other processes.
inline constexpr int harmless_fcntl_commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL};

/// madvise() of a process's own memory. Not MADV_HWPOISON and its like, by which root takes memory from the whole host.
inline constexpr int harmless_advice[] = {MADV_NORMAL,   MADV_WILLNEED,   MADV_DONTNEED, MADV_FREE,
                                          MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DONTFORK};

/// Tests of a rule: argument number `argument` is `value`; its bits `mask` are.
constexpr scmp_arg_cmp argument_is(unsigned argument, scmp_datum_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}
constexpr scmp_arg_cmp argument_masked(unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

/// Takes rules until one is refused; load() says so.
class SeccompFilter {
public:
    /// `otherwise`: what happens to calls that no rule names.
    explicit SeccompFilter(std::uint32_t otherwise) : filter_{seccomp_init(otherwise)} {
        text_.allows = otherwise != SCMP_ACT_ALLOW;
        error_ = filter_ == nullptr ? ENOMEM : 0;
    }

    /// If all of `tests` hold; `condition` says that in words.
    void add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> tests = {},
             std::string_view condition = {}) {
        note(action, call, tests, condition);
        if (error_ == 0) {
            const auto count = static_cast<unsigned>(tests.size());
            error_ = -seccomp_rule_add_array(filter_.get(), action, call, count, tests.begin());
        }
    }
    void add_all(std::uint32_t action, std::span<const int> calls) {
        for (const int call : calls) {
            add(action, call);
        }
    }
    /// For these values of the argument; `condition` says which.
    void add_each(std::uint32_t action, int call, unsigned argument, std::span<const int> values,
                  std::string_view condition = {}) {
        for (const int value : values) {
            add(action, call, {argument_is(argument, static_cast<scmp_datum_t>(value))}, condition);
        }
    }

    /// What was added so far, in words.
    [[nodiscard]] FilterText text(std::string process) const {
        FilterText text = text_;
        text.process = std::move(process);
        return text;
    }
    /// An attribute without which the filter is not what was wanted; wish(): one that an older kernel may lack.
    void demand(scmp_filter_attr attribute, std::uint32_t value) {
        if (error_ == 0) {
            error_ = -seccomp_attr_set(filter_.get(), attribute, value);
        }
    }
    void wish(scmp_filter_attr attribute, std::uint32_t value) {
        if (error_ == 0) {
            (void)seccomp_attr_set(filter_.get(), attribute, value);
        }
    }

    /// For good, with no_new_privs. 0, or the errno of what was refused first.
    [[nodiscard]] int load() {
        wish(SCMP_FLTATR_CTL_OPTIMIZE, 2);
        return error_ != 0 ? error_ : -seccomp_load(filter_.get());
    }

private:
    struct Release {
        void operator()(void* filter) const { seccomp_release(filter); }
    };

    void note(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> tests, std::string_view condition) {
        const std::unique_ptr<char, decltype(&std::free)> name{seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call),
                                                               &std::free};
        FilterText::Calls& calls = action == SCMP_ACT_ALLOW          ? text_.allowed
                                   : action == SCMP_ACT_KILL_PROCESS ? text_.deadly
                                                                     : text_.refused;
        auto& conditions = calls[name ? name.get() : std::to_string(call)];
        std::string said{condition};
        for (const scmp_arg_cmp& test : tests) {
            if (condition.empty()) {
                said += (said.empty() ? "" : ", ") + ("argument " + std::to_string(test.arg + 1)) + " is " +
                        std::to_string(test.op == SCMP_CMP_EQ ? test.datum_a : test.datum_b) +
                        (test.op == SCMP_CMP_EQ ? "" : " in the bits " + std::to_string(test.datum_a));
            }
        }
        if (!said.empty() && std::find(conditions.begin(), conditions.end(), said) == conditions.end()) {
            conditions.push_back(said);
        }
    }

    std::unique_ptr<void, Release> filter_;
    FilterText text_;
    int error_ = 0;
};

} // namespace parapet
