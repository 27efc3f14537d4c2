# SPDX-License-Identifier: Apache-2.0
"""Fails when the tables miss something: what Xen's headers declare, or what pv-abi/ declares.

Usage: check_complete.py CLANG PV_ABI_FOLDER (from anywhere; the tables lie next to this file)
"""
import pathlib
import re
import sys

import xen_headers

HERE = pathlib.Path(__file__).parent

# In Xen's headers, but not of the ABI.
NOT_ABI = re.compile(r"""
    _[A-Z].*                              # bit numbers of flags, include guards
  | __(XEN_LATEST_INTERFACE_VERSION__|DECL_REG_LO8|DECL_REG_LO16)
  | (COMPAT|XEN)_FLEX_ARRAY_DIM | XEN_HAVE_PV_\w+ | PRI\w+    # for the headers themselves, and for printf
  | machine_to_phys_mapping | XEN_CPUID | xen_wc_sec_hi | xen_vga_console_info(_t)?
  | GNTTABOP_error_msgs
  | XEN_PAGE_SHIFT                        # of ring.h's macros
  | XEN_EMULATE_PREFIX                    # bytes; abi_test.cpp compares them
  | XEN_PAGE_SHIFT | blkif_(vdev|sector)_t # of ring.h's macros; types
  | XS_WRITE_(NONE|CREATE|CREATE_EXCL)    # strings of a protocol before transactions
  | (__)?(HYPERVISOR|MACH2PHYS)_VIRT_(START|END)_(NON)?PAE | __(HYPERVISOR|MACH2PHYS)_VIRT_(START|END)
""", re.VERBOSE)
NOT_ABI_RECORDS = {"xsd_errors", *(f"{ring}_{part}" for ring in ("blkif",)  # rings: iorings/rings
                                    for part in ("sring", "sring_entry", "front_ring", "back_ring"))}
FLEXIBLE_ARRAYS = {"xen_build_id.buf", "physdev_pci_device_add.optarr"}  # C++ has none; the sizes say where they begin
# What ring.h makes of the requests and responses: iorings/rings.
NOT_ABI_RECORDS |= {f"{ring}_{part}" for ring in ("netif_tx", "netif_rx", "xen_netif_ctrl")
                    for part in ("sring", "sring_entry", "front_ring", "back_ring")}

# In pv-abi/, but in no public header of Xen: the processor's, the BIOS's, or a convention that only code states.
OURS_ALONE = re.compile(r"TRAP_\w+|PFEC_\w+|TI_(DPL_MASK|IF)|E820_\w+|MEMOP_\w+|HYPERCALL_(STUB_BYTES|PAGE_STUBS)"
                        r"|XEN_HYPERCALL_MSR|XEN_EMULATE_PREFIX|XEN_IO_PROTO_ABI_\w+|HYPERVISOR_L4_(FIRST|LAST)_SLOT|lays_out_64")
OUR_RECORDS_ALONE = {"u64_align4", "Abi64", "Abi32", "guest_width", "iret_context32", "e820entry"}


def table(name, pattern):
    return re.findall(pattern, (HERE / name).read_text().split("\n\n", 1)[1])


def check(what, declared, listed):
    missing = sorted(set(declared) - set(listed))
    if missing:
        print(f"{what}: not in the table: {', '.join(missing)}")
    return len(missing)


def check_xen(clang, bits, records, fields, constants):
    header = str(HERE / "xen_public.h")
    xen = {name: paths for name, (_, paths) in xen_headers.records(clang, bits, header).items()}
    for name in NOT_ABI_RECORDS:
        del xen[name]
    paths = [f"{name}.{path}" for name, inner in xen.items() for path in inner]
    values = [name for name in xen_headers.macros(clang, bits, header) if not NOT_ABI.fullmatch(name)]
    values += xen_headers.enumerators(clang, bits, header)
    assert len(xen) > 100 and len(paths) > 400 and len(values) > 400, "the Xen headers were not read"
    return (check(f"{bits}-bit structures of Xen", xen, records)
            + check(f"{bits}-bit fields of Xen", set(paths) - FLEXIBLE_ARRAYS, fields)
            + check(f"{bits}-bit constants of Xen", values, constants))


def check_ours(folder, records, constants):
    ours = ("boot_features.hpp", "doorbell.hpp", "frame_word.hpp", "nucleus_image.hpp")  # not Xen's
    text = "".join(path.read_text() for path in folder.glob("*.hpp") if path.name not in ours)
    declared = set(re.findall(r"^(?:struct|union) (?:__attribute__\(\([^{]*\)\) )?(\w+?)(?:_t)?\b(?=[^;{]*\{)", text, re.M))
    values = set(re.findall(r"inline constexpr \w+ (\w+)(?=\[| =)", text))
    values |= {name for body in re.findall(r"enum \w+ : uint32_t \{(.*?)\}", text, re.S)
               for name in re.findall(r"(\w+) =", body)}
    assert len(declared) > 100 and len(values) > 400, "pv-abi/ was not read"
    return (check("structures of pv-abi", declared - OUR_RECORDS_ALONE, records)
            + check("constants of pv-abi", {name for name in values if not OURS_ALONE.fullmatch(name)}, constants))


def listed(bits):
    """(structures, fields, constants) that the tables compare with Xen's headers for this width."""
    records = table("layout.def", rf"\b(?:WIDE|PLAIN|PLAIN{bits})\(\w+, (\w+)")
    fields = table("layout.def", rf"\bFIELD(?:{bits})?\((\w+, [\w.]+)\)")
    constants = table("constants.def", rf"\b(?:CONSTANT|CONSTANT_AS|ONLY{bits})\((\w+)")
    return records, [field.replace(", ", ".") for field in fields], constants


def main():
    clang, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    missing = sum(check_xen(clang, bits, *listed(bits)) for bits in (64, 32))
    records = table("layout.def", r"\b(?:WIDE|PLAIN)\(\w+, (\w+)\)")
    records += table("layout.def", r"\b(?:PLAIN64|PLAIN32)\(\w+, \w+, (\w+)\)")
    constants = table("constants.def", r"\bCONSTANT\((\w+)\)")
    constants += table("constants.def", r"\b(?:CONSTANT_AS|ONLY64|ONLY32)\(\w+, (?:x64::|x32::)?(\w+)")
    missing += check_ours(folder, records, constants)
    print(f"{len(records)} structures, {len(constants)} constants in the tables; {missing} missing")
    return missing != 0


if __name__ == "__main__":
    sys.exit(main())
