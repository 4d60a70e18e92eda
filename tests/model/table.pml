/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open against last close against unlinking in a bucket, with growth:
 * lib/registry/registry.c (node_open, open_locked, close_last, sctx_close), lib/registry/table.c
 * (sctx__table_lock, insert, remove, move_bucket, copy_chain, finish) and the
 * readers of lib/registry/table.h (sctx__chain_find, sctx__table_find).
 *
 * Modelled: one bucket of a table and the bucket of its successor, one slot
 * each, and the chained buckets; two or three ids that fall into both; nodes, which are
 * used again as soon as their grace period is over; the open count and DEAD;
 * the bucket's word {next, MOVED, lock}; a mover that copies, may run out of
 * memory and undo, and moves in the end.  Scenes:
 *
 *   scene 0 check  one for each id, and a mover
 *   scene 1 check  one for one id, once; two for the other, one of them twice
 *   scene 2 check  two for one id, and a mover
 *   scene 3 check  three ids, and so a chain of two
 *   scene 4 long   one for one id, two for the other, and a mover
 *
 * Abstraction: what is done under a lock is one step up to and including a
 * store that someone without it can see; adding to a DEAD count is no step.
 * The two halves of a bucket that moves are one, so its chain moves whole.
 * When to grow is any time.  Sections and limbo: rcu.pml.
 * Memory is sequentially consistent; where the code orders two stores, a
 * variant has them the other way round.
 *
 * Properties, as assertions, and absence of deadlock:
 *   - all who have an id open have the same node, of that id, and not DEAD;
 *   - who has a stream open finds it, by id, at any time;
 *   - no node, bucket or table is touched after it was freed;
 *   - an open does not fail;
 *   - in the end the tables are empty and nothing is left.
 */
#define N	4 /* nodes, from 1 */
#define B	6 /* buckets: the table's, the successor's, chained ones */
#define O_BUCKET(b) (N + (b))
#define OBJECTS	    (N + B)
#define PLAIN	    0
#include "rcu.pml"

#ifndef SCENE
#define SCENE 0
#endif

/* Variants. */
#define CLEAR_FIRST 1 /* scene 0: move_bucket() clears the slots, then sets MOVED */
#define PAST_LOCKED 2 /* scene 0: sctx__table_lock() goes past MOVED, locked or not */
#define DEAD_UNLOCKED 3 /* scene 1: the last close makes the count DEAD before it locks */
#define OPEN_DEAD 4 /* scene 1: node_open() does not look for DEAD */
#define CLOSE_BLINDLY 5 /* scene 1: close_last() does not look at the count again */
#define NODE_AT_ONCE 6 /* scene 1: nodes are used again without a grace period */
#define BUCKET_AT_ONCE 7 /* scene 1: overflow_retire() frees at once */
#define LINK_CLEARED 8 /* scene 3: chain_unlink() clears the bucket's own link */
#define SLOT_FIRST 9 /* scene 1: the slot is stored before the node's id */
#define MOVED_EARLY 10 /* scene 0: a reader looks at MOVED before the slots */
#define NO_SECOND_LOOK 11 /* scene 1: open_locked() does not look under the lock */
#define TABLE_AT_ONCE 12 /* scene 0: finish() frees the table at once */
#define NOT_UNDONE 13 /* scene 0: a failed copy_chain() leaves its copies */
#define FINISH_EARLY 14 /* scene 0: the table is retired before its successor takes over */

/* Processes, as bits of @inside; 0 is the mover. */
#define X 1
#define Y 2
#define Z 3
#define HEAD	  0
#define SUCCESSOR 1
#define NONE	  255

byte table; /* the registry's: which head */
byte slot[B], next[B];
bool moved[2], locked[2];

byte id[N], opens[N];
bool dead[N];

/* What is true, rather than what is stored. */
byte has_open[4]; /* by id */
byte current[4];  /* ... its node */
byte working;

/* -------------------------------------------------------------------- find */

