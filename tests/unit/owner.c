/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners: registering, and their contexts.  Leaving is in unload.c.
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
	REFUSES(flags, 8);
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
	};

	return TEST_RUN(tests);
}
