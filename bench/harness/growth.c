/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Growth: the workload fills a table that begins empty; it is emptied here.
 */
#include <stdio.h>

#include "run.h"

#define GROWTH_HINT 64 /* a table that can be left to grow needs none */

static void *begin_main(void *arg)
{
	struct site *site = arg;

	bench_thread_begin(site->ops);
	for (unsigned int t = 0; t < site->tables; t++)
		site->table[t] = site->ops->table_create(GROWTH_HINT);
	bench_thread_end(site->ops);
	return NULL;
}

struct site *growth_site(const struct backend_ops *ops, unsigned int threads)
{
	struct site *site = bench_alloc(sizeof(*site));

	*site = (struct site){ .ops = ops, .tables = ops->private_tables ? threads : 1 };
	site->table = bench_alloc_lines(site->tables * sizeof(*site->table));
	site->first = bench_alloc_lines(site->tables * sizeof(*site->first));
	bench_thread_run(begin_main, site);
	return site;
}

/* Close what the worker left open: it made up its ids one after the other. */
static void close_all(const struct backend_ops *ops, struct run_thread *t)
{
	struct worker w = t->worker;

	for (w.serial -= t->done; w.serial < t->worker.serial;) {
		struct sctx_id id = bench_fresh_id(&w);
		struct bench_stream *stream = ops->open(w.table, &id);

		ops->close(w.table, stream);
		ops->close(w.table, stream);
	}
}

static uint64_t streams_open(const struct site *site)
{
	uint64_t streams = 0;

	for (unsigned int t = 0; t < site->tables; t++)
		streams += site->ops->table_count(site->table[t]);
	return streams;
}

static void *end_main(void *arg)
{
	struct run *run = arg;
	struct site *site = run->site;
	uint64_t opened = 0;

	bench_thread_begin(run->ops);
	for (unsigned int i = 0; i < run->threads; i++)
		opened += run->thread[i].done;
	if (streams_open(site) != opened)
		bench_die("%lu streams are open, not %lu", streams_open(site), opened);
	for (unsigned int i = 0; i < run->threads; i++)
		close_all(run->ops, &run->thread[i]);
	bench_drain(run->ops);
	if (streams_open(site) != 0)
		bench_die("%lu streams are left open at the end", streams_open(site));
	for (unsigned int t = 0; t < site->tables; t++)
		run->ops->table_destroy(site->table[t]);
	bench_drain(run->ops);
	bench_thread_end(run->ops);
	return NULL;
}

void growth_end(struct run *run)
{
	bench_thread_run(end_main, run);
	free(run->site->table);
	free(run->site->first);
	free(run->site);
	run->site = NULL;
}
