// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmchan: the tracepoints' one instance.
 */
#include "compat.h"

#define CREATE_TRACE_POINTS
#include "trace.h"
