/* SPDX-License-Identifier: MIT */
/*
 * Sessions as FORMAT.md, 4, states them and session.h does them: two sides
 * that open, pair, write, read, half-close, close and open again, and a
 * manager. A side may die before each access to shared memory; the manager
 * reaps it some time later, and a new process may take the side over, before
 * or after that, or nobody ever does. One access to a shared word of the peer
 * is one step, named after what it does; all that follows from it in private
 * memory belongs to it. While somebody may still die, the ring that follows a
 * change of the link word is a step of its own, so that death may come between.
 *
 * Every byte carries the session that wrote it and its place in that session.
 * Who has nothing to do sleeps until it is rung. When all sleep for good the
 * judge says whether somebody waits for what has happened already.
 *
 * Epochs are numbers of 4 bits, 0 left out, as the real ones of 30 bits.
 */
#define OPEN      1
#define PAIRED    2
#define NO_WRITER 4
#define NO_READER 8

#define NEXT(e) ((e) == 15 -> 1 : (e) + 1)
#define NEWER(e, than) (((e) - (than) - 1 & 15) < 8)
#define REAPED(i, e) (reaped[i] && ((reaped[i] - (e)) & 15) < 8)
#define PEER (1 - me)
#define WRITTEN(i) (tx_prod[i] - tx_start[i])

/* Shared words. A side is the one writer of its own, so it needs no copies. */
byte epoch[2], acked[2], flags[2];	/* the link word, changed at once */
byte tx_start[2], tx_prod[2], rx_cons[2];
byte ring0[2], ring1[2];
byte reaped[2];				/* the manager's */
bool bell[2];

/* Private to a side, but the judge looks at it. */
mtype = { CLOSED, WAITING, TOGETHER, OVER };
mtype phase[2] = CLOSED;
bool drain[2];

/* What really happened. */
bool dead[2];
bool untold[2];		/* of a death that the manager does not know of */
bool ended[2];		/* the session that side i had open was ended by its heir */
byte due[2];		/* what the session that side i reads has published */
byte had[2];		/* the newest of the peer's sessions that side i ever had */

/* What may still happen: see init. */
byte opens[2], deaths, halves;
byte bytes, size;	/* that each session has to send; of a ring */

mtype = {
	IDLE, OPEN_LINK, TOP, ASLEEP,
	LOOK_REAPED, LOOK_PROD, LOOK_START, LOOK_AGAIN, LOOK_PEER,
	PAIR_START, PAIR_CONS, PAIR_LINK, PAIR_AGAIN,
	READ, WRITE_HOLD, WRITE_CONS, WRITE_BYTE, WRITE_PROD,
	DEAD, BURIED, TAKE_LINK,
	RING_TOP, RING_PAIR, RING_IDLE
};

inline publish(new_epoch, new_acked, new_flags) {
	epoch[me] = new_epoch;
	acked[me] = new_acked;
	flags[me] = new_flags
}

inline ring_for_link(first, then) {
	if
	:: deaths > 0 -> at = first
	:: else -> bell[PEER] = true; at = then
	fi
}

inline rest(where) {
	peer_epoch = 0; peer_acked = 0; peer_flags = 0; was_dead = false;
	at = where
}

inline forget(where) {
	phase[me] = CLOSED;
	drain[me] = false;
	due[me] = 0;
	start = 0;
	confirmed = false; gone = false; patient = false; no_read = false; no_write = false;
	rest(where)
}

inline over(keep) {
	phase[me] = OVER;
	gone = true;
	drain[me] = keep
}

#define RX_END (gone || (phase[me] == TOGETHER && (peer_flags & NO_WRITER)))
#define TX_END (gone || (phase[me] == TOGETHER && (peer_flags & NO_READER)))

inline end_of_file() {
	/* Nothing is missing, but where the peer had never paired with us. */
	assert(!drain[me] || rx_cons[me] == due[me]);
	assert(drain[me] || !(flags[me] & PAIRED) || epoch[PEER] != acked[me] ||
	       !(flags[PEER] & PAIRED) || acked[PEER] != epoch[me]);
	no_read = true
}

/* The peer's state is known: first the one ring, and then the other. */
inline looked() {
	if
	:: drain[me] && !no_read -> at = READ
	:: else ->
		if
		:: RX_END && !no_read -> end_of_file()
		:: else
		fi;
		to_write()
	fi
}

