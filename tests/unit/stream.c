/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What hangs on a stream, all at once: several owners in one call, a walk,
 * a teardown that reports; and streams behind a pointer.
 */
#include "test.h"

#include <limits.h>

/* -------------------------------------------------------------- get_many */

static void get_many_and_put_many(void **state)
{
	const void *owner[] = { OWNER(1), OWNER(2), OWNER(3), NULL, OWNER(1) };
	struct sctx_context *ctx[5];
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(3), NULL);
	memset(ctx, 0xff, sizeof(ctx));
	assert_rc(sctx_get_many(&s, 5, owner, ctx), 3);
	assert_ptr_equal(ctx[0], &a->ctx);
	assert_null(ctx[1]);
	assert_ptr_equal(ctx[2], &b->ctx);
	assert_null(ctx[3]); /* no owner is not "anyone" here */
	assert_ptr_equal(ctx[4], &a->ctx);

	/* Each is a reference. */
	stream_end(&s);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put_many(5, ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	/* Of a stream that is torn down, or is none: nothing, and NULL. */
	memset(ctx, 0xff, sizeof(ctx));
	assert_rc(sctx_get_many(&s, 5, owner, ctx), 0);
	for (int i = 0; i < 5; i++)
		assert_null(ctx[i]);
	assert_rc(sctx_get_many(NULL, 5, owner, ctx), 0);
	item_free(a);
	item_free(b);
}

static void get_many_and_put_many_refuse_invalid_arguments(void **state)
{
	const void *owner[] = { OWNER(1) };
	struct sctx_context *ctx[2];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_get_many(&s, 1, NULL, ctx), -EINVAL);
	assert_rc(sctx_get_many(&s, 1, owner, NULL), -EINVAL);
	assert_rc(sctx_get_many(&s, (size_t)INT_MAX + 1, owner, ctx), -EINVAL);
	assert_rc(sctx_get_many(&s, SIZE_MAX, owner, ctx), -EINVAL);
	assert_rc(sctx_get_many(&s, 0, NULL, NULL), 0);
	assert_rc(sctx_put_many(1, NULL), -EINVAL);
	assert_rc(sctx_put_many(SIZE_MAX, NULL), -EINVAL);
	assert_rc(sctx_put_many(0, NULL), 0);
}

/* The first error is told, and the rest is put all the same. */
static void put_many_goes_on_after_an_error(void **state)
{
	struct item *linked = item_new(OWNER(1), NULL), *b = item_new(OWNER(2), NULL);
	struct sctx_context *ctx[] = { &linked->ctx, NULL, &b->ctx };
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &linked->ctx), 0);
	assert_rc(sctx_put_many(3, ctx), -EBUSY); /* only the stream holds it */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(linked), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(linked);
	item_free(b);
}

/* -------------------------------------------------------------- for_each */

struct seen {
	struct sctx_context *ctx[40];
	int count;
	int stop_at;
};

static int see(struct sctx_context *ctx, void *arg)
{
	struct seen *seen = arg;

	seen->ctx[seen->count++] = ctx;
	return seen->count == seen->stop_at ? 42 : 0;
}

static void a_walk_goes_from_newest_to_oldest(void **state)
{
	for (unsigned int n = 0; n < 40; n = n * 2 + 1) {
		struct seen seen = { .count = 0 };
		struct item *item[40];
		struct sctx_stream s;

		(void)state;
		sctx_stream_init(&s);
		for (unsigned int i = 0; i < n; i++)
			item[i] = item_insert(&s, OWNER(i % 3), NULL);
		assert_rc(sctx_stream_for_each(&s, see, &seen), 0);
		assert_int_equal(seen.count, n);
		for (unsigned int i = 0; i < n; i++)
			assert_ptr_equal(seen.ctx[i], &item[n - 1 - i]->ctx);
		if (n > 2) {
			seen = (struct seen){ .stop_at = 2 };
			assert_rc(sctx_stream_for_each(&s, see, &seen), 42);
			assert_int_equal(seen.count, 2);
		}
		/* What is unlinked is not seen; what a disabled stream has, is. */
		if (n > 0)
			assert_ptr_equal(sctx_remove(&s, OWNER(0), NULL)->owner, OWNER(0));
		assert_rc(sctx_stream_disable(&s), 0);
		seen = (struct seen){ .count = 0 };
		assert_rc(sctx_stream_for_each(&s, see, &seen), 0);
		assert_int_equal(seen.count, n > 0 ? n - 1 : 0);
		assert_rc(sctx_teardown_sync(&s), 0);
		for (unsigned int i = 0; i < n; i++)
			item_free(item[i]);
	}
	assert_rc(sctx_stream_for_each(NULL, see, NULL), -EINVAL);
	assert_rc(sctx_stream_for_each(&(struct sctx_stream){ 0 }, NULL, NULL), -EINVAL);
}

