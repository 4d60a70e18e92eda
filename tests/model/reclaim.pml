/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Batches against grace periods: lib/thread/thread.h (the two sets of limbo),
 * lib/thread/limbo.c (sctx__limbo_turn_phase, sctx__limbo_take_closed, sctx__limbo_orphan),
 * lib/reclaim/callbacks.c (sctx__callbacks_turn), and there (magazine_turn)
 * and lib/reclaim/reclaim.c (cycle, reclaimer_main, sleep_until_work, sctx_barrier,
 * cycles on threads of the host's, reclaim_fini).
 *
 * Modelled: threads that unlink and retire inside sections, and one that has
 * sections; the sets by phase, orphans, closed, ripe; the turn of the phase,
 * the grace period, collecting, calling back a cycle later; nodes that wait
 * and return; sleeping, waking, the barrier, a thread's exit, the process's.
 *
 *   scene 0 check  one retires, barrier, retires, end; one retires a node, exits
 *   scene 1 check  two retire; the reclaimer falls asleep, for good in the end
 *   scene 2 check  no reclaimer: two that retire run their barriers' cycles
 *   scene 3 long   two retire twice; barriers; the end
 *
 * Abstraction: a grace period takes the set of sections that have begun, and
 * waits for them to end.  An object is known to those whose section had begun
 * when it was unlinked.  A push is a load and a store.  The load of @sleeping
 * may come before the push is seen, as no fence keeps it from that.
 * Pauses between cycles are no steps, nor are limits, forks and runners.
 *
 * Properties, as assertions, and absence of deadlock:
 *   - what is called back, or used again, is known to nobody inside;
 *   - it is called back once;
 *   - a barrier returns after all callbacks of what was retired before it;
 *   - when all is quiet, or at the end, nothing is left in limbo;
 *   - cycles come to an end: no more than CYCLES.
 */
#ifndef BROKEN
#define BROKEN 0
#endif

#ifndef SCENE
#define SCENE 0
#endif

/* Variants. */
#define NO_GRACE 1 /* scene 1: no grace period between turn and collection */
#define RUN_AT_ONCE 2 /* scene 0: called back in the cycle that collects it */
#define TURN_LATE 3 /* scene 0: the phase turns after the grace period */
#define PHASE_OUTSIDE 4 /* scene 0: the phase is read before the section begins */
#define NO_LAST_CYCLE 5 /* scene 1: asleep after the first cycle that found nothing */
#define WAKE_UNLOCKED 6 /* scene 1: who wakes takes no lock */
#define BARRIER_OF_ONE 7 /* scene 0: a barrier waits for one whole cycle */
#define RETURN_AT_ONCE 8 /* scene 0: nodes return in the cycle that collects them */
#define EXIT_FREES 9 /* scene 0: a thread's exit frees the nodes that wait */
#define ORPHANS_UNSEEN 10 /* scene 0: limbo counts as empty, whatever the orphans */
#define STOP_ASLEEP 11 /* scene 0: asleep when the end comes, the reclaimer just ends */
#define EMPTIED_LATE 12 /* scene 2: a set may be seen emptied after the next turn */
#define CYCLES_TOGETHER 13 /* scene 2: nobody waits for another's cycle */
#define FOUND_ONLY 14 /* scene 1: what is in limbo now keeps nobody awake */

#define THREADS	  2
#define RECLAIMER 2 /* also a place in limbo: orphans */
#define READER	  3
#define ORPHANS	  2
#define OBJECTS	  4
#define NODE	  BIT(3) /* the last object is a node, the others are contexts */
#define CYCLES	  24

#define BIT(n)	    (1 << (n))
#define HAS(set, n) ((set) & BIT(n))
#define SET(t, p)   (2 * (t) + (p))

/* sctx__shared and the reclaimer's fields. */
bool phase, sleeping = true, worker, stop, cycling;
byte started, finished, wanted;
bool lock;	   /* reclaimer.lock */
bool threads_lock; /* sctx__threads_lock */
bool waits_work;   /* in pthread_cond_wait(&work) */
byte waits_done;   /* threads in pthread_cond_wait(&done) */
bool exited;	   /* the reclaimer's thread */

/* Limbo. */
byte limbo[2 * (THREADS + 1)]; /* sets of objects */
byte closed, ripe;
bool counted;	       /* closed.callbacks, which counts nodes, too */
byte waiting[THREADS]; /* magazines */
byte next_empty;       /* EMPTIED_LATE: sets whose emptying is still to be seen */

/* What is true. */
byte inside;	       /* processes in a section */
byte grace;	       /* sections that the grace period waits for */
byte known_to[OBJECTS];
byte retired, done;    /* objects */
bool joined[THREADS];

inline section_begin(p)
{
	inside = inside | BIT(p)
}

inline section_end(p)
{
	d_step {
		inside = inside & ~BIT(p);
		grace = grace & ~BIT(p);
		known_to[0] = known_to[0] & ~BIT(p);
		known_to[1] = known_to[1] & ~BIT(p);
		known_to[2] = known_to[2] & ~BIT(p);
		known_to[3] = known_to[3] & ~BIT(p)
	}
}

inline lock_take()
{
	atomic { !lock -> lock = true }
}

inline signal_work()
{
	waits_work = false
}

/* All of @set are called back, or used again. */
inline finish(set)
{
	d_step {
		assert(!(done & (set)));
		assert(!HAS(set, 0) || known_to[0] == 0);
		assert(!HAS(set, 1) || known_to[1] == 0);
		assert(!HAS(set, 2) || known_to[2] == 0);
		assert(!HAS(set, 3) || known_to[3] == 0);
		done = done | (set)
	}
}

/* ------------------------------------------------------------------ retire */

/* wake_reclaimer(). */
inline wake()
{
#if BROKEN == WAKE_UNLOCKED
	worker = true;
	sleeping = false;
	signal_work()
#else
	lock_take();
	d_step { worker = true; sleeping = false; signal_work(); lock = false }
#endif
}

/* Unlink @o inside a section, and sctx__retire_...(). */
inline retire(me, o)
{
#if BROKEN == PHASE_OUTSIDE
	p = phase;
#endif
	section_begin(me);
	if
	:: true -> early = true; seen = sleeping
	:: true -> early = false
	fi;
#if BROKEN != PHASE_OUTSIDE
	p = phase;
#endif
	d_step { known_to[o] = inside; head = limbo[SET(me, p)] };
	d_step { limbo[SET(me, p)] = head | BIT(o); head = 0; p = 0 };
	if
	:: early
	:: !early -> seen = sleeping
	fi;
	early = false;
	if
	:: seen -> seen = false; wake()
	:: else
	fi;
	d_step { section_end(me); retired = retired | BIT(o) }
}

/* ------------------------------------------------------------------- cycle */

/* sctx__limbo_turn_phase(). */
inline turn()
{
#if BROKEN == EMPTIED_LATE
	phase = !phase;
	if
	:: next_empty != 0 -> limbo[next_empty - 1] = 0; next_empty = 0
	:: else
	fi
#else
	phase = !phase
#endif
}

/* sctx__synchronize(). */
inline grace_period()
{
	grace = inside;
	grace == 0
}

/* sctx__limbo_move() of a thread's closed set to @closed, its nodes apart. */
inline take(t)
{
	d_step {
		head = limbo[SET(t, !phase)];
		counted = counted || head != 0;
		finish(waiting[t]);
		waiting[t] = head & NODE;
		closed = closed | (head & ~NODE);
#if BROKEN == RETURN_AT_ONCE
		finish(waiting[t]);
		waiting[t] = 0;
#endif
#if BROKEN == EMPTIED_LATE
		if
		:: head != 0 -> next_empty = SET(t, !phase) + 1
		:: else
		fi;
#else
		limbo[SET(t, !phase)] = 0;
#endif
		head = 0
	}
}

/* sctx__callbacks_turn() and sctx__callbacks_run(): to @busy whether there was any. */
inline collect_and_run()
{
	atomic {
		!threads_lock -> threads_lock = true;
		busy = counted;
		counted = false;
		ripe = ripe | closed;
		closed = 0
	};
	take(0);
	take(1);
	d_step {
		head = limbo[SET(ORPHANS, !phase)];
		counted = counted || head != 0;
		closed = closed | head;
		limbo[SET(ORPHANS, !phase)] = 0;
		head = 0;
		threads_lock = false;
		busy = busy || counted
	};
#if BROKEN == RUN_AT_ONCE
	finish(ripe | closed);
	closed = 0;
#else
	finish(ripe);
#endif
	ripe = 0
}

/* cycle(), cycle_here(). */
inline cycle()
{
#if BROKEN != TURN_LATE
	turn();
#endif
#if BROKEN != NO_GRACE
	grace_period();
#endif
#if BROKEN == TURN_LATE
	turn();
#endif
	collect_and_run()
}

/* --------------------------------------------------------- reclaimer's thread */

/* sctx__limbo_is_empty(): to @nothing. */
inline look_for_work()
{
	nothing = !limbo[SET(0, 0)] && !limbo[SET(0, 1)];
	nothing = nothing && !limbo[SET(1, 0)] && !limbo[SET(1, 1)];
#if BROKEN != ORPHANS_UNSEEN
	nothing = nothing && !limbo[SET(ORPHANS, 0)] && !limbo[SET(ORPHANS, 1)];
#endif
	skip
}

/* sleep_until_work(). */
inline sleep()
{
	do
	:: sleeping && finished >= wanted && !stop ->
		d_step { waits_work = true; lock = false };
end_asleep:	atomic { !waits_work && !lock -> lock = true }
	:: else -> break
	od;
	sleeping = false;
#if BROKEN != STOP_ASLEEP
	look_for_work();
	busy = !nothing
#endif
}

/* reclaimer_main(). */
active proctype Reclaimer()
{
	byte head;
	bool busy = true, nothing;

end:	worker && SCENE != 2;
	lock_take();
	sleeping = false;
	do
	:: busy || !stop ->
		d_step { started++; lock = false; assert(started <= CYCLES) };
		cycle();
		lock_take();
		d_step { finished++; waits_done = 0 };
		look_for_work();
#if BROKEN != FOUND_ONLY
		busy = busy || !nothing;
#endif
		if
		:: busy -> sleeping = false
#if BROKEN == NO_LAST_CYCLE
		:: !busy -> sleeping = true; sleep()
#else
		:: !busy && !sleeping -> sleeping = true
		:: !busy && sleeping -> sleep()
#endif
		fi
	:: else -> break
	od;
	busy = false;
	d_step { lock = false; exited = true; waits_done = 0 }
}

/* ----------------------------------------------------------------- barrier */

inline wait_done(me)
{
	d_step { waits_done = waits_done | BIT(me); lock = false };
	atomic { !HAS(waits_done, me) && !lock -> lock = true }
}

/* sctx_barrier(), barrier_by_thread(). */
inline barrier(me)
{
	before = retired & ~NODE;
	lock_take();
	d_step {
		worker = true;
#if BROKEN == BARRIER_OF_ONE
		target = started + 1;
#else
		target = started + 2;
#endif
		wanted = (wanted < target -> target : wanted);
		signal_work()
	};
	do
	:: finished < target -> wait_done(me)
	:: else -> break
	od;
	target = 0;
	lock = false;
	assert((before & ~done) == 0);
	before = 0
}

/* cycle_unlocked(). */
inline cycle_unlocked(me)
{
#if BROKEN != CYCLES_TOGETHER
	do
	:: cycling -> wait_done(me)
	:: else -> break
	od;
#endif
	busy = false;
	d_step { cycling = true; lock = false };
	cycle();
	lock_take();
	d_step { cycling = false; waits_done = 0 }
}

/* barrier_here(). */
inline barrier_here(me)
{
	before = retired & ~NODE;
	lock_take();
	sleeping = false;
	cycle_unlocked(me);
	cycle_unlocked(me);
	lock = false;
	assert((before & ~done) == 0);
	before = 0
}

/* ----------------------------------------------------------------- threads */

/* thread_unlink(). */
inline thread_exit(me)
{
	atomic {
		!threads_lock ->
		limbo[SET(ORPHANS, 0)] = limbo[SET(ORPHANS, 0)] | limbo[SET(me, 0)];
		limbo[SET(ORPHANS, 1)] = limbo[SET(ORPHANS, 1)] | limbo[SET(me, 1)];
#if BROKEN == EXIT_FREES
		finish(waiting[me]);
#else
		limbo[SET(ORPHANS, 0)] = limbo[SET(ORPHANS, 0)] | waiting[me];
#endif
		limbo[SET(me, 0)] = 0;
		limbo[SET(me, 1)] = 0;
		waiting[me] = 0
	}
}

/* reclaim_fini(), when all other threads have ended. */
inline fini(me)
{
	joined[1 - me];
	lock_take();
	d_step { stop = true; signal_work(); lock = false };
	exited || !worker;
	assert(done == retired)
}

#define LOCALS \
	byte head, before, target; \
	bool p, seen, early, busy

active proctype First()
{
	LOCALS;

#if SCENE == 0
	retire(0, 0);
	barrier(0);
	if
	:: retire(0, 1)
	:: true
	fi;
	fini(0)
#elif SCENE == 1
	retire(0, 0);
	retire(0, 1);
	joined[0] = true
#elif SCENE == 2
	retire(0, 0);
	barrier_here(0);
	joined[0] = true
#else
	retire(0, 0);
	barrier(0);
	retire(0, 1);
	fini(0)
#endif
}

active proctype Second()
{
	LOCALS;

#if SCENE == 0
	retire(1, 3);
	thread_exit(1);
#elif SCENE == 1
	retire(1, 2);
#elif SCENE == 2
	retire(1, 2);
	barrier_here(1);
#else
	retire(1, 2);
	barrier(1);
	retire(1, 3);
	thread_exit(1);
#endif
	joined[1] = true
}

active proctype Reader()
{
	section_begin(READER);
	section_end(READER)
}

/* When nobody can go on: nothing is left. */
active proctype Quiet()
{
	timeout -> assert(joined[1] && done == retired && inside == 0)
}
