/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define KNOWN_COST_NS 1000

/* A thousand nanoseconds by the clock: what the drivers report can be checked. */
WORKLOAD known_cost(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	const uint64_t begin = bench_now_ns();

	(void)b;
	(void)w;
	(void)timed;
	for (uint64_t i = 1; i <= n; i++)
		while (bench_now_ns() - begin < i * KNOWN_COST_NS)
			continue;
}
