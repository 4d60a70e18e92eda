/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define MIXED_COLD_EVERY 20

/* Each of the owners looks up its own context. */
static inline __attribute__((always_inline)) uint64_t mixed_lookups(const struct backend_ops *b,
								    struct bench_stream *stream)
{
	uint64_t seen = 0;

	b->enter(stream);
	for (unsigned int owner = 0; owner < MIXED_OWNERS; owner++)
		seen += bench_touch(b->lookup(stream, &bench_owner[owner], NULL));
	b->leave(stream);
	return seen;
}

/*
 * A file server's day: one open in twenty, at random, is of a new stream, on
 * which four owners create a context each; the others are of residents.  All
 * four look up, and the stream is closed.
 */
WORKLOAD mixed(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t random = w->random;
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		bool cold = bench_random(&random, MIXED_COLD_EVERY) == 0;
		uint64_t which = bench_random(&random, w->streams);
		struct sctx_id id = cold ? bench_fresh_id(w) : bench_id(which);
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		for (unsigned int owner = 0; owner < MIXED_OWNERS; owner++) {
			if (cold)
				b->insert(stream, &bench_owner[owner], NULL,
					  bench_word(which, owner));
			expected += bench_word(which, owner);
		}
		seen += mixed_lookups(b, stream);
		b->close(w->table, stream);
	}
	w->random = random;
	w->seen += seen;
	w->expected += expected;
}
