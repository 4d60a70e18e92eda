/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts by themselves: references, borrowing, detaching, and sections.
 */
#include "test.h"

static void version_names_number_flavour_and_allocator(void **state)
{
	const char *version = sctx_version();
	unsigned int major, minor, patch;

	(void)state;
	assert_non_null(version);
	assert_int_equal(strncmp(version, SCTX_VERSION ", ", strlen(SCTX_VERSION ", ")), 0);
	if (getenv("SCTX_TEST_RCU"))
		assert_non_null(strstr(version, getenv("SCTX_TEST_RCU")));
	assert_ptr_equal(sctx_version(), version);
	assert_int_equal(sctx_version_number(), SCTX_VERSION_NUMBER);
	assert_int_equal(sscanf(version, "%u.%u.%u,", &major, &minor, &patch), 3);
	assert_int_equal(sctx_version_number(), major << 16 | minor << 8 | patch);
}

/* --------------------------------------------------------------- contexts */

static void init_refuses_null(void **state)
{
	struct sctx_context ctx;

	(void)state;
	assert_rc(sctx_context_init(NULL, OWNER(1), NULL, SCTX_NO_FREE), -EINVAL);
	assert_rc(sctx_context_init(&ctx, NULL, NULL, SCTX_NO_FREE), -EINVAL);
	assert_rc(sctx_context_init(&ctx, NULL, INST(1), SCTX_NO_FREE), -EINVAL);
	assert_rc(sctx_context_init(&ctx, OWNER(1), NULL, NULL), -EINVAL);
}

static void no_free_frees_nothing(void **state)
{
	struct sctx_context ctx[3];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < 3; i++) {
		sctx_context_init(&ctx[i], OWNER(i), NULL, SCTX_NO_FREE);
		assert_rc(sctx_insert(&s, &ctx[i]), 0);
	}
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	stream_end(&s);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(ctx[i].owner, OWNER(i));
	/* As good as new. */
	sctx_context_init(&ctx[0], OWNER(7), NULL, SCTX_NO_FREE);
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &ctx[0]), 0);
	stream_end(&s);
}

static void the_last_put_calls_back_once(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	/* Never inserted at all. */
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void ref_and_put_refuse_null(void **state)
{
	(void)state;
	assert_null(sctx_ref(NULL));
	assert_rc(sctx_put(NULL), -EINVAL);
	assert_rc(sctx_detach(NULL), -EINVAL);
}

/* The stream's reference is not the caller's to put. */
static void put_of_the_streams_only_reference_is_refused(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	assert_rc(sctx_put(&a->ctx), -EBUSY);
	assert_rc(sctx_put(&a->ctx), -EBUSY);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a->ctx);

	/* With one of our own it is the second put that is refused. */
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_put(&a->ctx), -EBUSY);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a->ctx);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void get_takes_a_reference(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	assert_ptr_equal(sctx_get(&s, OWNER(1), INST(1)), &a->ctx);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);
	assert_ptr_equal(sctx_get(&s, NULL, NULL), &a->ctx);
	assert_rc(sctx_delete(&s, OWNER(1), INST(1)), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_rc(sctx_barrier(), 0);
		assert_int_equal(item_called(a), 0);
		assert_rc(sctx_put(&a->ctx), 0);
	}
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	stream_end(&s);
	item_free(a);
}

/* A lookup takes none: the callback comes as soon as the section ends. */
static void lookup_borrows(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_null(sctx_lookup(&s, OWNER(1), NULL));
	/* Borrowed: still alive, though unlinked. */
	nap_ms(30);
	assert_int_equal(item_called(a), 0);
	item_check(a);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	stream_end(&s);
	item_free(a);
}

/* What was borrowed may be referenced, and then outlives the section. */
static void a_borrowed_context_may_be_referenced(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	sctx_read_lock();
	assert_ptr_equal(sctx_ref(sctx_lookup(&s, OWNER(1), NULL)), &a->ctx);
	sctx_read_unlock();
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	stream_end(&s);
	item_free(a);
}

/*
 * Borrowed before its last reference was put: a reference may still be taken,
 * and puts the callback off until it is dropped.
 */
static void a_borrowed_context_may_be_referenced_after_its_last_put(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s, OWNER(1), NULL), &a->ctx);
	assert_ptr_equal(sctx_lookup(&s, OWNER(2), NULL), &b->ctx);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_delete(&s, OWNER(2), NULL), 0);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);
	assert_ptr_equal(sctx_ref(&b->ctx), &b->ctx);
	/* One is put again before the section ends, one long after. */
	assert_rc(sctx_put(&b->ctx), 0);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(a), 0);

	/* It is an ordinary reference: good for hanging it up again. */
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_rc(sctx_put(&a->ctx), -EBUSY);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	stream_end(&s);
	item_free(a);
	item_free(b);
}

/* Nobody but limbo has one: a put too many, an insert after the last put. */
static void a_context_in_limbo_accepts_no_operation(void **state)
{
	struct item *a = item_new(OWNER(1), NULL), *b;
	struct sctx_context *out = (void *)1;
	struct reader *reader;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	b = item_insert(&s, OWNER(2), NULL);
	reader = reader_park(&s, NULL, NULL);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_put(&a->ctx), -EBADF);
	assert_rc(sctx_insert(&s, &a->ctx), -EBADF);
	assert_rc(sctx_insert_unique(&s, &a->ctx, &out), -EBADF);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&s, &a->ctx, &out), -EBADF);
	assert_null(out);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);
	assert_null(peek(&s, OWNER(1), NULL));

	assert_rc(sctx_delete(&s, OWNER(2), NULL), 0);
	assert_rc(sctx_put(&b->ctx), -EBADF);
	assert_int_equal(item_called(a) + item_called(b), 0);
	reader_leave(reader);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	item_free(a);
	item_free(b);
}

