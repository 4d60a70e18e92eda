/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners: registering, their contexts, attach at open, detached.
 * Leaving is in unload.c.
 */
#include "module.h"

static void leave(struct module *m)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };

	assert_rc(module_leave(m, &leaks), 0);
}

/* ---------------------------------------------------------------- register */

static void register_refuses_what_is_malformed(void **state)
{
	struct module m;
	struct sctx_owner *owner = (void *)1;

	(void)state;
	module_init(&m);
	assert_rc(sctx_owner_register(home, &m.ops, NULL), -EINVAL);
	assert_rc(sctx_owner_register(NULL, &m.ops, &owner), -EINVAL);
	assert_null(owner);
	assert_rc(sctx_owner_register(home, NULL, &owner), -EINVAL);

#define REFUSES(field, value)                                                  \
	do {                                                                   \
		module_init(&m);                                               \
		m.ops.field = value;                                           \
		owner = (void *)1;                                             \
		assert_rc(sctx_owner_register(home, &m.ops, &owner), -EINVAL); \
		assert_null(owner);                                            \
	} while (0)
	REFUSES(size, sizeof(m.ops.size));
	REFUSES(name, NULL);
	REFUSES(name, "");
	REFUSES(name, "a name of thirty-two characters.");
	REFUSES(tag, 0);
	REFUSES(flags, 4);
#undef REFUSES
}

static void an_owner_knows_what_it_was_registered_with(void **state)
{
	char name[] = "a name of thirty-one characters";
	struct module m;

	(void)state;
	module_init(&m);
	m.ops.name = name;
	module_enter(&m, home);
	name[0] = 'X'; /* it was copied */
	assert_string_equal(sctx_owner_name(m.owner), "a name of thirty-one characters");
	assert_int_equal(sctx_owner_tag(m.owner), MODULE_TAG);
	assert_ptr_equal(sctx_owner_arg(m.owner), &m);
	assert_null(sctx_owner_name(NULL));
	assert_int_equal(sctx_owner_tag(NULL), 0);
	assert_null(sctx_owner_arg(NULL));
	assert_rc(sctx_registry_destroy(home), -EBUSY);
	leave(&m);
}

static void the_number_of_attaching_owners_is_limited(void **state)
{
	static struct module m[SCTX_ATTACH_MAX + 2];
	struct sctx_owner *owner;

	(void)state;
	for (int i = 0; i < SCTX_ATTACH_MAX; i++) {
		module_init(&m[i]);
		m[i].ops.attach = module_attach;
		module_enter(&m[i], home);
	}
	module_init(&m[SCTX_ATTACH_MAX]);
	m[SCTX_ATTACH_MAX].ops.attach = module_attach;
	assert_rc(sctx_owner_register(home, &m[SCTX_ATTACH_MAX].ops, &owner), -ENOSPC);
	assert_null(owner);
	/* Those that do not attach are not limited. */
	module_init(&m[SCTX_ATTACH_MAX + 1]);
	module_enter(&m[SCTX_ATTACH_MAX + 1], home);

	assert_rc(sctx_close(stream_open(home, 1)), 0);
	for (int i = 0; i < SCTX_ATTACH_MAX; i++)
		assert_u64(atomic_load(&m[i].made), ==, 1);
	/* One leaves, one comes. */
	leave(&m[3]);
	module_enter(&m[SCTX_ATTACH_MAX], home);
	assert_rc(sctx_close(stream_open(home, 1)), 0);
	assert_u64(atomic_load(&m[SCTX_ATTACH_MAX].made), ==, 1);
	for (int i = 0; i < SCTX_ATTACH_MAX + 2; i++)
		if (i != 3)
			leave(&m[i]);
}

/* ---------------------------------------------------------------- contexts */

/* No sum of a context's parts wraps around, whatever each of them is. */
static void sizes_that_no_memory_has(void **state)
{
	static const size_t context_size[] = { SIZE_MAX,      SIZE_MAX - 15,  SIZE_MAX - 47,
					       SIZE_MAX - 48, SIZE_MAX - 300, SIZE_MAX / 2 + 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(context_size) / sizeof(context_size[0]); i++) {
		struct module m;

		module_init(&m);
		m.ops.detached = NULL;
		m.ops.context_size = context_size[i];
		module_enter(&m, home);
		for (size_t n = 0; n < 300; n++) {
			const size_t extra[] = { n, SIZE_MAX / 2 - n, SIZE_MAX - n };

			for (int k = 0; k < 3; k++) {
				struct sctx_context *ctx = (void *)1;

				assert_rc(sctx_context_alloc(m.owner, NULL, extra[k], &ctx),
					  -ENOMEM);
				assert_null(ctx);
			}
		}
		assert_rc(module_leave(&m, NULL), 0);
	}
}

