// SPDX-License-Identifier: Apache-2.0
// The walk of xenbus states, with a frontend that is played by the test.
#include "iorings/xenbus/backend_device.hpp"

#include <gtest/gtest.h>
#include <random>

namespace {

using namespace parapet;
using namespace parapet::xenbus;
using xenstore::DomId;

const std::string front = "/local/domain/1/device/vbd/51712";
const std::string back = "/local/domain/0/backend/vbd/1/51712";

class FakeDriver final : public Driver {
public:
    Nodes offer() override {
        offers++;
        return {{"feature-persistent", "1"}};
    }
    Result<Nodes> connect(const FrontendNodes& frontend) override {
        EXPECT_FALSE(connected) << "connected twice without a disconnect";
        connected = true;
        connects++;
        if (!frontend.number("ring-ref")) {
            return Error{"the frontend names no ring-ref"};
        }
        return Nodes{{"sectors", "100"}};
    }
    void disconnect(std::function<void()> done) override {
        disconnects++;
        if (slow) {
            pending = std::move(done);
        } else {
            connected = false;
            done();
        }
    }
    void abandon() override {
        EXPECT_TRUE(pending) << "nothing is waited for";
        abandoned++;
    }
    void finish() {
        connected = false;
        std::exchange(pending, nullptr)();
    }
    int offers = 0, connects = 0, disconnects = 0, abandoned = 0;
    bool connected = false, slow = false;
    std::function<void()> pending;
};

class BackendDeviceTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(store.mkdir("/local/domain/1/device").ok());
        device = std::make_unique<BackendDevice>(
            store, DeviceAddress{"vbd", 51712, DomId{1}}, driver, Nodes{{"virtual-device", "51712"}},
            Nodes{{"dev", "xvda"}},
            BackendDevice::Hooks{[this] { removed++; }, [this](std::string_view text) { logged = text; }});
        ASSERT_TRUE(device->start().ok());
    }
    void frontend(State state) {
        ASSERT_EQ(store.set_value({DomId{1}, nullptr}, front + "/state", std::to_string(static_cast<unsigned>(state))),
                  xenstore::Errno::Ok);
        store.settle();
    }
    State backend_state() {
        const auto text = store.read(back + "/state");
        return text.ok() ? static_cast<State>(std::stoi(*text)) : State::unknown;
    }
    void connect() {
        ASSERT_TRUE(store.write(front + "/ring-ref", "8").ok());
        frontend(State::initialised);
    }
    xenstore::Store store;
    FakeDriver driver;
    std::unique_ptr<BackendDevice> device;
    int removed = 0;
    std::string logged;
};

TEST_F(BackendDeviceTest, LeavesNothingWhereItCannotStart) {
    BackendDevice other{store, DeviceAddress{"vif", 0, DomId{1}}, driver, Nodes{}, Nodes{{"no//name", "x"}}, {}};
    EXPECT_FALSE(other.start().ok());
    EXPECT_FALSE(store.read("/local/domain/1/device/vif/0/state").ok());
    EXPECT_FALSE(store.read("/local/domain/0/backend/vif/1/0/state").ok());
}

TEST_F(BackendDeviceTest, MakesBothDirectories) {
    EXPECT_EQ(*store.read(back + "/frontend"), front);
    EXPECT_EQ(*store.read(back + "/frontend-id"), "1");
    EXPECT_EQ(*store.read(back + "/online"), "1");
    EXPECT_EQ(*store.read(back + "/dev"), "xvda");
    EXPECT_EQ(*store.read(back + "/feature-persistent"), "1");
    EXPECT_EQ(*store.read(front + "/backend"), back);
    EXPECT_EQ(*store.read(front + "/virtual-device"), "51712");
    EXPECT_EQ(*store.read(front + "/state"), "1");
    EXPECT_EQ(backend_state(), State::init_wait);
    // The guest reads the backend's nodes and writes its own.
    EXPECT_TRUE(store.get_value({DomId{1}, nullptr}, back + "/state").ok());
    EXPECT_NE(store.set_value({DomId{1}, nullptr}, back + "/state", "4"), xenstore::Errno::Ok);
    EXPECT_EQ(store.set_value({DomId{1}, nullptr}, front + "/ring-ref", "4"), xenstore::Errno::Ok);
}

