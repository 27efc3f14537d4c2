// SPDX-License-Identifier: Apache-2.0
// The on-disk format is that of the kernel's btrfs_tree.h: a super block at 64 KiB, which has the first chunks; chunks
// map logical addresses to the device; trees of nodes with a header each. Numbers are little-endian, as this machine's.
//
//   super block --chunk_root--> chunk tree     CHUNK_ITEM: where logical addresses lie
//               --root--------> root tree      DIR_ITEM of directory 6: "default"; ROOT_ITEM, ROOT_BACKREF: subvolumes
//                                 └─ROOT_ITEM--> tree of a subvolume    INODE_REF: a directory's name and parent
#include "vmm/bootdisk/btrfs_subvolumes.hpp"

#include "vmm/bootdisk/number_at.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <tuple>

namespace parapet::bootdisk {
namespace {

constexpr std::size_t sector = 512;
constexpr std::uint64_t super_at = 0x10000;
constexpr std::size_t super_size = 4096, header_size = 101, key_size = 17;
constexpr std::uint32_t max_node = 65536;
constexpr std::size_t max_nodes = 400;
constexpr unsigned max_visits = 20000, max_depth = 8, max_path_parts = 64;
constexpr std::size_t max_subvolumes = 200;

constexpr std::uint64_t top_subvolume = 5, super_directory = 6, first_inode = 256;
constexpr std::uint8_t INODE_REF = 12, DIR_ITEM = 84, ROOT_ITEM = 132, ROOT_BACKREF = 144, CHUNK_ITEM = 228;
constexpr std::uint64_t striped = 1ULL << 3 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8; // RAID0, RAID10, RAID5, RAID6

struct Key {
    std::uint64_t object = 0;
    std::uint8_t type = 0;
    std::uint64_t offset = 0;
    bool operator<(const Key& other) const {
        return std::tie(object, type, offset) < std::tie(other.object, other.type, other.offset);
    }
};
constexpr std::uint64_t highest = ~0ULL;

Key key_at(std::string_view bytes, std::size_t offset) {
    return {number_at<std::uint64_t>(bytes, offset), number_at<std::uint8_t>(bytes, offset + 8),
            number_at<std::uint64_t>(bytes, offset + 9)};
}

std::string_view part(std::string_view bytes, std::size_t offset, std::size_t length) {
    return offset <= bytes.size() ? bytes.substr(offset, length) : std::string_view{};
}

struct Chunk {
    std::uint64_t logical, length, physical;
};

class Trees {
public:
    Trees(DiskFiles& disk, const std::string& device) : disk_{disk}, device_{device} {}

    bool open() {
        const auto super = disk_.read_sectors(device_, super_at / sector, super_size / sector);
        if (!super || super->compare(0x40, 8, "_BHRfS_M") != 0) {
            return false;
        }
        node_size_ = number_at<std::uint32_t>(*super, 0x94);
        device_id_ = number_at<std::uint64_t>(*super, 0xc9);
        root_ = number_at<std::uint64_t>(*super, 0x50);
        if (node_size_ < super_size || node_size_ > max_node || node_size_ % sector != 0) {
            return false;
        }
        const std::string_view first =
            part(*super, 0x32b, std::min<std::uint32_t>(2048, number_at<std::uint32_t>(*super, 0xa0)));
        for (std::size_t at = 0; at + key_size < first.size();) {
            const std::string_view item = first.substr(at + key_size);
            take_chunk(key_at(first, at), item);
            at += key_size + 48 + 32 * std::size_t{number_at<std::uint16_t>(item, 44)};
        }
        std::vector<std::pair<Key, std::string>> chunks;
        const bool read = walk(number_at<std::uint64_t>(*super, 0x58), {0, CHUNK_ITEM, 0}, {highest, 255, highest},
                               [&](const Key& key, std::string_view item) {
                                   if (key.type == CHUNK_ITEM) {
                                       chunks.emplace_back(key, item);
                                   }
                               });
        for (const auto& [key, item] : chunks) {
            take_chunk(key, item);
        }
        return read;
    }

    std::optional<Subvolumes> subvolumes() {
        std::optional<std::uint64_t> chosen;
        std::vector<std::uint64_t> all;
        const bool found = walk(root_, {super_directory, DIR_ITEM, 0}, {super_directory, DIR_ITEM, highest},
                                [&](const Key&, std::string_view item) {
                                    if (part(item, 30, number_at<std::uint16_t>(item, 27)) == "default") {
                                        chosen = key_at(item, 0).object;
                                    }
                                }) &&
                           walk(root_, {first_inode, ROOT_BACKREF, 0}, {highest - 256, ROOT_BACKREF, highest},
                                [&](const Key& key, std::string_view) {
                                    if (key.type == ROOT_BACKREF && all.size() < max_subvolumes) {
                                        all.push_back(key.object);
                                    }
                                });
        if (!found || !chosen) {
            return std::nullopt;
        }
        const auto path = path_of(*chosen); // before the budget is spent on the others
        if (!path) {
            return std::nullopt;
        }
        Subvolumes result{*path, {}};
        for (const std::uint64_t id : all) {
            if (auto other = path_of(id)) {
                result.paths.push_back(*std::move(other));
            }
        }
        return result;
    }

private:
    using Visit = std::function<void(const Key&, std::string_view)>;

