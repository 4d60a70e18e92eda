/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream's list against readers, removers, holders and teardown:
 * lib/stream/list.h, lib/stream/context.c, context_drop() in lib/reclaim/callbacks.c, and the walk
 * in include/streamctx/inline.h.
 *
 * Modelled: one stream, its lock, its inline array and the heap arrays that
 * take over; contexts with @stream, @refs and @linked_once.  A reader
 * looks up and may take a reference; an inserter appends, appends if unique,
 * replaces in place or replaces by a new array; a remover deletes, or removes
 * and inserts again, or tears down.  Who is left with a reference puts it,
 * inserts the context again, there or elsewhere, or detaches it, after the
 * stream's end too.
 *
 *   scene 0 check  a reader, an inserter, a remover
 *   scene 1 check  two readers and a remover
 *   scene 2 long   as 0, and the reader inserts elsewhere, too
 *   scene 3 long   as 0, from a stream with two contexts, of which one does not match
 *   scene 4 check  a lookup of any instance; one appends another instance, one
 *                  replaces, one removes
 *
 * Abstraction: owner and instance are one key; keys 1 and 3 are two instances
 * of the owner whose newest context lookups want, 2 is another owner's.  Tags
 * are not modelled, nor a disabled stream.  What is done under the lock is one step up to and including a store that someone
 * without the lock can see.  Loops of compare-and-swap are one step.
 * Memory is sequentially consistent; where the code orders two stores, a
 * variant has them the other way round, as it could be seen if it did not.
 * Sections and limbo: rcu.pml.
 *
 * Properties, as assertions, and absence of deadlock:
 *   - no entry is seen half written, none of another key is returned;
 *   - a lookup returns what was on the list at some moment during it, and
 *     nothing only if at some moment nothing matched;
 *   - nothing is touched after it was freed (context, array, stream);
 *   - a context is called back once, and then nobody holds a reference and no
 *     reader that borrowed it is still inside;
 *   - a context is in one limbo list at most and on one stream at most;
 *   - a put by who holds a reference is never taken for misuse;
 *   - in the end every context has been called back.
 */
#define C	4 /* contexts, from 1 */
#define ARRAYS	4 /* 0 is the inline one */
#define CAP	3
#define O_ARRAY(a) (C + (a))
#define O_STREAM   (C + ARRAYS)
#define OBJECTS	   (C + ARRAYS + 1)
#define PLAIN	   O_ARRAY(0)
#include "rcu.pml"

#ifndef SCENE
#define SCENE 0
#endif

/* Variants. */
#define PUBLISH_FIRST 1 /* scene 0: append: the count is published before the entry */
#define COPY_AFTER 2 /* scene 0: list_replace(): the array is published before its last entry */
#define NO_GRACE 3 /* scene 0: put_last(): called back at once */
#define ARRAY_AT_ONCE 4 /* scene 0 reversed: array_retire(): freed at once */
#define STREAM_LEFT 5 /* scene 0: teardown leaves ctx->stream */
#define DETACH_OUTSIDE 6 /* scene 0: sctx_detach(): the stream is found outside a section */
#define REPLACE_BY_NULL 7 /* scene 0 shortest: replace in place: NULL first, then the new context */
#define DROP_BLINDLY 8 /* scene 1: context_drop_held(): called back, though others held it */
#define CLAIM_ALONE 9 /* scene 1: context_claim(): who is alone never needs a compare-and-swap */
#define MISUSE_EASILY 10 /* scene 0: put_inside(): that it hangs somewhere is misuse at once */
#define DROP_BACKWARDS 12 /* scene 0: context_drop_held(): the count first, the mark second */
#define TORN_UNLOCKED 13 /* scene 0 reversed: insert looks at TORN before it has the lock */
#define APPEND_TO_OLD 15 /* scene 0: append: the array is read before the lock */
#define CLAIM_FROM_LIMBO 11 /* scene 1: context_claim(): takes what limbo holds */
#define LOOK_ONCE 14 /* scene 4: a lookup that passed what was gone does not look again */
#define IN_PLACE_ANYWAY 16 /* scene 4: replaced in place, though not its owner's newest */
#define LIMBO_STORED 17 /* scene 1: put_inside(): looks at the stream, and stores the mark */
#define HANGING_UNSEEN 18 /* scene 1: put_inside(): the mark is stored whatever is there */

