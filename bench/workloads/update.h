/* SPDX-License-Identifier: LGPL-2.1-or-later */

#define UPDATE_LOOKUPS 4	/* of the thread's context, and as many of a resident one */

/*
 * Every thread changes one stream that all of them read: insert a context of
 * one's own instance, look up, remove it.
 */
WORKLOAD update_contended(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	struct bench_stream *stream = w->stream;
	uint64_t seen = 0;

	(void)timed;
	for (uint64_t i = 0; i < n; i++) {
		b->insert(stream, &bench_owner[0], w, i);
		for (int k = 0; k < UPDATE_LOOKUPS; k++) {
			b->enter(stream);
			seen += bench_touch(b->lookup(stream, &bench_owner[0], w));
			b->leave(stream);
			bench_no_hoist();
			b->enter(stream);
			seen += bench_touch(b->lookup(stream, &bench_owner[1], NULL));
			b->leave(stream);
			bench_no_hoist();
		}
		b->del(stream, &bench_owner[0], w);
		w->expected += UPDATE_LOOKUPS * (i + bench_word(0, 1));
	}
	w->seen += seen;
}
