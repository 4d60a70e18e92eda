/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reclaimer (lib/reclaim/reclaim.c) across changes of mode and limits, fork, exit and
 * unload.
 */
#include "reclaim/reclaimer.h"

#include "reclaim/callbacks.h"
#include "reclaim/private.h"
#include "base/sized.h"

#include <errno.h>
#include <pthread.h>

/* How long fork, exit and dlclose wait for a callback that does not return. */
#define PATIENCE_S 5

#define LIMIT_MAX (INT64_MAX / 8)

/* --------------------------------------------------------------- configuring */

/*
 * With the lock held, which is released meanwhile.  The reclaimer's thread ends after its
 * current cycle.  A thread that waits for a cycle sees that and follows the new mode.
 */
static void set_mode(enum sctx_reclaim_mode mode)
{
	reclaimer.changing = true;
	while (reclaimer.cycling)
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	sctx__store(&reclaimer.mode, mode);
	if (reclaimer.running) {
		reclaimer.stop_now = true;
		pthread_cond_signal(&reclaimer.work);
		pthread_mutex_unlock(&reclaimer.lock);
		pthread_join(reclaimer.thread, NULL);
		pthread_mutex_lock(&reclaimer.lock);
		reclaimer.stop_now = false;
		reclaimer.running = false;
	}
	/* The next thread that creates, waits or retires starts the reclaimer again. */
	sctx__store(&sctx__shared.worker, 0);
	sctx__store(&sctx__shared.sleeping, 1);
	sctx__store(&sctx__shared.paused, 0);
	if (mode == SCTX_RECLAIM_THREAD)
		sctx__reclaimer_start();
	reclaimer.changing = false;
	pthread_cond_broadcast(&reclaimer.done);
}

static int64_t limit_of(size_t limit)
{
	return limit > LIMIT_MAX ? LIMIT_MAX : (int64_t)limit;
}

static bool options_are_good(const struct sctx_reclaim_options *options)
{
	return options->limit_bytes > 0 && options->limit_callbacks > 0 &&
	       !(options->flags & ~SCTX_RECLAIM_NOWAIT) &&
	       (options->mode == SCTX_RECLAIM_THREAD || options->mode == SCTX_RECLAIM_POLL);
}

/*
 * With the lock held.  A caller in a section or a callback must not wait: another thread
 * that changes the mode may be waiting for it.
 */
static int configure(const struct sctx_reclaim_options *options)
{
	if (sctx__must_not_wait()) {
		if (options->mode != reclaimer.mode)
			return -EDEADLK;
	} else {
		while (reclaimer.changing)
			pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
		if (options->mode != reclaimer.mode)
			set_mode(options->mode);
	}
	sctx__store(&reclaimer.limit_bytes, limit_of(options->limit_bytes));
	sctx__store(&reclaimer.limit_callbacks, limit_of(options->limit_callbacks));
	sctx__store(&reclaimer.flags, options->flags);
	sctx__limits_set_batches();
	sctx__limits_update_full();
	return 0;
}

int sctx_reclaim_configure(const struct sctx_reclaim_options *given)
{
	struct sctx_reclaim_options options;
	int error, cancel;

	if (!given)
		return -EINVAL;
	error = sctx__sized_read(&options, sizeof(options),
				 SCTX__SIZE_TO(struct sctx_reclaim_options, mode), given);
	if (!error && !options_are_good(&options))
		error = -EINVAL;
	if (error)
		return error;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sctx_thread_offline(); /* the end of a cycle may wait for this thread */
	pthread_mutex_lock(&reclaimer.lock);
	error = configure(&options);
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

/* --------------------------------------------------- fork, exit, dlclose */

/* With the lock held. */
static bool others_call_back(void)
{
	return (reclaimer.at_lists && !pthread_equal(reclaimer.at_lists_thread, pthread_self())) ||
	       sctx__private_runs();
}

/*
 * The child takes over the reclaimer's lists, unless a callback does not return in time;
 * it may be waiting for a lock of the forking thread.  Callbacks, and threads that they
 * wait for, may update until then, so the gate is closed afterwards.
 */
static void before_fork(void)
{
	struct timespec until;
	bool quiet;

	sctx_thread_offline(); /* the current grace period may wait for this thread */
	pthread_mutex_lock(&reclaimer.lock);
	until = sctx__after(PATIENCE_S, 0); /* from here: other forks may have held the lock */
	sctx__add(&sctx__shared.forking, 1);
	while (others_call_back())
		if (pthread_cond_timedwait(&reclaimer.done, &reclaimer.lock, &until))
			break;
	sctx__add(&sctx__shared.gate, 1);
	pthread_mutex_unlock(&reclaimer.lock);
	quiet = sctx__threads_quiesce();
	pthread_mutex_lock(&reclaimer.lock);
	sctx__threads_before_fork(quiet);
}

static void open_gate(uint32_t forking, uint32_t gate)
{
	sctx__store(&sctx__shared.gate, gate);
	sctx__store(&sctx__shared.forking, forking);
	pthread_cond_broadcast(&reclaimer.work);
	pthread_cond_broadcast(&reclaimer.done);
	pthread_mutex_unlock(&reclaimer.lock);
}

static void after_fork_parent(void)
{
	sctx__threads_after_fork_parent();
	/* Other threads may be forking, too. */
	open_gate(sctx__shared.forking - 1, sctx__shared.gate - 1);
}

static void init_conditions(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&reclaimer.work, &attr);
	pthread_cond_init(&reclaimer.done, &attr);
	pthread_condattr_destroy(&attr);
}

