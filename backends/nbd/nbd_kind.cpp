// SPDX-License-Identifier: Apache-2.0
// From the user's specification of a disk to the helper's options.
#include "backends/nbd/nbd_source.hpp"

#include <utility>

namespace parapet::nbd {

namespace {

/// How long a request waits for a server that went. With on-error=wait the backend asks again and again anyway; the
/// shorter time keeps a detach from waiting.
std::chrono::milliseconds patience(disk::OnError on_error) {
    using std::chrono_literals::operator""s;
    return on_error == disk::OnError::wait ? 5s : 30s;
}

NbdOptions options_of(const disk::DiskSpec& spec) {
    NbdOptions options;
    if (spec.is_remote()) {
        options.uri = spec.target;
    } else {
        options.image = spec.target;
        options.format = disk::format_name(spec.format.value_or(disk::Format::raw));
    }
    options.read_only = spec.read_only;
    options.patience = patience(spec.on_error);
    return options;
}

} // namespace

disk::TargetKind nbd_kind(const Channel::Log& log) {
    return {"nbd", [log](const disk::DiskSpec& spec) { return open_nbd(options_of(spec), log); },
            [log](devices::Handover handover) { return nbd_from_handover(std::move(handover), log); }};
}

} // namespace parapet::nbd
