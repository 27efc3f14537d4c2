// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/image_file.hpp"

#include "backends/disk/image_format.hpp"
#include "support/file_status.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <memory>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utility>

namespace parapet::disk {
namespace {

constexpr std::uint32_t page = 4096, least_block = 512;

Error failed(const std::string& path, const std::string& what) {
    return Error{"disk image '" + path + "': " + what};
}

Error cannot_open(const DiskSpec& spec, int error) {
    const std::string& path = spec.target;
    switch (error) {
    case ENOENT:
        return failed(path, "there is no such file");
    case EACCES:
        return failed(path, spec.read_only ? "you may not read it"
                                           : "you may not write it; change its permissions, or add access=ro");
    case EROFS:
        return failed(path, "its file system is read-only; add access=ro");
    case EISDIR:
        return failed(path, "it is a directory");
    case EBUSY:
        return failed(path, "in use: the block device is mounted, or another domain has it");
    case EPERM:
        return failed(path, "the file is immutable or append-only; add access=ro");
    case ETXTBSY:
        return failed(path, "in use as a program or swap space");
    default:
        return failed(path, std::string{"cannot be opened: "} + std::strerror(error));
    }
}

/// Exclusive for a writer; readers share.
Result<void> lock(int fd, const DiskSpec& spec) {
    struct flock range {};
    range.l_type = spec.read_only ? F_RDLCK : F_WRLCK;
    range.l_whence = SEEK_SET; // from 0, without end
    if (::fcntl(fd, F_OFD_SETLK, &range) == 0) {
        return {};
    }
    if (errno == EAGAIN || errno == EACCES) {
        return failed(spec.target, std::string{"in use by another domain or program"} +
                                       (spec.read_only ? ", which may write to it; stop that one"
                                                       : "; stop that one, or give the image read-only to all "
                                                         "(access=ro)"));
    }
    return failed(spec.target, std::string{"cannot be locked: "} + std::strerror(errno));
}

/// The same file anew, so with flags of its own, without O_DIRECT.
UniqueFd reopen_buffered(int fd, bool read_only) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    return UniqueFd{::open(path.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC)};
}

/// The smallest alignment with which a direct read works; 0: none.
std::uint32_t probe_alignment(int fd, bool of_memory) {
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    const std::unique_ptr<void, Free> memory{std::aligned_alloc(page, 2 * page)};
    if (!memory) {
        return 0;
    }
    auto* bytes = static_cast<std::byte*>(memory.get());
    if (of_memory) {
        return ::pread(fd, bytes + least_block, page, 0) >= 0 ? least_block : page;
    }
    for (const std::uint32_t size : {least_block, page}) {
        if (::pread(fd, bytes, size, 0) >= 0) {
            return size;
        }
    }
    return 0;
}

/// A number in the block device's queue folder in sysfs; partitions have it one level up.
std::uint64_t queue_attribute(dev_t device, const char* name) {
    const std::string folder =
        "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device)) + "/";
    for (const char* up : {"queue/", "../queue/"}) {
        std::uint64_t value = 0;
        if (std::ifstream{folder + up + name} >> value) {
            return value;
        }
    }
    return 0;
}

Result<void> measure_device(ImageFile& image, const struct stat& status) {
    Geometry& geometry = image.geometry;
    unsigned physical = 0;
    int logical = 0;
    if (::ioctl(image.main.get(), BLKGETSIZE64, &geometry.bytes) != 0) {
        return failed(image.path, std::string{"its size cannot be read: "} + std::strerror(errno));
    }
    if (::ioctl(image.main.get(), BLKPBSZGET, &physical) == 0 && physical >= 512) {
        geometry.physical_block = physical;
    }
    const std::uint64_t most = std::max(queue_attribute(status.st_rdev, "discard_max_bytes"),
                                        queue_attribute(status.st_rdev, "write_zeroes_max_bytes"));
    geometry.discard = geometry.write_zeroes = !geometry.read_only && most != 0;
    if (::ioctl(image.main.get(), BLKSSZGET, &logical) == 0 && logical >= 512) {
        image.device_block = static_cast<std::uint32_t>(logical);
    }
    geometry.discard_granularity = static_cast<std::uint32_t>(
        std::max<std::uint64_t>(queue_attribute(status.st_rdev, "discard_granularity"), image.device_block));
    return {};
}

/// Those on which fstat() asks a server (or a program, with FUSE); by their magic numbers in statfs(2).
bool is_remote(int fd) {
    constexpr std::uint32_t remote[] = {NFS_SUPER_MAGIC,  SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC,  SMB2_SUPER_MAGIC,
                                        CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, V9FS_MAGIC,        CODA_SUPER_MAGIC,
                                        FUSE_SUPER_MAGIC, AFS_FS_MAGIC,    OCFS2_SUPER_MAGIC, 0x01161970 /* GFS2 */};
    struct statfs status {};
    return ::fstatfs(fd, &status) == 0 && std::find(std::begin(remote), std::end(remote),
                                                    static_cast<std::uint32_t>(status.f_type)) != std::end(remote);
}

void measure_file(ImageFile& image, const struct stat& status) {
    image.remote = is_remote(image.main.get()) && ::lseek(image.main.get(), 0, SEEK_SET) == 0;
    Geometry& geometry = image.geometry;
    geometry.bytes = static_cast<std::uint64_t>(status.st_size);
    geometry.physical_block = status.st_blksize >= 4096 ? 4096 : 512;
    geometry.discard_granularity = 4096;
    // Beyond the end, so that it punches nothing.
    const off_t beyond = (status.st_size + 0xffff) & ~off_t{0xffff};
    geometry.discard = geometry.write_zeroes =
        !geometry.read_only &&
        ::fallocate(image.main.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, beyond, page) == 0;
}

Result<ImageFile> measured(ImageFile image) {
    struct stat status {};
    if (status_of(image.main.get(), status) != 0) {
        return failed(image.path, std::strerror(errno));
    }
    image.block_device = S_ISBLK(status.st_mode);
    if (!image.block_device && !S_ISREG(status.st_mode)) {
        return failed(image.path, "it is neither a regular file nor a block device");
    }
    if (image.block_device) {
        if (auto done = measure_device(image, status); !done) {
            return done.error();
        }
    } else {
        measure_file(image, status);
    }
    if (image.geometry.bytes < 4096) {
        return failed(image.path, "it is smaller than a disk can be (4096 bytes)");
    }
    if (image.geometry.bytes % 512 != 0) {
        image.geometry.bytes -= image.geometry.bytes % 512;
        image.note = "the last bytes, which are no whole sector, are left out";
    }
    return image;
}

/// With O_DIRECT where it works, unless the user wants otherwise.
void choose_direct(ImageFile& image, const DiskSpec& spec) {
    if (spec.cache == Cache::buffered) {
        return;
    }
    const int flags = ::fcntl(image.main.get(), F_GETFL);
    if (flags >= 0 && ::fcntl(image.main.get(), F_SETFL, flags | O_DIRECT) == 0) {
        image.offset_alignment = probe_alignment(image.main.get(), false);
        image.memory_alignment = probe_alignment(image.main.get(), true);
        image.buffered = reopen_buffered(image.main.get(), spec.read_only);
        image.direct = image.offset_alignment != 0 && image.buffered.valid();
    }
    if (!image.direct) {
        (void)::fcntl(image.main.get(), F_SETFL, flags & ~O_DIRECT);
        image.buffered = UniqueFd{};
        image.note = "no direct I/O here, so the host's page cache is used";
    }
}

} // namespace

