/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exit(3), where the library's destructor runs: what can be called back is, and
 * the process ends whatever its threads and callbacks are at.
 *
 * Each way out is a child's.  They run side by side, as some wait for as long
 * as the library is patient.
 */
#include "test.h"

#include <sys/mman.h>

#define RETIRED 1000

/* Calls of FreeCallbacks, in memory that the parent sees. */
static atomic_uint *called;

static void count_call(struct sctx_context *ctx)
{
	(void)ctx;
	atomic_fetch_add(called, 1);
}

static void retire_many(void)
{
	static struct sctx_context ctx[RETIRED];

	for (unsigned int i = 0; i < RETIRED; i++) {
		CHECK_EQ(sctx_context_init(&ctx[i], OWNER(1), NULL, count_call), 0);
		CHECK_EQ(sctx_put(&ctx[i]), 0);
	}
}

static void retire_one(sctx_free_fn callback)
{
	static struct sctx_context ctx;

	CHECK_EQ(sctx_context_init(&ctx, OWNER(1), NULL, callback), 0);
	CHECK_EQ(sctx_put(&ctx), 0);
}

static void with_limbo(void)
{
	retire_many();
	exit(0);
}

static void with_limbo_half_polled(void)
{
	retire_many();
	CHECK(sctx_reclaim_poll(10) >= 0);
	exit(0);
}

static void exit_here(struct sctx_context *ctx)
{
	(void)ctx;
	exit(0);
}

static void in_a_callback(void)
{
	retire_one(exit_here);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK(false);
}

static struct gate in_callback, never;

static void block_for_ever(struct sctx_context *ctx)
{
	(void)ctx;
	gate_open(&in_callback);
	gate_wait(&never);
}

static void while_a_callback_blocks(void)
{
	gate_init(&in_callback);
	gate_init(&never);
	retire_one(block_for_ever);
	gate_wait(&in_callback);
	exit(0);
}

static void in_a_section(void)
{
	sctx_read_lock();
	retire_many();
	exit(0);
}

static void while_a_reader_stays(void)
{
	reader_park(NULL, NULL, NULL);
	retire_many();
	exit(0);
}

static void *open_and_close(void *registry)
{
	struct sctx_id id = id_of(1);

	for (;;) {
		struct sctx_context *ctx;
		struct sctx_stream *s;

		CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
		CHECK_EQ(sctx_get_or_create(s, OWNER(1), NULL, item_create, NULL, &ctx), 0);
		CHECK_EQ(sctx_put(ctx), 0);
		CHECK_EQ(sctx_close(s), 0);
		nap_ms(0);
	}
	return NULL;
}

static void while_others_are_busy(void)
{
	struct sctx_registry *registry;

	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < 2; i++)
		thread_start(open_and_close, registry);
	nap_ms(30);
	exit(0);
}

static const struct way {
	void (*out)(void);
	enum sctx_reclaim_mode mode;
	unsigned int called;
} ways[] = {
	{ with_limbo, SCTX_RECLAIM_THREAD, RETIRED },
	{ with_limbo, SCTX_RECLAIM_POLL, RETIRED },
	{ with_limbo_half_polled, SCTX_RECLAIM_POLL, RETIRED },
	{ in_a_callback, SCTX_RECLAIM_THREAD, 0 },
	{ in_a_callback, SCTX_RECLAIM_POLL, 0 },
	{ in_a_section, SCTX_RECLAIM_THREAD, 0 },
	{ while_a_callback_blocks, SCTX_RECLAIM_THREAD, 0 },
	/* Inline would wait for the reader at its first batch already. */
	{ while_a_reader_stays, SCTX_RECLAIM_THREAD, 0 },
	{ while_a_reader_stays, SCTX_RECLAIM_POLL, 0 },
	{ while_others_are_busy, SCTX_RECLAIM_THREAD, 0 },
};

static void leave(void *arg)
{
	const struct way *way = arg;

	called += way - ways;
	set_mode(way->mode);
	way->out();
}

static void exits_of_all_kinds(void **state)
{
	pid_t children[ARRAY_SIZE(ways)];

	(void)state;
	/* What lives on at exit would be a leak report in the child. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	called = mmap(NULL, sizeof(*called) * ARRAY_SIZE(ways), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(called, MAP_FAILED);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		children[i] = child_start(leave, (void *)&ways[i]);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		assert_child_ok(children[i]);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		assert_int_equal(atomic_load(&called[i]), ways[i].called);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exits_of_all_kinds),
	};

	return TEST_RUN(tests);
}
