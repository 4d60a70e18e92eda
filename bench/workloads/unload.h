/* SPDX-License-Identifier: LGPL-2.1-or-later */

static inline uint64_t longest_since(struct worker *w, uint64_t before)
{
	uint64_t now = bench_now_ns();

	if (now - before > w->longest)
		w->longest = now - before;
	return now;
}

/*
 * The threads' work while an owner leaves: open a random resident, look up the leaver's
 * context, which may be gone, and another one, close.  The slowest turn is noted.
 */
WORKLOAD unload(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	uint64_t random = w->random, before = bench_now_ns();

	for (uint64_t i = 0; i < n; i++) {
		uint64_t which = bench_random(&random, w->streams);
		struct sctx_id id = bench_id(which);
		struct bench_stream *stream = open_stream(b, w, &id, timed);

		b->enter(stream);
		bench_look(b->lookup(stream, w->leaver, NULL));
		b->leave(stream);
		w->seen += lookup_once(b, stream);
		w->expected += bench_word(which, 0);
		b->close(w->table, stream);
		before = longest_since(w, before);
	}
	w->random = random;
}
