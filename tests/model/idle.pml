/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of one id that outlive their last close: lib/registry/opens.h, open.c,
 * close.c (close_into_idle, sctx__node_kill, forget_locked) and idle.c (drop, refuse,
 * sctx_registry_idle).
 *
 * Modelled: one bucket with two slots, a slot names a node by its id's tag or by the
 * inverted one; the open count with DEAD, FORGOTTEN and ASKED; a hand that drops what is
 * idle, with or without asking; a forgetter; a change of the limit to 0; nodes, which
 * are used again as soon as their grace period is over.
 *
 *   scene 0 check  two open and close twice; the hand
 *   scene 1 check  two open and close; the hand asks; a forgetter
 *   scene 2 check  two open and close; the limit becomes 0
 *   scene 3 long   three open and close, one of them twice; the hand asks; a forgetter
 *
 * Abstraction: what is done under the bucket's lock is one step up to and including a
 * store that a thread without the lock can see.  Growth: table.pml.  Memory is
 * sequentially consistent.
 *
 * Properties, as assertions, and absence of deadlock:
 *   - whoever has the id open has a node that is not dead, not freed and not idle;
 *   - whoever opens after a forget has returned gets another node than those before it;
 *   - no node is dropped that was opened since its user agreed to the drop;
 *   - no node is touched after it was freed;
 *   - the count of idle streams is right in the end;
 *   - with a limit of 0 no stream is left in the end.
 */
#define N	4 /* nodes, from 1 */
#define OBJECTS N
#define PLAIN	0
#include "rcu.pml"

#ifndef SCENE
#define SCENE 0
#endif

/* Variants. */
#define KILL_UNSEEN 1 /* scene 0: sctx__node_kill() does not compare the count */
#define ASKED_STAYS 2 /* scene 1: a close leaves ASKED as it is */
#define FORGET_UNMARKED 3 /* scene 1: forget does not set FORGOTTEN */
#define FORGET_IN_PLACE 4 /* scene 1: a forgotten stream keeps its tag */
#define LIMIT_AT_ONCE 5 /* scene 2: sctx_registry_idle() waits for no grace period */
#define NODE_AT_ONCE 6 /* scene 0: nodes are used again without a grace period */
#define OPEN_DEAD 7 /* scene 0: an open does not look for DEAD */
#define REVIVED_UNCOUNTED 8 /* scene 0: an open of an idle stream does not uncount it */
#define IDLE_UNLOOKED 9 /* scene 2: a close reads the limit before its section */

#define FREE 0

byte slot[2];	    /* nodes */
bool inverted[2];   /* their tags */
bool locked;

byte refs[N];
bool dead[N], forgotten[N], asked[N];
bool keeps = true;  /* the limit is not 0 */
short idle;	    /* the count */

/* What is true, rather than what is stored. */
byte users[N];	    /* have it open */
bool agreed[N];	    /* may_drop agreed, and nobody opened it since */
bool old[N];	    /* a forget that met it has returned */
byte working;

/* ---------------------------------------------------------------------- find */

inline find()
{
	n = FREE;
	d_step {
		if
		:: slot[0] && !inverted[0] -> n = slot[0]
		:: else ->
			if
			:: slot[1] && !inverted[1] -> n = slot[1]
			:: else
			fi
		fi
	}
}

inline was_opened(node)
{
	assert(!dead[node] && !freed[node]);
	assert(!late || !old[node]);
	users[node]++;
	agreed[node] = false;
	mine = node
}

/* sctx__open_add() and sctx__open_judge(): @mine stays FREE if the node is dead. */
inline open_add(node)
{
	d_step {
		assert(!freed[node]);
		if
#if BROKEN == OPEN_DEAD
		:: true ->
#else
		:: !dead[node] ->
#endif
			if
			:: refs[node] == 0 && BROKEN != REVIVED_UNCOUNTED -> idle--
			:: else
			fi;
			refs[node]++;
			was_opened(node)
		:: else
		fi
	}
}

