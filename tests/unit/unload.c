/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules that leave: sctx_owner_unregister() alone, with tracked streams, and
 * with holders.  A module's callback that comes after it has left kills the
 * program (module.c).
 */
#include "module.h"

static struct sctx_leaks leaks;

static int leave(struct module *m)
{
	leaks = (struct sctx_leaks){ .size = sizeof(leaks) };
	return module_leave(m, &leaks);
}

/* ------------------------------------------------------------------- alone */

#define STREAMS 3000

static void unregister_unlinks_from_all_streams(void **state)
{
	static struct sctx_stream *stream[STREAMS];
	struct module a, b;

	(void)state;
	module_init(&a);
	module_init(&b);
	a.ops.attach = b.ops.attach = module_attach;
	module_enter(&a, home);
	module_enter(&b, home);
	for (unsigned int i = 0; i < STREAMS; i++) {
		stream[i] = stream_open(home, i);
		if (i % 5 == 0) /* more than one on a stream */
			module_insert(&a, stream[i]);
	}
	assert_rc(leave(&a), 0);
	assert_u64(atomic_load(&a.detached), ==, STREAMS + STREAMS / 5);
	assert_u64(atomic_load(&a.freed), ==, STREAMS + STREAMS / 5);
	assert_u64(atomic_load(&b.detached), ==, 0);
	for (unsigned int i = 0; i < STREAMS; i++) {
		assert_null(peek(stream[i], a.owner, NULL));
		assert_non_null(peek(stream[i], b.owner, NULL));
	}
	/* It is forgotten, and asked no more. */
	assert_rc(sctx_owner_unregister(a.owner, NULL), -ENOENT);
	assert_rc(sctx_close(stream_open(home, STREAMS)), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_rc(sctx_close(stream[i]), 0);
	assert_rc(leave(&b), 0);
}

static void refuses_what_is_malformed_or_cannot_wait(void **state)
{
	struct module m;

	(void)state;
	assert_rc(sctx_owner_unregister(NULL, NULL), -EINVAL);
	assert_rc(sctx_owner_drain(NULL), -EINVAL);
	module_init(&m);
	module_enter(&m, home);
	leaks.size = sizeof(leaks) - 1;
	assert_rc(sctx_owner_unregister(m.owner, &leaks), -EINVAL);
	sctx_read_lock();
	assert_rc(sctx_owner_unregister(m.owner, NULL), -EDEADLK);
	assert_rc(sctx_owner_drain(m.owner), -EDEADLK);
	sctx_read_unlock();
	/* Nothing has changed. */
	assert_rc(sctx_put(module_context(&m, NULL)), 0);
	assert_rc(leave(&m), 0);
}

static void leave_in_callback(struct item *item)
{
	CHECK_EQ(sctx_owner_unregister(item->arg, NULL), -EDEADLK);
	CHECK_EQ(sctx_owner_drain(item->arg), -EDEADLK);
}

static void unregister_in_a_callback_is_refused(void **state)
{
	struct module m;
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	item->hook = leave_in_callback;
	item->arg = m.owner;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
	assert_rc(leave(&m), 0);
}

static void drain_waits_for_the_owners_callbacks(void **state)
{
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	for (unsigned int i = 1; i <= 100; i++) {
		assert_rc(sctx_put(module_context(&m, NULL)), 0);
		assert_rc(sctx_owner_drain(m.owner), 0);
		assert_u64(atomic_load(&m.freed), ==, i);
	}
	assert_rc(leave(&m), 0);
}

/* ----------------------------------------------------------------- tracked */

static void tracked_streams_are_swept(void **state)
{
	static struct sctx_stream s[100];
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	for (int i = 0; i < 100; i++) {
		sctx_stream_init(&s[i]);
		assert_rc(sctx_stream_track(home, &s[i]), 0);
		module_insert(&m, &s[i]);
	}
	assert_rc(sctx_stream_track(home, &s[0]), -EALREADY);
	assert_rc(sctx_registry_destroy(home), -EBUSY);
	/* A disabled stream's contexts hang there still. */
	assert_rc(sctx_stream_disable(&s[7]), 0);
	for (int i = 0; i < 50; i++)
		assert_rc(sctx_teardown(&s[i * 2]), 0);
	assert_u64(atomic_load(&m.detached), ==, 50);
	assert_rc(leave(&m), 0);
	assert_u64(atomic_load(&m.detached), ==, 100);
	assert_u64(atomic_load(&m.freed), ==, 100);
	/* They go on as before. */
	module_enter(&m, home);
	module_insert(&m, &s[1]);
	assert_rc(leave(&m), 0);
	for (int i = 0; i < 100; i++)
		assert_rc(sctx_teardown_sync(&s[i]), 0);
}

static void track_refuses(void **state)
{
	struct sctx_stream s, zero = { 0 };
	struct sctx_stream *managed = stream_open(home, 1);

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_stream_track(NULL, &s), -EINVAL);
	assert_rc(sctx_stream_track(home, NULL), -EINVAL);
	assert_rc(sctx_stream_track(home, managed), -EPERM);
	assert_rc(sctx_stream_track(home, &zero), -EOPNOTSUPP);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_stream_track(home, &s), -ESHUTDOWN);
	sctx_stream_init(&s);
	assert_rc(sctx_stream_disable(&s), 0);
	assert_rc(sctx_stream_track(home, &s), -EOPNOTSUPP);
	assert_rc(sctx_close(managed), 0);
}

static void retire_free(struct sctx_stream *stream)
{
	free(stream);
}

static void a_tracked_stream_can_be_retired(void **state)
{
	struct sctx_stream *s = malloc(sizeof(*s));

	(void)state;
	sctx_stream_init(s);
	assert_rc(sctx_stream_track(home, s), 0);
	assert_rc(sctx_stream_retire(s, retire_free), 0);
	assert_rc(sctx_barrier(), 0);
	/* registry_destroy() in the teardown shows that it is off the list. */
}

