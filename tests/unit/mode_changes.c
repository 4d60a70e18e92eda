/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reclaim modes that change, under load and while someone waits; fork and
 * exit in each.
 */
#include "modes.h"

#include <sys/mman.h>
#include <sys/wait.h>

/* -------------------------------------------------------------- from one to another */

static void switch_thread(unsigned int index, void *arg)
{
	struct load *load = arg;
	uint64_t seed = 99 + index;

	if (index >= 2) {
		load_thread(load, index);
	} else if (index == 1) {
		while (!atomic_load(&load->stop)) {
			int rc = sctx_reclaim_poll(50);

			CHECK(rc >= 0 || rc == -EOPNOTSUPP);
			CHECK_EQ(sctx_barrier(), 0);
		}
	} else {
		for (uint64_t end = test_deadline(500); !past(end);) {
			CHECK_EQ(change_mode(modes[test_random(&seed) % 3]), 0);
			nap_ms(test_random(&seed) % 8);
		}
		atomic_store(&load->stop, true);
	}
}

static void modes_change_under_load(void **state)
{
	struct load load;

	(void)state;
	load_begin(&load, SCTX_RECLAIM_THREAD);
	run_threads(5, switch_thread, &load);
	load_end(&load);
}

/*
 * What was put before a barrier has been called back when it returns, though
 * polls that run little come between and the mode is another one by then.
 */
static void promise_thread(unsigned int index, void *arg)
{
	struct load *load = arg;
	uint64_t seed = 7 + index;

	if (index == 0) {
		for (uint64_t end = test_deadline(500); !past(end);)
			CHECK_EQ(change_mode(modes[test_random(&seed) % 3]), 0);
		atomic_store(&load->stop, true);
	} else if (index <= 2) {
		while (!atomic_load(&load->stop)) {
			put_churn(20);
			CHECK(sctx_reclaim_poll(1) <= 1);
		}
	} else {
		while (!atomic_load(&load->stop)) {
			struct item *a = item_new(OWNER(1), NULL);

			CHECK_EQ(sctx_put(&a->ctx), 0);
			CHECK_EQ(sctx_barrier(), 0);
			CHECK_EQ(item_called(a), 1);
			item_free(a);
		}
	}
}

static void barriers_hold_while_the_mode_changes(void **state)
{
	struct load load;

	(void)state;
	load_begin(&load, SCTX_RECLAIM_THREAD);
	run_threads(7, promise_thread, &load);
	load_end(&load);
}

/* Two threads change it at once. */
static void changer_thread(unsigned int index, void *arg)
{
	uint64_t seed = index;

	(void)arg;
	for (unsigned int i = 0; i < 40; i++) {
		CHECK_EQ(change_mode(modes[test_random(&seed) % 3]), 0);
		put_churn(30);
		CHECK_EQ(sctx_barrier(), 0);
	}
}

static void several_threads_change_it(void **state)
{
	(void)state;
	begin(SCTX_RECLAIM_THREAD);
	run_threads(4, changer_thread, NULL);
	all_freed();
}

static void changes_leave_no_thread(void *arg)
{
	unsigned int one = task_count();

	(void)arg;
	CHECK_EQ(change_mode(SCTX_RECLAIM_THREAD), 0);
	put_churn(10);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(task_count() > one);
	CHECK_EQ(change_mode(SCTX_RECLAIM_POLL), 0);
	WAIT_FOR(task_count() == one); /* who was joined may be seen a moment longer */
	put_churn(10);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(change_mode(SCTX_RECLAIM_INLINE), 0);
	CHECK_EQ(task_count(), one);
	put_churn(2 * BATCH);
	CHECK_EQ(task_count(), one);
	/* Back: what is in limbo is called back unasked. */
	CHECK_EQ(change_mode(SCTX_RECLAIM_THREAD), 0);
	WAIT_FOR(items_freed() == items_created());
	/* What is retired from then on, too. */
	put_churn(5);
	WAIT_FOR(items_freed() == items_created());
	CHECK_EQ(change_mode(SCTX_RECLAIM_POLL), 0);
	WAIT_FOR(task_count() == one); /* who was joined may be seen a moment longer */
}

static void the_thread_comes_and_goes_with_its_mode(void **state)
{
	(void)state;
	if (!TEST_ALONE)
		skip();
	items_reset();
	assert_child_ok(child_start(changes_leave_no_thread, NULL));
}

/* A callback, or a section, that sets limits while another thread changes the mode. */
struct limits {
	struct gate inside, go;
	enum sctx_reclaim_mode mode, wish;
};

static void set_limits_meanwhile(struct limits *l)
{
	gate_open(&l->inside);
	gate_wait(&l->go);
	nap_ms(50);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		int rc = configure(modes[i], 1000000, 0);

		/* It is one of the two just now, and to set that is no change. */
		CHECK(rc == -EDEADLK || (rc == 0 && (modes[i] == l->mode || modes[i] == l->wish)));
	}
}

