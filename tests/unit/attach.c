/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owners that are attached at open, and detached at unlink.
 */
#include "module.h"

/* ------------------------------------------------------------------- attach */

static void attach_comes_before_anyone_sees_the_stream(void **state)
{
	struct module a, b;
	struct sctx_stream *stream, *again;
	struct sctx_context *ctx;

	(void)state;
	module_init(&a);
	module_init(&b);
	a.ops.attach = b.ops.attach = module_attach;
	module_enter(&a, home);
	module_enter(&b, home);
	stream = stream_open(home, 77);
	ctx = sctx_get(stream, a.owner, NULL);
	assert_non_null(ctx);
	assert_u64(module_data(ctx)->number, ==, 77);
	assert_rc(sctx_put(ctx), 0);
	assert_non_null(peek(stream, b.owner, NULL));
	/* Not again for a stream that is there. */
	again = stream_open(home, 77);
	assert_ptr_equal(again, stream);
	assert_u64(atomic_load(&a.made), ==, 1);
	assert_rc(sctx_close(stream), 0);
	assert_u64(atomic_load(&a.detached), ==, 0);
	assert_rc(sctx_close(stream), 0);
	assert_u64(atomic_load(&a.detached), ==, 1);
	assert_u64(atomic_load(&b.detached), ==, 1);
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&a.freed), ==, 1);
	assert_u64(atomic_load(&b.freed), ==, 1);
	/* OPEN_EXISTING makes nothing. */
	{
		struct sctx_id id = id_of(78);

		assert_rc(sctx_open(home, &id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
		assert_u64(atomic_load(&a.made), ==, 1);
	}
	assert_rc(module_leave(&a, NULL), 0);
	assert_rc(module_leave(&b, NULL), 0);
}

static void more_attach_than_a_stream_has_room_for(void **state)
{
	struct module m[7];
	struct sctx_stream *stream;

	(void)state;
	for (int i = 0; i < 7; i++) {
		module_init(&m[i]);
		m[i].ops.attach = module_attach;
		module_enter(&m[i], home);
	}
	stream = stream_open(home, 1);
	for (int i = 0; i < 7; i++)
		assert_non_null(peek(stream, m[i].owner, NULL));
	assert_rc(sctx_close(stream), 0);
	for (int i = 0; i < 7; i++)
		assert_rc(module_leave(&m[i], NULL), 0);
}

static void attach_may_decline_or_fail(void **state)
{
	struct module a, b;
	struct sctx_stream *stream;
	struct sctx_id id = id_of(5);

	(void)state;
	module_init(&a);
	module_init(&b);
	a.ops.attach = b.ops.attach = module_attach;
	b.ops.flags = SCTX_OWNER_REQUIRED;
	module_enter(&a, home);
	module_enter(&b, home);

	atomic_store(&a.attach, 1); /* declines */
	stream = stream_open(home, 5);
	assert_null(peek(stream, a.owner, NULL));
	assert_non_null(peek(stream, b.owner, NULL));
	assert_rc(sctx_close(stream), 0);

	atomic_store(&a.attach, -EACCES); /* fails, but nobody minds */
	stream = stream_open(home, 5);
	assert_null(peek(stream, a.owner, NULL));
	assert_rc(sctx_close(stream), 0);

	atomic_store(&a.attach, 0);
	atomic_store(&b.attach, 1); /* one who is required may decline as well */
	stream = stream_open(home, 5);
	assert_non_null(peek(stream, a.owner, NULL));
	assert_null(peek(stream, b.owner, NULL));
	assert_rc(sctx_close(stream), 0);

	atomic_store(&b.attach, -EACCES); /* fails: no open, and a's context goes */
	assert_u64(atomic_load(&a.detached), ==, 1);
	assert_rc(sctx_open(home, &id, 0, &stream), -EACCES);
	assert_null(stream);
	assert_u64(atomic_load(&a.made), ==, 2);
	assert_u64(atomic_load(&a.detached), ==, 2);
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&a.freed), ==, 2);
	assert_rc(sctx_open(home, &id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
	assert_rc(module_leave(&a, NULL), 0);
	assert_rc(module_leave(&b, NULL), 0);
}

static struct sctx_owner *other_owner;

static int attach_anothers(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			   struct sctx_context **ctx)
{
	(void)arg;
	(void)id;
	(void)owner;
	return sctx_context_alloc(other_owner, NULL, 0, ctx);
}

static int attach_and_fail(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			   struct sctx_context **ctx)
{
	(void)arg;
	(void)id;
	CHECK_EQ(sctx_context_alloc(owner, NULL, 0, ctx), 0);
	return -EIO;
}

static void results_of_attach_are_validated(void **state)
{
	struct module a, b;
	struct sctx_stream *stream;
	struct sctx_id id = id_of(9);

	(void)state;
	module_init(&a);
	a.ops.free = a.ops.detached = NULL;
	module_enter(&a, home);
	other_owner = a.owner;
	module_init(&b);
	b.ops.free = b.ops.detached = NULL;
	b.ops.flags = SCTX_OWNER_REQUIRED;
	b.ops.attach = attach_anothers;
	module_enter(&b, home);
	assert_rc(sctx_open(home, &id, 0, &stream), -EINVAL);
	assert_rc(module_leave(&b, NULL), 0);
	b.ops.attach = attach_and_fail;
	module_enter(&b, home);
	assert_rc(sctx_open(home, &id, 0, &stream), -EIO);
	assert_rc(module_leave(&b, NULL), 0);
	assert_rc(module_leave(&a, NULL), 0); /* -EBUSY if what was not linked was lost */
}

static void attach_race_thread(unsigned int index, void *arg)
{
	struct module *m = arg;
	uint64_t n = 0;

	(void)index;
	for (uint64_t stop = test_deadline(300); !past(stop); n++) {
		struct sctx_stream *stream = stream_open(home, n % 3);
		struct sctx_context *ctx = sctx_get(stream, m->owner, NULL);

		CHECK(ctx);
		CHECK_EQ(module_data(ctx)->number, n % 3);
		CHECK_EQ(module_data(ctx)->canary, ITEM_ALIVE);
		CHECK_EQ(sctx_put(ctx), 0);
		CHECK_EQ(sctx_close(stream), 0);
	}
}

/* Several open one id at once: one stream, one context; what is too much goes. */
static void openers_race_to_attach(void **state)
{
	struct module m;

	(void)state;
	module_init(&m);
	m.ops.attach = module_attach;
	module_enter(&m, home);
	run_threads(4, attach_race_thread, &m);
	assert_rc(sctx_barrier(), 0);
	assert_u64(atomic_load(&m.made), >, 3);
	assert_u64(atomic_load(&m.made), ==, atomic_load(&m.detached));
	assert_u64(atomic_load(&m.made), ==, atomic_load(&m.freed));
	assert_rc(module_leave(&m, NULL), 0);
}

static int attach_slowly(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			 struct sctx_context **ctx)
{
	struct sctx_stream *other;
	struct sctx_id next = id_of(id_number(id) + 1);

	(void)arg;
	/* May open another stream, look around, and wait for callbacks. */
	if (id_number(id) % 10 == 0) {
		CHECK_EQ(sctx_open(sctx_owner_arg(owner), &next, 0, &other), 0);
		CHECK_EQ(sctx_close(other), 0);
		CHECK_EQ(sctx_barrier(), 0);
	}
	CHECK_EQ(sctx_owner_unregister(owner, NULL), -EDEADLK);
	return sctx_context_alloc(owner, NULL, 0, ctx);
}

static void attach_may_call_and_wait(void **state)
{
	struct module m;

	(void)state;
	module_init(&m);
	m.ops.attach = attach_slowly;
	m.ops.free = m.ops.detached = NULL;
	m.ops.arg = home;
	module_enter(&m, home);
	assert_rc(sctx_close(stream_open(home, 10)), 0);
	assert_rc(module_leave(&m, NULL), 0);
}

/* ----------------------------------------------------------------- detached */

static pthread_mutex_t module_lock = PTHREAD_MUTEX_INITIALIZER;
static const struct sctx_stream *where;

/* Takes the module's lock, cannot find the context any more, may hang things there. */
static void on_detached(struct module *m, struct sctx_context *ctx)
{
	pthread_mutex_lock(&module_lock);
	CHECK(sctx_lookup(where, m->owner, ctx->instance) != ctx);
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	pthread_mutex_unlock(&module_lock);
}

static struct sctx_stream *elsewhere;

static void link_elsewhere(struct module *m, struct sctx_context *ctx)
{
	m->hook = NULL;
	CHECK(sctx_ref(ctx) == ctx);
	CHECK_EQ(sctx_insert(elsewhere, ctx), 0);
}

/* Whatever unlinks it: it is the stream's reference that goes then. */
static void detached_may_link_it_elsewhere(void **state)
{
	struct sctx_stream stream, other;
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, home);
	elsewhere = &other;
	sctx_stream_init(&other);
	for (int way = 0; way < 3; way++) {
		struct sctx_context *ctx;

		sctx_stream_init(&stream);
		ctx = module_insert(&m, &stream);
		m.hook = link_elsewhere;
		if (way == 0)
			assert_rc(sctx_delete(&stream, m.owner, NULL), 0);
		else if (way == 1)
			assert_rc(sctx_detach(ctx), 0);
		assert_rc(sctx_teardown_sync(&stream), 0);
		assert_ptr_equal(peek(&other, m.owner, NULL), ctx);
		assert_rc(sctx_delete(&other, m.owner, NULL), 0);
	}
	assert_rc(sctx_teardown_sync(&other), 0);
	assert_rc(sctx_barrier(), 0); /* they were deleted before the teardown */
	assert_u64(atomic_load(&m.freed), ==, 3);
	assert_rc(module_leave(&m, NULL), 0);
}

