/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reclaimer: the thread that turns limbo into freed memory.  A cycle is
 *
 *   turn the phase             threads add to the other set from now on
 *   wait for a grace period    nobody adds to the old set any more, and no
 *                              reader is left that could know what the cycle
 *                              before had collected
 *   collect the old set
 *   call back what the cycle before collected   (lib/reclaim/callbacks.c)
 *
 * so that one grace period serves all threads and both purposes, and what is
 * retired is freed one to two grace periods later.
 *
 * Who creates starts the thread, so that who releases need not.  In the inline
 * and the poll mode there is none, and cycles are run by the threads that
 * retire, or by sctx_reclaim_poll(), one at a time (@cycling).  The lock
 * covers the fields of `reclaimer` (reclaimer.h).  No lock is held during a
 * grace period or a callback.  Order: reclaimer.lock, then those of callbacks.c
 * and thread.c.
 */
#include "reclaim/reclaimer.h"

#include "reclaim/callbacks.h"
#include "stats/stats.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Between two grace periods when nothing presses: collects what is worth one. */
#define PAUSE_NS 2000000

/* How often to look for a moment without readers, and for how long. */
#define LULL_TRIES 32
#define LULL_NS    5000000

struct sctx__reclaimer reclaimer = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
	.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
	.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
};

/* ------------------------------------------------------------------ limits */

/* Whether limbo holds at least @eighths of what it may. */
static bool limbo_reaches(int eighths)
{
	return sctx__load(&sctx__account.callbacks) * 8 >=
		       sctx__load(&reclaimer.limit_callbacks) * eighths ||
	       sctx__load(&sctx__account.bytes) * 8 >= sctx__load(&reclaimer.limit_bytes) * eighths;
}

/* With the lock held.  Full ends an eighth below where it begins. */
void sctx__limits_update_full(void)
{
	uint32_t full = sctx__load(&sctx__shared.full);

	if (full && !limbo_reaches(7)) {
		sctx__store(&sctx__shared.full, 0);
		sctx__probe0(limit_left);
		pthread_cond_broadcast(&reclaimer.done);
	} else if (!full && limbo_reaches(8)) {
		sctx__store(&sctx__shared.full, 1);
		sctx__probe2(limit_reached, sctx__load(&sctx__account.callbacks),
			     sctx__load(&sctx__account.bytes));
	}
}

/* What the thread has retired since it told of it last. */
static void account_flush(struct sctx__thread *self)
{
	sctx__add(&sctx__account.callbacks, (int64_t)self->pending_callbacks);
	sctx__add(&sctx__account.bytes, (int64_t)self->pending_bytes);
	sctx__store(&self->pending_callbacks, 0);
	sctx__store(&self->pending_bytes, 0);
	if (sctx__load(&reclaimer.mode) == SCTX_RECLAIM_INLINE)
		self->at_end |= SCTX__RECLAIM_DUE;
	if (limbo_reaches(8) || (sctx__load(&sctx__shared.paused) && limbo_reaches(1))) {
		pthread_mutex_lock(&reclaimer.lock);
		sctx__limits_update_full();
		pthread_cond_signal(&reclaimer.work);
		pthread_mutex_unlock(&reclaimer.lock);
	}
}

void sctx__account_freed(size_t callbacks, size_t bytes)
{
	sctx__sub(&sctx__account.callbacks, (int64_t)callbacks);
	sctx__sub(&sctx__account.bytes, (int64_t)bytes);
	if (sctx__load(&sctx__shared.full)) {
		pthread_mutex_lock(&reclaimer.lock);
		sctx__limits_update_full();
		pthread_mutex_unlock(&reclaimer.lock);
	}
}

/* Threads tell of what they retired in batches of 1/64 of the limits or less. */
static size_t batch_of(size_t limit, size_t most)
{
	size_t batch = limit / 64;

	return batch == 0 ? 1 : batch > most ? most : batch;
}

void sctx__limits_set_batches(void)
{
	sctx__store(&sctx__shared.batch_callbacks,
		    (uint32_t)batch_of((size_t)reclaimer.limit_callbacks, 256));
	sctx__store(&sctx__shared.batch_bytes, batch_of((size_t)reclaimer.limit_bytes, 65536));
}

