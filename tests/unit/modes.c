/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reclaim modes: who runs the callbacks, what happens at the limit, and
 * changing from one to another.
 */
#include "module.h"

static void set_mode_limited(enum sctx_reclaim_mode mode, size_t callbacks, unsigned int flags)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = callbacks ? callbacks : SCTX_LIMIT_CALLBACKS_DEFAULT,
		.flags = flags,
		.mode = mode,
	};

	CHECK_EQ(sctx_reclaim_configure(&options), 0);
}

static void set_mode(enum sctx_reclaim_mode mode)
{
	set_mode_limited(mode, 0, 0);
}

static int end(void **state)
{
	(void)state;
	set_mode(SCTX_RECLAIM_THREAD);
	return sctx_barrier();
}

static pthread_t ran_on;
static atomic_ulong ran;

static void note(struct sctx_context *ctx)
{
	ran_on = pthread_self();
	atomic_fetch_add(&ran, 1);
	free(ctx);
}

static void retire(unsigned int n)
{
	while (n-- > 0) {
		struct sctx_context *ctx = malloc(sizeof(*ctx));

		CHECK_EQ(sctx_context_init(ctx, OWNER(1), NULL, note), 0);
		CHECK_EQ(sctx_put(ctx), 0);
	}
}

/* -------------------------------------------------------------------- inline */

static void inline_runs_on_the_thread_that_retires(void **state)
{
	unsigned int tasks;

	(void)state;
	set_mode(SCTX_RECLAIM_INLINE);
	tasks = task_count();
	atomic_store(&ran, 0);
	for (int i = 0; i < 4; i++) {
		nap_ms(PACE_MS);
		retire(500);
	}
	assert_u64(atomic_load(&ran), >=, 1000);
	assert_true(pthread_equal(ran_on, pthread_self()));
	if (!TEST_EMULATED)
		assert_int_equal(task_count(), tasks);
	/* What is below a batch waits for a barrier. */
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&ran), ==, 2000);
	assert_true(pthread_equal(ran_on, pthread_self()));
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

/* Not inside a section of the caller's; afterwards. */
static void inline_waits_for_the_end_of_sections(void **state)
{
	(void)state;
	set_mode(SCTX_RECLAIM_INLINE);
	atomic_store(&ran, 0);
	sctx_read_lock();
	retire(3000);
	assert_u64(atomic_load(&ran), ==, 0);
	sctx_read_unlock();
	for (int i = 0; i < 3; i++) {
		nap_ms(PACE_MS);
		retire(300);
	}
	assert_u64(atomic_load(&ran), >=, 3000);
}

/* Grace periods take as long however much is in limbo: many threads share few. */
static void inline_keeps_the_threads_pace(void **state)
{
	enum { N = 200000 };
	uint64_t before, began, most;

	(void)state;
	set_mode(SCTX_RECLAIM_INLINE);
	assert_rc(sctx_barrier(), 0);
	before = stats_now().grace_periods;
	began = now_ns();
	retire(N);
	/* An eighth of the limit is gone after two: one collects it, one calls it back. */
	most = (now_ns() - began) / (PACE_MS * UINT64_C(1000000)) +
	       2 * N / (SCTX_LIMIT_CALLBACKS_DEFAULT / 8) + 2;
	assert_u64(stats_now().grace_periods - before, <=, most);
	assert_rc(sctx_barrier(), 0);
}

static void retire_more(struct item *item)
{
	(void)item;
	retire(1000); /* no recursion: this thread is in a callback */
}

static void an_inline_callback_may_retire(void **state)
{
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	set_mode(SCTX_RECLAIM_INLINE);
	atomic_store(&ran, 0);
	item->hook = retire_more;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&ran), ==, 1000);
	item_free(item);
}

static void churn_thread(unsigned int index, void *arg)
{
	struct sctx_registry *registry = arg;

	for (unsigned int i = 0; i < 20000; i++) {
		struct sctx_stream *s = stream_open(registry, 3 * i + index);

		CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
}

static void inline_keeps_its_limit_with_many_threads(void **state)
{
	struct sctx_registry *registry;

	(void)state;
	set_mode_limited(SCTX_RECLAIM_INLINE, 1000, 0);
	assert_rc(sctx_registry_create(&registry), 0);
	items_reset();
	run_threads(4, churn_thread, registry);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_created(), ==, 80000);
	assert_u64(items_freed(), ==, 80000);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	items_reset();
}

/* ---------------------------------------------------------------------- poll */

