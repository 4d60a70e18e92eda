/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clocks, and a histogram of latencies: sixteen buckets to each power of two,
 * so that a value is known to about 6 %.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <time.h>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define HISTOGRAM_SUB_BITS 4
#define HISTOGRAM_SUB	   (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram {
	uint64_t count[HISTOGRAM_BUCKETS];
	uint64_t max;
};

static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * A cheap clock in units of its own, see bench_tick_ns().  The fences keep
 * the timed work from straying across it.
 */
static inline uint64_t bench_ticks(void)
{
#ifdef __x86_64__
	uint64_t ticks;

	_mm_lfence();
	ticks = __rdtsc();
	_mm_lfence();
	return ticks;
#else
	return bench_now_ns();
#endif
}

static inline unsigned int histogram_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned int)value;
	shift = 63 - (unsigned int)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned int)(value >> shift);
}

/* The largest value that falls into @bucket. */
static inline uint64_t histogram_upper(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * HISTOGRAM_SUB)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	return (((uint64_t)(bucket - (shift << HISTOGRAM_SUB_BITS)) + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	h->count[histogram_bucket(value)]++;
	if (value > h->max)
		h->max = value;
}

static inline uint64_t histogram_total(const struct histogram *h)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += h->count[i];
	return total;
}

/* The value that a share of @quantile does not exceed. */
static inline uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
	const double enough = quantile * (double)histogram_total(h);
	uint64_t below = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += h->count[i];
		if (below && (double)below >= enough)
			return histogram_upper(i) < h->max ? histogram_upper(i) : h->max;
	}
	return 0;
}

#endif /* BENCH_HISTOGRAM_H */
