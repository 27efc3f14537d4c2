// SPDX-License-Identifier: Apache-2.0
#include "backends/net/tap_device.hpp"

#include "backends/net/frame.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace parapet::net {

namespace {

Error failed(const std::string& what, int error, const std::string& remedy) {
    return Error{"cannot " + what + " (" + std::strerror(error) + "); " + remedy};
}

ifreq request_for(const std::string& name) {
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    return request;
}

/// One queue's descriptor; `name` becomes what the kernel chose.
Result<UniqueFd> open_queue(std::string& name, const TapOptions& options) {
    // Non-blocking, or Linux before 6.6 hands each operation of the ring to a worker thread.
    UniqueFd fd{::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    if (!fd.valid()) {
        return failed("open /dev/net/tun", errno, "load the module tun, or use the endpoint user");
    }
    ifreq request = request_for(name);
    request.ifr_flags =
        static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (options.queues > 1 ? IFF_MULTI_QUEUE : 0));
    if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
        const int error = errno;
        if (error == EPERM) {
            return failed("use the tap interface " + name, error,
                          "it takes CAP_NET_ADMIN, or an interface of yours: ip tuntap add NAME mode tap vnet_hdr user "
                          "$USER; or use the endpoint user");
        }
        if (error == EBUSY) {
            return failed("use the tap interface " + name, error, "another program has it; name another one");
        }
        return failed("use the tap interface " + name, error,
                      "it must be a tap interface (with multi_queue, if queues= is more than 1)");
    }
    name = request.ifr_name;
    int header = sizeof(virtio_net_hdr);
    if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) {
        return failed("set up the tap interface " + name, errno, "name another one");
    }
    return fd;
}

Result<void> configure(const std::string& name, const TapOptions& options) {
    const UniqueFd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request = request_for(name);
    if (options.mtu) {
        request.ifr_mtu = static_cast<int>(*options.mtu);
        if (::ioctl(socket.get(), SIOCSIFMTU, &request) != 0) {
            return failed("give " + name + " an MTU of " + std::to_string(*options.mtu), errno, "give another mtu=");
        }
    }
    if (!options.bridge.empty()) {
        const unsigned index = ::if_nametoindex(name.c_str());
        request = request_for(options.bridge);
        request.ifr_ifindex = static_cast<int>(index);
        if (::ioctl(socket.get(), SIOCBRADDIF, &request) != 0) {
            const int error = errno;
            return failed("put " + name + " into the bridge " + options.bridge, error,
                          error == ENODEV ? "there is no such bridge: ip link add " + options.bridge + " type bridge"
                                          : "bridge= names an existing bridge");
        }
    }
    request = request_for(name);
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
        if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0) {
            return {};
        }
    }
    return failed("bring " + name + " up", errno, "it takes CAP_NET_ADMIN");
}

} // namespace

Result<TapDevice> open_tap(const TapOptions& options) {
    TapDevice tap;
    tap.name = options.name.empty() ? "vif%d" : options.name;
    const bool there = !options.name.empty() && ::if_nametoindex(options.name.c_str()) != 0;
    if (options.exists && !there) {
        return Error{"there is no interface " + options.name + "; make it by 'ip tuntap add " + options.name +
                     " mode tap', or use tap,vifname=" + options.name};
    }
    if (!options.exists && there) {
        return Error{"there is an interface " + options.name + " already; use tap=" + options.name +
                     ", or another vifname="};
    }
    for (unsigned i = 0; i < options.queues; ++i) {
        auto queue = open_queue(tap.name, options);
        if (!queue) {
            return queue.error();
        }
        tap.queues.push_back(*std::move(queue));
    }
    if (!options.exists) {
        if (auto done = configure(tap.name, options); !done) {
            return done.error();
        }
    }
    return tap;
}

} // namespace parapet::net
