/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The registry: create and destroy, open and find, each errno of the header
 * (faults are in fault_registry.c, a full limbo in limits.c).
 */
#include "test.h"

static void create_and_destroy(void **state)
{
	struct sctx_registry *a, *b;

	(void)state;
	assert_rc(sctx_registry_create(NULL), -EINVAL);
	assert_rc(sctx_registry_destroy(NULL), -EINVAL);
	a = registry_new();
	b = registry_new();
	assert_ptr_not_equal(a, b);
	assert_u64(streams_in(a), ==, 0);
	assert_rc(sctx_registry_destroy(a), 0);
	/* Allowed in a section. */
	sctx_read_lock();
	assert_rc(sctx_registry_destroy(b), 0);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
}

static void destroy_in_callback(struct item *item)
{
	CHECK_EQ(sctx_registry_destroy(item->arg), 0);
}

static void destroy_in_a_callback(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	a->hook = destroy_in_callback;
	a->arg = registry_new();
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_barrier(), 0);
	item_free(a);
}

static void open_find_close(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1), other = id_of(2);
	struct sctx_stream *s = NULL, *again = NULL, *t = NULL;

	(void)state;
	assert_null(seek(registry, &id));
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_non_null(s);
	assert_true(sctx_stream_supports_contexts(s));
	assert_ptr_equal(seek(registry, &id), s);
	assert_null(seek(registry, &other));
	assert_memory_equal(sctx_stream_id(s), &id, sizeof(id));

	assert_rc(sctx_open(registry, &id, SCTX_OPEN_NOWAIT, &again), 0);
	assert_ptr_equal(again, s);
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &again), 0);
	assert_ptr_equal(again, s);
	assert_rc(sctx_open(registry, &other, 0, &t), 0);
	assert_ptr_not_equal(t, s);
	assert_u64(streams_in(registry), ==, 2);

	/* Three opens, three closes. */
	assert_rc(sctx_close(s), 0);
	assert_ptr_equal(seek(registry, &id), s);
	assert_rc(sctx_close(s), 0);
	assert_ptr_equal(seek(registry, &id), s);
	assert_true(sctx_stream_supports_contexts(s));
	assert_rc(sctx_close(s), 0);
	assert_null(seek(registry, &id));
	assert_ptr_equal(seek(registry, &other), t);
	assert_u64(streams_in(registry), ==, 1);
	assert_rc(sctx_close(t), 0);
	registry_end(registry);
}

static void close_in_thread(unsigned int index, void *stream)
{
	(void)index;
	CHECK_EQ(sctx_close(stream), 0);
}

static void reopen_in_thread(unsigned int index, void *registry)
{
	struct sctx_id id = id_of(1);

	(void)index;
	reopen(registry, &id);
}

/* What a thread does first, and only, is counted like all else. */
static void a_threads_first_call_is_counted(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s;
	struct sctx_stats before;

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	before = stats_now();
	run_threads(1, close_in_thread, s);
	assert_u64(stats_now().closes, ==, before.closes + 1);
	run_threads(1, reopen_in_thread, registry);
	assert_u64(stats_now().opens, ==, before.opens + 1);
	assert_u64(stats_now().closes, ==, before.closes + 2);
	run_threads(1, close_in_thread, s);
	assert_u64(stats_now().closes, ==, before.closes + 3);
	assert_u64(stats_now().last_closes, ==, before.last_closes + 1);
	registry_end(registry);
}

static void open_existing_never_creates(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s = (void *)1;

	(void)state;
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &s), -ENOENT);
	assert_null(s);
	s = (void *)1;
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING | SCTX_OPEN_NOWAIT, &s), -ENOENT);
	assert_null(s);
	assert_u64(streams_in(registry), ==, 0);

	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_close(s), 0);
	s = (void *)1;
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &s), -ENOENT);
	assert_null(s);
	registry_end(registry);
}

static int visit(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	(void)arg;
	return 0;
}

