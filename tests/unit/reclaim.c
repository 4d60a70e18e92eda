/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reclaim: barriers, grace periods, what a callback may do, and the limits of
 * limbo: creators wait or get -EAGAIN, releasers do neither.
 */
#include "test.h"

#include <signal.h>

/* ------------------------------------------------------- barrier, synchronize */

static void barrier_waits_for_callbacks(void **state)
{
	struct item *items[20];

	(void)state;
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 20; i++) {
		items[i] = item_new(OWNER(1), NULL);
		assert_rc(sctx_put(&items[i]->ctx), 0);
	}
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
}

static void sleep_then_count(struct item *item)
{
	nap_ms(100);
	atomic_fetch_add((atomic_uint *)item->arg, 1);
}

static void barrier_waits_until_a_slow_callback_has_returned(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	atomic_uint finished = 0;

	(void)state;
	a->hook = sleep_then_count;
	a->arg = &finished;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&finished), 1);
	item_free(a);
}

/* What other threads retired, few things that fill no batch, while they idle. */
struct idler {
	struct item *items[7];
	struct gate retired, leave;
};

static void *idler_main(void *arg)
{
	struct idler *idler = arg;

	for (unsigned int i = 0; i < ARRAY_SIZE(idler->items); i++)
		CHECK_EQ(sctx_put(&idler->items[i]->ctx), 0);
	gate_open(&idler->retired);
	gate_wait(&idler->leave);
	return NULL;
}

static pthread_t idler_start(struct idler *idler)
{
	pthread_t thread;

	gate_init(&idler->retired);
	gate_init(&idler->leave);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler->items); i++)
		idler->items[i] = item_new(OWNER(1), NULL);
	thread = thread_start(idler_main, idler);
	gate_wait(&idler->retired);
	return thread;
}

static void barrier_covers_what_other_threads_retired(void **state)
{
	struct idler idler;
	pthread_t thread = idler_start(&idler);

	(void)state;
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++) {
		assert_int_equal(item_called(idler.items[i]), 1);
		item_free(idler.items[i]);
	}
	gate_open(&idler.leave);
	thread_join(thread);
}

/*
 * What is retired while a grace period is waited for is collected by the cycle
 * after it, and called back by the one after that.
 */
static void *barrier_main(void *arg)
{
	struct item *item = arg;

	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(item_called(item), 1);
	return NULL;
}

static void barrier_covers_what_came_during_a_grace_period(void **state)
{
	struct item *before = item_new(OWNER(1), NULL), *during = item_new(OWNER(1), NULL);
	struct reader *reader;
	pthread_t waiter;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	reader = reader_park(NULL, NULL, NULL);
	assert_rc(sctx_put(&before->ctx), 0);
	nap_ms(50);
	assert_rc(sctx_put(&during->ctx), 0);
	waiter = thread_start(barrier_main, during);
	nap_ms(50);
	reader_leave(reader);
	thread_join(waiter);
	assert_rc(sctx_barrier(), 0);
	item_free(before);
	item_free(during);
}

/* Nobody asks: the callbacks come all the same. */
static void callbacks_come_without_a_barrier(void **state)
{
	struct idler idler;
	pthread_t thread = idler_start(&idler);
	struct item *own = item_new(OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_put(&own->ctx), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++)
		WAIT_FOR(item_called(idler.items[i]) == 1);
	WAIT_FOR(item_called(own) == 1);
	gate_open(&idler.leave);
	thread_join(thread);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++)
		item_free(idler.items[i]);
	item_free(own);
}

static void barrier_thread(unsigned int index, void *arg)
{
	(void)index;
	(void)arg;
	for (unsigned int i = 0; i < 5; i++) {
		struct item *a = item_new(OWNER(1), NULL);

		CHECK_EQ(sctx_put(&a->ctx), 0);
		CHECK_EQ(sctx_barrier(), 0);
		CHECK_EQ(item_called(a), 1);
		item_free(a);
	}
}

static void barriers_of_several_threads(void **state)
{
	(void)state;
	run_threads(4, barrier_thread, NULL);
}

/* Readers come and go, so that some are always inside: no grace period starves. */
static void overlap_thread(unsigned int index, void *arg)
{
	atomic_bool *stop = arg;

	if (index == 0) {
		for (unsigned int i = 0; i < 5; i++) {
			CHECK_EQ(sctx_barrier(), 0);
			CHECK_EQ(sctx_synchronize(), 0);
		}
		atomic_store(stop, true);
		return;
	}
	while (!atomic_load(stop)) {
		sctx_read_lock();
		sched_yield();
		sctx_read_unlock();
	}
}