/* -------------------------------------------------------- teardown_report */

static void see_last(struct sctx_context *ctx, void *arg)
{
	/* Not found any more, not yet called back. */
	CHECK_EQ(item_called(item_of(ctx)), 0);
	CHECK(ctx->stream == NULL || peek(ctx->stream, ctx->owner, NULL) == NULL);
	see(ctx, arg);
}

static void a_teardown_can_report_what_was_left(void **state)
{
	struct seen seen = { .count = 0 };
	struct sctx_stream s;
	struct item *a, *b, *late = item_new(OWNER(3), NULL);

	(void)state;
	assert_rc(sctx_teardown_report(NULL, see_last, &seen), -EINVAL);
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_rc(sctx_teardown_report(&s, see_last, &seen), 2);
	assert_ptr_equal(seen.ctx[0], &b->ctx);
	assert_ptr_equal(seen.ctx[1], &a->ctx);
	assert_rc(sctx_teardown_report(&s, see_last, &seen), 0);
	assert_rc(sctx_insert(&s, &late->ctx), -ESHUTDOWN);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);

	sctx_stream_init(&s);
	assert_rc(sctx_teardown_report(&s, NULL, NULL), 0);
	item_free(a);
	item_free(b);
	item_free(late);
}

/* ------------------------------------------------------- behind a pointer */

static void a_stream_is_created_when_first_needed(void **state)
{
	struct sctx_stream *slot = NULL, *stream = (void *)1, *again;
	struct item *a;

	(void)state;
	assert_rc(sctx_stream_create(NULL, &stream), -EINVAL);
	assert_null(stream);
	assert_rc(sctx_stream_create(&slot, NULL), -EINVAL);
	assert_null(sctx_stream_load(NULL));
	assert_null(sctx_stream_load(&slot));
	/* Before that: nothing found, nothing inserted. */
	assert_null(peek(sctx_stream_load(&slot), OWNER(1), NULL));
	assert_null(sctx_remove(sctx_stream_load(&slot), OWNER(1), NULL));
	assert_rc(sctx_stream_drop(&slot), 0);
	assert_rc(sctx_stream_drop(NULL), -EINVAL);

	assert_rc(sctx_stream_create(&slot, &stream), 0);
	assert_ptr_equal(slot, stream);
	assert_rc(sctx_stream_create(&slot, &again), 0);
	assert_ptr_equal(again, stream);
	a = item_insert(stream, OWNER(1), NULL);
	assert_ptr_equal(peek(sctx_stream_load(&slot), OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_stream_drop(&slot), 0);
	assert_null(slot);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static struct sctx_stream *shared_slot;
static struct sctx_stream *got[4];

static void create_thread(unsigned int index, void *arg)
{
	rendezvous_wait(arg);
	CHECK_EQ(sctx_stream_create(&shared_slot, &got[index]), 0);
}

static void first_creators_get_the_same_stream(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++) {
		struct rendezvous start;

		rendezvous_init(&start, 4);
		run_threads(4, create_thread, &start);
		for (int i = 0; i < 4; i++)
			assert_ptr_equal(got[i], shared_slot);
		assert_rc(sctx_stream_drop(&shared_slot), 0);
	}
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(get_many_and_put_many),
		cmocka_unit_test(get_many_and_put_many_refuse_invalid_arguments),
		cmocka_unit_test(put_many_goes_on_after_an_error),
		cmocka_unit_test(a_walk_goes_from_newest_to_oldest),
		cmocka_unit_test(a_teardown_can_report_what_was_left),
		cmocka_unit_test(a_stream_is_created_when_first_needed),
		cmocka_unit_test(first_creators_get_the_same_stream),
	};

	return TEST_RUN(tests);
}
