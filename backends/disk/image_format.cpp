// SPDX-License-Identifier: Apache-2.0
// The signatures are those of the formats' specifications (qcow2: docs/interop/qcow2.txt of QEMU; VHD and VHDX:
// Microsoft's; VMDK: VMware's virtual disk format 1.1; VDI: VirtualBox; QED: QEMU).
#include "backends/disk/image_format.hpp"

#include <array>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace parapet::disk {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t piece_size = 4096; // whole and aligned, as an O_DIRECT descriptor wants it

struct Piece {
    alignas(piece_size) std::array<char, piece_size> bytes{};
    [[nodiscard]] bool has(std::size_t at, std::string_view what) const {
        return std::string_view{bytes.data(), bytes.size()}.substr(at, what.size()) == what;
    }
};

/// Raw data with a footer.
bool is_fixed_vhd(int fd) {
    struct stat status {};
    std::array<char, 512> footer{};
    return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 512 &&
           ::pread(fd, footer.data(), footer.size(), status.st_size - 512) == 512 &&
           std::string_view{footer.data(), 8} == "conectix"sv;
}

} // namespace

std::optional<Format> detect_format(int fd) {
    static thread_local Piece piece;
    piece.bytes.fill(0);
    if (::pread(fd, piece.bytes.data(), piece_size, 0) < 0) {
        return std::nullopt;
    }
    if (piece.has(0, "QFI\xfb"sv)) {
        return piece.has(4, "\0\0\0\1"sv) ? Format::qcow : Format::qcow2;
    }
    if (piece.has(0, "QED\0"sv)) {
        return Format::qed;
    }
    if (piece.has(0, "conectix"sv)) {
        return Format::vhd; // dynamic: a copy of the footer
    }
    if (piece.has(0, "vhdxfile"sv)) {
        return Format::vhdx;
    }
    if (piece.has(0, "KDMV"sv) || piece.has(0, "COWD"sv) || piece.has(0, "# Disk DescriptorFile"sv)) {
        return Format::vmdk;
    }
    if (piece.has(0x40, "\x7f\x10\xda\xbe"sv)) {
        return Format::vdi;
    }
    return is_fixed_vhd(fd) ? std::optional{Format::vhd} : std::nullopt;
}

} // namespace parapet::disk
