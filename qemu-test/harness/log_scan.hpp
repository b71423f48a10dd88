// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace harness {

/** The lines of a console or kernel log in which the kernel complains. */
std::vector<std::string> kernel_complaints(std::string_view log);

/** The end of a text. */
std::string last_lines(std::string_view text, std::size_t lines);

} // namespace harness
