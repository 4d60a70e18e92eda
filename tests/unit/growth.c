/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table while it grows, under lookups, opens, closes and walks.
 */
#include "test.h"

/* ------------------------------------------------------------------ walking */

struct walk {
	struct sctx_registry *registry;
	unsigned int visits[64];
	unsigned int calls;
	unsigned int stop_at;
	int result;
	bool close;
};

static int walk_step(struct sctx_stream *stream, void *arg)
{
	struct walk *w = arg;

	/* Inside a section, with the stream borrowed, no lock held. */
	CHECK_EQ(sctx_synchronize(), -EDEADLK);
	CHECK(sctx_find(w->registry, sctx_stream_id(stream)) == stream);
	w->visits[id_number(sctx_stream_id(stream))]++;
	if (w->close)
		CHECK_EQ(sctx_close(stream), 0);
	return ++w->calls == w->stop_at ? w->result : 0;
}

static void for_each_visits_ends_and_may_close(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct walk w = { .registry = registry };
	struct sctx_stream *s[64];

	(void)state;
	for (unsigned int i = 0; i < 64; i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(registry, &id, 0, &s[i]), 0);
	}
	assert_rc(sctx_registry_for_each(registry, walk_step, &w), 0);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(w.visits[i], 1);

	/* Any other value than 0 ends the walk, and comes back. */
	w = (struct walk){ .registry = registry, .stop_at = 5, .result = 17 };
	assert_int_equal(sctx_registry_for_each(registry, walk_step, &w), 17);
	assert_int_equal(w.calls, 5);
	w = (struct walk){ .registry = registry, .stop_at = 1, .result = -EIO };
	assert_rc(sctx_registry_for_each(registry, walk_step, &w), -EIO);
	assert_int_equal(w.calls, 1);

	/* In a section of the caller's. */
	w = (struct walk){ .registry = registry };
	sctx_read_lock();
	assert_rc(sctx_registry_for_each(registry, walk_step, &w), 0);
	sctx_read_unlock();
	assert_int_equal(w.calls, 64);

	/* @fn may close what it visits. */
	w = (struct walk){ .registry = registry, .close = true };
	assert_rc(sctx_registry_for_each(registry, walk_step, &w), 0);
	assert_int_equal(w.calls, 64);
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(w.visits[i], 1);
	assert_u64(streams_in(registry), ==, 0);
	registry_end(registry);
}

/* ------------------------------------------------------------------- growth */

static void many_streams(void **state)
{
	const unsigned int n = TEST_ASAN || TEST_TSAN ? 30000 : 200000;
	struct sctx_registry *registry = registry_new();
	struct sctx_stream **s = calloc(n, sizeof(*s));

	(void)state;
	assert_non_null(s);
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(registry, &id, 0, &s[i]), 0);
		/* One of them at all times, in the middle of a growth as well; again as who expects
		 * it. */
		id = id_of(i * 7919u % (i + 1));
		for (int again = 0; again < 2; again++)
			assert_ptr_equal(reopen(registry, &id), s[i * 7919u % (i + 1)]);
		if (i & (i - 1))
			continue;
		for (unsigned int j = 0; j <= i; j++) {
			id = id_of(j);
			assert_ptr_equal(seek(registry, &id), s[j]);
			assert_ptr_equal(reopen(registry, &id), s[j]);
		}
		assert_u64(streams_in(registry), ==, i + 1);
	}
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = id_of(i), missing = id_of(n + i);

		assert_ptr_equal(seek(registry, &id), s[i]);
		assert_null(seek(registry, &missing));
	}
	assert_u64(streams_in(registry), ==, n);
	for (unsigned int i = 0; i < n; i += 2)
		assert_rc(sctx_close(s[i]), 0);
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = id_of(i);

		assert_ptr_equal(seek(registry, &id), i % 2 ? s[i] : NULL);
	}
	assert_u64(streams_in(registry), ==, n / 2);
	for (unsigned int i = 1; i < n; i += 2)
		assert_rc(sctx_close(s[i]), 0);
	assert_u64(streams_in(registry), ==, 0);
	registry_end(registry);
	free(s);
}

/*
 * The table grows several times while threads look up, open and close.  What
 * is open is found, always; what is closed is not.
 */
