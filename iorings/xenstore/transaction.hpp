// SPDX-License-Identifier: Apache-2.0
// One transaction: a snapshot of the tree, the changed copy, and which paths it touched. It commits if no touched node
// was changed by others since the snapshot; the result is as if it had happened at the commit.
#pragma once

#include "iorings/xenstore/tree.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::xenstore {

class Transaction {
public:
    enum class Touch {
        Read,    ///< looked at, or found missing
        Changed, ///< its value, permissions or list of children
        Removed, ///< with all below it
    };

    explicit Transaction(const Tree& current) : base_{current}, working{current} {}

    /// False, and nothing noted, if the path would be one more than `limit`.
    [[nodiscard]] bool touch(std::string_view path, Touch how, std::size_t limit);
    /// A watch event is due for this path at the commit. The path has been touched.
    void announce(std::string_view path);

    /// The tree after the commit onto `current`; EAGAIN if somebody else changed what this transaction touched.
    [[nodiscard]] Outcome<Tree> merge(const Tree& current, std::uint64_t generation) const;
    /// Paths to announce, in order of their first change.
    [[nodiscard]] const std::vector<std::string>& announced() const { return announced_; }

private:
    struct Touched {
        bool changed = false;
        bool removed = false; ///< at some time; it may have been made anew
        bool announced = false;
    };

    [[nodiscard]] bool conflicts_with(const Tree& current) const;

    Tree base_;
    std::map<std::string, Touched, std::less<>> touched_;
    std::vector<std::string> announced_;

public:
    Tree working; ///< the transaction's view
};

} // namespace parapet::xenstore
