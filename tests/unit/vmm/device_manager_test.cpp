// SPDX-License-Identifier: Apache-2.0
// The devices of a domain, with devices that do nothing.
#include "vmm/device_manager.hpp"

#include "pv-abi/doorbell.hpp"
#include "support/line_limit.hpp"

#include <gtest/gtest.h>

namespace parapet::vmm {
namespace {

const std::string front = "/local/domain/1/device/vbd/51712";

struct FakeBackend final : devices::DeviceBackend {
    explicit FakeBackend(std::function<void()>& waiting_) : waiting{waiting_} { alive++; }
    ~FakeBackend() override { alive--; }
    FakeBackend(const FakeBackend&) = delete;
    FakeBackend& operator=(const FakeBackend&) = delete;
    xenbus::Nodes frontend_nodes() const override { return {}; }
    xenbus::Nodes backend_nodes() const override { return {}; }
    boost::json::object statistics() const override { return {}; }
    xenbus::Nodes offer() override { return {}; }
    Result<xenbus::Nodes> connect(const xenbus::FrontendNodes& /*frontend*/) override {
        return connects ? Result{xenbus::Nodes{}} : Error{"it does not like its rings"};
    }
    void disconnect(std::function<void()> done) override {
        if (slow) {
            waiting = std::move(done);
        } else {
            done();
        }
    }
    std::function<void()>& waiting;
    static inline bool slow = false, connects = false;
    static inline unsigned alive = 0;
};

struct FakeSource final : devices::DeviceSource {
    explicit FakeSource(std::function<void()>& waiting_, unsigned id = 51712) : waiting{waiting_}, number{id} {
        alive++;
    }
    ~FakeSource() override { alive--; }
    FakeSource(const FakeSource&) = delete;
    FakeSource& operator=(const FakeSource&) = delete;
    std::string kind() const override { return "vbd"; }
    unsigned id() const override { return number; }
    std::string name() const override { return "xvda"; }
    std::string describe() const override { return "nothing at all"; }
    std::unique_ptr<devices::DeviceBackend> make_backend(const devices::BackendContext& /*context*/) override {
        return std::make_unique<FakeBackend>(waiting);
    }
    devices::Handover to_handover() && override { return {}; }
    void close(boost::asio::io_context& /*control*/, std::function<void()> done) override {
        if (slow) {
            waiting = std::move(done);
        } else {
            done();
        }
    }
    std::function<void()>& waiting;
    unsigned number;
    static inline bool slow = false;
    static inline unsigned alive = 0;
};

class DeviceManagerTest : public testing::Test {
protected:
    void SetUp() override {
        FakeBackend::slow = FakeBackend::connects = FakeSource::slow = false;
        auto made = io::IoThread::create(8);
        ASSERT_TRUE(made.ok()) << made.error().message;
        io = *std::move(made);
        factory.from_handover = [this](devices::Handover,
                                       const auto&) -> Result<std::unique_ptr<devices::DeviceSource>> {
            return std::unique_ptr<devices::DeviceSource>{std::make_unique<FakeSource>(waiting)};
        };
        manager.emplace(sources, factory,
                        devices::BackendContext{*io, grants, control, [this](std::string_view) { lines++; }}, store,
                        xenstore::DomId{1});
    }

    void run_control() {
        control.restart();
        (void)control.poll();
    }

    DeviceSources sources;
    devices::DeviceFactory factory;
    std::unique_ptr<io::IoThread> io;
    doorbell::Mailbox mailbox{};
    grants::HostGrants grants{{}, mailbox, nullptr, nullptr, 0, 0};
    boost::asio::io_context control;
    xenstore::Store store;
    std::function<void()> waiting;
    unsigned lines = 0;
    std::optional<DeviceManager> manager;
};

/// A disk that hangs holds up the end of the domain; the control socket is served meanwhile.
TEST_F(DeviceManagerTest, RefusesChangesWhileItStops) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    FakeBackend::slow = true;
    bool stopped = false;
    manager->stop([&] { stopped = true; });
    EXPECT_FALSE(stopped);
    unsigned refused = 0;
    manager->detach("vbd", 51712, true, [&](const Result<void>& result) { refused += result.ok() ? 0 : 1; });
    EXPECT_EQ(refused, 1U);
    EXPECT_FALSE(manager->attach({}).ok());
    EXPECT_EQ(manager->list().at(0).state, "stopped");
    EXPECT_EQ(manager->list().at(0).name, "xvda");
    waiting();
    EXPECT_TRUE(stopped);
}

/// The guest ends just when it has let go of a device.
TEST_F(DeviceManagerTest, KeepsABackendThatItWaitsForWhileADetachEnds) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    bool detached = false;
    bool stopped = false;
    manager->detach("vbd", 51712, true, [&](const Result<void>& result) { detached = result.ok(); });
    FakeBackend::slow = true;
    manager->stop([&] { stopped = true; });
    control.poll(); // the device is told that it has been removed
    EXPECT_EQ(FakeBackend::alive, 1U) << "its disconnect() has not ended";
    EXPECT_FALSE(detached);
    EXPECT_FALSE(stopped);
    std::exchange(waiting, nullptr)();
    run_control();
    EXPECT_TRUE(detached);
    EXPECT_TRUE(stopped);
    EXPECT_EQ(FakeBackend::alive, 0U);
    EXPECT_TRUE(sources.empty()) << "it must not come back with a reboot";
}

