// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/raw_target.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <utility>

namespace parapet::disk {

namespace {
/// Of the kernel (UIO_MAXIOV).
constexpr std::size_t most_vectors = 1024;
/// Of requests that are transferred together: what a disk takes at a time.
constexpr std::uint64_t most_joined_bytes = std::uint64_t{1} << 20;
/// So many writes are not joined after some together were refused with RWF_NOWAIT.
constexpr unsigned writes_alone = 256;

// How old what is known of the size may be: for anybody, and for a write that the kernel would not refuse. To look each
// time would be a system call each time.
constexpr std::chrono::seconds usual_age{1};
constexpr std::chrono::milliseconds unguarded_age{1};

bool transfers(disk::Operation operation) {
    return operation == disk::Operation::read || operation == disk::Operation::write;
}
} // namespace

/// One of the target's operations: of one request, or a transfer of several that are neighbours on the disk. Made when
/// there are more at once than ever before, and used again.
class RawTarget::Operation final : public io::Completion {
public:
    explicit Operation(RawTarget& target) : target_{target} {}

    /// Precondition: they are of one kind; each but the first begins where the one before it ends.
    void start(std::span<TargetRequest* const> neighbours) {
        const TargetRequest& first = *neighbours.front();
        requests.assign(neighbours.begin(), neighbours.end());
        kind = first.operation;
        fua = first.fua;
        offset = first.offset;
        length = 0;
        rest = first.segments;
        for (const TargetRequest* request : neighbours) {
            length += request->length;
        }
        if (neighbours.size() > 1) {
            list_segments();
        }
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
    void complete(int result, unsigned /*flags*/) override {
        if (error != 0) {
            target_.end(*this, error);
        } else if (transfers(kind)) {
            target_.transferred(*this, result);
        } else if (kind == disk::Operation::flush) {
            target_.flushed(*this, std::min(result, 0));
        } else {
            target_.allocated(*this, result);
        }
    }

    std::vector<TargetRequest*> requests;
    disk::Operation kind{};
    bool fua = false;
    std::uint64_t offset = 0, length = 0; ///< of all of them
    std::span<const iovec> rest;          ///< still to be transferred
    std::uint64_t done = 0;
    int error = 0;             ///< to be reported when the (empty) operation completes
    bool use_buffered = false; ///< direct I/O did not take it
    bool at_once = false;      ///< under way with RWF_NOWAIT
    bool may_wait = false;     ///< it is not to be had so

private:
    /// What follows in memory, too, becomes one piece: it may be registered memory.
    void list_segments() {
        own_.clear();
        for (const TargetRequest* request : requests) {
            for (const iovec& segment : request->segments) {
                (void)add_piece(own_, segment);
            }
        }
        rest = own_;
    }

    RawTarget& target_;
    std::vector<iovec> own_;
};

RawTarget::RawTarget(const ImageFile& image, io::IoThread& io)
    : image_{image}, io_{io}, geometry_{image.geometry}, bytes_there_{image.geometry.bytes},
      file_length_{image.geometry.bytes} {}

RawTarget::~RawTarget() = default;

void RawTarget::submit(TargetRequest& request) {
    if (!transfers(request.operation)) {
        TargetRequest* const only = &request;
        return begin({&only, 1});
    }
    gathered_.push_back(&request);
    if (gathered_.size() == 1) {
        io_.defer([this] { begin_gathered(); });
    }
}

/// Begins what was submitted in this round, neighbours together. But half of all that is under way at most: while the
/// disk does the one half, the guest may have the answers of the other and post anew.
void RawTarget::begin_gathered() {
    beginning_.swap(gathered_);
    const std::size_t half = (beginning_.size() + transferring_) / 2;
    for (std::span<TargetRequest* const> left{beginning_}; !left.empty();) {
        std::size_t count = 1, vectors = left[0]->segments.size();
        std::uint64_t bytes = left[0]->length;
        const bool alone = left[0]->operation == disk::Operation::write && writes_alone_ != 0;
        writes_alone_ -= alone ? 1 : 0;
        const std::size_t most = alone ? 1 : half;
        for (; count < left.size() && count < most; ++count) {
            const TargetRequest &before = *left[count - 1], &next = *left[count];
            vectors += next.segments.size();
            bytes += next.length;
            if (next.operation != before.operation || next.offset != before.offset + before.length || next.fua ||
                before.fua || vectors > most_vectors || bytes > most_joined_bytes) {
                break;
            }
        }
        begin(left.first(count));
        left = left.subspan(count);
    }
    beginning_.clear();
}

void RawTarget::begin(std::span<TargetRequest* const> neighbours) {
    if (free_.empty()) {
        free_.push_back(operations_.emplace_back(std::make_unique<Operation>(*this)).get());
    }
    Operation& operation = *free_.back();
    free_.pop_back();
    operation.start(neighbours);
    const bool guarded = operation.kind != disk::Operation::write || taken_at_once(operation);
    look_at_size(guarded ? std::chrono::nanoseconds{usual_age} : unguarded_age);
    switch (operation.kind) {
    case disk::Operation::read:
    case disk::Operation::write:
        if (is_there(operation)) {
            transfer(operation);
        } else if (operation.requests.size() > 1) {
            separate(operation);
        } else {
            fail_later(operation, beyond_end);
        }
        return;
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

bool RawTarget::is_there(const Operation& operation) const {
    return operation.offset <= bytes_there_ && operation.length <= bytes_there_ - operation.offset;
}

/// A write that the kernel refuses rather than make the file longer.
bool RawTarget::taken_at_once(const Operation& operation) const {
    return no_wait_ && !operation.may_wait && image_.direct && !image_.block_device &&
           descriptor_for(operation) == image_.main.get();
}

/// What of the request is not done yet, as one operation.
void RawTarget::transfer(Operation& operation) {
    const int fd = descriptor_for(operation);
    const std::uint64_t offset = operation.offset + operation.done;
    const bool read = operation.kind == disk::Operation::read;
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
    sqe->rw_flags = (operation.fua ? RWF_DSYNC : 0) | (operation.at_once ? RWF_NOWAIT : 0);
    io::IoThread::own(sqe, operation);
    io_.under_way(1, static_cast<int>(operation.requests.size()));
    transferring_ += operation.requests.size();
}

/// The rest of a transfer, or all of it in another way.
void RawTarget::transfer_again(Operation& operation) {
    if (operation.kind == disk::Operation::write) {
        look_at_size(unguarded_age);
        if (!is_there(operation)) {
            return give_up(operation, beyond_end);
        }
    }
    transfer(operation);
}

/// Writes that were refused are tried again, all of a round together: so they share the look at the size.
void RawTarget::try_later(Operation& operation) {
    if (operation.requests.size() > 1) { // perhaps they lie in different extents, which ext4 refuses
        writes_alone_ = writes_alone;
    }
    operation.may_wait = true;
    refused_.push_back(&operation);
    if (refused_.size() > 1) {
        return;
    }
    io_.defer([this] { // its requests are under way, so it is there
        look_at_size({});
        for (Operation* const refused : std::exchange(refused_, {})) {
            is_there(*refused) ? transfer(*refused) : give_up(*refused, beyond_end);
        }
    });
}

/// Direct I/O where it takes this, else the page cache.
int RawTarget::descriptor_for(const Operation& operation) const {
    if (!image_.direct) {
        return image_.main.get();
    }
    const std::uint64_t offset = operation.offset + operation.done;
    bool fits = !operation.use_buffered && offset % image_.offset_alignment == 0;
    for (const iovec& vector : operation.rest) {
        fits = fits && vector.iov_len % image_.offset_alignment == 0 &&
               reinterpret_cast<std::uintptr_t>(vector.iov_base) % image_.memory_alignment == 0;
    }
    return fits ? image_.main.get() : image_.buffered.get();
}

void RawTarget::transferred(Operation& operation, int result) {
    io_.under_way(-1, -static_cast<int>(operation.requests.size()));
    transferring_ -= operation.requests.size();
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
        if (operation.fua && result != -ENOSPC && result != -EDQUOT) {
            note_lost_pages();
        }
        return give_up(operation, result);
    }
    if (result == 0) { // the end of the file, where there should be none
        looked_ = {};
        return give_up(operation, beyond_end);
    }
    if (operation.done + static_cast<unsigned>(result) >= operation.length) {
        return end(operation, 0);
    }
    operation.advance(static_cast<unsigned>(result));
    transfer_again(operation);
}

/// A transfer ends with an error: of several requests' one, each is to have its own.
void RawTarget::give_up(Operation& operation, int error) {
    operation.requests.size() > 1 ? separate(operation) : end(operation, error);
}

/// Of several requests, those that are done end, and each of the others begins anew by itself.
void RawTarget::separate(Operation& operation) {
    std::uint64_t done = operation.done;
    for (TargetRequest* const request : operation.requests) {
        if (request->length <= done) {
            done -= request->length;
            request->complete(0);
        } else {
            done = 0;
            begin({&request, 1});
        }
    }
    free_.push_back(&operation);
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
    if (!geometry_.discard || !is_there(operation)) {
        return fail_later(operation, geometry_.discard ? beyond_end : -EOPNOTSUPP);
    }
    std::uint64_t begin = operation.offset, end = operation.offset + operation.length;
    if (operation.kind == disk::Operation::discard) {
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
    const bool zero = operation.kind == disk::Operation::write_zeroes && zero_range_;
    io_.prepare(operation, io_uring_prep_fallocate, image_.main.get(),
                (zero ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE) | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                static_cast<off_t>(end - begin));
}

void RawTarget::allocated(Operation& operation, int result) {
    if (result == -EAGAIN || result == -EINTR) {
        return allocate(operation);
    }
    if (result == -EOPNOTSUPP && operation.kind == disk::Operation::write_zeroes && std::exchange(zero_range_, false)) {
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
    const std::span<TargetRequest* const> requests{operation.requests};
    TargetRequest* const last = requests.back();
    for (TargetRequest* const request : requests.first(requests.size() - 1)) {
        request->complete(result);
    }
    free_.push_back(&operation); // before the last one's end, which may be ours
    last->complete(result);
}

/// A file may be grown or truncated by others, at any time.
void RawTarget::look_at_size(std::chrono::nanoseconds age) {
    if (image_.block_device) {
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - looked_ < age) {
        return;
    }
    looked_ = now;
    const auto length = length_of(image_, file_length_);
    if (!length) {
        return;
    }
    file_length_ = *length;
    const auto bytes = file_length_ & ~std::uint64_t{511};
    bytes_there_ = bytes;
    if (bytes > geometry_.bytes) {
        geometry_.bytes = bytes;
        if (changed_) {
            changed_();
        }
    }
}

} // namespace parapet::disk
