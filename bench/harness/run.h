/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of a case: its threads, and how each gets its work. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "internal.h"

struct run {
	const struct workload_info *info;
	const struct backend_ops *ops;
	workload_fn work;
	workload_fn warm_up; /* the same, untimed */
	uint64_t warm;       /* iterations of each thread before the span, to have idle streams */
	struct site *site;
	uint64_t resident;   /* idle streams to keep */
	uint64_t iterations; /* of each thread, on average; 0: until stopped */
	uint64_t chunk;
	uint64_t pool; /* iterations not yet taken */
	double period; /* ticks between a thread's operations; 0: no pause */
	uint64_t due;  /* operations of each thread, with a period */
	unsigned int threads;
	unsigned int arrived; /* at the start */
	unsigned int running;
	unsigned int behind; /* threads with passes left through their trace */
	bool onward;
	bool stop;
	bool crowded; /* more threads than CPUs */
	unsigned int phase; /* of a stall */
	struct run_thread *thread;
};

struct run_thread {
	struct worker worker;
	struct run *run;
	pthread_t thread;
	struct histogram *paced;
	struct bench_counts counts;
	uint64_t begin, end; /* ns */
	uint64_t done;       /* iterations */
	uint64_t ops_each;   /* operations an iteration */
} __attribute__((aligned(64)));

/* runner.c: start @run's threads, and wait for them. */
void run_start(struct run *run);
void run_join(struct run *run);
/* Those that run until stopped. */
void run_stop(struct run *run);

/* growth.c: a site without streams, for the run to fill; its end. */
struct site *growth_site(const struct backend_ops *ops, unsigned int threads);
void growth_end(struct run *run);

/* stall.c: in the place of a plain run, where a reader stalls. */
void run_stall(struct run *run, const struct bench_limit *limit, struct bench_stall *stall);

/* unload.c: in the place of a plain run, where an owner is to leave. */
void run_unload(struct run *run, const struct bench_limit *limit, struct bench_result *result);

#endif /* BENCH_RUN_H */
