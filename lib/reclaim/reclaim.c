/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reclaimer: the thread that turns limbo into freed memory.  A cycle is
 *
 *   flip the phase             threads add to the other set from now on
 *   wait for a grace period    no thread adds to the old set any more, and no
 *                              reader has what the previous cycle collected
 *   collect the old set
 *   run the callbacks of what the previous cycle collected   (callbacks.c)
 *
 * So one grace period serves all threads and both purposes, and an object is
 * freed one to two grace periods after it was retired.
 *
 * Creators start the thread, so release paths never have to.  In poll mode there
 * is none: threads of the host run cycles (lib/reclaim/wait.c), one at a time.
 * The lock covers the fields of `reclaimer` (reclaimer.h).  No lock is held
 * during a grace period or a callback.  Order: reclaimer.lock, then
 * sctx__threads_lock.
 */
#include "reclaim/reclaimer.h"

#include "reclaim/callbacks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* The pause between grace periods while limbo is far from its limits. */
#define PAUSE_NS 2000000

/* Tries, and time, to find a moment without readers. */
#define LULL_TRIES 32
#define LULL_NS    5000000

/* Callbacks run on it. */
#define STACK_SIZE ((size_t)256 << 10)

struct sctx__reclaimer reclaimer = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
	.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
};

/* ------------------------------------------------------------------ limits */

/* Whether limbo is at @eighths of a limit. */
static bool limbo_reaches(int eighths)
{
	return sctx__load(&sctx__account.callbacks) * 8 >=
		       sctx__load(&reclaimer.limit_callbacks) * eighths ||
	       sctx__load(&sctx__account.bytes) * 8 >= sctx__load(&reclaimer.limit_bytes) * eighths;
}

/* With the lock held.  Full begins at a limit and ends an eighth below it. */
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

/* Flush the thread's pending counts to the account. */
void sctx__account_flush(struct sctx__thread *self)
{
	sctx__add(&sctx__account.callbacks, self->pending_callbacks);
	sctx__add(&sctx__account.bytes, self->pending_bytes);
	sctx__store(&self->pending_callbacks, 0);
	sctx__store(&self->pending_bytes, 0);
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

/* Threads flush to the account in batches of at most 1/64 of the limits. */
static size_t batch_of(size_t limit, size_t most)
{
	size_t batch = limit / 64;

	return batch == 0 ? 1 : batch > most ? most : batch;
}

void sctx__limits_set_batches(void)
{
	sctx__store(&sctx__shared.batch_callbacks,
		    (uint32_t)batch_of((size_t)reclaimer.limit_callbacks, 256));
	sctx__store(&sctx__shared.batch_bytes, (int64_t)batch_of((size_t)reclaimer.limit_bytes, 65536));
}

/* ------------------------------------------------------------------ cycles */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * Begin a grace period when no reader is in a section.  On a busy CPU the woken reclaimer
 * has probably interrupted a section: it would sleep until the section ends, and then wait
 * for the CPU again.  So it yields to the interrupted thread, which yields back when it
 * next creates something, outside sections (wait.c).
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

/* Bucket i counts times below 1 us << i; the last one counts the rest. */
static void count_grace_period(uint64_t ns)
{
	int bucket = 0;

	while (bucket < SCTX_LATENCY_BUCKETS - 1 && ns >= (uint64_t)1000 << bucket)
		bucket++;
	sctx__store(&reclaimer.latency[bucket], reclaimer.latency[bucket] + 1);
	sctx__store(&reclaimer.grace_period_ns, reclaimer.grace_period_ns + ns);
	sctx__store(&reclaimer.grace_periods, reclaimer.grace_periods + 1);
}

/* Stays offline: the callbacks that follow must not hold up grace periods. */
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

/*
 * From here to lists_leave() the calling thread moves the reclaimer's lists and runs
 * callbacks.  It waits for a fork under way, and a fork that begins meanwhile waits for
 * it, so the child finds all lists whole.
 */
static void lists_take(void)
{
	pthread_mutex_lock(&reclaimer.lock);
	while (sctx__load(&sctx__shared.forking))
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	reclaimer.turned = false;
	reclaimer.at_lists = true;
	reclaimer.at_lists_thread = pthread_self();
	pthread_mutex_unlock(&reclaimer.lock);
}

/* Go offline: a callback may have used a section, and a fork must not wait for this thread. */
static void lists_leave(void)
{
	sctx__rcu_offline();
	pthread_mutex_lock(&reclaimer.lock);
	reclaimer.at_lists = false;
	pthread_cond_broadcast(&reclaimer.done);
	pthread_mutex_unlock(&reclaimer.lock);
}

size_t sctx__cycle_run(size_t max)
{
	size_t ran = 0;

	do {
		lists_take();
		ran += sctx__callbacks_run(max - ran);
		lists_leave();
	} while (ran < max && sctx__callbacks_are_ripe()); /* a fork came between */
	return ran;
}

/*
 * Flip under the lock, so a fork's child knows whether a grace period was under way.  True
 * if the cycle must also free what threads keep to free themselves: a thread waits for it,
 * there is too much of it, or the threads may not come back.
 */
static bool begin(void)
{
	bool all;

	pthread_mutex_lock(&reclaimer.lock);
	sctx__limbo_turn_phase();
	reclaimer.turned = true;
	all = reclaimer.barriers || reclaimer.mode == SCTX_RECLAIM_POLL || reclaimer.stop ||
	      limbo_reaches(4);
	pthread_mutex_unlock(&reclaimer.lock);
	return all;
}

size_t sctx__cycle(size_t max, bool *any)
{
	bool all = begin();

	grace_period();
	lists_take();
	*any = sctx__callbacks_turn(all);
	lists_leave();
	return sctx__cycle_run(max);
}

struct timespec sctx__after(time_t seconds, long ns)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += seconds + (at.tv_nsec + ns) / 1000000000;
	at.tv_nsec = (at.tv_nsec + ns) % 1000000000;
	return at;
}

