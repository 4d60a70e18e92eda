/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams and contexts: each function, and each errno that its comment in the
 * header states (those of a fault are in fault.c, those of a full limbo in
 * reclaim.c).
 */
#include "test.h"

static void settle(struct sctx_stream *stream)
{
	assert_rc(sctx_teardown_sync(stream), 0);
	assert_rc(sctx_barrier(), 0);
}

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
	settle(&s);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(ctx[i].owner, OWNER(i));
	/* As good as new. */
	sctx_context_init(&ctx[0], OWNER(7), NULL, SCTX_NO_FREE);
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &ctx[0]), 0);
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
	item_free(a);
	item_free(b);
}

/* Nobody but limbo has one: a put too many, an insert after the last put. */
static void a_context_in_limbo_is_nobodys(void **state)
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
	settle(&s);
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
	settle(&other);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void references_have_a_limit(void **state)
{
	const uint32_t most = UINT32_C(1) << 31;
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_context *out = (void *)1;
	struct sctx_stream s;
	int rc;

	(void)state;
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &a->ctx), 0);
	a->ctx.refs = most;
	assert_null(sctx_ref(&a->ctx));
	assert_true(a->ctx.refs == most);
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_true(a->ctx.refs == most);
	/* Never success with nothing. */
	rc = sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, &out);
	assert_true(rc < 0);
	assert_null(out);
	assert_true(a->ctx.refs == most);

	assert_rc(sctx_put(&a->ctx), 0);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);
	a->ctx.refs = 1;
	settle(&s);
	assert_u64(items_freed(), ==, items_created());
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void detach_of_what_hangs_nowhere(void **state)
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
	settle(&s);
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
	settle(&s);
	for (unsigned int i = 0; i < 9; i++)
		item_free(items[i]);
}

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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	settle(&s);
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
	assert_rc(sctx_teardown_sync(&s), 0);
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
	settle(&s);
	sctx_stream_init(&s);
	assert_rc(sctx_teardown(&s), 0);
	REFUSED(&s, OWNER(1), item_create, NULL, -ESHUTDOWN);
	settle(&s);
	assert_u64(items_created(), ==, items_freed());
	settle(&other);
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
	settle(&s);
	item_free(a);
	item_free(b);
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
	settle(&s);
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
	settle(&s);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(c), 0);
	assert_u64(items_freed(), ==, 1);
	item_free(a);
	item_free(b);
	item_free(c);
}

/* ------------------------------------------------------------ sizes, models */

