// SPDX-License-Identifier: Apache-2.0
// The guest's tree: values, who may write what, and the life of a shutdown request.
#include "client.hpp"
#include "iorings/xenstore/domain_tree.hpp"

#include <gtest/gtest.h>

namespace parapet::xenstore::test {
namespace {

DomainTreeConfig config() {
    DomainTreeConfig c;
    c.domid = guest;
    c.name = "demo";
    c.uuid = "01234567-89ab-cdef-0123-456789abcdef";
    c.memory_target_kib = 262144;
    c.memory_max_kib = 524288;
    c.vcpus = 1;
    c.max_vcpus = 2;
    c.console_ring_ref = 0x123;
    c.console_port = 2;
    c.console_tty = "/dev/pts/3";
    c.store_ring_ref = 0x124;
    c.store_port = 1;
    c.cmdline = "console=hvc0 root=/dev/xvda";
    c.kernel = "/srv/of the host/vmlinuz-6.1";
    c.ramdisk = "images/initrd.img";
    return c;
}

TEST(DomainTree, WhatAGuestReads) {
    Store store;
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    Client client{store, guest};
    const std::pair<const char*, const char*> expected[] = {
        {"name", "demo"},
        {"domid", "1"},
        {"vm", "/vm/01234567-89ab-cdef-0123-456789abcdef"},
        {"memory/target", "262144"},
        {"memory/static-max", "524288"},
        {"cpu/0/availability", "online"},
        {"cpu/1/availability", "offline"},
        {"console/ring-ref", "291"},
        {"console/port", "2"},
        {"console/limit", "1048576"},
        {"console/type", "xenconsoled"},
        {"console/tty", "/dev/pts/3"},
        {"store/ring-ref", "292"},
        {"store/port", "1"},
        {"control/platform-feature-xs_reset_watches", "1"},
        {"control/platform-feature-multiprocessor-suspend", "1"},
        {"control/shutdown", ""},
        {"device/suspend/event-channel", ""},
        {"/vm/01234567-89ab-cdef-0123-456789abcdef/uuid", "01234567-89ab-cdef-0123-456789abcdef"},
        {"/vm/01234567-89ab-cdef-0123-456789abcdef/name", "demo"},
        {"/vm/01234567-89ab-cdef-0123-456789abcdef/image/cmdline", "console=hvc0 root=/dev/xvda"},
        {"/vm/01234567-89ab-cdef-0123-456789abcdef/image/kernel", "vmlinuz-6.1"}, // no path of the host
        {"/vm/01234567-89ab-cdef-0123-456789abcdef/image/ramdisk", "initrd.img"},
        {"/local/domain/0/backend/console/1/0/frontend", "/local/domain/1/console"},
    };
    for (const auto& [path, value] : expected)
        EXPECT_EQ(client.read(path), value) << path;
    EXPECT_TRUE(store.is_introduced(guest));
    EXPECT_EQ(client.perms("/local/domain/1"), nul({"n0", "r1"}));
}

TEST(DomainTree, WhatAGuestMayWrite) {
    Store store;
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    Client client{store, guest};
    for (const char* path : {"control/shutdown", "control/sysrq", "control/feature-poweroff", "control/feature-reboot",
                             "control/feature-suspend", "data/exit-code", "drivers/0", "feature/x", "attr/os/name",
                             "error/device/vbd/1/error", "device/suspend/event-channel"})
        EXPECT_EQ(client.write(path, "1"), "OK") << path;
    for (const char* path : {"name", "memory/target", "memory/new", "device/vbd/1/state", "control/new", "console/tty",
                             "store/port", "cpu/0/availability", "vm", "new", "/vm/x", "/local/domain/0/backend/x",
                             "/local/domain/0/backend/console/1/0/state", "/tool/xenstored/x", "/local/domain/2/x"})
        EXPECT_EQ(client.write(path, "1"), "!EACCES") << path;
}

TEST(DomainTree, ShutdownIsAskedSeenAndAcknowledged) {
    Store store;
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    Client client{store, guest};
    client.watch("control/shutdown", "shutdown");
    client.events();
    ASSERT_TRUE(request_shutdown(store, guest, "poweroff").ok());
    EXPECT_EQ(client.events(), std::vector<std::string>{"control/shutdown shutdown"});
    const auto tx = client.start(); // as Linux does it
    EXPECT_EQ(client.read("control/shutdown", tx), "poweroff");
    EXPECT_EQ(client.write("control/shutdown", "", tx), "OK");
    EXPECT_EQ(client.end(tx), "OK");
    EXPECT_EQ(store.read("/local/domain/1/control/shutdown").value(), "");
    EXPECT_FALSE(request_shutdown(store, guest, "explode").ok());
}

TEST(DomainTree, ExitCode) {
    Store store;
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    Client client{store, guest};
    EXPECT_EQ(exit_code(store, guest), std::nullopt);
    for (const auto& [text, code] : {std::pair{"0", 0}, {"42", 42}, {"255", 255}, {"7\n", 7}}) {
        client.write("data/exit-code", text);
        EXPECT_EQ(exit_code(store, guest), code) << text;
    }
    for (const char* text : {"", "256", "-1", "x", "4x", " 4", "99999999999999", "0x1"}) {
        client.write("data/exit-code", text);
        EXPECT_EQ(exit_code(store, guest), std::nullopt) << text;
    }
}

TEST(DomainTree, RebuildingStartsAfresh) {
    Store store;
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    Client{store, guest}.write("data/x", "old");
    ASSERT_TRUE(build_domain_tree(store, config()).ok());
    EXPECT_FALSE(store.exists("/local/domain/1/data/x"));
    remove_domain_tree(store, config());
    EXPECT_FALSE(store.exists("/local/domain/1"));
    EXPECT_FALSE(store.exists("/vm/01234567-89ab-cdef-0123-456789abcdef"));
    EXPECT_FALSE(store.exists("/local/domain/0/backend/console/1"));
    EXPECT_FALSE(store.is_introduced(guest));
    EXPECT_TRUE(store.exists("/local/domain/0/name"));
}

TEST(DomainTree, RefusesNonsense) {
    Store store;
    const auto refused = [&](auto&& spoil) {
        auto c = config();
        spoil(c);
        const auto result = build_domain_tree(store, c);
        return !result.ok() && !result.error().message.empty() && !store.exists("/local/domain/1");
    };
    EXPECT_TRUE(refused([](auto& c) { c.domid = domain0; }));
    EXPECT_TRUE(refused([](auto& c) { c.domid = DomId{0x7ff0}; }));
    EXPECT_TRUE(refused([](auto& c) { c.name = ""; }));
    EXPECT_TRUE(refused([](auto& c) { c.uuid = ""; }));
    EXPECT_TRUE(refused([](auto& c) { c.uuid = "01234567-89ab-cdef-0123-456789abcde/"; }));
    EXPECT_TRUE(refused([](auto& c) { c.uuid[8] = '0'; }));
    EXPECT_TRUE(refused([](auto& c) { c.vcpus = 0; }));
    EXPECT_TRUE(refused([](auto& c) { c.vcpus = 3; }));
}

} // namespace
} // namespace parapet::xenstore::test