/// A guest that reboots rather than let go of a device has let go of it by that.
TEST_F(DeviceManagerTest, TheEndOfTheGuestIsTheEndOfADetachThatItDidNotAnswer) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    sources.push_back(std::make_unique<FakeSource>(waiting, 51728));
    FakeBackend::connects = true;
    ASSERT_TRUE(manager->start().ok());
    for (const char* number : {"51712", "51728"}) {
        ASSERT_TRUE(store.write(std::string{"/local/domain/1/device/vbd/"} + number + "/state", "3").ok());
    }
    store.settle();
    unsigned detached = 0;
    for (unsigned client = 0; client < 2; client++) {
        manager->detach("vbd", 51712, false, [&](const Result<void>& result) { detached += result.ok() ? 1 : 0; });
    }
    control.poll();
    EXPECT_EQ(detached, 0U) << "the guest has not answered";
    bool stopped = false;
    manager->stop([&] { stopped = true; });
    run_control();
    EXPECT_EQ(detached, 2U);
    EXPECT_TRUE(stopped);
    manager.reset();
    ASSERT_EQ(sources.size(), 1U) << "the other device comes back with the guest";
    EXPECT_EQ(sources.at(0)->id(), 51728U);
}

/// The source of a detached device takes its time: the end of this life waits for it, and says so to whoever asked.
TEST_F(DeviceManagerTest, StopWaitsForASourceThatIsBeingClosed) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    FakeSource::slow = true;
    bool detached = false;
    bool stopped = false;
    manager->detach("vbd", 51712, false, [&](const Result<void>& result) { detached = result.ok(); });
    run_control();
    ASSERT_TRUE(waiting);
    manager->stop([&] { stopped = true; });
    EXPECT_FALSE(stopped);
    std::exchange(waiting, nullptr)();
    run_control();
    EXPECT_TRUE(detached);
    EXPECT_TRUE(stopped);
}

/// Whoever hears that a disk is detached may attach its image elsewhere at once.
TEST_F(DeviceManagerTest, ADetachIsDoneWhenTheSourceIsNoMore) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    ASSERT_EQ(FakeSource::alive, 1U);
    unsigned left = 99;
    manager->detach("vbd", 51712, false, [&](const Result<void>&) { left = FakeSource::alive; });
    run_control();
    EXPECT_EQ(left, 0U);
}

TEST_F(DeviceManagerTest, AttachesNothingOnceStopped) {
    manager->stop([] {});
    EXPECT_FALSE(manager->attach({}).ok()) << "a late word of the guest could connect it";
    EXPECT_TRUE(sources.empty());
}

/// A helper takes its time to end, and has the image until then.
TEST_F(DeviceManagerTest, ADetachIsDoneWhenTheSourceHasLetGo) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    FakeSource::slow = true;
    bool detached = false;
    manager->detach("vbd", 51712, true, [&](const Result<void>& result) { detached = result.ok(); });
    control.poll();
    EXPECT_TRUE(sources.empty());
    EXPECT_FALSE(detached);
    EXPECT_TRUE(manager->attach({}).ok()) << "its name is free at once";
    std::exchange(waiting, nullptr)();
    EXPECT_FALSE(detached) << "its locks are there until it is destroyed";
    run_control();
    EXPECT_TRUE(detached);
}

TEST_F(DeviceManagerTest, AGuestThatFailsAgainAndAgainDoesNotFillTheLog) {
    sources.push_back(std::make_unique<FakeSource>(waiting));
    ASSERT_TRUE(manager->start().ok());
    for (unsigned round = 0; round < 1000; round++) {
        for (const char* state : {"3", "6", "1"}) {
            ASSERT_TRUE(store.write(front + "/state", state).ok());
            store.settle();
        }
    }
    EXPECT_GE(lines, 1U);
    EXPECT_LE(lines, LineLimit::most_in_a_minute);
}

} // namespace
} // namespace parapet::vmm