/* ------------------------------------------------------------------ cycles */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Ask for a grace period at a moment when nobody is inside.  Woken on a busy
 * CPU we have as likely as not interrupted a section, and would sleep until its
 * end, and again as long until we are let in.  So leave the CPU to who was
 * interrupted; the next to create something there, in no section, gives it back
 * (give_way()), or its time slice ends.
 */
static void wait_for_lull(void)
{
	const uint64_t end = now_ns() + LULL_NS;

	for (int i = 0; i < LULL_TRIES && sctx__readers_inside() && now_ns() < end; i++) {
		sctx__store(&sctx__shared.lull, (uint32_t)sched_getcpu() + 1);
		sched_yield();
	}
	sctx__store(&sctx__shared.lull, 0);
}

static void give_way(void)
{
	if (sctx__load(&sctx__shared.lull) == (uint32_t)sched_getcpu() + 1)
		sched_yield();
}

/* Bucket i: less than 1 us << i.  The last takes the rest. */
static void count_grace_period(uint64_t ns)
{
	int bucket = 0;

	while (bucket < SCTX_LATENCY_BUCKETS - 1 && ns >= (uint64_t)1000 << bucket)
		bucket++;
	sctx__store(&reclaimer.latency[bucket], reclaimer.latency[bucket] + 1);
	sctx__store(&reclaimer.grace_period_ns, reclaimer.grace_period_ns + ns);
	sctx__store(&reclaimer.grace_periods, reclaimer.grace_periods + 1);
}

/* Offline from here on: the callbacks that follow hold up nobody's grace period. */
static void grace_period(void)
{
	uint64_t begin, took;

	sctx__rcu_offline();
	wait_for_lull();
	begin = now_ns();
	sctx__probe0(grace_period);
	sctx__synchronize();
	took = now_ns() - begin;
	sctx__probe1(grace_period_done, took);
	count_grace_period(took);
}

/* True if there was anything to do. */
static bool cycle(void)
{
	bool any;

	sctx__limbo_turn_phase();
	grace_period();
	any = sctx__callbacks_turn();
	sctx__callbacks_run();
	sctx__rcu_offline();
	return any;
}

/* Stop while a fork is under way, so that the child finds all lists whole. */
static void park_for_fork(void)
{
	sctx__rcu_offline(); /* a callback may have used a section: the fork waits for none */
	pthread_mutex_lock(&reclaimer.lock);
	reclaimer.parked = true;
	pthread_cond_broadcast(&reclaimer.done);
	while (sctx__load(&sctx__shared.forking))
		pthread_cond_wait(&reclaimer.work, &reclaimer.lock);
	reclaimer.parked = false;
	pthread_mutex_unlock(&reclaimer.lock);
}

struct timespec sctx__after(time_t seconds, long ns)
{
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += seconds + (at.tv_nsec + ns) / 1000000000;
	at.tv_nsec = (at.tv_nsec + ns) % 1000000000;
	return at;
}

/* With the lock held: nobody waits for a cycle, the process is not ending. */
static bool may_rest(void)
{
	return reclaimer.finished >= reclaimer.wanted && !reclaimer.stop && !reclaimer.stop_now &&
	       !sctx__load(&sctx__shared.forking);
}

static void pause_between_cycles(void)
{
	struct timespec until = sctx__after(0, PAUSE_NS);

	if (!may_rest() || limbo_reaches(1))
		return;
	sctx__store(&sctx__shared.paused, 1);
	pthread_cond_timedwait(&reclaimer.work, &reclaimer.lock, &until);
	sctx__store(&sctx__shared.paused, 0);
}

/*
 * The cycle that found nothing began after @sleeping was set: an addition
 * that it missed was made in a section that its grace period did not wait
 * for, and that section sees @sleeping and wakes us.
 */
static void sleep_until_work(void)
{
	while (sctx__load(&sctx__shared.sleeping) && may_rest())
		pthread_cond_wait(&reclaimer.work, &reclaimer.lock);
	sctx__store(&sctx__shared.sleeping, 0);
}