static void after_fork_child(void)
{
	const pthread_t self = pthread_self();

	sctx__threads_after_fork_child();
	init_conditions();
	sctx__store(&sctx__shared.lull, 0);
	reclaimer.changing = false;
	reclaimer.barriers = 0;
	if (reclaimer.turned)
		sctx__limbo_reopen();
	reclaimer.turned = false;
	if (reclaimer.at_lists && !pthread_equal(reclaimer.at_lists_thread, self)) {
		sctx__callbacks_abandon();
		reclaimer.at_lists = false;
	}
	if (reclaimer.cycling && !pthread_equal(reclaimer.cycler, self))
		reclaimer.cycling = false;
	if (!reclaimer.running || !pthread_equal(reclaimer.thread, self)) {
		reclaimer.running = false;
		reclaimer.stop_now = false;
		/* A cycle of the forking thread goes on. */
		reclaimer.finished = reclaimer.started - reclaimer.cycling;
		sctx__store(&sctx__shared.worker, 0);
		sctx__store(&sctx__shared.sleeping, 1);
		sctx__store(&sctx__shared.paused, 0);
	}
	sctx__private_after_fork_child();
	sctx__limits_update_full();
	open_gate(0, 0);
}

__attribute__((constructor(101))) static void reclaim_init(void)
{
	sched_getaffinity(0, sizeof(reclaimer.cpus), &reclaimer.cpus);
	init_conditions();
	sctx__rcu_init();
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* With the lock held.  Poll mode starts a thread at exit, so that the wait can time out. */
static void leave_it_to_the_thread(const struct timespec *until)
{
	if (reclaimer.mode == SCTX_RECLAIM_THREAD || sctx__limbo_sum(NULL).callbacks <= 0)
		return;
	while (reclaimer.cycling)
		if (pthread_cond_timedwait(&reclaimer.done, &reclaimer.lock, until))
			return;
	sctx__store(&reclaimer.mode, SCTX_RECLAIM_THREAD);
	sctx__store(&sctx__shared.worker, 0);
	pthread_cond_broadcast(&reclaimer.done);
	sctx__reclaimer_start();
}

/* With the lock held: the thread has ended, or there is none. */
static void forget_thread(void)
{
	if (reclaimer.running)
		pthread_join(reclaimer.thread, NULL);
	reclaimer.running = false;
	reclaimer.stop = false;
	sctx__store(&sctx__shared.sleeping, 1);
	sctx__store(&sctx__shared.worker, 0);
}

/* At dlclose or exit: free what can be freed, and leave no thread behind. */
__attribute__((destructor)) static void reclaim_fini(void)
{
	struct timespec until = sctx__after(PATIENCE_S, 0);

	if (sctx__self.in_callback)
		return;
	sctx_thread_offline(); /* the last grace periods may wait for this thread */
	pthread_mutex_lock(&reclaimer.lock);
	leave_it_to_the_thread(&until);
	reclaimer.stop = reclaimer.running;
	pthread_cond_signal(&reclaimer.work);
	while (reclaimer.running && !reclaimer.ended)
		if (pthread_cond_timedwait(&reclaimer.done, &reclaimer.lock, &until))
			break;
	if (!reclaimer.cycling && (!reclaimer.running || reclaimer.ended))
		forget_thread();
	pthread_mutex_unlock(&reclaimer.lock);
	sctx__threads_fini();
}