/* sctx__chain_find(): to @n, from @b on. */
inline chain_find(want)
{
	n = NONE;
	do
	:: n == NONE ->
		d_step { assert(!freed[O_BUCKET(b)]); n = slot[b] };
		d_step {
			assert(n == 0 || !freed[n] && id[n] != 0);
			if
			:: n == 0 || id[n] != want ->
				assert(!freed[O_BUCKET(b)]);
				b = next[b];
				n = (b != 0 -> NONE : 0)
			:: else
			fi
		}
	:: else -> break
	od;
	b = 0
}

/* sctx_registry.table and sctx__table_find(). */
inline table_find(want)
{
	d_step { section_begin(me); t = table; b = t };
	do
	:: true ->
#if BROKEN == MOVED_EARLY
		was_moved = moved[t];
#endif
		chain_find(want);
		if
		:: n != 0 -> break
#if BROKEN == MOVED_EARLY
		:: n == 0 && was_moved -> t = SUCCESSOR; b = t
		:: n == 0 && !was_moved -> break
#else
		:: atomic { n == 0 && moved[t] -> assert(!freed[O_BUCKET(t)]); t = SUCCESSOR; b = t }
		:: atomic { n == 0 && !moved[t] -> assert(!freed[O_BUCKET(t)]) }; break
#endif
		fi
	od;
	t = 0
}

/* ----------------------------------------------------------------- writing */

/* The registry's table, and sctx__table_lock(), which then does @first. */
#define TABLE_LOCK(first) \
	d_step { section_begin(me); t = table }; \
	do \
	:: atomic { \
		!locked[t] && !moved[t] -> \
		assert(!freed[O_BUCKET(t)]); \
		locked[t] = true; \
		first }; \
		break \
	:: moved[t] && (!locked[t] || PASSES_LOCKED) -> t = SUCCESSOR \
	od

#define PASSES_LOCKED (BROKEN == PAST_LOCKED)

/* A chained bucket, holding @node. */
inline chain_push(head, node)
{
	b = 2;
	do
	:: b < B && !freed[O_BUCKET(b)] -> b++
	:: else -> break
	od;
	assert(b < B);
	freed[O_BUCKET(b)] = false;
	slot[b] = node;
	next[b] = next[head];
	next[head] = b
}

/* place_slot(): the first free slot of the chain of @head. */
inline place_slot(head, node)
{
	b = head;
	do
	:: slot[b] != 0 && next[b] != 0 -> b = next[b]
	:: else -> break
	od;
	if
	:: slot[b] == 0 -> slot[b] = node
	:: else -> chain_push(head, node)
	fi;
	b = 0
}

/* overflow_retire(). */
inline bucket_retire(bucket)
{
#if BROKEN == BUCKET_AT_ONCE
	freed[O_BUCKET(bucket)] = true
#else
	retire(O_BUCKET(bucket))
#endif
}

/* Where @node is: to @b, or NONE; and what is before it, to @k. */
inline slot_find(head, node)
{
	b = head;
	k = head;
	do
	:: slot[b] != node && next[b] != 0 -> k = b; b = next[b]
	:: else -> break
	od;
	b = (slot[b] == node -> b : NONE)
}

/* chain_unlink(). */
inline chain_unlink()
{
	next[k] = next[b]
#if BROKEN == LINK_CLEARED
	;
	next[b] = 0
#endif
}

/* ------------------------------------------------------------ open, close */

/* What node_open() or sctx__table_insert() came to: @node is open once more. */
inline opened(node)
{
	assert(!freed[node]);
#if BROKEN != SLOT_FIRST
	assert(id[node] == my_id);
#endif
#if BROKEN != OPEN_DEAD
	assert(!dead[node]);
#endif
	assert(has_open[my_id] == 0 || current[my_id] == node);
	current[my_id] = node;
	has_open[my_id]++;
	mine = node
}

/* node_open(): leaves @mine 0 if the node is DEAD. */
inline node_open(node)
{
	assert(!freed[node]);
	if
#if BROKEN == OPEN_DEAD
	:: true -> opens[node]++; opened(node)
#else
	:: !dead[node] -> opens[node]++; opened(node)
	:: else
#endif
	fi
}

