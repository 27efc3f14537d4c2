# SPDX-License-Identifier: Apache-2.0
"""A TCP port on this machine's loopback that nobody listens on."""
import socket


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
