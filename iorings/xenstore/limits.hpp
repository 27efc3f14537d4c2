// SPDX-License-Identifier: Apache-2.0
// What one guest may use of its xenstore. Domain0 (the host) is not limited.
#pragma once

#include <cstddef>

namespace parapet::xenstore {

/// Defaults are those of Xen 4.17's xenstored, except the last two.
struct Quotas {
    std::size_t nodes_per_domain = 1000;      ///< nodes owned by the guest
    std::size_t node_size = 2048;             ///< bytes: value + names of children + 8 per permission
    std::size_t permissions_per_node = 5;     ///< entries, the owner's included
    std::size_t watches_per_domain = 128;     ///< more: E2BIG
    std::size_t transactions = 10;            ///< open at a time
    std::size_t nodes_per_transaction = 1024; ///< paths one transaction may touch
    std::size_t path_length = 2048;           ///< bytes below /local/domain/N
    std::size_t replies_queued = 20;          ///< no further request is taken while so many replies wait for the reader
    std::size_t events_queued = 512;          ///< watch events waiting; beyond, they merge into one event per watch
    std::size_t event_bytes_queued = 65536;   ///< the same limit in bytes
};

} // namespace parapet::xenstore
