/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader stalls.  The threads of the run open and close new streams for three
 * phases of equal length; in the second, one more thread stays in a read section.
 * Closes are timed by phase.
 */
#include <time.h>

#include "histogram.h"
#include "run.h"

struct stall {
	struct run *run;
	uint64_t resident; /* contexts, before the run */
	struct bench_stall *result;
	bool over;
};

static void look_at_limbo(struct stall *s)
{
	const struct tally sum = bench_tally_sum(s->run->ops);
	const uint64_t unfreed = sum.created - sum.freed - s->resident;
	uint64_t bytes = 0;

	if (s->run->ops->limbo_bytes)
		bytes = s->run->ops->limbo_bytes();
	/* Read at different moments: it may come out below zero. */
	if ((int64_t)unfreed > (int64_t)s->result->limbo_contexts)
		s->result->limbo_contexts = unfreed;
	if (bytes > s->result->limbo_bytes)
		s->result->limbo_bytes = bytes;
}

static void phase(struct stall *s, enum bench_phase which, double seconds)
{
	const uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);

	__atomic_store_n(&s->run->phase, which, __ATOMIC_RELAXED);
	while (bench_now_ns() < end) {
		look_at_limbo(s);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

/* Asleep in its section, like a thread that was preempted or waits for a disk. */
static void *reader_main(void *arg)
{
	struct stall *s = arg;
	const struct backend_ops *ops = s->run->ops;
	struct bench_stream *stream = s->run->site->first[0];

	bench_thread_begin(ops);
	ops->enter(stream);
	while (!__atomic_load_n(&s->over, __ATOMIC_RELAXED))
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	ops->leave(stream);
	bench_thread_end(ops);
	return NULL;
}

void run_stall(struct run *run, const struct bench_limit *limit, struct bench_stall *result)
{
	const struct tally before = bench_tally_sum(run->ops);
	struct stall s = {
		.run = run,
		.resident = before.created - before.freed,
		.result = result,
	};
	pthread_t reader;

	run_start(run);
	phase(&s, PHASE_BEFORE, limit->seconds);
	reader = bench_thread_start(reader_main, &s);
	phase(&s, PHASE_STALLED, limit->seconds);
	__atomic_store_n(&s.over, true, __ATOMIC_RELAXED);
	pthread_join(reader, NULL);
	phase(&s, PHASE_AFTER, limit->seconds);
	run_stop(run);
	run_join(run);
}
