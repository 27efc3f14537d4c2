// SPDX-License-Identifier: Apache-2.0
// Names and texts of xenstore errors.
#include "iorings/xenstore/errors.hpp"

namespace parapet::xenstore {

std::string_view error_name(Errno error) {
    switch (error) {
    case Errno::Ok:
        return "OK";
    case Errno::EINVAL_:
        return "EINVAL";
    case Errno::EACCES_:
        return "EACCES";
    case Errno::EEXIST_:
        return "EEXIST";
    case Errno::ENOENT_:
        return "ENOENT";
    case Errno::ENOSPC_:
        return "ENOSPC";
    case Errno::ENOSYS_:
        return "ENOSYS";
    case Errno::EBUSY_:
        return "EBUSY";
    case Errno::EAGAIN_:
        return "EAGAIN";
    case Errno::E2BIG_:
        return "E2BIG";
    case Errno::EPERM_:
        return "EPERM";
    }
    return "EINVAL";
}

std::string_view error_text(Errno error) {
    switch (error) {
    case Errno::Ok:
        return "no error";
    case Errno::EINVAL_:
        return "the path or argument is malformed";
    case Errno::EACCES_:
        return "the permissions forbid it";
    case Errno::EEXIST_:
        return "it exists already";
    case Errno::ENOENT_:
        return "there is no such node";
    case Errno::ENOSPC_:
        return "a quota is used up";
    case Errno::ENOSYS_:
        return "there is no such operation";
    case Errno::EBUSY_:
        return "a transaction is open";
    case Errno::EAGAIN_:
        return "another change came between";
    case Errno::E2BIG_:
        return "it is too large";
    case Errno::EPERM_:
        return "only the owner may do it";
    }
    return "unknown error";
}

} // namespace parapet::xenstore