#define GROWERS 2

struct growth {
	struct sctx_registry *registry;
	unsigned int n;              /* streams of each grower */
	struct sctx_stream **stream; /* [GROWERS * n] */
	atomic_uint opened[GROWERS]; /* so many of its streams are open */
	atomic_uint growing;
	atomic_ulong finds;
};

static struct sctx_id grower_id(unsigned int grower, unsigned int i)
{
	return (struct sctx_id){ .volume = i, .file = { grower, i % 3 }, .stream = i / 3 };
}

static void grow_part(struct growth *g, unsigned int grower)
{
	struct sctx_stream **mine = &g->stream[grower * g->n];

	for (unsigned int i = 0; i < g->n; i++) {
		struct sctx_id id = grower_id(grower, i);

		CHECK_EQ(sctx_open(g->registry, &id, 0, &mine[i]), 0);
		atomic_store(&g->opened[grower], i + 1);
	}
	atomic_fetch_sub(&g->growing, 1);
}

static void look_up_part(struct growth *g, uint64_t seed)
{
	while (atomic_load(&g->growing)) {
		unsigned int grower = (unsigned int)test_random(&seed) % GROWERS;
		unsigned int opened = atomic_load(&g->opened[grower]);
		struct sctx_id id = id_of(test_random(&seed) | 1ull << 63);

		CHECK(seek(g->registry, &id) == NULL);
		if (!opened)
			continue;
		for (unsigned int i = 0; i < 16; i++) {
			unsigned int k = (unsigned int)test_random(&seed) % opened;

			id = grower_id(grower, k);
			CHECK(seek(g->registry, &id) == g->stream[grower * g->n + k]);
			CHECK(reopen(g->registry, &id) == g->stream[grower * g->n + k]);
		}
		atomic_fetch_add(&g->finds, 16);
	}
}

static void churn_part(struct growth *g, uint64_t seed)
{
	while (atomic_load(&g->growing)) {
		struct sctx_stream *s[32];
		struct sctx_id id[32];

		for (unsigned int i = 0; i < 32; i++) {
			id[i] = id_of(test_random(&seed) >> 1);
			CHECK_EQ(sctx_open(g->registry, &id[i], 0, &s[i]), 0);
		}
		for (unsigned int i = 0; i < 32; i++) {
			CHECK(seek(g->registry, &id[i]) == s[i]);
			CHECK_EQ(sctx_close(s[i]), 0);
			CHECK(seek(g->registry, &id[i]) == NULL);
		}
	}
}

static void growth_thread(unsigned int index, void *arg)
{
	struct growth *g = arg;

	if (index < GROWERS)
		grow_part(g, index);
	else if (index == GROWERS)
		look_up_part(g, 99);
	else
		churn_part(g, 1234);
}

static void the_table_grows_under_lookups_opens_and_closes(void **state)
{
	struct growth g = { .n = TEST_ASAN || TEST_TSAN ? 10000 : 60000, .growing = GROWERS };

	(void)state;
	g.registry = registry_new();
	g.stream = calloc((size_t)GROWERS * g.n, sizeof(*g.stream));
	assert_non_null(g.stream);
	run_threads(GROWERS + 2, growth_thread, &g);
	assert_u64(atomic_load(&g.finds), >, 0);
	assert_u64(streams_in(g.registry), ==, GROWERS * g.n);
	for (unsigned int k = 0; k < GROWERS; k++)
		for (unsigned int i = 0; i < g.n; i++) {
			struct sctx_id id = grower_id(k, i);

			assert_ptr_equal(seek(g.registry, &id), g.stream[k * g.n + i]);
			assert_rc(sctx_close(g.stream[k * g.n + i]), 0);
		}
	registry_end(g.registry);
	free(g.stream);
}

/*
 * for_each while the table grows and shrinks: who is open throughout is
 * visited exactly once, who comes or goes at most once.
 */
#define STEADY   3000
#define PASSING  60000
#define RESIDENT 4

struct census {
	struct sctx_registry *registry;
	atomic_bool stop;
	unsigned int visits[STEADY + PASSING];
	atomic_uint opened;
};