/* Processes, as bits of @inside. */
#define MAIN	 0
#define READER	 1
#define READER2	 2
#define INSERTER 3
#define REMOVER	 4
#define REPLACER READER2 /* in scene 4 */

#if SCENE == 4
#define KEY(c)	((c) == 2 -> 3 : 1)
#else
#define KEY(c)	((c) == 3 -> 2 : 1)
#endif
#define WANTED(key) ((key) & 1)
#define NONE	255

/* The stream.  @list is below IN_HEAP a count, else an array's number more. */
#define IN_HEAP 16
bool locked, torn, elsewhere_locked;
byte list, inline_cap;
byte count[ARRAYS];
byte key[ARRAYS * CAP], ctx[ARRAYS * CAP];
byte arrays; /* allocated so far, in the heap */

/* Contexts. */
byte refs[C];
bool linked_once[C];
byte hangs[C]; /* ctx->stream */
#define NOWHERE	  0
#define HERE	  1
#define ELSEWHERE 2
#define LIMBO	  3

/* What is true, rather than what is stored. */
byte holders[C];   /* processes with a reference */
byte borrowers[C]; /* processes in a section that found it */
byte live;	   /* contexts that a lookup may return now */
byte top;	   /* ... the newest of the owner's, which it has to, or 0 */
byte was_top[3];   /* ... as bits, since the process's lookup began */
byte users;	   /* processes that keep the stream open */
byte working;	   /* processes not done */

#define SLOT(a, i) ((a) * CAP + (i))
#define ROOM(a)	   ((a) == 0 -> inline_cap : CAP)

inline hold(p, c)
{
	holders[c] = holders[c] | BIT(p)
}

inline let_go(p, c)
{
	holders[c] = holders[c] & ~BIT(p)
}

/* With d_step around it: what was just stored has made it so. */
inline set_live(now)
{
	live = now;
	u = (list >= IN_HEAP -> list - IN_HEAP : 0);
	i_ = (list >= IN_HEAP -> count[u] : list);
	top = 0;
	do
	:: i_ > 0 && top == 0 ->
		i_--;
		top = (WANTED(key[SLOT(u, i_)]) -> ctx[SLOT(u, i_)] : 0)
	:: else -> break
	od;
	i_ = 0;
	u = 0;
	was_top[READER] = was_top[READER] | BIT(top);
	was_top[READER2] = was_top[READER2] | BIT(top)
}

/* With atomic around it: waits. */
inline stream_lock()
{
	(!locked || freed[O_STREAM]) -> assert(!freed[O_STREAM]);
	locked = true
}

/* list_all(): the array, and how many of its entries are published. */
inline list_all()
{
	if
	:: list >= IN_HEAP -> a = list - IN_HEAP; n = count[a]
	:: else -> a = 0; n = list
	fi;
	assert(!freed[O_STREAM] && !freed[O_ARRAY(a)])
}

/* The newest entry that is live and @wanted, under the lock. */
#define FIND_LOCKED(wanted) \
	d_step { \
		match = NONE; \
		i = n; \
		do \
		:: i > 0 && match == NONE -> \
			i--; \
			if \
			:: ctx[SLOT(a, i)] != 0 && wanted -> match = SLOT(a, i) \
			:: else \
			fi \
		:: else -> break \
		od; \
		i = 0 \
	}

/* ------------------------------------------------------------- references */

inline free_context(c)
{
	d_step {
		assert(!freed[c] && hangs[c] == NOWHERE && !HAS(live, c));
		assert(holders[c] == 0 && borrowers[c] == 0);
		freed[c] = true
	}
}

/* sctx_ref() of what is held or borrowed. */
inline ref(p, c)
{
	d_step {
		assert(!freed[c] && refs[c] > 0);
		refs[c]++;
		hold(p, c)
	}
}