inline node_alloc()
{
	d_step {
		(freed[1] || freed[2] || freed[3]) ->
		new = (freed[1] -> 1 : (freed[2] -> 2 : 3));
		freed[new] = false;
		dead[new] = false;
		forgotten[new] = false;
		asked[new] = false;
		agreed[new] = false;
		old[new] = false;
		refs[new] = 1
	}
}

/* open_locked(): under the lock what is found is alive. */
inline open_locked()
{
	find();
	if
	:: n != FREE -> open_add(n); assert(mine != FREE)
	:: else ->
		d_step {
			b = (slot[0] == FREE -> 0 : 1);
			assert(slot[b] == FREE);
			slot[b] = new;
			inverted[b] = false;
			was_opened(new);
			b = 0
		}
	fi
}

inline open()
{
	section_begin(me);
	find();
	if
	:: n != FREE -> open_add(n)
	:: else
	fi;
	section_end(me);
	if
	:: mine == FREE ->
		node_alloc();
		atomic { !locked && (slot[0] == FREE || slot[1] == FREE) -> section_begin(me); locked = true };
		atomic { open_locked(); locked = false };
		d_step {
			section_end(me);
			freed[new] = (mine == new -> freed[new] : true);
			new = 0
		}
	:: else
	fi;
	n = 0
}

/* ------------------------------------------------------------------- drop */

inline node_retire(node)
{
#if BROKEN == NODE_AT_ONCE
	freed[node] = true
#else
	retire(node)
#endif
}

inline slot_clear(node)
{
	d_step {
		if
		:: slot[0] == node -> slot[0] = FREE
		:: slot[1] == node -> slot[1] = FREE
		:: else -> assert(false)
		fi
	}
}

/*
 * sctx__node_kill(): a node of @count references, with ASKED or without; to @done.  In a
 * section of the caller's.
 */
inline kill(node, count, with_asked)
{
	atomic { !locked -> locked = true };
	d_step {
		assert(!freed[node]);
#if BROKEN == KILL_UNSEEN
		done = !dead[node] && !forgotten[node];
#else
		done = !dead[node] && refs[node] == count && asked[node] == with_asked;
#endif
		if
		:: done ->
			assert(users[node] == count);
			assert(!with_asked || agreed[node]);
			dead[node] = true
		:: else
		fi
	};
	if
	:: done -> slot_clear(node); d_step { locked = false; node_retire(node) }
	:: else -> locked = false
	fi
}

/* ------------------------------------------------------------------ close */

/* close_into_idle(), close_and_kill(), close_some(). */
inline close()
{
	do
	:: mine == FREE -> break
	:: else ->
#if BROKEN == IDLE_UNLOOKED
		kept = keeps;
		section_begin(me);
#else
		section_begin(me);
		kept = keeps;
#endif
		if
		:: refs[mine] > 1 ->
			d_step {
				if
				:: refs[mine] > 1 -> refs[mine]--; users[mine]--; mine = FREE
				:: else
				fi
			}
		:: refs[mine] == 1 && kept && !forgotten[mine] ->
			d_step {
				if
				:: refs[mine] == 1 && !forgotten[mine] ->
					assert(!dead[mine] && !freed[mine]);
					refs[mine] = 0;
#if BROKEN != ASKED_STAYS
					asked[mine] = false;
#endif
					users[mine]--;
					idle++;
					mine = FREE
				:: else
				fi
			}
		:: refs[mine] == 1 && (!kept || forgotten[mine]) ->
			d_step { users[mine]-- };
			kill_last();
			if
			:: done -> mine = FREE
			:: else -> users[mine]++
			fi
		fi;
		section_end(me)
	od;
	done = false;
	kept = false
}

/* The reference of the caller's is the count; others may add to it meanwhile. */
inline kill_last()
{
	atomic { !locked -> locked = true };
	d_step {
		done = !dead[mine] && refs[mine] == 1;
		if
		:: done -> assert(users[mine] == 0); dead[mine] = true
		:: else
		fi
	};
	if
	:: done -> slot_clear(mine); d_step { locked = false; node_retire(mine) }
	:: else -> locked = false
	fi
}