TEST_F(BackendDeviceTest, ConnectsOnceThroughInitialisedAndConnected) {
    connect();
    EXPECT_EQ(backend_state(), State::connected);
    EXPECT_EQ(*store.read(back + "/sectors"), "100");
    frontend(State::connected);
    EXPECT_EQ(driver.connects, 1);
}

TEST_F(BackendDeviceTest, AFrontendThatGoesStraightToConnectedIsTaken) {
    ASSERT_TRUE(store.write(front + "/ring-ref", "8").ok());
    frontend(State::connected);
    EXPECT_EQ(backend_state(), State::connected);
}

TEST_F(BackendDeviceTest, ServesTheRingsUntilTheFrontendIsClosed) {
    connect();
    frontend(State::closing);
    EXPECT_EQ(backend_state(), State::closing);
    EXPECT_TRUE(driver.connected);
    driver.slow = true;
    frontend(State::closed);
    EXPECT_EQ(backend_state(), State::closing) << "Closed is said when no guest memory is in use any more";
    driver.finish();
    EXPECT_EQ(backend_state(), State::closed);
    EXPECT_EQ(removed, 0);
}

TEST_F(BackendDeviceTest, StartsAnewWithADriverThatIsLoadedAgain) {
    connect();
    frontend(State::closing);
    frontend(State::closed);
    frontend(State::initialising);
    EXPECT_EQ(backend_state(), State::init_wait);
    EXPECT_EQ(driver.offers, 2);
    frontend(State::initialised);
    EXPECT_EQ(backend_state(), State::connected);
    EXPECT_EQ(driver.connects, 2);
}

TEST_F(BackendDeviceTest, AKernelThatWasReplacedWithoutClosingStartsAnew) {
    connect();
    driver.slow = true;
    frontend(State::initialising);
    frontend(State::initialised); // missed while the driver lets go
    EXPECT_EQ(driver.connects, 1);
    driver.finish();
    EXPECT_EQ(driver.connects, 1);
    frontend(State::initialising);
    EXPECT_EQ(backend_state(), State::init_wait);
    frontend(State::initialised);
    EXPECT_EQ(backend_state(), State::connected);
}

TEST_F(BackendDeviceTest, DetachWaitsForTheFrontend) {
    connect();
    device->detach(false);
    EXPECT_EQ(backend_state(), State::closing);
    EXPECT_EQ(*store.read(back + "/online"), "0");
    EXPECT_TRUE(driver.connected);
    frontend(State::closing);
    EXPECT_EQ(removed, 0);
    frontend(State::closed);
    EXPECT_EQ(removed, 1);
    EXPECT_FALSE(driver.connected);
    EXPECT_FALSE(store.exists(back));
    EXPECT_FALSE(store.exists(front));
}

TEST_F(BackendDeviceTest, DetachByForceDoesNotWait) {
    connect();
    device->detach(false);
    EXPECT_EQ(removed, 0);
    driver.slow = true;
    device->detach(true);
    EXPECT_EQ(removed, 0);
    EXPECT_EQ(driver.abandoned, 1);
    driver.finish();
    EXPECT_EQ(removed, 1);
}

TEST_F(BackendDeviceTest, ForceThatComesLaterGivesUpWhatIsWaitedFor) {
    connect();
    driver.slow = true;
    device->detach(false);
    frontend(State::closed);
    EXPECT_TRUE(driver.pending);
    EXPECT_EQ(driver.abandoned, 0) << "in order, it waits";
    device->detach(true);
    EXPECT_EQ(driver.abandoned, 1);
    driver.finish();
    EXPECT_EQ(removed, 1);
}

TEST_F(BackendDeviceTest, NothingIsGivenUpWhereNothingIsWaitedFor) {
    connect();
    device->detach(true);
    EXPECT_EQ(removed, 1);
    EXPECT_EQ(driver.abandoned, 0);
}

TEST_F(BackendDeviceTest, ADeviceThatNoDriverHasTakenIsDetachedAtOnce) {
    device->detach(false);
    EXPECT_EQ(removed, 1);
    EXPECT_EQ(driver.disconnects, 0);
}

