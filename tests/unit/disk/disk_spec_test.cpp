// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/disk_spec.hpp"

#include "backends/disk/rate_text.hpp"

#include <gtest/gtest.h>

namespace parapet::disk {
namespace {

DiskSpec parsed(std::string_view text) {
    auto spec = parse_disk_spec(text);
    EXPECT_TRUE(spec.ok()) << (spec.ok() ? "" : spec.error().message);
    return spec.ok() ? *spec : DiskSpec{};
}

TEST(DiskSpec, APathAloneIsEnough) {
    const DiskSpec spec = parsed("root.img");
    EXPECT_EQ(spec.target, "root.img");
    EXPECT_FALSE(spec.format);
    EXPECT_FALSE(spec.vdev);
    EXPECT_FALSE(spec.read_only);
    EXPECT_FALSE(spec.needs_nbd());
}

// The examples of xl-disk-configuration(5): all say the same.
TEST(DiskSpec, PositionsAndKeywordsSayTheSame) {
    const DiskSpec wanted = parsed("/dev/vg/guest-volume,raw,xvda,rw");
    EXPECT_EQ(wanted.vdev, 51712u);
    EXPECT_EQ(wanted.format, Format::raw);
    for (const char* text :
         {"format=raw, vdev=xvda, access=rw, target=/dev/vg/guest-volume", "raw:/dev/vg/guest-volume,xvda,w",
          "format=raw,vdev=xvda,access=w,target=/dev/vg/guest-volume", "/dev/vg/guest-volume,vdev=xvda,format=raw,w",
          "/dev/vg/guest-volume,raw,51712,rw", "tap:aio:/dev/vg/guest-volume,xvda,w"}) {
        EXPECT_EQ(parsed(text), wanted) << text;
    }
    EXPECT_EQ(parsed("/dev/vg/guest-volume,,xvda").format, std::nullopt); // empty: the default
    EXPECT_EQ(parsed("phy:/dev/vg/guest-volume,xvda,w").vdev, 51712u);
}

TEST(DiskSpec, KnowsCdroms) {
    for (const char* text :
         {"/root/image.iso,,hdc,cdrom", "/root/image.iso,,hdc:cdrom,r", "/root/image.iso,hdc,devtype=cdrom,raw",
          "devtype=cdrom,vdev=hdc,target=/root/image.iso"}) {
        if (std::string_view{text}.find("hdc,devtype") != std::string_view::npos) {
            EXPECT_FALSE(parse_disk_spec(text).ok()) << "hdc is in the place of the format";
            continue;
        }
        const DiskSpec spec = parsed(text);
        EXPECT_TRUE(spec.cdrom && spec.read_only && spec.removable) << text;
        EXPECT_EQ(spec.vdev, 5632u);
    }
}

TEST(DiskSpec, TargetTakesTheRest) {
    EXPECT_EQ(parsed("vdev=xvdb,target=/a,b=c,raw").target, "/a,b=c,raw");
    EXPECT_EQ(parsed("target=qcow2:x").target, "qcow2:x");
    EXPECT_EQ(parsed("./a=b.img").target, "./a=b.img");
}

TEST(DiskSpec, TakesOptionsOfOurs) {
    const DiskSpec spec =
        parsed("a.img,raw,xvda,sector-size=4096,iops=20k,iops-burst=500,bps=10MB/s,bps-burst=64MiB,"
               "on-error=wait,cache=buffered,queues=2,discard,direct-io-safe,persistent=yes,removable");
    EXPECT_EQ(spec.sector_size, 4096u);
    EXPECT_EQ(spec.limits, (DiskLimits{20000, 500, 10'000'000, 64ull << 20}));
    EXPECT_EQ(spec.on_error, OnError::wait);
    EXPECT_EQ(spec.cache, Cache::buffered);
    EXPECT_EQ(spec.queues, 2u);
    EXPECT_EQ(spec.discard, true);
    EXPECT_TRUE(spec.direct_io_safe && spec.persistent && spec.removable);
    EXPECT_EQ(parsed("a.img,no-discard").discard, false);
}

TEST(DiskSpec, TellsWhatGoesThroughNbd) {
    EXPECT_TRUE(parsed("qcow2:a.qcow2").needs_nbd());
    EXPECT_TRUE(parsed("a.vmdk,vmdk").needs_nbd());
    EXPECT_EQ(parsed("a.vhd,format=vhd").format, Format::vhd);
    const DiskSpec remote = parsed("nbd+unix:///export?socket=/run/nbd.sock,vdev=xvdc,access=ro");
    EXPECT_TRUE(remote.is_remote() && remote.needs_nbd() && remote.read_only);
    EXPECT_FALSE(parse_disk_spec("nbd://host/export,ro").ok()) << "ro is in the format's place";
}

TEST(DiskSpec, RefusesWithTheNameOfThePart) {
    const auto says = [](const char* text, const char* part) {
        const auto spec = parse_disk_spec(text);
        ASSERT_FALSE(spec.ok()) << text;
        EXPECT_NE(spec.error().message.find(part), std::string::npos) << spec.error().message;
    };
    says("", "no target");
    says(",raw,xvda", "no target");
    says("cdrom,vdev=hdc", "empty drive");
    says("a.img,foo", "format 'foo'");
    says("a.img,raw,nope", "'nope'");
    says("a.img,raw,xvda,x", "access is 'x'");
    says("a.img,raw,xvda,w,w", "too many");
    says("a.img,vdev=xvda,vdev=xvdb", "'vdev' is given twice");
    says("a.img,discard,no-discard", "'discard' is given twice");
    says("a.img,colour=red", "unknown option 'colour'");
    says("a.img,sector-size=1024", "sector-size is '1024'");
    says("a.img,iops=fast", "iops is 'fast'");
    says("a.img,bps=-1", "bps is '-1'");
    says("a.img,bps=1XB/s", "bps is '1XB/s'");
    says("a.img,iops-burst=5", "iops-burst");
    says("a.img,bps-burst=5", "bps-burst");
    says("a.img,on-error=panic", "on-error is 'panic'");
    says("a.img,cache=none", "cache is 'none'");
    says("a.img,queues=0", "queues is '0'");
    says("a.img,queues=17", "queues is '17'");
    says("a.img,queues=2x", "queues is '2x'");
    says("a.img,backend=dom3", "backend is 'dom3'");
    says("a.img,backendtype=x", "backendtype is 'x'");
    says("a.img,script=block-x", "script");
    says("a.img,specification=virtio", "specification");
    says("a.img,devtype=tape", "devtype is 'tape'");
    says("a.iso,cdrom,access=w", "cdrom cannot be written");
    says("a.img,removable=maybe", "removable is 'maybe'");
    says("nbd://host/,qcow2", "NBD server");
}

TEST(RateText, ReadsUnits) {
    EXPECT_EQ(parse_byte_rate("10MB/s"), 10'000'000u);
    EXPECT_EQ(parse_byte_rate("10MiB/s"), 10u << 20);
    EXPECT_EQ(parse_byte_rate("80Mb/s"), 10'000'000u);
    EXPECT_EQ(parse_byte_rate("1GB"), 1'000'000'000u);
    EXPECT_EQ(parse_byte_rate("512"), 512u);
    EXPECT_EQ(parse_byte_rate("512B/s"), 512u);
    EXPECT_EQ(parse_count_rate("20k"), 20'000u);
    EXPECT_EQ(parse_count_rate("1M/s"), 1'000'000u);
    for (const char* text :
         {"", "0", "B", "MB/s", "-5", "1.5MB", "7b", "5iB", "9999999999TB", "99999999999999999999", "5MB/h"}) {
        EXPECT_FALSE(parse_byte_rate(text)) << text;
    }
    for (const char* text : {"", "0", "k", "5kk", "1B", "x"}) {
        EXPECT_FALSE(parse_count_rate(text)) << text;
    }
}

} // namespace
} // namespace parapet::disk