/* node_alloc(). */
inline node_alloc()
{
	d_step {
		(freed[1] || freed[2] || freed[3]) ->
		new = (freed[1] -> 1 : (freed[2] -> 2 : 3));
		freed[new] = false;
#if BROKEN == SLOT_FIRST
		id[new] = 0;
#else
		id[new] = my_id;
#endif
		dead[new] = false;
		opens[new] = 1
	}
}

/* open_locked(): sctx__chain_find() once more, then open or insert. */
inline look_and_open()
{
	d_step {
		b = t;
		n = NONE;
		do
		:: n == NONE ->
			n = ((slot[b] != 0 && id[slot[b]] == my_id) -> slot[b] : NONE);
			b = next[b];
			n = ((n == NONE && b == 0) -> 0 : n)
		:: else -> break
		od;
		b = 0;
#if BROKEN == NO_SECOND_LOOK
		n = 0;
#endif
		if
		:: n != 0 -> node_open(n); assert(mine != 0)
		:: else -> place_slot(t, new); opened(new)
		fi
	}
}

/* open_slow(). */
inline open_slow()
{
	node_alloc();
	TABLE_LOCK(look_and_open());
#if BROKEN == SLOT_FIRST
	id[new] = my_id;
#endif
	b = 0;
	d_step {
		locked[t] = false;
		section_end(me);
		freed[new] = (mine == new -> freed[new] : true);
		new = 0;
		t = 0;
		n = 0
	}
}

/* sctx_open(). */
inline open()
{
	table_find(my_id);
	d_step {
		if
		:: n != 0 -> node_open(n)
		:: else
		fi;
		n = 0;
		section_end(me)
	};
	if
	:: mine == 0 -> open_slow()
	:: else
	fi
}

/* sctx_find() by one who has it open. */
inline find()
{
	table_find(my_id);
	d_step { assert(n == mine); n = 0; section_end(me) }
}

inline node_retire(node)
{
#if BROKEN == NODE_AT_ONCE
	freed[node] = true
#else
	retire(node)
#endif
}

/* 1 to DEAD, by compare-and-swap; to @last whether it was. */
inline kill()
{
	d_step {
		if
#if BROKEN == CLOSE_BLINDLY
		:: true ->
#else
		:: opens[mine] == 1 ->
#endif
			dead[mine] = true;
			last = true;
			has_open[my_id]--
		:: else -> last = false
		fi
	}
}

/* sctx__table_remove(), node_retire(), and the section's end. */
inline remove_and_retire()
{
	d_step {
		slot_find(t, mine);
		if
		:: b != NONE -> slot[b] = 0
		:: else -> b = t
		fi
	};
	if
	:: b != t -> chain_unlink()
	:: else
	fi;
	k = 0;
	d_step {
		locked[t] = false;
		if
		:: b != t -> bucket_retire(b)
		:: else
		fi;
		node_retire(mine);
		section_end(me);
		b = 0;
		t = 0
	}
}

/* close_last(). */
inline close_last()
{
#if BROKEN == DEAD_UNLOCKED
	kill();
	TABLE_LOCK(skip);
#else
	TABLE_LOCK(kill());
#endif
	if
	:: last -> remove_and_retire()
	:: else -> d_step { locked[t] = false; t = 0; section_end(me) }
	fi
}

/* sctx_close(). */
inline close()
{
	do
	:: last -> break
	:: !last && opens[mine] > 1 ->
		d_step {
			assert(!dead[mine] && !freed[mine]);
			if
			:: opens[mine] > 1 -> opens[mine]--; has_open[my_id]--; last = true
			:: else
			fi
		}
	:: !last && opens[mine] == 1 -> close_last()
	od;
	last = false;
	mine = 0
}

proctype Opener(byte me; byte my_id; byte times)
{
	byte i_, t, b, k, n, new, mine;
	bool last, was_moved;

	do
	:: times > 0 ->
		open();
		if
		:: me == 1 -> find()
		:: else
		fi;
		close();
		times--
	:: else -> break
	od;
	working--
}

/* ----------------------------------------------------------------- growing */

