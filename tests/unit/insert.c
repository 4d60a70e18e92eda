/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ways to put a context on a stream and to take it off: insert_unique, replace,
 * get_or_create, delete.
 */
#include "test.h"

/* ------------------------------------------------- unique, replace, create */

static void insert_unique_keeps_what_is_there(void **state)
{
	struct sctx_context *existing = (void *)1;
	struct item *a = item_new(OWNER(1), INST(1)), *b = item_new(OWNER(1), INST(1));
	struct item *c = item_new(OWNER(1), NULL), *d = item_new(OWNER(2), NULL);
	struct item *e = item_new(OWNER(1), INST(2));
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_insert_unique(&s, &a->ctx, &existing), 0);
	assert_null(existing);
	assert_rc(sctx_insert_unique(&s, &b->ctx, &existing), -EEXIST);
	assert_ptr_equal(existing, &a->ctx);
	/* (owner, NULL) is found by whatever instance there is of that owner. */
	existing = NULL;
	assert_rc(sctx_insert_unique(&s, &c->ctx, &existing), -EEXIST);
	assert_ptr_equal(existing, &a->ctx);
	assert_rc(sctx_insert_unique(&s, &c->ctx, NULL), -EEXIST);
	assert_rc(sctx_insert_unique(&s, &d->ctx, NULL), 0);
	assert_rc(sctx_insert_unique(&s, &e->ctx, &existing), 0);
	assert_null(existing);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), INST(2)), &e->ctx);

	/* @existing was referenced twice; without an out-parameter never. */
	assert_rc(sctx_delete(&s, OWNER(1), INST(1)), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);

	/* The refused ones are still the caller's and not linked. */
	assert_rc(sctx_insert_unique(&s, &b->ctx, &existing), 0);
	assert_rc(sctx_put(&c->ctx), 0);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(c), 1);
	assert_int_equal(item_called(d), 1);
	assert_int_equal(item_called(e), 1);
	item_free(a);
	item_free(b);
	item_free(c);
	item_free(d);
	item_free(e);
}

/* An instance that is there does not stand for the owner without one. */
static void insert_unique_of_an_instance_beside_a_null_one(void **state)
{
	struct item *a, *b = item_new(OWNER(1), INST(1));
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	assert_rc(sctx_insert_unique(&s, &b->ctx, NULL), 0);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &b->ctx);
	stream_end(&s);
	item_free(a);
	item_free(b);
}

static void replace_hands_out_the_old_one(void **state)
{
	struct sctx_context *old = (void *)1;
	struct item *a = item_new(OWNER(1), INST(1)), *b = item_new(OWNER(1), INST(1));
	struct item *other;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_replace(&s, &a->ctx, &old), 0);
	assert_null(old);
	other = item_insert(&s, OWNER(2), INST(1));
	assert_rc(sctx_replace(&s, &b->ctx, &old), 0);
	assert_ptr_equal(old, &a->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &b->ctx);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(1)), &b->ctx);
	assert_null(peek(&s, OWNER(1), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &other->ctx);

	/* @old has the stream's reference, and hangs nowhere. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 0);
	assert_int_equal(item_called(other), 1);
	item_free(a);
	item_free(b);
	item_free(other);
}

/* "In the place of": the order of the others and of the new one stays. */
static void replace_keeps_the_place(void **state)
{
	struct item *a, *b, *c = item_new(OWNER(1), INST(1));
	struct sctx_context *old;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(2), INST(1));
	assert_rc(sctx_replace(&s, &c->ctx, &old), 0);
	assert_ptr_equal(old, &a->ctx);
	assert_ptr_equal(sctx_remove(&s, NULL, NULL), &b->ctx);
	assert_ptr_equal(sctx_remove(&s, NULL, NULL), &c->ctx);
	stream_end(&s);
	item_free(a);
	item_free(b);
	item_free(c);
}

/* (owner, NULL) replaces the newest of that owner, whatever its instance. */
static void replace_of_the_newest_of_an_owner(void **state)
{
	struct item *a, *b, *c = item_new(OWNER(1), NULL);
	struct sctx_context *old;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(1), INST(2));
	assert_rc(sctx_replace(&s, &c->ctx, &old), 0);
	assert_ptr_equal(old, &b->ctx);
	assert_null(peek(&s, OWNER(1), INST(2)));
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &c->ctx);
	stream_end(&s);
	assert_int_equal(item_called(b), 0);
	item_free(a);
	item_free(b);
	item_free(c);
}

static struct sctx_context *create_other_owner(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)arg;
	return &item_churn(OWNER(9), instance)->ctx;
}

static struct sctx_context *create_other_instance(const void *owner, const void *instance,
						  void *arg)
{
	(void)instance;
	(void)arg;
	return &item_churn(owner, INST(9))->ctx;
}

