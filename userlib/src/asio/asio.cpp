// SPDX-License-Identifier: MIT
// All of Asio that is not a template, once: see ASIO_SEPARATE_COMPILATION.
#include <asio/impl/src.hpp>