/* put_last(): the mark is set. */
inline put_last(p, c)
{
	d_step {
		where = NOWHERE;
		let_go(p, c);
#if BROKEN == NO_GRACE
		hangs[c] = NOWHERE;
		free_context(c)
#else
		retire(c)
#endif
	}
}

/* only_stream_holds(): waits for the lock, and is misuse if it is so. */
inline not_only_stream(c)
{
	atomic {
		where == HERE && (!locked || freed[O_STREAM]) || where == ELSEWHERE && !elsewhere_locked ->
		assert(where != HERE || !freed[O_STREAM]);
		assert(hangs[c] != where || refs[c] != 1)
	}
}

/*
 * sctx__put_inside(), for @p inside an update.  The mark comes by a compare-and-swap,
 * which says where the context is linked if it is.
 */
inline put_inside(p, c)
{
	do
	:: atomic { refs[c] > 1 -> assert(!freed[c]); refs[c]--; let_go(p, c) }; break
	:: atomic { refs[c] <= 1 -> assert(!freed[c] && refs[c] == 1) };
#if BROKEN == LIMBO_STORED
		where = hangs[c];
		hangs[c] = (where == NOWHERE -> LIMBO : hangs[c]);
#elif BROKEN == HANGING_UNSEEN
		hangs[c] = LIMBO;
#else
		atomic { where = hangs[c]; hangs[c] = (where == NOWHERE -> LIMBO : where) };
#endif
		assert(where != LIMBO);
		if
		:: where == NOWHERE -> put_last(p, c); break
#if BROKEN == MISUSE_EASILY
		:: where != NOWHERE -> assert(false)
#else
		:: where != NOWHERE -> not_only_stream(c); where = NOWHERE
#endif
		fi
	od
}

inline put(p, c)
{
	section_begin(p);
	put_inside(p, c);
	section_end(p)
}

/* ------------------------------------------------------------------ insert */

#define OK	 0
#define BUSY	 1
#define EXISTS	 2
#define SHUTDOWN 3
#define NO_ARRAY 4
#define REFUSED	 5

#define INSERT	0
#define UNIQUE	1
#define REPLACE 2 /* in place: the same instance */
#define REBUILD 3 /* by a new array: another instance */

/* context_claim(). */
inline claim(c, place)
{
	alone = (refs[c] == 1);
	if
#if BROKEN == CLAIM_ALONE
	:: alone && !hangs[c] -> hangs[c] = place
#else
	:: alone && !linked_once[c] -> hangs[c] = place
#endif
	:: else -> atomic {
#if BROKEN == CLAIM_FROM_LIMBO
		error = (hangs[c] == HERE || hangs[c] == ELSEWHERE -> BUSY : OK);
#else
		error = (hangs[c] == NOWHERE -> OK : (hangs[c] == LIMBO -> REFUSED : BUSY));
#endif
		hangs[c] = (error == OK -> place : hangs[c])
	}
	fi;
	linked_once[c] = linked_once[c] || error == OK;
	alone = false
}

/* The reference is the stream's from the store that publishes on. */
#define PUBLISH(p, c, without, store) \
	d_step { \
		assert(!HAS(live, c) && hangs[c] == HERE && !torn); \
		store; \
		let_go(p, c); \
		set_live((live & ~(without)) | BIT(c)) \
	}

/* entry_write(). */
inline entry_write(array, at, c)
{
	d_step {
		key[SLOT(array, at)] = KEY(c);
		ctx[SLOT(array, at)] = c
	}
}

/* list_append(): there is room at @n of array @a. */
inline list_append(p, c)
{
#if BROKEN != PUBLISH_FIRST
	entry_write(a, n, c);
#endif
	if
	:: a == 0 -> PUBLISH(p, c, 0, list = n + 1)
	:: else -> PUBLISH(p, c, 0, count[a] = n + 1)
	fi
#if BROKEN == PUBLISH_FIRST
	;
	entry_write(a, n, c)
#endif
}

