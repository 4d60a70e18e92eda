/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md that are races of several threads that
 * each set a context.
 */
#include "rounds.h"

/* -------------------------------------------------------- 18: get or create */

static struct sctx_context *create_slowly(const void *owner, const void *instance, void *arg)
{
	sched_yield();
	return item_create(owner, instance, arg);
}

static void get_or_create_once(unsigned int thread, unsigned int round, struct rounds *r)
{
	struct sctx_context *ctx = NULL;

	CHECK_EQ(sctx_get_or_create(&r->stream[round], OWNER(1), INST(1), create_slowly,
				    &r->counted, &ctx),
		 0);
	CHECK(ctx && ctx->owner == OWNER(1) && ctx->instance == INST(1));
	item_check(item_of(ctx));
	r->got[round][thread] = ctx;
	/* Our reference keeps it while others come and go. */
	if (thread == 0)
		CHECK_EQ(sctx_delete(&r->stream[round], OWNER(2), NULL), -ENOENT);
	item_check(item_of(ctx));
}

static void case_18_concurrent_get_or_create(void **state)
{
	unsigned long losers = 0;

	(void)state;
	for (uint64_t end = test_deadline(700); !past(end);) {
		struct rounds *r = rounds_new(4, get_or_create_once);
		unsigned long created;

		items_reset();
		run_threads(r->threads, rounds_thread, r);
		created = atomic_load(&r->counted);
		assert_u64(items_created(), ==, created);

		/* One winner, that all have; the losers' are freed, once. */
		assert_rc(sctx_barrier(), 0);
		assert_u64(items_freed(), ==, created - ROUNDS);
		losers += created - ROUNDS;
		for (unsigned int i = 0; i < ROUNDS; i++) {
			assert_ptr_equal(peek(&r->stream[i], OWNER(1), INST(1)), r->got[i][0]);
			for (unsigned int j = 1; j < r->threads; j++)
				assert_ptr_equal(r->got[i][j], r->got[i][0]);
		}

		/* Referenced for every caller: it lives until the last put. */
		for (unsigned int i = 0; i < ROUNDS; i++) {
			assert_rc(sctx_teardown(&r->stream[i]), 0);
			for (unsigned int j = 1; j < r->threads; j++)
				assert_rc(sctx_put(r->got[i][j]), 0);
		}
		assert_rc(sctx_barrier(), 0);
		assert_u64(items_freed(), ==, created - ROUNDS);
		for (unsigned int i = 0; i < ROUNDS; i++)
			assert_rc(sctx_put(r->got[i][0]), 0);
		assert_rc(sctx_barrier(), 0);
		assert_u64(items_freed(), ==, created);
		rounds_free(r);
	}
	print_message("           %lu losers\n", losers);
	assert_true(losers > 0);
}

/* ----------------------------------------------------------------- 21: KEEP */

static void insert_unique_once(unsigned int thread, unsigned int round, struct rounds *r)
{
	struct sctx_context *existing = (void *)1;
	struct sctx_context *own = &r->item[round][thread]->ctx;
	int rc = sctx_insert_unique(&r->stream[round], own, &existing);

	if (rc == 0) {
		CHECK(existing == NULL);
		atomic_fetch_add(&r->wins[round], 1);
		r->got[round][thread] = own;
		return;
	}
	CHECK_EQ(rc, -EEXIST);
	CHECK(existing && existing != own);
	item_check(item_of(existing));
	r->got[round][thread] = existing;
	handed(own);
}

static void case_21_keep_race(void **state)
{
	unsigned long second = 0;

	(void)state;
	for (uint64_t end = test_deadline(700); !past(end);) {
		struct rounds *r = rounds_new(4, insert_unique_once);

		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < r->threads; j++)
				r->item[i][j] = item_new(OWNER(1), INST(1));
		run_threads(r->threads, rounds_thread, r);
		for (unsigned int i = 0; i < ROUNDS; i++) {
			assert_int_equal(atomic_load(&r->wins[i]), 1);
			assert_ptr_equal(peek(&r->stream[i], OWNER(1), INST(1)), r->got[i][0]);
			for (unsigned int j = 1; j < r->threads; j++)
				assert_ptr_equal(r->got[i][j], r->got[i][0]);
			second += r->got[i][0] != &r->item[i][0]->ctx;
			/* Three losers' references keep the winner. */
			assert_rc(sctx_teardown(&r->stream[i]), 0);
			for (unsigned int j = 0; j < r->threads - 2; j++)
				assert_rc(sctx_put(r->got[i][0]), 0);
		}
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < ROUNDS; i++)
			assert_int_equal(item_called(item_of(r->got[i][0])), 0);
		for (unsigned int i = 0; i < ROUNDS; i++)
			assert_rc(sctx_put(r->got[i][0]), 0);
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < r->threads; j++)
				assert_int_equal(times_obtained(r->item[i][j]), 1);
		rounds_free(r);
	}
	assert_true(second > 0);
}

/* -------------------------------------------------------------- 22: REPLACE */

/*
 * Threads replace the one context of a stream.  Readers find one at every
 * instant; each context but the last is handed to the one that replaced it.
 */
struct replacing {
	struct sctx_stream stream;
	atomic_bool stop;
	atomic_ulong reads;
};

static void replace_thread(unsigned int index, void *arg)
{
	struct replacing *r = arg;

	if (index < 2) {
		for (uint64_t end = test_deadline(500); !past(end);) {
			struct sctx_context *old = (void *)1;
			struct item *item = item_churn(OWNER(1), INST(1));

			if (index == 0) {
				CHECK_EQ(sctx_replace(&r->stream, &item->ctx, NULL), 0);
				continue;
			}
			CHECK_EQ(sctx_replace(&r->stream, &item->ctx, &old), 0);
			CHECK(old && old != &item->ctx);
			item_check(item_of(old));
			CHECK_EQ(sctx_put(old), 0);
		}
		atomic_store(&r->stop, true);
		return;
	}
	while (!atomic_load(&r->stop)) {
		struct sctx_context *ctx;

		sctx_read_lock();
		ctx = sctx_lookup(&r->stream, OWNER(1), index == 2 ? INST(1) : NULL);
		CHECK(ctx);
		item_check(item_of(ctx));
		sctx_read_unlock();
		atomic_fetch_add(&r->reads, 1);
	}
}

static void case_22_replace_race(void **state)
{
	struct replacing r = { .stop = false };

	(void)state;
	items_reset();
	sctx_stream_init(&r.stream);
	assert_rc(sctx_insert(&r.stream, &item_churn(OWNER(1), INST(1))->ctx), 0);
	run_threads(4, replace_thread, &r);
	assert_rc(sctx_barrier(), 0);
	assert_true(atomic_load(&r.reads) > 0);
	assert_u64(items_freed(), ==, items_created() - 1);
	stream_end(&r.stream);
	assert_u64(items_freed(), ==, items_created());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_18_concurrent_get_or_create),
		cmocka_unit_test(case_21_keep_race),
		cmocka_unit_test(case_22_replace_race),
	};

	return TEST_RUN(tests);
}
