/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork(2): a daemon makes its registry and then daemonises.  The child goes on
 * with everything, the parent too.  A child that hangs dies after 30 seconds
 * (child_start()), and the test fails.
 *
 * The tests come in this order: the first one forks before the library has
 * done anything that needs a thread.
 */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>

struct daemon {
	struct sctx_registry *registry;
	struct sctx_stream own;
	struct sctx_stream *open[50];
	struct item *items[50];
};

static void daemon_open(struct daemon *d)
{
	CHECK_EQ(sctx_registry_create(&d->registry), 0);
	CHECK_EQ(sctx_stream_init(&d->own), 0);
	for (unsigned int i = 0; i < 50; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(d->registry, &id, 0, &d->open[i]), 0);
		d->items[i] = item_insert(d->open[i], OWNER(1), NULL);
	}
}

/* Everything, on streams from before the fork and on new ones. */
static void daemon_go_on(struct daemon *d)
{
	struct sctx_context *ctx;
	struct item *a;

	items_reset();
	for (unsigned int i = 0; i < 50; i++) {
		struct sctx_id id = id_of(i), more = id_of(1000 + i);
		struct sctx_stream *s;

		sctx_read_lock();
		CHECK(sctx_find(d->registry, &id) == d->open[i]);
		CHECK(sctx_lookup(d->open[i], OWNER(1), NULL) == &d->items[i]->ctx);
		sctx_read_unlock();
		CHECK_EQ(sctx_open(d->registry, &more, 0, &s), 0);
		CHECK_EQ(sctx_get_or_create(s, OWNER(2), NULL, item_create, NULL, &ctx), 0);
		CHECK_EQ(sctx_put(ctx), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), 50);
	CHECK_EQ(sctx_synchronize(), 0);

	a = item_insert(&d->own, OWNER(1), NULL);
	CHECK_EQ(sctx_teardown_sync(&d->own), 0);
	CHECK_EQ(item_called(a), 1);
	item_free(a);

	for (unsigned int i = 0; i < 50; i++) {
		CHECK_EQ(item_called(d->items[i]), 0);
		CHECK_EQ(sctx_close(d->open[i]), 0);
	}
	CHECK_EQ(sctx_registry_destroy(d->registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 50; i++) {
		CHECK_EQ(item_called(d->items[i]), 1);
		item_free(d->items[i]);
	}
	CHECK_EQ(stats_now().limbo_callbacks, 0);
}

static void daemon_child(void *arg)
{
	daemon_go_on(arg);
}

/* As daemon(3): fork, setsid, fork; the grandchild is the daemon. */
static void daemonise(void *arg)
{
	uint64_t begin = now_ns();
	pid_t pid;

	CHECK(setsid() != -1);
	/* The library is patient with its thread for five seconds, where there is one. */
	pid = child_start(daemon_child, arg);
	CHECK(now_ns() - begin < 4500000000u);
	CHECK_EQ(child_wait(pid), 0);
}

static void nothing_but_the_registry(void *arg)
{
	struct sctx_id id = id_of(1);
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(arg, &id, 0, &s), 0);
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(s), 0);
	CHECK_EQ(sctx_registry_destroy(arg), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), 1);
}

static void a_daemon_that_has_only_created_its_registry(void **state)
{
	struct sctx_registry *registry;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	/* Creating it starts no thread. */
	if (TEST_ALONE)
		assert_int_equal(task_count(), 1);
	assert_child_ok(child_start(nothing_but_the_registry, registry));
	nothing_but_the_registry(registry);
	items_reset();
}

static void a_daemon_with_open_streams(void **state)
{
	struct daemon d;

	(void)state;
	daemon_open(&d);
	assert_child_ok(child_start(daemon_child, &d));
	daemon_go_on(&d);
}

static void a_daemon_that_forks_twice(void **state)
{
	struct daemon d;

	(void)state;
	daemon_open(&d);
	assert_rc(sctx_barrier(), 0);
	assert_child_ok(child_start(daemonise, &d));
	daemon_go_on(&d);
}

static const struct sctx_reclaim_options poll = {
	.size = sizeof(poll),
	.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
	.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
	.mode = SCTX_RECLAIM_POLL,
};

/* The first thing that the child does; the parent's thread is not there to be waited for. */
static void change_the_mode(void *arg)
{
	(void)arg;
	CHECK_EQ(sctx_reclaim_configure(&poll), 0);
	CHECK_EQ(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_barrier(), 0);
}