static void *reclaimer_main(void *unused)
{
	bool busy = true;

	(void)unused;
	while (sctx__thread_attach(true))
		sched_yield();
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	sctx__store(&sctx__shared.sleeping, 0);
	while (!reclaimer.stop_now && (busy || !reclaimer.stop)) {
		reclaimer.started++;
		pthread_mutex_unlock(&reclaimer.lock);
		busy = cycle();
		/* What a fork interrupted, which may be over by now. */
		while (sctx__load(&sctx__shared.forking) || sctx__callbacks_are_ripe()) {
			park_for_fork();
			sctx__callbacks_run();
		}
		pthread_mutex_lock(&reclaimer.lock);

		reclaimer.finished++;
		sctx__limits_update_full();
		pthread_cond_broadcast(&reclaimer.done);
		busy = busy || !sctx__limbo_is_empty();
		if (busy) {
			sctx__store(&sctx__shared.sleeping, 0);
			pause_between_cycles();
		} else if (!sctx__load(&sctx__shared.sleeping)) {
			sctx__store(&sctx__shared.sleeping, 1);
		} else {
			sleep_until_work();
			busy = true; /* woken for work, perhaps, even where it is to end */
		}
	}
	pthread_mutex_unlock(&reclaimer.lock);
	sctx__callbacks_stop();
	return NULL;
}