inline copy_entry(at)
{
	key[SLOT(spare, count[spare])] = key[at];
	ctx[SLOT(spare, count[spare])] = ctx[at];
	count[spare]++
}

/* list_replace(): the live entries to @spare, @c for @match or as the newest. */
inline list_replace(p, c)
{
	d_step {
		i = 0;
		do
		:: i < n && SLOT(a, i) == match -> count[spare]++; i++
		:: i < n && SLOT(a, i) != match ->
			if
			:: ctx[SLOT(a, i)] != 0 -> copy_entry(SLOT(a, i))
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < CAP && ctx[SLOT(spare, i)] != 0 -> i++
		:: else -> break
		od;
		count[spare] = (i < count[spare] -> count[spare] : i + 1);
		assert(count[spare] <= CAP);
		old = a
	};
#if BROKEN != COPY_AFTER
	entry_write(spare, i, c);
#endif
	PUBLISH(p, c, (match == NONE -> 0 : BIT(ctx[match])), list = IN_HEAP + spare);
#if BROKEN == COPY_AFTER
	entry_write(spare, i, c);
#endif
	d_step { i = 0; spare = 0 }
}

/* replace_locked(): @match is there. */
inline replace_locked(p, c)
{
	d_step { found = ctx[match]; hold(p, found) };
	if
	:: in_place ->
#if BROKEN == REPLACE_BY_NULL
		ctx[match] = 0;
#endif
		PUBLISH(p, c, BIT(found), ctx[match] = c)
	:: else -> list_replace(p, c)
	fi
}

/* What to do is known: claim the context and do it. */
inline place_locked(p, c)
{
	claim(c, HERE);
	if
	:: error != OK
	:: error == OK && match != NONE -> replace_locked(p, c)
	:: error == OK && match == NONE && n == ROOM(a) -> list_replace(p, c)
	:: error == OK && match == NONE && n < ROOM(a) -> list_append(p, c)
	fi;
	if
	:: error == OK && found != 0 -> hangs[found] = NOWHERE
	:: else
	fi
}

/* To @in_place: whether one store replaces what is at @match. */
inline look_in_place(mode)
{
	d_step {
		in_place = (mode == REPLACE && match != NONE);
		i = n;
		do
		:: i > 0 && in_place && SLOT(a, i - 1) != match ->
			i--;
#if BROKEN != IN_PLACE_ANYWAY
			in_place = !(WANTED(key[SLOT(a, i)]) && ctx[SLOT(a, i)] != 0)
#endif
		:: else -> break
		od;
		i = 0
	}
}

#define NEEDS_ARRAY (match == NONE && n == ROOM(a) || match != NONE && !in_place)

/* insert_locked(), up to the first store; with atomic around it. */
inline insert_decide(p, c, mode)
{
#if BROKEN != APPEND_TO_OLD
	list_all();
#endif
	FIND_LOCKED(mode != INSERT && key[SLOT(a, i)] == KEY(c));
	look_in_place(mode);
	if
#if BROKEN == TORN_UNLOCKED
	:: was_torn -> error = SHUTDOWN
	:: !was_torn && mode == UNIQUE && match != NONE ->
#else
	:: torn -> error = SHUTDOWN
	:: !torn && mode == UNIQUE && match != NONE ->
#endif
		error = EXISTS;
		found = ctx[match];
		ref(p, found)
	:: else -> error = (NEEDS_ARRAY && spare == 0 -> NO_ARRAY : OK)
	fi
}

inline array_retire(array)
{
	if
	:: array != 0 ->
#if BROKEN == ARRAY_AT_ONCE
		freed[O_ARRAY(array)] = true
#else
		retire(O_ARRAY(array))
#endif
	:: else
	fi
}

