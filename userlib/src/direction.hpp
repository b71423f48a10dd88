// SPDX-License-Identifier: MIT
// The two directions of an end.
#ifndef KVMCHAN_DIRECTION_HPP
#define KVMCHAN_DIRECTION_HPP

namespace kvmchan::detail {

enum class direction : unsigned { rx, tx };

} // namespace kvmchan::detail

#endif