inline to_write() {
	if
	:: no_write -> nothing_to_do()
	:: !no_write && TX_END -> no_write = true; rest(TOP)
	:: !no_write && !TX_END && confirmed -> at = WRITE_CONS
	:: !no_write && !TX_END && !confirmed && (peer_flags & PAIRED) && (peer_flags & OPEN) &&
	   peer_acked != epoch[me] -> at = WRITE_HOLD
	:: else -> write_unpaired()
	fi
}

/* The whole ring is ours from where the session starts. */
inline write_unpaired() {
	if
	:: WRITTEN(me) < size -> at = WRITE_BYTE
	:: else -> nothing_to_do()
	fi
}

inline nothing_to_do() {
	rest((no_read && no_write -> TOP : ASLEEP))
}

inline copy_byte() {
	/* Nothing that is still to be read is written over. */
	assert(!drain[PEER] || tx_prod[me] < rx_cons[PEER] + size || tx_prod[me] >= due[PEER] + size);
	if
	:: me == 0 -> ring0[tx_prod[me] % size] = epoch[me] * 16 + WRITTEN(me)
	:: else -> ring1[tx_prod[me] % size] = epoch[me] * 16 + WRITTEN(me)
	fi;
	at = WRITE_PROD
}

inline open_link() {
	if
	:: REAPED(me, NEXT(epoch[me])) -> publish(NEXT(reaped[me]), acked[me], OPEN)	/* the channel is new */
	:: else -> publish(NEXT(epoch[me]), acked[me], OPEN)
	fi;
	ended[me] = false;
	phase[me] = WAITING;
	ring_for_link(RING_TOP, TOP)
}

#define MAY_BE_HAD (peer_epoch && peer_epoch != acked[me])	/* at most once */

inline look_waiting() {
	if
	:: !(peer_flags & PAIRED) && peer_acked == epoch[me] ->		/* first: */
		over(false);		/* a former session of the peer had ours */
		looked()
	:: (peer_flags & PAIRED) && peer_acked == epoch[me] && MAY_BE_HAD -> at = PAIR_START
	:: !(peer_flags & PAIRED) && peer_acked != epoch[me] && MAY_BE_HAD ->
		at = (peer_flags & OPEN -> LOOK_REAPED : LOOK_PROD)
	:: else -> looked()
	fi
}

#define MAY_DIE (deaths > 0 && at != IDLE && at != DEAD && at != BURIED)

inline die(where) {
	deaths--;
	dead[me] = true;
	untold[me] = true;
	forget(where)
}

