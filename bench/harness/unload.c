/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An owner that has a context on every resident stream leaves, while the threads of
 * the run open, look up and close.  Measured is how long that takes.
 */
#include "run.h"

#define OWNERS 4 /* that have a context on every stream; the first leaves */

struct leaving {
	struct run *run;
	const void *owner[OWNERS];
	uint64_t ns;
};

/* Open each resident in turn, for @visit, and close it again. */
static void for_each_resident(struct leaving *l,
			      void (*visit)(struct leaving *l, struct bench_stream *s, uint64_t n))
{
	const struct backend_ops *ops = l->run->ops;
	struct bench_table *table = l->run->site->table[0];

	for (uint64_t n = 0; n < l->run->site->streams; n++) {
		struct sctx_id id = bench_id(n);
		struct bench_stream *stream = ops->open(table, &id);

		visit(l, stream, n);
		ops->close(table, stream);
	}
}

static void attach(struct leaving *l, struct bench_stream *stream, uint64_t n)
{
	for (int i = 0; i < OWNERS; i++)
		l->run->ops->owner_insert(stream, l->owner[i], bench_word(n, 1));
}

static void *arrive_main(void *arg)
{
	struct leaving *l = arg;

	bench_thread_begin(l->run->ops);
	for (int i = 0; i < OWNERS; i++)
		l->owner[i] = l->run->ops->owner_register(l->run->site->table[0]);
	for_each_resident(l, attach);
	bench_thread_end(l->run->ops);
	return NULL;
}

static void *leave_main(void *arg)
{
	struct leaving *l = arg;
	uint64_t begin;

	bench_thread_begin(l->run->ops);
	begin = bench_now_ns();
	l->run->ops->owner_unregister(l->run->site->table[0], l->owner[0]);
	l->ns = bench_now_ns() - begin;
	bench_thread_end(l->run->ops);
	return NULL;
}

/* The others leave too: all contexts must be freed now. */
static void *end_main(void *arg)
{
	struct leaving *l = arg;

	bench_thread_begin(l->run->ops);
	for (int i = 1; i < OWNERS; i++)
		l->run->ops->owner_unregister(l->run->site->table[0], l->owner[i]);
	bench_check_contexts(l->run->ops);
	bench_thread_end(l->run->ops);
	return NULL;
}

static void check_gone(struct leaving *l, struct bench_stream *stream, uint64_t n)
{
	const struct backend_ops *ops = l->run->ops;
	for (int i = 0; i < OWNERS; i++) {
		bool found;

		ops->enter(stream);
		found = ops->lookup(stream, l->owner[i], NULL) != NULL;
		ops->leave(stream);
		if (found != (i > 0))
			bench_die("stream %lu: owner %d of which the first left", n, i);
	}
}

static void *check_main(void *arg)
{
	struct leaving *l = arg;

	bench_thread_begin(l->run->ops);
	for_each_resident(l, check_gone);
	bench_thread_end(l->run->ops);
	return NULL;
}

/* One owner comes and goes; how many ns it took to leave. */
static uint64_t unload_once(struct run *run)
{
	struct leaving leaving = { .run = run };

	bench_thread_run(arrive_main, &leaving);
	run->arrived = 0;
	run->running = run->threads;
	run->stop = false;
	for (unsigned int i = 0; i < run->threads; i++)
		run->thread[i].worker.leaver = leaving.owner[0];
	run_start(run);
	bench_thread_run(leave_main, &leaving);
	run_stop(run);
	run_join(run);
	bench_thread_run(check_main, &leaving);
	bench_thread_run(end_main, &leaving);
	return leaving.ns;
}

/* An iteration is a context taken away; whole owners are, at least one. */
void run_unload(struct run *run, const struct bench_limit *limit, struct bench_result *result)
{
	const uint64_t iterations = limit->iterations * run->threads;
	uint64_t ns = 0;

	run->iterations = 0;
	do {
		ns += unload_once(run);
		result->ops += run->site->streams;
	} while (limit->iterations ? result->ops < iterations : (double)ns / 1e9 < limit->seconds);
	result->seconds = (double)ns / 1e9;
	for (unsigned int i = 0; i < run->threads; i++)
		result->meanwhile += run->thread[i].done;
	for (unsigned int i = 0; i < run->threads; i++)
		if (run->thread[i].worker.longest > result->longest_ns)
			result->longest_ns = run->thread[i].worker.longest;
}
