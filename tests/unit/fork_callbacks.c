/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork(2) and callbacks: one that runs, one that forks, in each reclaim mode.
 */
#include "test.h"

/* A fork waits for the callback that runs, so that the child has no half of one. */
static atomic_bool in_the_middle;

static void stay_a_moment(struct item *item)
{
	(void)item;
	atomic_store(&in_the_middle, true);
	nap_ms(3);
	atomic_store(&in_the_middle, false);
}

static void whole_callbacks(void *arg)
{
	struct item **items = arg;

	CHECK(!atomic_load(&in_the_middle));
	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 30; i++)
		CHECK_EQ(item_called(items[i]), 1);
}

static void a_callback_ends_before_the_fork(void **state)
{
	struct item **items;

	(void)state;
	items = put_items(30, stay_a_moment, NULL);
	WAIT_FOR(atomic_load(&in_the_middle));
	assert_child_ok(child_start(whole_callbacks, items));
	assert_rc(sctx_barrier(), 0);
	called_once_each(items, 30);
}

/* ------------------------------------------------------ callbacks and a fork */

static void every_mode_works(void *unused)
{
	(void)unused;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		put_churn(300);
		set_mode(modes[i]);
		all_freed();
	}
}

/* Limbo is half called back. */
static void a_fork_in_each_mode(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		pid_t pid;

		items_reset();
		set_mode(modes[i]);
		fill_limbo(1000);
		if (modes[i] == SCTX_RECLAIM_POLL)
			assert_in_range(sctx_reclaim_poll(300), 0, 300);
		pid = child_start(every_mode_works, NULL);
		all_freed();
		assert_child_ok(pid);
	}
}

static pid_t forked;

static void fork_here(struct item *item)
{
	(void)item;
	fflush(stdout);
	forked = fork();
	CHECK(forked >= 0);
}

/* The child goes on in the middle of the callback, and with the rest. */
static void a_fork_in_a_callback(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	/* Not in the thread mode: main's barrier is not there in the child. */
	for (unsigned int i = 1; i < ARRAY_SIZE(modes); i++) {
		struct item **items, **first;

		items_reset();
		set_mode(modes[i]);
		first = put_items(1, fork_here, NULL);
		items = put_items(100, NULL, NULL);
		CHECK_EQ(sctx_barrier(), 0);
		called_once_each(first, 1);
		called_once_each(items, 100);
		CHECK_EQ(stats_now().limbo_callbacks, 0);
		if (forked == 0) {
			set_mode(SCTX_RECLAIM_THREAD);
			for (unsigned int n = 0; n < 20; n++)
				child_reclaims(NULL);
			_exit(0);
		}
		assert_child_ok(forked);
	}
}

struct slow {
	struct gate begun;
	pthread_mutex_t lock;
	atomic_bool done;
};

static void update_under_the_lock(struct slow *slow)
{
	pthread_mutex_lock(&slow->lock);
	put_churn(1);
	pthread_mutex_unlock(&slow->lock);
}

static void update_slowly(struct item *item)
{
	gate_open(&((struct slow *)item->arg)->begun);
	for (unsigned int i = 0; i < 20; i++) {
		update_under_the_lock(item->arg);
		nap_ms(5);
	}
}

static void *updates_main(void *arg)
{
	struct slow *slow = arg;

	while (!atomic_load(&slow->done)) {
		update_under_the_lock(slow);
		nap_ms(1);
	}
	return NULL;
}

static void *barrier_main(void *unused)
{
	(void)unused;
	CHECK_EQ(sctx_barrier(), 0);
	return NULL;
}

static void child_barrier(void *unused)
{
	barrier_main(unused);
}

/*
 * A callback that is under way when another thread forks may update, and may
 * wait for another thread that does: the fork makes neither wait.
 */
static void a_fork_while_a_callback_updates(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct slow slow = { .lock = PTHREAD_MUTEX_INITIALIZER };
		pthread_t barrier, updates;
		struct item **items;
		uint64_t start;
		pid_t pid;

		items_reset();
		set_mode(modes[i]);
		gate_init(&slow.begun);
		items = put_items(1, update_slowly, &slow);
		updates = thread_start(updates_main, &slow);
		barrier = thread_start(barrier_main, NULL);
		gate_wait(&slow.begun);
		start = now_ns();
		pid = child_start(child_barrier, NULL);
		assert_u64(now_ns() - start, <, loaded_ns(3000));
		assert_child_ok(pid);
		atomic_store(&slow.done, true);
		thread_join(barrier);
		thread_join(updates);
		all_freed();
		called_once_each(items, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_callback_ends_before_the_fork),
		cmocka_unit_test(a_fork_in_each_mode),
		cmocka_unit_test(a_fork_in_a_callback),
		cmocka_unit_test(a_fork_while_a_callback_updates),
	};

	return TEST_RUN(tests);
}
