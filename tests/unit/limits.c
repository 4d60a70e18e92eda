/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * At limbo's limit: creators get -EAGAIN where they must not wait, releases go
 * on.
 */
#include "test.h"

/* ------------------------------------------------------- configure and stats */

static void configure_refuses_invalid_options(void **state)
{
	const struct sctx_reclaim_options good = {
		.size = sizeof(good),
		.limit_bytes = 1 << 20,
		.limit_callbacks = 1000,
		.flags = SCTX_RECLAIM_NOWAIT,
	};
	struct sctx_reclaim_options bad;
	struct sctx_stream s;
	struct item *item;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_reclaim_configure(NULL), -EINVAL);
	bad = good;
	bad.limit_bytes = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.limit_callbacks = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.flags = 0x2;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad.flags = SCTX_RECLAIM_NOWAIT | 0x80000000u;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad = good;
	bad.size = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	bad.size = sizeof(bad.size);
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	assert_rc(sctx_reclaim_configure(&good), 0);
	bad = good;
	bad.limit_bytes = bad.limit_callbacks = SIZE_MAX;
	assert_rc(sctx_reclaim_configure(&bad), 0);
	item = item_insert(&s, OWNER(1), NULL); /* at no limit */
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(item);
	set_limits(1, 1, 0);
	set_limits(0, 0, 0);
}

/* ------------------------------------------------------------------- limits */

/*
 * Insert and delete until an insert is refused; returns how many were.  Threads tell of
 * what they retire in batches, here the test's, the reclaimer's and a reader's.
 * Where a test asks how far limbo stands over its limit, that is high enough
 * for the batches to be as large as under the default limits, so that none is
 * left from before that is larger.
 */
static unsigned int create_until_refused(struct sctx_stream *s, unsigned int most)
{
	for (unsigned int n = 0; n < most; n++) {
		struct item *item = item_churn(OWNER(1), NULL);
		int rc = sctx_insert(s, &item->ctx);

		if (rc) {
			assert_rc(rc, -EAGAIN);
			/* Still ours. */
			item_churn_free(item);
			return n;
		}
		assert_rc(sctx_delete(s, OWNER(1), NULL), 0);
	}
	return most;
}

static struct sctx_context *create_churn(const void *owner, const void *instance, void *arg)
{
	return item_create(owner, instance, arg);
}

/* Creators are refused, whatever they create; nothing changes by it. */
static void creators_are_refused(struct sctx_registry *registry, struct sctx_stream *s,
				 struct sctx_stream *open)
{
	struct sctx_context *ctx = (void *)1;
	struct sctx_stream *stream = (void *)1;
	struct item *a = item_churn(OWNER(5), NULL);
	struct sctx_id new_id = id_of(4711), open_id = *sctx_stream_id(open);