static void a_child_may_change_the_mode(void **state)
{
	(void)state;
	assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_child_ok(child_start(change_the_mode, NULL));
	items_reset();
}

/* ------------------------------------------------------------ limbo at fork */

#define MANY 1000

struct pending {
	struct item *own[6], *others[6];
	struct item *many[MANY]; /* enough for threads that run callbacks */
	struct gate retired, leave;
};

static void *pending_main(void *arg)
{
	struct pending *p = arg;

	for (unsigned int i = 0; i < 6; i++)
		CHECK_EQ(sctx_put(&p->others[i]->ctx), 0);
	gate_open(&p->retired);
	gate_wait(&p->leave);
	return NULL;
}

/* Once here and once there: each process has its own memory of them. */
static void pending_check(void *arg)
{
	struct pending *p = arg;

	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < MANY; i++)
		CHECK_EQ(item_called(p->many[i]), 1);
	for (unsigned int i = 0; i < 6; i++) {
		CHECK_EQ(item_called(p->own[i]), 1);
		CHECK_EQ(item_called(p->others[i]), 1);
	}
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	CHECK_EQ(stats_now().limbo_bytes, 0);
}

static void others_check(void *arg)
{
	struct pending *p = arg;

	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 6; i++)
		CHECK_EQ(item_called(p->others[i]), 1);
}

/* Nobody has collected it yet: it is with threads that the child has not. */
static void limbo_of_other_threads_is_taken_over(void **state)
{
	struct pending p;
	pthread_t thread;

	(void)state;
	assert_rc(sctx_reclaim_configure(&poll), 0);
	for (unsigned int i = 0; i < 6; i++)
		p.others[i] = item_new(OWNER(2), NULL);
	gate_init(&p.retired);
	gate_init(&p.leave);
	thread = thread_start(pending_main, &p);
	gate_wait(&p.retired);
	assert_child_ok(child_start(others_check, &p));
	others_check(&p);
	gate_open(&p.leave);
	thread_join(thread);
	for (unsigned int i = 0; i < 6; i++)
		item_free(p.others[i]);
}

/* Its child may exec, and no more. */
static void exec_true(void *unused)
{
	(void)unused;
	execlp("true", "true", (char *)NULL);
	_exit(1);
}

static void a_fork_in_a_section_of_its_own(void **state)
{
	pid_t pid;

	(void)state;
	sctx_read_lock();
	pid = child_start(exec_true, NULL);
	sctx_read_unlock();
	assert_child_ok(pid);
	assert_rc(sctx_barrier(), 0);
}

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
	struct item *items[30];

	(void)state;
	for (unsigned int i = 0; i < 30; i++) {
		items[i] = item_new(OWNER(1), NULL);
		items[i]->hook = stay_a_moment;
		assert_rc(sctx_put(&items[i]->ctx), 0);
	}
	WAIT_FOR(atomic_load(&in_the_middle));
	assert_child_ok(child_start(whole_callbacks, items));
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 30; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
}

static void limbo_is_called_back_in_both(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 5; round++) {
		struct pending p;
		pthread_t thread;
		pid_t pid;

		for (unsigned int i = 0; i < 6; i++) {
			p.own[i] = item_new(OWNER(1), NULL);
			p.others[i] = item_new(OWNER(2), NULL);
		}
		for (unsigned int i = 0; i < MANY; i++) {
			p.many[i] = item_new(OWNER(3), NULL);
			assert_rc(sctx_put(&p.many[i]->ctx), 0);
		}
		gate_init(&p.retired);
		gate_init(&p.leave);
		thread = thread_start(pending_main, &p);
		gate_wait(&p.retired);
		for (unsigned int i = 0; i < 6; i++)
			assert_rc(sctx_put(&p.own[i]->ctx), 0);
		pid = child_start(pending_check, &p);
		pending_check(&p);
		assert_child_ok(pid);
		gate_open(&p.leave);
		thread_join(thread);
		for (unsigned int i = 0; i < MANY; i++)
			item_free(p.many[i]);
		for (unsigned int i = 0; i < 6; i++) {
			item_free(p.own[i]);
			item_free(p.others[i]);
		}
	}
}

/* ------------------------------------------- threads that the child has not */

struct sleeper {
	struct gate entered;
	struct sctx_stream *stream;
};