/* With the lock held: see to it that there is who reclaims. */
int sctx__reclaimer_start(void)
{
	sigset_t all, before;
	int error;

	if (sctx__load(&sctx__shared.worker))
		return 0;
	error = sctx__callbacks_init();
	if (error)
		return error;
	sctx__limits_set_batches();
	if (reclaimer.mode != SCTX_RECLAIM_THREAD) {
		sctx__store(&sctx__shared.sleeping, 0);
		sctx__store(&sctx__shared.worker, 1);
		return 0;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&reclaimer.thread, NULL, reclaimer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	reclaimer.running = error == 0;
	if (!error)
		sctx__store(&sctx__shared.worker, 1);
	return -error;
}

/* Something was retired.  If the thread cannot be started now, later will do. */
static void wake_reclaimer(void)
{
	pthread_mutex_lock(&reclaimer.lock);
	if (sctx__reclaimer_start() == 0) {
		sctx__store(&sctx__shared.sleeping, 0);
		pthread_cond_signal(&reclaimer.work);
	}
	pthread_mutex_unlock(&reclaimer.lock);
}

void sctx__limbo_added_slow(struct sctx__limbo *limbo, bool first)
{
	struct sctx__thread *self = &sctx__self;

	if (first) {
		limbo->cpu = sched_getcpu();
		sctx__store(&limbo->since, sctx__now_coarse());
	}
	if (sctx__load(&sctx__shared.sleeping))
		wake_reclaimer();
	if (self->pending_callbacks >= sctx__load(&sctx__shared.batch_callbacks) ||
	    self->pending_bytes >= sctx__load(&sctx__shared.batch_bytes))
		account_flush(self);
}

void sctx__retire_block(struct sctx__block *block, size_t bytes)
{
	struct sctx__limbo *limbo = sctx__limbo_of(&sctx__self);

	SCTX__STACK_PUSH(&limbo->block, &limbo->last_block, block);
	sctx__probe3(retire, block, SCTX__KIND_BLOCK, bytes);
	sctx__limbo_added(limbo, 1, bytes);
}

/* ------------------------------------------- cycles on threads of the host's */

/*
 * With the lock held: have the cycles to oneself.  False if the thread is to run them.  Who
 * changes the mode comes first: there may always be someone who wants a cycle.
 */
static bool cycle_claim(void)
{
	while (reclaimer.mode != SCTX_RECLAIM_THREAD &&
	       (reclaimer.cycling || reclaimer.running || reclaimer.changing ||
		sctx__load(&sctx__shared.forking)))
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	if (reclaimer.mode == SCTX_RECLAIM_THREAD)
		return false;
	reclaimer.cycling = true;
	reclaimer.cycler = pthread_self();
	reclaimer.started++;
	return true;
}

/*
 * With the lock held.  A cycle that left something ripe does not count: what
 * barriers wait for may be among it.
 */
static void cycle_release(void)
{
	reclaimer.cycling = false;
	if (sctx__callbacks_are_ripe())
		reclaimer.started--;
	else
		reclaimer.finished++;
	reclaimer.released_ns = now_ns();
	sctx__limits_update_full();
	pthread_cond_broadcast(&reclaimer.done);
}

/* With the lock held: a batch alone is worth no grace period so soon after another. */
static bool cycle_pays(void)
{
	return limbo_reaches(1) || now_ns() - reclaimer.released_ns >= PAUSE_NS;
}

/* What a fork interrupts goes on after it. */
static size_t run_here(size_t max)
{
	size_t ran = sctx__callbacks_run_here(max);

	/* Which may be over by now. */
	while (sctx__load(&sctx__shared.forking) || (ran < max && sctx__callbacks_are_ripe())) {
		park_for_fork();
		ran += sctx__callbacks_run_here(max - ran);
	}
	return ran;
}

/*
 * A cycle on the calling thread, which is in no section and no callback.  What
 * an earlier one left ripe comes first, and if there is more of it than @max,
 * alone.
 */
static size_t cycle_here(size_t max)
{
	size_t ran = 0;

	if (sctx__callbacks_are_ripe())
		ran = run_here(max);
	if (ran == max)
		return ran;
	sctx__limbo_turn_phase();
	grace_period();
	sctx__callbacks_turn();
	ran += run_here(max - ran);
	sctx__rcu_offline();
	return ran;
}

/*
 * The lock is held, but not during the cycle.  Adds what was run to *@ran; false
 * if the mode has become that of the thread.
 */
static bool cycle_unlocked(size_t max, size_t *ran)
{
	size_t now;

	if (!cycle_claim())
		return false;
	pthread_mutex_unlock(&reclaimer.lock);
	now = cycle_here(max);
	pthread_mutex_lock(&reclaimer.lock);
	cycle_release();
	*ran += now;
	return true;
}

/*
 * Inline mode, after an update: if the thread may wait, nobody else is at it
 * already, and the last was not just now.
 */
void sctx__reclaim_due_slow(void)
{
	size_t ran = 0;

	if (sctx__must_not_wait())
		return;
	sctx__self.at_end &= ~SCTX__RECLAIM_DUE;
	pthread_mutex_lock(&reclaimer.lock);
	if (reclaimer.mode == SCTX_RECLAIM_INLINE && !reclaimer.cycling && !reclaimer.running &&
	    !reclaimer.changing && !sctx__load(&sctx__shared.forking) && cycle_pays() &&
	    sctx__reclaimer_start() == 0)
		cycle_unlocked(SIZE_MAX, &ran);
	pthread_mutex_unlock(&reclaimer.lock);
}

/*
 * With the lock held.  An idle loop that polls costs no grace periods.  Who runs
 * a cycle, the thread before it ends included, has the callbacks to itself.
 */
static bool anything_to_do(void)
{
	return reclaimer.cycling || reclaimer.running || sctx__callbacks_are_left() ||
	       !sctx__limbo_is_empty();
}

int sctx_reclaim_poll(unsigned int max)
{
	size_t ran = 0;
	int error;

	if (sctx__must_not_wait())
		return -EDEADLK;
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	error = reclaimer.mode == SCTX_RECLAIM_POLL ? sctx__reclaimer_start() : -EOPNOTSUPP;
	if (!error && anything_to_do() && !cycle_unlocked(max ? max : INT_MAX, &ran))
		error = -EOPNOTSUPP;
	pthread_mutex_unlock(&reclaimer.lock);
	return error ? error : (int)ran;
}

/* ----------------------------------------------------------------- waiting */

/* With the lock held: limbo is full.  -EAGAIN, or 0 to look again. */
static int wait_for_room(bool nowait)
{
	size_t ran = 0;

	/* Who may not wait here reclaims at his next release. */
	if (nowait && reclaimer.mode == SCTX_RECLAIM_INLINE)
		sctx__self.at_end |= SCTX__RECLAIM_DUE;
	if (nowait || reclaimer.mode == SCTX_RECLAIM_POLL)
		return -EAGAIN;
	if (reclaimer.mode == SCTX_RECLAIM_INLINE)
		cycle_unlocked(SIZE_MAX, &ran);
	else
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	return 0;
}

int sctx__admit_slow(bool nowait)
{
	int error;

	if (sctx__must_not_wait() || sctx__load(&reclaimer.flags) & SCTX_RECLAIM_NOWAIT)
		nowait = true;
	if (!nowait)
		give_way();
	if (sctx__load(&sctx__shared.worker) && !sctx__load(&sctx__shared.full))
		return 0;
	sctx_thread_offline();
	pthread_mutex_lock(&reclaimer.lock);
	error = sctx__reclaimer_start();
	while (!error && sctx__load(&sctx__shared.full)) {
		error = wait_for_room(nowait);
		if (!error)
			error = sctx__reclaimer_start(); /* the mode may be another one now */
	}
	pthread_mutex_unlock(&reclaimer.lock);
	return error;
}

/*
 * With the lock held: two cycles.  What is in limbo now is collected at the latest
 * by the next one to start, and called back, or dropped again, by the one after.
 */
static bool barrier_by_thread(void)
{
	uint64_t target = reclaimer.started + 2;

	if (reclaimer.wanted < target)
		reclaimer.wanted = target;
	pthread_cond_signal(&reclaimer.work);
	while (reclaimer.finished < target && reclaimer.running)
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	return reclaimer.finished >= target;
}

static bool barrier_here(void)
{
	size_t ran = 0;

	return cycle_unlocked(SIZE_MAX, &ran) && cycle_unlocked(SIZE_MAX, &ran);
}

/*
 * With the lock held.  What is dropped again meanwhile may have been retired before:
 * then it is not done.  What had been so before is in limbo like all else.
 */
static bool barrier(void)
{
	uint64_t again = sctx__callbacks_dropped_again();
	bool done = reclaimer.mode == SCTX_RECLAIM_THREAD ? barrier_by_thread() : barrier_here();

	return done && sctx__callbacks_dropped_again() == again;
}

int sctx_barrier(void)
{
	bool done = false;
	int error = 0;

	if (sctx__must_not_wait())
		return -EDEADLK;
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	while (!error && !done) {
		error = sctx__reclaimer_start();
		if (!error)
			done = barrier();
	}
	pthread_mutex_unlock(&reclaimer.lock);
	return error;
}

int sctx_synchronize(void)
{
	if (sctx__must_not_wait())
		return -EDEADLK;
	sctx__synchronize();
	return 0;
}

/* ------------------------------------------------------------------- stats */

/* What is in limbo; with @since, since when something is in the threads' sets. */
struct sctx__account sctx__limbo_sum(uint64_t *since)
{
	struct sctx__account sum = { 0, 0 };
	uint64_t oldest = sctx__limbo_pending(&sum);

	if (since)
		*since = oldest;
	sum.callbacks += sctx__load(&sctx__account.callbacks);
	sum.bytes += sctx__load(&sctx__account.bytes);
	return sum;
}

void sctx__reclaim_stats(struct sctx_stats *stats)
{
	uint64_t since = sctx__callbacks_since(), threads;
	struct sctx__account sum = sctx__limbo_sum(&threads);
	uint64_t now = sctx__now_coarse();

	if (threads && (!since || threads < since))
		since = threads;
	stats->limbo_callbacks = sum.callbacks > 0 ? (uint64_t)sum.callbacks : 0;
	stats->limbo_bytes = sum.bytes > 0 ? (uint64_t)sum.bytes : 0;
	stats->limbo_age_ns = since && since < now && sum.callbacks > 0 ? now - since : 0;
	stats->callbacks_run = sctx__callbacks_count();
	stats->grace_periods = sctx__load(&reclaimer.grace_periods);
	stats->grace_period_ns = sctx__load(&reclaimer.grace_period_ns);
	for (int i = 0; i < SCTX_LATENCY_BUCKETS; i++)
		stats->grace_period_latency[i] = sctx__load(&reclaimer.latency[i]);
}

void sctx_no_free(struct sctx_context *ctx)
{
	(void)ctx;
}
