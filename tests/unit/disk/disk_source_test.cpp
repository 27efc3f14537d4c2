// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/disk_source.hpp"

#include "tests/unit/disk/temporary_image.hpp"

#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

namespace parapet::disk_test {
namespace {

disk::DiskSpec parsed(const std::string& text) {
    auto spec = disk::parse_disk_spec(text);
    EXPECT_TRUE(spec.ok()) << text;
    return *spec;
}

TEST(DiskSource, DescribesAndMoves) {
    const TemporaryImage file{1 << 16};
    auto source = disk::open_disk(parsed("vdev=xvdb,iops=500,on-error=wait,target=" + file.path), {});
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_EQ((*source)->kind(), "vbd");
    EXPECT_EQ((*source)->id(), 51728u);
    const std::string text = (*source)->describe();
    EXPECT_EQ(text.find("xvdb " + file.path + " (raw, "), 0u) << text;
    EXPECT_NE(text.find("read-write"), std::string::npos) << text;

    auto handover = std::move(**source).to_handover();
    EXPECT_EQ(handover.description.at("kind").as_string(), "vbd");
    auto taken = disk::disk_from_handover(std::move(handover), {}, 51712);
    ASSERT_TRUE(taken.ok()) << taken.error().message;
    EXPECT_EQ((*taken)->describe(), text);
}

TEST(DiskSource, GivesTheTakenOverDiskAPlace) {
    const TemporaryImage file{1 << 16};
    auto source = disk::open_disk(parsed("target=" + file.path), {});
    ASSERT_TRUE(source.ok());
    auto taken = disk::disk_from_handover(std::move(**source).to_handover(), {}, disk::next_free_vdev({51712}));
    ASSERT_TRUE(taken.ok());
    EXPECT_EQ((*taken)->id(), 51728u);
}

TEST(DiskSource, ChecksWhatAnotherProcessSays) {
    for (boost::json::object description :
         {boost::json::object{}, boost::json::object{{"disk", 5}}, boost::json::object{{"disk", "vdev=nope,target=x"}},
          boost::json::object{{"disk", "x.img"}}, boost::json::object{{"disk", "x.img"}, {"target", "x"}},
          boost::json::object{{"disk", "x.img"}, {"target", boost::json::object{}}},
          boost::json::object{{"disk", "x.img"}, {"target", boost::json::object{{"source", "floppy"}}}},
          boost::json::object{{"disk", "x.img"},
                              {"target", boost::json::object{{"source", "raw"}, {"path", "x.img"}}}}}) {
        EXPECT_FALSE(disk::disk_from_handover({description, {}}, {}, 51712).ok())
            << boost::json::serialize(description);
    }
}

TEST(DiskSource, OtherFormatsNeedTheirKind) {
    EXPECT_FALSE(disk::open_disk(parsed("x.qcow2,qcow2"), {}).ok());
    bool asked = false;
    const std::vector<disk::TargetKind> kinds{
        {"nbd",
         [&](const disk::DiskSpec&) -> Result<std::unique_ptr<disk::TargetSource>> {
             asked = true;
             return Error{"no server"};
         },
         {}}};
    const auto source = disk::open_disk(parsed("x.qcow2,qcow2"), kinds);
    EXPECT_TRUE(asked);
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(source.error().message, "no server");
}

TEST(DiskSource, SpecificationsSurviveBeingWritten) {
    for (const char* text :
         {"root.img", "root.img,raw,xvda,ro", "nbd+unix:///e?socket=/s", "a.vhd,vhd,sdb",
          "devtype=cdrom,vdev=hdc,target=a,b=c.iso",
          "a.img,raw,xvdq,sector-size=4096,iops=20k,iops-burst=5,bps=10MB/s,bps-burst=1MiB,on-error=wait,"
          "cache=buffered,queues=2,no-discard,direct-io-safe,persistent=yes,removable"}) {
        const auto spec = parsed(text);
        EXPECT_EQ(parsed(disk::disk_spec_text(spec)), spec) << disk::disk_spec_text(spec);
    }
}

TEST(DiskSource, FindsTheNextFreeName) {
    std::set<disk::VdevNumber> taken;
    for (unsigned index = 0; index < 30; ++index) {
        EXPECT_EQ(disk::next_free_vdev(taken), disk::xvd_disk(index));
        taken.insert(disk::xvd_disk(index));
    }
    taken.erase(disk::xvd_disk(3));
    EXPECT_EQ(disk::vdev_name(disk::next_free_vdev(taken)), "xvdd");
}

} // namespace
} // namespace parapet::disk_test
