/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One operation is the whole of this worker's share of a recorded trace.  At
 * every open an audit module and a quota module each count it in their own
 * context, which is created if the file is not open already.
 */
WORKLOAD replay(const struct backend_ops *b, struct worker *w, uint64_t n, bool timed)
{
	struct replay_share *r = w->replay;
	const struct replay_event *end = r->event + r->events;

	(void)timed;
	while (n-- > 0) {
		for (const struct replay_event *e = r->event; e < end; e++) {
			struct bench_stream **slot = &r->slot[e->slot];

			if (e->close) {
				b->close(w->table, *slot);
			} else {
				*slot = b->open(w->table, &e->id);
				for (unsigned int o = 0; o < REPLAY_OWNERS; o++)
					b->bump(*slot, &bench_owner[o]);
			}
		}
	}
}
