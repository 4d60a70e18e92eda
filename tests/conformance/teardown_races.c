/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md that are races of removal, teardown
 * and the last put.
 */
#include "rounds.h"

#include <sys/mman.h>

/* ------------------------------------------------------------ 11: free at once */

/*
 * A context on pages of its own, unmapped the moment it is removed: a reader
 * that touches the context of an owner it did not ask for faults.
 */
struct paged {
	struct sctx_stream stream;
	atomic_bool stop;
	struct item *other; /* what the readers look for */
	atomic_ulong found;
};

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static struct sctx_context *paged_new(const void *owner, const void *instance)
{
	struct sctx_context *ctx =
		mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(ctx != MAP_FAILED);
	CHECK_EQ(sctx_context_init(ctx, owner, instance, SCTX_NO_FREE), 0);
	return ctx;
}

static void paged_thread(unsigned int index, void *arg)
{
	struct paged *p = arg;

	if (index == 0) {
		uint64_t seed = 1;

		for (uint64_t end = test_deadline(500); !past(end);) {
			unsigned int n = 1 + test_random(&seed) % 12;

			for (unsigned int i = 0; i < n; i++)
				CHECK_EQ(sctx_insert(&p->stream, paged_new(OWNER(1), INST(i))), 0);
			for (unsigned int i = 0; i < n; i++) {
				struct sctx_context *ctx;

				ctx = sctx_remove(&p->stream, OWNER(1), i % 2 ? NULL : INST(i));
				if (!ctx)
					ctx = sctx_remove(&p->stream, OWNER(1), NULL);
				CHECK(ctx);
				CHECK_EQ(munmap(ctx, page_size()), 0);
			}
		}
		atomic_store(&p->stop, true);
		return;
	}
	while (!atomic_load(&p->stop)) {
		sctx_read_lock();
		CHECK(sctx_lookup(&p->stream, OWNER(2), NULL) == &p->other->ctx);
		CHECK(sctx_lookup(&p->stream, OWNER(2), INST(1)) == &p->other->ctx);
		CHECK(sctx_lookup(&p->stream, OWNER(2), INST(2)) == NULL);
		CHECK(sctx_lookup(&p->stream, OWNER(3), NULL) == NULL);
		sctx_read_unlock();
		atomic_fetch_add(&p->found, 1);
	}
}

static void case_11_a_removed_context_can_be_freed_at_once(void **state)
{
	struct paged p = { .stop = false };

	(void)state;
	sctx_stream_init(&p.stream);
	p.other = item_insert(&p.stream, OWNER(2), INST(1));
	run_threads(3, paged_thread, &p);
	assert_true(atomic_load(&p.found) > 0);
	stream_end(&p.stream);
	assert_int_equal(item_called(p.other), 1);
	item_free(p.other);
}

/* ------------------------------------------------------ 16: remove, teardown */

static void remove_against_teardown(unsigned int thread, unsigned int round, struct rounds *r)
{
	struct sctx_stream *s = &r->stream[round];
	struct sctx_context *ctx;

	if (thread == 0) {
		/* Let the removers get at some of them, a different number each round. */
		for (volatile unsigned int i = 0; i < round * 8; i++)
			;
		CHECK_EQ(sctx_teardown(s), 0);
		CHECK(peek(s, NULL, NULL) == NULL);
		CHECK(sctx_remove(s, NULL, NULL) == NULL);
		return;
	}
	for (unsigned int i = 0; i < CONTEXTS; i++) {
		if (thread == 1)
			ctx = sctx_remove(s, NULL, NULL);
		else if (thread == 2)
			ctx = sctx_remove(s, OWNER(i % 2), INST(i));
		else
			ctx = sctx_remove(s, OWNER(i % 2), NULL);
		if (ctx)
			handed(ctx);
	}
}

static void case_16_remove_against_teardown(void **state)
{
	unsigned long removed = 0, called = 0;

	(void)state;
	for (uint64_t end = test_deadline(700); !past(end);) {
		struct rounds *r = rounds_new(4, remove_against_teardown);

		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++)
				r->item[i][j] = item_insert(&r->stream[i], OWNER(j % 2), INST(j));
		rounds_run(r);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++) {
				assert_int_equal(times_obtained(r->item[i][j]), 1);
				removed += atomic_load(&r->item[i][j]->handed);
				called += item_called(r->item[i][j]);
			}
		rounds_free(r);
	}
	/* It was a race only if both sides won at times. */
	print_message("           removed %lu, called back %lu\n", removed, called);
	assert_true(removed > 0);
	assert_true(called > 0);
}

/* ------------------------------------------------------ 17: insert, teardown */