Result<ImageFile> open_image(const DiskSpec& spec) {
    struct stat status {};
    if (::stat(spec.target.c_str(), &status) != 0) {
        return cannot_open(spec, errno);
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) { // opening a pipe would wait
        return failed(spec.target, "it is neither a regular file nor a block device");
    }
    ImageFile image;
    image.path = spec.target;
    image.geometry.read_only = spec.read_only;
    // O_EXCL without O_CREAT: a block device that is not mounted, nor so opened by another.
    const int exclusive = S_ISBLK(status.st_mode) && !spec.read_only ? O_EXCL : 0;
    image.main = UniqueFd{::open(spec.target.c_str(), (spec.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | exclusive)};
    if (!image.main.valid()) {
        return cannot_open(spec, errno);
    }
    if (auto locked = lock(image.main.get(), spec); !locked) {
        return locked.error();
    }
    if (!spec.format) {
        if (const auto found = detect_format(image.main.get())) {
            const std::string name = format_name(*found);
            return failed(spec.target, "it looks like " + name + ", but no format is given; add format=" + name +
                                           ", or format=raw to serve it as it is");
        }
    }
    choose_direct(image, spec);
    return measured(std::move(image));
}

std::optional<std::uint64_t> length_of(const ImageFile& image, std::uint64_t before) {
    // FIONREAD of a regular file: what is behind the position, which nobody moves, in 32 bits.
    int low = 0;
    if (image.remote && ::ioctl(image.main.get(), FIONREAD, &low) == 0 &&
        static_cast<std::uint32_t>(low) == static_cast<std::uint32_t>(before)) {
        return before;
    }
    struct stat status {};
    if (status_of(image.main.get(), status) != 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(status.st_size);
}

Result<ImageFile> adopt_image(std::string path, UniqueFd main, UniqueFd buffered) {
    ImageFile image;
    image.path = std::move(path);
    image.main = std::move(main);
    image.buffered = std::move(buffered);
    const int flags = ::fcntl(image.main.get(), F_GETFL);
    if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY) {
        return failed(image.path, "the descriptor that came with it cannot be read");
    }
    image.geometry.read_only = (flags & O_ACCMODE) == O_RDONLY;
    if ((flags & O_DIRECT) != 0) {
        struct stat first {
        }, second{};
        const int other = ::fcntl(image.buffered.get(), F_GETFL);
        if (other < 0 || (other & (O_ACCMODE | O_DIRECT)) != (flags & O_ACCMODE) ||
            status_of(image.main.get(), first) != 0 || status_of(image.buffered.get(), second) != 0 ||
            first.st_dev != second.st_dev || first.st_ino != second.st_ino) {
            return failed(image.path, "the descriptors that came with it do not belong together");
        }
        image.offset_alignment = probe_alignment(image.main.get(), false);
        image.memory_alignment = probe_alignment(image.main.get(), true);
        image.direct = image.offset_alignment != 0;
    }
    return measured(std::move(image));
}

} // namespace parapet::disk