static void a_thousand_contexts_on_a_stream(void **state)
{
	enum { N = 1000 };
	static char owners[N];
	struct item *items[N];
	unsigned int order[N];
	uint64_t seed = 42;
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int i = 0; i < N; i++) {
		items[i] = item_insert(&s, &owners[i], NULL);
		order[i] = i;
	}
	for (unsigned int i = 0; i < N; i++)
		assert_ptr_equal(peek(&s, &owners[i], NULL), &items[i]->ctx);
	for (unsigned int i = N - 1; i > 0; i--) {
		unsigned int j = test_random(&seed) % (i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	for (unsigned int i = 0; i < N / 2; i++)
		assert_ptr_equal(sctx_remove(&s, &owners[order[i]], NULL), &items[order[i]]->ctx);
	for (unsigned int i = 0; i < N; i++) {
		struct sctx_context *want = i < N / 2 ? NULL : &items[order[i]]->ctx;

		assert_ptr_equal(peek(&s, &owners[order[i]], NULL), want);
	}
	settle(&s);
	for (unsigned int i = 0; i < N; i++) {
		assert_int_equal(item_called(items[order[i]]), i >= N / 2);
		item_free(items[order[i]]);
	}
}

/* Slots are not reused, arrays are: churn on one stream takes no more memory. */
static void churn_on_one_stream_takes_no_memory(void **state)
{
	const unsigned int turns = TEST_ASAN || TEST_TSAN ? 20000 : 300000;
	struct sctx_context ctx[3];
	struct sctx_stream s;
	size_t before = 0;

	(void)state;
	set_limits(1u << 20, 0, 0);
	sctx_stream_init(&s);
	sctx_context_init(&ctx[0], OWNER(0), NULL, SCTX_NO_FREE);
	assert_rc(sctx_insert(&s, &ctx[0]), 0);
	for (unsigned int i = 0; i < turns; i++) {
		unsigned int k = 1 + i % 2;

		sctx_context_init(&ctx[k], OWNER(k), NULL, SCTX_NO_FREE);
		assert_rc(sctx_insert(&s, &ctx[k]), 0);
		assert_ptr_equal(sctx_remove(&s, OWNER(k), NULL), &ctx[k]);
		if (i == turns / 10) {
			assert_rc(sctx_barrier(), 0);
			before = resident_bytes();
		}
	}
	assert_rc(sctx_barrier(), 0);
	assert_ptr_equal(peek(&s, NULL, NULL), &ctx[0]);
	if (TEST_ALONE)
		assert_u64(resident_bytes(), <, before + (8u << 20));
	settle(&s);
}

/*
 * Random operations on one stream against a plain array, newest last.  It
 * says what each call returns and in which order contexts are found.
 */
#define MODEL_MAX 24

struct model {
	struct item *item[MODEL_MAX];
	unsigned int n;
};

static int model_find(const struct model *m, const void *owner, const void *instance)
{
	for (unsigned int i = m->n; i-- > 0;) {
		const struct sctx_context *ctx = &m->item[i]->ctx;

		if (!owner && !instance)
			return (int)i;
		if (owner == ctx->owner && (!instance || instance == ctx->instance))
			return (int)i;
	}
	return -1;
}

static void model_take(struct model *m, int at)
{
	memmove(&m->item[at], &m->item[at + 1], (m->n - (unsigned int)at - 1) * sizeof(*m->item));
	m->n--;
}

static void model_compare(const struct model *m, struct sctx_stream *s)
{
	sctx_read_lock();
	for (unsigned int o = 0; o <= 3; o++)
		for (unsigned int i = 0; i <= 3; i++) {
			const void *owner = o ? OWNER(o) : NULL, *instance = i ? INST(i) : NULL;
			int at = model_find(m, owner, instance);

			if (!o && i)
				at = -1;
			assert_ptr_equal(sctx_lookup(s, owner, instance),
					 at < 0 ? NULL : &m->item[at]->ctx);
		}
	sctx_read_unlock();
}

static void random_operations_agree_with_a_model(void **state)
{
	const unsigned int steps = TEST_ASAN ? 3000 : 20000;
	struct model m = { .n = 0 };
	struct sctx_stream s;
	uint64_t seed = 20240607;

	(void)state;
	sctx_stream_init(&s);
	for (unsigned int step = 0; step < steps; step++) {
		unsigned int r = (unsigned int)test_random(&seed);
		const void *owner = OWNER(1 + r % 3),
			   *instance = (r >> 8) % 4 ? INST((r >> 8) % 4) : NULL;
		int at = model_find(&m, owner, instance);
		struct sctx_context *out = (void *)1;
		struct item *item;

		switch ((r >> 16) % 7) {
		case 0:
		case 1:
			if (m.n == MODEL_MAX)
				break;
			m.item[m.n++] = item_insert(&s, owner, instance);
			break;
		case 2:
			item = item_new(owner, instance);
			if (at >= 0) {
				assert_rc(sctx_insert_unique(&s, &item->ctx, &out), -EEXIST);
				assert_ptr_equal(out, &m.item[at]->ctx);
				assert_rc(sctx_put(out), 0);
				item_free(item);
			} else if (m.n < MODEL_MAX) {
				assert_rc(sctx_insert_unique(&s, &item->ctx, &out), 0);
				assert_null(out);
				m.item[m.n++] = item;
			} else {
				item_free(item);
			}
			break;
		case 3:
			if (at < 0)
				break;
			item = item_new(owner, instance);
			assert_rc(sctx_replace(&s, &item->ctx, &out), 0);
			assert_ptr_equal(out, &m.item[at]->ctx);
			item_free(m.item[at]);
			m.item[at] = item;
			break;
		case 4:
			if ((r >> 20) % 4 == 0) {
				owner = instance = NULL;
				at = model_find(&m, NULL, NULL);
			}
			out = sctx_remove(&s, owner, instance);
			assert_ptr_equal(out, at < 0 ? NULL : &m.item[at]->ctx);
			if (at >= 0) {
				item_free(m.item[at]);
				model_take(&m, at);
			}
			break;
		case 5:
			if (!m.n)
				break;
			at = (int)((r >> 20) % m.n);
			item = m.item[at];
			assert_non_null(sctx_ref(&item->ctx));
			assert_rc(sctx_detach(&item->ctx), 0);
			assert_rc(sctx_detach(&item->ctx), -ENOENT);
			item_free(item);
			model_take(&m, at);
			break;
		default:
			out = sctx_get(&s, owner, instance);
			assert_ptr_equal(out, at < 0 ? NULL : &m.item[at]->ctx);
			if (out)
				assert_rc(sctx_put(out), 0);
			break;
		}
		model_compare(&m, &s);
	}
	settle(&s);
	for (unsigned int i = 0; i < m.n; i++) {
		assert_int_equal(item_called(m.item[i]), 1);
		item_free(m.item[i]);
	}
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
		cmocka_unit_test(a_context_in_limbo_is_nobodys),
		cmocka_unit_test(a_held_context_may_move_after_teardown),
		cmocka_unit_test(references_have_a_limit),
		cmocka_unit_test(detach_of_what_hangs_nowhere),
		cmocka_unit_test(detach_is_by_pointer),
		cmocka_unit_test(stream_calls_refuse_null),
		cmocka_unit_test(teardown_sync_in_a_section_changes_nothing),
		cmocka_unit_test(retire_frees_the_memory_around_a_stream_once),
		cmocka_unit_test(retire_after_teardown),
		cmocka_unit_test(insert_unique_keeps_what_is_there),
		cmocka_unit_test(insert_unique_of_an_instance_beside_a_null_one),
		cmocka_unit_test(replace_hands_out_the_old_one),
		cmocka_unit_test(replace_keeps_the_place),
		cmocka_unit_test(replace_of_the_newest_of_an_owner),
		cmocka_unit_test(get_or_create_creates_once),
		cmocka_unit_test(get_or_create_errors),
		cmocka_unit_test(delete_is_remove_and_put),
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(writes_in_a_section),
		cmocka_unit_test(a_thousand_contexts_on_a_stream),
		cmocka_unit_test(churn_on_one_stream_takes_no_memory),
		cmocka_unit_test(random_operations_agree_with_a_model),
	};

	return TEST_RUN(tests);
}
