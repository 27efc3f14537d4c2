// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/disk_spec.hpp"

#include "backends/disk/rate_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace parapet::disk {
namespace {

struct NamedFormat {
    std::string_view text;
    Format format;
};
constexpr std::array formats{
    NamedFormat{"raw", Format::raw},   NamedFormat{"qcow", Format::qcow}, NamedFormat{"qcow2", Format::qcow2},
    NamedFormat{"qed", Format::qed},   NamedFormat{"vhd", Format::vhd},   NamedFormat{"vpc", Format::vhd},
    NamedFormat{"vhdx", Format::vhdx}, NamedFormat{"vmdk", Format::vmdk}, NamedFormat{"vdi", Format::vdi},
    NamedFormat{"aio", Format::raw}, // what xl still takes for raw
};

std::optional<Format> format_of(std::string_view text) {
    const auto* found = std::ranges::find(formats, text, &NamedFormat::text);
    return found == formats.end() ? std::nullopt : std::optional{found->format};
}

std::string quoted(std::string_view text) {
    return "'" + std::string{text} + "'";
}

bool is_keyword(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

/// Puts the parts of a specification together, in the order in which they come.
class Parser {
public:
    explicit Parser(std::string_view text) : whole_{text}, rest_{text} {}

    Result<DiskSpec> parse() {
        while (!rest_.empty()) {
            if (auto done = part(); !done) {
                return fail(done.error().message);
            }
        }
        return checked();
    }

private:
    struct Keyword {
        std::string_view name;
        Result<void> (Parser::*set)(std::string_view value);
    };
    struct Flag {
        std::string_view name;
        Result<void> (Parser::*set)();
    };
    static const std::array<Keyword, 21> keywords;
    static const std::array<Flag, 5> flags;

    Error fail(const std::string& what) const { return Error{"disk " + quoted(whole_) + ": " + what}; }

    Result<void> part() {
        while (rest_.starts_with(' ') || rest_.starts_with('\t')) {
            rest_.remove_prefix(1);
        }
        if (rest_.starts_with("target=")) { // takes all that follows
            const std::string_view value = rest_.substr(7);
            rest_ = {};
            return once("target") ? set_target(value) : twice("target");
        }
        const auto comma = rest_.find(',');
        const std::string_view text = rest_.substr(0, comma);
        rest_ = comma == std::string_view::npos ? std::string_view{} : rest_.substr(comma + 1);
        const auto equals = text.find('=');
        if (equals != std::string_view::npos && is_keyword(text.substr(0, equals))) {
            return keyword(text.substr(0, equals), text.substr(equals + 1));
        }
        const auto flag = std::ranges::find(flags, text, &Flag::name);
        return flag != flags.end() ? (this->*flag->set)() : positional(text);
    }

    Result<void> keyword(std::string_view name, std::string_view value) {
        const auto found = std::ranges::find(keywords, name, &Keyword::name);
        if (found == keywords.end()) {
            return Error{"unknown option " + quoted(name)};
        }
        if (!once(name)) {
            return twice(name);
        }
        return value.empty() ? Result<void>{} : (this->*found->set)(value); // empty: the default
    }

    Result<void> positional(std::string_view text) {
        static constexpr std::array<std::string_view, 4> order{"target", "format", "vdev", "access"};
        while (position_ < order.size() &&
               (given(order[position_]) || (order[position_] == "format" && deprecated_prefix_))) {
            ++position_;
        }
        if (position_ == order.size()) {
            return Error{"one part too many: " + quoted(text) + "; the order is target,format,vdev,access"};
        }
        const std::string_view name = order[position_++];
        (void)once(name);
        if (text.empty()) {
            return {};
        }
        if (name == "target") {
            return set_target(without_prefixes(text));
        }
        return name == "format" ? set_format(text) : name == "vdev" ? set_vdev(text) : set_access(text);
    }

    /// "tap:qcow2:/disk": what xend had before format= and backendtype=.
    std::string_view without_prefixes(std::string_view text) {
        static constexpr std::array<std::string_view, 6> backends{
            "tapdisk:", "tap2:", "tap:", "ioemu:", "file:", "phy:"};
        for (bool again = true; again;) {
            again = false;
            for (const auto prefix : backends) {
                if (text.starts_with(prefix)) {
                    text.remove_prefix(prefix.size());
                    deprecated_prefix_ = again = true;
                }
            }
            const auto colon = text.find(':');
            if (const auto format = format_of(text.substr(0, colon)); colon != std::string_view::npos && format) {
                text.remove_prefix(colon + 1);
                spec_.format = format;
                deprecated_prefix_ = again = true;
                (void)once("format");
            }
        }
        return text;
    }

    bool given(std::string_view name) const { return std::ranges::find(given_, name) != given_.end(); }
    bool once(std::string_view name) {
        if (given(name)) {
            return false;
        }
        given_.emplace_back(name);
        return true;
    }
    static Result<void> twice(std::string_view name) { return Error{quoted(name) + " is given twice"}; }

    Result<void> set_target(std::string_view value) {
        spec_.target = value;
        return {};
    }
    Result<void> set_format(std::string_view value) {
        spec_.format = format_of(value);
        if (!spec_.format) {
            return Error{"unknown format " + quoted(value) + "; use raw, qcow2, vhd, vhdx, vmdk, vdi, qcow or qed"};
        }
        return {};
    }
    Result<void> set_vdev(std::string_view value) {
        for (const std::string_view suffix : {":cdrom", ":disk"}) { // as xend had it
            if (value.ends_with(suffix)) {
                value.remove_suffix(suffix.size());
                spec_.cdrom = spec_.cdrom || suffix == ":cdrom";
            }
        }
        const auto number = parse_vdev(value);
        if (!number) {
            return number.error();
        }
        spec_.vdev = *number;
        return {};
    }
    Result<void> set_access(std::string_view value) {
        if (value != "r" && value != "ro" && value != "w" && value != "rw") {
            return Error{"access is " + quoted(value) + "; use rw, w, ro or r"};
        }
        writable_ = value == "w" || value == "rw";
        spec_.read_only = !writable_;
        return {};
    }
    Result<void> set_devtype(std::string_view value) {
        if (value != "cdrom" && value != "disk") {
            return Error{"devtype is " + quoted(value) + "; use disk or cdrom"};
        }
        spec_.cdrom = value == "cdrom";
        return {};
    }
    Result<void> set_backendtype(std::string_view value) {
        if (value != "phy" && value != "tap" && value != "qdisk" && value != "standalone") {
            return Error{"backendtype is " + quoted(value) + "; leave it out, or use phy, tap, qdisk or standalone"};
        }
        return {}; // one backend serves them all
    }
    Result<void> set_backend(std::string_view value) {
        if (value != "0" && value != "Domain-0") {
            return Error{"backend is " + quoted(value) + ", but disks are served by the host only; leave it out"};
        }
        return {};
    }
    Result<void> set_script(std::string_view value) {
        return Error{"script " + quoted(value) + " is not run here; prepare the device first and leave it out"};
    }
    Result<void> set_specification(std::string_view value) {
        if (value != "xen") {
            return Error{"specification is " + quoted(value) + "; only xen is there"};
        }
        return {};
    }
    static Result<bool> truth(std::string_view name, std::string_view value) {
        if (value == "1" || value == "yes" || value == "on" || value == "true") {
            return true;
        }
        if (value == "0" || value == "no" || value == "off" || value == "false") {
            return false;
        }
        return Error{std::string{name} + " is " + quoted(value) + "; use yes or no"};
    }
    Result<void> set_truth(bool& to, std::string_view name, std::string_view value) {
        const auto is = truth(name, value);
        if (!is) {
            return is.error();
        }
        to = *is;
        return {};
    }
    Result<void> set_removable(std::string_view value) { return set_truth(spec_.removable, "removable", value); }
    Result<void> set_persistent(std::string_view value) { return set_truth(spec_.persistent, "persistent", value); }
    Result<void> set_direct_io_safe(std::string_view value) {
        return set_truth(spec_.direct_io_safe, "direct-io-safe", value);
    }
    Result<void> set_discard(std::string_view value) {
        bool is = false;
        auto done = set_truth(is, "discard", value);
        spec_.discard = is;
        return done;
    }
    Result<void> set_sector_size(std::string_view value) {
        if (value != "512" && value != "4096") {
            return Error{"sector-size is " + quoted(value) + "; use 512 or 4096"};
        }
        spec_.sector_size = value == "512" ? 512 : 4096;
        return {};
    }
    static Result<void> set_number(std::uint64_t& to, std::string_view name, std::optional<std::uint64_t> number,
                                   std::string_view value, const char* example) {
        if (!number) {
            return Error{std::string{name} + " is " + quoted(value) + "; use a number such as " + example};
        }
        to = *number;
        return {};
    }
    Result<void> set_iops(std::string_view value) {
        return set_number(spec_.limits.iops, "iops", parse_count_rate(value), value, "500 or 20k");
    }
    Result<void> set_iops_burst(std::string_view value) {
        return set_number(spec_.limits.iops_burst, "iops-burst", parse_count_rate(value), value, "500 or 20k");
    }
    Result<void> set_bps(std::string_view value) {
        return set_number(spec_.limits.bytes_per_second, "bps", parse_byte_rate(value), value, "10MB/s or 80Mb/s");
    }
    Result<void> set_bps_burst(std::string_view value) {
        return set_number(spec_.limits.bytes_burst, "bps-burst", parse_byte_rate(value), value, "10MB or 64MiB");
    }
    Result<void> set_on_error(std::string_view value) {
        if (value != "report" && value != "wait") {
            return Error{"on-error is " + quoted(value) + "; use report or wait"};
        }
        spec_.on_error = value == "wait" ? OnError::wait : OnError::report;
        return {};
    }
    Result<void> set_cache(std::string_view value) {
        if (value != "direct" && value != "buffered") {
            return Error{"cache is " + quoted(value) + "; use direct or buffered"};
        }
        spec_.cache = value == "direct" ? Cache::direct : Cache::buffered;
        return {};
    }
    Result<void> set_queues(std::string_view value) {
        unsigned number = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
        if (error != std::errc{} || end != value.data() + value.size() || number < 1 || number > 16) {
            return Error{"queues is " + quoted(value) + "; use a number from 1 to 16"};
        }
        spec_.queues = number;
        return {};
    }

    Result<void> flag_cdrom() {
        spec_.cdrom = true;
        return {};
    }
    Result<void> flag_removable() {
        spec_.removable = true;
        return {};
    }
    Result<void> flag_direct_io_safe() {
        spec_.direct_io_safe = true;
        return {};
    }
    Result<void> flag_discard() {
        spec_.discard = true;
        return once("discard") ? Result<void>{} : twice("discard");
    }
    Result<void> flag_no_discard() {
        spec_.discard = false;
        return once("discard") ? Result<void>{} : twice("discard");
    }

    Result<DiskSpec> checked() {
        if (spec_.target.empty()) {
            return fail(spec_.cdrom ? "no target: an empty drive is not possible yet, name an image"
                                    : "no target: name an image or a block device");
        }
        if (spec_.cdrom) {
            if (writable_) {
                return fail("a cdrom cannot be written; leave the access out or use ro");
            }
            spec_.read_only = spec_.removable = true;
        }
        if (spec_.limits.iops_burst != 0 && spec_.limits.iops == 0) {
            return fail("iops-burst without iops= limits nothing");
        }
        if (spec_.limits.bytes_burst != 0 && spec_.limits.bytes_per_second == 0) {
            return fail("bps-burst without bps= limits nothing");
        }
        if (spec_.is_remote() && spec_.format.value_or(Format::raw) != Format::raw) {
            return fail("an NBD server gives raw data; leave the format out");
        }
        return std::move(spec_);
    }

    std::string_view whole_, rest_;
    DiskSpec spec_;
    std::vector<std::string> given_;
    std::size_t position_ = 0;
    bool deprecated_prefix_ = false, writable_ = false;
};

const std::array<Parser::Keyword, 21> Parser::keywords{{
    {"format", &Parser::set_format},
    {"vdev", &Parser::set_vdev},
    {"access", &Parser::set_access},
    {"devtype", &Parser::set_devtype},
    {"backendtype", &Parser::set_backendtype},
    {"backend", &Parser::set_backend},
    {"script", &Parser::set_script},
    {"specification", &Parser::set_specification},
    {"removable", &Parser::set_removable},
    {"direct-io-safe", &Parser::set_direct_io_safe},
    {"discard", &Parser::set_discard},
    {"sector-size", &Parser::set_sector_size},
    {"iops", &Parser::set_iops},
    {"iops-burst", &Parser::set_iops_burst},
    {"bps", &Parser::set_bps},
    {"bandwidth", &Parser::set_bps},
    {"bps-burst", &Parser::set_bps_burst},
    {"on-error", &Parser::set_on_error},
    {"cache", &Parser::set_cache},
    {"queues", &Parser::set_queues},
    {"persistent", &Parser::set_persistent},
}};
const std::array<Parser::Flag, 5> Parser::flags{{
    {"cdrom", &Parser::flag_cdrom},
    {"removable", &Parser::flag_removable},
    {"direct-io-safe", &Parser::flag_direct_io_safe},
    {"discard", &Parser::flag_discard},
    {"no-discard", &Parser::flag_no_discard},
}};

} // namespace

Result<DiskSpec> parse_disk_spec(std::string_view text) {
    return Parser{text}.parse();
}

std::string disk_spec_text(const DiskSpec& spec) {
    std::string text;
    const auto add = [&](const char* key, const std::string& value) { text += std::string{key} + "=" + value + ","; };
    const auto add_number = [&](const char* key, std::uint64_t value) {
        if (value != 0) {
            add(key, std::to_string(value));
        }
    };
    if (spec.format) {
        add("format", format_name(*spec.format));
    }
    if (spec.vdev) {
        add("vdev", std::to_string(*spec.vdev));
    }
    add("access", spec.read_only ? "ro" : "rw");
    if (spec.cdrom) {
        add("devtype", "cdrom");
    }
    if (spec.discard) {
        add("discard", *spec.discard ? "yes" : "no");
    }
    add("removable", spec.removable ? "yes" : "no");
    add("direct-io-safe", spec.direct_io_safe ? "yes" : "no");
    add("persistent", spec.persistent ? "yes" : "no");
    add_number("sector-size", spec.sector_size);
    add_number("iops", spec.limits.iops);
    add_number("iops-burst", spec.limits.iops_burst);
    add_number("bps", spec.limits.bytes_per_second);
    add_number("bps-burst", spec.limits.bytes_burst);
    add("on-error", spec.on_error == OnError::wait ? "wait" : "report");
    add("cache", spec.cache == Cache::direct ? "direct" : "buffered");
    add_number("queues", spec.queues);
    return text + "target=" + spec.target;
}

bool DiskSpec::is_remote() const {
    return std::ranges::any_of(std::array{"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"},
                               [&](const char* scheme) { return target.starts_with(scheme); });
}

const char* format_name(Format format) {
    switch (format) {
    case Format::raw:
        return "raw";
    case Format::qcow:
        return "qcow";
    case Format::qcow2:
        return "qcow2";
    case Format::qed:
        return "qed";
    case Format::vhd:
        return "vpc";
    case Format::vhdx:
        return "vhdx";
    case Format::vmdk:
        return "vmdk";
    case Format::vdi:
        return "vdi";
    }
    return "raw";
}

} // namespace parapet::disk
