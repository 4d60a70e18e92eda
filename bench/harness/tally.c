/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts of contexts made and freed, by backend.  A worker's tally is added to the
 * totals of its backend when the worker ends; a callback thread's stays.
 */
#include <pthread.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tally *tallies;	/* in use */
static struct tally *totals;	/* of threads that ended, one a backend */

__thread struct tally *bench_tally_self;

static void tally_link(struct tally **list, struct tally *tally)
{
	pthread_mutex_lock(&lock);
	tally->next = *list;
	*list = tally;
	pthread_mutex_unlock(&lock);
}

void bench_tally_attach(const struct backend_ops *ops)
{
	struct tally *tally = bench_alloc_lines(sizeof(*tally));

	tally->ops = ops;
	tally_link(&tallies, tally);
	bench_tally_self = tally;
}

static void tally_add(struct tally *sum, const struct tally *tally)
{
	sum->created += __atomic_load_n(&tally->created, __ATOMIC_RELAXED);
	sum->freed += __atomic_load_n(&tally->freed, __ATOMIC_RELAXED);
	sum->words_in += __atomic_load_n(&tally->words_in, __ATOMIC_RELAXED);
	sum->words_out += __atomic_load_n(&tally->words_out, __ATOMIC_RELAXED);
}

void bench_tally_fold(struct tally *tally)
{
	struct tally **link = &tallies;
	struct tally *total;

	pthread_mutex_lock(&lock);
	while (*link != tally)
		link = &(*link)->next;
	*link = tally->next;
	for (total = totals; total && total->ops != tally->ops; total = total->next)
		continue;
	if (total)
		tally_add(total, tally);
	pthread_mutex_unlock(&lock);
	if (total)
		free(tally);
	else
		tally_link(&totals, tally);
}

struct tally bench_tally_sum(const struct backend_ops *ops)
{
	struct tally sum = { .ops = ops };

	pthread_mutex_lock(&lock);
	for (const struct tally *t = tallies; t; t = t->next)
		if (t->ops == ops)
			tally_add(&sum, t);
	for (const struct tally *t = totals; t; t = t->next)
		if (t->ops == ops)
			tally_add(&sum, t);
	pthread_mutex_unlock(&lock);
	return sum;
}
