/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * New streams that live for a moment, as in open_cold.  Each close is timed, by the
 * phase of harness/stall.c.
 */
WORKLOAD stall(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	for (uint64_t i = 0; i < n; i++) {
		struct sctx_id id = bench_fresh_id(w);
		struct bench_stream *stream = open_stream(b, w, &id, timed);
		uint64_t begin;

		b->insert(stream, &bench_owner[0], NULL, w->serial);
		begin = bench_ticks();
		b->close(w->table, stream);
		histogram_add(w->closes[__atomic_load_n(w->phase, __ATOMIC_RELAXED)],
			      bench_ticks() - begin);
	}
}
