/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md about a stream's list: set-up,
 * matching, removal.  None needs a race.
 */
#include "test.h"

static void case_01_init_stores_the_three_fields(void **state)
{
	struct sctx_context ctx;

	(void)state;
	memset(&ctx, 0xa5, sizeof(ctx));
	assert_rc(sctx_context_init(&ctx, OWNER(1), INST(2), SCTX_NO_FREE), 0);
	assert_ptr_equal(ctx.owner, OWNER(1));
	assert_ptr_equal(ctx.instance, INST(2));
	assert_ptr_equal(ctx.free_callback, sctx_no_free);

	memset(&ctx, 0xa5, sizeof(ctx));
	assert_rc(sctx_context_init(&ctx, OWNER(3), NULL, SCTX_NO_FREE), 0);
	assert_ptr_equal(ctx.owner, OWNER(3));
	assert_null(ctx.instance);
}

static void case_02_set_up_is_supported_and_empty(void **state)
{
	struct sctx_stream s;

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	assert_rc(sctx_stream_init(&s), 0);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	assert_null(sctx_remove(&s, NULL, NULL));
	stream_end(&s);
}

static void case_03_null_stream(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	assert_false(sctx_stream_supports_contexts(NULL));
	assert_null(peek(NULL, NULL, NULL));
	assert_null(peek(NULL, OWNER(1), NULL));
	assert_null(sctx_get(NULL, OWNER(1), NULL));
	assert_null(sctx_remove(NULL, OWNER(1), NULL));
	assert_rc(sctx_insert(NULL, &a->ctx), -EINVAL);

	/* The refused context is still the caller's. */
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void case_04_disabled_stream(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, &a->ctx), -EOPNOTSUPP);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, NULL, NULL));
	stream_end(&s);

	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void case_05_lookup_on_an_empty_list(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	assert_null(sctx_get(&s, NULL, NULL));

	/* Empty again is empty too. */
	a = item_insert(&s, OWNER(1), INST(1));
	assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(1)), &a->ctx);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	stream_end(&s);
	item_free(a);
}

static void case_06_null_null_is_the_newest(void **state)
{
	struct item *items[20];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item_insert(&s, OWNER(i % 3), i % 2 ? INST(i) : NULL);
		assert_ptr_equal(peek(&s, NULL, NULL), &items[i]->ctx);
	}
	for (size_t i = ARRAY_SIZE(items); i-- > 0;) {
		assert_ptr_equal(peek(&s, NULL, NULL), &items[i]->ctx);
		assert_ptr_equal(sctx_remove(&s, NULL, NULL), &items[i]->ctx);
		item_free(items[i]);
	}
	assert_null(peek(&s, NULL, NULL));
	stream_end(&s);
}

static void case_07_owner_null_skips_other_owners(void **state)
{
	struct sctx_stream s;
	struct item *a1, *a2, *b, *c;

	(void)state;
	sctx_stream_init(&s);
	a1 = item_insert(&s, OWNER(1), INST(1));
	a2 = item_insert(&s, OWNER(1), INST(2));
	b = item_insert(&s, OWNER(2), INST(2));
	c = item_insert(&s, OWNER(3), NULL);

	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a2->ctx);
	assert_ptr_equal(peek(&s, OWNER(2), NULL), &b->ctx);
	assert_ptr_equal(peek(&s, OWNER(3), NULL), &c->ctx);
	assert_null(peek(&s, OWNER(4), NULL));

	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a2->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a1->ctx);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a1->ctx);
	assert_null(peek(&s, OWNER(1), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &c->ctx);

	stream_end(&s);
	assert_int_equal(item_called(a1) + item_called(a2), 0);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(c), 1);
	item_free(a1);
	item_free(a2);
	item_free(b);
	item_free(c);
}

static void case_08_a_missing_instance_is_null_though_the_owner_is_there(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(1), NULL);

	assert_null(peek(&s, OWNER(1), INST(2)));
	assert_null(sctx_get(&s, OWNER(1), INST(2)));
	assert_null(sctx_remove(&s, OWNER(1), INST(2)));
	assert_rc(sctx_delete(&s, OWNER(1), INST(2)), -ENOENT);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &b->ctx);

	stream_end(&s);
	item_free(a);
	item_free(b);
}

static void case_09_null_owner_with_an_instance_is_null(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	assert_null(peek(&s, NULL, INST(1)));
	assert_null(sctx_get(&s, NULL, INST(1)));
	assert_null(sctx_remove(&s, NULL, INST(1)));
	assert_rc(sctx_delete(&s, NULL, INST(1)), -ENOENT);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	stream_end(&s);
	item_free(a);
}

static void case_10_remove_never_calls_back(void **state)
{
	struct item *items[10];
	struct sctx_stream s, other;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = item_insert(&s, OWNER(i), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_ptr_equal(sctx_remove(&s, OWNER(i), NULL), &items[i]->ctx);
	stream_end(&s);
	assert_rc(sctx_barrier(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_int_equal(item_called(items[i]), 0);

	/* The reference is the caller's: it may hang the context elsewhere. */
	assert_rc(sctx_insert(&other, &items[0]->ctx), 0);
	assert_ptr_equal(peek(&other, OWNER(0), NULL), &items[0]->ctx);
	stream_end(&other);
	assert_int_equal(item_called(items[0]), 1);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		item_free(items[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_01_init_stores_the_three_fields),
		cmocka_unit_test(case_02_set_up_is_supported_and_empty),
		cmocka_unit_test(case_03_null_stream),
		cmocka_unit_test(case_04_disabled_stream),
		cmocka_unit_test(case_05_lookup_on_an_empty_list),
		cmocka_unit_test(case_06_null_null_is_the_newest),
		cmocka_unit_test(case_07_owner_null_skips_other_owners),
		cmocka_unit_test(case_08_a_missing_instance_is_null_though_the_owner_is_there),
		cmocka_unit_test(case_09_null_owner_with_an_instance_is_null),
		cmocka_unit_test(case_10_remove_never_calls_back),
	};

	return TEST_RUN(tests);
}
