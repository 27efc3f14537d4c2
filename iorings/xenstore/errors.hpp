// SPDX-License-Identifier: Apache-2.0
// Errors of xenstore operations: the closed set of names that travels on the wire, and Outcome<T>, a value or one of
// them.
#pragma once

#include <string_view>
#include <utility>

namespace parapet::xenstore {

/// Only names from the wire protocol's error table: clients map an unknown name to EINVAL. Exceeded quotas are ENOSPC
/// (E2BIG for watches and for replies beyond the payload limit), as Xen's xenstored has them.
enum class Errno { Ok, EINVAL_, EACCES_, EEXIST_, ENOENT_, ENOSPC_, ENOSYS_, EBUSY_, EAGAIN_, E2BIG_, EPERM_ };

/// The wire name, such as "ENOENT".
[[nodiscard]] std::string_view error_name(Errno error);
/// The same for a person, such as "there is no such node".
[[nodiscard]] std::string_view error_text(Errno error);

/// A T, or why there is none.
template <typename T>
class [[nodiscard]] Outcome {
public:
    Outcome(T value) : value_{std::move(value)} {}
    Outcome(Errno error) : error_{error} {}

    [[nodiscard]] bool ok() const { return error_ == Errno::Ok; }
    [[nodiscard]] Errno error() const { return error_; }
    /// Only of an ok() outcome; otherwise a default T.
    [[nodiscard]] T& operator*() & { return value_; }
    [[nodiscard]] const T& operator*() const& { return value_; }
    [[nodiscard]] T&& operator*() && { return std::move(value_); }
    [[nodiscard]] T* operator->() { return &value_; }
    [[nodiscard]] const T* operator->() const { return &value_; }

private:
    T value_{};
    Errno error_ = Errno::Ok;
};

} // namespace parapet::xenstore