TEST_F(BackendDeviceTest, RemovedMayDestroyTheDevice) {
    BackendDevice second{store, DeviceAddress{"vbd", 51728, DomId{1}}, driver, {}, {}, {}};
    BackendDevice* doomed = nullptr;
    doomed = new BackendDevice{store, DeviceAddress{"vbd", 51744, DomId{1}},         driver, {},
                               {},    {.removed = [&] { delete doomed; }, .log = {}}};
    ASSERT_TRUE(doomed->start().ok());
    doomed->detach(false);
    EXPECT_FALSE(store.exists("/local/domain/0/backend/vbd/1/51744"));
}

TEST_F(BackendDeviceTest, AFailedConnectClosesWithAReason) {
    frontend(State::initialised); // without ring-ref
    EXPECT_EQ(backend_state(), State::closing);
    EXPECT_FALSE(driver.connected);
    EXPECT_EQ(logged, "vbd/51712: the frontend names no ring-ref");
    EXPECT_EQ(*store.read("/local/domain/0/error/backend/vbd/1/51712/error"), "the frontend names no ring-ref");
    frontend(State::closed);
    frontend(State::initialising);
    connect();
    EXPECT_EQ(backend_state(), State::connected) << "another driver may do better";
}

TEST_F(BackendDeviceTest, FailStopsADeviceAtOnce) {
    connect();
    device->fail("the frontend's index is impossible");
    EXPECT_FALSE(driver.connected);
    EXPECT_EQ(backend_state(), State::closing);
    frontend(State::connected);
    EXPECT_EQ(driver.connects, 1);
}

/// Linux' frontends look at a disk's new size when the state is written (drivers/block/xen-blkfront.c).
TEST_F(BackendDeviceTest, WhatIsPublishedIsShownToAFrontendThatWatchesTheState) {
    connect();
    unsigned fired = 0;
    ASSERT_TRUE(store.watch(back + "/state", [&](const std::string&) { fired++; }).ok());
    store.settle();
    fired = 0;
    device->publish({{"sectors", "200"}});
    store.settle();
    EXPECT_EQ(*store.read(back + "/sectors"), "200");
    EXPECT_EQ(backend_state(), State::connected);
    EXPECT_EQ(fired, 1U);
}

TEST_F(BackendDeviceTest, ARemovedDeviceLeavesNothingBehind) {
    device->detach(true);
    ASSERT_EQ(removed, 1);
    device->detach(true); // by another, before the owner has been told
    device->publish({{"sectors", "200"}});
    device->fail("too late");
    EXPECT_FALSE(store.exists(back));
    EXPECT_EQ(removed, 1);
}

TEST_F(BackendDeviceTest, JudgesNumbersOfTheFrontend) {
    const FrontendNodes nodes{store, front};
    for (const auto& [text, number] :
         std::initializer_list<std::pair<const char*, std::optional<std::uint64_t>>>{{"0", 0},
                                                                                     {"17", 17},
                                                                                     {"4294967295", 0xffffffff},
                                                                                     {"4294967296", {}},
                                                                                     {"", {}},
                                                                                     {" 1", {}},
                                                                                     {"1 ", {}},
                                                                                     {"-1", {}},
                                                                                     {"0x10", {}},
                                                                                     {"99999999999999999999999", {}}}) {
        ASSERT_TRUE(store.write(front + "/n", text).ok());
        EXPECT_EQ(nodes.number("n"), number) << text;
    }
    EXPECT_EQ(nodes.number("missing"), std::nullopt);
}

/// State words in any order, nonsense and removal included: connect and disconnect stay paired, and an honest
/// frontend is served afterwards.
TEST_F(BackendDeviceTest, AnyOrderOfStatesIsSurvived) {
    std::mt19937 random{1};
    ASSERT_TRUE(store.write(front + "/ring-ref", "8").ok());
    for (int step = 0; step < 5000; step++) {
        driver.slow = random() % 2 == 0;
        const auto word = static_cast<unsigned>(random() % 12);
        if (word == 11) {
            (void)store.rm(front + "/state");
        } else if (word == 10) {
            ASSERT_TRUE(store.write(front + "/state", "garbage").ok());
        } else {
            ASSERT_TRUE(store.write(front + "/state", std::to_string(word)).ok());
        }
        if (driver.pending && random() % 2 == 0) {
            driver.finish();
        }
    }
    driver.slow = false;
    if (driver.pending) {
        driver.finish();
    }
    frontend(State::closed);
    frontend(State::initialising);
    frontend(State::initialised);
    EXPECT_EQ(backend_state(), State::connected);
    EXPECT_TRUE(driver.connected);
}

} // namespace
