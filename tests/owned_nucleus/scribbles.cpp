// SPDX-License-Identifier: Apache-2.0
#include "tests/owned_nucleus/scribbles.hpp"

#include "guests/lib/hypercall.hpp"
#include "pv-abi/doorbell.hpp"

namespace parapet::guest {

namespace {

using doorbell::Mailbox;
using doorbell::Request;

Mailbox& mailbox() {
    return *reinterpret_cast<Mailbox*>(doorbell::MAILBOX_VA);
}

/// One write, and what stood there.
struct Write {
    uint64_t at, before, after;
    unsigned width;
};

/// Calls `act` with a pointer to the word of that width.
template <typename Act>
void at_word(const Write& one, Act act) {
    switch (one.width) {
    case 1:
        return act(reinterpret_cast<uint8_t*>(one.at));
    case 2:
        return act(reinterpret_cast<uint16_t*>(one.at));
    case 4:
        return act(reinterpret_cast<uint32_t*>(one.at));
    default:
        return act(reinterpret_cast<uint64_t*>(one.at));
    }
}

void write(Write& one) {
    at_word(one, [&]<typename Word>(Word* word) {
        one.after = static_cast<Word>(one.after);
        one.before = __atomic_exchange_n(word, static_cast<Word>(one.after), __ATOMIC_SEQ_CST);
    });
}

void take_back(const Write& one) {
    at_word(one, [&]<typename Word>(Word* word) {
        auto expected = static_cast<Word>(one.after);
        __atomic_compare_exchange_n(word, &expected, static_cast<Word>(one.before), false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
    });
}

uint64_t any_number(Visit& visit) {
    Random& random = visit.random;
    switch (random.below(7)) {
    case 0:
        return 0;
    case 1:
        return ~random.below(3);
    case 2:
        return random.below(64);
    case 3:
        return (1ul << random.below(64)) - random.below(2);
    case 4:
        return random.next();
    default:
        return visit.favourites[random.below(visit.favourite_count)];
    }
}

Write scribble_once(Visit& visit) {
    Random& random = visit.random;
    const Region& region = visit.regions[random.below(visit.region_count)];
    const unsigned width = region.bytes == 2 ? 2 : 1u << random.below(4);
    const uint64_t words = region.bytes / width;
    // Half of them near the start, where the words are that rule the rest.
    const uint64_t index = random.one_in(2) ? random.below(words) : random.below(words < 32 ? words : 32);
    Write one{region.start + index * width, 0, any_number(visit), width};
    write(one);
    visit.writes++;
    return one;
}

/// The doorbell is heard where one byte is written.
void out(uint16_t port, uint8_t value = 0) {
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
void out_wide(uint16_t port, uint32_t value) {
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

void ring_doorbell(Visit& visit) {
    if (visit.random.one_in(2)) { // any ports, beside those that have been written
        const uint64_t word = visit.random.one_in(2) ? 0 : visit.random.below(doorbell::MAX_PORTS / 64);
        __atomic_fetch_or(&mailbox().to_vmm.word[word], visit.random.next(), __ATOMIC_SEQ_CST);
        __atomic_fetch_or(&mailbox().to_vmm.selector, 1ul << word % 64, __ATOMIC_SEQ_CST);
    }
    if (visit.random.one_in(8)) {
        out_wide(doorbell::DOORBELL_PORT, static_cast<uint32_t>(visit.random.next()));
    }
    out(doorbell::DOORBELL_PORT, static_cast<uint8_t>(visit.random.next()));
    visit.doorbells++;
}

bool ends_the_domain(Request kind) {
    return kind == Request::shutdown || kind == Request::crash || kind == Request::nucleus_bug;
}

/// Frames to be released: garbage anywhere, but no page that this guest needs.
void fill_frames(Visit& visit, uint32_t length) {
    for (uint32_t i = 0; i < length && i < doorbell::REQUEST_FRAMES; ++i) {
        const uint64_t nowhere = visit.random.next() | 1ul << 40;
        mailbox().request.frames[i] = visit.random.one_in(4) || visit.spare_count == 0
                                          ? nowhere
                                          : visit.spare_mfns[visit.random.below(visit.spare_count)];
    }
}

void request(Visit& visit) {
    Random& random = visit.random;
    auto& block = mailbox().request;
    for (unsigned i = 0; i < 64; ++i) {
        reinterpret_cast<volatile uint64_t*>(&block)[random.below(sizeof(block) / 8)] = any_number(visit);
    }
    auto kind = static_cast<Request>(random.one_in(8) ? any_number(visit) : random.below(12));
    if (ends_the_domain(kind) && !visit.may_end) {
        kind = Request::wall_clock;
    }
    block.kind = kind;
    block.length = static_cast<uint32_t>(random.one_in(4) ? any_number(visit) : random.below(300));
    if (kind == Request::release && !visit.may_end) {
        fill_frames(visit, block.length);
    } else if (kind == Request::log || kind == Request::console_write) {
        block.length = static_cast<uint32_t>(random.below(16)); // whoever reads the log has something else to do too
    }
    out(doorbell::REQUEST_PORT);
    visit.requests++;
}

/// At ring 0, on the nucleus's stack.
long at_ring0(Visit* visit) {
    constexpr unsigned most_writes = 48;
    static Write writes[most_writes];
    Random& random = visit->random;
    const uint64_t count = 1 + random.below(most_writes);
    for (uint64_t i = 0; i < count; ++i) {
        writes[i] = scribble_once(*visit);
        if (random.one_in(16)) {
            ring_doorbell(*visit);
        }
    }
    if (random.one_in(4)) {
        request(*visit);
    }
    ring_doorbell(*visit);
    for (uint64_t pause = random.below(20'000); pause > 0; --pause) {
        asm volatile("pause");
    }
    if (!visit->for_good) {
        for (uint64_t i = count; i-- > 0;) {
            take_back(writes[i]);
        }
        // A signal that was under way may stand there again, though its doorbell was heard long ago.
        __atomic_store_n(&mailbox().to_vmm.selector, ~0ul, __ATOMIC_SEQ_CST);
        out(doorbell::DOORBELL_PORT);
    }
    return 0;
}

} // namespace

void scribble(Visit& visit) {
    hypercall(__HYPERVISOR_vm_assist, at_ring0, &visit);
}

void add_nucleus_regions(Visit& visit) {
    visit.add(&mailbox().to_vmm, sizeof(Mailbox::to_vmm));
    visit.add(&mailbox().request, sizeof(Mailbox::request) & ~7ul);
    visit.add(&mailbox().port_rows, 8);
    for (unsigned i = 0; i < visit.spare_count; ++i) {
        const uint64_t mfn = visit.spare_mfns[i];
        visit.favour(mfn);
        if (i < 2) {
            visit.add(doorbell::FRAME_TABLE_VA + mfn * 8, 8);
            visit.add(doorbell::HOST_USE_VA + mfn * sizeof(doorbell::HostUse), sizeof(doorbell::HostUse));
        }
    }
}

void add_grant_information(Visit& visit) {
    visit.add(&mailbox().grants, sizeof(Mailbox::grants) & ~7ul);
}

} // namespace parapet::guest
