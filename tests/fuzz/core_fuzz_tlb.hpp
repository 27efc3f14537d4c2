// SPDX-License-Identifier: Apache-2.0
// What the TLBs and paging-structure caches of the vCPUs may hold at worst: every writable mapping and every table that
// was valid since the last flush. Memory invariant 4: no frame of another kind may be among them when a guest runs.
#pragma once

#include "tests/fuzz/core_fuzz_world.hpp"

#include <vector>

namespace parapet::nucleus::fuzz {

class TlbModel {
public:
    explicit TlbModel(World& world);

    /// The caches are empty, and the guest begins to run.
    void reset();
    /// A root was loaded while the core runs.
    void loaded_root(u32 vcpu) { caches_[vcpu].clear(); }
    /// An entry is stored while the core runs on the guest's root: the processor may fetch it at any time.
    void stored(Pte* slot, Pte value);
    /// The entry is over: flush as `work` of the vCPU says, and check what is left.
    void leave(u32 vcpu, const ExitWork& work);
    /// The guest runs: all that is mapped may be cached.
    void check_and_fill();

private:
    struct Cache {
        std::vector<u8> writable; ///< by frame: a writable mapping may be cached
        std::vector<u8> table;    ///< by frame: cached as a table of this FrameType, 0: not
        u64 root = 0;
        void clear();
    };
    World& world_;
    std::vector<Cache> caches_;
};

} // namespace parapet::nucleus::fuzz
