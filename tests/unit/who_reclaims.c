/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who reclaims: a thread, whoever retires, or whoever polls.  Each mode's
 * errors and promises, on whose thread callbacks run, in what order, and the
 * limits.
 */
#include "modes.h"

static const char *const mode_name[] = { "thread", "inline", "poll" };

/* --------------------------------------------------------------------- errors */

static void change_to_each_is_refused(enum sctx_reclaim_mode now)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
		CHECK_EQ(change_mode(modes[i]), modes[i] == now ? 0 : -EDEADLK);
	CHECK_EQ(sctx_reclaim_poll(0), -EDEADLK);
	CHECK_EQ(sctx_reclaim_poll(1), -EDEADLK);
}

static void refused_in_callback(struct item *item)
{
	change_to_each_is_refused(*(enum sctx_reclaim_mode *)item->arg);
}

static void errors_of_each_mode(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		enum sctx_reclaim_mode mode = modes[i];
		struct item *a = item_new(OWNER(1), NULL);

		begin(mode);
		assert_rc(sctx_reclaim_poll(1), mode == SCTX_RECLAIM_POLL ? 0 : -EOPNOTSUPP);
		sctx_read_lock();
		change_to_each_is_refused(mode);
		sctx_read_unlock();
		a->hook = refused_in_callback;
		a->arg = &mode;
		assert_rc(sctx_put(&a->ctx), 0);
		assert_rc(sctx_barrier(), 0);
		assert_int_equal(item_called(a), 1);
		item_free(a);
		assert_rc(change_mode((enum sctx_reclaim_mode)3), -EINVAL);
		assert_rc(change_mode((enum sctx_reclaim_mode) - 1), -EINVAL);
		/* Nothing was changed by any of this. */
		assert_rc(sctx_reclaim_poll(1), mode == SCTX_RECLAIM_POLL ? 0 : -EOPNOTSUPP);
	}
}

/* ----------------------------------------------------------- on whose thread */

static pthread_t main_thread;
static atomic_uint elsewhere;

static void on_main(struct item *item)
{
	(void)item;
	if (!pthread_equal(pthread_self(), main_thread))
		atomic_fetch_add(&elsewhere, 1);
}

/* More than one thread would be kept up with: still all of them here. */
static void barrier_calls_back_on_the_caller(void *arg)
{
	enum { N = 100000 };
	struct sctx_stream s;
	struct item *a;

	main_thread = pthread_self();
	atomic_store(&elsewhere, 0);
	set_mode(*(const enum sctx_reclaim_mode *)arg);
	sctx_read_lock();
	struct item **items = put_items(N, on_main, NULL);
	sctx_read_unlock();
	CHECK_EQ(sctx_barrier(), 0);
	called_once_each(items, N);

	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = on_main;
	CHECK_EQ(sctx_teardown_sync(&s), 0);
	CHECK_EQ(item_called(a), 1);
	item_free(a);
	CHECK_EQ(atomic_load(&elsewhere), 0);
	if (TEST_ALONE)
		CHECK_EQ(task_count(), 1);
}

/* In children, which have no threads but what the library starts. */
static void no_threads_in_the_other_modes(void **state)
{
	static const enum sctx_reclaim_mode others[] = { SCTX_RECLAIM_INLINE, SCTX_RECLAIM_POLL };

	(void)state;
	if (TEST_TSAN)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		assert_child_ok(child_start(barrier_calls_back_on_the_caller, (void *)&others[i]));
}

/* Two barriers, a poll and releases at once: cycles are one thread's at a time. */
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
	enum { N = 2 * BATCH };
	enum sctx_reclaim_mode mode = *(const enum sctx_reclaim_mode *)arg;

	for (unsigned int i = 0; i < 8; i++) {
		struct item **items = put_items(N, one_at_a_time, NULL);

		if (index == 0 && mode == SCTX_RECLAIM_POLL)
			CHECK(sctx_reclaim_poll(100) >= 0);
		CHECK_EQ(sctx_barrier(), 0);
		called_once_each(items, N);
	}
}

static void callbacks_of_several_callers(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < ARRAY_SIZE(modes); i++) {
		enum sctx_reclaim_mode mode = modes[i];

		begin(mode);
		run_threads(4, many_ways_thread, &mode);
		all_freed();
	}
}

/* ----------------------------------------------------------------------- poll */

static void poll_runs_at_most_so_many(void **state)
{
	enum { N = 100 };
	struct sctx_stats before;
	struct item **items;
	unsigned int ran = 0;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	assert_rc(sctx_reclaim_poll(0), 0);
	main_thread = pthread_self();
	atomic_store(&elsewhere, 0);
	items = put_items(N, on_main, NULL);
	before = stats_now();
	assert_u64(before.limbo_callbacks, ==, N);
	/* Nobody else reclaims. */
	nap_ms(30);
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
	assert_int_equal(atomic_load(&elsewhere), 0);
	called_once_each(items, N);
}