static struct sctx_context *create_null(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	(void)arg;
	return NULL;
}

static struct sctx_context *create_given(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	return arg;
}

static void get_or_create_creates_once(void **state)
{
	struct sctx_context *ctx = (void *)1, *again;
	atomic_ulong calls = 0;
	struct sctx_stream s;

	(void)state;
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_get_or_create(&s, OWNER(1), INST(1), item_create, &calls, &ctx), 0);
	assert_non_null(ctx);
	assert_ptr_equal(ctx->owner, OWNER(1));
	assert_ptr_equal(ctx->instance, INST(1));
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), ctx);
	for (unsigned int i = 0; i < 3; i++) {
		assert_rc(sctx_get_or_create(&s, OWNER(1), i ? INST(1) : NULL, item_create, &calls,
					     &again),
			  0);
		assert_ptr_equal(again, ctx);
	}
	assert_u64(atomic_load(&calls), ==, 1);
	assert_rc(sctx_get_or_create(&s, OWNER(1), INST(2), item_create, &calls, &again), 0);
	assert_ptr_not_equal(again, ctx);
	assert_u64(atomic_load(&calls), ==, 2);

	/* Four references on the first, one on the second, beside the stream's. */
	stream_end(&s);
	assert_rc(sctx_put(again), 0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_rc(sctx_barrier(), 0);
		assert_u64(items_freed(), ==, 1);
		assert_rc(sctx_put(ctx), 0);
	}
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, 2);
}

static void get_or_create_errors(void **state)
{
	struct sctx_context *ctx = (void *)1;
	struct sctx_stream s, other;
	struct item *linked;

	(void)state;
	items_reset();
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	linked = item_insert(&other, OWNER(1), NULL);

#define REFUSED(s, o, create, arg, want)                                            \
	do {                                                                        \
		ctx = (void *)1;                                                    \
		assert_rc(sctx_get_or_create(s, o, NULL, create, arg, &ctx), want); \
		assert_null(ctx);                                                   \
	} while (0)

	REFUSED(NULL, OWNER(1), item_create, NULL, -EINVAL);
	REFUSED(&s, NULL, item_create, NULL, -EINVAL);
	REFUSED(&s, OWNER(1), NULL, NULL, -EINVAL);
	assert_rc(sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, NULL), -EINVAL);
	assert_u64(items_created(), ==, items_freed());

	REFUSED(&s, OWNER(1), create_null, NULL, -ENOMEM);
	REFUSED(&s, OWNER(1), create_other_owner, NULL, -EINVAL);
	REFUSED(&s, OWNER(1), create_other_instance, NULL, -EINVAL);
	/* What it made that does not fit is dropped through its callback. */
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_created(), ==, 2);
	assert_u64(items_freed(), ==, 2);

	/* A context that hangs elsewhere is left alone. */
	REFUSED(&s, OWNER(1), create_given, &linked->ctx, -EBUSY);
	assert_ptr_equal(peek(&other, OWNER(1), NULL), &linked->ctx);
	assert_null(peek(&s, NULL, NULL));

	assert_rc(sctx_stream_disable(&s), 0);
	REFUSED(&s, OWNER(1), item_create, NULL, -EOPNOTSUPP);
	stream_end(&s);
	sctx_stream_init(&s);
	assert_rc(sctx_teardown(&s), 0);
	REFUSED(&s, OWNER(1), item_create, NULL, -ESHUTDOWN);
	stream_end(&s);
	assert_u64(items_created(), ==, items_freed());
	stream_end(&other);
	assert_int_equal(item_called(linked), 1);
	item_free(linked);
}

static void delete_is_remove_and_put(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), -ENOENT);
	assert_rc(sctx_delete(&s, NULL, NULL), -ENOENT);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_rc(sctx_delete(&s, OWNER(3), NULL), -ENOENT);
	assert_rc(sctx_delete(&s, NULL, NULL), 0);
	assert_rc(sctx_delete(&s, OWNER(2), NULL), -ENOENT);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), -ENOENT);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	stream_end(&s);
	item_free(a);
	item_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(insert_unique_keeps_what_is_there),
		cmocka_unit_test(insert_unique_of_an_instance_beside_a_null_one),
		cmocka_unit_test(replace_hands_out_the_old_one),
		cmocka_unit_test(replace_keeps_the_place),
		cmocka_unit_test(replace_of_the_newest_of_an_owner),
		cmocka_unit_test(get_or_create_creates_once),
		cmocka_unit_test(get_or_create_errors),
		cmocka_unit_test(delete_is_remove_and_put),
	};

	return TEST_RUN(tests);
}
