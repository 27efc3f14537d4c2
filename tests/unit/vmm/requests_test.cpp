// SPDX-License-Identifier: Apache-2.0
// The nucleus's requests, by a nucleus that is broken.
#include "vmm/requests.hpp"

#include "pv-abi/sched.hpp"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>

namespace parapet::vmm {
namespace {

using doorbell::Request;

constexpr std::uint64_t first_of_domain = 4, frames = 16;

GuestRam make_ram() {
    MachineLayout layout;
    layout.frames = frames;
    return *GuestRam::create(layout);
}

class RequestsTest : public testing::Test {
protected:
    std::optional<DomainStop> ask(Request kind, std::uint32_t length = 0, std::uint64_t argument = 0) {
        mailbox_->request.kind = kind;
        mailbox_->request.length = length;
        mailbox_->request.argument[0] = argument;
        mailbox_->request.result = 12345;
        return server_.serve();
    }
    [[nodiscard]] std::int64_t result() const { return mailbox_->request.result; }

    GuestRam ram_ = make_ram();
    std::unique_ptr<doorbell::Mailbox> mailbox_ = std::make_unique<doorbell::Mailbox>();
    std::string log_;
    RequestServer server_{ram_, *mailbox_, first_of_domain, [this](std::string_view text) { log_ += text; }};
};

TEST_F(RequestsTest, UnknownKindsAreRefused) {
    for (const std::uint32_t kind : {10U, 4711U, ~0U}) {
        EXPECT_FALSE(ask(static_cast<Request>(kind)));
        EXPECT_EQ(result(), -ENOSYS) << kind;
    }
}

TEST_F(RequestsTest, LogIsCutToItsRoom) {
    std::memset(mailbox_->request.text, 'x', sizeof(mailbox_->request.text));
    EXPECT_FALSE(ask(Request::log, ~0U));
    EXPECT_EQ(log_, std::string(doorbell::REQUEST_TEXT, 'x'));
    EXPECT_EQ(result(), 0);
}

TEST_F(RequestsTest, OnlyFramesOfTheDomainAreReleased) {
    for (const std::uint64_t mfn : {std::uint64_t{0}, first_of_domain - 1, frames, MachineLayout::high_start,
                                    ~std::uint64_t{0}, std::uint64_t{1} << 52}) {
        mailbox_->request.frames[0] = mfn;
        EXPECT_FALSE(ask(Request::release, 1));
        EXPECT_EQ(result(), -EINVAL) << mfn;
    }
    EXPECT_EQ(server_.frames_released(), 0U);
}

TEST_F(RequestsTest, ReleasedFramesAreGivenBack) {
    *ram_.frame(5) = *ram_.frame(6) = std::byte{1};
    mailbox_->request.frames[0] = 5;
    EXPECT_FALSE(ask(Request::release, 1));
    EXPECT_EQ(result(), 0);
    EXPECT_EQ(server_.frames_released(), 1U);
    EXPECT_EQ(*ram_.frame(5), std::byte{0});
    EXPECT_EQ(*ram_.frame(6), std::byte{1});
}

/// What the ring of the I/O thread knows of a page is forgotten when the page is another one, not only before.
TEST_F(RequestsTest, PagesAreForgottenBeforeAndAfterTheyGo) {
    std::string content;
    RequestServer server{ram_, *mailbox_, first_of_domain, [](std::string_view) {},
                         [&](std::span<const std::byte* const> pages) {
                             ASSERT_EQ(pages.size(), 1U);
                             content += std::to_string(static_cast<int>(*pages[0])) + " ";
                         }};
    *ram_.frame(5) = std::byte{1};
    mailbox_->request.kind = Request::release;
    mailbox_->request.length = 1;
    mailbox_->request.frames[0] = 5;
    EXPECT_FALSE(server.serve());
    EXPECT_EQ(result(), 0);
    EXPECT_EQ(content, "1 0 ");
}

TEST_F(RequestsTest, CountIsCutToItsRoom) {
    for (std::uint64_t& mfn : mailbox_->request.frames) {
        mfn = 7;
    }
    EXPECT_FALSE(ask(Request::release, ~0U));
    EXPECT_EQ(result(), 0);
    EXPECT_EQ(server_.frames_released(), doorbell::REQUEST_FRAMES);
}

TEST_F(RequestsTest, ShutdownReasons) {
    using Kind = DomainStop::Kind;
    const struct {
        std::uint64_t reason;
        Kind kind;
    } expected[] = {{abi::SHUTDOWN_poweroff, Kind::poweroff},
                    {abi::SHUTDOWN_reboot, Kind::reboot},
                    {abi::SHUTDOWN_suspend, Kind::poweroff},
                    {abi::SHUTDOWN_crash, Kind::crash},
                    {abi::SHUTDOWN_watchdog, Kind::crash},
                    {abi::SHUTDOWN_soft_reset, Kind::reboot},
                    {4711, Kind::crash},
                    {~std::uint64_t{0}, Kind::crash}};
    for (const auto& [reason, kind] : expected) {
        const auto stop = ask(Request::shutdown, 0, reason);
        ASSERT_TRUE(stop);
        EXPECT_EQ(stop->kind, kind) << reason;
    }
}

TEST_F(RequestsTest, CrashOfGarbageIsStillAReport) {
    std::memset(&mailbox_->request.crash, 0xff, sizeof(mailbox_->request.crash));
    for (const Request kind : {Request::crash, Request::nucleus_bug}) {
        const auto stop = ask(kind);
        ASSERT_TRUE(stop);
        EXPECT_EQ(stop->kind, DomainStop::Kind::crash);
        EXPECT_FALSE(stop->message.empty());
        EXPECT_LT(stop->report.size(), 20'000U);
    }
}

} // namespace
} // namespace parapet::vmm
