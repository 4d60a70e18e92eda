/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An owner leaves: a context of its own hangs on every resident stream; while
 * the threads of the run open, look up and close, one more takes it away.
 * What is measured is how long that takes.
 */
#include "run.h"

struct leaving {
	struct run *run;
	const void *owner;
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
	l->run->ops->owner_insert(stream, l->owner, bench_word(n, 1));
}

static void *arrive_main(void *arg)
{
	struct leaving *l = arg;

	bench_thread_begin(l->run->ops);
	l->owner = l->run->ops->owner_register(l->run->site->table[0]);
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
	l->run->ops->owner_unregister(l->run->site->table[0], l->owner);
	l->ns = bench_now_ns() - begin;
	/* Nothing of it may be found, and all of it must be freed, by now. */
	bench_check_contexts(l->run->ops);
	bench_thread_end(l->run->ops);
	return NULL;
}

static void check_gone(struct leaving *l, struct bench_stream *stream, uint64_t n)
{
	const struct backend_ops *ops = l->run->ops;
	bool found;

	ops->enter(stream);
	found = ops->lookup(stream, l->owner, NULL) != NULL;
	ops->leave(stream);
	if (found)
		bench_die("stream %lu has a context of the owner that left", n);
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
		run->thread[i].worker.leaver = leaving.owner;
	run_start(run);
	bench_thread_run(leave_main, &leaving);
	run_stop(run);
	run_join(run);
	bench_thread_run(check_main, &leaving);
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
}
