// SPDX-License-Identifier: Apache-2.0
// The frame of the guests that abuse a disk: xvda suffers, xvdb must never notice. After each abuse xvdb is used, then
// xvda is connected anew and used properly. The second half of each disk has its original contents and is never
// written: guests/check compares it afterwards.
#pragma once

#include "guests/lib/disk_io.hpp"

namespace parapet::guest {

inline constexpr unsigned victim_id = 202 << 8, bystander_id = 202 << 8 | 16;

class Abuse {
public:
    explicit Abuse(const char* name) : name_{name} {}

    /// Opens and connects both disks. False: the verdict is said; leave with result().
    bool start();
    /// Notes a failure where `ok` is false. Returns `ok`.
    __attribute__((format(printf, 3, 4))) bool check(bool ok, const char* format, ...);
    /// After an abuse: both disks must work (again).
    void recover(const char* after);
    /// Waits for the backend to stop the victim.
    void must_stop(const char* after, unsigned milliseconds = 5'000);
    /// Each of the requests posted so far has an answer, none of them `okay`, or the device has been stopped.
    void must_refuse(const char* what, unsigned requests = 1);
    /// Answers do not matter: all requests are answered, or the device stops, or nothing more comes for a while.
    void settle(unsigned milliseconds);
    [[nodiscard]] bool stopped() const;
    /// Says the verdict. The guest's exit code.
    int finish();

    BlockDevice victim, bystander;
    IoBuffer* buffer = nullptr; ///< of 16 pages

private:
    const char* name_;
    unsigned failures_ = 0;
    unsigned seed_ = 1;
    bool skipped_ = false;
};

} // namespace parapet::guest
