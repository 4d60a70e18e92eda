/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define MANY_BATCH 16

static inline __attribute__((always_inline)) void
open_batch(const struct backend_ops *b, struct worker *w, const struct sctx_id *id,
	   struct bench_stream **stream, unsigned int n)
{
	if (b->open_many) {
		b->open_many(w->table, id, stream, n);
		return;
	}
	for (unsigned int k = 0; k < n; k++)
		stream[k] = b->open(w->table, &id[k]);
}

/*
 * A server that gets many requests at once: open random residents in batches, look up
 * in each, close all.  An operation is one open.
 */
WORKLOAD open_many(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	struct bench_stream *stream[MANY_BATCH];
	struct sctx_id id[MANY_BATCH];
	uint64_t random = w->random;
	uint64_t seen = 0;
	uint64_t expected = 0;

	(void)timed;
	while (n > 0) {
		unsigned int batch = n < MANY_BATCH ? (unsigned int)n : MANY_BATCH;

		for (unsigned int k = 0; k < batch; k++) {
			uint64_t which = bench_random(&random, w->streams);

			id[k] = bench_id(which);
			bench_unknown(&id[k]);
			expected += bench_word(which, 0);
		}
		open_batch(b, w, id, stream, batch);
		for (unsigned int k = 0; k < batch; k++)
			seen += lookup_once(b, stream[k]);
		for (unsigned int k = 0; k < batch; k++)
			b->close(w->table, stream[k]);
		n -= batch;
	}
	w->random = random;
	w->seen += seen;
	w->expected += expected;
}