	CHECK_EQ(sctx_insert(s, &a->ctx), -EAGAIN);
	CHECK_EQ(sctx_insert_unique(s, &a->ctx, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	ctx = (void *)1;
	CHECK_EQ(sctx_replace(s, &a->ctx, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	ctx = (void *)1;
	CHECK_EQ(sctx_get_or_create(s, OWNER(5), NULL, create_churn, NULL, &ctx), -EAGAIN);
	CHECK(ctx == NULL);
	CHECK_EQ(sctx_open(registry, &new_id, 0, &stream), -EAGAIN);
	CHECK(stream == NULL);
	CHECK(peek(s, OWNER(5), NULL) == NULL);
	item_churn_free(a);

	/* What creates nothing is not. */
	CHECK_EQ(sctx_open(registry, &open_id, 0, &stream), 0);
	CHECK(stream == open);
	CHECK_EQ(sctx_close(stream), 0);
	CHECK_EQ(sctx_open(registry, &new_id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
	ctx = sctx_get(s, OWNER(7), NULL);
	CHECK(ctx);
	CHECK_EQ(sctx_put(ctx), 0);
	CHECK_EQ(sctx_get_or_create(s, OWNER(7), NULL, create_churn, NULL, &ctx), 0);
	CHECK_EQ(sctx_put(ctx), 0);
}

/* Every kind of release, while limbo is full and a reader holds it so. */
struct releases {
	struct sctx_registry *registry;
	struct sctx_stream stream[4];
	struct sctx_stream *open[40];
	struct sctx_context *got[40];
};

static void releases_prepare(struct releases *r)
{
	memset(r, 0, sizeof(*r));
	CHECK_EQ(sctx_registry_create(&r->registry), 0);
	for (unsigned int i = 0; i < 4; i++) {
		sctx_stream_init(&r->stream[i]);
		for (unsigned int j = 0; j < 20; j++)
			CHECK_EQ(sctx_insert(&r->stream[i], &item_churn(OWNER(1), INST(j))->ctx),
				 0);
	}
	for (unsigned int i = 0; i < 40; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(r->registry, &id, 0, &r->open[i]), 0);
		CHECK_EQ(sctx_insert(r->open[i], &item_churn(OWNER(7), NULL)->ctx), 0);
		r->got[i] = sctx_get(r->open[i], OWNER(7), NULL);
		CHECK(r->got[i]);
	}
}

static void nothing(struct sctx_stream *stream)
{
	(void)stream;
}

static void releases_do(struct releases *r)
{
	struct sctx_context *ctx;

	while (sctx_delete(&r->stream[0], OWNER(1), NULL) == 0)
		;
	while ((ctx = sctx_remove(&r->stream[1], OWNER(1), NULL)))
		CHECK_EQ(sctx_put(ctx), 0);
	while ((ctx = sctx_get(&r->stream[2], OWNER(1), NULL))) {
		CHECK_EQ(sctx_detach(ctx), 0);
		CHECK_EQ(sctx_put(ctx), 0);
	}
	CHECK_EQ(sctx_teardown(&r->stream[2]), 0);
	CHECK_EQ(sctx_stream_retire(&r->stream[3], nothing), 0);
	for (unsigned int i = 0; i < 40; i++) {
		CHECK_EQ(sctx_close(r->open[i]), 0);
		CHECK_EQ(sctx_put(r->got[i]), 0);
	}
	CHECK_EQ(sctx_registry_destroy(r->registry), 0);
	CHECK_EQ(sctx_stream_disable(&r->stream[0]), 0);
}

static void at_the_limit_creators_get_eagain_and_releasers_go_on(void **state)
{
	const unsigned int limit = 16384;
	struct releases r;
	struct sctx_stream s;
	struct reader *reader;
	unsigned int n;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&r);
	/* Arrays that the preparation outgrew go first. */
	assert_rc(sctx_barrier(), 0);

	set_limits(0, limit, SCTX_RECLAIM_NOWAIT);
	reader = reader_park(NULL, NULL, NULL);
	n = create_until_refused(&s, 10 * limit);
	print_message("           %u inserts, limbo %lu\n", n,
		      (unsigned long)stats_now().limbo_callbacks);
	assert_u64(stats_now().limbo_callbacks, >=, limit * 7 / 8);
	assert_u64(stats_now().limbo_callbacks, <=, limit + 3 * (limit / 64) + 2);
	creators_are_refused(r.registry, &s, r.open[0]);
	assert_u64(stats_now().limbo_callbacks, <=, limit + 3 * (limit / 64) + 2);

	releases_do(&r);
	assert_u64(stats_now().limbo_callbacks, >=, limit);
	assert_int_equal(create_until_refused(&s, 1), 0);
	reader_leave(reader);

	/* Limbo empties, and inserting goes on. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(create_until_refused(&s, 10), 10);
	set_limits(0, 0, 0);
	stream_end(&s);
	for (unsigned int i = 0; i < 3; i++)
		stream_end(&r.stream[i]);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

/* In a section the caller cannot wait, whatever the flags say. */
static void at_the_limit_in_a_section(void **state)
{
	struct releases r;
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	assert_rc(sctx_insert(&s, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&r);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 16384, 0);
	sctx_read_lock();
	assert_true(create_until_refused(&s, 100000) < 20000);
	creators_are_refused(r.registry, &s, r.open[0]);
	releases_do(&r);
	sctx_read_unlock();
	/* Out of it, it waits. */
	assert_int_equal(create_until_refused(&s, 50000), 50000);
	set_limits(0, 0, 0);
	stream_end(&s);
	for (unsigned int i = 0; i < 3; i++)
		stream_end(&r.stream[i]);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* In a callback neither: it would wait for itself. */
struct full_callback {
	struct releases releases;
	struct sctx_stream stream;
	struct gate entered, go;
};

static void create_when_full(struct item *item)
{
	struct full_callback *f = item->arg;

	gate_open(&f->entered);
	gate_wait(&f->go);
	creators_are_refused(f->releases.registry, &f->stream, f->releases.open[0]);
	releases_do(&f->releases);
}

static void at_the_limit_in_a_callback(void **state)
{
	struct full_callback *f = calloc(1, sizeof(*f));
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	assert_non_null(f);
	assert_rc(sctx_barrier(), 0);
	items_reset();
	gate_init(&f->entered);
	gate_init(&f->go);
	sctx_stream_init(&f->stream);
	assert_rc(sctx_insert(&f->stream, &item_churn(OWNER(7), NULL)->ctx), 0);
	releases_prepare(&f->releases);
	a->hook = create_when_full;
	a->arg = f;
	assert_rc(sctx_put(&a->ctx), 0);
	gate_wait(&f->entered);
	/* The only thread that could empty limbo is in the callback. */
	set_limits(0, 16384, SCTX_RECLAIM_NOWAIT);
	assert_true(create_until_refused(&f->stream, 100000) < 20000);
	set_limits(0, 16384, 0);
	gate_open(&f->go);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	set_limits(0, 0, 0);
	stream_end(&f->stream);
	for (unsigned int i = 0; i < 3; i++)
		stream_end(&f->releases.stream[i]);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	free(f);
	item_free(a);
}

/*
 * Noticed though no thread has a batch of callbacks together: the arrays that a
 * list outgrows are few and large.
 */
static void the_limit_in_bytes_counts_contexts(void **state)
{
	enum { N = 8000 };
	struct sctx_context *ctx = calloc(N, sizeof(*ctx));
	struct sctx_stream s;
	struct reader *reader;
	unsigned int n;
	int rc = 0;

	(void)state;
	assert_non_null(ctx);
	assert_rc(sctx_barrier(), 0);
	sctx_stream_init(&s);
	set_limits(32 << 10, 0, SCTX_RECLAIM_NOWAIT);
	reader = reader_park(NULL, NULL, NULL);
	for (n = 0; n < N && !rc; n++) {
		assert_rc(sctx_context_init(&ctx[n], OWNER(1), NULL, SCTX_NO_FREE), 0);
		rc = sctx_insert(&s, &ctx[n]);
	}
	assert_rc(rc, -EAGAIN);
	assert_u64(n, >, 500);
	reader_leave(reader);
	assert_rc(sctx_teardown_sync(&s), 0);
	free(ctx);
}

static void the_limit_in_bytes(void **state)
{
	const size_t limit = 4 << 20;
	struct sctx_registry *registry;
	struct reader *reader;
	struct sctx_stream *s;
	unsigned int n;
	int rc = 0;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	assert_rc(sctx_registry_create(&registry), 0);
	set_limits(limit, 0, 0);
	reader = reader_park(NULL, NULL, NULL);
	for (n = 0; n < 100000; n++) {
		struct sctx_id id = id_of(n);

		rc = sctx_open(registry, &id, SCTX_OPEN_NOWAIT, &s);
		if (rc)
			break;
		assert_rc(sctx_close(s), 0);
	}
	assert_rc(rc, -EAGAIN);
	assert_null(s);
	/* A stream takes 80 bytes at least, and not a kilobyte. */
	assert_true(n >= 64 && n <= (limit + 3 * limit / 64) / sizeof(struct sctx_stream));
	assert_u64(stats_now().limbo_bytes, >=, limit * 7 / 8);
	assert_u64(stats_now().limbo_bytes, <=, limit + 3 * limit / 64 + 1024);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
}

/* A configure that fails leaves the limit that was. */
static void a_refused_configure_changes_nothing(void **state)
{
	struct sctx_reclaim_options bad = {
		.size = sizeof(bad),
		.limit_bytes = SIZE_MAX,
		.limit_callbacks = 0,
	};
	struct reader *reader;
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	sctx_stream_init(&s);
	set_limits(0, 16384, SCTX_RECLAIM_NOWAIT);
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	reader = reader_park(NULL, NULL, NULL);
	assert_true(create_until_refused(&s, 100000) < 20000);
	bad.limit_callbacks = SIZE_MAX;
	bad.limit_bytes = 0;
	assert_rc(sctx_reclaim_configure(&bad), -EINVAL);
	assert_int_equal(create_until_refused(&s, 1), 0);
	reader_leave(reader);
	stream_end(&s);
	set_limits(0, 0, 0);
	assert_u64(items_freed(), ==, items_created());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configure_refuses_invalid_options),
		cmocka_unit_test(at_the_limit_creators_get_eagain_and_releasers_go_on),
		cmocka_unit_test(at_the_limit_in_a_section),
		cmocka_unit_test(at_the_limit_in_a_callback),
		cmocka_unit_test(the_limit_in_bytes_counts_contexts),
		cmocka_unit_test(the_limit_in_bytes),
		cmocka_unit_test(a_refused_configure_changes_nothing),
	};

	return TEST_RUN(tests);
}