static int census_step(struct sctx_stream *stream, void *arg)
{
	struct census *c = arg;
	uint64_t n = id_number(sctx_stream_id(stream));

	CHECK(n < STEADY + PASSING);
	c->visits[n]++;
	return 0;
}

/* Each id but once, so that being seen twice is being visited twice. */
static void *passing_main(void *arg)
{
	struct sctx_stream *open[PASSING / RESIDENT] = { NULL };
	const unsigned int window = ARRAY_SIZE(open);
	struct census *c = arg;

	for (unsigned int i = 0; i < PASSING; i++) {
		struct sctx_id id = id_of(STEADY + i);

		if (open[i % window])
			CHECK_EQ(sctx_close(open[i % window]), 0);
		CHECK_EQ(sctx_open(c->registry, &id, 0, &open[i % window]), 0);
		if (i % 1024 == 0)
			sched_yield();
	}
	for (unsigned int i = 0; i < window; i++)
		CHECK_EQ(sctx_close(open[i]), 0);
	atomic_store(&c->stop, true);
	return NULL;
}

static void for_each_while_the_table_grows(void **state)
{
	struct census *c = calloc(1, sizeof(*c));
	static struct sctx_stream *steady[STEADY];

	(void)state;
	assert_non_null(c);
	for (unsigned int round = 0; round < 3; round++) {
		pthread_t thread;

		c->registry = registry_new();
		atomic_store(&c->stop, false);
		for (unsigned int i = 0; i < STEADY; i++) {
			struct sctx_id id = id_of(i);

			assert_rc(sctx_open(c->registry, &id, 0, &steady[i]), 0);
		}
		thread = thread_start(passing_main, c);
		do {
			memset(c->visits, 0, sizeof(c->visits));
			assert_rc(sctx_registry_for_each(c->registry, census_step, c), 0);
			for (unsigned int i = 0; i < STEADY; i++)
				assert_int_equal(c->visits[i], 1);
			for (unsigned int i = 0; i < PASSING; i++)
				assert_true(c->visits[STEADY + i] <= 1);
		} while (!atomic_load(&c->stop));
		thread_join(thread);
		for (unsigned int i = 0; i < STEADY; i++)
			assert_rc(sctx_close(steady[i]), 0);
		registry_end(c->registry);
	}
	free(c);
}

/* The same from empty, so that several doublings fall into one walk. */
static int slow_step(struct sctx_stream *stream, void *arg)
{
	struct census *c = arg;
	struct sctx_stream *s;

	/* Every visit opens more: the table doubles again and again meanwhile. */
	for (unsigned int i = 0; i < 40; i++) {
		unsigned int n = atomic_fetch_add(&c->opened, 1);
		struct sctx_id id = id_of(n);

		if (n < STEADY + PASSING)
			CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
	}
	return census_step(stream, c);
}

static int close_step(struct sctx_stream *stream, void *arg)
{
	(void)arg;
	return sctx_close(stream);
}

static void for_each_that_makes_the_table_grow(void **state)
{
	struct census *c = calloc(1, sizeof(*c));
	const unsigned int first = 2000;
	struct sctx_stream *s;

	(void)state;
	assert_non_null(c);
	c->registry = registry_new();
	for (unsigned int i = 0; i < first; i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(c->registry, &id, 0, &s), 0);
	}
	atomic_store(&c->opened, first);
	assert_rc(sctx_registry_for_each(c->registry, slow_step, c), 0);
	for (unsigned int i = 0; i < first; i++)
		assert_int_equal(c->visits[i], 1);
	for (unsigned int i = first; i < STEADY + PASSING; i++)
		assert_true(c->visits[i] <= 1);
	/* Enough for several doublings. */
	assert_true(atomic_load(&c->opened) > 60000);
	assert_rc(sctx_registry_for_each(c->registry, close_step, NULL), 0);
	assert_u64(streams_in(c->registry), ==, 0);
	registry_end(c->registry);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(for_each_visits_ends_and_may_close),
		cmocka_unit_test(many_streams),
		cmocka_unit_test(the_table_grows_under_lookups_opens_and_closes),
		cmocka_unit_test(for_each_while_the_table_grows),
		cmocka_unit_test(for_each_that_makes_the_table_grow),
	};

	return TEST_RUN(tests);
}