proctype side(bit me) {
	mtype at = IDLE;
	byte peer_epoch, peer_acked, peer_flags, start;
	bool confirmed, gone, patient, no_read, no_write;
	bool was_dead;		/* when it was looked at */

end:	do
	/* ---- open, close, and what a user does ---- */
	:: d_step { at == IDLE && opens[me] > 0 -> opens[me]--; tx_start[me] = tx_prod[me]; at = OPEN_LINK }
	:: d_step { at == IDLE && opens[me] > 0 -> opens[me] = 0 }
	:: d_step { at == OPEN_LINK -> patient = true; open_link() }
	:: d_step { at == OPEN_LINK -> open_link() }
	:: d_step { at == ASLEEP && bell[me] -> bell[me] = false; at = TOP }
	:: d_step { (at == TOP || at == ASLEEP) && halves > 0 && !(flags[me] & NO_WRITER) ->
			halves--;
			no_write = true;
			publish(epoch[me], acked[me], flags[me] | NO_WRITER);
			ring_for_link(RING_TOP, TOP) }
	:: d_step { (at == TOP || at == ASLEEP) && halves > 0 && !(flags[me] & NO_READER) ->
			halves--;
			no_read = true;
			publish(epoch[me], acked[me], flags[me] | NO_READER);
			ring_for_link(RING_TOP, TOP) }
	:: d_step { (at == TOP || at == ASLEEP) && (!patient || (no_read && no_write)) ->
			publish(epoch[me], acked[me], flags[me] & ~OPEN);
			forget(IDLE);
			ring_for_link(RING_IDLE, IDLE) }	/* always: close */

	/* ---- the ring for a link word ---- */
	:: d_step { at == RING_TOP -> bell[PEER] = true; at = TOP }
	:: d_step { at == RING_PAIR -> bell[PEER] = true; at = PAIR_AGAIN }
	:: d_step { at == RING_IDLE -> bell[PEER] = true; at = IDLE }

	/* ---- look ---- */
	:: d_step { at == TOP && phase[me] != OVER && !(no_read && no_write) ->
			peer_epoch = epoch[PEER]; peer_acked = acked[PEER]; peer_flags = flags[PEER];
			if
			:: phase[me] == TOGETHER -> at = LOOK_PEER
			:: else ->
				was_dead = ended[PEER] || ((peer_flags & OPEN) && !(peer_flags & PAIRED) && REAPED(PEER, peer_epoch));
				look_waiting()
			fi }
	:: d_step { at == TOP && phase[me] == OVER && !(no_read && no_write) -> looked() }
	:: d_step { at == LOOK_REAPED ->
			if
			:: !REAPED(PEER, peer_epoch) -> at = PAIR_START
			:: else -> looked()
			fi }
	:: d_step { at == LOOK_PROD -> start = tx_prod[PEER]; at = LOOK_START }
	:: d_step { at == LOOK_START ->
			if
			:: start != tx_start[PEER] -> at = LOOK_AGAIN
			:: else -> looked()
			fi;
			start = 0 }
	:: d_step { at == LOOK_AGAIN ->
			if
			:: epoch[PEER] == peer_epoch && acked[PEER] == peer_acked && flags[PEER] == peer_flags -> at = PAIR_START
			:: else -> looked()
			fi }
	:: d_step { at == LOOK_PEER ->
			if
			:: peer_epoch != acked[me] -> over(true)
			:: peer_epoch == acked[me] && (peer_flags & PAIRED) && peer_acked != epoch[me] -> over(false)
			:: else ->
				confirmed = confirmed || (peer_flags & PAIRED);
				gone = gone || !(peer_flags & OPEN) || REAPED(PEER, peer_epoch)
			fi;
			looked() }

	/* ---- pair ---- */
	:: d_step { at == PAIR_START -> start = tx_start[PEER]; at = PAIR_CONS }
	:: d_step { at == PAIR_CONS -> rx_cons[me] = start; at = PAIR_LINK }
	:: d_step { at == PAIR_LINK ->
			/* At most one of ours for one of theirs, and the other way round. */
			assert(!(flags[me] & PAIRED) && (!had[me] || NEWER(peer_epoch, had[me])));
			/* Nor with one whose end could be seen, unless that is seen at once. */
			assert(!was_dead || epoch[PEER] != peer_epoch);
			had[me] = peer_epoch;
			due[me] = (epoch[PEER] == peer_epoch -> tx_prod[PEER] : start);
			publish(epoch[me], peer_epoch, flags[me] | PAIRED);
			phase[me] = TOGETHER;
			drain[me] = true;
			ring_for_link(RING_PAIR, PAIR_AGAIN) }
	:: d_step { at == PAIR_AGAIN ->
			if
			:: epoch[PEER] != peer_epoch -> over(false); looked()	/* opened again */
			:: else -> at = LOOK_PEER
			fi }

	/* ---- read and write ---- */
	:: d_step { at == READ ->
			/* Who talks to another session of ours is not listened to. */
			assert(!(peer_flags & PAIRED) || peer_epoch != acked[me] || peer_acked == epoch[me]);
			assert(tx_prod[PEER] >= rx_cons[me] && tx_prod[PEER] - rx_cons[me] <= size);
			if
			:: tx_prod[PEER] != rx_cons[me] ->
				if
				:: me == 0 -> assert(ring1[rx_cons[me] % size] == acked[me] * 16 + rx_cons[me] - start)
				:: else -> assert(ring0[rx_cons[me] % size] == acked[me] * 16 + rx_cons[me] - start)
				fi;
				rx_cons[me] = rx_cons[me] + 1;
				bell[PEER] = true;
				rest(TOP)
			:: else ->
				if
				:: RX_END -> end_of_file()
				:: else
				fi;
				to_write()
			fi }
	:: d_step { at == WRITE_HOLD ->
			if
			:: !REAPED(PEER, peer_epoch) -> nothing_to_do()		/* hold */
			:: else -> write_unpaired()
			fi }
	:: d_step { at == WRITE_CONS ->
			assert(rx_cons[PEER] >= tx_start[me] && rx_cons[PEER] <= tx_prod[me]);
			if
			:: tx_prod[me] - rx_cons[PEER] < size -> copy_byte()
			:: else -> nothing_to_do()
			fi }
	:: d_step { at == WRITE_BYTE -> copy_byte() }
	:: d_step { at == WRITE_PROD ->
			tx_prod[me] = tx_prod[me] + 1;
			if
			:: drain[PEER] && acked[PEER] == epoch[me] -> due[PEER] = tx_prod[me]
			:: else
			fi;
			no_write = (WRITTEN(me) == bytes);
			bell[PEER] = true;
			rest(TOP) }

	/* ---- death, and who comes after ---- */
	:: d_step { MAY_DIE -> die(DEAD) }
	:: d_step { MAY_DIE -> die(BURIED) }
	:: d_step { at == DEAD ->
			dead[me] = false;
			untold[me] = false;
			if
			:: flags[me] & OPEN -> tx_start[me] = tx_prod[me]; at = TAKE_LINK
			:: else -> ring_for_link(RING_IDLE, IDLE)	/* for who died before it rang */
			fi }
	:: d_step { at == TAKE_LINK ->
			publish(NEXT(epoch[me]), acked[me], 0);
			ended[me] = true;
			ring_for_link(RING_IDLE, IDLE) }	/* always: take over */
	od
}

