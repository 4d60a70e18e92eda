/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "samples.h"

#include "histogram.h"

#include <stdbool.h>

void bench_sample_freed(uint64_t word)
{
	struct sample *s = (struct sample *)(uintptr_t)(word & ((1ul << SAMPLE_SHIFT) - 1));
	const uint64_t now = bench_ticks();
	const uint64_t took = now > s->closed ? now - s->closed : 0;
	uint64_t max = __atomic_load_n(&s->to->max, __ATOMIC_RELAXED);

	__atomic_fetch_add(&s->to->count[histogram_bucket(took)], 1, __ATOMIC_RELAXED);
	while (took > max && !__atomic_compare_exchange_n(&s->to->max, &max, took, true,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		continue;
	__atomic_store_n(&s->closed, 0, __ATOMIC_RELEASE);
}
