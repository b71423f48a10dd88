/* SPDX-License-Identifier: MIT */
/*
 * One direction of a channel as FORMAT.md, 3, states it: a producer and a
 * consumer that sleep and ring each other by event indices, on a machine where
 * each side's stores wait in a buffer until later loads have been done (TSO).
 * Either may close or die at any instruction; a manager says who has died.
 *
 * Nobody sleeps for ever: a state where somebody still waits and nobody can go
 * on is an invalid end state. No byte is lost, doubled or out of order. The
 * end of file comes after all that was published.
 *
 * BYTES are sent through a ring of SIZE; indices start at 6 and wrap at 8.
 */
#ifndef SIZE
#define SIZE 2
#endif
#ifndef BYTES
#define BYTES 3
#endif

#define INDEX(x) ((x) & 7)
#define CROSSED(event, from, to) (INDEX((to) - (event) - 1) < INDEX((to) - (from)))

/* Shared words, each with one writer; the last entry rings the other side. */
#define TX_PROD  0
#define RX_CONS  1
#define RX_EVENT 2
#define TX_EVENT 3
#define TX_LINK  4	/* 1: the producer has closed */
#define RX_LINK  5
#define DATA     6
#define RING     10

byte memory[10];
bool bell[2];			/* 0 wakes the producer, 1 the consumer */
bool reaped[2];			/* the manager's word */
bool die[2], dead[2], closed[2];
byte reader_wants, writer_wants;

/* What really happened. */
byte published, consumed;
bool at_end;

chan buffer0 = [3] of { byte, byte };
chan buffer1 = [3] of { byte, byte };

inline take_effect(me, word, value) {
	if
	:: word == RING -> bell[1 - me] = true
	:: else ->
		if
		:: word == TX_PROD -> published = published + INDEX(value - memory[TX_PROD])
		:: else
		fi;
		memory[word] = value
	fi;
	word = 0;
	value = 0
}

active proctype stores() {
	byte word, value;
end:	do
	:: atomic { buffer0?word, value -> take_effect(0, word, value) }
	:: atomic { buffer1?word, value -> take_effect(1, word, value) }
	od
}

#define FREE  (SIZE - INDEX(prod - cons))
#define USED  INDEX(prod - cons)

proctype producer() {
	byte prod = 6, cons, next, event, count;
	{
	do
	:: next < BYTES ->
		if
		:: memory[RX_LINK] == 1 || reaped[1] -> break	/* EPIPE */
		:: else
		fi;
		cons = memory[RX_CONS];
		if
		:: FREE < writer_wants ->
			/* arm, look again, sleep */
			buffer0!TX_EVENT, INDEX(prod + writer_wants - SIZE - 1);
			empty(buffer0);				/* fence: tx_arm */
			cons = memory[RX_CONS];			/* look again: tx */
			if
			:: FREE < writer_wants -> atomic { bell[0] -> bell[0] = false }
			:: else
			fi
		:: else ->
			/* some of what there is room for */
			do
			:: count < FREE && next < BYTES ->
				buffer0!DATA + ((prod + count) % SIZE), next;
				count++;
				next++
			:: count > 0 -> break
			od;
			buffer0!TX_PROD, INDEX(prod + count);
			empty(buffer0);				/* fence: tx_commit */
			event = memory[RX_EVENT];
			if
			:: CROSSED(event, prod, prod + count) -> buffer0!RING, 0
			:: else
			fi;
			atomic { prod = INDEX(prod + count); count = 0; event = 0; cons = 0 }
		fi
	:: break	/* closes early */
	od;
	buffer0!TX_LINK, 1;
	buffer0!RING, 0		/* always: close */
	} unless { die[0] };
	atomic { empty(buffer0) -> if :: die[0] -> dead[0] = true :: else fi; closed[0] = true }
}

proctype consumer() {
	byte prod, cons = 6, event, count, value;
	bool end;
	{
	do
	:: true ->
		prod = memory[TX_PROD];
		if
		:: USED < reader_wants ->
			end = (memory[TX_LINK] == 1 || reaped[0]);	/* the state first */
			prod = memory[TX_PROD];				/* then the index */
			if
			:: USED >= reader_wants || (end && USED > 0) -> goto take
			:: end && USED == 0 -> at_end = true; break
			:: else
			fi;
			/* arm, look again, sleep */
			buffer1!RX_EVENT, INDEX(cons + reader_wants - 1);
			empty(buffer1);				/* fence: rx_arm */
			prod = memory[TX_PROD];			/* look again: rx */
			if
			:: USED < reader_wants -> atomic { bell[1] -> bell[1] = false }
			:: else
			fi
		:: else ->
take:			assert(USED <= SIZE);
			atomic {
			count = 0;
			do
			:: count < USED ->
				value = memory[DATA + ((cons + count) % SIZE)];
				assert(value == consumed);
				consumed++;
				count++
			:: count > 0 -> break
			od;
			value = 0
			};
			buffer1!RX_CONS, INDEX(cons + count);
			empty(buffer1);				/* fence: rx_commit */
			event = memory[TX_EVENT];
			if
			:: CROSSED(event, cons, cons + count) -> buffer1!RING, 0
			:: else
			fi;
			atomic { cons = INDEX(cons + count); count = 0; event = 0; prod = 0; end = false }
		fi
	:: break	/* closes early */
	od;
	buffer1!RX_LINK, 1;
	buffer1!RING, 0		/* always: close */
	} unless { die[1] };
	atomic { empty(buffer1) -> if :: die[1] -> dead[1] = true :: else fi; closed[1] = true }
}

/* One of the two may die, at any instruction, or nobody does. */
active proctype fate() {
end:	if
	:: atomic { !closed[0] -> die[0] = true }
	:: atomic { !closed[1] -> die[1] = true }
	:: true
	fi
}

active proctype manager() {
end:	if
	:: dead[0] -> reaped[0] = true; bell[1] = true	/* rings the survivor */
	:: dead[1] -> reaped[1] = true; bell[0] = true
	fi
}

active proctype judge() {
	/* Both have come to their end: a state where this waits is an error. */
	atomic { closed[0] && closed[1] && empty(buffer0) && empty(buffer1) ->
		assert(!at_end || consumed == published);
		assert(consumed <= published)
	}
}

init {
	atomic {
		select(reader_wants : 1 .. SIZE);
		select(writer_wants : 1 .. SIZE);
		if
		:: reader_wants + writer_wants > SIZE + 1 -> reader_wants = 1	/* the limit */
		:: else
		fi;
		memory[TX_PROD] = 6;
		memory[RX_CONS] = 6;
		run producer();
		run consumer()
	}
}