static void limits_in_callback(struct item *item)
{
	set_limits_meanwhile(item->arg);
}

static void *limits_in_section(void *arg)
{
	sctx_read_lock();
	set_limits_meanwhile(arg);
	sctx_read_unlock();
	return NULL;
}

static void *limits_in_barrier(void *arg)
{
	struct item *a = item_new(OWNER(1), NULL);

	a->hook = limits_in_callback;
	a->arg = arg;
	CHECK_EQ(sctx_put(&a->ctx), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(item_called(a), 1);
	item_free(a);
	return NULL;
}

static void limits_are_set_while_the_mode_changes(void **state)
{
	void *(*const inside[2])(void *) = { limits_in_barrier, limits_in_section };

	(void)state;
	for (unsigned int from = 0; from < ARRAY_SIZE(modes); from++)
		for (unsigned int n = 0; n < 2 * ARRAY_SIZE(modes); n++) {
			struct limits l = { .mode = modes[from], .wish = modes[n / 2] };
			pthread_t thread;

			begin(modes[from]);
			gate_init(&l.inside);
			gate_init(&l.go);
			thread = thread_start(inside[n % 2], &l);
			gate_wait(&l.inside);
			gate_open(&l.go);
			assert_rc(change_mode(modes[n / 2]), 0);
			thread_join(thread);
			set_mode(SCTX_RECLAIM_THREAD);
			all_freed();
		}
}

/* Someone waits, for a reader, when the mode changes. */
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
	CHECK_EQ(sctx_reclaim_configure(arg), 0);
	return NULL;
}

static int wait_across_a_change(struct waiter *w, void *(*fn)(void *), size_t limit,
				enum sctx_reclaim_mode from, enum sctx_reclaim_mode to)
{
	struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = limit,
		.mode = to,
	};
	struct reader *reader;
	pthread_t waiting, changing;

	begin(from);
	set_limit(limit, 0);
	gate_init(&w->started);
	atomic_store(&w->done, false);
	reader = reader_park(NULL, NULL, NULL);
	fill(limit + 100);
	waiting = thread_start(fn, w);
	gate_wait(&w->started);
	nap_ms(30);
	assert_false(atomic_load(&w->done));
	changing = thread_start(changer_main, &options);
	nap_ms(30);
	reader_leave(reader);
	thread_join(waiting);
	thread_join(changing);
	return w->rc;
}

static void waiting_across_a_change(void **state)
{
	struct waiter w = { .rc = 0 };

	(void)state;
	for (unsigned int from = 0; from < ARRAY_SIZE(modes); from++)
		for (unsigned int to = 0; to < ARRAY_SIZE(modes); to++) {
			assert_rc(wait_across_a_change(&w, barrier_main, 2048, modes[from],
						       modes[to]),
				  0);
			set_mode(SCTX_RECLAIM_THREAD);
			all_freed();
		}
}

/* A creator that waits for room is refused when nobody makes room any more. */
static void a_creator_waits_when_poll_begins(void **state)
{
	struct waiter w = { .item = item_new(OWNER(1), NULL) };
	int rc;

	(void)state;
	sctx_stream_init(&w.stream);
	rc = wait_across_a_change(&w, creator_main, 2048, SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL);
	/* Or the last cycle of the thread had made room. */
	assert_true(rc == -EAGAIN || rc == 0);
	set_mode(SCTX_RECLAIM_THREAD);
	if (rc)
		assert_rc(sctx_put(&w.item->ctx), 0);
	assert_rc(sctx_teardown_sync(&w.stream), 0);
	assert_int_equal(item_called(w.item), 1);
	item_free(w.item);
	all_freed();
}

/* ----------------------------------------------------------------------- fork */

static void child_goes_on(void *arg)
{
	struct load *load = arg;
	uint64_t seed = 4711;

	CHECK_EQ(sctx_reclaim_poll(10) == -EOPNOTSUPP, load->mode != SCTX_RECLAIM_POLL);
	for (unsigned int i = 0; i < 300; i++)
		load_turn(load, &seed);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_teardown_sync(&load->stream), 0);
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		put_churn(300);
		CHECK_EQ(change_mode(modes[i]), 0);
		CHECK_EQ(sctx_barrier(), 0);
	}
	CHECK_EQ(stats_now().limbo_callbacks, 0);
}

static void forking_thread(unsigned int index, void *arg)
{
	struct load *load = arg;

	if (index == 1) {
		while (!atomic_load(&load->stop))
			if (sctx_reclaim_poll(20) == -EOPNOTSUPP)
				CHECK_EQ(sctx_barrier(), 0);
	} else if (index) {
		load_thread(load, index);
	} else {
		for (unsigned int i = 0; i < test_scaled(6); i++) {
			nap_ms(3);
			CHECK_EQ(child_wait(child_start(child_goes_on, load)), 0);
		}
		atomic_store(&load->stop, true);
	}
}

