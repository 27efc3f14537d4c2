// SPDX-License-Identifier: Apache-2.0
// The control server with a made-up domain: requests, viewers, clients that misbehave, reboots.
#include "vmm/control/control_server.hpp"

#include "tests/unit/control/folder.hpp"
#include "vmm/control/client.hpp"
#include "vmm/control/message.hpp"
#include "vmm/control/name_claim.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <future>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace parapet::vmm::control {
namespace {

using namespace std::chrono_literals;

class FakeDevices : public DeviceControl {
public:
    Result<DeviceInfo> attach(devices::Handover handover) override {
        received = std::move(handover);
        if (received.description.contains("bad")) {
            return Error{"this device is bad"};
        }
        return DeviceInfo{"vbd", 51728, "xvdb", "xvdb image (raw)", "init-wait", {}};
    }
    void detach(const std::string& kind, unsigned id, bool force, std::function<void(Result<void>)> done) override {
        detached = kind + "-" + std::to_string(id) + (force ? " by force" : "");
        if (force) {
            done({});
        } else {
            waiting = std::move(done);
        }
    }
    [[nodiscard]] std::vector<DeviceInfo> list() const override {
        return {{"vbd", 51712, "xvda", "xvda root.img (raw)", "connected", {{"reads", 3}}}};
    }

    devices::Handover received;
    std::string detached;
    std::function<void(Result<void>)> waiting;
};

class FakeLife : public DomainLife {
public:
    [[nodiscard]] LifeFacts facts() const override {
        LifeFacts facts;
        facts.domid = 1;
        facts.memory_bytes = facts.target_bytes = target;
        facts.maximum_bytes = 512ULL << 20;
        facts.shutting_down = !asked.empty();
        return facts;
    }
    Result<void> ask_shutdown(std::string_view how) override {
        if (!heeds) {
            return Error{"the guest does not heed"};
        }
        asked = how;
        return {};
    }
    void destroy() override { destroyed = true; }
    Result<void> set_memory_target(std::uint64_t bytes) override {
        target = bytes;
        return {};
    }
    std::size_t type(std::span<const char> bytes) override {
        const std::size_t count = std::min(bytes.size(), takes);
        typed.append(bytes.data(), count);
        return count;
    }
    DeviceControl* devices() override { return &fake_devices; }

    std::uint64_t target = 512ULL << 20;
    bool heeds = true;
    bool destroyed = false;
    std::string asked, typed;
    std::size_t takes = 1 << 20;
    FakeDevices fake_devices;
};

/// A server on a thread of its own; what it shares with the test is touched by post() or when it is stopped.
class Server : public testing::Test {
protected:
    void SetUp() override {
        auto claim = NameClaim::take({"web", true, false}, {folder.path()});
        ASSERT_TRUE(claim) << claim.error().message;
        claim_.emplace(*std::move(claim));
        server.emplace(claim_->listener(), "web");
        start();
    }
    void TearDown() override {
        stop();
        server.reset();
    }
    void start() {
        io.emplace(1);
        thread = std::thread{[this] {
            const auto guard = boost::asio::make_work_guard(*io);
            const ControlServer::Serving serving{&*server, *io, life};
            io->run();
        }};
    }
    void stop() {
        if (thread.joinable()) {
            io->stop();
            thread.join();
            io.reset();
        }
    }
    void on_thread(const std::function<void()>& what) {
        std::promise<void> done;
        boost::asio::post(*io, [&] {
            what();
            done.set_value();
        });
        done.get_future().wait();
    }
    void say(const std::string& text) {
        on_thread([&] { server->console_said(text); });
    }
    Client client() {
        auto opened = Client::open("web", {folder.path()});
        EXPECT_TRUE(opened);
        return *std::move(opened);
    }
    static std::string error_of(const Result<boost::json::object>& reply) {
        return reply ? "no error" : reply.error().message;
    }
    /// Console bytes until `end` comes.
    static std::string view(Client& viewer, const std::string& end) {
        std::string text;
        while (text.find(end) == std::string::npos) {
            const auto frame = viewer.receive(5s);
            if (!frame || !*frame) {
                ADD_FAILURE() << "'" << end << "' did not come";
                break;
            }
            if ((*frame)->kind == FrameKind::console) {
                text += (*frame)->payload;
            }
        }
        return text;
    }

