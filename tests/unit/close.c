/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last close of a registry's stream, and what holds on to it.
 */
#include "test.h"

/* ------------------------------------------------------------------ closing */

static void the_last_close_tears_down(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct item *items[5], *late = item_new(OWNER(1), NULL);
	struct sctx_id id = id_of(1);
	struct sctx_stream *s, *again;

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	for (unsigned int i = 0; i < 5; i++)
		items[i] = item_insert(s, OWNER(i), NULL);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(item_called(items[i]), 0);

	sctx_read_lock();
	assert_rc(sctx_close(s), 0);
	/* Still valid memory in this section, but no stream any more. */
	assert_null(sctx_find(registry, &id));
	assert_false(sctx_stream_supports_contexts(s));
	assert_null(sctx_lookup(s, OWNER(1), NULL));
	assert_null(sctx_remove(s, NULL, NULL));
	assert_rc(sctx_insert(s, &late->ctx), -ESHUTDOWN);
	assert_rc(sctx_close(s), -EBADF);
	assert_rc(sctx_close(s), -EBADF);
	/* The same id again is a new, empty stream. */
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &again), -ENOENT);
	assert_rc(sctx_open(registry, &id, 0, &again), 0);
	assert_ptr_not_equal(again, s);
	assert_null(sctx_lookup(again, NULL, NULL));
	/* And closing the old one too often does it no harm. */
	assert_rc(sctx_close(s), -EBADF);
	assert_ptr_equal(sctx_find(registry, &id), again);
	sctx_read_unlock();

	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	assert_rc(sctx_close(again), 0);
	registry_end(registry);
	assert_int_equal(item_called(late), 0);
	item_free(late);
}

/* A borrowed stream may be closed by its holder meanwhile. */
static void a_found_stream_stays_valid_in_the_section(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s;
	struct reader *reader;
	struct item *a;

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	a = item_insert(s, OWNER(1), NULL);
	reader = reader_park(s, OWNER(1), NULL);
	assert_ptr_equal(reader->borrowed, &a->ctx);
	assert_rc(sctx_close(s), 0);
	nap_ms(50);
	assert_int_equal(item_called(a), 0);
	assert_false(sctx_stream_supports_contexts(s));
	reader_leave(reader);
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void a_registry_stream_torn_down_or_disabled_by_hand(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1), id2 = id_of(2);
	struct sctx_stream *s, *t, *again;
	struct item *a, *b, *late = item_new(OWNER(2), NULL);

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_open(registry, &id2, 0, &t), 0);
	a = item_insert(s, OWNER(1), NULL);
	b = item_insert(t, OWNER(1), NULL);

	/* Refused: its id would go on to name it. */
	assert_rc(sctx_teardown_sync(s), -EPERM);
	assert_rc(sctx_teardown(s), -EPERM);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &again), 0);
	assert_ptr_equal(again, s);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_close(s), 0);

	assert_rc(sctx_stream_disable(t), 0);
	assert_null(peek(t, OWNER(1), NULL));
	assert_rc(sctx_insert(t, &late->ctx), -EOPNOTSUPP);
	assert_ptr_equal(seek(registry, &id2), t);
	assert_rc(sctx_close(t), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	registry_end(registry);
	item_free(a);
	item_free(b);
	item_free(late);
}

/* 2^28 open references: too many to take, so the count is set by hand. */
static void open_references_have_a_limit(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct sctx_stream *s, *again = (void *)1;

	(void)state;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	*opens_of(s) = OPENS_MOST;
	assert_rc(sctx_open(registry, &id, 0, &again), -EOVERFLOW);
	assert_null(again);
	again = (void *)1;
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &again), -EOVERFLOW);
	assert_null(again);
	assert_true(*opens_of(s) == OPENS_MOST);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_open(registry, &id, 0, &again), 0);
	assert_ptr_equal(again, s);
	*opens_of(s) = 1;
	assert_rc(sctx_close(s), 0);
	registry_end(registry);
}

static void open_and_close_anywhere(struct item *item)
{
	struct sctx_registry *registry = item->arg;
	struct sctx_id id = id_of(77), old = id_of(1);
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
	sctx_read_lock();
	CHECK(sctx_find(registry, &id) == s);
	sctx_read_unlock();
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(s), 0);
	CHECK_EQ(sctx_open(registry, &old, SCTX_OPEN_EXISTING, &s), 0);
	CHECK_EQ(sctx_close(s), 0);
	CHECK_EQ(sctx_close(s), 0);
}

static void open_and_close_in_sections_and_callbacks(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct sctx_id id = id_of(1);
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream *s;

	(void)state;
	items_reset();
	a->arg = registry;
	a->hook = open_and_close_anywhere;
	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	sctx_read_lock();
	open_and_close_anywhere(a);
	assert_null(sctx_find(registry, &id));
	sctx_read_unlock();

	assert_rc(sctx_open(registry, &id, 0, &s), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_null(seek(registry, &id));
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, 2);
	registry_end(registry);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_close_tears_down),
		cmocka_unit_test(a_found_stream_stays_valid_in_the_section),
		cmocka_unit_test(a_registry_stream_torn_down_or_disabled_by_hand),
		cmocka_unit_test(open_references_have_a_limit),
		cmocka_unit_test(open_and_close_in_sections_and_callbacks),
	};

	return TEST_RUN(tests);
}
