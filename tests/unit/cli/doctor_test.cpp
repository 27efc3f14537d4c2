// SPDX-License-Identifier: Apache-2.0
// The doctor's probes on made-up roots, and its verdicts on made-up facts.
#include "tools/parapet/doctor/doctor.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <unistd.h>

namespace parapet::cli::doctor {
namespace {

namespace fs = std::filesystem;

KvmFacts good_kvm() {
    KvmFacts facts;
    facts.api_version = 12;
    for (const int capability :
         {KVM_CAP_USER_MEMORY, KVM_CAP_IRQCHIP, KVM_CAP_TSC_DEADLINE_TIMER, KVM_CAP_IOEVENTFD, KVM_CAP_IRQFD,
          KVM_CAP_SIGNAL_MSI, KVM_CAP_IRQ_ROUTING, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_EXT_CPUID, KVM_CAP_BINARY_STATS_FD,
          KVM_CAP_SET_GUEST_DEBUG, KVM_CAP_GET_TSC_KHZ, KVM_CAP_MAX_VCPUS}) {
        facts.capabilities[capability] = 1;
    }
    return facts;
}

HostFacts good_host() {
    HostFacts facts;
    facts.vmx = true;
    facts.kvm_intel = true;
    facts.cpu_model = "Some CPU";
    facts.memory_total = 8ULL << 30;
    facts.memory_available = 4ULL << 30;
    return facts;
}

Check find(const std::vector<Check>& checks, const std::string& id) {
    const auto found = std::find_if(checks.begin(), checks.end(), [&](const Check& check) { return check.id == id; });
    EXPECT_NE(found, checks.end()) << id;
    return found == checks.end() ? Check{} : *found;
}

TEST(Diagnose, GoodHostIsAllOk) {
    for (const Check& check : diagnose(good_kvm(), good_host())) {
        EXPECT_EQ(check.status, Status::ok) << check.id << ": " << check.detail;
        EXPECT_EQ(check.remedy, "") << check.id;
    }
    EXPECT_TRUE(can_run(diagnose(good_kvm(), good_host())));
}

TEST(Diagnose, WaysIntoRing0) {
    const auto said = [](const EntryFacts& entries) {
        return find(diagnose(good_kvm(), good_host(), entries), "entries");
    };
    EXPECT_EQ(said({.tried = true}).status, Status::ok);
    EXPECT_NE(said({.tried = true, .ts_ignored = true}).detail.find("CR0.TS"), std::string::npos);
    const Check stops = said({.tried = true, .stopped_by = "ICEBP"});
    EXPECT_EQ(stops.status, Status::warn);
    EXPECT_NE(stops.detail.find("ICEBP"), std::string::npos);
    const EntryFacts unsafe{.tried = true, .error = "it enters by X"};
    EXPECT_EQ(said(unsafe).status, Status::fail);
    EXPECT_EQ(said(unsafe).detail, "it enters by X");
    EXPECT_FALSE(can_run(diagnose(good_kvm(), good_host(), unsafe)));
    for (const Check& check : diagnose(good_kvm(), good_host())) {
        EXPECT_NE(check.id, "entries") << "nothing is said of what was not tried";
    }
}

TEST(Diagnose, Substrates) {
    HostFacts host = good_host();
    EXPECT_NE(find(diagnose(good_kvm(), host), "substrate").detail.find("kvm_intel"), std::string::npos);
    host.vmx = host.kvm_intel = false;
    host.svm = host.kvm_amd = host.hypervisor = true;
    EXPECT_NE(find(diagnose(good_kvm(), host), "substrate").detail.find("kvm_amd, itself in a virtual"),
              std::string::npos);
    host.svm = host.kvm_amd = false;
    host.kvm_pvm = true;
    EXPECT_NE(find(diagnose(good_kvm(), host), "substrate").detail.find("without hardware support (kvm_pvm)"),
              std::string::npos);
    EXPECT_TRUE(can_run(diagnose(good_kvm(), host)));
}

TEST(Diagnose, NoDevice) {
    KvmFacts kvm;
    kvm.open_error = ENOENT;
    auto checks = diagnose(kvm, good_host());
    EXPECT_FALSE(can_run(checks));
    EXPECT_NE(find(checks, "kvm-device").remedy.find("modprobe kvm_intel"), std::string::npos);
    HostFacts guest = good_host();
    guest.vmx = false;
    guest.hypervisor = true;
    checks = diagnose(kvm, guest);
    EXPECT_NE(find(checks, "processor").remedy.find("nested"), std::string::npos);
    EXPECT_NE(find(checks, "kvm-device").remedy.find("tools/laptop"), std::string::npos);
    kvm.open_error = EACCES;
    EXPECT_NE(find(diagnose(kvm, good_host()), "kvm-device").remedy.find("usermod -aG kvm"), std::string::npos);
    EXPECT_EQ(find(diagnose(kvm, guest), "processor").status, Status::ok); // the device is there: only the right lacks
    kvm.open_error = EIO;
    EXPECT_FALSE(can_run(diagnose(kvm, good_host())));
}

TEST(Diagnose, KvmThatLacksThings) {
    KvmFacts kvm = good_kvm();
    kvm.capabilities[KVM_CAP_TSC_DEADLINE_TIMER] = 0;
    kvm.capabilities[KVM_CAP_IRQFD] = -1;
    const Check features = find(diagnose(kvm, good_host()), "kvm-features");
    EXPECT_EQ(features.status, Status::fail);
    EXPECT_NE(features.detail.find("TSC_DEADLINE_TIMER, IRQFD"), std::string::npos);
    kvm = good_kvm();
    kvm.capabilities.erase(KVM_CAP_BINARY_STATS_FD);
    EXPECT_EQ(find(diagnose(kvm, good_host()), "kvm-extras").status, Status::warn);
    EXPECT_TRUE(can_run(diagnose(kvm, good_host())));
    kvm = good_kvm();
    kvm.create_error = EBUSY;
    EXPECT_NE(find(diagnose(kvm, good_host()), "kvm-version").remedy.find("VirtualBox"), std::string::npos);
    kvm = good_kvm();
    kvm.api_version = 11;
    EXPECT_FALSE(can_run(diagnose(kvm, good_host())));
}

TEST(Diagnose, Surroundings) {
    HostFacts host = good_host();
    host.io_uring_error = EPERM;
    host.io_uring_disabled = 2;
    EXPECT_NE(find(diagnose(good_kvm(), host), "io-uring").remedy.find("sysctl"), std::string::npos);
    EXPECT_TRUE(can_run(diagnose(good_kvm(), host)));
    host.memory_available = 100ULL << 20;
    EXPECT_EQ(find(diagnose(good_kvm(), host), "memory").status, Status::warn);
    host.memory_available = 1ULL << 20;
    EXPECT_FALSE(can_run(diagnose(good_kvm(), host)));
    host = good_host();
    host.memlock_bytes = 64 << 10;
    EXPECT_EQ(find(diagnose(good_kvm(), host), "memlock").status, Status::warn);
    host.root = true;
    EXPECT_EQ(find(diagnose(good_kvm(), host), "memlock").status, Status::ok);
    host.memfd_error = EPERM;
    EXPECT_FALSE(can_run(diagnose(good_kvm(), host)));
}

TEST(Diagnose, EveryComplaintHasARemedy) {
    KvmFacts kvm;
    kvm.open_error = ENOENT;
    HostFacts nothing;
    nothing.io_uring_error = ENOSYS;
    nothing.memfd_error = ENOSYS;
    nothing.memlock_bytes = 0;
    for (const auto& checks : {diagnose(kvm, nothing), diagnose(KvmFacts{}, nothing)}) {
        for (const Check& check : checks) {
            EXPECT_EQ(check.status == Status::ok, check.remedy.empty()) << check.id;
            EXPECT_EQ(check.detail.find('\n'), std::string::npos) << check.id;
        }
    }
}

class ProbeHost : public testing::Test {
protected:
    fs::path root = testing::TempDir() + "doctor-root-" + std::to_string(getpid());
    void TearDown() override { fs::remove_all(root); }
    void put(const std::string& name, const std::string& text) const {
        const fs::path file = root / name;
        fs::create_directories(file.parent_path());
        std::ofstream{file} << text;
    }
};

TEST_F(ProbeHost, ReadsTheRoot) {
    put("proc/cpuinfo", "processor\t: 0\nmodel name\t: Fine CPU 3000\nflags\t\t: fpu vme svm hypervisor\nbugs\t:\n\n"
                        "processor\t: 1\nflags\t\t: vmx\n");
    put("proc/meminfo", "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n");
    put("proc/sys/kernel/osrelease", "6.1.0\n");
    put("proc/sys/kernel/io_uring_disabled", "1\n");
    put("sys/module/kvm_amd/refcnt", "0\n");
    put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force\n");
    put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3\n");
    put("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
    const HostFacts facts = probe_host(root);
    EXPECT_EQ(facts.cpu_model, "Fine CPU 3000");
    EXPECT_TRUE(facts.svm && facts.hypervisor && facts.kvm_amd);
    EXPECT_FALSE(facts.vmx || facts.kvm_intel || facts.kvm_pvm);
    EXPECT_EQ(facts.memory_total, 2048U << 10);
    EXPECT_EQ(facts.kernel_release, "6.1.0");
    EXPECT_EQ(facts.io_uring_disabled, 1);
    EXPECT_EQ(facts.thp, "madvise");
    EXPECT_EQ(facts.thp_shmem, "never");
    EXPECT_EQ(facts.free_huge_bytes, (6ULL << 20) + (1ULL << 30));
}

TEST_F(ProbeHost, EmptyAndBrokenRootsAreHarmless) {
    HostFacts facts = probe_host(root); // does not exist
    EXPECT_FALSE(facts.vmx || facts.svm || facts.kvm_intel);
    EXPECT_EQ(facts.memory_total, 0U);
    put("proc/cpuinfo", "model name");
    put("proc/sys/kernel/io_uring_disabled", "yes");
    put("sys/kernel/mm/transparent_hugepage/shmem_enabled", "] [");
    put("sys/kernel/mm/hugepages/hugepages-/free_hugepages", "-1");
    facts = probe_host(root);
    EXPECT_EQ(facts.cpu_model, "");
    EXPECT_EQ(facts.io_uring_disabled, 0);
    EXPECT_EQ(facts.thp_shmem, "");
    EXPECT_EQ(facts.free_huge_bytes, 0U);
}

TEST(ProbeKvm, MissingAndFalseDevices) {
    EXPECT_EQ(probe_kvm("/nonexistent/kvm").open_error, ENOENT);
    const KvmFacts null = probe_kvm("/dev/null"); // opens, but is no KVM
    EXPECT_EQ(null.open_error, 0);
    EXPECT_NE(null.api_version, 12);
    EXPECT_FALSE(can_run(diagnose(null, good_host())));
}

TEST(Report, TextAndJson) {
    const std::vector<Check> checks{{"one", Status::ok, "fine", {}}, {"two", Status::fail, "bad", "mend it"}};
    const std::string text = text_report(checks, false);
    EXPECT_EQ(text, "ok    one           fine\n"
                    "fail  two           bad; remedy: mend it\n"
                    "Domains cannot run on this host until the lines with 'fail' are mended.\n");
    EXPECT_NE(text_report(checks, true).find("\033[31mfail\033[0m"), std::string::npos);
    const auto json = boost::json::parse(json_report(checks)).as_object();
    EXPECT_FALSE(json.at("can_run").as_bool());
    EXPECT_EQ(json.at("checks").at(1).at("remedy").as_string(), "mend it");
}

} // namespace
} // namespace parapet::cli::doctor