static void forks_in_each_mode(void **state)
{
	struct load load;

	(void)state;
	/* ASan's allocator takes no part in fork: its locks stay held in the child. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		load_begin(&load, modes[i]);
		/*
		 * What the child's own account says of limbo is checked, so no
		 * callback may be cut off in the middle: there is none that waits.
		 */
		run_threads(4, forking_thread, &load);
		load_end(&load);
	}
}

/* Alone, and with limbo half called back. */
static void fork_with_limbo(void **state)
{
	(void)state;
	if (TEST_TSAN)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct load load;
		pid_t pid;

		load_begin(&load, modes[i]);
		fill(1000);
		if (modes[i] == SCTX_RECLAIM_POLL)
			assert_in_range(sctx_reclaim_poll(300), 0, 300);
		pid = child_start(child_goes_on, &load);
		load_end(&load);
		assert_child_ok(pid);
	}
}

/* In a callback: the child goes on in the middle of it, and with the rest. */
static atomic_int forked;

static void fork_here(struct item *item)
{
	pid_t pid;

	(void)item;
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	atomic_store(&forked, (int)pid);
}

/* The child, after the cycle that it was forked in. */
static void go_on_by_thread(void)
{
	CHECK_EQ(change_mode(SCTX_RECLAIM_THREAD), 0);
	for (unsigned int i = 0; i < 20; i++) {
		struct item *a = item_new(OWNER(1), NULL);

		CHECK_EQ(sctx_put(&a->ctx), 0);
		CHECK_EQ(sctx_barrier(), 0);
		CHECK_EQ(item_called(a), 1);
		item_free(a);
	}
	_exit(0);
}

static void fork_in_a_callback(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	/* Not in the thread mode: main's barrier is not there in the child. */
	for (unsigned int i = 1; i < ARRAY_SIZE(modes); i++) {
		struct item **items, *a = item_new(OWNER(1), NULL);

		begin(modes[i]);
		atomic_store(&forked, -1);
		a->hook = fork_here;
		assert_rc(sctx_put(&a->ctx), 0);
		items = put_items(100, NULL, NULL);
		assert_rc(sctx_barrier(), 0);
		CHECK_EQ(item_called(a), 1);
		for (unsigned int n = 0; n < 100; n++)
			CHECK_EQ(item_called(items[n]), 1);
		CHECK_EQ(stats_now().limbo_callbacks, 0);
		if (atomic_load(&forked) == 0)
			go_on_by_thread();
		assert_child_ok((pid_t)atomic_load(&forked));
		called_once_each(items, 100);
		item_free(a);
	}
}

/*
 * A callback that is under way when another thread forks may update, and may
 * wait for someone who does: the fork does not make it wait.
 */
struct slow {
	struct gate begun;
	pthread_mutex_t lock;
	struct sctx_stream stream;
	atomic_bool done;
};

static void update_slowly(struct item *item)
{
	struct slow *slow = item->arg;

	gate_open(&slow->begun);
	for (unsigned int i = 0; i < 20; i++) {
		pthread_mutex_lock(&slow->lock);
		put_churn(1);
		pthread_mutex_unlock(&slow->lock);
		nap_ms(5);
	}
	item_free(item);
}

static void *updates_under_a_lock(void *arg)
{
	struct slow *slow = arg;

	while (!atomic_load(&slow->done)) {
		pthread_mutex_lock(&slow->lock);
		put_churn(1);
		pthread_mutex_unlock(&slow->lock);
		nap_ms(1);
	}
	return NULL;
}

static void *slow_barrier_main(void *arg)
{
	(void)arg;
	CHECK_EQ(sctx_barrier(), 0);
	return NULL;
}

static void child_barrier(void *arg)
{
	(void)arg;
	CHECK_EQ(sctx_barrier(), 0);
}

static void fork_while_a_callback_updates(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct slow slow = { .lock = PTHREAD_MUTEX_INITIALIZER };
		struct item *a = item_new(OWNER(1), NULL);
		pthread_t barrier, updates;
		uint64_t start;
		pid_t pid;

		begin(modes[i]);
		gate_init(&slow.begun);
		a->hook = update_slowly;
		a->arg = &slow;
		assert_rc(sctx_put(&a->ctx), 0);
		updates = thread_start(updates_under_a_lock, &slow);
		barrier = thread_start(slow_barrier_main, NULL);
		gate_wait(&slow.begun);
		start = now_ns();
		pid = child_start(child_barrier, NULL);
		assert_u64(now_ns() - start, <, 3000000000ull);
		assert_child_ok(pid);
		atomic_store(&slow.done, true);
		thread_join(barrier);
		thread_join(updates);
		all_freed();
	}
}