static void overlapping_readers_starve_nobody(void **state)
{
	atomic_bool stop = false;

	(void)state;
	run_threads(4, overlap_thread, &stop);
}

struct sync_call {
	int (*fn)(void);
	struct gate started;
	atomic_bool done;
};

static void *sync_main(void *arg)
{
	struct sync_call *call = arg;

	gate_open(&call->started);
	CHECK_EQ(call->fn(), 0);
	atomic_store(&call->done, true);
	return NULL;
}

static void synchronize_waits_for_readers(void **state)
{
	struct sync_call call = { .fn = sctx_synchronize };
	struct reader *reader;
	pthread_t thread;

	(void)state;
	gate_init(&call.started);
	reader = reader_park(NULL, NULL, NULL);
	thread = thread_start(sync_main, &call);
	gate_wait(&call.started);
	nap_ms(100);
	assert_false(atomic_load(&call.done));
	reader_leave(reader);
	thread_join(thread);
	assert_true(atomic_load(&call.done));
	assert_rc(sctx_synchronize(), 0);
}

static void barrier_waits_for_readers(void **state)
{
	struct sync_call call = { .fn = sctx_barrier };
	struct item *a = item_new(OWNER(1), NULL);
	struct reader *reader;
	pthread_t thread;

	(void)state;
	gate_init(&call.started);
	reader = reader_park(NULL, NULL, NULL);
	assert_rc(sctx_put(&a->ctx), 0);
	thread = thread_start(sync_main, &call);
	gate_wait(&call.started);
	nap_ms(100);
	assert_false(atomic_load(&call.done));
	assert_int_equal(item_called(a), 0);
	reader_leave(reader);
	thread_join(thread);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* thread_offline() inside a section does not end it. */
static void *offline_main(void *arg)
{
	struct reader *r = arg;

	sctx_read_lock();
	r->borrowed = sctx_lookup(r->stream, OWNER(1), NULL);
	CHECK(r->borrowed);
	sctx_thread_offline();
	sctx_read_lock();
	sctx_read_unlock();
	sctx_thread_offline();
	gate_open(&r->entered);
	gate_wait(&r->leave);
	item_check(item_of(r->borrowed));
	CHECK_EQ(item_called(item_of(r->borrowed)), 0);
	sctx_read_unlock();
	sctx_thread_offline();
	sctx_thread_offline();
	/* It comes back by itself. */
	sctx_read_lock();
	CHECK(sctx_lookup(r->stream, OWNER(1), NULL) == NULL);
	sctx_read_unlock();
	return NULL;
}

static void offline_in_a_section_does_not_end_it(void **state)
{
	struct reader reader = { .borrowed = NULL };
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	reader.stream = &s;
	gate_init(&reader.entered);
	gate_init(&reader.leave);
	reader.thread = thread_start(offline_main, &reader);
	gate_wait(&reader.entered);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	nap_ms(100);
	assert_int_equal(item_called(a), 0);
	gate_open(&reader.leave);
	thread_join(reader.thread);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* ------------------------------------------------------- where waiting is not */

static void all_that_waits(struct sctx_stream *s)
{
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	CHECK_EQ(sctx_synchronize(), -EDEADLK);
	CHECK_EQ(sctx_teardown_sync(s), -EDEADLK);
	CHECK_EQ(sctx_thread_detach(), -EDEADLK);
	CHECK(sctx_stream_supports_contexts(s));
	/* What does not wait may be called. */
	CHECK_EQ(sctx_thread_attach(), 0);
	sctx_thread_offline();
	set_limits(0, 0, 0);
	(void)stats_now();
}

static void wait_in_callback(struct item *item)
{
	all_that_waits(item->arg);
}

static void waiting_in_a_section_or_callback_is_refused(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	sctx_read_lock();
	all_that_waits(&s);
	sctx_read_lock();
	all_that_waits(&s);
	sctx_read_unlock();
	all_that_waits(&s);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);

	a->hook = wait_in_callback;
	a->arg = &s;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_synchronize(), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

/* ---------------------------------------------------------------- callbacks */

static pthread_t main_thread;

static void look_around(struct item *item)
{
	sigset_t blocked;

	(void)item;
	CHECK(!pthread_equal(pthread_self(), main_thread));
	/* The daemon's signals are for the daemon's threads. */
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	CHECK(sigismember(&blocked, SIGTERM) == 1);
	CHECK(sigismember(&blocked, SIGHUP) == 1);
	CHECK(sigismember(&blocked, SIGUSR1) == 1);
	CHECK(sigismember(&blocked, SIGCHLD) == 1);
	/* A section of its own may be had. */
	sctx_read_lock();
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	sctx_read_unlock();
	CHECK_EQ(sctx_barrier(), -EDEADLK);
}

static void callbacks_run_on_the_reclaimers_thread(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	sigset_t blocked;

	(void)state;
	main_thread = pthread_self();
	a->hook = look_around;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	/* Starting that thread left the signals of this one as they were. */
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	assert_int_equal(sigismember(&blocked, SIGTERM), 0);
	assert_int_equal(sigismember(&blocked, SIGUSR1), 0);
}

static pthread_mutex_t owner_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gate in_callback;

static void block_on_owner_lock(struct item *item)
{
	(void)item;
	gate_open(&in_callback);
	pthread_mutex_lock(&owner_lock);
	pthread_mutex_unlock(&owner_lock);
}

/* So many that they are worth threads of their own: the same holds there. */
static void callbacks_in_quantity(void **state)
{
	enum { N = 4000 };
	struct item **items = calloc(N, sizeof(*items));

	(void)state;
	assert_non_null(items);
	main_thread = pthread_self();
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < N; i++) {
			items[i] = item_new(OWNER(1), NULL);
			items[i]->hook = look_around;
		}
		for (unsigned int i = 0; i < N; i++)
			assert_rc(sctx_put(&items[i]->ctx), 0);
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < N; i++) {
			assert_int_equal(item_called(items[i]), 1);
			item_free(items[i]);
		}
	}
	free(items);
}

