/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCTX_INLINE: the read section and the lookup compiled into the caller, in
 * one program with test.c, which calls the library for them.
 */
#define SCTX_INLINE
#include "test.h"

#ifndef STREAMCTX_INLINE_H
#error "SCTX_INLINE inlines nothing"
#endif

static void inlined_and_exported_sections_nest(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));

	/* Ours outside, the library's inside. */
	sctx_read_lock();
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_barrier(), -EDEADLK);
	assert_ptr_equal(sctx_lookup(&s, OWNER(1), INST(1)), &a->ctx);
	sctx_read_lock();
	sctx_read_unlock();
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	nap_ms(30);
	assert_int_equal(item_called(a), 0);
	/* The end of an inner one is no end, though a grace period waits. */
	for (unsigned int i = 0; i < 5; i++) {
		sctx_read_lock();
		sctx_read_unlock();
		nap_ms(20);
		assert_int_equal(item_called(a), 0);
	}
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

static void lookups_agree_with_the_library(void **state)
{
	struct item *items[30];
	struct sctx_stream s;

	(void)state;
	assert_null(sctx_lookup(NULL, OWNER(1), NULL));
	sctx_stream_init(&s);
	sctx_read_lock();
	for (unsigned int i = 0; i < 30; i++) {
		items[i] = item_insert(&s, OWNER(i % 4 ? i % 4 : 9), i % 5 ? INST(i % 5) : NULL);
		for (unsigned int o = 0; o < 6; o++)
			for (unsigned int k = 0; k < 6; k++) {
				const void *owner = o ? OWNER(o) : NULL;
				const void *instance = k ? INST(k) : NULL;

				assert_ptr_equal(sctx_lookup(&s, owner, instance),
						 peek(&s, owner, instance));
			}
	}
	assert_ptr_equal(sctx_lookup(&s, NULL, NULL), &items[29]->ctx);
	assert_null(sctx_lookup(&s, NULL, INST(1)));
	assert_rc(sctx_stream_disable(&s), 0);
	assert_null(sctx_lookup(&s, NULL, NULL));
	sctx_read_unlock();
	assert_rc(sctx_teardown_sync(&s), 0);
	for (unsigned int i = 0; i < 30; i++)
		item_free(items[i]);
}

/* Threads whose first use of the library is an inlined section. */
struct race {
	struct sctx_stream stream;
	atomic_bool stop;
	atomic_ulong hits;
};

static void *first_use_main(void *arg)
{
	struct race *r = arg;
	struct sctx_context *ctx;

	for (unsigned int i = 0; i < 200; i++) {
		sctx_read_lock();
		ctx = sctx_lookup(&r->stream, OWNER(1), NULL);
		if (ctx) {
			if (i % 16 == 0)
				sched_yield();
			item_check(item_of(ctx));
			atomic_fetch_add(&r->hits, 1);
		}
		sctx_read_unlock();
	}
	return NULL;
}

static void race_thread(unsigned int index, void *arg)
{
	struct race *r = arg;

	if (index) {
		while (!atomic_load(&r->stop))
			thread_join(thread_start(first_use_main, r));
		return;
	}
	for (uint64_t end = test_deadline(500); !past(end);) {
		for (unsigned int i = 0; i < 8; i++)
			CHECK_EQ(sctx_insert(&r->stream, &item_churn(OWNER(i % 2), NULL)->ctx), 0);
		for (unsigned int i = 0; i < 8; i++)
			CHECK_EQ(sctx_delete(&r->stream, OWNER(i % 2), NULL), 0);
	}
	atomic_store(&r->stop, true);
}

static void inlined_readers_against_deletes(void **state)
{
	struct race r = { .stop = false };

	(void)state;
	items_reset();
	sctx_stream_init(&r.stream);
	run_threads(3, race_thread, &r);
	assert_u64(atomic_load(&r.hits), >, 0);
	stream_end(&r.stream);
	assert_u64(items_freed(), ==, items_created());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inlined_and_exported_sections_nest),
		cmocka_unit_test(lookups_agree_with_the_library),
		cmocka_unit_test(inlined_readers_against_deletes),
	};

	return TEST_RUN(tests);
}
