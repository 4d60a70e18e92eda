/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exactly 1000 ns by the clock: checks what the drivers report. */
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

/* Nothing: a paced run of it is late by the machine's jitter. */
WORKLOAD bare_clock(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	(void)b;
	(void)w;
	(void)n;
	(void)timed;
}