/* One of many blocks; the barrier waits for it, and it for nobody. */
static void a_callback_of_many_that_blocks(void **state)
{
	enum { N = 2000 };
	struct item **items = calloc(N, sizeof(*items));

	(void)state;
	assert_non_null(items);
	gate_init(&in_callback);
	for (unsigned int i = 0; i < N; i++)
		items[i] = item_new(OWNER(1), NULL);
	items[N / 2]->hook = block_on_owner_lock;
	pthread_mutex_lock(&owner_lock);
	for (unsigned int i = 0; i < N; i++)
		assert_rc(sctx_put(&items[i]->ctx), 0);
	gate_wait(&in_callback);
	assert_rc(sctx_synchronize(), 0);
	pthread_mutex_unlock(&owner_lock);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	free(items);
}

struct chain {
	struct sctx_registry *registry;
	struct sctx_stream stream, other;
	atomic_uint left;
};

static void chain_step(struct item *item)
{
	struct chain *c = item->arg;
	unsigned int left = atomic_fetch_sub(&c->left, 1);
	struct sctx_id id = id_of(left);
	struct sctx_stream *s;
	struct item *next;

	/* Insert elsewhere, remove a sibling, put, open, close, tear down. */
	CHECK_EQ(sctx_insert(&c->other, &item_churn(OWNER(2), INST(left % 8))->ctx), 0);
	CHECK_EQ(sctx_delete(&c->other, OWNER(2), INST(left % 8)), 0);
	CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(s), 0);
	if (left == 1) {
		CHECK_EQ(sctx_teardown(&c->stream), 0);
		item_free(item);
		return;
	}
	/* And retire the next, whose callback goes on. */
	next = item_new(OWNER(1), NULL);
	next->hook = chain_step;
	next->arg = c;
	CHECK_EQ(sctx_insert(&c->stream, &next->ctx), 0);
	CHECK_EQ(sctx_delete(&c->stream, OWNER(1), NULL), 0);
	item_free(item);
}

static void callbacks_may_retire_more(void **state)
{
	struct chain c = { .left = 12 };
	struct item *first = item_new(OWNER(1), NULL);
	struct item *stays;

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	sctx_stream_init(&c.stream);
	sctx_stream_init(&c.other);
	stays = item_insert(&c.stream, OWNER(3), NULL);
	first->hook = chain_step;
	first->arg = &c;
	assert_rc(sctx_put(&first->ctx), 0);
	WAIT_FOR(atomic_load(&c.left) == 0);
	assert_rc(sctx_barrier(), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(stays), 1);
	assert_u64(items_created(), ==, 24);
	assert_u64(items_freed(), ==, 24);
	assert_rc(sctx_teardown_sync(&c.other), 0);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	item_free(stays);
}

