/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Open new streams and leave them open.  Then wait @n times by the same clock, each
 * time as long as an open took on average.  The machine delayed these waits by their
 * excess, and will have delayed as many opens.
 */
WORKLOAD growth(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	const uint64_t begin = bench_ticks();
	uint64_t each;

	for (uint64_t i = 0; i < n; i++) {
		struct sctx_id id = bench_fresh_id(w);

		open_stream(b, w, &id, timed);
	}
	if (!timed)
		return;
	each = (bench_ticks() - begin) / n;
	for (uint64_t i = 0; i < n; i++) {
		const uint64_t due = bench_ticks() + each;
		uint64_t now;

		do
			now = bench_ticks();
		while (now < due);
		histogram_add(w->bare, now - due);
	}
}
