// SPDX-License-Identifier: Apache-2.0
// Error numbers; a hypercall returns them negated.
// Source: xen/include/public/errno.h.
#pragma once

namespace parapet::abi {

inline constexpr long XEN_EPERM = 1;
inline constexpr long XEN_ENOENT = 2;
inline constexpr long XEN_ESRCH = 3;
inline constexpr long XEN_EIO = 5;
inline constexpr long XEN_ENXIO = 6;
inline constexpr long XEN_E2BIG = 7;
inline constexpr long XEN_ENOEXEC = 8;
inline constexpr long XEN_EBADF = 9;
inline constexpr long XEN_ECHILD = 10;
inline constexpr long XEN_EAGAIN = 11;
inline constexpr long XEN_EWOULDBLOCK = 11;
inline constexpr long XEN_ENOMEM = 12;
inline constexpr long XEN_EACCES = 13;
inline constexpr long XEN_EFAULT = 14;
inline constexpr long XEN_EBUSY = 16;
inline constexpr long XEN_EEXIST = 17;
inline constexpr long XEN_EXDEV = 18;
inline constexpr long XEN_ENODEV = 19;
inline constexpr long XEN_ENOTDIR = 20;
inline constexpr long XEN_EISDIR = 21;
inline constexpr long XEN_EINVAL = 22;
inline constexpr long XEN_ENFILE = 23;
inline constexpr long XEN_EMFILE = 24;
inline constexpr long XEN_ENOSPC = 28;
inline constexpr long XEN_EROFS = 30;
inline constexpr long XEN_EMLINK = 31;
inline constexpr long XEN_EDOM = 33;
inline constexpr long XEN_ERANGE = 34;
inline constexpr long XEN_EDEADLK = 35;
inline constexpr long XEN_EDEADLOCK = 35;
inline constexpr long XEN_ENAMETOOLONG = 36;
inline constexpr long XEN_ENOLCK = 37;
inline constexpr long XEN_ENOSYS = 38;
inline constexpr long XEN_ENOTEMPTY = 39;
inline constexpr long XEN_ENODATA = 61;
inline constexpr long XEN_ETIME = 62;
inline constexpr long XEN_EBADMSG = 74;
inline constexpr long XEN_EOVERFLOW = 75;
inline constexpr long XEN_EILSEQ = 84;
inline constexpr long XEN_ENOTSOCK = 88;
inline constexpr long XEN_EMSGSIZE = 90;
inline constexpr long XEN_EOPNOTSUPP = 95;
inline constexpr long XEN_EADDRINUSE = 98;
inline constexpr long XEN_EADDRNOTAVAIL = 99;
inline constexpr long XEN_ENOBUFS = 105;
inline constexpr long XEN_EISCONN = 106;
inline constexpr long XEN_ENOTCONN = 107;
inline constexpr long XEN_ETIMEDOUT = 110;
inline constexpr long XEN_ECONNREFUSED = 111;

} // namespace parapet::abi