/* A callback that blocks holds up other callbacks, not grace periods. */
static void synchronize_does_not_wait_for_callbacks(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	gate_init(&in_callback);
	a->hook = block_on_owner_lock;
	pthread_mutex_lock(&owner_lock);
	assert_rc(sctx_put(&a->ctx), 0);
	gate_wait(&in_callback);
	assert_rc(sctx_synchronize(), 0);
	pthread_mutex_unlock(&owner_lock);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* A callback comes only when every reader that could have it has left. */
static void a_callback_waits_for_each_reader(void **state)
{
	struct reader *readers[3];
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	for (unsigned int i = 0; i < 3; i++) {
		readers[i] = reader_park(&s, OWNER(1), NULL);
		assert_ptr_equal(readers[i]->borrowed, &a->ctx);
	}
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_put(&a->ctx), 0);
	for (unsigned int i = 0; i < 3; i++) {
		nap_ms(40);
		assert_int_equal(item_called(a), 0);
		reader_leave(readers[i]);
	}
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

/* ------------------------------------------------------- configure and stats */

static void configure_refuses_what_is_wrong(void **state)
{
	const struct sctx_reclaim_options good = {
		.size = sizeof(good),
		.limit_bytes = 1 << 20,
		.limit_callbacks = 1000,
		.flags = SCTX_RECLAIM_NOWAIT,
	};
	struct sctx_reclaim_options bad;
	struct sctx_stream s;
	struct item *item;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_reclaim_configure(NULL), -EINVAL);
	bad = good;
	bad.limit_bytes = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.limit_callbacks = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.flags = 0x2;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad.flags = SCTX_RECLAIM_NOWAIT | 0x80000000u;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.size = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad.size = sizeof(bad.size);
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	assert_rc(sctx_reclaim_configure(&good), 0);
	bad = good;
	bad.limit_bytes = bad.limit_callbacks = SIZE_MAX;
	assert_rc(sctx_reclaim_configure(&bad), 0);
	item = item_insert(&s, OWNER(1), NULL); /* at no limit */
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(item);
	set_limits(1, 1, 0);
	set_limits(0, 0, 0);
}

static void stats_refuse_what_is_wrong(void **state)
{
	struct sctx_stats stats;

	(void)state;
	assert_rc(sctx_stats_get(NULL), -EINVAL);
	memset(&stats, 0, sizeof(stats));
	assert_rc(sctx_stats_get(&stats), -EINVAL);
	stats.size = sizeof(stats.size);
	assert_rc(sctx_stats_get(&stats), -EINVAL);
	stats.size = sizeof(stats);
	assert_rc(sctx_stats_get(&stats), 0);
}

static void stats_count_limbo_and_callbacks(void **state)
{
	struct sctx_stats before, during, after;
	struct reader *reader;

	(void)state;
	items_reset();
	assert_rc(sctx_barrier(), 0);
	before = stats_now();
	assert_u64(before.limbo_callbacks, ==, 0);
	assert_u64(before.limbo_bytes, ==, 0);

	reader = reader_park(NULL, NULL, NULL);
	for (unsigned int i = 0; i < 1000; i++)
		assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	during = stats_now();
	assert_u64(during.limbo_callbacks, ==, 1000);
	assert_u64(during.limbo_bytes, ==, 1000 * sizeof(struct sctx_context));
	assert_u64(during.callbacks_run, ==, before.callbacks_run);
	reader_leave(reader);

	assert_rc(sctx_barrier(), 0);
	after = stats_now();
	assert_u64(after.limbo_callbacks, ==, 0);
	assert_u64(after.limbo_bytes, ==, 0);
	assert_u64(after.callbacks_run, ==, before.callbacks_run + 1000);
	assert_u64(after.grace_periods, >, before.grace_periods);
	/* One grace period serves many. */
	assert_u64(after.grace_periods, <, before.grace_periods + 500);
	assert_u64(items_freed(), ==, 1000);
}

/* ------------------------------------------------------------------- limits */

/*
 * Insert and delete until an insert is refused; returns how many were.  Threads tell of
 * what they retire in batches, here the test's, the reclaimer's and a reader's.
 * Where a test asks how far limbo stands over its limit, that is high enough
 * for the batches to be as large as under the default limits, so that none is
 * left from before that is larger.
 */
