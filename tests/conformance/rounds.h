/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Races with exactly-once counting: every context carries how often its callback
 * ran and how often somebody was handed it, and in the end the sum is one.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include "test.h"

/*
 * Most races have the same shape: @threads meet before each of @ROUNDS streams
 * and do their parts on it at the same time; then one barrier, and the books
 * are checked.
 */
#define ROUNDS   200
#define CONTEXTS 8

struct rounds {
	unsigned int threads;
	void (*part)(unsigned int thread, unsigned int round, struct rounds *r);
	struct rendezvous meet;
	struct sctx_stream stream[ROUNDS];
	struct item *item[ROUNDS][CONTEXTS];
	/* case 17 */
	atomic_bool torn_down[ROUNDS];
	/* cases 18, 21 */
	struct sctx_context *got[ROUNDS][CONTEXTS];
	atomic_uint wins[ROUNDS];
	atomic_ulong counted;
};

static inline void rounds_thread(unsigned int index, void *arg)
{
	struct rounds *r = arg;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		rendezvous_wait(&r->meet);
		r->part(index, round, r);
	}
}

static inline void handed(struct sctx_context *ctx)
{
	struct item *item = item_of(ctx);

	item_check(item);
	atomic_fetch_add(&item->handed, 1);
}

static inline unsigned int times_obtained(const struct item *item)
{
	return item_called(item) + atomic_load(&item->handed);
}

static inline struct rounds *rounds_new(unsigned int threads,
					void (*part)(unsigned int thread, unsigned int round,
						     struct rounds *r))
{
	struct rounds *r = calloc(1, sizeof(*r));

	CHECK(r);
	r->threads = threads;
	r->part = part;
	rendezvous_init(&r->meet, threads);
	for (unsigned int i = 0; i < ROUNDS; i++)
		CHECK_EQ(sctx_stream_init(&r->stream[i]), 0);
	return r;
}

static inline void rounds_run(struct rounds *r)
{
	run_threads(r->threads, rounds_thread, r);
	for (unsigned int i = 0; i < ROUNDS; i++)
		assert_rc(sctx_teardown(&r->stream[i]), 0);
	assert_rc(sctx_barrier(), 0);
}

static inline void rounds_free(struct rounds *r)
{
	for (unsigned int i = 0; i < ROUNDS; i++)
		for (unsigned int j = 0; j < CONTEXTS; j++)
			if (r->item[i][j])
				item_free(r->item[i][j]);
	free(r);
}

#endif /* ROUNDS_H */
