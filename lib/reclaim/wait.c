/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the reclaimer: at limbo's limit, in a barrier; and, in poll mode,
 * running its cycles on the thread that waits or polls.
 */
#include "reclaim/reclaimer.h"

#include "reclaim/callbacks.h"
#include "reclaim/private.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>

/* --------------------------------------------- cycles on the host's threads */

/*
 * With the lock held: become the only thread that runs cycles.  False if the reclaimer's
 * thread runs them.  A change of mode goes first, or threads that want cycles could hold
 * it up for ever.
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
 * With the lock held.  A cycle that left ripe callbacks does not count: a barrier may
 * wait for one of them.
 */
static void cycle_release(void)
{
	reclaimer.cycling = false;
	if (sctx__callbacks_are_ripe())
		reclaimer.started--;
	else
		reclaimer.finished++;
	sctx__limits_update_full();
	pthread_cond_broadcast(&reclaimer.done);
}

/* A callback called pthread_exit(). */
static void cycler_died(void *unused)
{
	(void)unused;
	sctx__self.in_callback = false;
	pthread_mutex_lock(&reclaimer.lock);
	reclaimer.at_lists = false;
	reclaimer.cycling = false;
	reclaimer.started--;
	pthread_cond_broadcast(&reclaimer.done);
	pthread_mutex_unlock(&reclaimer.lock);
}

/*
 * A cycle on the calling thread, outside sections and callbacks.  Callbacks that an
 * earlier cycle left ripe come first; if there are more than @max, nothing else is done.
 */
static size_t cycle_here(size_t max)
{
	size_t ran = 0;
	bool any;

	if (sctx__callbacks_are_ripe())
		ran = sctx__cycle_run(max);
	return ran == max ? ran : ran + sctx__cycle(max - ran, &any);
}

/*
 * The lock is held, but not during the cycle.  Adds the number of callbacks to *@ran.
 * False if the mode has changed to the thread's.
 */
static bool cycle_unlocked(size_t max, size_t *ran)
{
	size_t now;

	if (!cycle_claim())
		return false;
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_cleanup_push(cycler_died, NULL);
	now = cycle_here(max);
	pthread_cleanup_pop(0);
	pthread_mutex_lock(&reclaimer.lock);
	cycle_release();
	*ran += now;
	return true;
}

/*
 * With the lock held.  Polling with nothing to do must cost no grace period.  While
 * another thread runs a cycle, only that thread knows what is left.
 */
static bool anything_to_do(void)
{
	return reclaimer.cycling || reclaimer.running || sctx__callbacks_are_left() ||
	       !sctx__limbo_is_empty();
}

int sctx_reclaim_poll(unsigned int max)
{
	size_t ran = 0;
	int error, cancel;

	if (sctx__must_not_wait())
		return -EDEADLK;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	error = reclaimer.mode == SCTX_RECLAIM_POLL ? sctx__reclaimer_start() : -EOPNOTSUPP;
	if (!error && anything_to_do() && !cycle_unlocked(max ? max : INT_MAX, &ran))
		error = -EOPNOTSUPP;
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_setcancelstate(cancel, NULL);
	return error ? error : (int)ran;
}

/* ----------------------------------------------------------------- waiting */

/* At the limit: the callback of the moment may need a lock of the waiting thread's. */
#define WAIT_S 5

static void yield_to_reclaimer(void)
{
	if (sctx__load(&sctx__shared.lull) == (uint32_t)sched_getcpu() + 1)
		sched_yield();
}

static bool is_past(const struct timespec *at)
{
	struct timespec now = sctx__after(0, 0);

	return now.tv_sec > at->tv_sec || (now.tv_sec == at->tv_sec && now.tv_nsec >= at->tv_nsec);
}

int sctx__admit_slow(bool nowait)
{
	struct timespec until;
	int error, cancel;

	if (sctx__must_not_wait() || sctx__load(&reclaimer.flags) & SCTX_RECLAIM_NOWAIT)
		nowait = true;
	if (!nowait)
		yield_to_reclaimer();
	if (sctx__load(&sctx__shared.worker) && !sctx__load(&sctx__shared.full))
		return 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sctx_thread_offline();
	pthread_mutex_lock(&reclaimer.lock);
	until = sctx__after(WAIT_S, 0);
	error = sctx__reclaimer_start();
	while (!error && sctx__load(&sctx__shared.full)) {
		if (nowait || reclaimer.mode == SCTX_RECLAIM_POLL) {
			error = -EAGAIN;
		} else {
			sctx__wait_at_most(&reclaimer.done, &reclaimer.lock, &until);
			nowait = is_past(&until);
			error = sctx__reclaimer_start(); /* the mode may have changed */
		}
	}
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

/*
 * With the lock held: two cycles.  The next one to start collects at the latest what is in
 * limbo now, and the one after runs its callbacks, or retires contexts again.
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
 * With the lock held.  False if a context was retired again meanwhile: it may have been
 * retired before the barrier.
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
	int error = 0, cancel;

	if (sctx__must_not_wait())
		return -EDEADLK;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	sctx__private_wait();
	reclaimer.barriers++;
	while (!error && !done) {
		error = sctx__reclaimer_start();
		if (!error)
			done = barrier();
	}
	reclaimer.barriers--;
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

int sctx_synchronize(void)
{
	int cancel;

	if (sctx__must_not_wait())
		return -EDEADLK;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sctx__synchronize();
	pthread_setcancelstate(cancel, NULL);
	return 0;
}
