// SPDX-License-Identifier: Apache-2.0
// A block backend between a fake guest and a fake target.
#pragma once

#include "backends/disk/block_backend.hpp"
#include "tests/unit/disk/fake_guest.hpp"
#include "tests/unit/disk/fake_target.hpp"
#include "tests/unit/disk/frontend.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace parapet::disk_test {

class BlockTest : public testing::Test {
protected:
    static constexpr std::uint64_t disk_bytes = 8 << 20;

    void make(const std::string& options = "") {
        auto parsed = disk::parse_disk_spec("vdev=xvda," + options + (options.empty() ? "" : ",") + "target=test.img");
        ASSERT_TRUE(parsed.ok()) << parsed.error().message;
        spec = *parsed;
        auto made = std::make_unique<FakeTarget>(*guest.io, disk_bytes);
        target = made.get();
        for (std::size_t index = 0; index < disk_bytes; ++index) {
            target->data[index] = static_cast<std::byte>(index / 512 * 7 + index);
        }
        backend =
            std::make_unique<disk::BlockBackend>(guest.context(), spec, std::move(made), "/srv/of the host/test.img");
        backend->fail = [this](const std::string& why) { failed = why; };
        backend->publish = [this](const xenbus::Nodes& nodes) { published = nodes; };
    }
    void node(const std::string& name, const std::string& value) {
        ASSERT_TRUE(guest.store.write(frontend_path + "/" + name, value).ok());
    }
    /// Writes what the frontend of a guest has for its only queue.
    template <typename W>
    void name_ring(const Frontend<W>& frontend, const std::string& prefix = "") {
        if (frontend.refs.size() == 1) {
            node(prefix + "ring-ref", std::to_string(frontend.refs[0]));
        } else {
            node("ring-page-order", std::to_string(std::countr_zero(frontend.refs.size())));
            for (std::size_t page = 0; page < frontend.refs.size(); ++page) {
                node(prefix + "ring-ref" + std::to_string(page), std::to_string(frontend.refs[page]));
            }
        }
        node(prefix + "event-channel", std::to_string(frontend.port));
        if (sizeof(W) == 4) {
            node("protocol", "x86_32-abi");
        }
    }
    Result<xenbus::Nodes> connect() { return backend->connect(xenbus::FrontendNodes{guest.store, frontend_path}); }
    void connected() {
        const auto nodes = connect();
        ASSERT_TRUE(nodes.ok()) << nodes.error().message;
    }
    template <typename W = std::uint64_t>
    std::unique_ptr<Frontend<W>> start(unsigned page_order = 0) {
        auto frontend = std::make_unique<Frontend<W>>(guest, page_order, 5);
        name_ring(*frontend);
        connected();
        return frontend;
    }
    bool disconnect() {
        bool done = false;
        backend->disconnect([&] { done = true; });
        return guest.run_until([&] { return done; });
    }
    void TearDown() override {
        if (backend) {
            guest.on_io([this] {
                target->held = false;
                while (!target->waiting.empty()) {
                    target->finish(0);
                }
            });
            EXPECT_TRUE(disconnect());
            EXPECT_EQ(guest.leases(), 0u);
        }
    }
    static std::string value(const xenbus::Nodes& nodes, const std::string& name) {
        const auto found = std::ranges::find(nodes, name, &std::pair<std::string, std::string>::first);
        return found == nodes.end() ? "(none)" : found->second;
    }
    std::uint64_t count(const char* counter) {
        const auto all = backend->statistics();
        return all.at(counter).to_number<std::uint64_t>();
    }
    /// Waits until the target has been given so many requests in all.
    bool submitted(unsigned number) {
        return guest.run_until([&] { return target->submitted == number; });
    }

    FakeGuest guest;
    disk::DiskSpec spec;
    FakeTarget* target = nullptr;
    std::unique_ptr<disk::BlockBackend> backend;
    std::string failed;
    xenbus::Nodes published;
};

} // namespace parapet::disk_test
