/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams that end: teardown, disabling, retiring.
 */
#include "test.h"

/* ---------------------------------------------------------------- streams */

static void never(struct sctx_stream *stream)
{
	(void)stream;
	CHECK(!"called");
}

static void stream_calls_refuse_null(void **state)
{
	struct sctx_stream s;
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_stream_init(NULL), -EINVAL);
	assert_rc(sctx_stream_disable(NULL), -EINVAL);
	assert_rc(sctx_teardown(NULL), -EINVAL);
	assert_rc(sctx_teardown_sync(NULL), -EINVAL);
	assert_rc(sctx_stream_retire(NULL, never), -EINVAL);
	assert_rc(sctx_delete(NULL, NULL, NULL), -EINVAL);
	assert_null(sctx_stream_id(NULL));

	sctx_stream_init(&s);
	assert_null(sctx_stream_id(&s));
	assert_rc(sctx_stream_retire(&s, NULL), -EINVAL);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, NULL), -EINVAL);
	assert_rc(sctx_insert_unique(&s, NULL, NULL), -EINVAL);
	assert_rc(sctx_replace(&s, NULL, NULL), -EINVAL);

	/* A context that was never initialised. */
	memset(&a->ctx, 0, sizeof(a->ctx));
	assert_rc(sctx_insert(&s, &a->ctx), -EINVAL);
	assert_rc(sctx_insert_unique(&s, &a->ctx, NULL), -EINVAL);
	assert_rc(sctx_replace(&s, &a->ctx, NULL), -EINVAL);
	assert_null(peek(&s, NULL, NULL));
	stream_end(&s);
	item_free(a);
}

static void teardown_sync_in_a_section_changes_nothing(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	sctx_read_lock();
	assert_rc(sctx_teardown_sync(&s), -EDEADLK);
	assert_ptr_equal(sctx_lookup(&s, OWNER(1), NULL), &a->ctx);
	assert_true(sctx_stream_supports_contexts(&s));
	sctx_read_unlock();
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

struct retired {
	char before[16];
	struct sctx_stream stream;
	atomic_uint freed;
};

static void count_free(struct sctx_stream *stream)
{
	struct retired *r = container_of(stream, struct retired, stream);

	CHECK_EQ(sctx_barrier(), -EDEADLK);
	atomic_fetch_add(&r->freed, 1);
}

static void free_retired(struct sctx_stream *stream)
{
	struct retired *r = container_of(stream, struct retired, stream);

	memset(r, 0xdd, sizeof(*r));
	free(r);
}

static void retire_frees_the_memory_around_a_stream_once(void **state)
{
	struct retired *r = calloc(1, sizeof(*r));
	struct item *items[5];
	struct reader *reader;

	(void)state;
	assert_non_null(r);
	sctx_stream_init(&r->stream);
	for (unsigned int i = 0; i < 5; i++)
		items[i] = item_insert(&r->stream, OWNER(i), NULL);

	/* A reader that looks at the stream keeps it. */
	reader = reader_park(&r->stream, OWNER(2), NULL);
	assert_rc(sctx_stream_retire(&r->stream, count_free), 0);
	assert_rc(sctx_stream_retire(&r->stream, count_free), -EALREADY);
	assert_rc(sctx_insert(&r->stream, &items[0]->ctx), -ESHUTDOWN);
	nap_ms(50);
	assert_int_equal(atomic_load(&r->freed), 0);
	assert_int_equal(item_called(items[2]), 0);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&r->freed), 1);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	free(r);
}

/* Its memory freed for real, after a teardown as well as without. */
static void retire_after_teardown(void **state)
{
	(void)state;
	items_reset();
	for (unsigned int i = 0; i < 50; i++) {
		struct retired *r = calloc(1, sizeof(*r));

		assert_non_null(r);
		sctx_stream_init(&r->stream);
		for (unsigned int j = 0; j < i % 5; j++)
			assert_rc(sctx_insert(&r->stream, &item_churn(OWNER(j), NULL)->ctx), 0);
		if (i % 2)
			assert_rc(sctx_teardown(&r->stream), 0);
		if (i % 3 == 0)
			assert_rc(sctx_stream_disable(&r->stream), 0);
		assert_rc(sctx_stream_retire(&r->stream, free_retired), 0);
		if (i % 10 == 0)
			assert_rc(sctx_barrier(), 0);
	}
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_calls_refuse_null),
		cmocka_unit_test(teardown_sync_in_a_section_changes_nothing),
		cmocka_unit_test(retire_frees_the_memory_around_a_stream_once),
		cmocka_unit_test(retire_after_teardown),
	};

	return TEST_RUN(tests);
}
