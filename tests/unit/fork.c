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
	stream_end(&d->own);
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
	CHECK(now_ns() - begin < loaded_ns(4500));
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

/* The first thing that the child does; the parent's thread is not there to be waited for. */
static void change_the_mode(void *arg)
{
	(void)arg;
	set_mode(SCTX_RECLAIM_POLL);
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
	set_mode(SCTX_RECLAIM_POLL);
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
		cmocka_unit_test(a_reader_elsewhere_at_fork),
	};

	return TEST_RUN(tests);
}
