// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/raw_target.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <utility>

namespace parapet::disk {

namespace {
/// Of the kernel (UIO_MAXIOV).
constexpr std::size_t most_vectors = 1024;

// How old what is known of the size may be: for anybody, and for a write that the kernel would not refuse. To look each
// time would be a system call each time.
constexpr std::chrono::seconds usual_age{1};
constexpr std::chrono::milliseconds unguarded_age{1};
} // namespace

/// One of the target's operations; made when there are more at once than ever before, and used again.
class RawTarget::Operation final : public io::Completion {
public:
    explicit Operation(RawTarget& target) : target_{target} {}

    void start(TargetRequest& next) {
        request = &next;
        rest = next.segments;
        done = 0;
        error = 0;
        use_buffered = at_once = may_wait = false;
    }
    /// Steps over what the kernel has done of the transfer.
    void advance(std::size_t bytes) {
        done += bytes;
        if (rest.data() != own_.data()) {
            own_.assign(rest.begin(), rest.end());
        }
        auto first = own_.begin();
        while (first != own_.end() && bytes >= first->iov_len) {
            bytes -= first->iov_len;
            ++first;
        }
        own_.erase(own_.begin(), first);
        if (!own_.empty()) {
            own_.front().iov_base = static_cast<std::byte*>(own_.front().iov_base) + bytes;
            own_.front().iov_len -= bytes;
        }
        rest = own_;
    }
    [[nodiscard]] bool transfers() const {
        return request->operation == disk::Operation::read || request->operation == disk::Operation::write;
    }
    void complete(int result, unsigned /*flags*/) override {
        if (error != 0) {
            target_.end(*this, error);
        } else if (transfers()) {
            target_.transferred(*this, result);
        } else if (request->operation == disk::Operation::flush) {
            target_.flushed(*this, std::min(result, 0));
        } else {
            target_.allocated(*this, result);
        }
    }