/* -------------------------------------------------------------- the thread */

/* With the lock held: whether no thread waits for a cycle and the process is not ending. */
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
 * The last cycle, which found nothing, began after @sleeping was set.  An addition
 * that it missed was made in a section that its grace period did not wait for; that
 * section sees @sleeping and wakes the reclaimer.
 */
static void sleep_until_work(void)
{
	while (sctx__load(&sctx__shared.sleeping) && may_rest())
		pthread_cond_wait(&reclaimer.work, &reclaimer.lock);
	sctx__store(&sctx__shared.sleeping, 0);
}

/* With the lock held, which is released meanwhile.  True if there was anything to do. */
static bool cycle_unlocked(void)
{
	bool any;

	reclaimer.started++;
	pthread_mutex_unlock(&reclaimer.lock);
	sctx__cycle(SIZE_MAX, &any);
	pthread_mutex_lock(&reclaimer.lock);
	reclaimer.finished++;
	sctx__limits_update_full();
	pthread_cond_broadcast(&reclaimer.done);
	return any || !sctx__limbo_is_empty();
}

/*
 * A callback called pthread_exit().  The next thread that retires or waits starts another
 * reclaimer, which continues.
 */
static void thread_died(void *unused)
{
	(void)unused;
	sctx__self.in_callback = false;
	pthread_mutex_lock(&reclaimer.lock);
	pthread_detach(pthread_self());
	reclaimer.started--;
	reclaimer.at_lists = false;
	reclaimer.running = false;
	sctx__store(&sctx__shared.worker, 0);
	sctx__store(&sctx__shared.sleeping, 1);
	pthread_cond_broadcast(&reclaimer.done);
	pthread_mutex_unlock(&reclaimer.lock);
}

/* With the lock held. */
static void run_cycles(void)
{
	bool busy = true;

	while (!reclaimer.stop_now && (busy || !reclaimer.stop)) {
		busy = cycle_unlocked();
		if (busy) {
			sctx__store(&sctx__shared.sleeping, 0);
			pause_between_cycles();
		} else if (!sctx__load(&sctx__shared.sleeping)) {
			sctx__store(&sctx__shared.sleeping, 1);
		} else {
			sleep_until_work();
			busy = true; /* there may be work, even if the thread must end */
		}
	}
}

