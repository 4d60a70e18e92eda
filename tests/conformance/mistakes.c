/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regression tests for the known mistakes of implementations that include/SEMANTICS.md
 * lists, and for what its table states.
 */
#include "test.h"

#include <sys/mman.h>

/* -------------------------------------------- matching (O, I) by owner alone */

static void mistake_matching_by_owner_alone(void **state)
{
	struct item *items[3][6];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (size_t i = 0; i < 6; i++)
		for (size_t o = 0; o < 3; o++)
			items[o][i] = item_insert(&s, OWNER(o), INST(i));
	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 6; i++)
			assert_ptr_equal(peek(&s, OWNER(o), INST(i)), &items[o][i]->ctx);
	/* Neither does the instance alone. */
	assert_null(peek(&s, OWNER(4), INST(0)));

	/* Removing one takes exactly that one. */
	assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(2)), &items[1][2]->ctx);
	assert_null(peek(&s, OWNER(1), INST(2)));
	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 6; i++)
			if (o != 1 || i != 2)
				assert_ptr_equal(peek(&s, OWNER(o), INST(i)), &items[o][i]->ctx);
	assert_rc(sctx_teardown_sync(&s), 0);
	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 6; i++)
			item_free(items[o][i]);
}

/* -------------------------------------- holding the list lock over callbacks */

struct busy {
	struct sctx_stream *own;
	struct sctx_stream *other;
	struct item *inserted; /* into other, by the callback */
	struct item *refused;  /* by the stream that is torn down */
};

static void use_lists(struct item *item)
{
	struct busy *busy = item->arg;
	struct sctx_context *ctx = NULL;

	/* The list it came from: takes its lock. */
	CHECK_EQ(sctx_insert(busy->own, &busy->refused->ctx), -ESHUTDOWN);
	CHECK(sctx_remove(busy->own, NULL, NULL) == NULL);
	CHECK_EQ(sctx_delete(busy->own, OWNER(1), NULL), -ENOENT);
	CHECK_EQ(sctx_teardown(busy->own), 0);
	CHECK_EQ(sctx_stream_disable(busy->own), 0);
	CHECK(!sctx_stream_supports_contexts(busy->own));

	/* Another: insert, find, get, remove a sibling that hangs there. */
	CHECK_EQ(sctx_insert(busy->other, &busy->inserted->ctx), 0);
	CHECK(peek(busy->other, OWNER(3), NULL) == &busy->inserted->ctx);
	ctx = sctx_get(busy->other, OWNER(3), NULL);
	CHECK(ctx == &busy->inserted->ctx);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_delete(busy->other, OWNER(4), NULL), 0);
}

static void mistake_list_lock_held_over_callbacks(void **state)
{
	struct sctx_stream s, other;
	struct busy busy = { &s, &other, NULL, NULL };
	struct item *a, *b, *sibling;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	sibling = item_insert(&other, OWNER(4), NULL);
	busy.inserted = item_new(OWNER(3), NULL);
	busy.refused = item_new(OWNER(1), NULL);
	a->hook = use_lists;
	a->arg = &busy;

	assert_rc(sctx_teardown_sync(&s), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(sibling), 1);
	assert_int_equal(item_called(busy.inserted), 0);
	assert_int_equal(item_called(busy.refused), 0);
	assert_rc(sctx_teardown_sync(&other), 0);
	assert_int_equal(item_called(busy.inserted), 1);
	item_free(a);
	item_free(b);
	item_free(sibling);
	item_free(busy.inserted);
	item_free(busy.refused);
}

struct sibling {
	struct sctx_stream *stream;
	struct item *other;
	bool removes;
	atomic_uint got;
};

static void remove_sibling(struct item *item)
{
	struct sibling *sib = item->arg;
	struct sctx_context *ctx = sctx_remove(sib->stream, sib->other->ctx.owner, NULL);

	if (!ctx)
		return;
	CHECK(ctx == &sib->other->ctx);
	atomic_fetch_add(&sib->got, 1);
	if (!sib->removes)
		CHECK_EQ(sctx_put(ctx), 0);
}

