/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry's memory: streams that come and go keep little.
 */
#include "test.h"

#include <malloc.h>

/* ------------------------------------------------------------------- memory */

static void churn_takes_no_memory(void **state)
{
	const unsigned int turns = TEST_ASAN || TEST_TSAN ? 20000 : 400000;
	struct sctx_registry *registry = registry_new();
	size_t before = 0;

	(void)state;
	set_limits(2u << 20, 0, 0);
	for (unsigned int i = 0; i < turns; i++) {
		struct sctx_id id = id_of(i);
		struct sctx_stream *s;

		assert_rc(sctx_open(registry, &id, 0, &s), 0);
		assert_rc(sctx_close(s), 0);
		if (i == turns / 4)
			before = resident_bytes();
	}
	if (TEST_ALONE)
		assert_u64(resident_bytes(), <, before + (8u << 20));
	registry_end(registry);
	set_limits(0, 0, 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
}

/* What it closed is its own to open again, but not without end: 8 MiB of nodes. */
static void a_thread_keeps_a_bounded_number_of_nodes(void **state)
{
	enum { STREAMS = 250000 };
	struct sctx_registry *registry;
	struct sctx_stream **stream;
	size_t before;

	(void)state;
	if (TEST_ASAN || TEST_TSAN || strstr(sctx_version(), "jemalloc"))
		skip(); /* whose memory mallinfo2() does not know */
	registry = registry_new();
	stream = calloc(STREAMS, sizeof(*stream));
	assert_non_null(stream);
	before = mallinfo2().uordblks;
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(registry, &id, 0, &stream[i]), 0);
	}
	assert_u64(mallinfo2().uordblks, >,
		   before + (STREAMS - 65536) * 128u); /* it may have some */
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_rc(sctx_close(stream[i]), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(mallinfo2().uordblks, <, before + (12u << 20));
	free(stream);
	registry_end(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(churn_takes_no_memory),
		cmocka_unit_test(a_thread_keeps_a_bounded_number_of_nodes),
	};

	return TEST_RUN(tests);
}
