/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens and closes, of streams that others hold open and of new ones. */

static inline __attribute__((always_inline)) struct bench_stream *
open_stream(const struct backend_ops *b, struct worker *w, const struct sctx_id *id, bool timed)
{
	struct bench_stream *stream;

	if (timed) {
		uint64_t begin = bench_ticks();

		stream = b->open(w->table, id);
		histogram_add(w->latency, bench_ticks() - begin);
	} else {
		stream = b->open(w->table, id);
	}
	return stream;
}

static inline __attribute__((always_inline)) uint64_t
lookup_once(const struct backend_ops *b, struct bench_stream *stream)
{
	uint64_t seen;

	b->enter(stream);
	seen = bench_touch(b->lookup(stream, &bench_owner[0], NULL));
	b->leave(stream);
	return seen;
}

/* Open one of the residents at random, look up, close. */
WORKLOAD open_warm(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t random = w->random;
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = bench_random(&random, w->streams);
		struct sctx_id id = bench_id(which);
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		seen += lookup_once(b, stream);
		expected += bench_word(which, 0);
		b->close(w->table, stream);
	}
	w->random = random;
	w->seen += seen;
	w->expected += expected;
}

/* The same on a single stream. */
WORKLOAD open_hot(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	const struct sctx_id id = bench_id(0);
	uint64_t seen = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		seen += lookup_once(b, stream);
		b->close(w->table, stream);
		bench_no_hoist();
	}
	w->seen += seen;
	w->expected += n * bench_word(0, 0);
}

/* Open a new stream, create a context, look it up, close: all is torn down. */
WORKLOAD open_cold(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct sctx_id id = bench_fresh_id(w);
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		b->insert(stream, &bench_owner[0], NULL, w->serial);
		seen += lookup_once(b, stream);
		expected += w->serial;
		b->close(w->table, stream);
	}
	w->seen += seen;
	w->expected += expected;
}