/* insert_attempt(), and hand_out() to one who does not want it. */
inline insert(p, c, mode)
{
	error = NO_ARRAY;
	do
	:: error == NO_ARRAY ->
#if BROKEN == TORN_UNLOCKED
		was_torn = torn;
#endif
#if BROKEN == APPEND_TO_OLD
		d_step { list_all() };
#endif
		atomic { stream_lock(); section_begin(p); insert_decide(p, c, mode) };
		if
		:: error == OK -> place_locked(p, c)
		:: else
		fi;
		atomic {
			locked = false;
			array_retire(old);
			section_end(p);
			d_step { match = 0; a = 0; n = 0; old = 0; in_place = false };
			if
			:: error == NO_ARRAY -> arrays++; spare = arrays; assert(spare < ARRAYS)
			:: else -> spare = 0
			fi
		}
	:: else -> break
	od;
	if
	:: found != 0 -> put(p, found); found = 0
	:: else
	fi
}

/* ------------------------------------------------------------------ remove */

/* For remove: the reference is the caller's.  Unlock follows. */
inline entry_take(p)
{
	d_step {
		found = ctx[match];
		ctx[match] = 0;
		hold(p, found);
		set_live(live & ~BIT(found))
	};
	hangs[found] = NOWHERE
}

/* sctx__unlinked_for_limbo(): @last if the mark is set, and the context is to be retired. */
inline unlinked_for_limbo(c)
{
	last = (refs[c] == 1);
	hangs[c] = (last -> LIMBO : NOWHERE)
}

/* sctx__put_unlinked(). */
inline put_unlinked(p, c)
{
	if
	:: last -> put_last(p, c); last = false
	:: else -> put_inside(p, c)
	fi
}

/* entry_unlink(), for what drops the stream's reference. */
inline entry_unlink(p)
{
	d_step {
		found = ctx[match];
		ctx[match] = 0;
		hold(p, found);
		set_live(live & ~BIT(found))
	};
	unlinked_for_limbo(found)
}

/* sctx_remove() of the newest of key 1. */
inline remove(p)
{
	atomic { stream_lock(); section_begin(p); list_all(); FIND_LOCKED(key[SLOT(a, i)] == 1) };
	if
	:: match != NONE -> entry_take(p)
	:: else
	fi;
	atomic { locked = false; section_end(p); d_step { match = 0; a = 0; n = 0 } }
}

/* sctx_detach() inside a section, the stream having been loaded. */
inline detach_from_stream(p, c)
{
	atomic { stream_lock(); list_all(); FIND_LOCKED(ctx[SLOT(a, i)] == c) };
	if
	:: match != NONE ->
		held = HAS(holders[c], p);
		entry_unlink(p);
		locked = false;
		put_unlinked(p, c);
		if
		:: held -> hold(p, c)
		:: else
		fi
	:: else -> locked = false
	fi;
	d_step { match = 0; a = 0; n = 0; found = 0; held = false }
}

/* sctx_detach(). */
inline detach(p, c)
{
#if BROKEN == DETACH_OUTSIDE
	if
	:: hangs[c] == HERE -> section_begin(p); detach_from_stream(p, c)
	:: else -> section_begin(p)
	fi;
#else
	section_begin(p);
	if
	:: hangs[c] == HERE -> detach_from_stream(p, c)
	:: else
	fi;
#endif
	section_end(p)
}

/* teardown_locked(), for @p inside an update. */
inline teardown(p)
{
	atomic { stream_lock(); list_all(); list = 0; set_live(0); torn = true; locked = false };
	do
	:: i < n ->
		found = ctx[SLOT(a, i)];
		if
		:: found != 0 ->
			hold(p, found);
#if BROKEN == STREAM_LEFT
			put_inside(p, found)
#else
			unlinked_for_limbo(found);
			put_unlinked(p, found)
#endif
		:: else
		fi;
		i++
	:: else -> break
	od;
	array_retire(a);
	i = 0;
	d_step { n = 0; a = 0; found = 0 }
}

/* --------------------------------------------------------------- processes */

inline give_back(p, c)
{
	borrowers[c] = borrowers[c] & ~BIT(p)
}

#if BROKEN == LOOK_ONCE
#define GOOD true
#else
#define GOOD (!gone || a == 0 && list == seen || a != 0 && count[a] == seen)
#endif