static unsigned int create_until_refused(struct sctx_stream *s, unsigned int most)
{
	for (unsigned int n = 0; n < most; n++) {
		struct item *item = item_churn(OWNER(1), NULL);
		int rc = sctx_insert(s, &item->ctx);

		if (rc) {
			assert_rc(rc, -EAGAIN);
			/* Still ours. */
			item_churn_free(item);
			return n;
		}
		assert_rc(sctx_delete(s, OWNER(1), NULL), 0);
	}
	return most;
}

static struct sctx_context *create_churn(const void *owner, const void *instance, void *arg)
{
	return item_create(owner, instance, arg);
}

/* Creators are refused, whatever they create; nothing changes by it. */
static void creators_are_refused(struct sctx_registry *registry, struct sctx_stream *s,
				 struct sctx_stream *open)
{
	struct sctx_context *ctx = (void *)1;
	struct sctx_stream *stream = (void *)1;
	struct item *a = item_churn(OWNER(5), NULL);
	struct sctx_id new_id = id_of(4711), open_id = *sctx_stream_id(open);

	CHECK_EQ(sctx_insert(s, &a->ctx), -EAGAIN);
	CHECK_EQ(sctx_insert_unique(s, &a->ctx, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	ctx = (void *)1;
	CHECK_EQ(sctx_replace(s, &a->ctx, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	ctx = (void *)1;
	CHECK_EQ(sctx_get_or_create(s, OWNER(5), NULL, create_churn, NULL, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	CHECK_EQ(sctx_open(registry, &new_id, 0, &stream), -EAGAIN);
	CHECK(stream == NULL);
	CHECK(peek(s, OWNER(5), NULL) == NULL);
	item_churn_free(a);

	/* What creates nothing is not. */
	CHECK_EQ(sctx_open(registry, &open_id, 0, &stream), 0);
	CHECK(stream == open);
	CHECK_EQ(sctx_close(stream), 0);
	CHECK_EQ(sctx_open(registry, &new_id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
	ctx = sctx_get(s, OWNER(7), NULL);
	CHECK(ctx);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_get_or_create(s, OWNER(7), NULL, create_churn, NULL, &ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
}

/* Every kind of release, while limbo is full and a reader holds it so. */
struct releases {
	struct sctx_registry *registry;
	struct sctx_stream stream[4];
	struct sctx_stream *open[40];
	struct sctx_context *got[40];
};

static void releases_prepare(struct releases *r)
{
	memset(r, 0, sizeof(*r));
	CHECK_EQ(sctx_registry_create(&r->registry), 0);
	for (unsigned int i = 0; i < 4; i++) {
		sctx_stream_init(&r->stream[i]);
		for (unsigned int j = 0; j < 20; j++)
			CHECK_EQ(sctx_insert(&r->stream[i], &item_churn(OWNER(1), INST(j))->ctx),
				 0);
	}
	for (unsigned int i = 0; i < 40; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(r->registry, &id, 0, &r->open[i]), 0);
		CHECK_EQ(sctx_insert(r->open[i], &item_churn(OWNER(7), NULL)->ctx), 0);
		r->got[i] = sctx_get(r->open[i], OWNER(7), NULL);
		CHECK(r->got[i]);
	}
}

static void nothing(struct sctx_stream *stream)
{
	(void)stream;
}

static void releases_do(struct releases *r)
{
	struct sctx_context *ctx;

	while (sctx_delete(&r->stream[0], OWNER(1), NULL) == 0)
		;
	while ((ctx = sctx_remove(&r->stream[1], OWNER(1), NULL)))
		CHECK_EQ(sctx_put(ctx), 0);
	while ((ctx = sctx_get(&r->stream[2], OWNER(1), NULL))) {
		CHECK_EQ(sctx_detach(ctx), 0);
		CHECK_EQ(sctx_put(ctx), 0);
	}
	CHECK_EQ(sctx_teardown(&r->stream[2]), 0);
	CHECK_EQ(sctx_stream_retire(&r->stream[3], nothing), 0);
	for (unsigned int i = 0; i < 40; i++) {
		CHECK_EQ(sctx_close(r->open[i]), 0);
		CHECK_EQ(sctx_put(r->got[i]), 0);
	}
	CHECK_EQ(sctx_registry_destroy(r->registry), 0);
	CHECK_EQ(sctx_stream_disable(&r->stream[0]), 0);
}

static void at_the_limit_creators_get_eagain_and_releasers_go_on(void **state)
{
	const unsigned int limit = 16384;
	struct releases r;
	struct sctx_stream s;
	struct reader *reader;
	unsigned int n;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&r);
	/* Arrays that the preparation outgrew go first. */
	assert_rc(sctx_barrier(), 0);

	set_limits(0, limit, SCTX_RECLAIM_NOWAIT);
	reader = reader_park(NULL, NULL, NULL);
	n = create_until_refused(&s, 10 * limit);
	print_message("           %u inserts, limbo %lu\n", n,
		      (unsigned long)stats_now().limbo_callbacks);
	assert_u64(stats_now().limbo_callbacks, >=, limit * 7 / 8);
	assert_u64(stats_now().limbo_callbacks, <=, limit + 3 * (limit / 64) + 2);
	creators_are_refused(r.registry, &s, r.open[0]);
	assert_u64(stats_now().limbo_callbacks, <=, limit + 3 * (limit / 64) + 2);

	releases_do(&r);
	assert_u64(stats_now().limbo_callbacks, >=, limit);
	assert_int_equal(create_until_refused(&s, 1), 0);
	reader_leave(reader);

	/* Limbo empties, and inserting goes on. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(create_until_refused(&s, 10), 10);
	set_limits(0, 0, 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_teardown_sync(&r.stream[i]), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

/* In a section the caller cannot wait, whatever the flags say. */
static void at_the_limit_in_a_section(void **state)
{
	struct releases r;
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&r);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 16384, 0);
	sctx_read_lock();
	assert_true(create_until_refused(&s, 100000) < 20000);
	creators_are_refused(r.registry, &s, r.open[0]);
	releases_do(&r);
	sctx_read_unlock();
	/* Out of it, it waits. */
	assert_int_equal(create_until_refused(&s, 50000), 50000);
	set_limits(0, 0, 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_teardown_sync(&r.stream[i]), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* In a callback neither: it would wait for itself. */
struct full_callback {
	struct releases releases;
	struct sctx_stream stream;
	struct gate entered, go;
};

static void create_when_full(struct item *item)
{
	struct full_callback *f = item->arg;

	gate_open(&f->entered);
	gate_wait(&f->go);
	creators_are_refused(f->releases.registry, &f->stream, f->releases.open[0]);
	releases_do(&f->releases);
}

static void at_the_limit_in_a_callback(void **state)
{
	struct full_callback *f = calloc(1, sizeof(*f));
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	assert_non_null(f);
	assert_rc(sctx_barrier(), 0);
	items_reset();
	gate_init(&f->entered);
	gate_init(&f->go);
	sctx_stream_init(&f->stream);
	assert_rc(sctx_insert(&f->stream, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&f->releases);
	a->hook = create_when_full;
	a->arg = f;
	assert_rc(sctx_put(&a->ctx), 0);
	gate_wait(&f->entered);
	/* The only thread that could empty limbo is in the callback. */
	set_limits(0, 16384, SCTX_RECLAIM_NOWAIT);
	assert_true(create_until_refused(&f->stream, 100000) < 20000);
	set_limits(0, 16384, 0);
	gate_open(&f->go);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	set_limits(0, 0, 0);
	assert_rc(sctx_teardown_sync(&f->stream), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_teardown_sync(&f->releases.stream[i]), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	free(f);
	item_free(a);
}

/*
 * Noticed though no thread has a batch of callbacks together: the arrays that a
 * list outgrows are few and large.
 */
static void few_but_large(void **state)
{
	enum { N = 8000 };
	struct sctx_context *ctx = calloc(N, sizeof(*ctx));
	struct sctx_stream s;
	struct reader *reader;
	unsigned int n;
	int rc = 0;

	(void)state;
	assert_non_null(ctx);
	assert_rc(sctx_barrier(), 0);
	sctx_stream_init(&s);
	set_limits(32 << 10, 0, SCTX_RECLAIM_NOWAIT);
	reader = reader_park(NULL, NULL, NULL);
	for (n = 0; n < N && !rc; n++) {
		assert_rc(sctx_context_init(&ctx[n], OWNER(1), NULL, SCTX_NO_FREE), 0);
		rc = sctx_insert(&s, &ctx[n]);
	}
	assert_rc(rc, -EAGAIN);
	assert_u64(n, >, 500);
	reader_leave(reader);
	assert_rc(sctx_teardown_sync(&s), 0);
	free(ctx);
}

static void the_limit_in_bytes(void **state)
{
	const size_t limit = 4 << 20;
	struct sctx_registry *registry;
	struct reader *reader;
	struct sctx_stream *s;
	unsigned int n;
	int rc = 0;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	assert_rc(sctx_registry_create(&registry), 0);
	set_limits(limit, 0, 0);
	reader = reader_park(NULL, NULL, NULL);
	for (n = 0; n < 100000; n++) {
		struct sctx_id id = id_of(n);

		rc = sctx_open(registry, &id, SCTX_OPEN_NOWAIT, &s);
		if (rc)
			break;
		assert_rc(sctx_close(s), 0);
	}
	assert_rc(rc, -EAGAIN);
	assert_null(s);
	/* A stream takes 80 bytes at least, and not a kilobyte. */
	assert_true(n >= 64 && n <= (limit + 3 * limit / 64) / sizeof(struct sctx_stream));
	assert_u64(stats_now().limbo_bytes, >=, limit * 7 / 8);
	assert_u64(stats_now().limbo_bytes, <=, limit + 3 * limit / 64 + 1024);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
}

/* A configure that fails leaves the limit that was. */
static void a_refused_configure_changes_nothing(void **state)
{
	struct sctx_reclaim_options bad = {
		.size = sizeof(bad),
		.limit_bytes = SIZE_MAX,
		.limit_callbacks = 0,
	};
	struct reader *reader;
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	set_limits(0, 16384, SCTX_RECLAIM_NOWAIT);
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	reader = reader_park(NULL, NULL, NULL);
	assert_true(create_until_refused(&s, 100000) < 20000);
	bad.limit_callbacks = SIZE_MAX;
	bad.limit_bytes = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	assert_int_equal(create_until_refused(&s, 1), 0);
	reader_leave(reader);
	assert_rc(sctx_teardown_sync(&s), 0);
	set_limits(0, 0, 0);
	assert_u64(items_freed(), ==, items_created());
}

/* ----------------------------------------------------------- those that wait */

struct creator {
	struct sctx_registry *registry;
	struct sctx_stream stream;
	unsigned int turns;
	bool opens;
	atomic_uint done;
};

static void *creator_main(void *arg)
{
	struct creator *c = arg;

	for (unsigned int i = 0; i < c->turns; i++) {
		struct sctx_id id = id_of(i);
		struct sctx_stream *s;

		if (c->opens) {
			CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
			CHECK_EQ(sctx_close(s), 0);
		} else {
			CHECK_EQ(sctx_insert(&c->stream, &item_churn(OWNER(1), NULL)->ctx), 0);
			CHECK_EQ(sctx_delete(&c->stream, OWNER(1), NULL), 0);
		}
		atomic_fetch_add(&c->done, 1);
	}
	return NULL;
}

/* Wait until @c no longer advances; how far it has come. */
static unsigned int stalled_at(struct creator *c)
{
	unsigned int before;

	do {
		before = atomic_load(&c->done);
		nap_ms(150);
	} while (atomic_load(&c->done) != before);
	return before;
}

static void creators_wait(bool opens, bool raise)
{
	const unsigned int limit = 16384;
	struct creator *c = calloc(1, sizeof(*c));
	struct reader *reader;
	pthread_t thread;
	unsigned int at;

	assert_non_null(c);
	c->turns = 4 * limit;
	c->opens = opens;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	assert_rc(sctx_registry_create(&c->registry), 0);
	sctx_stream_init(&c->stream);
	set_limits(0, limit, 0);
	reader = reader_park(NULL, NULL, NULL);
	thread = thread_start(creator_main, c);
	at = stalled_at(c);
	/* Every retired array of the stream counts as well. */
	assert_in_range(at, limit * 3 / 4, limit * 5 / 4);

	/* Off again when there is room: limbo empties, or the limit is raised. */
	if (raise) {
		set_limits(0, 2 * limit, 0);
		WAIT_FOR(atomic_load(&c->done) > at);
		at = stalled_at(c);
		assert_in_range(at, limit * 3 / 2, limit * 5 / 2);
	}
	reader_leave(reader);
	thread_join(thread);
	assert_int_equal(atomic_load(&c->done), c->turns);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	assert_rc(sctx_teardown_sync(&c->stream), 0);
	assert_rc(sctx_registry_destroy(c->registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	free(c);
}

static void inserts_wait_at_the_limit(void **state)
{
	(void)state;
	creators_wait(false, false);
}

static void opens_wait_at_the_limit(void **state)
{
	(void)state;
	creators_wait(true, false);
}

static void a_raised_limit_lets_them_go_on(void **state)
{
	(void)state;
	creators_wait(false, true);
}

/* Several creators at full speed: limbo stays near its limit all the time. */
struct flood {
	struct sctx_registry *registry;
	atomic_uint running;
	atomic_ulong peak;
};

#define FLOODERS    4
#define FLOOD_LIMIT 4096

static void flood_thread(unsigned int index, void *arg)
{
	struct flood *f = arg;

	if (index == FLOODERS) {
		while (atomic_load(&f->running)) {
			unsigned long limbo = (unsigned long)stats_now().limbo_callbacks;

			if (limbo > atomic_load(&f->peak))
				atomic_store(&f->peak, limbo);
			nap_ms(1);
		}
		return;
	}
	/* However slow the machine is, or the sanitizer. */
	for (uint64_t end = test_deadline(600); !past(end) || items_created() <= 10 * FLOOD_LIMIT;) {
		for (unsigned int i = 0; i < 64; i++) {
			struct sctx_id id = id_of(i + 64 * index);
			struct sctx_stream *s;

			CHECK_EQ(sctx_open(f->registry, &id, 0, &s), 0);
			CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
			CHECK_EQ(sctx_close(s), 0);
		}
	}
	atomic_fetch_sub(&f->running, 1);
}

static void limbo_stays_bounded_under_a_flood(void **state)
{
	struct flood f = { .running = FLOODERS };

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	assert_rc(sctx_registry_create(&f.registry), 0);
	set_limits(0, FLOOD_LIMIT, 0);
	run_threads(FLOODERS + 1, flood_thread, &f);
	print_message("           peak %lu of %d, %lu contexts\n", atomic_load(&f.peak),
		      FLOOD_LIMIT, items_created());
	/* A batch for each thread, and the sum is read while it moves. */
	assert_u64(atomic_load(&f.peak), <=, FLOOD_LIMIT * 3 / 2);
	assert_u64(items_created(), >, 10 * FLOOD_LIMIT);
	assert_rc(sctx_registry_destroy(f.registry), 0);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	assert_u64(items_freed(), ==, items_created());
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
}

/* A limit of one of each: slow, and everything still works. */
static void the_smallest_limit(void **state)
{
	struct creator c = { .turns = 20 };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	sctx_stream_init(&c.stream);
	set_limits(1, 1, 0);
	creator_main(&c);
	c.opens = true;
	creator_main(&c);
	set_limits(0, 0, 0);
	assert_rc(sctx_teardown_sync(&c.stream), 0);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(barrier_waits_for_callbacks),
		cmocka_unit_test(barrier_waits_until_a_slow_callback_has_returned),
		cmocka_unit_test(barrier_covers_what_other_threads_retired),
		cmocka_unit_test(barrier_covers_what_came_during_a_grace_period),
		cmocka_unit_test(callbacks_come_without_a_barrier),
		cmocka_unit_test(barriers_of_several_threads),
		cmocka_unit_test(overlapping_readers_starve_nobody),
		cmocka_unit_test(synchronize_waits_for_readers),
		cmocka_unit_test(barrier_waits_for_readers),
		cmocka_unit_test(offline_in_a_section_does_not_end_it),
		cmocka_unit_test(waiting_in_a_section_or_callback_is_refused),
		cmocka_unit_test(callbacks_run_on_the_reclaimers_thread),
		cmocka_unit_test(callbacks_in_quantity),
		cmocka_unit_test(a_callback_of_many_that_blocks),
		cmocka_unit_test(callbacks_may_retire_more),
		cmocka_unit_test(synchronize_does_not_wait_for_callbacks),
		cmocka_unit_test(a_callback_waits_for_each_reader),
		cmocka_unit_test(configure_refuses_what_is_wrong),
		cmocka_unit_test(stats_refuse_what_is_wrong),
		cmocka_unit_test(stats_count_limbo_and_callbacks),
		cmocka_unit_test(at_the_limit_creators_get_eagain_and_releasers_go_on),
		cmocka_unit_test(at_the_limit_in_a_section),
		cmocka_unit_test(at_the_limit_in_a_callback),
		cmocka_unit_test(few_but_large),
		cmocka_unit_test(the_limit_in_bytes),
		cmocka_unit_test(a_refused_configure_changes_nothing),
		cmocka_unit_test(inserts_wait_at_the_limit),
		cmocka_unit_test(opens_wait_at_the_limit),
		cmocka_unit_test(a_raised_limit_lets_them_go_on),
		cmocka_unit_test(limbo_stays_bounded_under_a_flood),
		cmocka_unit_test(the_smallest_limit),
	};

	return TEST_RUN(tests);
}