/* A callback that removes a sibling: from a live list, and out of a teardown. */
static void mistake_a_callback_that_removes_a_sibling(void **state)
{
	struct sctx_stream s;
	struct sibling sib = { &s, NULL, false, 0 };
	struct item *a, *b, *c;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	c = item_insert(&s, OWNER(3), NULL);
	a->hook = remove_sibling;
	a->arg = &sib;
	sib.other = b;
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&sib.got), 1);
	assert_null(peek(&s, OWNER(2), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &c->ctx);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
	item_free(b);
	item_free(c);

	/* Each removes the next: whoever comes first, each is obtained once. */
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	a->hook = remove_sibling;
	a->arg = &sib;
	sib.other = b;
	sib.removes = true;
	atomic_store(&sib.got, 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b) + atomic_load(&sib.got), 1);
	item_free(a);
	item_free(b);
}

/* ------------------------------------ reading a node's link after its callback */

/* One page each, unmapped by the callback: a later look at it faults. */
static atomic_uint unmapped;

static void unmap(struct sctx_context *ctx)
{
	CHECK_EQ(munmap(ctx, (size_t)sysconf(_SC_PAGESIZE)), 0);
	atomic_fetch_add(&unmapped, 1);
}

static void mistake_reading_a_link_after_the_callback(void **state)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct sctx_stream s;

	(void)state;
	for (unsigned int n = 1; n <= 33; n += 4) {
		atomic_store(&unmapped, 0);
		sctx_stream_init(&s);
		for (unsigned int i = 0; i < n; i++) {
			struct sctx_context *ctx = mmap(NULL, page, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			assert_ptr_not_equal(ctx, MAP_FAILED);
			sctx_context_init(ctx, OWNER(i % 3), INST(i % 5), unmap);
			assert_rc(sctx_insert(&s, ctx), 0);
		}
		if (n > 1)
			assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
		assert_rc(sctx_teardown(&s), 0);
		assert_rc(sctx_barrier(), 0);
		assert_int_equal(atomic_load(&unmapped), n);
		assert_rc(sctx_teardown_sync(&s), 0);
	}
}

/* --------------------------------------- a context stranded during a teardown */

static void insert_again(struct item *item)
{
	struct busy *busy = item->arg;

	CHECK_EQ(sctx_insert(busy->own, &busy->refused->ctx), -ESHUTDOWN);
	CHECK_EQ(sctx_put(&busy->refused->ctx), 0);
}

static void mistake_a_context_stranded_by_an_insert_during_teardown(void **state)
{
	struct sctx_stream s;
	struct busy busy = { &s, NULL, NULL, NULL };
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = insert_again;
	a->arg = &busy;
	busy.refused = item_new(OWNER(2), NULL);
	assert_rc(sctx_teardown_sync(&s), 0);
	/* The callback put it: retired after the teardown, so waited for here. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(busy.refused), 1);
	assert_null(peek(&s, NULL, NULL));
	item_free(a);
	item_free(busy.refused);
}

/* ------------------------- support reported wrongly after flags were rewritten */

static void mistake_support_reported_wrongly(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	/* Memory that was never set up. */
	memset(&s, 0, sizeof(s));
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, &a->ctx), -EOPNOTSUPP);
	assert_null(peek(&s, NULL, NULL));
	assert_null(sctx_remove(&s, NULL, NULL));

	assert_rc(sctx_stream_init(&s), 0);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));

	/* A teardown is not undone by a disable, nor the other way round. */
	assert_rc(sctx_stream_init(&s), 0);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));

	/* Set up again it is as new. */
	assert_rc(sctx_stream_init(&s), 0);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* ------------------------------------------------------------- the table */

static void table_newest_first_with_removals_in_between(void **state)
{
	struct item *items[100];
	bool present[100];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < 100; i++) {
		items[i] = item_insert(&s, OWNER(i % 2), INST(i % 10));
		present[i] = true;
		if (i % 3 == 2) {
			assert_ptr_equal(sctx_remove(&s, OWNER((i - 1) % 2), INST((i - 1) % 10)),
					 &items[i - 1]->ctx);
			present[i - 1] = false;
		}
	}
	/* Each lookup finds the newest that is there. */
	for (unsigned int o = 0; o < 2; o++)
		for (unsigned int k = 0; k < 10; k++) {
			struct sctx_context *want = NULL;

			for (unsigned int i = 0; i < 100; i++)
				if (present[i] && i % 2 == o && i % 10 == k)
					want = &items[i]->ctx;
			assert_ptr_equal(peek(&s, OWNER(o), INST(k)), want);
		}
	/* And removal by owner takes them newest first. */
	for (unsigned int i = 100; i-- > 0;) {
		if (!present[i] || i % 2)
			continue;
		assert_ptr_equal(peek(&s, OWNER(0), NULL), &items[i]->ctx);
		assert_ptr_equal(sctx_remove(&s, OWNER(0), NULL), &items[i]->ctx);
		present[i] = false;
	}
	for (unsigned int i = 100; i-- > 0;) {
		if (!present[i])
			continue;
		assert_ptr_equal(sctx_remove(&s, NULL, NULL), &items[i]->ctx);
		present[i] = false;
	}
	assert_null(peek(&s, NULL, NULL));
	assert_rc(sctx_teardown_sync(&s), 0);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(item_called(items[i]), 0);
		item_free(items[i]);
	}
}