/* 2^31 references: too many to take, so the count is set by hand. */
/* Who holds one when its stream is torn down may hang it up elsewhere, at once. */
static void a_held_context_may_move_after_teardown(void **state)
{
	struct sctx_stream s, other;
	struct reader *reader;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);
	reader = reader_park(&s, NULL, NULL); /* no grace period */
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_insert(&other, &a->ctx), 0);
	assert_ptr_equal(peek(&other, OWNER(1), NULL), &a->ctx);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	stream_end(&other);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void references_have_a_limit(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_context *out = (void *)1;
	struct sctx_stream s;
	int rc;

	(void)state;
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	*refs_of(&a->ctx) = REFS_MOST;
	assert_null(sctx_ref(&a->ctx));
	assert_true(*refs_of(&a->ctx) == REFS_MOST);
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_true(*refs_of(&a->ctx) == REFS_MOST);
	/* Never success with nothing. */
	rc = sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, &out);
	assert_true(rc < 0);
	assert_null(out);
	assert_true(*refs_of(&a->ctx) == REFS_MOST);

	assert_rc(sctx_put(&a->ctx), 0);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);
	*refs_of(&a->ctx) = 1;
	stream_end(&s);
	assert_u64(items_freed(), ==, items_created());
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void detach_of_an_unlinked_context(void **state)
{
	struct item *a = item_new(OWNER(1), NULL), *b;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);
	/* The reference that remove handed us is untouched. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);

	b = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(2), NULL), &b->ctx);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_detach(&b->ctx), -ENOENT);
	assert_rc(sctx_put(&b->ctx), 0);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	item_free(a);
	item_free(b);
}

/* detach takes this very context, not one that matches as well. */
static void detach_is_by_pointer(void **state)
{
	struct item *items[9];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < 9; i++)
		items[i] = item_insert(&s, OWNER(1), INST(1));
	assert_ptr_equal(sctx_ref(&items[0]->ctx), &items[0]->ctx);
	assert_ptr_equal(sctx_ref(&items[4]->ctx), &items[4]->ctx);
	assert_rc(sctx_detach(&items[4]->ctx), 0);
	assert_rc(sctx_detach(&items[0]->ctx), 0);
	assert_rc(sctx_put(&items[4]->ctx), 0);
	assert_rc(sctx_put(&items[0]->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 9; i++)
		assert_int_equal(item_called(items[i]), i == 0 || i == 4);
	for (unsigned int i = 8; i > 0; i--)
		if (i != 4)
			assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(1)), &items[i]->ctx);
	stream_end(&s);
	for (unsigned int i = 0; i < 9; i++)
		item_free(items[i]);
}

/* ------------------------------------------------------------- read sections */

static void sections_nest(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	sctx_read_lock();
	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s, OWNER(1), NULL), &a->ctx);
	sctx_read_unlock();
	/* The outermost one has not ended: what was borrowed is still good. */
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	assert_rc(sctx_barrier(), -EDEADLK);
	nap_ms(30);
	assert_int_equal(item_called(a), 0);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	stream_end(&s);
	item_free(a);
}

/* Everything of a stream may be done in a section. */
static void writes_in_a_section(void **state)
{
	struct item *a, *b, *c;
	struct sctx_context *out;
	struct sctx_stream s;

	(void)state;
	items_reset();
	sctx_read_lock();
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_new(OWNER(1), NULL);
	assert_rc(sctx_insert_unique(&s, &b->ctx, &out), -EEXIST);
	assert_rc(sctx_put(out), 0);
	assert_rc(sctx_replace(&s, &b->ctx, NULL), 0);
	c = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_remove(&s, OWNER(2), NULL), &c->ctx);
	assert_rc(sctx_get_or_create(&s, OWNER(3), NULL, item_create, NULL, &out), 0);
	assert_rc(sctx_put(out), 0);
	assert_rc(sctx_delete(&s, OWNER(3), NULL), 0);
	assert_rc(sctx_teardown(&s), 0);
	assert_int_equal(item_called(a) + item_called(b), 0);
	sctx_read_unlock();
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(c), 0);
	assert_u64(items_freed(), ==, 1);
	item_free(a);
	item_free(b);
	item_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_names_number_flavour_and_allocator),
		cmocka_unit_test(init_refuses_null),
		cmocka_unit_test(no_free_frees_nothing),
		cmocka_unit_test(the_last_put_calls_back_once),
		cmocka_unit_test(ref_and_put_refuse_null),
		cmocka_unit_test(put_of_the_streams_only_reference_is_refused),
		cmocka_unit_test(get_takes_a_reference),
		cmocka_unit_test(lookup_borrows),
		cmocka_unit_test(a_borrowed_context_may_be_referenced),
		cmocka_unit_test(a_borrowed_context_may_be_referenced_after_its_last_put),
		cmocka_unit_test(a_context_in_limbo_accepts_no_operation),
		cmocka_unit_test(a_held_context_may_move_after_teardown),
		cmocka_unit_test(references_have_a_limit),
		cmocka_unit_test(detach_of_an_unlinked_context),
		cmocka_unit_test(detach_is_by_pointer),
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(writes_in_a_section),
	};

	return TEST_RUN(tests);
}
