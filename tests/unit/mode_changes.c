/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reclaim modes that change: in order, under load, and while somebody waits.
 */
#include "load.h"

static int change_mode(enum sctx_reclaim_mode mode)
{
	return reclaim_configure(mode, 0, 0, 0);
}

static void what_one_mode_left_the_next_runs(void **state)
{
	static const unsigned int order[] = { 1, 0, 0, 1, 1, 0 };

	(void)state;
	items_reset();
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		put_churn(100);
		assert_rc(change_mode(modes[order[i]]), 0);
		put_churn(100);
		all_freed();
	}
}

/* --------------------------------------------------------------- under load */

static void switch_thread(unsigned int index, void *arg)
{
	struct load *load = arg;
	uint64_t seed = 99 + index;

	if (index > 3) {
		load_run(load, index);
	} else if (index == 3) {
		while (!atomic_load(&load->stop)) {
			int rc = sctx_reclaim_poll(50);

			CHECK(rc >= 0 || rc == -EOPNOTSUPP);
			CHECK_EQ(sctx_barrier(), 0);
		}
	} else {
		for (unsigned int i = 0; i < test_scaled(60); i++) {
			CHECK_EQ(change_mode(modes[test_random(&seed) % 2]), 0);
			put_churn(30);
			nap_ms(test_random(&seed) % 3);
		}
		atomic_store(&load->stop, true);
	}
}

/* By two threads at once. */
static void modes_change_under_load(void **state)
{
	struct load load;

	(void)state;
	load_begin(&load, SCTX_RECLAIM_THREAD, 0);
	run_threads(6, switch_thread, &load);
	load_end(&load);
}

static void promise_thread(unsigned int index, void *arg)
{
	struct load *load = arg;
	uint64_t seed = 7 + index;

	if (index == 0) {
		for (unsigned int i = 0; i < test_scaled(300); i++)
			CHECK_EQ(change_mode(modes[test_random(&seed) % 2]), 0);
		atomic_store(&load->stop, true);
	} else if (index == 1) {
		while (!atomic_load(&load->stop)) {
			put_churn(20);
			CHECK(sctx_reclaim_poll(1) <= 1);
		}
	} else {
		while (!atomic_load(&load->stop)) {
			struct item **items = put_items(1, NULL, NULL);

			CHECK_EQ(sctx_barrier(), 0);
			called_once_each(items, 1);
		}
	}
}

/*
 * What was put before a barrier has been called back when it returns, though
 * polls that run little come between and the mode is another one by then.
 */
static void barriers_hold_while_the_mode_changes(void **state)
{
	struct load load;

	(void)state;
	load_begin(&load, SCTX_RECLAIM_THREAD, 0);
	run_threads(4, promise_thread, &load);
	load_end(&load);
}

/* --------------------------------------------------------- the mode's thread */

static void changes_leave_no_thread(void *arg)
{
	unsigned int one = task_count();

	(void)arg;
	CHECK_EQ(change_mode(SCTX_RECLAIM_THREAD), 0);
	put_churn(10);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(task_count() > one);
	CHECK_EQ(change_mode(SCTX_RECLAIM_POLL), 0);
	WAIT_FOR(task_count() == one); /* the kernel may show a joined thread a moment longer */
	put_churn(10);
	CHECK_EQ(sctx_barrier(), 0);
	put_churn(2 * RECLAIM_BATCH);
	CHECK_EQ(task_count(), one);
	/* Back: the thread calls back what is in limbo, and what is retired later. */
	CHECK_EQ(change_mode(SCTX_RECLAIM_THREAD), 0);
	WAIT_FOR(items_freed() == items_created());
	put_churn(5);
	WAIT_FOR(items_freed() == items_created());
	CHECK_EQ(change_mode(SCTX_RECLAIM_POLL), 0);
	WAIT_FOR(task_count() == one);
}

static void the_thread_comes_and_goes_with_its_mode(void **state)
{
	(void)state;
	if (!TEST_ALONE)
		skip();
	items_reset();
	assert_child_ok(child_start(changes_leave_no_thread, NULL));
}

/* ------------------------------------------- while a callback or a section runs */

struct meanwhile {
	struct gate inside, go;
	enum sctx_reclaim_mode from, to;
};

static void set_limits_meanwhile(struct meanwhile *m)
{
	gate_open(&m->inside);
	gate_wait(&m->go);
	nap_ms(5);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		int rc = reclaim_configure(modes[i], 0, 1000000, 0);

		/* It is one of the two just now, and to set that is no change. */
		CHECK(rc == -EDEADLK || (rc == 0 && (modes[i] == m->from || modes[i] == m->to)));
	}
}

