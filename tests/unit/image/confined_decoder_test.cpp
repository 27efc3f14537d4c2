// SPDX-License-Identifier: Apache-2.0
// What a decoder that hostile data has taken over can do: nothing but give a result, which is checked.
#include "vmm/image/confined_decoder.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/unit/image/image_maker.hpp"

namespace parapet::image::test {
namespace {

constexpr uint64_t limit = 3 * page_size;

/// Puts down the one byte that says whether an attempt came off.
Decoded say(Output& out, bool done) {
    out.room()[0] = static_cast<std::byte>(done ? '1' : '0');
    out.add(1);
    return Decoded::ok;
}

/// What a decoder that does this leaves behind, or its error.
std::string outcome(Decoder decode, std::span<const std::byte> in = {}) {
    auto out = Output::reserve_shared(limit);
    if (!out)
        return out.error().message;
    const auto how = decode_confined([&](Output& to) { return decode(in, to); }, -1, *out);
    if (!how)
        return how.error().message;
    EXPECT_EQ(*how, Decoded::ok);
    const Mapping result = std::move(*out).take();
    return {reinterpret_cast<const char*>(result.bytes().data()), result.bytes().size()};
}

TEST(ConfinedDecoder, GivesWhatItDecoded) {
    const Bytes in = bytes_of("what it has of our memory");
    EXPECT_EQ(outcome(
                  [](std::span<const std::byte> from, Output& to) {
                      std::memcpy(to.room().data(), from.data(), from.size());
                      to.add(from.size());
                      return Decoded::ok;
                  },
                  in),
              "what it has of our memory");
}

TEST(ConfinedDecoder, SaysHowItEnded) {
    for (const Decoder decode : {Decoder{[](std::span<const std::byte>, Output&) { return Decoded::corrupt; }},
                                 Decoder{[](std::span<const std::byte>, Output&) { return Decoded::no_memory; }}}) {
        auto out = Output::reserve_shared(limit);
        ASSERT_TRUE(out);
        const auto how = decode_confined([&](Output& to) { return decode({}, to); }, -1, *out);
        ASSERT_TRUE(how) << how.error().message;
        EXPECT_EQ(*how, decode({}, *out));
    }
}

TEST(ConfinedDecoder, HasMemory) {
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  const std::vector<std::byte> large(64U << 20, std::byte{1});
                  const std::vector<std::byte> small(100, std::byte{1});
                  return say(out, large.back() == small.back());
              }),
              "1");
}

TEST(ConfinedDecoder, OpensAndWritesNothing) {
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  return say(out, open("/etc/passwd", O_RDONLY) >= 0 || open("/proc/self/environ", O_RDONLY) >= 0);
              }),
              "0");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  return say(out, open("/tmp", O_RDWR | O_TMPFILE, 0600) >= 0 ||
                                      syscall(SYS_memfd_create, "x", 0) >= 0 || unlink("/tmp/no-such-file") == 0);
              }),
              "0");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  bool done = false;
                  for (int fd = 0; fd < 64; ++fd)
                      done = done || write(fd, "x", 1) == 1 || fcntl(fd, F_GETFD) >= 0;
                  return say(out, done);
              }),
              "0");
}

/// A file that the parent has open for writing is not to be had by mapping either.
TEST(ConfinedDecoder, MapsNoFile) {
    static int file = -1;
    file = memfd_create("disk", 0);
    ASSERT_EQ(ftruncate(file, page_size), 0);
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  return say(out, mmap(nullptr, page_size, PROT_WRITE, MAP_SHARED, file, 0) != MAP_FAILED);
              }),
              "0");
    close(file);
}

TEST(ConfinedDecoder, TalksToNobodyAndStartsNothing) {
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  return say(out, socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0);
              }),
              "0");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  return say(out, kill(getppid(), 0) == 0 || syscall(SYS_kill, syscall(SYS_getppid), 0) == 0 ||
                                      syscall(SYS_fork) >= 0 ||
                                      syscall(SYS_clone, CLONE_VM | SIGCHLD, 0, 0, 0, 0) >= 0);
              }),
              "0");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  execl("/bin/true", "true", nullptr);
                  void* code = mmap(nullptr, page_size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  return say(out, code != MAP_FAILED);
              }),
              "0");
}

