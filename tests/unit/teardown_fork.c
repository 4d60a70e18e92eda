/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forks beside sctx_teardown_sync(), and in the callbacks that it makes: each
 * context is called back once in the parent and once in the child.
 */
#include "test.h"

#include <sys/wait.h>

#define FORKED 6

struct forked {
	struct sctx_stream stream;
	struct item *item[FORKED];
	pthread_t thread;
};

static struct gate entered;

static void *teardown_main(void *stream)
{
	CHECK_EQ(sctx_teardown_sync(stream), 0);
	return NULL;
}

static void slow(struct item *item)
{
	(void)item;
	gate_open(&entered);
	nap_ms(20);
}

static void forked_start(struct forked *f, void (*hook)(struct item *item))
{
	gate_init(&entered);
	sctx_stream_init(&f->stream);
	for (int i = 0; i < FORKED; i++) {
		f->item[i] = item_insert(&f->stream, OWNER(1), INST(i));
		f->item[i]->hook = hook;
	}
}

static void check_each_once(void *arg)
{
	struct forked *f = arg;

	CHECK_EQ(sctx_barrier(), 0);
	for (int i = 0; i < FORKED; i++)
		CHECK_EQ(item_called(f->item[i]), 1);
	CHECK_EQ(stats_now().limbo_callbacks, 0);
}

static void forked_end(struct forked *f, pid_t child)
{
	assert_child_ok(child);
	thread_join(f->thread);
	check_each_once(f);
	for (int i = 0; i < FORKED; i++)
		item_free(f->item[i]);
}

static void *leave_soon(void *reader)
{
	nap_ms(50);
	reader_leave(reader);
	return NULL;
}

/* The thread that waits for its grace period is not in the child, its contexts are. */
static void a_fork_while_it_waits(void **state)
{
	struct reader *reader;
	struct forked f;
	pthread_t thread;
	pid_t child;

	(void)state;
	forked_start(&f, NULL);
	reader = reader_park(NULL, NULL, NULL);
	f.thread = thread_start(teardown_main, &f.stream);
	nap_ms(20);
	thread = thread_start(leave_soon, reader);
	child = child_start(check_each_once, &f);
	thread_join(thread);
	forked_end(&f, child);
}

/* A fork waits until a callback has returned; the child has the rest. */
static void a_fork_while_it_calls_back(void **state)
{
	struct forked f;
	pid_t child;

	(void)state;
	forked_start(&f, slow);
	f.thread = thread_start(teardown_main, &f.stream);
	gate_wait(&entered);
	child = child_start(check_each_once, &f);
	forked_end(&f, child);
}

static pid_t forked_child;

static void fork_here(struct item *item)
{
	(void)item;
	if (forked_child < 0)
		forked_child = fork();
}

/* The child goes on in the callback, and in the teardown. */
static void a_fork_from_its_callback(void **state)
{
	struct forked f;
	int status;

	(void)state;
	forked_child = -1;
	forked_start(&f, fork_here);
	CHECK_EQ(sctx_teardown_sync(&f.stream), 0);
	check_each_once(&f);
	if (forked_child == 0)
		_exit(0);
	assert_true(forked_child > 0);
	assert_int_equal(waitpid(forked_child, &status, 0), forked_child);
	assert_int_equal(status, 0);
	for (int i = 0; i < FORKED; i++)
		item_free(f.item[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fork_while_it_waits),
		cmocka_unit_test(a_fork_while_it_calls_back),
		cmocka_unit_test(a_fork_from_its_callback),
	};

	return TEST_RUN(tests);
}