/* Duplicates are not checked: the newer hides the older. */
static void table_duplicates_are_not_checked(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(1), INST(1));
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &b->ctx);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(1)), &b->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 0);
	item_free(a);
	item_free(b);
}

/* Contexts of a paging file are not found any more, and go at teardown. */
static void table_disabled_after_inserting(void **state)
{
	struct item *items[5], *late = item_new(OWNER(1), NULL);
	struct sctx_context *existing = (void *)1;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < 5; i++)
		items[i] = item_insert(&s, OWNER(i), INST(i));
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	for (unsigned int i = 0; i < 5; i++) {
		assert_null(peek(&s, OWNER(i), INST(i)));
		assert_null(peek(&s, OWNER(i), NULL));
		assert_null(sctx_get(&s, OWNER(i), NULL));
		assert_null(sctx_remove(&s, OWNER(i), INST(i)));
		assert_rc(sctx_delete(&s, OWNER(i), INST(i)), -ENOENT);
	}
	assert_null(peek(&s, NULL, NULL));
	assert_rc(sctx_insert(&s, &late->ctx), -EOPNOTSUPP);
	assert_rc(sctx_insert_unique(&s, &late->ctx, &existing), -EOPNOTSUPP);
	assert_null(existing);
	existing = (void *)1;
	assert_rc(sctx_replace(&s, &late->ctx, &existing), -EOPNOTSUPP);
	assert_null(existing);

	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(item_called(items[i]), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	item_free(late);
}

static void table_a_torn_down_stream_refuses(void **state)
{
	struct sctx_context *out = (void *)1;
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_teardown(&s), 0);
	a = item_new(OWNER(1), NULL);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, &a->ctx), -ESHUTDOWN);
	assert_rc(sctx_insert_unique(&s, &a->ctx, &out), -ESHUTDOWN);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&s, &a->ctx, &out), -ESHUTDOWN);
	assert_null(out);
	assert_null(peek(&s, NULL, NULL));
	assert_null(sctx_get(&s, NULL, NULL));
	assert_null(sctx_remove(&s, NULL, NULL));
	assert_rc(sctx_delete(&s, NULL, NULL), -ENOENT);

	/* On failure the reference stays with the caller: a put ends it. */
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

/* Remove found nothing: that does not mean that the callback has finished. */
static struct gate callback_entered, callback_leave;

static void wait_at_gate(struct item *item)
{
	(void)item;
	gate_open(&callback_entered);
	gate_wait(&callback_leave);
}

static void table_remove_finding_nothing_does_not_wait(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	gate_init(&callback_entered);
	gate_init(&callback_leave);
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = wait_at_gate;
	assert_rc(sctx_teardown(&s), 0);
	gate_wait(&callback_entered);
	assert_null(sctx_remove(&s, OWNER(1), NULL));
	gate_open(&callback_leave);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistake_matching_by_owner_alone),
		cmocka_unit_test(mistake_list_lock_held_over_callbacks),
		cmocka_unit_test(mistake_a_callback_that_removes_a_sibling),
		cmocka_unit_test(mistake_reading_a_link_after_the_callback),
		cmocka_unit_test(mistake_a_context_stranded_by_an_insert_during_teardown),
		cmocka_unit_test(mistake_support_reported_wrongly),
		cmocka_unit_test(table_newest_first_with_removals_in_between),
		cmocka_unit_test(table_duplicates_are_not_checked),
		cmocka_unit_test(table_disabled_after_inserting),
		cmocka_unit_test(table_a_torn_down_stream_refuses),
		cmocka_unit_test(table_remove_finding_nothing_does_not_wait),
	};

	return TEST_RUN(tests);
}
