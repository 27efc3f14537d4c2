// SPDX-License-Identifier: Apache-2.0
// The one translation unit that holds Boost.JSON's implementation, so that no compiled library of it is needed.
#include <boost/json/src.hpp>
