// SPDX-License-Identifier: Apache-2.0
// Bookkeeping and merge of transactions.
#include "iorings/xenstore/transaction.hpp"

namespace parapet::xenstore {

bool Transaction::touch(std::string_view path, Touch how, std::size_t limit) {
    auto found = touched_.find(path);
    if (found == touched_.end()) {
        if (touched_.size() >= limit)
            return false;
        found = touched_.emplace(path, Touched{}).first;
    }
    found->second.changed |= how != Touch::Read;
    found->second.removed |= how == Touch::Removed;
    return true;
}

void Transaction::announce(std::string_view path) {
    const auto found = touched_.find(path);
    if (found == touched_.end() || found->second.announced)
        return;
    found->second.announced = true;
    announced_.push_back(found->first);
}

bool Transaction::conflicts_with(const Tree& current) const {
    for (const auto& [path, touched] : touched_) {
        const Node* then = base_.find(path);
        const Node* now = current.find(path);
        if (!then != !now || (then && then->generation != now->generation))
            return true;
        if (touched.removed && !same_subtree(then, now))
            return true;
    }
    return false;
}

// What was touched is as it was in base_, so taking over the state of the changed paths gives what the transaction
// would have done now. The map's order has parents before their children.
Outcome<Tree> Transaction::merge(const Tree& current, std::uint64_t generation) const {
    if (current.same_as(base_))
        return working;
    if (conflicts_with(current))
        return Errno::EAGAIN_;
    Tree merged = current;
    for (const auto& [path, touched] : touched_) {
        if (!touched.changed)
            continue;
        if (touched.removed)
            merged.remove(path, generation);
        const Node* wanted = working.find(path);
        if (!wanted)
            continue;
        if (!merged.find(path))
            (void)merged.create(path, wanted->permissions, generation);
        merged.set_permissions(path, wanted->permissions, generation);
        if (Node* node = merged.edit(path, generation))
            node->value = wanted->value;
    }
    return merged;
}

} // namespace parapet::xenstore
