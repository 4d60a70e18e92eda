/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lookups, as a module does on every read and write of a file. */

/*
 * The loop of lookup_hot.  Whether the processor predicts the end of a scan
 * of 16 or 33 entries depends on the addresses of the branches, and can double
 * the time.  So several copies, numbered by @copy, take turns: every backend gets
 * a fair draw of addresses.
 */
static inline __attribute__((always_inline)) uint64_t
lookup_loop(const struct backend_ops *b, struct bench_stream *stream, uint64_t n, int copy)
{
	uint64_t seen = 0;

	for (; n > 0; n--) {
		b->enter(stream);
		seen += bench_touch(b->lookup(stream, &bench_owner[0], NULL));
		b->leave(stream);
		__asm__ volatile("# %c0" ::"i"(copy) : "memory");
	}
	return seen;
}

/* One function each: in one for all, the compiler runs out of registers. */
#define LOOKUP_COPIES 8
#define LOOKUP_COPY(c, ops)                                                             \
	static __attribute__((noinline, flatten)) uint64_t                              \
	lookup_copy_##c(struct bench_stream *stream, uint64_t n)                        \
	{                                                                               \
		return lookup_loop(&(ops), stream, n, c);                               \
	}

typedef uint64_t lookup_fn(struct bench_stream *stream, uint64_t n);
static lookup_fn *lookup_copy(uint64_t turn);	/* in BENCH_BACKEND() */

/*
 * One stream, held open, with contexts of different owners.  The oldest is
 * looked up, which a scan from the newest finds last.
 */
WORKLOAD lookup_hot(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	(void)b;
	(void)timed;
	w->seen += lookup_copy(w->serial++)(w->stream, n);
	w->expected += n * bench_word(0, 0);
}

/* A stream at random among the residents, by id; @owner's context on it. */
static inline __attribute__((always_inline)) void
find_and_lookup(const struct backend_ops *b, struct worker *w, uint64_t n, unsigned int owner)
{
	uint64_t random = w->random;
	uint64_t seen = 0;
	uint64_t expected = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = bench_random(&random, w->streams);
		struct sctx_id id = bench_id(which);
		struct bench_stream *stream;

		bench_unknown(&id);
		stream = b->find(w->table, &id);
		expected += bench_word(which, owner);
		if (!stream)
			continue;
		seen += bench_touch(b->lookup(stream, &bench_owner[owner], NULL));
		b->leave(stream);
	}
	w->random = random;
	w->seen += seen;
	w->expected += expected;
}

WORKLOAD lookup_cold(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	(void)timed;
	find_and_lookup(b, w, n, 0);
}

/* The context that a scan from the newest finds first of several, and last. */
WORKLOAD lookup_first(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	(void)timed;
	find_and_lookup(b, w, n, SCAN_OWNERS - 1);
}

WORKLOAD lookup_last(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	(void)timed;
	find_and_lookup(b, w, n, 0);
}