/*
 * Begin a section; sctx__lookup() of the owner's newest.  What was found is
 * borrowed, to @c.  An array is looked at again for itself, the inline one with
 * the list.
 */
inline lookup(p)
{
	atomic { section_begin(p); was_top[p] = BIT(top); seen = NONE };
	do
	:: atomic {
		seen == NONE && a == 0 ->
		assert(!freed[O_STREAM]);
		a = (list >= IN_HEAP -> list - IN_HEAP : 0);
		seen = (a == 0 -> list : NONE);
		n = seen
	}
	:: atomic {
		seen == NONE && a != 0 ->
		assert(!freed[O_ARRAY(a)]);
		seen = count[a];
		n = seen
	}
	:: atomic {
		seen != NONE && n > 0 && found == 0 ->
		n--;
		assert(!freed[O_STREAM] && !freed[O_ARRAY(a)] && key[SLOT(a, n)] != 0);
		if
		:: WANTED(key[SLOT(a, n)]) ->
			found = ctx[SLOT(a, n)];
			gone = gone || found == 0;
			borrowers[found] = borrowers[found] | (found == 0 -> 0 : BIT(p))
		:: else
		fi
	}
	:: atomic {
		seen != NONE && (n == 0 || found != 0) && !GOOD ->
		give_back(p, found);
		found = 0;
		gone = false;
		seen = NONE
	}
	:: atomic {
		seen != NONE && (n == 0 || found != 0) && GOOD ->
		assert(!freed[O_STREAM] && !freed[O_ARRAY(a)]);
		assert(HAS(was_top[p], found) && (found == 0 || !freed[found]));
		was_top[p] = 0;
		gone = false;
		c = found;
		found = 0;
		n = 0;
		a = 0;
		seen = 0
	}; break
	od
}

/* Insert into another stream, of which nothing else is modelled, and remove. */
inline insert_elsewhere(p, c)
{
	claim(c, ELSEWHERE);
	if
	:: error == OK ->
		d_step {
			assert(!HAS(live, c) && hangs[c] == ELSEWHERE);
			hangs[c] = NOWHERE
		}
	:: else
	fi
}

/* A holder's ways to be rid of his reference, the stream closed or not. */
inline be_rid(p, c)
{
	if
	:: true -> skip
	:: true -> detach(p, c)
	fi;
	put(p, c)
}

#define LOCALS \
	byte i_, u, i, a, n, match, old, spare, c, found, error, where, seen; \
	bool held, was_torn, alone, gone, in_place, last

#define REMOVES(p) (p == READER && SCENE == 1)

proctype Reader(byte p)
{
	LOCALS;

	lookup(p);
	if
	:: true -> skip; d_step { give_back(p, c); c = 0 }
#if SCENE != 4
	:: c != 0 && hangs[c] == HERE -> detach_from_stream(p, c); d_step { give_back(p, c); c = 0 }
	:: c != 0 -> d_step { ref(p, c); give_back(p, c) }
#endif
	fi;
	section_end(p);
	if
	:: c != 0 ->
		insert(p, c, INSERT);
		if
		:: error != OK -> users--; put(p, c)
		:: error == OK -> users--
		:: error == OK && REMOVES(p) ->
			remove(p);
			users--;
			if
			:: found != 0 -> put(p, found); found = 0
			:: else
			fi
		fi
	:: c != 0 ->
		users--;
		if
		:: p == READER && SCENE != 0 && SCENE != 3 -> insert_elsewhere(p, c)
		:: else
		fi;
		be_rid(p, c)
	:: c == 0 -> users--
	fi;
	d_step { c = 0; error = 0; working-- }
}

/* Holds context @new. */
proctype Inserter(byte p; byte new)
{
	LOCALS;
	byte mode;

	c = new;
#if SCENE == 4
	mode = (p == REPLACER -> REPLACE : INSERT);
#else
	if
	:: mode = INSERT
	:: mode = UNIQUE
	:: mode = REPLACE
	:: mode = REBUILD
	fi;
#endif
	insert(p, c, mode);
	if
	:: error != OK -> put(p, c)
	:: else
	fi;
	d_step { c = 0; error = 0; mode = 0; users--; working-- }
}