    TargetRequest* request = nullptr;
    std::span<const iovec> rest; ///< still to be transferred
    std::uint64_t done = 0;
    int error = 0;             ///< to be reported when the (empty) operation completes
    bool use_buffered = false; ///< direct I/O did not take it
    bool at_once = false;      ///< under way with RWF_NOWAIT
    bool may_wait = false;     ///< it is not to be had so

private:
    RawTarget& target_;
    std::vector<iovec> own_;
};

RawTarget::RawTarget(const ImageFile& image, io::IoThread& io)
    : image_{image}, io_{io}, geometry_{image.geometry}, bytes_there_{image.geometry.bytes} {}

RawTarget::~RawTarget() = default;

void RawTarget::submit(TargetRequest& request) {
    if (free_.empty()) {
        free_.push_back(operations_.emplace_back(std::make_unique<Operation>(*this)).get());
    }
    Operation& operation = *free_.back();
    free_.pop_back();
    operation.start(request);
    const bool guarded = request.operation != disk::Operation::write || taken_at_once(operation);
    look_at_size(guarded ? std::chrono::nanoseconds{usual_age} : unguarded_age);
    switch (request.operation) {
    case disk::Operation::read:
    case disk::Operation::write:
        return is_there(request) ? transfer(operation) : fail_later(operation, beyond_end);
    case disk::Operation::flush:
        if (pages_lost_) {
            return fail_later(operation, -ENOTRECOVERABLE);
        }
        io_.prepare(operation, io_uring_prep_fsync, image_.main.get(), unsigned{IORING_FSYNC_DATASYNC});
        return;
    case disk::Operation::discard:
    case disk::Operation::write_zeroes:
        return allocate(operation);
    }
}

bool RawTarget::is_there(const TargetRequest& request) const {
    return request.offset <= bytes_there_ && request.length <= bytes_there_ - request.offset;
}

/// A write that the kernel refuses rather than make the file longer.
bool RawTarget::taken_at_once(const Operation& operation) const {
    return no_wait_ && !operation.may_wait && image_.direct && !image_.block_device &&
           descriptor_for(operation) == image_.main.get();
}

/// What of the request is not done yet, as one operation.
void RawTarget::transfer(Operation& operation) {
    const TargetRequest& request = *operation.request;
    const int fd = descriptor_for(operation);
    const std::uint64_t offset = request.offset + operation.done;
    const bool read = request.operation == disk::Operation::read;
    page_cache_ = page_cache_ || (!read && !(image_.direct && fd == image_.main.get()));
    const auto vectors = operation.rest.first(std::min(operation.rest.size(), most_vectors));
    int index = -1;
    io_uring_sqe* sqe = nullptr;
    if (vectors.size() == 1) {
        index = io_.buffer_index(vectors[0].iov_base, vectors[0].iov_len);
        sqe = io_.entry();
        const auto length = static_cast<unsigned>(vectors[0].iov_len);
        if (index >= 0) {
            (read ? io_uring_prep_read_fixed(sqe, fd, vectors[0].iov_base, length, offset, index)
                  : io_uring_prep_write_fixed(sqe, fd, vectors[0].iov_base, length, offset, index));
        } else {
            (read ? io_uring_prep_read(sqe, fd, vectors[0].iov_base, length, offset)
                  : io_uring_prep_write(sqe, fd, vectors[0].iov_base, length, offset));
        }
    } else {
        sqe = io_.entry();
        const auto count = static_cast<unsigned>(vectors.size());
        (read ? io_uring_prep_readv(sqe, fd, vectors.data(), count, offset)
              : io_uring_prep_writev(sqe, fd, vectors.data(), count, offset));
    }
    operation.at_once = !read && taken_at_once(operation);
    sqe->rw_flags = (request.fua ? RWF_DSYNC : 0) | (operation.at_once ? RWF_NOWAIT : 0);
    io::IoThread::own(sqe, operation);
    io_.under_way(1);
}

/// The rest of a transfer, or all of it in another way.
void RawTarget::transfer_again(Operation& operation) {
    if (operation.request->operation == disk::Operation::write) {
        look_at_size(unguarded_age);
        if (!is_there(*operation.request)) {
            return end(operation, beyond_end);
        }
    }
    transfer(operation);
}

/// Writes that were refused are tried again, all of a round together: so they share the look at the size.
void RawTarget::try_later(Operation& operation) {
    operation.may_wait = true;
    refused_.push_back(&operation);
    if (refused_.size() > 1) {
        return;
    }
    io_.defer([this] { // its requests are under way, so it is there
        look_at_size({});
        for (Operation* const refused : std::exchange(refused_, {})) {
            is_there(*refused->request) ? transfer(*refused) : end(*refused, beyond_end);
        }
    });
}

/// Direct I/O where it takes this, else the page cache.
int RawTarget::descriptor_for(const Operation& operation) const {
    if (!image_.direct) {
        return image_.main.get();
    }
    const std::uint64_t offset = operation.request->offset + operation.done;
    bool fits = !operation.use_buffered && offset % image_.offset_alignment == 0;
    for (const iovec& vector : operation.rest) {
        fits = fits && vector.iov_len % image_.offset_alignment == 0 &&
               reinterpret_cast<std::uintptr_t>(vector.iov_base) % image_.memory_alignment == 0;
    }
    return fits ? image_.main.get() : image_.buffered.get();
}

void RawTarget::transferred(Operation& operation, int result) {
    const TargetRequest& request = *operation.request;
    io_.under_way(-1);
    if (operation.at_once && (result == -EAGAIN || result == -EOPNOTSUPP)) {
        no_wait_ = no_wait_ && result != -EOPNOTSUPP;
        return try_later(operation);
    }
    if (result == -EAGAIN || result == -EINTR) {
        return transfer_again(operation);
    }
    if (result == -EINVAL && image_.direct && !std::exchange(operation.use_buffered, true)) {
        return transfer_again(operation); // an alignment that the probe did not see
    }
    if (result < 0) {
        // A durable write may be told of other pages' loss. Where there is no room, it is its own that were not taken.
        if (request.fua && result != -ENOSPC && result != -EDQUOT) {
            note_lost_pages();
        }
        return end(operation, result);
    }
    if (result == 0) { // the end of the file, where there should be none
        looked_ = {};
        return end(operation, beyond_end);
    }
    if (operation.done + static_cast<unsigned>(result) >= request.length) {
        return end(operation, 0);
    }
    operation.advance(static_cast<unsigned>(result));
    transfer_again(operation);
}

/// Linux tells of a page that it could not write once, and drops it as if it were clean: the next flush would succeed,
/// and a guest that was made to wait for it (on-error=wait) would take for stored what is lost. (QEMU: the same in
/// block/file-posix.c, handle_aiocb_flush.) Direct I/O leaves nothing behind in the page cache.
void RawTarget::note_lost_pages() {
    pages_lost_ = pages_lost_ || page_cache_;
}

void RawTarget::flushed(Operation& operation, int result) {
    if (result == -EAGAIN || result == -EINTR) {
        io_.prepare(operation, io_uring_prep_fsync, image_.main.get(), unsigned{IORING_FSYNC_DATASYNC});
        return;
    }
    if (result < 0) {
        note_lost_pages();
    }
    end(operation, pages_lost_ && result == 0 ? -ENOTRECOVERABLE : result); // another one was told
}

void RawTarget::allocate(Operation& operation) {
    const TargetRequest& request = *operation.request;
    if (!geometry_.discard || !is_there(request)) {
        return fail_later(operation, geometry_.discard ? beyond_end : -EOPNOTSUPP);
    }
    std::uint64_t begin = request.offset, end = request.offset + request.length;
    if (request.operation == disk::Operation::discard) {
        // A device drops whole blocks, perhaps longer ones than the sectors that the guest sees; of the rest nothing is
        // promised.
        const std::uint64_t block = image_.device_block;
        begin = (begin + block - 1) / block * block;
        end = end / block * block;
        if (begin >= end) {
            io_.prepare(operation, io_uring_prep_nop);
            return;
        }
    }
    const bool zero = request.operation == disk::Operation::write_zeroes && zero_range_;
    io_.prepare(operation, io_uring_prep_fallocate, image_.main.get(),
                (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                static_cast<off_t>(end - begin));
}

void RawTarget::allocated(Operation& operation, int result) {
    if (result == -EAGAIN || result == -EINTR) {
        return allocate(operation);
    }
    if (result == -EOPNOTSUPP && operation.request->operation == disk::Operation::write_zeroes &&
        std::exchange(zero_range_, false)) {
        return allocate(operation);
    }
    end(operation, std::min(result, 0));
}

/// Not at once: whoever submits is not called back from inside.
void RawTarget::fail_later(Operation& operation, int error) {
    operation.error = error;
    io_.prepare(operation, io_uring_prep_nop);
}

void RawTarget::end(Operation& operation, int result) {
    TargetRequest& request = *operation.request;
    free_.push_back(&operation);
    request.complete(result);
}

/// A file may be grown or truncated by others, at any time. What the kernel knows of its size is enough: a network file
/// system would ask its server, which may be gone, and block all devices of this thread until it is back.
void RawTarget::look_at_size(std::chrono::nanoseconds age) {
    if (image_.block_device) {
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - looked_ < age) {
        return;
    }
    looked_ = now;
    struct statx status {};
    if (::statx(image_.main.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_SIZE, &status) != 0) {
        return;
    }
    const auto bytes = std::uint64_t{status.stx_size} & ~std::uint64_t{511};
    bytes_there_ = bytes;
    if (bytes > geometry_.bytes) {
        geometry_.bytes = bytes;
        if (changed_) {
            changed_();
        }
    }
}

} // namespace parapet::disk
