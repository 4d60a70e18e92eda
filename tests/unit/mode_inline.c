/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCTX_RECLAIM_INLINE: the thread whose retiring completes a batch reclaims, at
 * a pace.
 */
#include "test.h"

static pthread_t main_thread;

static int begin(void **state)
{
	(void)state;
	main_thread = pthread_self();
	set_mode(SCTX_RECLAIM_INLINE);
	items_reset();
	return 0;
}

static void on_main(struct item *item)
{
	(void)item;
	CHECK(pthread_equal(pthread_self(), main_thread));
}

static void a_batch_is_reclaimed_by_the_thread_that_retired_it(void **state)
{
	struct item **items[4];
	unsigned int tasks = task_count();

	(void)state;
	put_churn(RECLAIM_BATCH - 1);
	nap_ms(10);
	assert_u64(items_freed(), ==, 0);
	put_churn(RECLAIM_BATCH);
	all_freed();

	for (int i = 0; i < 4; i++) {
		nap_ms(PACE_MS);
		items[i] = put_items(RECLAIM_BATCH, on_main, NULL);
	}
	/* With each batch, the one before is called back. */
	assert_u64(stats_now().limbo_callbacks, <=, 2 * RECLAIM_BATCH);
	all_freed();
	for (int i = 0; i < 4; i++)
		called_once_each(items[i], RECLAIM_BATCH);
	if (!TEST_EMULATED)
		assert_int_equal(task_count(), tasks);
}

/* Grace periods take as long however much is in limbo: many threads share few. */
static void it_keeps_the_threads_pace(void **state)
{
	enum { N = 100000 };
	uint64_t before, began, most;

	(void)state;
	before = stats_now().grace_periods;
	began = now_ns();
	put_churn(N);
	/* An eighth of the limit is gone after two: one collects it, one calls it back. */
	most = (now_ns() - began) / (PACE_MS * UINT64_C(1000000)) +
	       2 * N / (SCTX_LIMIT_CALLBACKS_DEFAULT / 8) + 2;
	assert_u64(stats_now().grace_periods - before, <=, most);
	assert_rc(sctx_barrier(), 0);
}

static void not_in_a_section(struct item *item)
{
	CHECK(!atomic_load((atomic_bool *)item->arg));
}

static void nothing_is_reclaimed_in_a_section(void **state)
{
	atomic_bool in_section = true;
	struct sctx_stream s;
	struct item **items;
	uint64_t before = stats_now().grace_periods;

	(void)state;
	assert_rc(sctx_stream_init(&s), 0);
	sctx_read_lock();
	items = put_items(4 * RECLAIM_BATCH, not_in_a_section, &in_section);
	sctx_read_lock();
	assert_rc(sctx_teardown(&s), 0);
	sctx_read_unlock();
	for (unsigned int i = 0; i < 4 * RECLAIM_BATCH; i++)
		assert_int_equal(item_called(items[i]), 0);
	assert_u64(stats_now().grace_periods, ==, before);
	sctx_read_unlock();
	atomic_store(&in_section, false);
	/* The next release does what is due, whatever it releases. */
	nap_ms(PACE_MS);
	assert_rc(sctx_teardown(&s), 0);
	assert_u64(stats_now().grace_periods, ==, before + 1);
	all_freed();
	called_once_each(items, 4 * RECLAIM_BATCH);
}

static void a_creation_does_what_is_due(void **state)
{
	struct sctx_registry *registry;
	struct sctx_id id = id_of(1);
	struct sctx_stream *s;
	uint64_t before;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	fill_limbo(RECLAIM_BATCH);
	nap_ms(PACE_MS);
	before = stats_now().grace_periods;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_u64(stats_now().grace_periods, ==, before + 1);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	all_freed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup(fn, begin)
		T(a_batch_is_reclaimed_by_the_thread_that_retired_it),
		T(it_keeps_the_threads_pace),
		T(nothing_is_reclaimed_in_a_section),
		T(a_creation_does_what_is_due),
	};

	return TEST_RUN(tests);
}
