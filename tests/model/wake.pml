/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who wakes a grace period that sleeps: streamctx/inline.h
 * (sctx__rcu_read_unlock of memb) and lib/rcu/rcu.c (sctx__memb_section_ended),
 * against liburcu's urcu_memb_synchronize_rcu().
 *
 * Modelled: readers with their sections, and two grace periods.  A reader's
 * stores wait in a buffer, in order, and its load of the phase may come before
 * that of the futex; membarrier(2) empties the buffers, and a load that came
 * too early is made again behind it.  A grace period may look at the readers
 * without announcing that it will sleep, as liburcu does a hundred times.
 *
 *   scene 0 check  two readers, with two sections each
 *   scene 1 long   three readers, with one
 *
 * Abstraction: registration, nesting, and the value of futex beyond "-1 or
 * not".  That a grace period is long enough is liburcu's, and not looked at.
 *
 * Property: absence of deadlock.  A sleeper that nobody wakes is one.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#ifndef SCENE
#define SCENE 0
#endif

/* Variants. */
#define NO_MEMBARRIER 1 /* scene 0: the sleeper looks at the readers without one */
#define FUTEX_FIRST 2 /* scene 0: the futex is looked at before the counter says "outside" */
#define PHASE_FIRST 3 /* scene 0: the phase compared is that of the section's beginning */
#define THE_OTHERS 4 /* scene 0: whose phase is the current one wakes, not whose is not */
#define STORE_ALONE 5 /* scene 0: futex is stored to, and nobody woken */

#define READERS	 (2 + SCENE)
#define SECTIONS (2 - SCENE)
#define OUTSIDE	 2

bool phase;	     /* of urcu_memb_gp.ctr */
bool futex;	     /* -1 */
bool asleep;	     /* in FUTEX_WAIT */
byte ctr[READERS] = OUTSIDE;
chan buffer[READERS] = [2] of { byte }; /* stores to ctr */
bool early[READERS]; /* the phase was loaded, the futex not yet */

#define OLD(r) (ctr[r] != OUTSIDE && ctr[r] != phase)

inline membarrier()
{
	d_step {
		i = 0;
		do
		:: i < READERS ->
			do
			:: nempty(buffer[i]) -> buffer[i] ? ctr[i]
			:: empty(buffer[i]) -> break
			od;
			early[i] = false;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline store_end(r)
{
	buffer[r] ! OUTSIDE
}

/* sctx__memb_section_ended(), its loads in either order. */
inline look(r)
{
	if
	:: true
	:: BROKEN != PHASE_FIRST -> d_step { now = phase; early[r] = true }
	fi;
	d_step {
		slept = futex;
		if
		:: early[r] || BROKEN == PHASE_FIRST -> loaded = true
		:: else -> loaded = false
		fi;
		early[r] = false
	}
	if
	:: slept && !loaded -> now = phase
	:: else
	fi
}

inline wake()
{
	if
	:: slept && (now != section) == (BROKEN != THE_OTHERS) ->
		futex = false;
		if
		:: BROKEN != STORE_ALONE -> asleep = false
		:: else
		fi
	:: else
	fi;
	d_step { slept = false; loaded = false; now = false; section = false }
}

proctype reader(byte r)
{
	byte n;
	bool section, now, slept, loaded;

	do
	:: n < SECTIONS ->
		d_step { section = phase; n++ }
		buffer[r] ! section;
		if
		:: BROKEN == PHASE_FIRST -> now = phase
		:: else
		fi;
		if
		:: BROKEN == FUTEX_FIRST -> look(r); store_end(r)
		:: else -> store_end(r); look(r)
		fi;
		wake()
	:: else -> break
	od
}

/* Stores are seen at some time. */
proctype buffers()
{
end:
	do
	:: buffer[0] ? ctr[0]
	:: buffer[1] ? ctr[1]
#if READERS > 2
	:: buffer[2] ? ctr[2]
#endif
	od
}

/* wait_for_readers(): of @waited, those that are not old any more are struck off. */
inline look_at_readers(sorting)
{
	d_step {
		i = 0;
		do
		:: i < READERS ->
			if
			:: (waited & (1 << i)) && !OLD(i) ->
				waited = waited & ~(1 << i);
				if
				:: sorting && ctr[i] != OUTSIDE -> current = current | (1 << i)
				:: else
				fi
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}

inline wait_for_readers(sorting)
{
	do
	:: waited ->
		if
		:: look_at_readers(sorting) /* busy */
		:: futex = true;
			if
			:: BROKEN != NO_MEMBARRIER -> membarrier()
			:: else
			fi;
			look_at_readers(sorting);
			if
			:: waited == 0 -> futex = false
			:: else ->
				if
				:: atomic { futex -> asleep = true }; !asleep
				:: !futex
				fi
			fi
		fi
	:: else -> break
	od
}

proctype grace_periods()
{
	byte n, i, waited, current;

	do
	:: n < 2 ->
		n++;
		membarrier();
		waited = (1 << READERS) - 1;
		wait_for_readers(true);
		phase = !phase;
		d_step { waited = current; current = 0 }
		wait_for_readers(false);
		membarrier()
	:: else -> break
	od
}

init {
	atomic {
		run grace_periods();
		run reader(0);
		run reader(1);
#if READERS > 2
		run reader(2);
#endif
		run buffers()
	}
}
