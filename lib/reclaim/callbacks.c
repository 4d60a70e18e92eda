/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runners: one for each CPU, started when first needed, pinned there.  Runner
 * 0 is the reclaimer's own thread, which takes everything as long as it keeps
 * up, and later still the small sets, what threads that exited left behind,
 * and all that no thread can be had for.
 *
 * The lock covers busy, stop, exists and the handing over of ripe sets; a
 * runner's ripe set is its thread's while it is busy and the reclaimer's
 * otherwise; closed is always the reclaimer's.
 */
#include "reclaim/callbacks.h"

#include "registry/magazine.h"
#include "base/pool.h"
#include "reclaim/reclaim.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

/* Ripe at once: the reclaimer's thread alone does not keep up. */
#ifndef SPREAD_MIN
#define SPREAD_MIN 65536
#endif

/* Callbacks for which waking a runner pays. */
#ifndef WAKE_MIN
#define WAKE_MIN 64
#endif

/* Callbacks run between two looks at the account. */
#define RUN_BATCH 256

struct runner {
	struct sctx__limbo closed; /* collected, waits for a grace period */
	struct sctx__limbo ripe;
	pthread_cond_t work;
	pthread_t thread;
	bool exists;
	bool busy;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct runner *runners;
static int count; /* CPUs + 1 */
static bool stop;
static uint64_t callbacks_run;
static uint64_t dropped_again;

/* ----------------------------------------------------------- calling back */

/* Limbo keeps its reference for one more grace period. */
static void context_drop_again(struct sctx_context *ctx, uint8_t links)
{
	struct sctx__retiring r;

	sctx__add(&dropped_again, 1);
	sctx__rcu_read_lock(); /* no update: a fork waits for this thread to park */
	sctx__store(&ctx->in_limbo, sctx__in_limbo(links));
	r = sctx__retire_begin();
	sctx__retire_context(&r, ctx);
	sctx__retire_end(&r);
	sctx__rcu_read_unlock();
}

/*
 * Others hold the context, and may from now on hang it up again.  If they have
 * all let go before our reference is dropped, readers may have found it since,
 * whom no grace period of ours has waited for.  The acquire as in
 * sctx__put_inside(): what was linked before is seen to be unlinked.
 */
static void context_drop_held(struct sctx_context *ctx)
{
	uint8_t links = sctx__load_acquire(&ctx->links);

	sctx__store(&ctx->in_limbo, 0);
	if (!sctx__put_if_others_hold(ctx))
		context_drop_again(ctx, links);
}

/*
 * Drop limbo's reference.  A grace period has passed since the context was
 * unlinked, and nothing is hung up while limbo has it, so that only holders
 * can still reach it: one reference is ours alone.  The acquire pairs with the
 * release in other holders' puts, whose use of the context is over.
 *
 * An insert that did not see yet that limbo has it is over, too, and no other
 * can come: if there was one, the grace period is to begin after that.
 */
static void context_drop(struct sctx_context *ctx)
{
	uint8_t links = sctx__load(&ctx->links);

	if (sctx__unlikely(sctx__load_acquire(&ctx->refs) != 1)) {
		context_drop_held(ctx);
		return;
	}
	if (sctx__unlikely(sctx__load(&ctx->in_limbo) != sctx__in_limbo(links))) {
		context_drop_again(ctx, links);
		return;
	}
	sctx__store(&ctx->in_limbo, 0);
	sctx__probe2(callback, ctx, ctx->free_callback);
	ctx->free_callback(ctx);
	sctx__probe1(callback_done, ctx);
}

/* By the time that a lane's turn comes again, its next context is fetched. */
static bool run_context(struct sctx__limbo *ripe, size_t lane)
{
	struct sctx_context *ctx = ripe->context[lane];

	if (!ctx)
		return false;
	ripe->context[lane] = ctx->next;
	if (ctx->next)
		sctx__prefetch_write(ctx->next);
	context_drop(ctx);
	return true;
}

static bool run_other(struct sctx__limbo *ripe)
{
	struct sctx_stream *stream = ripe->stream;
	struct sctx__block *block = ripe->block;

	if (stream) {
		ripe->stream = stream->next;
		__builtin_prefetch(stream->next);
		stream->free_fn(stream);
	} else if (block) {
		ripe->block = block->next;
		block->free_fn(block);
	} else {
		return false;
	}
	return true;
}

static void account(struct sctx__limbo *ripe, size_t callbacks)
{
	size_t bytes = callbacks == ripe->callbacks ? ripe->bytes
						    : ripe->bytes / ripe->callbacks * callbacks;

	ripe->callbacks -= callbacks;
	if (!ripe->callbacks)
		sctx__store(&ripe->since, 0);
	ripe->bytes -= bytes;
	sctx__add(&callbacks_run, callbacks);
	sctx__account_freed(callbacks, bytes);
}

/* After each callback.  False: leave the rest, no more are wanted or a fork is under way. */
static bool run_on(struct sctx__limbo *ripe, size_t *ran, size_t *left)
{
	if (++*ran == RUN_BATCH) {
		account(ripe, *ran);
		*ran = 0;
	}
	return --*left > 0 && sctx__likely(!sctx__load(&sctx__shared.forking));
}

/*
 * At most *@left of them, which is counted down.  Contexts before streams: an
 * owner may have put one inside the other.
 */
static void run_set(struct sctx__limbo *ripe, size_t *left)
{
	size_t ran = 0, empty = 0;
	bool on = *left > 0 && !sctx__load(&sctx__shared.forking);

	sctx__self.in_callback = true;
	for (size_t lane = 0; on && empty < SCTX__LANES; lane = (lane + 1) % SCTX__LANES) {
		if (run_context(ripe, lane)) {
			on = run_on(ripe, &ran, left);
			empty = 0;
		} else {
			empty++;
		}
	}
	while (on && run_other(ripe))
		on = run_on(ripe, &ran, left);
	sctx__self.in_callback = false;
	if (on)
		sctx__nodes_free(&ripe->nodes);
	if (on || ran)
		account(ripe, on ? ripe->callbacks : ran);
}

/* ---------------------------------------------------------------- runners */

static void *runner_main(void *arg)
{
	struct runner *self = arg;
	size_t all = SIZE_MAX;

	while (sctx__thread_attach(true))
		sched_yield();
	sctx__rcu_offline();
	pthread_mutex_lock(&lock);
	while (!stop || self->busy) {
		if (!self->busy) {
			pthread_cond_wait(&self->work, &lock);
			continue;
		}
		pthread_mutex_unlock(&lock);
		run_set(&self->ripe, &all);
		sctx__rcu_offline();
		pthread_mutex_lock(&lock);
		self->busy = false;
		pthread_cond_signal(&idle);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Pinned to @cpu; anywhere, if this process may not run there. */
static int create_pinned(pthread_t *thread, int cpu, void *arg)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int error;

	pthread_attr_init(&attr);
	CPU_ZERO(&set);
	if (cpu < CPU_SETSIZE) {
		CPU_SET(cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	error = pthread_create(thread, &attr, runner_main, arg);
	pthread_attr_destroy(&attr);
	return error == EINVAL ? pthread_create(thread, NULL, runner_main, arg) : error;
}

/* Hand runner @i its ripe set.  False if the reclaimer has to run it. */
static bool hand_over(int i)
{
	struct runner *runner = &runners[i];
	bool taken;

	if (i == 0 || runner->ripe.callbacks < WAKE_MIN)
		return false;
	pthread_mutex_lock(&lock);
	if (!runner->exists)
		runner->exists = create_pinned(&runner->thread, i - 1, runner) == 0;
	taken = runner->exists;
	runner->busy = taken;
	pthread_cond_signal(&runner->work);
	pthread_mutex_unlock(&lock);
	return taken;
}

static void wait_for_runners(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 1; i < count; i++)
		while (runners[i].busy)
			pthread_cond_wait(&idle, &lock);
	pthread_mutex_unlock(&lock);
}

static size_t ripe_count(void)
{
	size_t ripe = 0;

	for (int i = 0; i < count; i++)
		ripe += runners[i].ripe.callbacks;
	return ripe;
}

void sctx__callbacks_run(void)
{
	size_t ripe, all = SIZE_MAX;

	wait_for_runners(); /* in a child forked by one of them */
	ripe = ripe_count();
	for (int i = count - 1; i >= 0; i--)
		if (ripe < SPREAD_MIN || !hand_over(i))
			run_set(&runners[i].ripe, &all);
	wait_for_runners();
}

size_t sctx__callbacks_run_here(size_t max)
{
	size_t left = max;

	for (int i = 0; i < count; i++)
		run_set(&runners[i].ripe, &left);
	return max - left;
}

bool sctx__callbacks_are_ripe(void)
{
	return ripe_count() > 0;
}

static struct sctx__limbo *closed_of(int cpu)
{
	return &runners[cpu >= 0 && cpu < count - 1 ? cpu + 1 : 0].closed;
}

/* Nodes that a thread left behind at its exit are no callbacks any more. */
static bool any_closed(void)
{
	bool any = false;

	for (int i = 0; i < count && !any; i++)
		any = runners[i].closed.callbacks || runners[i].closed.nodes.head;
	return any;
}

bool sctx__callbacks_are_left(void)
{
	return any_closed() || ripe_count() > 0;
}

bool sctx__callbacks_turn(void)
{
	bool ripe = any_closed();

	for (int i = 0; i < count; i++)
		sctx__limbo_move(&runners[i].ripe, &runners[i].closed);
	sctx__limbo_take_closed(closed_of, &runners[0].ripe.nodes);
	return ripe || any_closed();
}

uint64_t sctx__callbacks_since(void)
{
	uint64_t oldest = 0;
	int n = sctx__load_acquire(&count); /* pairs with the release in sctx__callbacks_init() */

	for (int i = 0; i < 2 * n; i++) {
		struct runner *runner = &runners[i / 2];
		uint64_t since = sctx__load(i % 2 ? &runner->ripe.since : &runner->closed.since);

		if (since && (!oldest || since < oldest))
			oldest = since;
	}
	return oldest;
}

uint64_t sctx__callbacks_dropped_again(void)
{
	return sctx__load(&dropped_again);
}

uint64_t sctx__callbacks_count(void)
{
	return sctx__load(&callbacks_run);
}

/* ------------------------------------------------- start, stop, and forks */

int sctx__callbacks_init(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	size_t size;

	if (runners)
		return 0;
	if (cpus < 1)
		cpus = 1;
	size = ((size_t)cpus + 1) * sizeof(*runners);
	runners = sctx__pool_alloc(size);
	if (!runners)
		return -ENOMEM;
	memset(runners, 0, size);
	for (int i = 0; i < (int)cpus + 1; i++)
		pthread_cond_init(&runners[i].work, NULL);
	/* Pairs with the acquire in sctx__callbacks_since(). */
	sctx__store_release(&count, (int)cpus + 1);
	return 0;
}

void sctx__callbacks_stop(void)
{
	pthread_mutex_lock(&lock);
	stop = true;
	for (int i = 1; i < count; i++)
		pthread_cond_signal(&runners[i].work);
	pthread_mutex_unlock(&lock);
	for (int i = 1; i < count; i++) {
		if (runners[i].exists)
			pthread_join(runners[i].thread, NULL);
		runners[i].exists = false;
	}
	stop = false;
}

void sctx__callbacks_fini(void)
{
	if (!runners)
		return;
	sctx__pool_free(runners, (size_t)count * sizeof(*runners));
	runners = NULL;
	count = 0;
}

void sctx__callbacks_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

/* In the child only a runner that forks in its callback goes on to exist. */
void sctx__callbacks_after_fork(bool child)
{
	if (child)
		pthread_cond_init(&idle, NULL);
	for (int i = 1; child && i < count; i++) {
		pthread_cond_init(&runners[i].work, NULL);
		if (runners[i].exists && pthread_equal(runners[i].thread, pthread_self()))
			continue;
		runners[i].exists = false;
		runners[i].busy = false;
	}
	pthread_mutex_unlock(&lock);
}
