// SPDX-License-Identifier: Apache-2.0
#include "backends/disk/block_backend.hpp"

#include "backends/disk/vdev.hpp"
#include "pv-abi/doorbell.hpp"
#include "support/base_name.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <string_view>
#include <utility>

namespace parapet::disk {
namespace {

constexpr unsigned most_ring_page_order = 4; ///< XENBUS_MAX_RING_GRANT_ORDER

boost::json::object as_json(const Counters& counters) {
    return {{"reads", counters.reads.value()},
            {"writes", counters.writes.value()},
            {"flushes", counters.flushes.value()},
            {"discards", counters.discards.value()},
            {"bytes_read", counters.bytes_read.value()},
            {"bytes_written", counters.bytes_written.value()},
            {"bytes_discarded", counters.bytes_discarded.value()},
            {"indirect", counters.indirect.value()},
            {"merged", counters.merged.value()},
            {"errors", counters.errors.value()},
            {"retries", counters.retries.value()},
            {"refused", counters.refused.value()},
            {"throttled", counters.throttled.value()},
            {"signals", counters.signals.value()}};
}

std::string flag(bool on) {
    return on ? "1" : "0";
}

} // namespace

BlockBackend::BlockBackend(const devices::BackendContext& context, const DiskSpec& spec,
                           std::unique_ptr<DiskTarget> target, std::string params)
    : context_{context}, spec_{spec}, name_{vdev_name(spec.vdev.value_or(0))}, params_{std::move(params)},
      target_{std::move(target)} {
    target_->watch([this] { geometry_changed(); });
}

xenbus::Nodes BlockBackend::frontend_nodes() const {
    return {{"virtual-device", std::to_string(spec_.vdev.value_or(0))},
            {"device-type", spec_.cdrom ? "cdrom" : "disk"}};
}

xenbus::Nodes BlockBackend::backend_nodes() const {
    return {{"params", base_name(params_)}, // the guest reads it: no path of the host
            {"dev", name_},
            {"type", "phy"},
            {"mode", spec_.read_only || target_->geometry().read_only ? "r" : "w"},
            {"removable", flag(spec_.removable)},
            {"discard-enable", flag(spec_.discard.value_or(true))},
            {"direct-io-safe", flag(spec_.direct_io_safe)},
            {"device-type", spec_.cdrom ? "cdrom" : "disk"}};
}

xenbus::Nodes BlockBackend::offer() {
    const Geometry& geometry = target_->geometry();
    xenbus::Nodes nodes{{"max-ring-page-order", std::to_string(most_ring_page_order)},
                        {"multi-queue-max-queues", std::to_string(spec_.queues)},
                        {"feature-max-indirect-segments", std::to_string(most_indirect_segments)},
                        {"feature-persistent", flag(spec_.persistent)},
                        {"feature-flush-cache", flag(geometry.flush)},
                        {"feature-barrier", flag(geometry.flush)}};
    const bool discard = geometry.discard && spec_.discard.value_or(true) && !spec_.read_only && !geometry.read_only;
    nodes.emplace_back("feature-discard", flag(discard));
    if (discard) {
        nodes.emplace_back("discard-granularity", std::to_string(geometry.discard_granularity));
        nodes.emplace_back("discard-alignment", "0");
        nodes.emplace_back("discard-secure", "0");
    }
    return nodes;
}

xenbus::Nodes BlockBackend::geometry_nodes() const {
    const Geometry& geometry = target_->geometry();
    const std::uint32_t sector = BlockDevice::sector_size(spec_, geometry);
    // The whole disk must be a multiple of the physical sector (blkif.h: "sectors").
    const bool whole = geometry.physical_block > sector && geometry.bytes % geometry.physical_block == 0;
    const unsigned info = (spec_.cdrom ? abi::VDISK_CDROM : 0) | (spec_.removable ? abi::VDISK_REMOVABLE : 0) |
                          (spec_.read_only || geometry.read_only ? abi::VDISK_READONLY : 0);
    return {{"sectors", std::to_string(BlockDevice::whole_sectors(spec_, geometry))},
            {"info", std::to_string(info)},
            {"sector-size", std::to_string(sector)},
            {"physical-sector-size", std::to_string(whole ? geometry.physical_block : sector)}};
}

Result<BlockBackend::Wanted> BlockBackend::read_frontend(const xenbus::FrontendNodes& frontend) const {
    Wanted wanted;
    const std::string protocol = frontend.text("protocol").value_or(abi::XEN_IO_PROTO_ABI_X86_64);
    if (protocol == abi::XEN_IO_PROTO_ABI_X86_32) {
        wanted.protocol = Protocol::x86_32;
    } else if (protocol != abi::XEN_IO_PROTO_ABI_X86_64) {
        return Error{name_ + ": the frontend speaks an unknown protocol; x86_64-abi and x86_32-abi are there"};
    }
    wanted.persistent = spec_.persistent && frontend.number("feature-persistent", 1).value_or(0) == 1;
    std::optional<std::uint64_t> order;
    if (frontend.text("ring-page-order")) {
        order = frontend.number("ring-page-order", most_ring_page_order);
        if (!order) {
            return Error{name_ + ": the frontend's ring-page-order is not a number up to " +
                         std::to_string(most_ring_page_order)};
        }
    }
    std::uint64_t queues = 1;
    if (frontend.text("multi-queue-num-queues")) {
        queues = frontend.number("multi-queue-num-queues", spec_.queues).value_or(0);
        if (queues == 0) {
            return Error{name_ + ": the frontend's multi-queue-num-queues is not a number from 1 to " +
                         std::to_string(spec_.queues)};
        }
    }
    for (std::uint64_t index = 0; index < queues; ++index) {
        auto queue = read_queue(frontend, queues == 1 ? "" : "queue-" + std::to_string(index) + "/", order);
        if (!queue) {
            return Error{name_ + ": " + queue.error().message};
        }
        wanted.queues.push_back(*std::move(queue));
    }
    return wanted;
}

Result<BlockBackend::Wanted::Queue> BlockBackend::read_queue(const xenbus::FrontendNodes& frontend,
                                                             const std::string& prefix,
                                                             std::optional<std::uint64_t> page_order) {
    Wanted::Queue queue;
    const std::uint64_t pages = std::uint64_t{1} << page_order.value_or(0);
    for (std::uint64_t page = 0; page < pages; ++page) {
        const std::string node = prefix + "ring-ref";
        auto ref = page_order ? frontend.number(node + std::to_string(page)) : frontend.number(node);
        if (!ref && pages == 1) { // with an order of 0, either name is in use
            ref = frontend.number(page_order ? node : node + "0");
        }
        if (!ref) {
            return Error{"the frontend names no grant of its ring (" + node + ")"};
        }
        queue.ring.push_back(grants::GrantRef{static_cast<std::uint32_t>(*ref)});
    }
    const auto port = frontend.number(prefix + "event-channel", doorbell::MAX_PORTS - 1);
    if (!port || *port == 0) {
        return Error{"the frontend names no event channel (" + prefix + "event-channel)"};
    }
    queue.port = static_cast<std::uint32_t>(*port);
    return queue;
}

Result<xenbus::Nodes> BlockBackend::connect(const xenbus::FrontendNodes& frontend) {
    if (connected_) {
        return Error{name_ + ": it is connected already"};
    }
    const auto wanted = read_frontend(frontend);
    if (!wanted) {
        return wanted.error();
    }
    Result<void> attached;
    xenbus::Nodes nodes;
    context_.io.call([&] { // the geometry, too, is the I/O thread's
        attached = attach(*wanted);
        nodes = geometry_nodes();
    });
    if (!attached) {
        return attached.error();
    }
    connected_ = true;
    nr_queues_ = static_cast<unsigned>(wanted->queues.size());
    return nodes;
}

Result<void> BlockBackend::attach(const Wanted& wanted) {
    for (auto queue = wanted.queues.begin(); queue != wanted.queues.end(); ++queue) {
        const bool twice =
            std::any_of(wanted.queues.begin(), queue, [&](const auto& other) { return other.port == queue->port; });
        if (twice || !context_.io.port_is_free(queue->port)) {
            return Error{name_ + ": the frontend's event channel " + std::to_string(queue->port) +
                         " is in use already"};
        }
    }
    std::vector<QueueAttachment> attachments;
    for (const auto& queue : wanted.queues) {
        QueueAttachment& attachment = attachments.emplace_back();
        attachment.protocol = wanted.protocol;
        attachment.port = queue.port;
        attachment.persistent = wanted.persistent;
        for (const auto ref : queue.ring) {
            grants::Lease lease;
            auto status = context_.grants.take(ref, grants::GrantAccess::write, lease);
            const bool whole = status == grants::GrantStatus::okay && lease.first == 0 && lease.end == 4096;
            if (status == grants::GrantStatus::okay) {
                attachment.pages.push_back(lease);
            }
            if (!whole) {
                for (const auto& made : attachments) {
                    for (const auto& taken : made.pages) {
                        context_.grants.give_back(taken);
                    }
                }
                return Error{name_ + ": the ring cannot be used: its grant " +
                             std::to_string(static_cast<std::uint32_t>(ref)) + " is " +
                             (status == grants::GrantStatus::okay ? "for a part of a page" : describe(status))};
            }
        }
    }
    const auto complain = [this](std::string_view what) {
        on_control([this, what = std::string{what}] { context_.log(name_ + ": " + what); });
    };
    const auto broken = [this](const std::string& why) {
        if (std::exchange(broken_, true)) {
            return;
        }
        for (const auto& queue : queues_) {
            queue->stop();
        }
        on_control([this, why] {
            if (fail) {
                fail(name_ + ": " + why);
            }
        });
    };
    broken_ = false;
    // NOLINTNEXTLINE(modernize-make-unique): an aggregate, which clang 14 cannot make from parentheses
    device_.reset(new BlockDevice{context_.io, context_.grants, *target_, spec_, counters_, complain, broken});
    for (auto& attachment : attachments) {
        queues_.push_back(std::make_unique<BlockQueue>(*device_, std::move(attachment)));
    }
    for (const auto& queue : queues_) {
        queue->start();
    }
    return {};
}

void BlockBackend::disconnect(std::function<void()> done) {
    if (!connected_) {
        return done();
    }
    waiting_.push_back(std::move(done));
    if (waiting_.size() > 1) {
        return; // under way
    }
    context_.io.post([this] {
        draining_ = queues_.size();
        for (const auto& queue : queues_) {
            queue->drain([this] { queue_drained(); });
        }
    });
}

void BlockBackend::abandon() {
    if (connected_) {
        // Before the disconnect under way is done: that takes a later turn of the I/O thread.
        context_.io.post([this] { target_->abandon(); });
    }
}

void BlockBackend::queue_drained() {
    if (--draining_ != 0) {
        return;
    }
    on_control([this] {
        // The queues are still on the stack of the round that ended their last request: they go in a later one.
        context_.io.call([this] {
            queues_.clear();
            device_.reset();
        });
        connected_ = false;
        for (const auto& done : std::exchange(waiting_, {})) {
            done();
        }
    });
}

void BlockBackend::geometry_changed() {
    if (device_) {
        device_->sectors = BlockDevice::whole_sectors(spec_, target_->geometry());
    }
    on_control([this, nodes = geometry_nodes()] {
        if (publish && connected_) {
            publish(nodes);
        }
    });
}

void BlockBackend::on_control(std::function<void()> what) {
    boost::asio::post(context_.control, [alive = std::weak_ptr{alive_}, what = std::move(what)] {
        if (const auto still = alive.lock()) {
            what();
        }
    });
}

boost::json::object BlockBackend::statistics() const {
    boost::json::object all = as_json(counters_);
    all["queues"] = connected_ ? nr_queues_ : 0;
    return all;
}

} // namespace parapet::disk
