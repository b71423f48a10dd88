/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kvmchan: tracepoints, in /sys/kernel/tracing/events/kvmchan.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvmchan

#if !defined(KVMCHAN_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KVMCHAN_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>

#include "session.h"

DECLARE_EVENT_CLASS(kvmchan_transfer,
		    TP_PROTO(const struct device *dev, u64 bytes, bool ring),
		    TP_ARGS(dev, bytes, ring),
		    TP_STRUCT__entry(__string(name, dev_name(dev))
				     __field(u64, bytes)
				     __field(bool, ring)
		    ),
		    TP_fast_assign(kvmchan_assign_str(name, dev_name(dev));
				   __entry->bytes = bytes;
				   __entry->ring = ring;
		    ),
		    TP_printk("%s bytes=%llu ring=%d", __get_str(name),
			      __entry->bytes, __entry->ring)
);

/* One piece or record read, and whether its writer asked to be rung. */
DEFINE_EVENT(kvmchan_transfer, kvmchan_read,
	     TP_PROTO(const struct device *dev, u64 bytes, bool ring),
	     TP_ARGS(dev, bytes, ring)
);

/* One piece or record written, and whether its reader asked to be rung. */
DEFINE_EVENT(kvmchan_transfer, kvmchan_write,
	     TP_PROTO(const struct device *dev, u64 bytes, bool ring),
	     TP_ARGS(dev, bytes, ring)
);

/* A doorbell rung. */
TRACE_EVENT(kvmchan_doorbell,
	    TP_PROTO(const struct device *dev, u32 peer, u32 vector),
	    TP_ARGS(dev, peer, vector),
	    TP_STRUCT__entry(__string(name, dev_name(dev))
			     __field(u32, peer)
			     __field(u32, vector)
	    ),
	    TP_fast_assign(kvmchan_assign_str(name, dev_name(dev));
			   __entry->peer = peer;
			   __entry->vector = vector;
	    ),
	    TP_printk("%s peer=%u vector=%u", __get_str(name),
		      __entry->peer, __entry->vector)
);

/* An interrupt, and whether any channel of its vector had work. */
TRACE_EVENT(kvmchan_irq,
	    TP_PROTO(const struct device *dev, u32 vector, bool work),
	    TP_ARGS(dev, vector, work),
	    TP_STRUCT__entry(__string(name, dev_name(dev))
			     __field(u32, vector)
			     __field(bool, work)
	    ),
	    TP_fast_assign(kvmchan_assign_str(name, dev_name(dev));
			   __entry->vector = vector;
			   __entry->work = work;
	    ),
	    TP_printk("%s vector=%u work=%d", __get_str(name),
		      __entry->vector, __entry->work)
);

/* A session of ours begun or ended. */
TRACE_EVENT(kvmchan_session,
	    TP_PROTO(const struct device *dev, u64 link, bool begin),
	    TP_ARGS(dev, link, begin),
	    TP_STRUCT__entry(__string(name, dev_name(dev))
			     __field(u64, link)
			     __field(bool, begin)
	    ),
	    TP_fast_assign(kvmchan_assign_str(name, dev_name(dev));
			   __entry->link = link;
			   __entry->begin = begin;
	    ),
	    TP_printk("%s %s epoch=%llu acked=%llu", __get_str(name),
		      __entry->begin ? "begin" : "end",
		      kvmchan_link_epoch(__entry->link),
		      kvmchan_link_acked(__entry->link))
);

#endif /* KVMCHAN_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
