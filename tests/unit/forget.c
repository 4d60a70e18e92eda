/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams that are forgotten or trimmed, and the end of all of them.
 */
#include "idle.h"

/* --------------------------------------------------------------- forget, trim */

static void an_idle_stream_is_forgotten_at_once(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);
	struct item *a = item_insert(s, OWNER(1), NULL);
	struct sctx_id id = id_of(1);

	(void)state;
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_forget(registry, &id), 0);
	assert_false(is_there(registry, 1));
	assert_u64(stats_of(registry).idle, ==, 0);
	assert_rc(sctx_forget(registry, &id), -ENOENT);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	registry_end(registry);
}

static int count_stream(struct sctx_stream *stream, void *arg)
{
	unsigned int *count = arg;

	count[sctx_stream_state(stream)]++;
	return 0;
}

static void a_forgotten_stream_lives_until_its_last_close(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *old = stream_open(registry, 1), *new;
	struct item *a = item_insert(old, OWNER(1), NULL), *b;
	unsigned int count[4] = { 0 };
	struct sctx_id id = id_of(1);

	(void)state;
	assert_rc(sctx_forget(registry, &id), 0);
	assert_int_equal(sctx_stream_state(old), SCTX_STREAM_FORGOTTEN);
	assert_false(is_there(registry, 1));
	assert_rc(sctx_forget(registry, &id), -ENOENT);
	assert_ptr_equal(peek(old, OWNER(1), NULL), &a->ctx);

	new = stream_open(registry, 1);
	assert_ptr_not_equal(new, old);
	b = item_insert(new, OWNER(1), NULL);
	assert_memory_equal(sctx_stream_id(old), sctx_stream_id(new), sizeof(id));
	assert_rc(sctx_registry_for_each(registry, count_stream, count), 0);
	assert_int_equal(count[SCTX_STREAM_FORGOTTEN], 1);
	assert_int_equal(count[SCTX_STREAM_OPEN], 1);

	/* By its pointer it can still be opened, and is not kept. */
	assert_rc(sctx_stream_ref(old), 0);
	assert_rc(sctx_close(old), 0);
	assert_rc(sctx_close_flags(old, 0), 1);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 0);
	assert_rc(sctx_close(new), 0);
	assert_true(is_there(registry, 1));
	registry_end(registry);
	assert_int_equal(item_called(b), 1);
	item_free(a);
	item_free(b);
}

static void a_close_can_forget(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);

	(void)state;
	assert_rc(sctx_stream_ref(s), 0);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 0);
	assert_int_equal(sctx_stream_state(s), SCTX_STREAM_FORGOTTEN);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 1);
	s = stream_open(registry, 2);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 1);
	assert_u64(stats_of(registry).streams, ==, 0);
	registry_end(registry);
}

/* The table moves forgotten streams along, beside new ones of the same ids. */
static void forgotten_streams_survive_growth(void **state)
{
	enum { N = 300, MORE = 40000 };
	static struct sctx_stream *old[N], *new[MORE];
	struct sctx_registry *registry = registry_of(10);
	uint64_t buckets = stats_of(registry).buckets;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		struct sctx_id id = id_of(i);

		old[i] = stream_open(registry, i);
		assert_rc(sctx_forget(registry, &id), 0);
	}
	for (uint64_t i = 0; i < MORE; i++)
		new[i] = stream_open(registry, i);
	assert_u64(stats_of(registry).buckets, >, buckets);
	assert_u64(stats_of(registry).streams, ==, N + MORE);
	for (uint64_t i = 0; i < N; i++)
		assert_rc(sctx_close_flags(old[i], 0), 1);
	assert_u64(stats_of(registry).streams, ==, MORE);
	for (uint64_t i = 0; i < MORE; i++)
		assert_rc(sctx_close(new[i]), 0);
	registry_end(registry);
}

static void trim_drops_as_many_as_it_is_told(void **state)
{
	struct sctx_registry *registry = registry_of(SIZE_MAX);
	struct sctx_stream *open = stream_open(registry, 100000);

	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		touch(registry, i);
	assert_rc((int)sctx_registry_trim(registry, 0, 7), 7);
	assert_rc((int)sctx_registry_trim(registry, 2900, 0), 93);
	assert_rc((int)sctx_registry_trim(registry, 2900, 0), 0);
	/* In a section: it does not wait. */
	sctx_read_lock();
	assert_rc((int)sctx_registry_trim(registry, 100, 0), 2800);
	sctx_read_unlock();
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 100);
	assert_u64(stats_of(registry).streams, ==, 1);
	assert_rc(sctx_close(open), 0);
	registry_end(registry);
}

/* --------------------------------------------------------- the end of all streams */

static void close_all_of_them(struct sctx_stream *stream, void *arg)
{
	assert_int_not_equal(sctx_stream_state(stream), SCTX_STREAM_IDLE);
	++*(unsigned int *)arg;
}

static void close_all_ends_open_and_forgotten_streams(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);
	struct item *a = item_insert(s, OWNER(1), NULL);
	struct sctx_id id = id_of(2);
	unsigned int closed = 0;

	(void)state;
	assert_rc(sctx_stream_ref(s), 0);
	stream_open(registry, 2);
	assert_rc(sctx_forget(registry, &id), 0);
	touch(registry, 3);
	assert_rc(sctx_registry_destroy(registry), -EBUSY);
	assert_u64(stats_of(registry).idle, ==, 1);
	assert_rc(sctx_registry_close_all(registry, close_all_of_them, &closed), 2);
	assert_int_equal(closed, 2);
	assert_u64(stats_of(registry).idle, ==, 1);
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static int open_and_close_within(struct sctx_stream *stream, void *registry)
{
	struct sctx_stream *same, *other;
	struct sctx_id id = *sctx_stream_id(stream), next = id_of(1000 + id_number(&id));

	assert_rc(sctx_open(registry, &id, 0, &same), 0);
	assert_ptr_equal(same, stream);
	assert_rc(sctx_open(registry, &next, 0, &other), 0);
	assert_rc(sctx_close_flags(other, SCTX_CLOSE_FORGET), 1);
	assert_rc(sctx_close(same), 0);
	if (id_number(&id) % 2)
		assert_rc(sctx_forget(registry, &id), 0);
	return 0;
}

static void a_walk_may_open_close_and_forget(void **state)
{
	struct sctx_registry *registry = registry_of(100);

	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		touch(registry, i);
	assert_rc(sctx_registry_for_each(registry, open_and_close_within, registry), 0);
	assert_u64(stats_of(registry).idle, ==, 25);
	registry_end(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_stream_is_forgotten_at_once),
		cmocka_unit_test(a_forgotten_stream_lives_until_its_last_close),
		cmocka_unit_test(a_close_can_forget),
		cmocka_unit_test(forgotten_streams_survive_growth),
		cmocka_unit_test(trim_drops_as_many_as_it_is_told),
		cmocka_unit_test(close_all_ends_open_and_forgotten_streams),
		cmocka_unit_test(a_walk_may_open_close_and_forget),
	};

	return TEST_RUN(tests);
}
