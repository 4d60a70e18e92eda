/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A server with more files than it keeps streams for: open one by Zipf's law, two modules
 * count the open in contexts of their own, close.  A stream that is still idle is found
 * with its contexts; else all is made anew, and an older one goes.
 */
WORKLOAD open_cached(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t at = w->zipf_at;

	for (uint64_t i = 0; i < n; i++) {
		struct sctx_id id = bench_id(w->zipf[at++ % ZIPF_DRAWS]);
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		for (unsigned int o = 0; o < CACHED_OWNERS; o++)
			b->bump(stream, &bench_owner[o]);
		b->close(w->table, stream);
	}
	w->zipf_at = at;
}
