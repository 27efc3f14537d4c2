// SPDX-License-Identifier: Apache-2.0
// A raw image as a disk's target: each request becomes one operation of the I/O thread's ring, straight into or out of
// guest memory. Reads or writes of one round that are neighbours on the disk share one (what they have of an error is
// found out by each alone). Registered memory is used where an operation is one piece of it.
//
//   flush        fdatasync: what was written before, and the metadata to find it. Once one has failed, and data was in
//                the page cache, all do (ENOTRECOVERABLE) until the domain starts anew
//   FUA          a write with RWF_DSYNC
//   discard      FALLOC_FL_PUNCH_HOLE; it reads as zeroes afterwards
//   zeroes       FALLOC_FL_ZERO_RANGE, or a hole where that is not to be had
//
// A write must not bring back the end of a file that somebody has truncated, without its contents. Linux has no flag
// for that, but direct writes of regular files go out with RWF_NOWAIT: then ext4 and XFS refuse, under the lock that a
// truncation takes, what would make the file longer (EAGAIN; so do they where a hole gets its blocks: the kernel would
// have left these to a worker thread anyway). What was refused is tried again without the flag when the size says that
// it is all there. Of other writes the size is looked at before them, but once in a while.
#pragma once

#include "backends/disk/disk_target.hpp"
#include "backends/disk/image_file.hpp"
#include "backends/io/io_thread.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace parapet::disk {

class RawTarget final : public DiskTarget {
public:
    /// `image` outlives the target.
    RawTarget(const ImageFile& image, io::IoThread& io);
    ~RawTarget() override;
    RawTarget(const RawTarget&) = delete;
    RawTarget& operator=(const RawTarget&) = delete;

    [[nodiscard]] const Geometry& geometry() const override { return geometry_; }
    void submit(TargetRequest& request) override;
    /// Looked for when there are requests, once a second or more often.
    void watch(std::function<void()> changed) override { changed_ = std::move(changed); }

private:
    class Operation;

    void begin_gathered();
    void begin(std::span<TargetRequest* const> neighbours);
    void transfer(Operation& operation);
    void transfer_again(Operation& operation);
    void try_later(Operation& operation);
    [[nodiscard]] bool taken_at_once(const Operation& operation) const;
    [[nodiscard]] bool is_there(const Operation& operation) const;
    [[nodiscard]] int descriptor_for(const Operation& operation) const;
    void allocate(Operation& operation);
    void transferred(Operation& operation, int result);
    void allocated(Operation& operation, int result);
    void flushed(Operation& operation, int result);
    void note_lost_pages();
    void fail_later(Operation& operation, int error);
    void give_up(Operation& operation, int error);
    void separate(Operation& operation);
    void end(Operation& operation, int result);
    void look_at_size(std::chrono::nanoseconds age);

    const ImageFile& image_;
    io::IoThread& io_;
    Geometry geometry_;
    std::uint64_t bytes_there_; ///< as the file is now; less than the geometry's: it was truncated
    std::uint64_t file_length_; ///< when last looked at, in bytes
    std::function<void()> changed_;
    std::chrono::steady_clock::time_point looked_{};
    bool page_cache_ = false;   ///< something was written through it
    bool pages_lost_ = false;   ///< a flush failed: no later one can vouch for what was written before it
    bool zero_range_ = true;    ///< until the file system says otherwise
    bool no_wait_ = true;       ///< the same
    unsigned writes_alone_ = 0; ///< the next so many are not joined
    std::vector<std::unique_ptr<Operation>> operations_;
    std::vector<Operation*> free_, refused_;
    std::vector<TargetRequest*> gathered_, beginning_; ///< transfers, not begun; in begin_gathered()
    std::size_t transferring_ = 0;                     ///< requests whose transfers are under way
};

} // namespace parapet::disk
