// SPDX-License-Identifier: Apache-2.0
// Facts about the host from /proc, /sys and a few system calls.
#include "tools/parapet/doctor/doctor.hpp"
#include "tools/parapet/host_checks.hpp"

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <liburing.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace parapet::cli::doctor {
namespace {

namespace fs = std::filesystem;

std::string read_text(const std::string& path) {
    std::ifstream file{path};
    return std::string{std::istreambuf_iterator<char>{file}, {}};
}

std::string first_line(const std::string& path) {
    std::string text = read_text(path);
    return text.substr(0, text.find('\n'));
}

/// 0 for anything that is not a plain number.
std::uint64_t read_number(const std::string& path) {
    const std::string text = first_line(path);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? number : 0;
}

/// "always [madvise] never" → "madvise".
std::string chosen(const std::string& line) {
    const auto begin = line.find('[');
    const auto end = line.find(']');
    return begin == std::string::npos || end == std::string::npos || end < begin
               ? std::string{}
               : line.substr(begin + 1, end - begin - 1);
}

void read_cpuinfo(const std::string& text, HostFacts& facts) {
    std::istringstream lines{text};
    std::string line;
    while (std::getline(lines, line) && !line.empty()) { // the first processor's block
        const auto colon = line.find(':');
        if (colon == std::string::npos) {
            continue;
        }
        if (line.starts_with("model name")) {
            facts.cpu_model = line.substr(std::min(colon + 2, line.size()));
        } else if (line.starts_with("flags")) {
            std::istringstream flags{line.substr(colon + 1)};
            std::string flag;
            while (flags >> flag) {
                facts.vmx = facts.vmx || flag == "vmx";
                facts.svm = facts.svm || flag == "svm";
                facts.hypervisor = facts.hypervisor || flag == "hypervisor";
            }
        }
    }
}

/// Free bytes of every pool: hugepages-2048kB/free_hugepages and so on.
std::uint64_t free_huge_bytes(const std::string& folder) {
    static constexpr std::string_view prefix = "hugepages-";
    std::uint64_t bytes = 0;
    std::error_code error;
    for (fs::directory_iterator pool{folder, error}, end; !error && pool != end; pool.increment(error)) {
        const std::string name = pool->path().filename().string();
        std::uint64_t kib = 0;
        if (name.starts_with(prefix)) {
            std::from_chars(name.data() + prefix.size(), name.data() + name.size(), kib);
            bytes += read_number(pool->path().string() + "/free_hugepages") * (kib << 10);
        }
    }
    return bytes;
}

void try_system_calls(HostFacts& facts) {
    io_uring ring{};
    const int made = io_uring_queue_init(4, &ring, 0);
    if (made == 0) {
        io_uring_queue_exit(&ring);
    }
    facts.io_uring_error = -made;
    const int memfd = memfd_create("parapet-doctor", MFD_CLOEXEC);
    if (memfd < 0) {
        facts.memfd_error = errno;
    } else {
        close(memfd);
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        facts.memlock_bytes = limit.rlim_cur;
    }
    facts.root = geteuid() == 0;
}

} // namespace

HostFacts probe_host(const std::string& root) {
    HostFacts facts;
    read_cpuinfo(read_text(root + "/proc/cpuinfo"), facts);
    facts.kernel_release = first_line(root + "/proc/sys/kernel/osrelease");
    facts.kvm_intel = fs::exists(root + "/sys/module/kvm_intel");
    facts.kvm_amd = fs::exists(root + "/sys/module/kvm_amd");
    facts.kvm_pvm = fs::exists(root + "/sys/module/kvm_pvm");
    facts.thp = chosen(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
    facts.thp_shmem = chosen(first_line(root + "/sys/kernel/mm/transparent_hugepage/shmem_enabled"));
    facts.free_huge_bytes = free_huge_bytes(root + "/sys/kernel/mm/hugepages");
    if (const auto memory = parse_meminfo(read_text(root + "/proc/meminfo"))) {
        facts.memory_total = memory->total;
        facts.memory_available = memory->available;
    }
    facts.io_uring_disabled = static_cast<int>(read_number(root + "/proc/sys/kernel/io_uring_disabled"));
    try_system_calls(facts);
    return facts;
}

} // namespace parapet::cli::doctor
