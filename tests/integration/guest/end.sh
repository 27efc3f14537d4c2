#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /sbin/poweroff and /sbin/reboot of the test guests, as the kernel calls them when the store's control/shutdown asks:
# there is no init daemon to tell.
exec /bin/busybox "${0##*/}" -f
