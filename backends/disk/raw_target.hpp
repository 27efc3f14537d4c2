// SPDX-License-Identifier: Apache-2.0
// A raw image as a disk's target: each request becomes one operation of the I/O thread's ring, straight into or out of
// guest memory. Registered memory is used where a request is one piece of it.
//
//   flush        fdatasync: what was written before, and the metadata to find it. Once one has failed, and data was in
//                the page cache, all do (ENOTRECOVERABLE) until the domain starts anew
//   FUA          a write with RWF_DSYNC
//   discard      FALLOC_FL_PUNCH_HOLE; it reads as zeroes afterwards
//   zeroes       FALLOC_FL_ZERO_RANGE, or a hole where that is not to be had
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
    /// Looked for at most once a second, when there are requests.
    void watch(std::function<void()> changed) override { changed_ = std::move(changed); }

private:
    class Operation;

    void transfer(Operation& operation);
    [[nodiscard]] int descriptor_for(const Operation& operation) const;
    void allocate(Operation& operation);
    void transferred(Operation& operation, int result);
    void allocated(Operation& operation, int result);
    void flushed(Operation& operation, int result);
    void note_lost_pages();
    void fail_later(Operation& operation, int error);
    void end(Operation& operation, int result);
    void look_at_size();

    const ImageFile& image_;
    io::IoThread& io_;
    Geometry geometry_;
    std::uint64_t bytes_there_; ///< as the file is now; less than the geometry's: it was truncated
    std::function<void()> changed_;
    std::chrono::steady_clock::time_point looked_{};
    bool page_cache_ = false; ///< something was written through it
    bool pages_lost_ = false; ///< a flush failed: no later one can vouch for what was written before it
    bool zero_range_ = true;  ///< until the file system says otherwise
    std::vector<std::unique_ptr<Operation>> operations_;
    std::vector<Operation*> free_;
};

} // namespace parapet::disk
