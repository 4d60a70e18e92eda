/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens and closes, of streams that others hold open and of new ones. */

static inline __attribute__((always_inline)) struct bench_stream *
open_stream(const struct backend_ops *b, struct worker *w, struct sctx_id *id, bool timed)
{
	struct bench_stream *stream;

	bench_unknown(id);
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

/* Open resident number @which, look up, close. */
static inline __attribute__((always_inline)) uint64_t
open_resident(const struct backend_ops *b, struct worker *w, uint64_t which, bool timed)
{
	struct sctx_id id = bench_id(which);
	struct bench_stream *stream = open_stream(b, w, &id, timed);
	uint64_t seen = lookup_once(b, stream);

	b->close(w->table, stream);
	return seen;
}

/* A resident at random, each as likely as any. */
WORKLOAD open_warm(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t random = w->random;
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = bench_random(&random, w->streams);

		seen += open_resident(b, w, which, timed);
		expected += bench_word(which, 0);
	}
	w->random = random;
	w->seen += seen;
	w->expected += expected;
}

/* By Zipf's law; drawn beforehand. */
WORKLOAD open_zipf(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t at = w->zipf_at;
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = w->zipf[at++ % ZIPF_DRAWS];

		seen += open_resident(b, w, which, timed);
		expected += bench_word(which, 0);
	}
	w->zipf_at = at;
	w->seen += seen;
	w->expected += expected;
}

/* The same on a single stream. */
WORKLOAD open_hot(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	struct sctx_id id = bench_id(0);
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

/* A few contexts are sampled: the time to their free is measured (samples.h). */
static inline struct sample *cold_sample(struct worker *w)
{
	if (__builtin_expect(!w->samples, 1) || w->serial % SAMPLE_EVERY)
		return NULL;
	return sample_take(w->samples);
}

/* Open a new stream, create a context, look it up, close: all is torn down. */
WORKLOAD open_cold(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		struct sctx_id id = bench_fresh_id(w);
		struct bench_stream *stream = open_stream(b, w, &id, timed);
		struct sample *sample = cold_sample(w);
		uint64_t word = sample ? sample_word(sample) : w->serial;

		b->insert(stream, &bench_owner[0], NULL, word);
		seen += lookup_once(b, stream);
		expected += word;
		if (sample)
			sample->closed = bench_ticks();
		b->close(w->table, stream);
	}
	w->seen += seen;
	w->expected += expected;
}