static void *reclaimer_main(void *unused)
{
	int before;

	(void)unused;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_setname_np(pthread_self(), "sctx-reclaim");
	sched_setaffinity(0, sizeof(reclaimer.cpus), &reclaimer.cpus);
	while (sctx__thread_attach(true))
		sched_yield();
	sctx__rcu_offline();
	pthread_cleanup_push(thread_died, NULL);
	pthread_mutex_lock(&reclaimer.lock);
	sctx__store(&sctx__shared.sleeping, 0);
	run_cycles();
	reclaimer.ended = true;
	pthread_cond_broadcast(&reclaimer.done);
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_cleanup_pop(0);
	return NULL;
}

/* All signals except those of the thread's own faults, which the host's handlers get. */
static void set_signals(sigset_t *set)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(set, faults[i]);
}

/* The thread must not inherit attributes of the thread that happens to start it. */
static int set_attributes(pthread_attr_t *attr)
{
	static const struct sched_param param;
	int error = pthread_attr_setstacksize(attr, STACK_SIZE);

	if (!error)
		error = pthread_attr_setinheritsched(attr, PTHREAD_EXPLICIT_SCHED);
	if (!error)
		error = pthread_attr_setschedpolicy(attr, SCHED_OTHER);
	return error ? error : pthread_attr_setschedparam(attr, &param);
}

static int thread_create(void)
{
	sigset_t mask, before;
	pthread_attr_t attr;
	int error;

	set_signals(&mask);
	pthread_attr_init(&attr);
	error = set_attributes(&attr);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	if (!error)
		error = pthread_create(&reclaimer.thread, &attr, reclaimer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

int sctx__reclaimer_start(void)
{
	int error = 0;

	if (sctx__load(&sctx__shared.worker))
		return 0;
	sctx__limits_set_batches();
	if (reclaimer.mode == SCTX_RECLAIM_THREAD) {
		reclaimer.ended = false;
		error = thread_create();
		reclaimer.running = error == 0;
	} else {
		sctx__store(&sctx__shared.sleeping, 0);
	}
	if (!error)
		sctx__store(&sctx__shared.worker, 1);
	return -error;
}

/* Something was retired.  If the thread cannot be started now, a later call will. */
static void wake_reclaimer(void)
{
	pthread_mutex_lock(&reclaimer.lock);
	if (sctx__reclaimer_start() == 0) {
		sctx__store(&sctx__shared.sleeping, 0);
		pthread_cond_signal(&reclaimer.work);
	}
	pthread_mutex_unlock(&reclaimer.lock);
}

/* ---------------------------------------------------------------- retiring */

/* The first addition after a phase flip: check for ready objects of this thread. */
static void first_added(struct sctx__thread *self, struct sctx__limbo *limbo)
{
	sctx__store(&limbo->since, sctx__now_coarse());
	if (sctx__load(&self->home.ready[0].head) || sctx__load(&self->home.ready[1].head))
		self->at_end |= SCTX__HOME_DUE;
}

void sctx__limbo_added_slow(struct sctx__limbo *limbo)
{
	struct sctx__thread *self = &sctx__self;

	if (!limbo->since)
		first_added(self, limbo);
	if (sctx__load(&sctx__shared.sleeping))
		wake_reclaimer();
	if (self->pending_callbacks >= sctx__load(&sctx__shared.batch_callbacks) ||
	    self->pending_bytes >= sctx__load(&sctx__shared.batch_bytes))
		sctx__account_flush(self);
}

void sctx__retire_block(struct sctx__block *block, size_t bytes)
{
	struct sctx__limbo *limbo = sctx__limbo_of(&sctx__self);

	sctx__list_push(&limbo->list[SCTX__BLOCKS], sctx__link_of(&block->next));
	limbo->block_bytes += bytes;
	sctx__probe3(retire, block, SCTX__KIND_BLOCK, bytes);
	sctx__limbo_added(limbo, 1, bytes);
}

void sctx__retire_memory(struct sctx__block *memory, size_t bytes)
{
	struct sctx__limbo *limbo = sctx__limbo_of(&sctx__self);

	memory->size = bytes;
	sctx__list_push(&limbo->list[SCTX__HOME_BLOCKS], sctx__link_of(&memory->next));
	sctx__probe3(retire, memory, SCTX__KIND_BLOCK, bytes);
	sctx__limbo_added(limbo, 1, bytes);
}

/* ------------------------------------------------------------------- stats */

/* What is in limbo.  *@since: when the oldest set of a thread began to fill. */
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
