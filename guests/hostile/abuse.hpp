// SPDX-License-Identifier: Apache-2.0
// The frame of the guests that abuse a disk: xvda suffers, xvdb must never notice. After each abuse xvdb is used, then
// xvda is connected anew and used properly. The second half of each disk has its original contents and is never
// written: guests/check compares it afterwards.
#pragma once

#include "guests/hostile/findings.hpp"
#include "guests/lib/disk_io.hpp"

namespace parapet::guest {

inline constexpr unsigned victim_id = 202 << 8, bystander_id = 202 << 8 | 16;

class Abuse : public Findings {
public:
    using Findings::Findings;

    /// Opens and connects both disks. False: the verdict is said; leave with finish().
    bool start();
    /// After an abuse: both disks must work (again).
    void recover(const char* after);
    /// Waits for the backend to stop the victim.
    void must_stop(const char* after, unsigned milliseconds = 5'000);
    /// Each of the requests posted so far has an answer, none of them `okay`, or the device has been stopped.
    void must_refuse(const char* what, unsigned requests = 1);
    /// Answers do not matter: all requests are answered, or the device stops, or nothing more comes for a while.
    void settle(unsigned milliseconds);
    [[nodiscard]] bool stopped() const;

    BlockDevice victim, bystander;
    IoBuffer* buffer = nullptr; ///< of 16 pages

private:
    unsigned seed_ = 1;
};

} // namespace parapet::guest
