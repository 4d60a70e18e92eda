/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of the harness alone. */
#ifndef BENCH_INTERNAL_H
#define BENCH_INTERNAL_H

#include <pthread.h>

#include "backend.h"
#include "counts.h"
#include "harness.h"

/* ----------------------------------------------------------------- base.c */

/* The case under way, for messages. */
extern char bench_current[256];

/* -------------------------------------------------------------- machine.c */

/* Fails unless malloc() is jemalloc's. */
void bench_check_allocator(void);
/* The number of CPUs that this process may run on. */
unsigned int bench_cpus(void);
/*
 * Bind the calling thread to a CPU of its own, where there are enough: the
 * scheduler takes milliseconds to move one of two new threads away.
 */
void bench_bind_to_cpu(unsigned int index);

/* ---------------------------------------------------------------- tally.c */

/* All contexts that @ops ever made and freed. */
struct tally bench_tally_sum(const struct backend_ops *ops);
/* The tally is the calling thread's, or its thread has ended. */
void bench_tally_fold(struct tally *tally);

/* ------------------------------------------------------------ catalogue.c */

extern const struct workload_info bench_workload_list[WORKLOADS];
void bench_catalogue_init(void);

/* --------------------------------------------------------------- thread.c */

/* A thread that calls into a backend begins with the first, ends with the second. */
void bench_thread_begin(const struct backend_ops *ops);
void bench_thread_end(const struct backend_ops *ops);
pthread_t bench_thread_start(void *(*main)(void *), void *arg);
/* Run @main(@arg) in a thread of its own, to its end. */
void bench_thread_run(void *(*main)(void *), void *arg);
void bench_drain(const struct backend_ops *ops);

/* ----------------------------------------------------------------- site.c */

/*
 * A table with streams 0 .. streams-1 held open, each with contexts of owners
 * 0 .. contexts-1.  One table for all threads, or one for each thread if the
 * backend cannot share.
 */
struct site {
	const struct backend_ops *ops;
	uint64_t streams;
	unsigned int contexts;
	unsigned int tables;
	struct bench_table **table;
	struct bench_stream **first; /* stream 0 of each table */
	uint64_t words;              /* sum over all contexts */
	struct site *next;
};

/* The site, made at the first call for it, with a table for each of @threads. */
struct site *bench_site(const struct backend_ops *ops, uint64_t streams, unsigned int contexts,
			unsigned int threads);

void bench_sites_close(void);

/* At rest, the contexts not yet freed are in the sites. */
void bench_check_contexts(const struct backend_ops *ops);

#endif /* BENCH_INTERNAL_H */