static void alloc_gives_zeroed_bytes_of_the_module(void **state)
{
	struct module m;
	struct sctx_context *ctx = (void *)1;
	size_t size = sizeof(struct module_data) + 1000;

	(void)state;
	module_init(&m);
	m.ops.detached = NULL;
	module_enter(&m, home);
	assert_rc(sctx_context_alloc(m.owner, NULL, 0, NULL), -EINVAL);
	assert_rc(sctx_context_alloc(NULL, NULL, 0, &ctx), -EINVAL);
	assert_null(ctx);
	assert_rc(sctx_context_alloc(m.owner, NULL, SIZE_MAX - 10, &ctx), -ENOMEM);
	assert_null(ctx);
	assert_rc(sctx_context_alloc(m.owner, NULL, SIZE_MAX / 2, &ctx), -ENOMEM);

	for (int round = 0; round < 2; round++) {
		const char *data;
		void *used = sctx_alloc(SCTX_POOL_PAGED, sizeof(*ctx) + size, 'u');

		/* What is allocated next, most likely. */
		memset(used, 0xff, sizeof(*ctx) + size);
		assert_rc(sctx_free(used, 'u'), 0);
		assert_rc(sctx_context_alloc(m.owner, INST(1), 1000, &ctx), 0);
		assert_ptr_equal(ctx->owner, m.owner);
		assert_ptr_equal(ctx->instance, INST(1));
		data = sctx_context_data(ctx);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(data[i], 0);
		memset(sctx_context_data(ctx), 0xff, size);
		module_data(ctx)->canary = ITEM_ALIVE;
		assert_rc(sctx_put(ctx), 0);
		assert_rc(sctx_owner_drain(m.owner), 0);
		assert_u64(atomic_load(&m.freed), ==, round + 1);
	}
	leave(&m);
}

static void contexts_without_callbacks_are_freed(void **state)
{
	struct module m;
	struct sctx_stream *stream;

	(void)state;
	module_init(&m);
	m.ops.free = NULL;
	m.ops.detached = NULL;
	module_enter(&m, home);
	stream = stream_open(home, 1);
	for (int i = 0; i < 5; i++)
		module_insert(&m, stream);
	assert_rc(sctx_close(stream), 0);
	leave(&m); /* or -EBUSY: they were not counted */
}

struct embedding {
	char before[40];
	struct sctx_context ctx;
	struct module *module;
};

static void embedded_free(struct sctx_context *ctx)
{
	struct embedding *e = container_of(ctx, struct embedding, ctx);

	CHECK(atomic_load(&e->module->there));
	atomic_fetch_add(&e->module->freed, 1);
	free(e);
}

static void a_module_may_allocate_by_itself(void **state)
{
	struct module m;
	struct sctx_stream stream;
	struct sctx_context bare;

	(void)state;
	module_init(&m);
	m.ops.detached = NULL;
	m.ops.free = NULL;
	module_enter(&m, home);
	assert_rc(sctx_owner_context_init(m.owner, &bare, NULL), -EINVAL);
	leave(&m);

	m.ops.free = embedded_free;
	module_enter(&m, home);
	assert_rc(sctx_owner_context_init(NULL, &bare, NULL), -EINVAL);
	assert_rc(sctx_owner_context_init(m.owner, NULL, NULL), -EINVAL);
	sctx_stream_init(&stream);
	for (unsigned int i = 0; i < 3; i++) {
		struct embedding *e = malloc(sizeof(*e));

		e->module = &m;
		assert_rc(sctx_owner_context_init(m.owner, &e->ctx, INST(i)), 0);
		assert_rc(sctx_insert(&stream, &e->ctx), 0);
		assert_ptr_equal(peek(&stream, m.owner, INST(i)), &e->ctx);
	}
	stream_end(&stream);
	assert_u64(atomic_load(&m.freed), ==, 3);
	leave(&m);
}

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
	leave(&a);
	leave(&b);
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
		leave(&m[i]);
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
	leave(&a);
	leave(&b);
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
	leave(&b);
	b.ops.attach = attach_and_fail;
	module_enter(&b, home);
	assert_rc(sctx_open(home, &id, 0, &stream), -EIO);
	leave(&b);
	leave(&a); /* -EBUSY if what was not linked was lost */
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
	leave(&m);
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
	leave(&m);
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
	assert_u64(atomic_load(&m.freed), ==, 3);
	leave(&m);
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
	leave(&m);
	assert_u64(atomic_load(&m.freed), ==, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_teardown)
		T(register_refuses_what_is_malformed),
		T(an_owner_knows_what_it_was_registered_with),
		T(the_number_of_attaching_owners_is_limited),
		T(sizes_that_no_memory_has),
		T(alloc_gives_zeroed_bytes_of_the_module),
		T(contexts_without_callbacks_are_freed),
		T(a_module_may_allocate_by_itself),
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