static void limits_in_callback(struct item *item)
{
	set_limits_meanwhile(item->arg);
}

static void *limits_in_barrier(void *arg)
{
	struct item **items = put_items(1, limits_in_callback, arg);

	CHECK_EQ(sctx_barrier(), 0);
	called_once_each(items, 1);
	return NULL;
}

static void *limits_in_section(void *arg)
{
	sctx_read_lock();
	set_limits_meanwhile(arg);
	sctx_read_unlock();
	return NULL;
}

static void limits_are_set_while_the_mode_changes(void **state)
{
	void *(*const inside[2])(void *) = { limits_in_barrier, limits_in_section };

	(void)state;
	items_reset();
	for (unsigned int n = 0; n < 8; n++) {
		struct meanwhile m = { .from = modes[n % 2], .to = modes[n / 2 % 2] };
		pthread_t thread;

		set_mode(m.from);
		gate_init(&m.inside);
		gate_init(&m.go);
		thread = thread_start(inside[n / 4], &m);
		gate_wait(&m.inside);
		gate_open(&m.go);
		assert_rc(change_mode(m.to), 0);
		thread_join(thread);
		all_freed();
	}
}

/* --------------------------------------------------------- while somebody waits */

struct waiter {
	struct gate started;
	struct sctx_stream stream;
	struct item *item;
	int rc;
	atomic_bool done;
};

static void *barrier_main(void *arg)
{
	struct waiter *w = arg;

	gate_open(&w->started);
	w->rc = sctx_barrier();
	atomic_store(&w->done, true);
	return NULL;
}

static void *creator_main(void *arg)
{
	struct waiter *w = arg;

	gate_open(&w->started);
	w->rc = sctx_insert(&w->stream, &w->item->ctx);
	atomic_store(&w->done, true);
	return NULL;
}

static void *changer_main(void *arg)
{
	CHECK_EQ(reclaim_configure(*(const enum sctx_reclaim_mode *)arg, 0, 2048, 0), 0);
	return NULL;
}

/* @fn waits for a reader when the mode changes; what it returns. */
static int wait_across_a_change(struct waiter *w, void *(*fn)(void *), enum sctx_reclaim_mode from,
				enum sctx_reclaim_mode to)
{
	struct reader *reader;
	pthread_t waiting, changing;

	set_mode(from);
	set_limits(0, 2048, 0);
	gate_init(&w->started);
	atomic_store(&w->done, false);
	reader = reader_park(NULL, NULL, NULL);
	fill_limbo(2048 + 100);
	waiting = thread_start(fn, w);
	gate_wait(&w->started);
	nap_ms(10);
	assert_false(atomic_load(&w->done));
	changing = thread_start(changer_main, &to);
	nap_ms(10);
	reader_leave(reader);
	thread_join(waiting);
	thread_join(changing);
	set_mode(SCTX_RECLAIM_THREAD);
	return w->rc;
}

static void a_barrier_waits_across_a_change(void **state)
{
	struct waiter w = { .rc = 0 };

	(void)state;
	items_reset();
	for (unsigned int n = 0; n < 4; n++) {
		assert_rc(wait_across_a_change(&w, barrier_main, modes[n / 2], modes[n % 2]), 0);
		all_freed();
	}
}

/* A creator that waits for room is refused when nobody makes room any more. */
static void a_creator_waits_when_poll_begins(void **state)
{
	struct waiter w = { .item = item_new(OWNER(1), NULL) };
	int rc;

	(void)state;
	items_reset();
	assert_rc(sctx_stream_init(&w.stream), 0);
	rc = wait_across_a_change(&w, creator_main, SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL);
	/* Or the last cycle of the thread had made room. */
	assert_true(rc == -EAGAIN || rc == 0);
	if (rc)
		assert_rc(sctx_put(&w.item->ctx), 0);
	stream_end(&w.stream);
	assert_int_equal(item_called(w.item), 1);
	item_free(w.item);
	all_freed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_mode_left_the_next_runs),
		cmocka_unit_test(modes_change_under_load),
		cmocka_unit_test(barriers_hold_while_the_mode_changes),
		cmocka_unit_test(the_thread_comes_and_goes_with_its_mode),
		cmocka_unit_test(limits_are_set_while_the_mode_changes),
		cmocka_unit_test(a_barrier_waits_across_a_change),
		cmocka_unit_test(a_creator_waits_when_poll_begins),
	};

	return TEST_RUN(tests);
}
