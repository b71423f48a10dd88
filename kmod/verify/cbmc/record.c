// SPDX-License-Identifier: MIT
// Records: any head that a hostile peer can leave in the ring.
#include "harness.h"

void prove_record_space(void)
{
	__u64 size = any_size(RECORD_RING_BITS), length = nondet_u64(), space;

	assume(length >= 1 && length <= kvmchan_record_max(size));
	space = kvmchan_record_space(length);
	prove(space >= length + sizeof(struct kvmchan_record), "head and payload fit");
	prove(space <= size, "the longest record fits the ring");
	prove(space % KVMCHAN_RECORD_ALIGN == 0, "the next head is aligned");
	prove(space - length < 2 * KVMCHAN_RECORD_ALIGN, "no more than needed");
	reached();
}

static struct kvmchan_record any_head(void)
{
	struct kvmchan_record head = {
		.length = nondet_u32(),
		.flags = nondet_u32(),
	};

	return head;
}

void prove_rx_record(void)
{
	struct kvmchan_rx rx = any_rx(RECORD_RING_BITS), old = rx;
	struct kvmchan_record head = any_head();
	__u64 length = head.length, space;
	bool honest;
	__s64 ret;

	assume(!rx.error && kvmchan_rx_used(&rx) >= sizeof(head));
	ret = kvmchan_rx_record(&rx, &head);
	prove(rx.prod == old.prod && rx.cons == old.cons, "nothing is consumed");
	prove(access_count == 0, "only the private copy is looked at");
	/* An honest record is not empty and was published whole. */
	space = (length + 15) / 8 * 8;
	honest = length && space <= old.prod - old.cons;
	prove(honest == (ret == (__s64)length), "an honest head is taken");
	prove(honest ? !rx.error : ret == -EPROTO && rx.error == -EPROTO,
	      "a lie is an error, and a sticky one");
	reached();
}

/* All that a reader does with a record, as the library and the module do it. */
void prove_receive_record(void)
{
	struct kvmchan_rx rx = any_rx(RECORD_RING_BITS), old;
	struct kvmchan_record head = any_head();
	__u64 room = nondet_u64(), length;
	struct kvmchan_window w;
	__s64 whole;

	if (kvmchan_rx_refresh(&rx) || kvmchan_rx_used(&rx) < sizeof(head))
		return;
	old = rx;
	kvmchan_rx_window(&rx, 0, sizeof(head), &w);
	prove(w.first + w.second == sizeof(head), "the head is all there");
	whole = kvmchan_rx_record(&rx, &head);
	if (whole < 0)
		return;
	length = (__u64)whole < room ? (__u64)whole : room;
	prove(length <= kvmchan_rx_used(&rx) - sizeof(head), "so is the payload");
	kvmchan_rx_window(&rx, sizeof(head), length, &w);
	prove(w.offset < rx.size && w.first <= rx.size - w.offset &&
	      w.second <= rx.size, "the payload is inside the ring");
	kvmchan_rx_commit(&rx, kvmchan_record_space(whole));
	prove(rx_sound(&rx), "the consumer stays sound");
	prove(rx.cons - old.cons <= old.prod - old.cons && rx.cons != old.cons,
	      "it goes forward, not past what was published");
	reached();
}

void prove_transmit_record(void)
{
	struct kvmchan_tx tx = any_tx(RECORD_RING_BITS), old;
	__u64 length = nondet_u64(), space;
	struct kvmchan_window w;

	assume(length >= 1 && length <= kvmchan_record_max(tx.size));
	space = kvmchan_record_space(length);
	if (kvmchan_tx_refresh(&tx) || kvmchan_tx_free(&tx) < space)
		return;
	old = tx;
	kvmchan_tx_window(&tx, 0, sizeof(struct kvmchan_record), &w);
	prove(w.offset < tx.size && w.first <= tx.size - w.offset &&
	      w.second <= w.offset, "the head is inside the ring");
	kvmchan_tx_window(&tx, sizeof(struct kvmchan_record), length, &w);
	prove(w.offset < tx.size && w.first <= tx.size - w.offset &&
	      w.second <= w.offset, "the payload is inside the ring");
	kvmchan_tx_commit(&tx, space);
	prove(tx_sound(&tx) && tx.prod == old.prod + space, "all is published");
	reached();
}