static void detached_comes_once_whatever_unlinks(void **state)
{
	struct module m;
	struct sctx_stream *s;
	struct sctx_context *ctx, *old;

	(void)state;
	module_init(&m);
	m.hook = on_detached;
	module_enter(&m, home);
	s = stream_open(home, 1);
	where = s;
	ctx = module_insert(&m, s);
	assert_ptr_equal(sctx_remove(s, m.owner, NULL), ctx);
	assert_u64(atomic_load(&m.detached), ==, 1);
	/* Linked again: a second time. */
	assert_rc(sctx_insert(s, ctx), 0);
	assert_rc(sctx_delete(s, m.owner, NULL), 0);
	assert_u64(atomic_load(&m.detached), ==, 2);
	assert_rc(sctx_delete(s, m.owner, NULL), -ENOENT);
	assert_u64(atomic_load(&m.detached), ==, 2);

	ctx = module_insert(&m, s);
	sctx_ref(ctx);
	assert_rc(sctx_detach(ctx), 0);
	assert_u64(atomic_load(&m.detached), ==, 3);
	assert_rc(sctx_detach(ctx), -ENOENT);
	assert_u64(atomic_load(&m.detached), ==, 3);
	assert_rc(sctx_put(ctx), 0);

	module_insert(&m, s);
	assert_rc(sctx_replace(s, module_context(&m, NULL), NULL), 0);
	assert_u64(atomic_load(&m.detached), ==, 4);
	assert_rc(sctx_replace(s, module_context(&m, NULL), &old), 0);
	assert_u64(atomic_load(&m.detached), ==, 5);
	assert_rc(sctx_put(old), 0);

	/* What could not be inserted was not detached either. */
	ctx = module_context(&m, NULL);
	assert_rc(sctx_insert_unique(s, ctx, NULL), -EEXIST);
	assert_rc(sctx_put(ctx), 0);
	assert_u64(atomic_load(&m.detached), ==, 5);

	assert_rc(sctx_close(s), 0);
	assert_u64(atomic_load(&m.detached), ==, 6);
	assert_rc(module_leave(&m, NULL), 0);
	assert_u64(atomic_load(&m.freed), ==, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_teardown)
		T(attach_comes_before_anyone_sees_the_stream),
		T(more_attach_than_a_stream_has_room_for),
		T(attach_may_decline_or_fail),
		T(results_of_attach_are_validated),
		T(openers_race_to_attach),
		T(attach_may_call_and_wait),
		T(detached_comes_once_whatever_unlinks),
		T(detached_may_link_it_elsewhere),
	};

	return TEST_RUN(tests);
}
