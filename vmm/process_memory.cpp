// SPDX-License-Identifier: Apache-2.0
#include "vmm/process_memory.hpp"

#include <fstream>
#include <string>

namespace parapet::vmm {

std::uint64_t own_memory_bytes() {
    std::ifstream status{"/proc/self/status"};
    std::string key;
    std::uint64_t total = 0;
    while (status >> key) {
        if (key == "RssAnon:" || key == "RssFile:") {
            std::uint64_t kib = 0;
            status >> kib;
            total += kib << 10;
        }
        status.ignore(4096, '\n');
    }
    return total;
}

} // namespace parapet::vmm