    TestFolder folder;
    std::optional<NameClaim> claim_;
    std::optional<ControlServer> server;
    std::optional<boost::asio::io_context> io;
    FakeLife life;
    std::thread thread;
};

TEST_F(Server, Info) {
    Client c = client();
    const auto info = c.call({{"request", "info"}});
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(text_member(*info, "name"), "web");
    EXPECT_EQ(number_member(*info, "pid"), static_cast<std::uint64_t>(::getpid()));
    EXPECT_EQ(text_member(*info, "state"), "running");
    const auto& memory = info->at("memory").get_object();
    EXPECT_EQ(number_member(memory, "maximum_bytes"), 512ULL << 20);
    const auto& device = info->at("devices").get_array().at(0).get_object();
    EXPECT_EQ(text_member(device, "name"), "xvda");
    EXPECT_EQ(c.peer(), ::getpid());
    ASSERT_TRUE(c.call({{"request", "shutdown"}}));
    EXPECT_EQ(life.asked, "poweroff");
    EXPECT_EQ(text_member(*c.call({{"request", "info"}}), "state"), "shutting-down");
}

TEST_F(Server, Orders) {
    Client c = client();
    EXPECT_TRUE(c.call({{"request", "shutdown"}, {"how", "reboot"}}));
    EXPECT_EQ(life.asked, "reboot");
    EXPECT_NE(error_of(c.call({{"request", "shutdown"}, {"how", "../x"}})).find("no way"), std::string::npos);
    EXPECT_TRUE(c.call({{"request", "mem-set"}, {"bytes", 256 << 20}}));
    EXPECT_EQ(life.target, 256U << 20);
    EXPECT_NE(error_of(c.call({{"request", "mem-set"}, {"bytes", 1 << 20}})).find("at least 32M"), std::string::npos);
    EXPECT_NE(error_of(c.call({{"request", "mem-set"}, {"bytes", 1 << 30}})).find("at most 512M"), std::string::npos);
    EXPECT_FALSE(c.call({{"request", "mem-set"}}));
    EXPECT_NE(error_of(c.call({{"request", "frob"}})).find("'frob'"), std::string::npos);
    EXPECT_FALSE(life.destroyed);
    EXPECT_TRUE(c.call({{"request", "destroy"}}));
    on_thread([&] { EXPECT_TRUE(life.destroyed); });
}

TEST_F(Server, Devices) {
    Client c = client();
    const UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const std::array<int, 2> descriptors{null.get(), null.get()};
    const auto attached = c.call({{"request", "attach"}, {"device", {{"kind", "vbd"}}}}, descriptors);
    ASSERT_TRUE(attached) << attached.error().message;
    EXPECT_EQ(text_member(attached->at("device").get_object(), "name"), "xvdb");
    EXPECT_EQ(life.fake_devices.received.descriptors.size(), 2U);
    EXPECT_EQ(error_of(c.call({{"request", "attach"}, {"device", {{"bad", 1}}}})), "this device is bad");
    EXPECT_NE(error_of(c.call({{"request", "attach"}})).find("no device"), std::string::npos);
    EXPECT_NE(error_of(c.call({{"request", "detach"}, {"device", "xvdz"}})).find("it has xvda"), std::string::npos);
    EXPECT_TRUE(c.call({{"request", "detach"}, {"device", "vbd-51712"}, {"force", true}}));
    EXPECT_EQ(life.fake_devices.detached, "vbd-51712 by force");
}

TEST_F(Server, DetachIsAnsweredWhenItIsDone) {
    Client c = client();
    ASSERT_TRUE(c.send(FrameKind::message, format_message({{"request", "detach"}, {"device", "xvda"}})));
    const auto early = c.receive(200ms);
    ASSERT_TRUE(early && !*early);
    on_thread([&] { life.fake_devices.waiting({}); });
    const auto answer = c.receive(5s);
    ASSERT_TRUE(answer && *answer);
    EXPECT_TRUE(flag_member(*parse_message((*answer)->payload), "ok"));
}

TEST_F(Server, AClientWaitsForOneDetachAtATime) {
    Client asking = client();
    const auto request = format_message({{"request", "detach"}, {"device", "xvda"}});
    for (int i = 0; i < 3; i++) {
        ASSERT_TRUE(asking.send(FrameKind::message, request));
    }
    for (int i = 0; i < 2; i++) {
        const auto frame = asking.receive(5s);
        ASSERT_TRUE(frame && *frame);
        EXPECT_NE((*frame)->payload.find("waits for a detach already"), std::string::npos) << (*frame)->payload;
    }
    on_thread([&] { life.fake_devices.waiting({}); });
    const auto frame = asking.receive(5s);
    ASSERT_TRUE(frame && *frame);
    EXPECT_NE((*frame)->payload.find("\"ok\":true"), std::string::npos) << (*frame)->payload;
}

TEST_F(Server, DetachEndsWithTheLife) {
    Client c = client();
    ASSERT_TRUE(c.send(FrameKind::message, format_message({{"request", "detach"}, {"device", "xvda"}})));
    ASSERT_TRUE(c.receive(100ms));
    stop();
    start();
    const auto answer = c.receive(5s);
    ASSERT_TRUE(answer && *answer);
    EXPECT_TRUE(text_member(*parse_message((*answer)->payload), "error"));
    on_thread([&] { life.fake_devices.waiting({}); }); // too late: nobody cares
    EXPECT_TRUE(c.call({{"request", "info"}}));
}

TEST_F(Server, ViewersSeeWhatWasSaidAndWhatComes) {
    say("before\r\n");
    Client one = client();
    ASSERT_TRUE(one.call({{"request", "console"}}));
    EXPECT_EQ(view(one, "before\r\n"), "before\r\n");
    say("now\r\n");
    EXPECT_EQ(view(one, "now\r\n"), "now\r\n");
    Client two = client();
    ASSERT_TRUE(two.call({{"request", "console"}}));
    EXPECT_EQ(view(two, "now\r\n"), "before\r\nnow\r\n");
    ASSERT_TRUE(one.send(FrameKind::console, "typed"));
    ASSERT_TRUE(one.call({{"request", "info"}})); // served in order
    on_thread([&] { EXPECT_EQ(life.typed, "typed"); });
}

TEST_F(Server, HistoryOnly) {
    say("before\n");
    Client c = client();
    ASSERT_TRUE(c.call({{"request", "console"}, {"follow", false}}));
    EXPECT_EQ(view(c, "before\n"), "before\n");
    const auto last = c.receive(5s);
    ASSERT_TRUE(last && *last);
    EXPECT_TRUE(flag_member(*parse_message((*last)->payload), "complete"));
}

TEST_F(Server, ASlowViewerLosesTheMiddleAndHoldsNobodyUp) {
    Client slow = client();
    Client other = client();
    ASSERT_TRUE(slow.call({{"request", "console"}}));
    const std::string line(99, 'x');
    for (int i = 0; i < 40000; i++) { // 4 MB
        say(line + "\n");
    }
    EXPECT_TRUE(other.call({{"request", "info"}}));
    say("the end\n");
    const std::string seen = view(slow, "the end\n");
    EXPECT_NE(seen.find("bytes are lost here"), std::string::npos);
    EXPECT_GT(seen.size(), console::ScrollBack::usual_capacity);
    EXPECT_LT(seen.size(), 3U << 20);
}

TEST_F(Server, InputThatTheGuestDoesNotTakeWaits) {
    on_thread([&] { life.takes = 0; });
    Client viewer = client();
    ASSERT_TRUE(viewer.call({{"request", "console"}}));
    ASSERT_TRUE(viewer.send(FrameKind::console, std::string(1000, 'a')));
    Client other = client();
    EXPECT_TRUE(other.call({{"request", "info"}}));
    say("still said\n");
    EXPECT_EQ(view(viewer, "said\n"), "still said\n");
    on_thread([&] { life.takes = 300; });
    for (int i = 0; i < 500; i++) {
        std::size_t size = 0;
        on_thread([&] { size = life.typed.size(); });
        if (size == 1000) {
            return;
        }
        std::this_thread::sleep_for(10ms);
    }
    FAIL() << "the rest of the input did not come";
}

TEST_F(Server, ADeadViewerIsForgotten) {
    on_thread([&] { life.takes = 0; });
    {
        Client viewer = client();
        ASSERT_TRUE(viewer.call({{"request", "console"}}));
        ASSERT_TRUE(viewer.send(FrameKind::console, "never taken"));
        ASSERT_TRUE(viewer.receive(50ms));
    }
    Client c = client();
    for (int i = 0; i < 500; i++) {
        if (number_member(*c.call({{"request", "info"}}), "viewers") == 0U) {
            return;
        }
        std::this_thread::sleep_for(10ms);
    }
    FAIL() << "the viewer is still counted";
}

TEST_F(Server, NonsenseEndsItsClientOnly) {
    Client good = client();
    for (const std::string& nonsense :
         {std::string{"GET / HTTP/1.0\r\n\r\n"}, std::string(100000, '\xff'),
          encode_frame(FrameKind::message, "no json"), encode_frame(FrameKind::message, R"({"version": 9})"),
          encode_frame(FrameKind::message, R"({"version": 1})"), encode_frame(FrameKind::console, "typed too early"),
          encode_frame(FrameKind::message, "x", 3)}) {
        auto socket = connect_to(folder.path() + "/web.sock");
        ASSERT_TRUE(socket);
        (void)::send(socket->get(), nonsense.data(), nonsense.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        Client bad{*std::move(socket), "web"};
        const auto answer = bad.receive(5s);
        if (answer && *answer) {
            EXPECT_TRUE(text_member(*parse_message((*answer)->payload), "error"));
            EXPECT_FALSE(bad.receive(5s)); // closed
        }
    }
    EXPECT_TRUE(good.call({{"request", "info"}}));
}

TEST_F(Server, ClientsAreCounted) {
    std::vector<Client> clients;
    for (std::size_t i = 0; i < ControlServer::most_clients; i++) {
        clients.push_back(client());
        ASSERT_TRUE(clients.back().call({{"request", "info"}}));
    }
    Client more = client();
    EXPECT_NE(error_of(more.call({{"request", "info"}})).find("clients already"), std::string::npos);
    clients.pop_back();
    for (int i = 0; i < 100; i++) {
        Client again = client();
        if (again.call({{"request", "info"}})) {
            return;
        }
        std::this_thread::sleep_for(10ms);
    }
    FAIL() << "a client that left still counts";
}

TEST_F(Server, WhoNeverReadsItsAnswersIsClosed) {
    Client greedy = client();
    for (int i = 0; i < 100000; i++) {
        if (!greedy.send(FrameKind::message, format_message({{"request", "info"}}), {}, 100ms)) {
            break; // closed, or not read any more
        }
    }
    Client good = client();
    EXPECT_TRUE(good.call({{"request", "info"}}));
}

TEST_F(Server, ClientsLiveOverAReboot) {
    Client viewer = client();
    ASSERT_TRUE(viewer.call({{"request", "console"}}));
    say("first life\n");
    view(viewer, "life\n");
    Client idle = client();
    stop();
    server->console_said("last words\n");
    Client between = client(); // waits
    ASSERT_TRUE(between.send(FrameKind::message, format_message({{"request", "info"}})));
    start();
    say("second life\n");
    EXPECT_EQ(view(viewer, "second life\n"), "last words\nsecond life\n");
    EXPECT_TRUE(idle.call({{"request", "info"}}));
    const auto answer = between.receive(5s);
    EXPECT_TRUE(answer && *answer);
}

TEST_F(Server, FarewellDoesNotWaitForOneAtTheExpenseOfOthers) {
    Client stuck = client();
    Client good = client();
    for (Client* c : {&stuck, &good}) {
        ASSERT_TRUE(c->call({{"request", "console"}}));
    }
    stop();
    server->console_said(std::string(console::ScrollBack::usual_capacity - 9, 'x') + "\nthe end\n");
    auto seen = std::async(std::launch::async, [&] { return view(good, "the end\n"); });
    server->farewell("powered-off", "");
    EXPECT_EQ(seen.get().size(), console::ScrollBack::usual_capacity);
    EXPECT_TRUE(good.receive(5s));
}

TEST_F(Server, Farewell) {
    Client viewer = client();
    ASSERT_TRUE(viewer.call({{"request", "console"}}));
    Client waiting = client();
    ASSERT_TRUE(waiting.send(FrameKind::message, format_message({{"request", "wait"}})));
    ASSERT_TRUE(viewer.call({{"request", "info"}}));
    stop();
    server->console_said("last words\n");
    server->farewell("powered-off", "");
    EXPECT_EQ(view(viewer, "words\n"), "last words\n");
    for (Client* c : {&viewer, &waiting}) {
        const auto frame = c->receive(5s);
        ASSERT_TRUE(frame && *frame);
        EXPECT_EQ(text_member(*parse_message((*frame)->payload), "ended"), "powered-off");
        EXPECT_FALSE(c->receive(5s));
    }
}

} // namespace
} // namespace parapet::vmm::control
