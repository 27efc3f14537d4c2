// SPDX-License-Identifier: Apache-2.0
// vm_assist: behaviour that a guest switches on; kept in Domain::vm_assist, one bit per VMASST_TYPE_*.
#include "pv-abi/vm_assist.hpp"
#include "hypercall-emu/core/area.hpp"
#include "hypercall-emu/core/domain.hpp"
#include "hypercall-emu/core/hypercalls.hpp"

namespace parapet::nucleus {
namespace {

/// What Xen lets a 64-bit PV guest set, whether or not it means anything for one.
constexpr u64 SUPPORTED = 1ULL << abi::VMASST_TYPE_4gb_segments | 1ULL << abi::VMASST_TYPE_4gb_segments_notify |
                          1ULL << abi::VMASST_TYPE_writable_pagetables | 1ULL << abi::VMASST_TYPE_pae_extended_cr3 |
                          1ULL << abi::VMASST_TYPE_architectural_iopl | 1ULL << abi::VMASST_TYPE_runstate_update_flag |
                          1ULL << abi::VMASST_TYPE_m2p_strict;

} // namespace

Status do_vm_assist(Vcpu& vcpu, const HypercallArgs& args) {
    const u32 type = static_cast<u32>(args.a[1]);
    if (type >= 64 || (SUPPORTED & (1ULL << type)) == 0)
        return -abi::XEN_EINVAL;
    Domain& domain = *vcpu.domain;
    switch (static_cast<u32>(args.a[0])) {
    case abi::VMASST_CMD_enable:
        domain.vm_assist |= 1ULL << type;
        break;
    case abi::VMASST_CMD_disable:
        domain.vm_assist &= ~(1ULL << type);
        break;
    default:
        return -abi::XEN_ENOSYS;
    }
    if (type == abi::VMASST_TYPE_architectural_iopl)
        place_entry_info(vcpu);
    return 0;
}

} // namespace parapet::nucleus
