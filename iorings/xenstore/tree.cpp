// SPDX-License-Identifier: Apache-2.0
// The copy-on-write tree. A node reached by one reference only is changed in place; use_count() is exact because a
// store is used by one thread at a time.
#include "iorings/xenstore/tree.hpp"

#include <algorithm>

namespace parapet::xenstore {
namespace {

/// Takes the first component off `rest`, which is a path without its leading '/'.
std::string_view next_component(std::string_view& rest) {
    const auto slash = rest.find('/');
    const auto component = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    return component;
}

Node& own(std::shared_ptr<Node>& node) {
    if (node.use_count() > 1)
        node = std::make_shared<Node>(*node);
    return *node;
}

/// The node at `path` with every node on the way unshared; nullptr if it does not exist.
Node* own_path(std::shared_ptr<Node>& root, std::string_view path) {
    Node* node = &own(root);
    for (auto rest = path.substr(1); !rest.empty();) {
        const auto name = next_component(rest);
        const auto child =
            std::find_if(node->children.begin(), node->children.end(), [&](const Child& c) { return c.name == name; });
        if (child == node->children.end())
            return nullptr;
        node = &own(child->node);
    }
    return node;
}

} // namespace

const Child* Node::child(std::string_view name) const {
    const auto found = std::find_if(children.begin(), children.end(), [&](const Child& c) { return c.name == name; });
    return found == children.end() ? nullptr : &*found;
}

std::size_t Node::footprint() const {
    std::size_t bytes = value.size() + 8 * permissions.size();
    for (const Child& c : children)
        bytes += c.name.size() + 1;
    return bytes;
}

Tree::Tree() : root_{std::make_shared<Node>()} {
    root_->permissions = {{domain0, Access::None}};
    owned_[domain0] = 1;
}

const Node* Tree::find(std::string_view path) const {
    const Node* node = root_.get();
    for (auto rest = path.substr(1); node && !rest.empty();) {
        const Child* child = node->child(next_component(rest));
        node = child ? child->node.get() : nullptr;
    }
    return node;
}

std::string_view Tree::nearest(std::string_view path) const {
    const Node* node = root_.get();
    auto rest = path.substr(1);
    std::size_t length = 0; // of the part of `path` known to exist, without a trailing '/'
    while (!rest.empty()) {
        const auto name = next_component(rest);
        const Child* child = node->child(name);
        if (!child)
            break;
        node = child->node.get();
        length += 1 + name.size();
    }
    return length == 0 ? path.substr(0, 1) : path.substr(0, length);
}

Node* Tree::edit(std::string_view path, std::uint64_t generation) {
    Node* node = find(path) ? own_path(root_, path) : nullptr;
    if (node)
        node->generation = generation;
    return node;
}

Node* Tree::create(std::string_view path, Permissions permissions, std::uint64_t generation) {
    if (find(path))
        return nullptr;
    Node* parent = edit(parent_path(path), generation);
    if (!parent)
        return nullptr;
    auto node = std::make_shared<Node>();
    node->permissions = std::move(permissions);
    node->generation = generation;
    count(*node, true);
    parent->children.push_back({std::string{base_name(path)}, node});
    return node.get();
}

void Tree::remove(std::string_view path, std::uint64_t generation) {
    if (path == "/" || !find(path))
        return;
    Node* parent = edit(parent_path(path), generation);
    const Child* child = parent->child(base_name(path));
    count(*child->node, false);
    parent->children.erase(parent->children.begin() + (child - parent->children.data()));
}

void Tree::set_permissions(std::string_view path, Permissions permissions, std::uint64_t generation) {
    Node* node = edit(path, generation);
    if (!node || permissions.empty())
        return;
    if (auto old = owned_.find(node->permissions.front().domid); old != owned_.end() && --old->second == 0)
        owned_.erase(old);
    node->permissions = std::move(permissions);
    ++owned_[node->permissions.front().domid];
}

std::size_t Tree::owned_by(DomId domid) const {
    const auto found = owned_.find(domid);
    return found == owned_.end() ? 0 : found->second;
}

void Tree::count(const Node& node, bool add) {
    const DomId owner = node.permissions.front().domid;
    if (add)
        ++owned_[owner];
    else if (auto found = owned_.find(owner); found != owned_.end() && --found->second == 0)
        owned_.erase(found);
    for (const Child& child : node.children)
        count(*child.node, add);
}

bool same_subtree(const Node* a, const Node* b) {
    if (a == b)
        return true;
    if (!a || !b || a->generation != b->generation || a->children.size() != b->children.size())
        return false;
    // Equal generations: the same list of children, in the same order.
    for (std::size_t i = 0; i < a->children.size(); ++i) {
        if (!same_subtree(a->children[i].node.get(), b->children[i].node.get()))
            return false;
    }
    return true;
}

} // namespace parapet::xenstore
