/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the counted build of the library has counted (lib/base/sync.h, SCTX_COUNT);
 * zeros in every other build.
 */
#ifndef BENCH_COUNTS_H
#define BENCH_COUNTS_H

#include <stdint.h>

struct bench_counts {
	uint64_t rmw;    /* atomic read-modify-writes */
	uint64_t fences; /* full ones */
	uint64_t stores; /* plain ones, to what other threads read */
};

#ifdef BENCH_COUNTED
/* Of the calling thread, and of all threads that ever were. */
struct bench_counts bench_counts_self(void);
struct bench_counts bench_counts_all(void);
#else
static inline struct bench_counts bench_counts_self(void)
{
	struct bench_counts none = { 0, 0, 0 };

	return none;
}

static inline struct bench_counts bench_counts_all(void)
{
	return bench_counts_self();
}
#endif

static inline void bench_counts_add(struct bench_counts *sum, const struct bench_counts *c)
{
	sum->rmw += c->rmw;
	sum->fences += c->fences;
	sum->stores += c->stores;
}

static inline void bench_counts_sub(struct bench_counts *from, const struct bench_counts *c)
{
	from->rmw -= c->rmw;
	from->fences -= c->fences;
	from->stores -= c->stores;
}

/* The calling thread's, since they were @before. */
static inline struct bench_counts bench_counts_since(const struct bench_counts *before)
{
	struct bench_counts now = bench_counts_self();

	bench_counts_sub(&now, before);
	return now;
}

#endif /* BENCH_COUNTS_H */