static void due_at_the_second_call(void **state)
{
	struct item **first, **second;
	int ran;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
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

static void nothing_to_do_costs_no_grace_period(void **state)
{
	uint64_t before;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	assert_rc(sctx_reclaim_poll(0), 0);
	before = stats_now().grace_periods;
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

static void poll_finds_what_a_thread_left(void **state)
{
	(void)state;
	begin(SCTX_RECLAIM_POLL);
	assert_rc(sctx_barrier(), 0);
	thread_join(thread_start(put_one, NULL));
	for (unsigned int i = 0; i < 3; i++)
		assert_in_range(sctx_reclaim_poll(0), 0, 1);
	assert_u64(items_freed(), ==, 1);
}

/* What was ripe first is called back first, and a stream after its contexts. */
struct order {
	unsigned int next;
	unsigned int number[64];
	unsigned int contexts;
	bool freed;
};
static struct order order;

static void note_order(struct item *item)
{
	order.number[order.next++] = item->number;
}

static void partial_sets_keep_their_order(void **state)
{
	struct item **sets[3];

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	memset(&order, 0, sizeof(order));
	for (unsigned int set = 0; set < 3; set++) {
		sets[set] = put_items(20, note_order, NULL);
		for (unsigned int i = 0; i < 20; i++)
			sets[set][i]->number = set;
		/* Ripe, but for a few that are run. */
		while (order.next < 2 * (set + 1))
			assert_in_range(sctx_reclaim_poll(1), 0, 1);
	}
	while (order.next < 60)
		assert_in_range(sctx_reclaim_poll(3), 0, 3);
	assert_int_equal(order.next, 60);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(order.number[i], 0);
	for (unsigned int set = 0; set < 3; set++)
		called_once_each(sets[set], 20);
}

static void count_context(struct item *item)
{
	(void)item;
	CHECK(!order.freed);
	order.contexts++;
}

static void stream_freed(struct sctx_stream *stream)
{
	CHECK_EQ(order.contexts, 10);
	order.freed = true;
	free(stream);
}

static void a_stream_goes_after_its_contexts(void **state)
{
	struct sctx_stream *s = calloc(1, sizeof(*s));
	struct item *items[10], **others;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	memset(&order, 0, sizeof(order));
	assert_non_null(s);
	sctx_stream_init(s);
	for (unsigned int i = 0; i < 10; i++) {
		items[i] = item_insert(s, OWNER(1), INST(i));
		items[i]->hook = count_context;
	}
	assert_rc(sctx_stream_retire(s, stream_freed), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(sctx_reclaim_poll(1), 0, 1);
	others = put_items(5, NULL, NULL);
	while (!order.freed)
		assert_in_range(sctx_reclaim_poll(1), 0, 1);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	called_once_each(others, 5);
}

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
	int ran = 0;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	run_threads(4, poller_thread, &p);
	/* What was retired last is due at the second call. */
	for (unsigned int i = 0; i < 2; i++)
		ran += sctx_reclaim_poll(0);
	assert_int_equal(ran + (int)atomic_load(&p.ran), 10000);
	all_freed();
	assert_u64(items_freed(), ==, 10000);
}

/* A poll waits for readers, and for nobody else. */
static void *poll_main(void *arg)
{
	CHECK(sctx_reclaim_poll(0) >= 0);
	CHECK(sctx_reclaim_poll(0) >= 0);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void poll_waits_for_readers(void **state)
{
	struct reader *reader;
	atomic_bool done = false;
	pthread_t thread;

	(void)state;
	begin(SCTX_RECLAIM_POLL);
	reader = reader_park(NULL, NULL, NULL);
	put_churn(3);
	thread = thread_start(poll_main, &done);
	nap_ms(50);
	assert_false(atomic_load(&done));
	assert_u64(items_freed(), ==, 0);
	reader_leave(reader);
	thread_join(thread);
	assert_u64(items_freed(), ==, 3);
}

/* --------------------------------------------------------------------- inline */

static void a_batch_is_reclaimed_by_who_retired_it(void **state)
{
	struct item **items[4];

	(void)state;
	begin(SCTX_RECLAIM_INLINE);
	put_churn(BATCH - 1);
	nap_ms(30);
	assert_u64(items_freed(), ==, 0);
	put_churn(BATCH);
	all_freed();

	main_thread = pthread_self();
	atomic_store(&elsewhere, 0);
	for (int i = 0; i < 4; i++) {
		nap_ms(PACE_MS);
		items[i] = put_items(BATCH, on_main, NULL);
	}
	/* With each batch, the one before is called back. */
	assert_u64(stats_now().limbo_callbacks, <=, 2 * BATCH);
	all_freed();
	for (int i = 0; i < 4; i++)
		called_once_each(items[i], BATCH);
	assert_int_equal(atomic_load(&elsewhere), 0);
}

static void not_in_a_section(struct item *item)
{
	CHECK(!atomic_load((atomic_bool *)item->arg));
}

static void no_callback_in_a_section_of_the_callers(void **state)
{
	atomic_bool in_section = true;
	struct sctx_stream s;
	struct item **items;
	uint64_t before;

	(void)state;
	begin(SCTX_RECLAIM_INLINE);
	before = stats_now().grace_periods;
	sctx_stream_init(&s);
	sctx_read_lock();
	items = put_items(4 * BATCH, not_in_a_section, &in_section);
	sctx_read_lock();
	assert_rc(sctx_teardown(&s), 0);
	sctx_read_unlock();
	for (unsigned int i = 0; i < 4 * BATCH; i++)
		assert_int_equal(item_called(items[i]), 0);
	assert_u64(stats_now().grace_periods, ==, before);
	sctx_read_unlock();
	atomic_store(&in_section, false);
	/* The next release does what is due, whatever it releases. */
	nap_ms(PACE_MS);
	assert_rc(sctx_teardown(&s), 0);
	assert_u64(stats_now().grace_periods, ==, before + 1);
	all_freed();
	called_once_each(items, 4 * BATCH);
}

/* Creating does it as well. */
static void a_creation_does_what_is_due(void **state)
{
	struct sctx_registry *registry;
	struct sctx_id id = id_of(1);
	struct sctx_stream *s;
	uint64_t before;

	(void)state;
	begin(SCTX_RECLAIM_INLINE);
	assert_rc(sctx_registry_create(&registry), 0);
	sctx_read_lock();
	put_churn(BATCH);
	sctx_read_unlock();
	nap_ms(PACE_MS);
	before = stats_now().grace_periods;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_u64(stats_now().grace_periods, ==, before + 1);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	all_freed();
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
	put_churn(BATCH + 10);
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

static void callbacks_that_retire_and_open(void **state)
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
		assert_u64(items_freed(), ==, 12 * (BATCH + 11));
	}
}

/* --------------------------------------------------------------------- limits */

#define LIMIT 4096

static void limit_thread(unsigned int index, void *arg)
{
	struct load *load = arg;

	if (index) {
		load_thread(load, index);
		return;
	}
	do
		nap_ms(test_scaled(300));
	while (items_created() <= LIMIT);
	atomic_store(&load->stop, true);
}

static void limits_hold_in_each_mode(void **state)
{
	struct load load;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		load_begin(&load, modes[i]);
		set_limit(LIMIT, 0);
		run_threads(4, limit_thread, &load);
		print_message("           %s: peak %lu of %d, %lu refused, %lu contexts\n",
			      mode_name[i], atomic_load(&load.peak), LIMIT,
			      atomic_load(&load.refused), items_created());
		assert_u64(atomic_load(&load.peak), <=, LIMIT * 3 / 2);
		assert_u64(items_created(), >, LIMIT);
		/* Only pollers are told to make room themselves. */
		if (modes[i] != SCTX_RECLAIM_POLL)
			assert_u64(atomic_load(&load.refused), ==, 0);
		load_end(&load);
	}
}

static void creators_at_the_limit(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	/* Poll: refused whatever the flags, until someone polls. */
	begin(SCTX_RECLAIM_POLL);
	set_limit(LIMIT, 0);
	fill(LIMIT + 100);
	assert_rc(sctx_insert(&s, &a->ctx), -EAGAIN);
	assert_rc(sctx_insert(&s, &a->ctx), -EAGAIN);
	while (stats_now().limbo_callbacks > LIMIT / 2)
		assert_true(sctx_reclaim_poll(100) >= 0);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);

	/* Inline: who creates reclaims. */
	begin(SCTX_RECLAIM_INLINE);
	set_limit(LIMIT, 0);
	fill(LIMIT + 100);
	assert_u64(items_freed(), ==, 0);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_u64(items_freed(), >, LIMIT / 8);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);

	/* Unless it must not wait: then who releases. */
	begin(SCTX_RECLAIM_INLINE);
	set_limit(LIMIT, SCTX_RECLAIM_NOWAIT);
	fill(LIMIT + 100);
	assert_rc(sctx_insert(&s, &a->ctx), -EAGAIN);
	assert_u64(items_freed(), ==, 0);
	for (unsigned int i = 0; i < 4 && sctx_insert(&s, &a->ctx) == -EAGAIN; i++)
		put_churn(1);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	set_limit(0, 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	all_freed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_of_each_mode),
		cmocka_unit_test(no_threads_in_the_other_modes),
		cmocka_unit_test(callbacks_of_several_callers),
		cmocka_unit_test(poll_runs_at_most_so_many),
		cmocka_unit_test(due_at_the_second_call),
		cmocka_unit_test(poll_finds_what_a_thread_left),
		cmocka_unit_test(nothing_to_do_costs_no_grace_period),
		cmocka_unit_test(partial_sets_keep_their_order),
		cmocka_unit_test(a_stream_goes_after_its_contexts),
		cmocka_unit_test(two_threads_poll),
		cmocka_unit_test(poll_waits_for_readers),
		cmocka_unit_test(a_batch_is_reclaimed_by_who_retired_it),
		cmocka_unit_test(no_callback_in_a_section_of_the_callers),
		cmocka_unit_test(a_creation_does_what_is_due),
		cmocka_unit_test(callbacks_that_retire_and_open),
		cmocka_unit_test(limits_hold_in_each_mode),
		cmocka_unit_test(creators_at_the_limit),
	};

	return TEST_RUN(tests);
}