#define UNTOLD(i) (dead[i] && untold[i])

inline take_word() {
	untold[who] = false;
	busy = true;
	if
	:: (flags[who] & OPEN) && !REAPED(who, epoch[who]) -> word = epoch[who]
	:: else
	fi
}

/*
 * Told of a death, unless somebody else has that side by then, it looks what is
 * to be reaped, and rings whatever it found.
 */
active proctype manager() {
	byte word;
	bit who;
	bool busy;

end:	do
	:: d_step { !busy && UNTOLD(0) -> who = 0; take_word() }
	:: d_step { !busy && UNTOLD(1) -> who = 1; take_word() }
	:: d_step { busy ->
			if
			:: word -> reaped[who] = word
			:: else
			fi;
			bell[1 - who] = true;			/* always: a death */
			busy = false;
			word = 0;
			who = 0 }
	od
}

#define IS_OPEN(i) ((flags[i] & OPEN) && !dead[i])
#define HAS_SENT(i, n) (WRITTEN(i) >= (n) || (flags[i] & NO_WRITER))

inline judged(i, p) {
	assert(!(dead[i] && (flags[i] & OPEN)) || REAPED(i, epoch[i]));
	if
	:: IS_OPEN(i) ->
		/* Who is over has been told, and has closed. */
		assert(phase[i] == WAITING || phase[i] == TOGETHER);
		if
		:: phase[i] == TOGETHER ->
			assert(IS_OPEN(p) && (flags[p] & PAIRED) && acked[i] == epoch[p] && acked[p] == epoch[i]);
			assert((flags[i] & NO_READER) || (rx_cons[i] == tx_prod[p] && HAS_SENT(p, bytes)))
		:: else ->
			assert(!IS_OPEN(p));
			assert(dead[p] || (flags[p] & PAIRED) || acked[i] == epoch[p] || WRITTEN(p) == 0);
			assert(HAS_SENT(i, (bytes < size -> bytes : size)))
		fi
	:: else
	fi
}

active proctype judge() {
end:	d_step { timeout -> judged(0, 1); judged(1, 0) }
}

/* Sessions of each side, deaths and half-closes of both together; data. */
inline may_happen(opens0, opens1, death, half, n, ring_size) {
	opens[0] = opens0;
	opens[1] = opens1;
	deaths = death;
	halves = half;
	bytes = n;
	size = ring_size
}

init {
	atomic {
		/* Not all at once: that would be too many states. */
		if
		:: may_happen(3, 3, 0, 0, 2, 1)
		:: may_happen(2, 2, 1, 0, 2, 1)
		:: may_happen(2, 2, 0, 1, 1, 1)
		:: may_happen(2, 2, 0, 0, 2, 2)
		:: may_happen(2, 1, 1, 1, 1, 1)
		:: may_happen(1, 2, 1, 1, 1, 1)
		:: may_happen(2, 1, 2, 0, 1, 1)
		:: may_happen(1, 2, 2, 0, 1, 1)
		fi;
		/* One that never was, and begins anywhere; one that has been there alone. */
		reaped[0] = 5;
		epoch[1] = 14;
		if
		:: true
		:: bytes == 1 -> acked[1] = 6	/* the end of a former channel wrote once more */
		fi;
		run side(0);
		run side(1)
	}
}