/* Whoever runs it, a callback that waits holds up no grace period. */
struct slow_gate {
	atomic_bool begun, go; /* a gate would go offline under qsbr */
};

static void wait_in_callback(struct item *item)
{
	struct slow_gate *slow = item->arg;

	atomic_store(&slow->begun, true);
	while (!atomic_load(&slow->go))
		sched_yield();
	item_free(item);
}

/* In the inline mode it is a release that runs the cycle. */
static void *release_some_main(void *arg)
{
	(void)arg;
	put_churn(3 * BATCH);
	CHECK_EQ(sctx_barrier(), 0);
	return NULL;
}

static void grace_period_while_a_callback_waits(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		struct item *a = item_new(OWNER(1), NULL);
		struct slow_gate slow;
		pthread_t barrier;

		begin(modes[i]);
		atomic_store(&slow.begun, false);
		atomic_store(&slow.go, false);
		a->hook = wait_in_callback;
		a->arg = &slow;
		assert_rc(sctx_put(&a->ctx), 0);
		barrier = thread_start(release_some_main, NULL);
		WAIT_FOR(atomic_load(&slow.begun));
		assert_rc(sctx_synchronize(), 0);
		atomic_store(&slow.go, true);
		thread_join(barrier);
		all_freed();
	}
}

/* ----------------------------------------------------------------------- exit */

/* Counts in memory that the parent sees. */
static atomic_uint *exits;

static void count_exit(struct sctx_context *ctx)
{
	(void)ctx;
	atomic_fetch_add(exits, 1);
}

static void retire_for_exit(void)
{
	static struct sctx_context ctx[1000];

	for (unsigned int i = 0; i < 1000; i++) {
		CHECK_EQ(sctx_context_init(&ctx[i], OWNER(1), NULL, count_exit), 0);
		CHECK_EQ(sctx_put(&ctx[i]), 0);
	}
}

static void exit_with_limbo(void *arg)
{
	set_mode(*(const enum sctx_reclaim_mode *)arg);
	retire_for_exit();
	if (*(const enum sctx_reclaim_mode *)arg == SCTX_RECLAIM_POLL)
		CHECK(sctx_reclaim_poll(10) >= 0);
	exit(0);
}

static void exit_here(struct sctx_context *ctx)
{
	(void)ctx;
	exit(0);
}

static void exit_in_a_callback(void *arg)
{
	static struct sctx_context ctx;

	set_mode(*(const enum sctx_reclaim_mode *)arg);
	CHECK_EQ(sctx_context_init(&ctx, OWNER(1), NULL, exit_here), 0);
	CHECK_EQ(sctx_put(&ctx), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(false);
}

static void *reader_forever(void *arg)
{
	sctx_read_lock();
	gate_open(arg);
	while (pause())
		;
	return NULL;
}

/* A reader that never leaves: patience ends. */
static void exit_with_a_reader(void *arg)
{
	struct gate entered;

	gate_init(&entered);
	thread_start(reader_forever, &entered);
	gate_wait(&entered);
	set_mode(*(const enum sctx_reclaim_mode *)arg);
	retire_for_exit();
	exit(0);
}

static void exits_in_each_mode(void **state)
{
	pid_t children[ARRAY_SIZE(modes)];

	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	exits = mmap(NULL, sizeof(*exits), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(exits, MAP_FAILED);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		atomic_store(exits, 0);
		assert_child_ok(child_start(exit_with_limbo, (void *)&modes[i]));
		assert_int_equal(atomic_load(exits), 1000);
		assert_child_ok(child_start(exit_in_a_callback, (void *)&modes[i]));
	}
	/* Inline would wait for the reader at its first batch already. */
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i += 2)
		children[i] = child_start(exit_with_a_reader, (void *)&modes[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i += 2)
		assert_child_ok(children[i]);
	munmap(exits, sizeof(*exits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_change_under_load),
		cmocka_unit_test(barriers_hold_while_the_mode_changes),
		cmocka_unit_test(several_threads_change_it),
		cmocka_unit_test(the_thread_comes_and_goes_with_its_mode),
		cmocka_unit_test(limits_are_set_while_the_mode_changes),
		cmocka_unit_test(waiting_across_a_change),
		cmocka_unit_test(a_creator_waits_when_poll_begins),
		cmocka_unit_test(forks_in_each_mode),
		cmocka_unit_test(fork_with_limbo),
		cmocka_unit_test(fork_in_a_callback),
		cmocka_unit_test(fork_while_a_callback_updates),
		cmocka_unit_test(grace_period_while_a_callback_waits),
		cmocka_unit_test(exits_in_each_mode),
	};

	return TEST_RUN(tests);
}