#define FOR_EACH_BUCKET(statement) \
	c = HEAD; \
	do \
	:: c != NONE -> \
		if \
		:: slot[c] != 0 -> statement \
		:: else \
		fi; \
		c = (next[c] != 0 -> next[c] : NONE) \
	:: else -> break \
	od; \
	c = 0

/* copy_chain(): all at once, since nobody looks there yet.  It may fail after some. */
inline copy_slot()
{
	if
	:: !failed -> place_slot(SUCCESSOR, slot[c])
	:: !failed && !tried -> failed = true; tried = true
	:: failed
	fi
}

/* sctx__table_remove() from the successor. */
inline undo_slot()
{
	slot_find(SUCCESSOR, slot[c]);
	if
	:: b != NONE && b != SUCCESSOR -> slot[b] = 0; chain_unlink(); bucket_retire(b)
	:: b == SUCCESSOR -> slot[b] = 0
	:: b == NONE
	fi;
	b = 0;
	k = 0
}

inline clear_slots()
{
	FOR_EACH_BUCKET(slot[c] = 0)
}

/* move_bucket(). */
inline move_bucket()
{
	failed = false;
	atomic { !locked[HEAD] -> section_begin(0); locked[HEAD] = true; FOR_EACH_BUCKET(copy_slot()) };
	if
	:: failed ->
		atomic {
#if BROKEN != NOT_UNDONE
			FOR_EACH_BUCKET(undo_slot());
#endif
			locked[HEAD] = false;
			section_end(0)
		}
	:: else ->
#if BROKEN == CLEAR_FIRST
		clear_slots();
		moved[HEAD] = true;
#else
		moved[HEAD] = true;
		clear_slots();
#endif
		d_step {
			c = next[HEAD];
			next[HEAD] = 0;
			locked[HEAD] = false;
			do
			:: c != 0 -> b = next[c]; bucket_retire(c); c = b
			:: else -> break
			od;
			b = 0
		}
	fi
}

inline table_retire()
{
#if BROKEN == TABLE_AT_ONCE
	freed[O_BUCKET(HEAD)] = true
#else
	retire(O_BUCKET(HEAD))
#endif
}

/* move_some(), in updates of others', and finish(). */
proctype Mover()
{
	byte i_, b, c, k;
	bool failed, tried;

	move_bucket();
	if
	:: failed -> move_bucket()
	:: else
	fi;
#if BROKEN == FINISH_EARLY
	d_step { table_retire(); section_end(0) };
	d_step { table = SUCCESSOR; working-- }
#else
	d_step { table = SUCCESSOR; table_retire(); section_end(0); working-- }
#endif
}

init
{
	atomic {
		d_step {
			freed[1] = true;
			freed[2] = true;
			freed[3] = true;
			freed[O_BUCKET(2)] = true;
			freed[O_BUCKET(3)] = true;
			freed[O_BUCKET(4)] = true;
			freed[O_BUCKET(5)] = true
		};
#if SCENE == 0
		working = 3;
		run Mover();
		run Opener(1, X, 1);
		run Opener(2, Y, 1)
#elif SCENE == 1
		working = 3;
		run Opener(1, X, 1);
		run Opener(2, X, 2);
		run Opener(3, Y, 1)
#elif SCENE == 2
		working = 3;
		run Mover();
		run Opener(1, X, 1);
		run Opener(2, X, 1)
#elif SCENE == 3
		working = 3;
		run Opener(1, X, 1);
		run Opener(2, Y, 1);
		run Opener(3, Z, 1)
#else
		working = 4;
		run Mover();
		run Opener(1, X, 1);
		run Opener(2, X, 1);
		run Opener(3, Y, 1)
#endif
	};
	atomic {
		working == 0 ->
		assert(freed[1] && freed[2] && freed[3] && inside == 0);
		assert(!slot[HEAD] && !slot[SUCCESSOR] && !next[HEAD] && !next[SUCCESSOR]);
		assert(freed[O_BUCKET(2)] && freed[O_BUCKET(3)] && freed[O_BUCKET(4)] &&
		       freed[O_BUCKET(5)])
	}
}
