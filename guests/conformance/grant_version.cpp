// SPDX-License-Identifier: Apache-2.0
// Both versions of the grant table: the whole table, status frames, what survives a change and what forbids it.
#include "guests/conformance/check.hpp"
#include "guests/lib/xenstore.hpp"

namespace parapet::guest {

const char* const test_name = "grant_version";

namespace {

constexpr uint64_t table_va = 0x28000000000, status_va = table_va + (1 << 21), window_va = status_va + (1 << 21);
constexpr unsigned most_frames = 64, most_status = 8;
xen_pfn_t list[most_frames];
uint64_t status_list[most_status];

volatile grant_entry_v1_t& v1(unsigned reference) {
    return reinterpret_cast<grant_entry_v1_t*>(table_va)[reference];
}
volatile grant_entry_v2_t& v2(unsigned reference) {
    return reinterpret_cast<grant_entry_v2_t*>(table_va)[reference];
}
volatile uint16_t& status(unsigned reference) {
    return reinterpret_cast<uint16_t*>(status_va)[reference];
}

long grant_op(unsigned command, void* request) {
    return hypercall(__HYPERVISOR_grant_table_op, command, request, 1);
}

domid_t self() {
    static const domid_t number = own_domid();
    return number;
}

int setup(unsigned frames) {
    gnttab_setup_table request{};
    request.dom = DOMID_SELF;
    request.nr_frames = frames;
    set_xen_guest_handle(request.frame_list, list);
    expect_result(grant_op(GNTTABOP_setup_table, &request), 0, "setup_table");
    return request.status;
}

int get_status_frames(unsigned frames) {
    gnttab_get_status_frames request{};
    request.dom = DOMID_SELF;
    request.nr_frames = frames;
    set_xen_guest_handle(request.frame_list, status_list);
    expect_result(grant_op(GNTTABOP_get_status_frames, &request), 0, "get_status_frames");
    return request.status;
}

void set_version(unsigned version, long wanted, unsigned after, const char* what) {
    gnttab_set_version request{version};
    expect_result(grant_op(GNTTABOP_set_version, &request), wanted, what);
    expect(request.version == after, "%s: version %u", what, request.version);
}

gnttab_map_grant_ref map(unsigned reference, unsigned flags) {
    gnttab_map_grant_ref request{};
    request.host_addr = window_va;
    request.flags = flags;
    request.ref = reference;
    request.dom = self();
    expect_result(grant_op(GNTTABOP_map_grant_ref, &request), 0, "map");
    return request;
}

int unmap(grant_handle_t handle) {
    gnttab_unmap_grant_ref request{};
    request.host_addr = window_va;
    request.handle = handle;
    expect_result(grant_op(GNTTABOP_unmap_grant_ref, &request), 0, "unmap");
    return request.status;
}

/// Grants and maps `page` by the table's last entry; a change of version is refused meanwhile.
void use_last(unsigned reference, unsigned version) {
    const auto mapped = map(reference, GNTMAP_host_map);
    expect(mapped.status == GNTST_okay, "map of reference %u in version %u: %d", reference, version, mapped.status);
    set_version(3 - version, -XEN_EBUSY, version, "a change under a mapping");
    set_version(version, 0, version, "no change");
    expect(unmap(mapped.handle) == GNTST_okay, "unmap of reference %u in version %u", reference, version);
}

bool map_status() {
    expect(get_status_frames(most_status) == GNTST_okay, "get_status_frames");
    for (unsigned i = 0; i < most_status; ++i) {
        if (!expect_result(map_page(status_va + i * page_size, status_list[i], kernel_rw), 0, "map of status")) {
            return false;
        }
    }
    return true;
}

void part_of_a_page(void* page) {
    auto* target = static_cast<volatile uint8_t*>(alloc_page());
    memset(page, 'x', page_size);
    v2(40).sub_page.frame = virt_to_mfn(page);
    v2(40).sub_page.page_off = 100;
    v2(40).sub_page.length = 50;
    v2(40).hdr.domid = self();
    __atomic_store_n(&v2(40).hdr.flags, static_cast<uint16_t>(GTF_permit_access | GTF_sub_page), __ATOMIC_RELEASE);
    gnttab_copy request{};
    request.source.u.ref = 40;
    request.source.domid = self();
    request.source.offset = 100;
    request.dest.u.gmfn = virt_to_mfn(target);
    request.dest.domid = DOMID_SELF;
    request.len = 50;
    request.flags = GNTCOPY_source_gref;
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy");
    expect(request.status == GNTST_okay && target[49] == 'x', "copy of a part: %d", request.status);
    request.len = 51;
    expect_result(grant_op(GNTTABOP_copy, &request), 0, "copy");
    expect(request.status == GNTST_general_error, "copy of more than the part: %d", request.status);
    expect(map(40, GNTMAP_host_map).status == GNTST_general_error, "map of a part");
    v2(40).hdr.flags = 0;
}

} // namespace

void test() {
    expect(setup(most_frames) == GNTST_okay, "64 frames");
    for (unsigned i = 0; i < most_frames; ++i) {
        if (!expect_result(map_page(table_va + i * page_size, list[i], kernel_rw), 0, "map of the table")) {
            return;
        }
    }
    expect_result(map_page(window_va, virt_to_mfn(alloc_page()), kernel_rw), 0, "window");
    void* page = alloc_page();
    const auto mfn = static_cast<uint32_t>(virt_to_mfn(page));

    unsigned last = most_frames * 512 - 1;
    v1(last).frame = mfn;
    v1(last).domid = self();
    __atomic_store_n(&v1(last).flags, GTF_permit_access, __ATOMIC_RELEASE);
    expect(get_status_frames(0) == GNTST_okay, "no status frames of version 1");
    expect(get_status_frames(1) == GNTST_general_error, "a status frame of version 1");
    use_last(last, 1);
    set_version(3, -XEN_EINVAL, 1, "version 3");
    v1(5).frame = mfn;
    v1(5).domid = 9;
    v1(5).flags = GTF_permit_access | GTF_readonly;

    set_version(2, 0, 2, "version 2");
    if (!map_status()) {
        return;
    }
    expect(v2(5).full_page.frame == mfn && v2(5).hdr.domid == 9 &&
               v2(5).hdr.flags == (GTF_permit_access | GTF_readonly),
           "a reserved entry came as %x for %u", v2(5).hdr.flags, v2(5).hdr.domid);
    last = most_frames * 256 - 1;
    v2(last).full_page.frame = mfn;
    v2(last).hdr.domid = self();
    __atomic_store_n(&v2(last).hdr.flags, GTF_permit_access, __ATOMIC_RELEASE);
    const auto mapped = map(last, GNTMAP_host_map | GNTMAP_readonly);
    expect(mapped.status == GNTST_okay, "map: %d", mapped.status);
    expect(status(last) == GTF_reading, "status %x", status(last));
    expect(v2(last).hdr.flags == GTF_permit_access, "flags %x", v2(last).hdr.flags);
    expect(unmap(mapped.handle) == GNTST_okay && status(last) == 0, "status %x after the unmap", status(last));
    use_last(last, 2);
    part_of_a_page(page);

    set_version(1, -XEN_EBUSY, 2, "a change while the status is mapped");
    for (unsigned i = 0; i < most_status; ++i) {
        expect_result(update_va_mapping(status_va + i * page_size, 0), 0, "unmap of status");
    }
    v2(6).full_page.frame = 1ul << 32;
    v2(6).hdr.flags = GTF_permit_access;
    set_version(1, -XEN_ERANGE, 2, "a frame too wide for version 1");
    v2(6).hdr.flags = 0;
    set_version(1, 0, 1, "version 1 again");
    expect(v1(5).frame == mfn && v1(5).domid == 9 && v1(5).flags == (GTF_permit_access | GTF_readonly),
           "a reserved entry came back as %x for %u", v1(5).flags, v1(5).domid);
}

} // namespace parapet::guest
