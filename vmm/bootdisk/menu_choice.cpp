// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/menu_choice.hpp"

#include "vmm/bootdisk/text_lines.hpp"
#include "vmm/bootdisk/volumes.hpp"

#include <algorithm>
#include <charconv>

namespace parapet::bootdisk {
namespace {

constexpr unsigned max_nesting = 8;
constexpr std::size_t titles_shown = 12;
constexpr unsigned max_attempts = 40;

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

bool shown(const MenuItem& item) {
    return !item.is_hidden;
}
bool shown(const BootEntry&) {
    return true;
}

/// By title or id, or by its number among those that a menu shows.
template <typename Item>
const Item* find_item(const std::vector<Item>& items, const std::string& name) {
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const Item& item) { return item.title == name || item.id == name; });
    if (found != items.end()) {
        return &*found;
    }
    auto number = as_number(name);
    for (const Item& item : items) {
        if (number && shown(item) && (*number)-- == 0) {
            return &item;
        }
    }
    return nullptr;
}

template <typename Item>
std::string titles(const std::vector<Item>& items) {
    std::string text;
    std::size_t count = 0;
    for (const Item& item : items) {
        if (shown(item) && count++ < titles_shown) {
            text += (text.empty() ? "" : ", ") + std::to_string(count - 1) + " '" + printable(item.title) + "'";
        }
    }
    return text + (count > titles_shown ? ", ..." : "");
}

template <typename Item>
Error no_such_entry(const std::string& name, const std::vector<Item>& items) {
    return Error{"there is no boot entry '" + printable(name) + "'; there are: " + titles(items)};
}

/// Why entries were passed over; the first reason is the one to tell.
class PassedOver {
public:
    void add(const Error& why) {
        attempts_++;
        if (std::find(reasons_.begin(), reasons_.end(), why.message) == reasons_.end()) {
            reasons_.push_back(why.message); // the default one comes up again among all
        }
    }
    [[nodiscard]] bool enough() const { return attempts_ >= max_attempts; }
    [[nodiscard]] Error error() const { return Error{reasons_.empty() ? "it has no menu entries" : reasons_.front()}; }
    Chosen instead(Chosen chosen) const {
        if (!reasons_.empty()) {
            const std::string others =
                reasons_.size() > 1 ? " (and " + std::to_string(reasons_.size() - 1) + " more)" : std::string{};
            chosen.note = reasons_.front() + others + "; taking '" + printable(chosen.entry.title) + "'";
        }
        return chosen;
    }

private:
    std::vector<std::string> reasons_;
    unsigned attempts_ = 0;
};

/// Walks a GRUB menu.
class Walk {
public:
    Walk(GrubScript& script, const EntryCheck& usable) : script_{script}, usable_{usable} {}

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

    /// By a name or path as `default` has it, in any menu.
    Result<Chosen> by_name(const std::vector<MenuItem>& items, const std::string& path) {
        std::string rest = path;
        const std::string first = rest.empty() ? "0" : take_component(rest);
        if (const MenuItem* item = find_item(items, first)) {
            return take(*item, rest, {});
        }
        auto nested = search(items, path, {});
        return nested ? *std::move(nested) : Result<Chosen>{no_such_entry(path, items)};
    }

    /// The first that can be used, in the order of the menus.
    std::optional<Chosen> any(const std::vector<MenuItem>& items, PassedOver& passed, const std::string& title,
                              unsigned depth = 0) {
        for (const MenuItem& item : items) {
            if (item.is_hidden || passed.enough()) {
                continue;
            }
            if (item.is_submenu) {
                const auto inner = depth < max_nesting ? script_.open_submenu(item) : Error{"nested too deeply"};
                const std::string full = title.empty() ? item.title : title + " > " + item.title;
                auto found = inner ? any(*inner, passed, full, depth + 1) : std::nullopt;
                if (found) {
                    return found;
                }
            } else if (auto chosen = take(item, {}, title, depth)) {
                return *std::move(chosen);
            } else {
                passed.add(chosen.error());
            }
        }
        return std::nullopt;
    }

private:
    Result<Chosen> load(const MenuItem& item, const std::string& title) {
        BootEntry entry;
        if (item.ready) {
            entry = *item.ready;
        } else {
            auto request = script_.run_entry(item);
            if (!request) {
                return request.error();
            }
            if (!request->kernel) {
                return Error{"the boot entry '" + printable(title) + "' starts no Linux kernel"};
            }
            entry = {item.id, title, *request->kernel, request->initrds, request->cmdline};
        }
        if (auto there = usable_(entry); !there) {
            return there.error();
        }
        return Chosen{std::move(entry), {}};
    }

