// SPDX-License-Identifier: Apache-2.0
// A seccomp filter under construction. Whoever includes this links libseccomp.
#pragma once

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <initializer_list>
#include <memory>
#include <seccomp.h>
#include <span>
#include <sys/mman.h>

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
        error_ = filter_ == nullptr ? ENOMEM : 0;
    }

    /// If all of `tests` hold.
    void add(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> tests = {}) {
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
    /// For these values of the argument.
    void add_each(std::uint32_t action, int call, unsigned argument, std::span<const int> values) {
        for (const int value : values) {
            add(action, call, {argument_is(argument, static_cast<scmp_datum_t>(value))});
        }
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
    std::unique_ptr<void, Release> filter_;
    int error_ = 0;
};

} // namespace parapet