static void arguments_are_checked(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s = (void *)1, *open;

	(void)state;
	assert_rc(sctx_open(NULL, &id, 0, &s), -EINVAL);
	assert_null(s);
	s = (void *)1;
	assert_rc(sctx_open(registry, NULL, 0, &s), -EINVAL);
	assert_null(s);
	assert_rc(sctx_open(registry, &id, 0, NULL), -EINVAL);
	s = (void *)1;
	assert_rc(sctx_open(registry, &id, 0x4u, &s), -EINVAL);
	assert_null(s);
	s = (void *)1;
	assert_rc(sctx_open(registry, &id, 0x80000000u | SCTX_OPEN_NOWAIT, &s), -EINVAL);
	assert_null(s);
	assert_u64(streams_in(registry), ==, 0);

	/* Nor of a stream that is open, by who has just opened it again, and again. */
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_open(registry, &id, 0, &open), 0);
	s = (void *)1;
	assert_rc(sctx_open(registry, &id, 0x4u, &s), -EINVAL);
	assert_null(s);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_close(open), 0);
	assert_u64(streams_in(registry), ==, 0);

	assert_rc(sctx_close(NULL), -EINVAL);
	sctx_read_lock();
	assert_null(sctx_find(NULL, &id));
	assert_null(sctx_find(registry, NULL));
	assert_null(sctx_find(NULL, NULL));
	sctx_read_unlock();
	assert_rc(sctx_registry_for_each(NULL, visit, NULL), -EINVAL);
	assert_rc(sctx_registry_for_each(registry, NULL, NULL), -EINVAL);
	registry_end(registry);
}

static void never(struct sctx_stream *stream)
{
	(void)stream;
	CHECK(!"called");
}

static void embedded_and_registry_streams_are_told_apart(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s, own;

	(void)state;
	sctx_stream_init(&own);
	assert_rc(sctx_close(&own), -EPERM);
	assert_null(sctx_stream_id(&own));
	assert_true(sctx_stream_supports_contexts(&own));
	assert_rc(sctx_teardown_sync(&own), 0);
	assert_rc(sctx_close(&own), -EPERM);

	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_stream_retire(s, never), -EPERM);
	assert_true(sctx_stream_supports_contexts(s));
	assert_ptr_equal(seek(registry, &id), s);
	assert_rc(sctx_close(s), 0);
	registry_end(registry);
}

static void two_registries_are_independent(void **state)
{
	struct sctx_registry *a = registry_new(), *b = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s, *t;
	struct item *item;

	(void)state;
	assert_rc(sctx_open(a, &id, 0, &s), 0);
	assert_null(seek(b, &id));
	assert_rc(sctx_open(b, &id, 0, &t), 0);
	assert_ptr_not_equal(s, t);
	item = item_insert(s, OWNER(1), NULL);
	assert_null(peek(t, OWNER(1), NULL));
	assert_rc(sctx_close(t), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 0);
	registry_end(b);
	assert_ptr_equal(seek(a, &id), s);
	assert_rc(sctx_close(s), 0);
	registry_end(a);
	assert_int_equal(item_called(item), 1);
	item_free(item);
}

static void destroy_with_open_streams_changes_nothing(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s, *t, *many[300];
	struct item *a;

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	a = item_insert(s, OWNER(1), NULL);
	assert_rc(sctx_registry_destroy(registry), -EBUSY);
	assert_rc(sctx_registry_destroy(registry), -EBUSY);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_ptr_equal(seek(registry, &id), s);
	assert_ptr_equal(peek(s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &t), 0);
	assert_ptr_equal(t, s);
	assert_rc(sctx_close(t), 0);

	/* With one stream left out of many, wherever it stands. */
	for (unsigned int i = 0; i < 300; i++) {
		struct sctx_id more = id_of(100 + i);

		assert_rc(sctx_open(registry, &more, 0, &many[i]), 0);
	}
	assert_rc(sctx_close(s), 0);
	for (unsigned int i = 0; i < 300; i++) {
		assert_rc(sctx_registry_destroy(registry), -EBUSY);
		assert_rc(sctx_close(many[i]), 0);
	}
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_and_destroy),
		cmocka_unit_test(destroy_in_a_callback),
		cmocka_unit_test(open_find_close),
		cmocka_unit_test(a_threads_first_call_is_counted),
		cmocka_unit_test(open_existing_never_creates),
		cmocka_unit_test(arguments_are_checked),
		cmocka_unit_test(embedded_and_registry_streams_are_told_apart),
		cmocka_unit_test(two_registries_are_independent),
		cmocka_unit_test(destroy_with_open_streams_changes_nothing),
	};

	return TEST_RUN(tests);
}