/* In a section when the fork comes, or while it waits for the section to end. */
static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	sctx_read_lock();
	gate_open(&s->entered);
	for (unsigned int i = 0; i < 30; i++)
		nap_ms(10);
	sctx_read_unlock();
	return NULL;
}

static void a_reader_elsewhere_at_fork(void **state)
{
	struct sleeper s = { .stream = NULL };
	pthread_t thread;
	pid_t pid;

	(void)state;
	gate_init(&s.entered);
	thread = thread_start(sleeper_main, &s);
	gate_wait(&s.entered);
	pid = child_start(child_reclaims, NULL);
	child_reclaims(NULL);
	assert_child_ok(pid);
	thread_join(thread);
}

/* ------------------------------------------------ forks out of a busy process */

struct busy {
	struct sctx_registry *registry;
	struct sctx_stream stream;
	atomic_bool stop;
};

static void busy_turn(struct busy *b, uint64_t *seed)
{
	struct sctx_id id = id_of(test_random(seed) % 12);
	struct sctx_context *ctx;
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(b->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_get_or_create(s, OWNER(1), NULL, item_create, NULL, &ctx), 0);
	CHECK_EQ(sctx_insert(&b->stream, &item_churn(OWNER(2), NULL)->ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
	sctx_read_lock();
	ctx = sctx_lookup(&b->stream, NULL, NULL);
	if (ctx)
		item_check(item_of(ctx));
	sctx_read_unlock();
	CHECK(sctx_delete(&b->stream, OWNER(2), NULL) <= 0);
	CHECK_EQ(sctx_close(s), 0);
}

static void *busy_main(void *arg)
{
	struct busy *b = arg;
	uint64_t seed = (uintptr_t)&seed;

	while (!atomic_load(&b->stop))
		busy_turn(b, &seed);
	return NULL;
}

static void busy_child(void *arg)
{
	struct busy *b = arg;
	uint64_t seed = 4711;

	/* The same ids and the same stream that the others were at. */
	for (unsigned int i = 0; i < 300; i++)
		busy_turn(b, &seed);
	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 12; i++) {
		struct sctx_id id = id_of(i);
		struct sctx_stream *s;

		CHECK_EQ(sctx_open(b->registry, &id, 0, &s), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
	CHECK_EQ(sctx_teardown_sync(&b->stream), 0);
}

/*
 * Updates in sections of the caller's, which may have begun after the fork
 * asked for its grace period: it must not find one of them under way.
 */
static void section_turn(struct busy *b, uint64_t *seed)
{
	bool full = false;

	sctx_read_lock();
	for (unsigned int i = 0; i < 4 && !full; i++) {
		struct sctx_id id = id_of(test_random(seed) % 12);
		struct sctx_context *ctx = &item_churn(OWNER(2), NULL)->ctx;
		struct sctx_stream *s;
		int rc = sctx_insert(&b->stream, ctx);

		full = rc == -EAGAIN;
		CHECK_EQ(full ? sctx_put(ctx) : rc, 0);
		CHECK(sctx_delete(&b->stream, OWNER(2), NULL) <= 0);
		rc = sctx_open(b->registry, &id, 0, &s);
		full |= rc == -EAGAIN;
		CHECK(rc == 0 || rc == -EAGAIN);
		if (rc == 0)
			CHECK_EQ(sctx_close(s), 0);
	}
	sctx_read_unlock();
	if (full) /* in the section nothing waited */
		CHECK_EQ(sctx_barrier(), 0);
}

static void *section_main(void *arg)
{
	struct busy *b = arg;
	uint64_t seed = (uintptr_t)&seed;

	while (!atomic_load(&b->stop))
		section_turn(b, &seed);
	return NULL;
}

static void forks_while_others_are_busy(unsigned int forks, void *(*others)(void *arg))
{
	struct busy b = { .stop = false };
	pthread_t threads[3];

	/* ASan's allocator takes no part in fork: its locks stay held in the child. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	items_reset();
	assert_rc(sctx_registry_create(&b.registry), 0);
	sctx_stream_init(&b.stream);
	for (unsigned int i = 0; i < 3; i++)
		threads[i] = thread_start(others, &b);
	for (unsigned int i = 0; i < forks; i++) {
		pid_t pid;

		nap_ms(5);
		pid = child_start(busy_child, &b);
		assert_child_ok(pid);
	}
	atomic_store(&b.stop, true);
	for (unsigned int i = 0; i < 3; i++)
		thread_join(threads[i]);
	assert_rc(sctx_teardown_sync(&b.stream), 0);
	assert_rc(sctx_registry_destroy(b.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

static void forks_while_other_threads_open_and_close(void **state)
{
	(void)state;
	forks_while_others_are_busy(test_scaled(8), busy_main);
}

static void forks_while_others_update_in_sections(void **state)
{
	(void)state;
	forks_while_others_are_busy(test_scaled(8), section_main);
}

/* Several threads fork; system(3) and popen(3) in a daemon's modules do. */
static void fork_thread(unsigned int index, void *arg)
{
	struct busy *b = arg;
	uint64_t seed = index;

	if (index >= 3) {
		busy_main(b);
		return;
	}
	for (unsigned int i = 0; i < test_scaled(8); i++) {
		pid_t child;

		for (unsigned int j = 0; j < 20; j++)
			busy_turn(b, &seed);
		child = child_start(child_reclaims, NULL);
		CHECK_EQ(child_wait(child), 0);
	}
	atomic_store(&b->stop, true);
}

static void several_threads_fork(void **state)
{
	struct busy b = { .stop = false };

	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip(); /* as above */
	items_reset();
	assert_rc(sctx_registry_create(&b.registry), 0);
	sctx_stream_init(&b.stream);
	run_threads(5, fork_thread, &b);
	assert_rc(sctx_teardown_sync(&b.stream), 0);
	assert_rc(sctx_registry_destroy(b.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* ---------------------------------------------------------------- the exits */

/* exit(3), not _exit(2): the library's destructor runs. */
static void exit_with_limbo(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 1000; i++)
		CHECK_EQ(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	exit(0);
}

static struct gate in_callback, never;

static void block_for_ever(struct item *item)
{
	(void)item;
	gate_open(&in_callback);
	gate_wait(&never);
}

static void exit_in_the_middle_of_a_callback(void *arg)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)arg;
	gate_init(&in_callback);
	gate_init(&never);
	a->hook = block_for_ever;
	CHECK_EQ(sctx_put(&a->ctx), 0);
	gate_wait(&in_callback);
	exit(0);
}

static void *busy_forever(void *arg)
{
	return busy_main(arg);
}

static void exit_while_others_are_busy(void *arg)
{
	struct busy *b = arg;

	for (unsigned int i = 0; i < 2; i++)
		thread_start(busy_forever, b);
	nap_ms(30);
	exit(0);
}

static void exit_in_a_section(void *arg)
{
	(void)arg;
	CHECK_EQ(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	sctx_read_lock();
	exit(0);
}

static void exits_of_all_kinds(void **state)
{
	void (*const exits[4])(void *) = { exit_with_limbo, exit_in_a_section,
					   exit_in_the_middle_of_a_callback,
					   exit_while_others_are_busy };
	struct busy b = { .stop = false };
	pid_t children[4];

	(void)state;
	/* What lives on at exit would be a leak report in the child. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	assert_rc(sctx_registry_create(&b.registry), 0);
	sctx_stream_init(&b.stream);
	/* Side by side: some take the second that the library is patient for. */
	for (unsigned int i = 0; i < 4; i++)
		children[i] = child_start(exits[i], &b);
	for (unsigned int i = 0; i < 4; i++)
		assert_child_ok(children[i]);
	assert_rc(sctx_registry_destroy(b.registry), 0);
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_daemon_that_has_only_created_its_registry),
		cmocka_unit_test(a_daemon_with_open_streams),
		cmocka_unit_test(a_daemon_that_forks_twice),
		cmocka_unit_test(a_child_may_change_the_mode),
		cmocka_unit_test(limbo_is_called_back_in_both),
		cmocka_unit_test(limbo_of_other_threads_is_taken_over),
		cmocka_unit_test(a_fork_in_a_section_of_its_own),
		cmocka_unit_test(a_callback_ends_before_the_fork),
		cmocka_unit_test(a_reader_elsewhere_at_fork),
		cmocka_unit_test(forks_while_other_threads_open_and_close),
		cmocka_unit_test(forks_while_others_update_in_sections),
		cmocka_unit_test(several_threads_fork),
		cmocka_unit_test(exits_of_all_kinds),
	};

	return TEST_RUN(tests);
}
