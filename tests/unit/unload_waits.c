/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules that leave while one of their callbacks runs, and across a fork.
 */
#include "module.h"

/* ------------------------------------------------------------ slow modules */

static struct gate in_attach, leave_attach;

static int attach_at_gate(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			  struct sctx_context **ctx)
{
	int error;

	gate_open(&in_attach);
	gate_wait(&leave_attach);
	/* It is leaving, soon or by now, and this open goes on without it. */
	while ((error = module_attach(owner, id, arg, ctx)) == 0) {
		CHECK_EQ(sctx_put(*ctx), 0);
		*ctx = NULL;
		nap_ms(1);
	}
	CHECK_EQ(error, -ESHUTDOWN);
	return error;
}

static void *open_thread(void *stream)
{
	*(struct sctx_stream **)stream = stream_open(home, 1);
	return NULL;
}

static void *leave_thread(void *m)
{
	CHECK_EQ(module_leave(m, NULL), 0);
	return NULL;
}

static void an_attach_under_way_is_waited_for(void **state)
{
	struct module m;
	struct sctx_stream *stream = NULL;
	pthread_t opener, leaver;

	(void)state;
	gate_init(&in_attach);
	gate_init(&leave_attach);
	module_init(&m);
	m.ops.attach = attach_at_gate;
	m.ops.flags = SCTX_OWNER_REQUIRED;
	module_enter(&m, home);
	opener = thread_start(open_thread, &stream);
	gate_wait(&in_attach);
	leaver = thread_start(leave_thread, &m);
	nap_ms(50);
	assert_true(atomic_load(&m.there));
	gate_open(&leave_attach);
	thread_join(leaver);
	thread_join(opener);
	assert_non_null(stream);
	assert_rc(sctx_close(stream), 0);
}

static struct gate in_free, leave_free;

static void free_at_gate(struct sctx_context *ctx)
{
	gate_open(&in_free);
	gate_wait(&leave_free);
	CHECK(atomic_load(&module_of(ctx)->there));
}

static void a_callback_under_way_is_waited_for(void **state)
{
	struct module m;
	pthread_t leaver;

	(void)state;
	gate_init(&in_free);
	gate_init(&leave_free);
	module_init(&m);
	m.ops.free = free_at_gate;
	module_enter(&m, home);
	assert_rc(sctx_put(module_context(&m, NULL)), 0);
	gate_wait(&in_free);
	leaver = thread_start(leave_thread, &m);
	nap_ms(50);
	assert_true(atomic_load(&m.there));
	gate_open(&leave_free);
	thread_join(leaver);
}

/* -------------------------------------------------------------------- fork */

static void child_leaves(void *arg)
{
	CHECK_EQ(module_leave(arg, NULL), 0);
}

/* Each process has its own owners; in the child the module can leave by itself. */
static void parent_and_child_each_leave(void **state)
{
	struct module m;
	struct sctx_stream *s;
	pid_t pid;

	(void)state;
	if (TEST_TSAN) /* follows no thread into a child */
		skip();
	s = stream_open(home, 1);
	module_init(&m);
	module_enter(&m, home);
	module_insert(&m, s);
	pid = child_start(child_leaves, &m);
	assert_child_ok(pid);
	assert_non_null(peek(s, m.owner, NULL));
	assert_rc(module_leave(&m, NULL), 0);
	assert_rc(sctx_close(s), 0);
}

/* The thread that was unregistering is not in the child. */
static void a_child_can_finish_what_another_thread_began(void **state)
{
	struct module m;
	struct sctx_stream *stream = NULL;
	pthread_t leaver;
	pid_t pid;

	(void)state;
	if (TEST_TSAN)
		skip();
	gate_init(&in_free);
	gate_init(&leave_free);
	module_init(&m);
	m.ops.free = free_at_gate;
	module_enter(&m, home);
	stream = stream_open(home, 1);
	module_insert(&m, stream);
	leaver = thread_start(leave_thread, &m);
	gate_wait(&in_free);
	/* The callback under way in the parent is lost to the child: still held. */
	pid = fork();
	if (pid == 0) {
		alarm(20);
		_exit(sctx_owner_unregister(m.owner, NULL) == -EBUSY ? 0 : 1);
	}
	gate_open(&leave_free);
	thread_join(leaver);
	assert_child_ok(pid);
	assert_rc(sctx_close(stream), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_teardown)
		T(an_attach_under_way_is_waited_for),
		T(a_callback_under_way_is_waited_for),
		T(parent_and_child_each_leave),
		T(a_child_can_finish_what_another_thread_began),
	};

	return TEST_RUN(tests);
}
