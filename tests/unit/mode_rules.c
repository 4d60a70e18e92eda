/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What holds in every reclaim mode, and where they differ: errors, the thread
 * that callbacks run on, what callbacks may do, and limits.
 */
#include "load.h"

static void begin(enum sctx_reclaim_mode mode)
{
	CHECK_EQ(sctx_barrier(), 0);
	items_reset();
	set_mode(mode);
}

/* --------------------------------------------------------------------- errors */

static void no_change_no_poll(enum sctx_reclaim_mode now)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
		CHECK_EQ(reclaim_configure(modes[i], 0, 0, 0), modes[i] == now ? 0 : -EDEADLK);
	CHECK_EQ(sctx_reclaim_poll(0), -EDEADLK);
	CHECK_EQ(sctx_reclaim_poll(1), -EDEADLK);
}

static void refused_in_callback(struct item *item)
{
	no_change_no_poll(*(enum sctx_reclaim_mode *)item->arg);
}

static void errors_of_each_mode(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		enum sctx_reclaim_mode mode = modes[i];
		struct item **items;

		begin(mode);
		assert_rc(sctx_reclaim_poll(1), mode == SCTX_RECLAIM_POLL ? 0 : -EOPNOTSUPP);
		sctx_read_lock();
		no_change_no_poll(mode);
		sctx_read_unlock();
		items = put_items(1, refused_in_callback, &mode);
		assert_rc(sctx_barrier(), 0);
		called_once_each(items, 1);
		assert_rc(reclaim_configure((enum sctx_reclaim_mode)3, 0, 0, 0), -EINVAL);
		assert_rc(reclaim_configure((enum sctx_reclaim_mode) - 1, 0, 0, 0), -EINVAL);
		/* Nothing was changed by any of this. */
		assert_rc(sctx_reclaim_poll(1), mode == SCTX_RECLAIM_POLL ? 0 : -EOPNOTSUPP);
	}
}

/* ------------------------------------------------------------------ callbacks */

static pthread_t main_thread;
static atomic_uint elsewhere;

static void on_main(struct item *item)
{
	(void)item;
	if (!pthread_equal(pthread_self(), main_thread))
		atomic_fetch_add(&elsewhere, 1);
}

static void all_on_the_caller(void *arg)
{
	enum { N = 100000 }; /* so many that the thread mode would start more threads */
	struct sctx_stream s;
	struct item **items;
	struct item *a;

	main_thread = pthread_self();
	set_mode(*(const enum sctx_reclaim_mode *)arg);
	sctx_read_lock();
	items = put_items(N, on_main, NULL);
	sctx_read_unlock();
	CHECK_EQ(sctx_barrier(), 0);
	called_once_each(items, N);

	CHECK_EQ(sctx_stream_init(&s), 0);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = on_main;
	stream_end(&s);
	CHECK_EQ(item_called(a), 1);
	item_free(a);
	CHECK_EQ(atomic_load(&elsewhere), 0);
	if (TEST_ALONE)
		CHECK_EQ(task_count(), 1);
}

/*
 * In children, which have no threads but what the library starts.  The sanitizers' own
 * allocators inherit locks of threads that are gone.
 */
static void poll_starts_no_thread(void **state)
{
	(void)state;
	if (TEST_TSAN || TEST_ASAN)
		skip();
	assert_child_ok(child_start(all_on_the_caller, (void *)&modes[1]));
}

static atomic_uint inside;

static void one_at_a_time(struct item *item)
{
	(void)item;
	CHECK_EQ(atomic_fetch_add(&inside, 1), 0);
	sched_yield();
	CHECK_EQ(atomic_fetch_sub(&inside, 1), 1);
}

static void many_ways_thread(unsigned int index, void *arg)
{
	enum { N = 2 * RECLAIM_BATCH };
	enum sctx_reclaim_mode mode = *(const enum sctx_reclaim_mode *)arg;

	for (unsigned int i = 0; i < 8; i++) {
		struct item **items = put_items(N, one_at_a_time, NULL);

		if (index == 0 && mode == SCTX_RECLAIM_POLL)
			CHECK(sctx_reclaim_poll(100) >= 0);
		CHECK_EQ(sctx_barrier(), 0);
		called_once_each(items, N);
	}
}

/* Barriers, a poll and releases at once: a cycle is one thread's. */
static void callbacks_run_one_at_a_time(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < ARRAY_SIZE(modes); i++) {
		enum sctx_reclaim_mode mode = modes[i];

		begin(mode);
		run_threads(4, many_ways_thread, &mode);
		all_freed();
	}
}

struct breeder {
	atomic_uint left, depth, deepest;
	struct sctx_registry *registry;
};

