// SPDX-License-Identifier: Apache-2.0
// HostGrants under a guest and a nucleus that write anything anywhere: every lease lies in RAM of the domain, no count
// is left over, no byte outside the VM's memory is touched (under ASan).
//
// The input is a list of steps: a byte that chooses, then what it needs.
#include "tests/unit/grants/fake_guest.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>

namespace {

using namespace parapet;
using grants::test::FakeGuest;

class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : data_{data}, left_{size} {}
    [[nodiscard]] bool empty() const { return left_ == 0; }
    template <typename T>
    T take() {
        T value{};
        const std::size_t part = std::min(sizeof(value), left_);
        std::memcpy(&value, data_, part);
        data_ += part;
        left_ -= part;
        return value;
    }

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

struct Run {
    FakeGuest guest;
    grants::HostGrants grants = guest.grants();
    std::deque<grants::Lease> leases;

    void take(Input& input) {
        const auto access =
            (input.take<std::uint8_t>() & 1) != 0 ? grants::GrantAccess::write : grants::GrantAccess::read;
        grants::Lease lease;
        if (grants.take(grants::GrantRef{input.take<std::uint16_t>()}, access, lease) != grants::GrantStatus::okay) {
            return;
        }
        require(lease.mfn >= FakeGuest::domain_first && lease.page == guest.frames.frame(lease.mfn));
        require(lease.first < lease.end && lease.end <= GuestFrames::frame_size);
        const doorbell::FrameWord word{guest.frame_table[lease.mfn]};
        require(word.owner() == doorbell::FrameOwner::domain);
        require(access == grants::GrantAccess::read || (word.host_may_write() && guest.host_use[lease.mfn] != 0));
        leases.push_back(lease);
    }
    void give_back() {
        if (!leases.empty()) {
            grants.give_back(leases.front());
            leases.pop_front();
        }
    }
    void write_table(Input& input) {
        const auto at = input.take<std::uint16_t>();
        guest.at<std::uint64_t>(at % 2 == 0 ? FakeGuest::table_mfn : FakeGuest::status_mfn, at % 512 * 8) =
            input.take<std::uint64_t>();
    }
    /// The nucleus, or a guest that has taken it over. What the host writes to keeps its type, as the nucleus's part of
    /// the rule says.
    void write_frame_word(Input& input) {
        const std::uint64_t mfn = input.take<std::uint16_t>() % FakeGuest::max_mfn;
        const auto word = input.take<std::uint64_t>();
        if (guest.host_use[mfn] == 0) {
            guest.frame_table[mfn] = word;
        }
    }
    void write_info(Input& input) {
        doorbell::GrantInfo& info = guest.mailbox->grants;
        const auto field = input.take<std::uint8_t>();
        switch (field % 8) {
        case 0:
            info.sequence = input.take<std::uint8_t>();
            break;
        case 1:
            info.version = input.take<std::uint8_t>() % 4;
            break;
        case 2:
            info.nr_frames = input.take<std::uint32_t>();
            break;
        case 3:
            info.nr_status_frames = input.take<std::uint32_t>();
            break;
        case 4:
            info.frames[input.take<std::uint8_t>() % 64] = input.take<std::uint64_t>();
            break;
        case 5:
            info.status_frames[input.take<std::uint8_t>() % 64] = input.take<std::uint64_t>();
            break;
        default: // what a nucleus does
            guest.grow(1 + field / 8, 1 + field / 64);
        }
    }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{data, size};
    Run run;
    run.guest.grow(1, 1);
    run.guest.grant(9, 140);
    while (!input.empty()) {
        const auto step = input.take<std::uint8_t>();
        switch (step % 8) {
        case 0:
        case 1:
            run.take(input);
            break;
        case 2:
            run.give_back();
            break;
        case 3:
            run.write_table(input);
            break;
        case 4: // an entry that makes sense
            run.guest.v1(step / 8).frame = 120 + input.take<std::uint8_t>();
            run.guest.v1(step / 8).domid = 0;
            run.guest.v1(step / 8).flags = abi::GTF_permit_access;
            break;
        case 5:
            run.write_frame_word(input);
            break;
        default:
            run.write_info(input);
        }
    }
    while (!run.leases.empty()) {
        run.give_back();
    }
    require(run.grants.in_use() == 0 && run.guest.mailbox->grants.host_leases == 0);
    require(std::all_of(run.guest.host_use.begin(), run.guest.host_use.end(), [](auto use) { return use == 0; }));
    return 0;
}