static void poll_runs_what_is_due_when_called(void **state)
{
	int due = 0;

	(void)state;
	set_mode(SCTX_RECLAIM_POLL);
	assert_rc(sctx_barrier(), 0);
	atomic_store(&ran, 0);
	retire(5000);
	nap_ms(20);
	assert_u64(atomic_load(&ran), ==, 0);
	due += sctx_reclaim_poll(0);
	due += sctx_reclaim_poll(0);
	assert_int_equal(due, 5000);
	assert_u64(atomic_load(&ran), ==, 5000);
	assert_true(pthread_equal(ran_on, pthread_self()));
	assert_rc(sctx_reclaim_poll(0), 0);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

static void polling_for_nothing_costs_no_grace_period(void **state)
{
	uint64_t before;

	(void)state;
	set_mode(SCTX_RECLAIM_POLL);
	assert_rc(sctx_barrier(), 0);
	before = stats_now().grace_periods;
	for (int i = 0; i < 10; i++)
		assert_rc(sctx_reclaim_poll(0), 0);
	assert_u64(stats_now().grace_periods, ==, before);
	retire(1);
	assert_rc(sctx_reclaim_poll(0) + sctx_reclaim_poll(0), 1);
}

static void poll_runs_no_more_than_asked_for(void **state)
{
	(void)state;
	set_mode(SCTX_RECLAIM_POLL);
	assert_rc(sctx_barrier(), 0);
	atomic_store(&ran, 0);
	retire(1000);
	assert_rc(sctx_reclaim_poll(10), 0); /* collects */
	for (int i = 1; i <= 100; i++) {
		assert_rc(sctx_reclaim_poll(10), 10);
		assert_u64(atomic_load(&ran), ==, 10 * i);
		/* The first batches were told of to the account, all of them are in the end. */
		assert_u64(stats_now().limbo_callbacks, <=, 1000 - 10 * (i - 1));
	}
	assert_rc(sctx_reclaim_poll(10), 0);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

static void poll_has_no_one_who_waits_at_the_limit(void **state)
{
	struct sctx_stream s;
	struct sctx_context ctx;
	int error = 0, n = 0;

	(void)state;
	set_mode_limited(SCTX_RECLAIM_POLL, 100, 0);
	sctx_stream_init(&s);
	sctx_context_init(&ctx, OWNER(2), NULL, SCTX_NO_FREE);
	while (!error && n++ < 10000) {
		error = sctx_insert(&s, &ctx);
		if (!error)
			assert_ptr_equal(sctx_remove(&s, OWNER(2), NULL), &ctx);
		retire(1); /* who releases is never refused */
	}
	assert_rc(error, -EAGAIN);
	assert_rc(sctx_reclaim_poll(0), 0);
	assert_true(sctx_reclaim_poll(0) > 90);
	assert_rc(sctx_insert(&s, &ctx), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
}

static void poll_in_callback(struct item *item)
{
	(void)item;
	CHECK_EQ(sctx_reclaim_poll(0), -EDEADLK);
}

static void poll_refuses(void **state)
{
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_reclaim_poll(0), -EOPNOTSUPP);
	set_mode(SCTX_RECLAIM_INLINE);
	assert_rc(sctx_reclaim_poll(0), -EOPNOTSUPP);
	set_mode(SCTX_RECLAIM_POLL);
	sctx_read_lock();
	assert_rc(sctx_reclaim_poll(0), -EDEADLK);
	sctx_read_unlock();
	item->hook = poll_in_callback;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
}

static void poll_thread(unsigned int index, void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		if (index % 2)
			retire(50);
		else
			CHECK(sctx_reclaim_poll(index ? 7 : 0) >= 0);
		sctx_thread_offline();
	}
}

static void several_may_poll(void **state)
{
	(void)state;
	set_mode(SCTX_RECLAIM_POLL);
	atomic_store(&ran, 0);
	run_threads(4, poll_thread, NULL);
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&ran), ==, 20000);
}

/* ------------------------------------------------------------------ changing */

static struct sctx_reclaim_options options_of(enum sctx_reclaim_mode mode)
{
	return (struct sctx_reclaim_options){ .size = sizeof(struct sctx_reclaim_options),
					      .limit_bytes = 1 << 20,
					      .limit_callbacks = 1000,
					      .mode = mode };
}

static void change_in_callback(struct item *item)
{
	struct sctx_reclaim_options options = options_of(SCTX_RECLAIM_INLINE);

	(void)item;
	CHECK_EQ(sctx_reclaim_configure(&options), -EDEADLK);
	options.mode = SCTX_RECLAIM_THREAD; /* no change of mode */
	CHECK_EQ(sctx_reclaim_configure(&options), 0);
}

