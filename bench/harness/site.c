/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The resident streams that a run works on, and whether all contexts are accounted for. */
#include <stdio.h>

#include "internal.h"

static struct site *sites;

static void site_fill(struct site *site, unsigned int t)
{
	const struct backend_ops *ops = site->ops;
	struct bench_table *table = ops->table_create(site->streams);

	site->table[t] = table;
	for (uint64_t n = 0; n < site->streams; n++) {
		struct sctx_id id = bench_id(n);
		struct bench_stream *stream = ops->open(table, &id);

		if (n == 0)
			site->first[t] = stream;
		for (unsigned int owner = 0; owner < site->contexts; owner++) {
			ops->insert(stream, &bench_owner[owner], NULL, bench_word(n, owner));
			site->words += bench_word(n, owner);
		}
	}
}

/*
 * One stream through its whole life.  A backend that starts its reclaimer at first
 * use does so here, in a thread that is bound to no CPU.
 */
static void warm_up(const struct backend_ops *ops, struct bench_table *table)
{
	struct sctx_id id = bench_id(UINT64_MAX);
	struct bench_stream *stream = ops->open(table, &id);

	ops->insert(stream, &bench_owner[0], NULL, 0);
	ops->close(table, stream);
	bench_drain(ops);
}

static void *site_fill_main(void *arg)
{
	struct site *site = arg;

	bench_thread_begin(site->ops);
	site_fill(site, site->tables);
	warm_up(site->ops, site->table[site->tables]);
	bench_thread_end(site->ops);
	return NULL;
}

static void site_grow(struct site *site)
{
	unsigned int t = site->tables;

	site->table = realloc(site->table, (t + 1) * sizeof(*site->table));
	site->first = realloc(site->first, (t + 1) * sizeof(*site->first));
	if (!site->table || !site->first)
		bench_die("out of memory");
	site->first[t] = NULL;
	bench_thread_run(site_fill_main, site);
	site->tables++;
}

struct site *bench_site(const struct backend_ops *ops, uint64_t streams, unsigned int contexts,
			unsigned int threads)
{
	struct site *site = sites;

	while (site && (site->ops != ops || site->streams != streams || site->contexts != contexts))
		site = site->next;
	if (!site) {
		site = bench_alloc(sizeof(*site));
		*site = (struct site){
			.ops = ops, .streams = streams, .contexts = contexts, .next = sites,
		};
		sites = site;
	}
	while (site->tables < (ops->private_tables ? threads : 1))
		site_grow(site);
	return site;
}

static void *site_close_main(void *arg)
{
	struct site *site = arg;
	const struct backend_ops *ops = site->ops;

	bench_thread_begin(ops);
	for (unsigned int t = 0; t < site->tables; t++) {
		for (uint64_t n = 0; n < site->streams; n++) {
			struct sctx_id id = bench_id(n);
			struct bench_stream *stream = ops->open(site->table[t], &id);

			ops->close(site->table[t], stream);
			ops->close(site->table[t], stream);
		}
		bench_drain(ops);
		if (ops->table_count(site->table[t]) != 0)
			bench_die("%lu streams are left open at the end",
				  ops->table_count(site->table[t]));
		ops->table_destroy(site->table[t]);
	}
	bench_drain(ops);
	bench_thread_end(ops);
	return NULL;
}

void bench_check_contexts(const struct backend_ops *ops)
{
	struct tally sum = bench_tally_sum(ops);
	uint64_t contexts = 0;
	uint64_t words = 0;

	for (struct site *site = sites; site; site = site->next) {
		if (site->ops != ops)
			continue;
		contexts += site->tables * site->streams * site->contexts;
		words += site->words;
	}
	if (sum.created - sum.freed != contexts)
		bench_die("%lu contexts created, %lu freed, %lu resident", sum.created, sum.freed,
			  contexts);
	if (sum.words_in - sum.words_out != words)
		bench_die("contexts were freed with %lu in their words, not %lu", sum.words_out,
			  sum.words_in - words);
}

void bench_sites_close(void)
{
	for (struct site *site = sites, *next; site; site = next) {
		next = site->next;
		snprintf(bench_current, sizeof(bench_current), "%s, closing %lu streams",
			 site->ops->name, site->streams);
		bench_thread_run(site_close_main, site);
		sites = next;
		bench_check_contexts(site->ops);
		free(site->table);
		free(site->first);
		free(site);
	}
}