static void insert_against_teardown(unsigned int thread, unsigned int round, struct rounds *r)
{
	struct sctx_stream *s = &r->stream[round];

	if (thread == 0) {
		for (volatile unsigned int i = 0; i < round * 8; i++)
			;
		CHECK_EQ(sctx_teardown(s), 0);
		atomic_store(&r->torn_down[round], true);
		CHECK(peek(s, NULL, NULL) == NULL);
		return;
	}
	for (unsigned int i = thread - 1; i < CONTEXTS; i += r->threads - 1) {
		bool torn_down = atomic_load(&r->torn_down[round]);
		int rc = sctx_insert(s, &r->item[round][i]->ctx);

		CHECK(rc == 0 || rc == -ESHUTDOWN);
		CHECK(!torn_down || rc == -ESHUTDOWN);
		if (rc) {
			atomic_fetch_add(&r->counted, 1);
			handed(&r->item[round][i]->ctx);
		}
	}
}

static void case_17_insert_against_teardown(void **state)
{
	unsigned long refused = 0, all = 0;

	(void)state;
	for (uint64_t end = test_deadline(700); !past(end);) {
		struct rounds *r = rounds_new(3, insert_against_teardown);

		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++)
				r->item[i][j] = item_new(OWNER(j % 2), INST(j));
		run_threads(r->threads, rounds_thread, r);
		/* No second teardown here: it would hide a stranded context. */
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++)
				assert_int_equal(times_obtained(r->item[i][j]), 1);
		refused += atomic_load(&r->counted);
		all += ROUNDS * CONTEXTS;
		for (unsigned int i = 0; i < ROUNDS; i++)
			assert_rc(sctx_teardown(&r->stream[i]), 0);
		assert_rc(sctx_barrier(), 0);
		rounds_free(r);
	}
	print_message("           refused %lu of %lu\n", refused, all);
	assert_true(refused > 0);
	assert_true(refused < all);
}

/* --------------------------------------------------- 25: delete by pointer */

static void detach_against_the_rest(unsigned int thread, unsigned int round, struct rounds *r)
{
	struct sctx_stream *s = &r->stream[round];
	struct sctx_context *ctx;

	for (unsigned int i = 0; i < CONTEXTS; i++) {
		ctx = &r->item[round][i]->ctx;
		if (thread == 0) {
			/* The test holds a reference besides the stream's. */
			int rc = sctx_detach(ctx);

			CHECK(rc == 0 || rc == -ENOENT);
			CHECK(rc != 0 || sctx_detach(ctx) == -ENOENT);
			atomic_fetch_add(&r->counted, rc == 0);
		} else if (thread == 1) {
			ctx = sctx_remove(s, NULL, NULL);
			if (ctx) {
				atomic_fetch_add(&r->counted, 1);
				CHECK_EQ(sctx_put(ctx), 0);
			}
		} else if (i == CONTEXTS / 2) {
			CHECK_EQ(sctx_teardown(s), 0);
		}
	}
}

static void case_25_delete_by_pointer_against_remove_and_teardown(void **state)
{
	(void)state;
	for (uint64_t end = test_deadline(500); !past(end);) {
		struct rounds *r = rounds_new(3, detach_against_the_rest);

		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++) {
				r->item[i][j] = item_insert(&r->stream[i], OWNER(j % 2), INST(j));
				CHECK(sctx_get(&r->stream[i], OWNER(j % 2), INST(j)) ==
				      &r->item[i][j]->ctx);
			}
		rounds_run(r);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++) {
				assert_int_equal(item_called(r->item[i][j]), 0);
				assert_rc(sctx_put(&r->item[i][j]->ctx), 0);
			}
		assert_rc(sctx_barrier(), 0);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++)
				assert_int_equal(item_called(r->item[i][j]), 1);
		rounds_free(r);
	}
}

/* --------------------------------------------------- 26: the last put, races */

static void put_against_teardown(unsigned int thread, unsigned int round, struct rounds *r)
{
	for (unsigned int i = 0; i < CONTEXTS; i++) {
		if (thread == 0 && i == CONTEXTS / 2)
			CHECK_EQ(sctx_teardown(&r->stream[round]), 0);
		else if (thread != 0)
			CHECK_EQ(sctx_put(&r->item[round][i]->ctx), 0);
	}
}

static void case_26_the_last_put_may_be_anybodys(void **state)
{
	(void)state;
	for (uint64_t end = test_deadline(500); !past(end);) {
		struct rounds *r = rounds_new(3, put_against_teardown);

		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++) {
				r->item[i][j] = item_insert(&r->stream[i], OWNER(j % 2), INST(j));
				for (unsigned int k = 1; k < r->threads; k++)
					CHECK(sctx_get(&r->stream[i], OWNER(j % 2), INST(j)));
			}
		rounds_run(r);
		for (unsigned int i = 0; i < ROUNDS; i++)
			for (unsigned int j = 0; j < CONTEXTS; j++)
				assert_int_equal(item_called(r->item[i][j]), 1);
		rounds_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_11_a_removed_context_can_be_freed_at_once),
		cmocka_unit_test(case_16_remove_against_teardown),
		cmocka_unit_test(case_17_insert_against_teardown),
		cmocka_unit_test(case_25_delete_by_pointer_against_remove_and_teardown),
		cmocka_unit_test(case_26_the_last_put_may_be_anybodys),
	};

	return TEST_RUN(tests);
}
