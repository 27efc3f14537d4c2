// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or one sentence of error, for hosted code (GCC 12 has no std::expected).
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace parapet {

/// What went wrong, as one sentence for the user: names the thing and the remedy.
struct Error {
    std::string message;
};

/// A T or an Error. Test it before use; `value()` of an Error is a programming fault (std::bad_variant_access).
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_{std::in_place_index<0>, std::move(value)} {}
    Result(Error error) : state_{std::in_place_index<1>, std::move(error)} {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & { return std::get<0>(state_); }
    const T& value() const& { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

private:
    std::variant<T, Error> state_;
};

/// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : failed_{true}, error_{std::move(error)} {}

    [[nodiscard]] bool ok() const { return !failed_; }
    explicit operator bool() const { return ok(); }
    [[nodiscard]] const Error& error() const { return error_; }

private:
    bool failed_ = false;
    Error error_;
};

} // namespace parapet
