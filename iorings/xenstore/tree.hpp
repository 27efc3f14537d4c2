// SPDX-License-Identifier: Apache-2.0
// The nodes themselves, as a copy-on-write tree: copying a Tree is a snapshot and costs O(1); a later change copies
// only the nodes on its way that a snapshot still holds. No permissions are checked and no watch fires here.
#pragma once

#include "iorings/xenstore/path.hpp"
#include "iorings/xenstore/permissions.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace parapet::xenstore {

struct Node;

struct Child {
    std::string name;
    std::shared_ptr<Node> node;
};

struct Node {
    std::string value; ///< any bytes
    Permissions permissions;
    std::uint64_t generation = 0; ///< changes with the value, the permissions or the list of children
    std::vector<Child> children;  ///< in order of creation

    [[nodiscard]] const Child* child(std::string_view name) const;
    /// Bytes that count against Quotas::node_size.
    [[nodiscard]] std::size_t footprint() const;
};

/// All paths given to a Tree are canonical.
class Tree {
public:
    Tree();

    [[nodiscard]] const Node* find(std::string_view path) const;
    /// The nearest ancestor that exists (the root at worst); `path` itself if it exists.
    [[nodiscard]] std::string_view nearest(std::string_view path) const;

    /// The node for change, its generation renewed; nullptr if there is none.
    Node* edit(std::string_view path, std::uint64_t generation);
    /// A new empty node; nullptr if its parent is missing or it exists.
    Node* create(std::string_view path, Permissions permissions, std::uint64_t generation);
    /// Removes the node and all below it. Not the root.
    void remove(std::string_view path, std::uint64_t generation);
    void set_permissions(std::string_view path, Permissions permissions, std::uint64_t generation);

    [[nodiscard]] std::size_t owned_by(DomId domid) const;
    /// True if nothing was changed in either since one was copied from the other.
    [[nodiscard]] bool same_as(const Tree& other) const { return root_ == other.root_; }

private:
    void count(const Node& node, bool add);

    std::shared_ptr<Node> root_;
    std::map<DomId, std::size_t> owned_;
};

/// True if both are absent, or equal in every generation of the whole subtree.
[[nodiscard]] bool same_subtree(const Node* a, const Node* b);

} // namespace parapet::xenstore
