// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/menu_choice.hpp"

#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <charconv>

namespace parapet::bootdisk {
namespace {

constexpr unsigned max_nesting = 8;
constexpr std::size_t titles_shown = 12;

/// The part before the first single ">", taken off together with it; ">>" stands for the character itself.
std::string take_component(std::string& path) {
    std::string component;
    std::size_t at = 0;
    while (at < path.size()) {
        if (path[at] == '>' && at + 1 < path.size() && path[at + 1] == '>') {
            component.push_back('>');
            at += 2;
        } else if (path[at] == '>') {
            at++;
            break;
        } else {
            component.push_back(path[at++]);
        }
    }
    path.erase(0, at);
    const auto blank = [](char c) { return c == ' '; };
    component.erase(component.begin(), std::find_if_not(component.begin(), component.end(), blank));
    component.erase(std::find_if_not(component.rbegin(), component.rend(), blank).base(), component.end());
    return component;
}

std::optional<std::size_t> as_number(const std::string& text) {
    std::size_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc{} && stop == end && !text.empty() ? std::optional{number} : std::nullopt;
}

template <typename Item>
const Item* find_item(const std::vector<Item>& items, const std::string& name) {
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const Item& item) { return item.title == name || item.id == name; });
    if (found != items.end()) {
        return &*found;
    }
    const auto number = as_number(name);
    return number && *number < items.size() ? &items[*number] : nullptr;
}

template <typename Item>
std::string titles(const std::vector<Item>& items) {
    std::string text;
    for (std::size_t i = 0; i < items.size() && i < titles_shown; i++) {
        text += (text.empty() ? "" : ", ") + std::to_string(i) + " '" + printable(items[i].title) + "'";
    }
    return text + (items.size() > titles_shown ? ", ..." : "");
}

template <typename Item>
Error no_such_entry(const std::string& name, const std::vector<Item>& items) {
    return Error{"there is no boot entry '" + printable(name) + "'; there are: " + titles(items)};
}

/// Walks a GRUB menu.
class Walk {
public:
    explicit Walk(GrubScript& script) : script_{script} {}

    Result<Chosen> take(const MenuItem& item, std::string rest, const std::string& title, unsigned depth = 0) {
        const std::string full = title.empty() ? item.title : title + " > " + item.title;
        if (!item.is_submenu) {
            return load(item, full);
        }
        if (depth == max_nesting) {
            return Error{"its menus are nested too deeply"};
        }
        auto items = script_.open_submenu(item);
        if (!items) {
            return items.error();
        }
        const std::string name = rest.empty() ? "0" : take_component(rest);
        const MenuItem* next = find_item(*items, name);
        return next == nullptr ? Result<Chosen>{no_such_entry(name, *items)}
                               : take(*next, std::move(rest), full, depth + 1);
    }

    /// Looks for a name in every menu.
    std::optional<Result<Chosen>> search(const std::vector<MenuItem>& items, const std::string& name,
                                         const std::string& title, unsigned depth = 0) {
        for (const MenuItem& item : items) {
            if (!item.is_submenu || depth == max_nesting) {
                continue;
            }
            const std::string full = title.empty() ? item.title : title + " > " + item.title;
            auto inner = script_.open_submenu(item);
            if (!inner) {
                return Result<Chosen>{inner.error()};
            }
            const auto found = std::find_if(inner->begin(), inner->end(), [&](const MenuItem& entry) {
                return entry.title == name || entry.id == name;
            });
            if (found != inner->end()) {
                return take(*found, {}, full, depth + 1);
            }
            if (auto deeper = search(*inner, name, full, depth + 1)) {
                return deeper;
            }
        }
        return std::nullopt;
    }

private:
    Result<Chosen> load(const MenuItem& item, const std::string& title) {
        if (item.ready) {
            return Chosen{*item.ready, {}};
        }
        auto request = script_.run_entry(item);
        if (!request) {
            return request.error();
        }
        if (!request->kernel) {
            return Error{"the boot entry '" + printable(title) + "' starts no Linux kernel"};
        }
        return Chosen{{item.id, title, *request->kernel, request->initrds, request->cmdline}, {}};
    }

    GrubScript& script_;
};

} // namespace

Result<Chosen> choose_from_grub(GrubScript& script, const std::optional<std::string>& wanted) {
    const std::vector<MenuItem> items = script.menu();
    if (items.empty()) {
        return Error{"it has no menu entries"};
    }
    Walk walk{script};
    std::string rest = wanted.value_or(script.variable("default"));
    const std::string first = rest.empty() ? "0" : take_component(rest);
    if (const MenuItem* item = find_item(items, first)) {
        auto chosen = walk.take(*item, rest, {});
        if (chosen || wanted) {
            return chosen;
        }
    } else if (wanted) {
        const auto nested = walk.search(items, *wanted, {});
        return nested ? *nested : Result<Chosen>{no_such_entry(*wanted, items)};
    } else if (auto nested = walk.search(items, first, {})) {
        return *nested;
    }
    // A default that is gone or starts something else, such as the firmware's setup: GRUB would show its menu.
    std::string why;
    for (const MenuItem& item : items) {
        auto chosen = walk.take(item, {}, {});
        if (chosen) {
            chosen->note = "the default boot entry '" + printable(script.variable("default")) +
                           "' boots no kernel; taking '" + printable(chosen->entry.title) + "'";
            return chosen;
        }
        why = why.empty() ? chosen.error().message : why;
    }
    return Error{why};
}

Result<Chosen> choose_from_simple(const SimpleMenu& menu, const std::optional<std::string>& wanted) {
    const std::string name = wanted.value_or(menu.default_entry.empty() ? "0" : menu.default_entry);
    const BootEntry* entry = find_item(menu.entries, name);
    if (wanted && entry == nullptr) {
        return no_such_entry(name, menu.entries);
    }
    if (entry != nullptr && !entry->kernel.path.empty()) {
        return Chosen{*entry, {}};
    }
    if (wanted) {
        return Error{"the boot entry '" + printable(entry->title) + "' starts no kernel"};
    }
    const auto other = std::find_if(menu.entries.begin(), menu.entries.end(),
                                    [](const BootEntry& candidate) { return !candidate.kernel.path.empty(); });
    if (other == menu.entries.end()) {
        return Error{"it has no entry that starts a kernel"};
    }
    return Chosen{*other, "the default boot entry '" + printable(name) + "' boots no kernel; taking '" +
                              printable(other->title) + "'"};
}

} // namespace parapet::bootdisk