    void take_chunk(const Key& key, std::string_view item) {
        const auto count = number_at<std::uint16_t>(item, 44);
        if (key.type != CHUNK_ITEM || (number_at<std::uint64_t>(item, 24) & striped) != 0) {
            return;
        }
        for (std::size_t i = 0; i < count && 48 + 32 * (i + 1) <= item.size(); i++) {
            if (number_at<std::uint64_t>(item, 48 + 32 * i) == device_id_) {
                chunks_.push_back(
                    {key.offset, number_at<std::uint64_t>(item, 0), number_at<std::uint64_t>(item, 48 + 32 * i + 8)});
                return;
            }
        }
    }

    const std::string* read_node(std::uint64_t logical) {
        if (const auto known = nodes_.find(logical); known != nodes_.end()) {
            return visits_++ < max_visits ? &known->second : nullptr;
        }
        const auto chunk = std::find_if(chunks_.begin(), chunks_.end(), [&](const Chunk& candidate) {
            return logical >= candidate.logical && logical - candidate.logical < candidate.length;
        });
        if (chunk == chunks_.end() || nodes_.size() >= max_nodes) {
            return nullptr;
        }
        const std::uint64_t physical = chunk->physical + (logical - chunk->logical);
        auto node = disk_.read_sectors(device_, physical / sector, static_cast<std::uint32_t>(node_size_ / sector));
        const bool good = node && number_at<std::uint64_t>(*node, 0x30) == logical;
        return good ? &nodes_.emplace(logical, *std::move(node)).first->second : nullptr;
    }

    /// Visits the items of a tree from `first` to `last`. False: it cannot be read.
    bool walk(std::uint64_t logical, const Key& first, const Key& last, const Visit& visit, unsigned depth = 0) {
        const std::string* const node = depth < max_depth ? read_node(logical) : nullptr;
        if (node == nullptr) {
            return false;
        }
        const bool leaf = number_at<std::uint8_t>(*node, 0x64) == 0;
        const std::size_t entry = leaf ? 25 : 33;
        const std::size_t count =
            std::min<std::size_t>(number_at<std::uint32_t>(*node, 0x60), (node->size() - header_size) / entry);
        for (std::size_t i = 0; i < count; i++) {
            const std::size_t at = header_size + i * entry;
            const Key key = key_at(*node, at);
            if (last < key) {
                break;
            }
            if (leaf) {
                if (!(key < first)) {
                    const auto data = number_at<std::uint32_t>(*node, at + key_size);
                    visit(key, part(*node, header_size + data, number_at<std::uint32_t>(*node, at + key_size + 4)));
                }
                continue;
            }
            // A child ends before the next begins.
            const bool below = i + 1 < count && !(first < key_at(*node, at + entry));
            if (!below && !walk(number_at<std::uint64_t>(*node, at + key_size), first, last, visit, depth + 1)) {
                return false;
            }
        }
        return true;
    }

    /// The path of a directory within its subvolume's tree; "" for its root.
    std::optional<std::string> directory(std::uint64_t tree, std::uint64_t inode) {
        std::string path;
        for (unsigned i = 0; inode != first_inode; i++) {
            std::optional<std::uint64_t> parent;
            const bool read = walk(tree, {inode, INODE_REF, 0}, {inode, INODE_REF, highest},
                                   [&](const Key& key, std::string_view item) {
                                       parent = key.offset;
                                       path.insert(0, part(item, 10, number_at<std::uint16_t>(item, 8)));
                                       path.insert(0, "/");
                                   });
            if (!read || !parent || i == max_path_parts) {
                return std::nullopt;
            }
            inode = *parent;
        }
        return path;
    }

    std::optional<std::string> path_of(std::uint64_t subvolume) {
        std::string path;
        for (unsigned i = 0; subvolume != top_subvolume; i++) {
            std::uint64_t parent = 0;
            std::uint64_t folder = 0;
            std::string name;
            std::uint64_t tree = 0;
            const bool read =
                walk(root_, {subvolume, ROOT_BACKREF, 0}, {subvolume, ROOT_BACKREF, highest},
                     [&](const Key& key, std::string_view item) {
                         parent = key.offset;
                         folder = number_at<std::uint64_t>(item, 0);
                         name = part(item, 18, number_at<std::uint16_t>(item, 16));
                     }) &&
                walk(root_, {parent, ROOT_ITEM, 0}, {parent, ROOT_ITEM, highest},
                     [&](const Key&, std::string_view item) { tree = number_at<std::uint64_t>(item, 176); });
            const auto above = read && !name.empty() ? directory(tree, folder) : std::nullopt;
            if (!above || i == max_path_parts) {
                return std::nullopt;
            }
            path.insert(0, *above + "/" + name);
            subvolume = parent;
        }
        return path;
    }

    DiskFiles& disk_;
    const std::string& device_;
    std::uint32_t node_size_ = 0;
    std::uint64_t device_id_ = 0, root_ = 0;
    std::vector<Chunk> chunks_;
    std::map<std::uint64_t, std::string> nodes_; ///< read so far
    unsigned visits_ = 0;
};

} // namespace

std::optional<Subvolumes> read_subvolumes(DiskFiles& disk, const std::string& device) {
    Trees trees{disk, device};
    return trees.open() ? trees.subvolumes() : std::nullopt;
}

} // namespace parapet::bootdisk
