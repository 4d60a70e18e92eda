/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCTX_RECLAIM_POLL: nothing is reclaimed but by sctx_reclaim_poll(), which
 * runs what is due, at most as much as it is asked for, in order.
 */
#include "test.h"

static pthread_t main_thread;

static int begin(void **state)
{
	(void)state;
	main_thread = pthread_self();
	set_mode(SCTX_RECLAIM_POLL);
	items_reset();
	return sctx_barrier();
}

static void on_main(struct item *item)
{
	(void)item;
	CHECK(pthread_equal(pthread_self(), main_thread));
}

static void a_poll_runs_at_most_so_many(void **state)
{
	enum { N = 100 };
	struct sctx_stats before;
	struct item **items;
	unsigned int ran = 0;

	(void)state;
	items = put_items(N, on_main, NULL);
	before = stats_now();
	assert_u64(before.limbo_callbacks, ==, N);
	/* Nobody else reclaims. */
	nap_ms(10);
	assert_u64(stats_now().limbo_callbacks, ==, N);
	for (unsigned int calls = 0; ran < N; calls++) {
		int n = sctx_reclaim_poll(7);
		struct sctx_stats now = stats_now();

		assert_in_range(n, 0, 7);
		assert_true(calls < 2 * N);
		ran += (unsigned int)n;
		assert_u64(now.limbo_callbacks, ==, N - ran);
		assert_u64(now.limbo_bytes, ==, (N - ran) * sizeof(struct sctx_context));
		assert_u64(now.callbacks_run, ==, before.callbacks_run + ran);
	}
	assert_int_equal(ran, N);
	assert_rc(sctx_reclaim_poll(7), 0);
	assert_rc(sctx_reclaim_poll(0), 0);
	called_once_each(items, N);
}

static void what_is_retired_is_due_at_the_second_poll(void **state)
{
	struct item **first, **second;
	int ran;

	(void)state;
	first = put_items(20, NULL, NULL);
	ran = sctx_reclaim_poll(0);
	second = put_items(20, NULL, NULL);
	ran += sctx_reclaim_poll(0);
	assert_true(ran >= 20);
	ran += sctx_reclaim_poll(0);
	assert_int_equal(ran, 40);
	called_once_each(first, 20);
	called_once_each(second, 20);
}

static void polling_for_nothing_costs_no_grace_period(void **state)
{
	uint64_t before = stats_now().grace_periods;

	(void)state;
	for (unsigned int i = 0; i < 10; i++)
		assert_rc(sctx_reclaim_poll(0), 0);
	assert_u64(stats_now().grace_periods, ==, before);
	put_churn(1);
	while (items_freed() == 0)
		assert_in_range(sctx_reclaim_poll(0), 0, 1);
	assert_u64(stats_now().grace_periods, >, before);
	assert_u64(stats_now().grace_periods, <=, before + 2);
}

static void *put_one(void *unused)
{
	(void)unused;
	put_churn(1);
	return NULL;
}

static void a_poll_finds_what_a_thread_left(void **state)
{
	(void)state;
	thread_join(thread_start(put_one, NULL));
	for (unsigned int i = 0; i < 3; i++)
		assert_in_range(sctx_reclaim_poll(0), 0, 1);
	assert_u64(items_freed(), ==, 1);
}

/* ---------------------------------------------------------------------- order */

static unsigned int ran[60], runs;

static void note_order(struct item *item)
{
	ran[runs++] = *(const unsigned int *)item->arg;
}

/* What is ready first is called back first. */
static void partial_polls_keep_the_order(void **state)
{
	unsigned int number[3] = { 0, 1, 2 };
	struct item **sets[3];

	(void)state;
	runs = 0;
	for (unsigned int set = 0; set < 3; set++) {
		sets[set] = put_items(20, note_order, &number[set]);
		/* Ready, but for a few that are run. */
		while (runs < 2 * (set + 1))
			assert_in_range(sctx_reclaim_poll(1), 0, 1);
	}
	while (runs < 60)
		assert_in_range(sctx_reclaim_poll(3), 0, 3);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(ran[i], 0);
	for (unsigned int set = 0; set < 3; set++)
		called_once_each(sets[set], 20);
}

static unsigned int contexts_freed;
static bool stream_is_freed;

static void count_context(struct item *item)
{
	(void)item;
	CHECK(!stream_is_freed);
	contexts_freed++;
}

static void stream_freed(struct sctx_stream *stream)
{
	CHECK_EQ(contexts_freed, 10);
	stream_is_freed = true;
	free(stream);
}

static void a_stream_goes_after_its_contexts(void **state)
{
	struct sctx_stream *s = calloc(1, sizeof(*s));
	struct item *items[10], **others;

	(void)state;
	assert_non_null(s);
	assert_rc(sctx_stream_init(s), 0);
	for (unsigned int i = 0; i < 10; i++) {
		items[i] = item_insert(s, OWNER(1), INST(i));
		items[i]->hook = count_context;
	}
	assert_rc(sctx_stream_retire(s, stream_freed), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(sctx_reclaim_poll(1), 0, 1);
	others = put_items(5, NULL, NULL);
	while (!stream_is_freed)
		assert_in_range(sctx_reclaim_poll(1), 0, 1);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	called_once_each(others, 5);
}

/* -------------------------------------------------------------------- threads */

struct pollers {
	atomic_uint busy;
	atomic_ulong ran;
};

static void poller_thread(unsigned int index, void *arg)
{
	struct pollers *p = arg;
	int n;

	if (index >= 2) {
		for (unsigned int i = 0; i < 50; i++) {
			put_churn(100);
			nap_ms(0);
		}
		atomic_fetch_sub(&p->busy, 1);
		return;
	}
	do {
		n = sctx_reclaim_poll(index ? 33 : 100);
		CHECK(n >= 0 && n <= 100);
		atomic_fetch_add(&p->ran, (unsigned int)n);
	} while (n || atomic_load(&p->busy));
}

static void two_threads_poll(void **state)
{
	struct pollers p = { .busy = 2 };
	int last = 0;

	(void)state;
	run_threads(4, poller_thread, &p);
	for (unsigned int i = 0; i < 2; i++)
		last += sctx_reclaim_poll(0);
	assert_int_equal(last + (int)atomic_load(&p.ran), 10000);
	all_freed();
	assert_u64(items_freed(), ==, 10000);
}

static void *poll_main(void *done)
{
	CHECK(sctx_reclaim_poll(0) >= 0);
	CHECK(sctx_reclaim_poll(0) >= 0);
	atomic_store((atomic_bool *)done, true);
	return NULL;
}

static void a_poll_waits_for_readers(void **state)
{
	struct reader *reader = reader_park(NULL, NULL, NULL);
	atomic_bool done = false;
	pthread_t thread;

	(void)state;
	put_churn(3);
	thread = thread_start(poll_main, &done);
	nap_ms(20);
	assert_false(atomic_load(&done));
	assert_u64(items_freed(), ==, 0);
	reader_leave(reader);
	thread_join(thread);
	assert_u64(items_freed(), ==, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup(fn, begin)
		T(a_poll_runs_at_most_so_many),
		T(what_is_retired_is_due_at_the_second_poll),
		T(polling_for_nothing_costs_no_grace_period),
		T(a_poll_finds_what_a_thread_left),
		T(partial_polls_keep_the_order),
		T(a_stream_goes_after_its_contexts),
		T(two_threads_poll),
		T(a_poll_waits_for_readers),
	};

	return TEST_RUN(tests);
}