    GrubScript& script_;
    const EntryCheck& usable_;
};

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> words;
    for (const std::string_view word : words_of(text)) {
        words.emplace_back(word);
    }
    return words;
}

constexpr std::size_t max_offers = 60;

void add_offers(GrubScript& script, const std::vector<MenuItem>& items, const std::string& path,
                std::vector<std::string>& offers, unsigned depth) {
    std::size_t number = 0;
    for (const MenuItem& item : items) {
        const std::string name = item.is_hidden ? "-" : path + std::to_string(number++);
        if (offers.size() >= max_offers) {
            return;
        }
        offers.push_back(name + " '" + printable(item.title) + "'" + (item.is_hidden ? " (hidden)" : ""));
        const auto inner = item.is_submenu && depth < max_nesting ? script.open_submenu(item) : Error{"no submenu"};
        if (inner) {
            add_offers(script, *inner, name + ">", offers, depth + 1);
        }
    }
}

Result<BootEntry> checked(const BootEntry& entry, const EntryCheck& usable) {
    BootEntry copy = entry;
    if (copy.kernel.path.empty()) {
        return Error{"the boot entry '" + printable(entry.title) + "' starts no kernel"};
    }
    if (auto there = usable(copy); !there) {
        return there.error();
    }
    return copy;
}

} // namespace

std::vector<std::string> offers_of(GrubScript& script) {
    std::vector<std::string> offers;
    const std::vector<MenuItem> items = script.menu();
    add_offers(script, items, {}, offers, 0);
    return offers;
}

std::vector<std::string> offers_of(const SimpleMenu& menu) {
    std::vector<std::string> offers;
    for (std::size_t i = 0; i < menu.entries.size() && i < max_offers; i++) {
        offers.push_back(std::to_string(i) + " '" + printable(menu.entries[i].title) + "'");
    }
    return offers;
}

Result<Chosen> choose_from_grub(GrubScript& script, const std::optional<std::string>& wanted,
                                const EntryCheck& usable) {
    const std::vector<MenuItem> items = script.menu();
    if (items.empty()) {
        return Error{"it has no menu entries"};
    }
    Walk walk{script, usable};
    if (wanted) {
        return walk.by_name(items, *wanted);
    }
    // GRUB tries the default, then what `fallback` names, and shows its menu then; a user would take the next.
    PassedOver passed;
    std::vector<std::string> names = split(script.variable("fallback"));
    names.insert(names.begin(), script.variable("default"));
    for (const std::string& name : names) {
        auto chosen = walk.by_name(items, name);
        if (chosen) {
            return passed.instead(*std::move(chosen));
        }
        passed.add(chosen.error());
    }
    auto chosen = walk.any(items, passed, {});
    return chosen ? Result<Chosen>{passed.instead(*std::move(chosen))} : passed.error();
}

Result<Chosen> choose_from_simple(const SimpleMenu& menu, const std::optional<std::string>& wanted,
                                  const EntryCheck& usable) {
    if (wanted) {
        const BootEntry* entry = find_item(menu.entries, *wanted);
        if (entry == nullptr) {
            return no_such_entry(*wanted, menu.entries);
        }
        auto found = checked(*entry, usable);
        return found ? Result<Chosen>{Chosen{*std::move(found), {}}} : found.error();
    }
    PassedOver passed;
    std::vector<const BootEntry*> order;
    std::vector<std::string> names = menu.fallbacks;
    names.insert(names.begin(), menu.default_entry.empty() ? "0" : menu.default_entry);
    for (const std::string& name : names) {
        order.push_back(find_item(menu.entries, name));
        if (order.back() == nullptr) {
            passed.add(no_such_entry(name, menu.entries));
            order.pop_back();
        }
    }
    for (const BootEntry& entry : menu.entries) {
        order.push_back(&entry);
    }
    for (std::size_t i = 0; i < order.size() && !passed.enough(); i++) {
        if (std::find(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(i), order[i]) !=
            order.begin() + static_cast<std::ptrdiff_t>(i)) {
            continue;
        }
        auto found = checked(*order[i], usable);
        if (found) {
            return passed.instead({*std::move(found), {}});
        }
        passed.add(found.error());
    }
    return passed.error();
}

} // namespace parapet::bootdisk