proctype Remover(byte p)
{
	LOCALS;

	if
	:: true -> remove(p);
		d_step { c = found; found = 0 };
		if
		:: c != 0 -> put(p, c)
		:: c != 0 ->
			insert(p, c, INSERT);
			if
			:: error != OK -> put(p, c)
			:: else
			fi
		:: c == 0
		fi
#if SCENE != 4
	:: true -> section_begin(p); teardown(p); section_end(p)
#endif
	fi;
	d_step { c = 0; error = 0; users--; working-- }
}

/* context_drop_held(). */
inline context_drop_held()
{
#if BROKEN != DROP_BACKWARDS
	hangs[c] = NOWHERE;
#endif
	do
	:: atomic { refs[c] > 1 -> refs[c]--; break }
	:: atomic { refs[c] <= 1 -> assert(!freed[c] && refs[c] == 1) };
#if BROKEN == DROP_BLINDLY
		free_context(c);
		break
#else
		if
#if BROKEN == DROP_BACKWARDS
		:: atomic { hangs[c] == LIMBO -> retire(c) }; goto retired
#endif
		:: atomic { hangs[c] == NOWHERE -> hangs[c] = LIMBO; retire(c) }; goto retired
		:: atomic { hangs[c] == HERE || hangs[c] == ELSEWHERE }
		fi
#endif
	od;
#if BROKEN == DROP_BACKWARDS
	assert(!freed[c]);
	hangs[c] = NOWHERE;
#endif
retired:
	skip
}

/* context_drop(). */
inline context_drop()
{
	if
	:: refs[c] != 1 -> context_drop_held()
	:: else -> d_step { assert(hangs[c] == LIMBO); hangs[c] = NOWHERE; free_context(c) }
	fi;
	c = 0
}

/* Calls back what is ripe, in any order. */
proctype Reclaimer()
{
	byte c;

	do
	:: atomic { RIPE(1) -> limbo[1] = false; c = 1 }; context_drop()
	:: atomic { RIPE(2) -> limbo[2] = false; c = 2 }; context_drop()
	:: atomic { RIPE(3) -> limbo[3] = false; c = 3 }; context_drop()
	:: atomic { freed[O_STREAM] && working == 0 && !limbo[1] && !limbo[2] && !limbo[3] -> break }
	od;
	assert(freed[1] && freed[2] && freed[3])
}

/* Context @c hangs on the stream, in slot @at, from the start. */
inline begin_on(c, at)
{
	refs[c] = 1;
	linked_once[c] = true;
	hangs[c] = HERE;
	key[at] = KEY(c);
	ctx[at] = c;
	list++;
	live = live | BIT(c);
	top = (KEY(c) == 1 -> c : top)
}

inline begin_held(p, c)
{
	refs[c] = 1;
	holders[c] = BIT(p)
}

init
{
	byte i_, u, i, a, n, found, where;
	bool last;

	atomic {
		d_step {
#if SCENE == 4
			inline_cap = 2;
			begin_on(1, 0);
			begin_held(REPLACER, 3);
#elif SCENE == 3
			inline_cap = 2;
			begin_on(3, 0);
			begin_on(1, 1);
#else
			inline_cap = 1;
			begin_on(1, 0);
			freed[3] = true;
#endif
#if SCENE == 1
			freed[2] = true;
#else
			begin_held(INSERTER, 2);
#endif
			users = (SCENE == 4 -> 4 : 3);
			working = users
		};
		run Reader(READER);
#if SCENE == 4
		run Inserter(REPLACER, 3);
		run Inserter(INSERTER, 2);
#elif SCENE == 1
		run Reader(READER2);
#else
		run Inserter(INSERTER, 2);
#endif
		run Remover(REMOVER);
		run Reclaimer()
	};
	/* sctx_stream_retire(), when nobody keeps the stream open. */
	users == 0;
	section_begin(MAIN);
	teardown(MAIN);
	retire(O_STREAM);
	section_end(MAIN)
}