proctype Opener(byte me; byte times)
{
	byte i_, n, b, new, mine;
	bool done, kept, late;

	do
	:: times > 0 ->
		late = old[1] || old[2] || old[3];
		open();
		close();
		times--
	:: else -> break
	od;
	working--
}

/* ---------------------------------------------------------------- the hand */

/* drop(): what is idle, asked for or not. */
inline drop(asks)
{
	section_begin(0);
	find();
	if
	:: n != FREE && asks ->
		d_step {
			done = !dead[n] && refs[n] == 0 && !asked[n];
			if
			:: done -> asked[n] = true; agreed[n] = true
			:: else
			fi
		};
		if
		:: done ->
			/* may_drop() agrees, or refuses. */
			if
			:: kill(n, 0, true); idle = (done -> idle - 1 : idle)
			:: d_step { asked[n] = (refs[n] == 0 && !dead[n] -> false : asked[n]) }
			fi
		:: else
		fi
	:: n != FREE && !asks -> kill(n, 0, false); idle = (done -> idle - 1 : idle)
	:: n == FREE
	fi;
	done = false;
	n = 0;
	section_end(0)
}

proctype Hand(bool asks)
{
	byte i_, n;
	bool done;

	drop(asks);
	drop(asks);
	working--
}

/* ------------------------------------------------------------------ forget */

/* forget_locked(). */
proctype Forgetter()
{
	byte i_, n;

	atomic { !locked -> section_begin(3); locked = true; find() };
	if
	:: n == FREE -> locked = false
	:: else ->
		d_step {
			assert(!dead[n] && !freed[n]);
			if
			:: refs[n] == 0 -> dead[n] = true; idle--
			:: else ->
#if BROKEN != FORGET_UNMARKED
				forgotten[n] = true
#else
				skip
#endif
			fi
		};
		if
		:: dead[n] -> slot_clear(n); d_step { locked = false; node_retire(n) }
		:: else ->
			d_step {
#if BROKEN != FORGET_IN_PLACE
				inverted[0] = (slot[0] == n -> true : inverted[0]);
				inverted[1] = (slot[1] == n -> true : inverted[1]);
#endif
				locked = false;
				old[n] = true
			}
		fi
	fi;
	section_end(3);
	working--
}

/* ------------------------------------------------------------- the limit of 0 */

/* sctx_registry_idle(): closes that go by the old limit are over, then all is dropped. */
proctype Limiter()
{
	byte i_, n, waits_for;
	bool done;

	d_step { keeps = false; waits_for = inside };
#if BROKEN != LIMIT_AT_ONCE
	do
	:: waits_for == 0 -> break
	:: (waits_for & inside) != waits_for -> waits_for = waits_for & inside
	od;
#endif
	drop(false);
	drop(false);
	working--
}

init
{
	atomic {
		d_step { freed[1] = true; freed[2] = true; freed[3] = true };
#if SCENE == 0
		working = 3;
		run Opener(1, 2);
		run Opener(2, 2);
		run Hand(false)
#elif SCENE == 1
		working = 4;
		run Opener(1, 1);
		run Opener(2, 1);
		run Hand(true);
		run Forgetter()
#elif SCENE == 2
		working = 3;
		run Opener(1, 2);
		run Opener(2, 1);
		run Limiter()
#else
		working = 5;
		run Opener(1, 2);
		run Opener(2, 1);
		run Opener(4, 1);
		run Hand(true);
		run Forgetter()
#endif
	};
	atomic {
		working == 0 ->
		assert(inside == 0 && !locked);
		assert(idle == (slot[0] != FREE -> 1 : 0) + (slot[1] != FREE -> 1 : 0));
		assert(!inverted[0] || slot[0] == FREE);
		assert(!inverted[1] || slot[1] == FREE);
		assert(keeps || slot[0] == FREE && slot[1] == FREE)
	}
}