/* Each retires more than a batch, and opens and closes. */
static void breed(struct item *item)
{
	struct breeder *b = item->arg;
	unsigned int depth = atomic_fetch_add(&b->depth, 1) + 1;
	struct sctx_id id = id_of(depth);
	struct sctx_stream *s;

	if (depth > atomic_load(&b->deepest))
		atomic_store(&b->deepest, depth);
	put_churn(RECLAIM_BATCH + 10);
	CHECK_EQ(sctx_open(b->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(s), 0);
	if (atomic_fetch_sub(&b->left, 1) > 1) {
		struct item *next = item_new(OWNER(1), NULL);

		next->hook = breed;
		next->arg = b;
		CHECK_EQ(sctx_put(&next->ctx), 0);
	}
	atomic_fetch_sub(&b->depth, 1);
	item_free(item);
}

/* And never within one another. */
static void callbacks_may_retire_and_open(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct breeder b = { .left = 12 };
		struct item *first = item_new(OWNER(1), NULL);

		begin(modes[i]);
		assert_rc(sctx_registry_create(&b.registry), 0);
		first->hook = breed;
		first->arg = &b;
		assert_rc(sctx_put(&first->ctx), 0);
		while (atomic_load(&b.left))
			assert_rc(sctx_barrier(), 0);
		assert_rc(sctx_registry_destroy(b.registry), 0);
		assert_rc(sctx_barrier(), 0);
		all_freed();
		assert_int_equal(atomic_load(&b.deepest), 1);
		assert_u64(items_freed(), ==, 12 * (RECLAIM_BATCH + 11));
	}
}

/* A gate would tell qsbr that the thread is offline. */
struct slow {
	atomic_bool begun, go;
};

static void wait_in_callback(struct item *item)
{
	struct slow *slow = item->arg;

	atomic_store(&slow->begun, true);
	while (!atomic_load(&slow->go))
		sched_yield();
}

static void *release_some_main(void *unused)
{
	(void)unused;
	put_churn(3 * RECLAIM_BATCH);
	CHECK_EQ(sctx_barrier(), 0);
	return NULL;
}

static void a_callback_that_waits_holds_up_no_grace_period(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct slow slow = { .begun = false };
		struct item **items;
		pthread_t releases;

		begin(modes[i]);
		items = put_items(1, wait_in_callback, &slow);
		releases = thread_start(release_some_main, NULL);
		WAIT_FOR(atomic_load(&slow.begun));
		assert_rc(sctx_synchronize(), 0);
		atomic_store(&slow.go, true);
		thread_join(releases);
		all_freed();
		called_once_each(items, 1);
	}
}

/* --------------------------------------------------------------------- limits */

#define LIMIT 4096

static void limit_thread(unsigned int index, void *arg)
{
	struct load *load = arg;

	if (index) {
		load_run(load, index);
		return;
	}
	for (uint64_t end = test_deadline(100); !past(end) || items_created() <= LIMIT; nap_ms(1))
		CHECK(stats_now().limbo_callbacks <= LIMIT * 3 / 2);
	atomic_store(&load->stop, true);
}

static void limits_hold_in_each_mode(void **state)
{
	struct load load;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		load_begin(&load, modes[i], LIMIT);
		run_threads(4, limit_thread, &load);
		/* Only pollers are told to make room themselves. */
		if (modes[i] != SCTX_RECLAIM_POLL)
			assert_u64(atomic_load(&load.refused), ==, 0);
		load_end(&load);
	}
}

static void over_the_limit(enum sctx_reclaim_mode mode, unsigned int flags)
{
	begin(mode);
	set_limits(0, LIMIT, flags);
	fill_limbo(LIMIT + 100);
	assert_u64(items_freed(), ==, 0);
}

static void creators_at_the_limit(void **state)
{
	struct item *a = item_new(OWNER(2), NULL);
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_stream_init(&s), 0);
	/* Poll: refused whatever the flags, until somebody polls.  Releases are not. */
	over_the_limit(SCTX_RECLAIM_POLL, 0);
	assert_rc(sctx_insert(&s, &a->ctx), -EAGAIN);
	put_churn(1);
	assert_rc(sctx_insert(&s, &a->ctx), -EAGAIN);
	while (stats_now().limbo_callbacks > LIMIT / 2)
		assert_true(sctx_reclaim_poll(100) >= 0);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_ptr_equal(sctx_remove(&s, OWNER(2), NULL), &a->ctx);

	assert_rc(sctx_put(&a->ctx), 0);
	set_limits(0, 0, 0);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	all_freed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_of_each_mode),
		cmocka_unit_test(poll_starts_no_thread),
		cmocka_unit_test(callbacks_run_one_at_a_time),
		cmocka_unit_test(callbacks_may_retire_and_open),
		cmocka_unit_test(a_callback_that_waits_holds_up_no_grace_period),
		cmocka_unit_test(limits_hold_in_each_mode),
		cmocka_unit_test(creators_at_the_limit),
	};

	return TEST_RUN(tests);
}