/// Sleep would outlast the limit of CPU time; and root must not take memory from the host.
TEST(ConfinedDecoder, NeitherSleepsNorHarmsTheHostsMemory) {
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  int word = 0;
                  const timespec moment{0, 1};
                  errno = 0;
                  (void)syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &moment);
                  return say(out, errno != EPERM);
              }),
              "0");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  errno = 0; // nothing is mapped there: it would do no harm
                  return say(out, madvise(nullptr, page_size, MADV_HWPOISON) == 0 || errno != EPERM);
              }),
              "0");
}

/// What it reads may come out in the guest.
TEST(ConfinedDecoder, DoesNotSeeTheEnvironment) {
    setenv("PARAPET_TEST_SECRET", "password", 1);
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output& out) {
                  bool seen = false;
                  for (char** variable = environ; *variable != nullptr; ++variable)
                      seen = seen || **variable != '\0';
                  return say(out, seen);
              }),
              "0");
    EXPECT_STREQ(getenv("PARAPET_TEST_SECRET"), "password");
    unsetenv("PARAPET_TEST_SECRET");
}

/// Whoever has set narrower limits already cannot widen them, and need not.
TEST(ConfinedDecoder, KeepsNarrowerLimits) {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit narrow{100, 100};
        const bool set = setrlimit(RLIMIT_CPU, &narrow) == 0 && (geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
        const std::string found = outcome([](std::span<const std::byte>, Output& out) {
            rlimit now{};
            return say(out, getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_max > 100);
        });
        _exit(!set ? 1 : found == "0" ? 0 : 2); // also where asking is refused
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

/// It must not come back into the caller's code a second time, in the wrong process.
TEST(ConfinedDecoder, AnExceptionEndsItThere) {
    auto out = Output::reserve_shared(limit);
    ASSERT_TRUE(out);
    const auto how = decode_confined([](Output&) -> Decoded { throw std::bad_alloc{}; }, -1, *out);
    ASSERT_TRUE(how) << how.error().message;
    EXPECT_EQ(*how, Decoded::no_memory);
}

TEST(ConfinedDecoder, ItsDeathIsAnError) {
    const std::string broken = "cannot be read: its data broke the process that does it";
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output&) -> Decoded {
                  signal(SIGSEGV, SIG_DFL);
                  __builtin_trap();
              }).find(broken),
              0U);
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output&) -> Decoded { _exit(255); }),
              broken + "; copy or download it again");
    EXPECT_EQ(outcome([](std::span<const std::byte>, Output&) -> Decoded { _exit(0); }),
              broken + "; copy or download it again");
    int status = 0;
    EXPECT_EQ(waitpid(-1, &status, WNOHANG), -1) << "a child is left";
}

TEST(ConfinedDecoder, CannotClaimMoreThanThereIs) {
    const auto claim = [](std::span<const std::byte>, Output& out) {
        out.add(limit + page_size + 1);
        return Decoded::ok;
    };
    EXPECT_NE(outcome(claim).find("broke the process"), std::string::npos);
}

/// Page faults of children that have ended: the libraries' work was theirs.
long work_of_children() {
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_minflt;
}

/// An ELF that is not compressed, too, is read by nobody else.
TEST(ConfinedDecoder, ReadsEveryKernelUnlessToldOtherwise) {
    const Bytes plain = linux_elf().build();
    const long at_first = work_of_children();
    ASSERT_TRUE(load_bytes(plain));
    EXPECT_GT(work_of_children(), at_first);
    for (const Compression compression : all_compressions) {
        const Bytes file = bzimage_of(compression, linux_elf().build());
        const long before = work_of_children();
        ASSERT_TRUE(load_bytes(file));
        const long confined = work_of_children();
        EXPECT_GT(confined, before) << name_of(compression);
        LoadOptions options;
        options.decoding = Decoding::here;
        ASSERT_TRUE(load_bytes(file, options));
        EXPECT_EQ(work_of_children(), confined) << name_of(compression);
    }
}

} // namespace
} // namespace parapet::image::test