static void a_change_refuses_what_cannot_be(void **state)
{
	struct sctx_reclaim_options options = options_of((enum sctx_reclaim_mode)3);
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_reclaim_configure(&options), -EINVAL);
	options.mode = SCTX_RECLAIM_POLL;
	sctx_read_lock();
	assert_rc(sctx_reclaim_configure(&options), -EDEADLK);
	sctx_read_unlock();
	item->hook = change_in_callback;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
}

static void what_one_mode_left_the_next_runs(void **state)
{
	static const enum sctx_reclaim_mode order[] = {
		SCTX_RECLAIM_POLL,   SCTX_RECLAIM_THREAD, SCTX_RECLAIM_INLINE, SCTX_RECLAIM_POLL,
		SCTX_RECLAIM_INLINE, SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		atomic_store(&ran, 0);
		retire(100);
		set_mode(order[i]);
		retire(100);
		assert_rc(sctx_barrier(), 0);
		assert_u64(atomic_load(&ran), ==, 200);
	}
}

struct change {
	struct sctx_registry *registry;
	atomic_bool stop;
};

static void change_thread(unsigned int index, void *arg)
{
	struct change *c = arg;
	uint64_t n = index;

	if (index == 0) {
		for (uint64_t stop = test_deadline(500); !past(stop); n++) {
			set_mode_limited((enum sctx_reclaim_mode)(n % 3), 500, 0);
			nap_ms(1);
		}
		set_mode(SCTX_RECLAIM_THREAD);
		atomic_store(&c->stop, true);
	}
	while (!atomic_load(&c->stop)) {
		struct sctx_id id = id_of(n++ % 100);
		struct item *item = item_churn(OWNER(index), NULL);
		struct sctx_stream *s;
		int error = sctx_open(c->registry, &id, 0, &s);

		if (!error)
			error = sctx_insert(s, &item->ctx);
		if (error) /* full, and in poll mode */
			CHECK_EQ(error, -EAGAIN);
		if (error)
			CHECK_EQ(sctx_put(&item->ctx), 0);
		if (s)
			CHECK_EQ(sctx_close(s), 0);
		if (index == 1) {
			int result = sctx_reclaim_poll(0);

			CHECK(result >= 0 || result == -EOPNOTSUPP);
		} else if (index == 2 && n % 16 == 0) {
			CHECK_EQ(sctx_barrier(), 0);
		}
	}
}

static void modes_change_under_load(void **state)
{
	struct change c = { .registry = NULL };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	run_threads(5, change_thread, &c);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_created(), >, 100);
	assert_u64(items_created(), ==, items_freed());
	items_reset();
}

/* ---------------------------------------------------------------------- fork */

static void child_goes_on(void *arg)
{
	(void)arg;
	atomic_store(&ran, 0);
	retire(1000);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(atomic_load(&ran) >= 1000);
}

static void a_child_goes_on_in_the_same_mode(void **state)
{
	(void)state;
	if (TEST_TSAN)
		skip();
	for (int mode = SCTX_RECLAIM_INLINE; mode <= SCTX_RECLAIM_POLL; mode++) {
		pid_t pid;

		set_mode((enum sctx_reclaim_mode)mode);
		retire(100);
		pid = child_start(child_goes_on, NULL);
		assert_child_ok(pid);
		atomic_store(&ran, 0);
		assert_rc(sctx_barrier(), 0);
		assert_u64(atomic_load(&ran), <=, 100);
	}
}

static void fork_in_callback(struct item *item)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		retire(10);
		_exit(0);
	}
	*(pid_t *)item->arg = pid;
}

static void a_callback_may_fork(void **state)
{
	struct item *item;
	pid_t pid = 0;

	(void)state;
	if (TEST_TSAN || TEST_ASAN)
		skip();
	item = item_new(OWNER(1), NULL);
	set_mode(SCTX_RECLAIM_INLINE);
	item->hook = fork_in_callback;
	item->arg = &pid;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_child_ok(pid);
	item_free(item);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, NULL, end)
		T(inline_runs_on_the_thread_that_retires),
		T(inline_waits_for_the_end_of_sections),
		T(inline_keeps_the_threads_pace),
		T(an_inline_callback_may_retire),
		T(inline_keeps_its_limit_with_many_threads),
		T(poll_runs_what_is_due_when_called),
		T(polling_for_nothing_costs_no_grace_period),
		T(poll_runs_no_more_than_asked_for),
		T(poll_has_no_one_who_waits_at_the_limit),
		T(poll_refuses),
		T(several_may_poll),
		T(a_change_refuses_what_cannot_be),
		T(what_one_mode_left_the_next_runs),
		T(modes_change_under_load),
		T(a_child_goes_on_in_the_same_mode),
		T(a_callback_may_fork),
	};

	return TEST_RUN(tests);
}
