/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The library's counters, for the harness.  In the counted build alone. */
#include "../harness/counts.h"

#include "../../lib/base/sync.h"

static struct bench_counts read_counts(const struct sctx__counts *c)
{
	struct bench_counts counts = {
		.rmw = __atomic_load_n(&c->rmw, __ATOMIC_RELAXED),
		.fences = __atomic_load_n(&c->fences, __ATOMIC_RELAXED),
		.stores = __atomic_load_n(&c->stores, __ATOMIC_RELAXED),
	};

	return counts;
}

struct bench_counts bench_counts_self(void)
{
	return read_counts(sctx__counts_self());
}

struct bench_counts bench_counts_all(void)
{
	struct bench_counts sum = { 0 };

	for (unsigned int i = 0; i < SCTX__COUNT_THREADS; i++) {
		struct bench_counts counts = read_counts(&sctx__counts[i]);

		bench_counts_add(&sum, &counts);
	}
	return sum;
}