/* An embedded stream that nobody told of: its context cannot be found. */
static void contexts_on_untracked_streams_are_counted_as_held(void **state)
{
	struct sctx_stream s;
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	sctx_stream_init(&s);
	module_insert(&m, &s);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 1);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(leave(&m), 0);
}

/* ----------------------------------------------------------------- holders */

static const struct sctx_leak *leak_of(const struct sctx_context *ctx)
{
	for (unsigned int i = 0; i < leaks.listed; i++)
		if (leaks.leak[i].ctx == ctx)
			return &leaks.leak[i];
	fail_msg("%p is not in the report", (const void *)ctx);
	return NULL;
}

static void holders_are_reported_and_keep_what_they_hold(void **state)
{
	struct module m;
	struct sctx_stream *s[3];
	struct sctx_context *held[3], *refused = (void *)1;

	(void)state;
	module_init(&m);
	m.ops.name = "holder";
	m.ops.attach = module_attach;
	module_enter(&m, home);
	for (unsigned int i = 0; i < 3; i++)
		s[i] = stream_open(home, 100 + i);
	held[0] = sctx_get(s[0], m.owner, NULL);    /* beside the stream's, swept */
	held[1] = sctx_remove(s[1], m.owner, NULL); /* handed out */
	held[2] = sctx_get(s[2], m.owner, NULL);
	assert_rc(sctx_close(s[2]), 0); /* torn down before */

	assert_rc(leave(&m), -EBUSY);
	assert_string_equal(leaks.name, "holder");
	assert_int_equal(leaks.tag, MODULE_TAG);
	assert_u64(leaks.held, ==, 3);
	assert_int_equal(leaks.listed, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct sctx_leak *leak = leak_of(held[i]);

		assert_true(leak->has_id);
		assert_u64(id_number(&leak->id), ==, 100 + i);
		assert_int_equal(module_data(held[i])->canary, ITEM_ALIVE);
	}
	/* No way back, and no way in. */
	assert_rc(sctx_context_alloc(m.owner, NULL, 0, &refused), -ESHUTDOWN);
	assert_null(refused);
	assert_rc(sctx_insert(s[0], held[0]), -ESHUTDOWN);
	assert_rc(sctx_insert_unique(s[0], held[0], NULL), -ESHUTDOWN);
	assert_rc(sctx_replace(s[0], held[0], NULL), -ESHUTDOWN);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 3);
	assert_int_equal(leaks.listed, 3);
	assert_ptr_equal(leak_of(held[0])->ctx, held[0]);
	assert_rc(sctx_close(stream_open(home, 200)), 0);
	assert_u64(atomic_load(&m.made), ==, 3);

	assert_rc(sctx_put(held[0]), 0);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 2);
	assert_int_equal(leaks.listed, 2);
	assert_rc(sctx_put(held[1]), 0);
	assert_rc(sctx_put(held[2]), 0);
	assert_rc(leave(&m), 0);
	assert_u64(atomic_load(&m.freed), ==, 3);
	assert_rc(sctx_close(s[0]), 0);
	assert_rc(sctx_close(s[1]), 0);
}

static void more_holders_than_the_report_lists(void **state)
{
	enum { N = SCTX_LEAKS_LISTED + 5 };
	struct sctx_context *held[N];
	struct module m;

	(void)state;
	module_init(&m);
	m.ops.attach = module_attach;
	module_enter(&m, home);
	for (unsigned int i = 0; i < N; i++) {
		struct sctx_stream *s = stream_open(home, i);

		held[i] = sctx_get(s, m.owner, NULL);
		assert_rc(sctx_close(s), 0);
	}
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, N);
	assert_int_equal(leaks.listed, SCTX_LEAKS_LISTED);
	for (unsigned int i = 0; i < N; i++)
		assert_rc(sctx_put(held[i]), 0);
	assert_rc(leave(&m), 0);
}

/* A note of who held something goes with the last put, and with an insert. */
static void notes_do_not_pile_up(void **state)
{
	struct module m;
	struct sctx_stream *s = stream_open(home, 1);
	struct sctx_context *last = NULL;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	for (int i = 0; i < 5 * SCTX_LEAKS_LISTED; i++) {
		struct sctx_context *ctx = module_insert(&m, s);

		assert_ptr_equal(sctx_remove(s, m.owner, NULL), ctx);
		if (i % 2) {
			assert_rc(sctx_put(ctx), 0);
			continue;
		}
		assert_rc(sctx_insert(s, ctx), 0);
		assert_rc(sctx_delete(s, m.owner, NULL), 0);
	}
	/* Noted once, though there are two who hold it. */
	assert_non_null(sctx_ref(module_insert(&m, s)));
	last = sctx_remove(s, m.owner, NULL);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 1);
	assert_int_equal(leaks.listed, 1);
	leak_of(last);
	assert_rc(sctx_put(last), 0);
	assert_rc(sctx_put(last), 0);
	assert_rc(leave(&m), 0);
	assert_rc(sctx_close(s), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_teardown)
		T(unregister_unlinks_from_all_streams),
		T(refuses_what_is_malformed_or_cannot_wait),
		T(unregister_in_a_callback_is_refused),
		T(drain_waits_for_the_owners_callbacks),
		T(tracked_streams_are_swept),
		T(track_refuses),
		T(a_tracked_stream_can_be_retired),
		T(contexts_on_untracked_streams_are_counted_as_held),
		T(holders_are_reported_and_keep_what_they_hold),
		T(more_holders_than_the_report_lists),
		T(notes_do_not_pile_up),
	};

	return TEST_RUN(tests);
}
