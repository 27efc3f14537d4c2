// SPDX-License-Identifier: Apache-2.0
#include "backends/net/vif_spec.hpp"

#include <gtest/gtest.h>

namespace parapet::net {
namespace {

VifSpec good(std::string_view text) {
    auto spec = parse_vif(text);
    EXPECT_TRUE(spec.ok()) << text << ": " << (spec.ok() ? "" : spec.error().message);
    return spec.ok() ? *std::move(spec) : VifSpec{};
}

/// One sentence, which says `what`.
void bad(std::string_view text, std::string_view what) {
    const auto spec = parse_vif(text);
    ASSERT_FALSE(spec.ok()) << text;
    EXPECT_NE(spec.error().message.find(what), std::string::npos) << text << ": " << spec.error().message;
    EXPECT_EQ(spec.error().message.find('\n'), std::string::npos);
}

TEST(VifSpec, NamesItsEndpointByAWordOrAKey) {
    EXPECT_EQ(good("").endpoint, EndpointKind::user);
    EXPECT_EQ(good("user").endpoint, EndpointKind::user);
    EXPECT_EQ(good("endpoint=tap").endpoint, EndpointKind::tap);
    EXPECT_EQ(good("mac=00:16:3e:00:00:01,tap").endpoint, EndpointKind::tap);
    EXPECT_EQ(good("bridge=xenbr0").endpoint, EndpointKind::tap); // as in a configuration for xl
    const VifSpec existing = good("tap=tap7");
    EXPECT_TRUE(existing.tap_exists);
    EXPECT_EQ(existing.tap_name, "tap7");
    EXPECT_EQ(good("socket=/run/link,mtu=9000").socket_path, "/run/link");
}

TEST(VifSpec, TakesTheKeysOfXl) {
    const VifSpec spec = good("tap,mac=00:16:3E:a:0b:0C,bridge=br0,vifname=web0,rate=10Mb/s@50ms,ip=192.0.2.1,type=vif,"
                              "model=netfront,mtu=1400,trusted=0,devid=3,backend=0,queues=4,");
    EXPECT_EQ(to_string(spec.mac), "00:16:3e:0a:0b:0c");
    EXPECT_EQ(spec.bridge, "br0");
    EXPECT_EQ(spec.tap_name, "web0");
    EXPECT_FALSE(spec.tap_exists);
    EXPECT_EQ(spec.rate->bytes, 62500u);
    EXPECT_EQ(spec.ip, "192.0.2.1");
    EXPECT_EQ(spec.mtu, 1400u);
    EXPECT_EQ(spec.trusted, false);
    EXPECT_EQ(spec.devid, 3u);
    EXPECT_EQ(spec.queues, 4u);
}

TEST(VifSpec, ChoosesAnAddressInXensRange) {
    const VifSpec one = good("user"), other = good("user");
    EXPECT_TRUE(to_string(one.mac).starts_with("00:16:3e:"));
    EXPECT_NE(one.mac, other.mac);
}

TEST(VifSpec, ReadsRates) {
    const auto rate = [](std::string_view text) { return *parse_rate(text); };
    EXPECT_EQ(rate("1MB/s").bytes, 50'000u); // in 50 ms
    EXPECT_EQ(rate("1MB/s").interval_us, 50'000u);
    EXPECT_EQ(rate("1MB/s@20ms").bytes, 20'000u);
    EXPECT_EQ(rate("8Kb/s@1s").bytes, 1000u);
    EXPECT_EQ(rate("1Gb/s@10us").bytes, 1250u);
    EXPECT_EQ(rate("4000B/s").bytes, 200u);
    for (const char* text : {"10", "10Mb", "Mb/s", "10mb/s", "10Mb/s@", "10Mb/s@5", "10Mb/s@0ms", "-1Mb/s", "10Tb/s",
                             "10Mb/s@61s", "1b/s", "99999999999Gb/s", "10Mb/s ", "18446744073709551616b/s"}) {
        EXPECT_FALSE(parse_rate(text).ok()) << text;
    }
    bad("rate=fast", "rate=fast is no rate");
}

TEST(VifSpec, ReadsForwards) {
    const VifSpec spec = good("user,forward=tcp:2222:22,forward=udp:0.0.0.0:53:5353,forward=8080,forward=[::1]:1:2");
    ASSERT_EQ(spec.forwards.size(), 4u);
    EXPECT_FALSE(spec.forwards[0].udp);
    EXPECT_EQ(spec.forwards[0].host_address, "127.0.0.1"); // not to everyone, unless asked for
    EXPECT_EQ(spec.forwards[0].host_port, 2222);
    EXPECT_EQ(spec.forwards[0].guest_port, 22);
    EXPECT_TRUE(spec.forwards[1].udp);
    EXPECT_EQ(spec.forwards[1].host_address, "0.0.0.0");
    EXPECT_EQ(spec.forwards[2].guest_port, 8080);
    EXPECT_EQ(spec.forwards[3].host_address, "::1");
    for (const char* text : {"", "0:22", "65536:22", "22:", ":22", "tcp:", "sctp:1:2", "1:2:3", "localhost:1:2",
                             "[::1]1:2", "[1:2", "a", "1:2 ", "1.2.3:1:2"}) {
        EXPECT_FALSE(parse_forward(text).ok()) << text;
    }
    bad("user,forward=tcp:70000:22", "from 1 to 65535");
    bad("user,forward=22,forward=tcp:22:80", "port 22 twice");
}

TEST(VifSpec, RefusesInOneSentence) {
    bad("mac=00:16:3e:00:00", "is no MAC address");
    bad("mac=00:16:3e:00:00:000", "is no MAC address");
    bad("mac=00:16:3e:00:00:01:02", "is no MAC address");
    bad("mac=00:16:3e:00:00:", "is no MAC address");
    bad("mac=01:16:3e:00:00:01", "multicast");
    bad("mac=ff:ff:ff:ff:ff:ff", "multicast");
    bad("mac=00:00:00:00:00:00", "zero");
    bad("mtu=67", "from 68 to 65520");
    bad("mtu=big", "from 68 to 65520");
    bad("queues=0", "from 1 to 8");
    bad("devid=65536", "from 0 to 65535");
    bad("trusted=yes", "neither 0 nor 1");
    bad("type=ioemu", "emulated card");
    bad("model=e1000", "emulated card");
    bad("script=vif-route", "is not run here");
    bad("gatewaydev=eth0", "is not run here");
    bad("backend=netdom", "leave it out");
    bad("ip=example", "no IP address");
    bad("colour=red", "no option 'colour='");
    bad("wifi", "is no endpoint");
    bad("socket", "socket=PATH");
    bad("socket=", "no path");
    bad("socket=/" + std::string(120, 'x'), "no path");
    bad("user,tap", "two endpoints");
    bad("tap=a,socket=/b", "two endpoints");
    bad("tap=a/b", "no name of an interface");
    bad("tap,vifname=sixteen-letters-x", "no name of an interface");
    bad("tap,vifname=a%d", "no name of an interface");
    bad("tap=t0,vifname=t1", "leave vifname= out");
    bad("tap=t0,bridge=br0", "as it is");
    bad("user,bridge=br0", "for the endpoint tap");
    bad("tap,forward=22", "for the endpoint user");
}

} // namespace
} // namespace parapet::net
