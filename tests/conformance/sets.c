/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md about setting, replacing and
 * references that need no race.  set_races.c has the races.
 */
#include "test.h"

static void case_22_replace_with_no_out_parameter(void **state)
{
	struct sctx_stream s;
	struct item *old, *new, *last;

	(void)state;
	sctx_stream_init(&s);
	old = item_insert(&s, OWNER(1), INST(1));
	new = item_new(OWNER(1), INST(1));
	last = item_new(OWNER(1), INST(1));

	assert_rc(sctx_replace(&s, &new->ctx, NULL), 0);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &new->ctx);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(old), 1);
	assert_int_equal(item_called(new), 0);

	assert_rc(sctx_replace(&s, &last->ctx, NULL), 0);
	stream_end(&s);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(old), 1);
	assert_int_equal(item_called(new), 1);
	assert_int_equal(item_called(last), 1);
	item_free(old);
	item_free(new);
	item_free(last);
}

static struct sctx_context *give(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	return arg;
}

static void case_23_the_same_context_on_two_streams(void **state)
{
	struct sctx_context *out = (void *)1;
	struct sctx_stream s, other;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);

	assert_rc(sctx_insert(&other, &a->ctx), -EBUSY);
	assert_rc(sctx_insert(&s, &a->ctx), -EBUSY);
	assert_rc(sctx_insert_unique(&other, &a->ctx, &out), -EBUSY);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&other, &a->ctx, &out), -EBUSY);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&other, OWNER(1), NULL, give, &a->ctx, &out), -EBUSY);
	assert_null(out);

	/* Still on the first, once, and not on the second. */
	assert_null(peek(&other, NULL, NULL));
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);
	assert_null(peek(&s, NULL, NULL));
	/* Handed back, it may hang on the second. */
	assert_rc(sctx_insert(&other, &a->ctx), 0);
	stream_end(&other);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static struct sctx_context *create_nothing(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	(void)arg;
	return NULL;
}

static void case_24_what_fails_writes_null(void **state)
{
	struct sctx_id id = id_of(1);
	struct sctx_context *out = (void *)1;
	struct sctx_stream *stream = (void *)1;
	struct sctx_registry *registry;
	struct sctx_stream s;
	struct item *a = item_new(OWNER(1), NULL), *b;

	(void)state;
	sctx_stream_init(&s);
	assert_null(sctx_get(&s, OWNER(1), NULL));

	assert_rc(sctx_get_or_create(&s, OWNER(1), NULL, create_nothing, NULL, &out), -ENOMEM);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&s, NULL, NULL, item_create, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(NULL, OWNER(1), NULL, item_create, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_insert_unique(NULL, &a->ctx, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_insert_unique(&s, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(NULL, &a->ctx, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&s, NULL, &out), -EINVAL);
	assert_null(out);

	/* Success with nothing to hand out writes NULL too. */
	out = (void *)1;
	assert_rc(sctx_replace(&s, &a->ctx, &out), 0);
	assert_null(out);
	out = (void *)1;
	b = item_new(OWNER(2), NULL);
	assert_rc(sctx_insert_unique(&s, &b->ctx, &out), 0);
	assert_null(out);

	stream_end(&s);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, &out), -ESHUTDOWN);
	assert_null(out);

	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
	assert_null(stream);
	stream = (void *)1;
	assert_rc(sctx_open(NULL, &id, 0, &stream), -EINVAL);
	assert_null(stream);
	stream = (void *)1;
	assert_rc(sctx_open(registry, NULL, 0, &stream), -EINVAL);
	assert_null(stream);
	assert_rc(sctx_registry_destroy(registry), 0);
	item_free(a);
	item_free(b);
}

static void case_25_delete_by_pointer(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);

	assert_rc(sctx_detach(&a->ctx), 0);
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, OWNER(1), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &b->ctx);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);

	/* Ours until we put it. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	item_check(a);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);

	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	item_free(b);
}

static void case_26_cleanup_on_the_last_put_after_teardown(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);

	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 0);
	assert_int_equal(item_called(b), 1);

	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	item_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_22_replace_with_no_out_parameter),
		cmocka_unit_test(case_23_the_same_context_on_two_streams),
		cmocka_unit_test(case_24_what_fails_writes_null),
		cmocka_unit_test(case_25_delete_by_pointer),
		cmocka_unit_test(case_26_cleanup_on_the_last_put_after_teardown),
	};

	return TEST_RUN(tests);
}
