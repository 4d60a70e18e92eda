/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that end at the wrong moment: inside their read section, nested or
 * not, with things in limbo and references in hand; by return, pthread_exit or
 * cancellation; and the same while others open, close and wait.
 *
 * An exit ends the section: what the thread had borrowed nobody uses any more.
 * No grace period waits for a thread that is gone.
 */
#include "test.h"

struct leaving {
	struct sctx_stream *stream;
	unsigned int depth; /* of sections */
	bool cancelled;
	struct gate inside;
	struct sctx_context *held;
};

static void *leaving_main(void *arg)
{
	struct leaving *l = arg;
	struct sctx_context *ctx;

	for (unsigned int i = 0; i < l->depth; i++)
		sctx_read_lock();
	ctx = sctx_lookup(l->stream, OWNER(1), NULL);
	CHECK(ctx);
	l->held = sctx_ref(ctx);
	/* Retired inside the section that does not end. */
	CHECK_EQ(sctx_put(&item_churn(OWNER(2), NULL)->ctx), 0);
	CHECK_EQ(sctx_insert(l->stream, &item_churn(OWNER(2), NULL)->ctx), 0);
	CHECK_EQ(sctx_delete(l->stream, OWNER(2), NULL), 0);
	gate_open(&l->inside);
	while (l->cancelled)
		pause();
	if (l->depth % 2)
		pthread_exit(NULL);
	return NULL;
}

static void exits_inside_a_section(void **state)
{
	(void)state;
	items_reset();
	for (unsigned int turn = 0; turn < 40; turn++) {
		struct sctx_stream s;
		struct leaving l = { .stream = &s,
				     .depth = 1 + turn % 3,
				     .cancelled = turn % 4 == 3 };
		pthread_t thread;
		uint64_t begin;

		sctx_stream_init(&s);
		gate_init(&l.inside);
		CHECK_EQ(sctx_insert(&s, &item_churn(OWNER(1), NULL)->ctx), 0);
		thread = thread_start(leaving_main, &l);
		gate_wait(&l.inside);
		if (l.cancelled)
			pthread_cancel(thread);
		thread_join(thread);
		begin = now_ns();
		assert_rc(sctx_synchronize(), 0);
		stream_end(&s);
		assert_u64(now_ns() - begin, <, 5000000000ull);
		/* Its reference is somebody's still. */
		assert_u64(items_freed(), ==, items_created() - 1);
		item_check(item_of(l.held));
		assert_rc(sctx_put(l.held), 0);
		assert_rc(sctx_barrier(), 0);
		assert_u64(items_freed(), ==, items_created());
		assert_u64(stats_now().limbo_callbacks, ==, 0);
	}
}

/* While others are at it: some inside for a while, some waiting. */
struct crowd {
	struct sctx_registry *registry;
	atomic_uint left;
};

static void *brief_main(void *arg)
{
	struct crowd *c = arg;
	uint64_t seed = now_ns();
	struct sctx_id id = id_of(test_random(&seed) % 8);
	struct sctx_context *ctx;
	struct sctx_stream *s;

	CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_get_or_create(s, OWNER(1), NULL, item_create, NULL, &ctx), 0);
	sctx_read_lock();
	CHECK_EQ(sctx_put(ctx), 0);
	item_check(item_of(ctx)); /* borrowed, still, unless another detached it */
	CHECK_EQ(sctx_close(s), 0);
	if (seed % 4 == 0)
		return NULL;
	sctx_read_unlock();
	return NULL;
}

static void crowd_thread(unsigned int index, void *arg)
{
	struct crowd *c = arg;

	for (uint64_t end = test_deadline(600); !past(end);) {
		if (index == 0) {
			CHECK_EQ(sctx_barrier(), 0);
		} else if (index == 1) {
			CHECK_EQ(sctx_synchronize(), 0);
		} else {
			thread_join(thread_start(brief_main, c));
			atomic_fetch_add(&c->left, 1);
		}
	}
}

static void exits_inside_among_others(void **state)
{
	struct crowd c = { .left = 0 };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	run_threads(6, crowd_thread, &c);
	assert_true(atomic_load(&c.left) > 50);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	assert_u64(stats_now().limbo_bytes, ==, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits_inside_a_section),
		cmocka_unit_test(exits_inside_among_others),
	};

	return TEST_RUN(tests);
}
