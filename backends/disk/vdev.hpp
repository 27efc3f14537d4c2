// SPDX-License-Identifier: Apache-2.0
// The names and numbers of virtual disks (xen-vbd-interface(7)): "xvda", "xvda1", "sdb", "hdc", "d5p2", "51712".
//
//   xvd, d   disk < 16 and partition < 16:   202 << 8 | disk << 4 | partition
//            else:                             1 << 28 | disk << 8 | partition
//   sd       disk < 16, partition < 16:         8 << 8 | disk << 4 | partition
//   hd       disk < 4, partition < 64:   (3 or 22) << 8 | (disk & 1) << 6 | partition
#pragma once

#include "support/result.hpp"

#include <string>
#include <string_view>

namespace parapet::disk {

/// A number of the device in xenstore (`virtual-device`).
using VdevNumber = unsigned;

/// The number that a name or a decimal or hexadecimal number stands for.
Result<VdevNumber> parse_vdev(std::string_view text);

/// Its usual name, or the number in decimal where there is none.
std::string vdev_name(VdevNumber number);

/// The whole disk `index` of the xvd kind: 0 is xvda.
VdevNumber xvd_disk(unsigned index);

} // namespace parapet::disk
