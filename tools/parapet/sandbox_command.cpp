// SPDX-License-Identifier: Apache-2.0
#include "tools/parapet/sandbox_command.hpp"

#include "backends/nbd/helper/filter/nbd_filter.hpp"
#include "tools/parapet/doctor/sandbox_report.hpp"
#include "tools/parapet/exit_status.hpp"
#include "vmm/bootdisk/confinement.hpp"
#include "vmm/control/sweeper.hpp"
#include "vmm/image/confined_decoder.hpp"
#include "vmm/sandbox.hpp"

#include <cstdio>

namespace parapet::cli {

int print_sandbox(bool json) {
    std::vector<FilterText> filters{vmm::sandbox_text(), vmm::control::Sweeper::filter_text(),
                                    image::decoder_filter_text()};
    for (const auto& more : {bootdisk::filter_texts(), nbd::filter_texts()}) {
        filters.insert(filters.end(), more.begin(), more.end());
    }
    const std::string text = json ? doctor::sandbox_json(filters) : doctor::sandbox_report(filters);
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    return written ? exit_powered_off : exit_failed;
}

} // namespace parapet::cli
