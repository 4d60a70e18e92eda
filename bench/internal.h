/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the harness share, and nobody else sees. */
#ifndef BENCH_INTERNAL_H
#define BENCH_INTERNAL_H

#include <pthread.h>

#include "backend.h"
#include "counts.h"
#include "harness.h"

/* For messages: the case that is being run. */
extern char bench_current[256];

/* ---------------------------------------------------------------- tally.c */

/* All contexts that @ops ever made and freed. */
struct tally bench_tally_sum(const struct backend_ops *ops);
/* The calling thread is the tally's, or its thread has ended. */
void bench_tally_fold(struct tally *tally);

/* ----------------------------------------------------------------- site.c */

/*
 * A table with streams 0 .. streams-1 held open, each with contexts of owners
 * 0 .. contexts-1.  One table for all threads, or where the backend cannot
 * share, one each.
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

/* At rest, what is not freed is what the sites hold: no more, no less. */
void bench_check_contexts(const struct backend_ops *ops);

/* Threads for one backend: each calls begin first and end last. */
pthread_t bench_thread_start(void *(*main)(void *), void *arg);
void bench_thread_begin(const struct backend_ops *ops);
void bench_thread_end(const struct backend_ops *ops);
/* Run @main(@arg) in a thread of its own, to its end. */
void bench_thread_run(void *(*main)(void *), void *arg);
void bench_drain(const struct backend_ops *ops);

/* --------------------------------------------------------------- runner.c */

/*
 * Thread @index to a CPU of its own, where there are enough: the scheduler
 * takes milliseconds to move one of two new threads away from the other.
 */
void bench_bind_to_cpu(unsigned int index);

/* ------------------------------------------------------------ catalogue.c */

extern const struct workload_info bench_workload_list[WORKLOADS];
void bench_catalogue_init(void);

/* -------------------------------------------------------------- machine.c */

void bench_check_allocator(void);
/* That this process may run on. */
unsigned int bench_cpus(void);

#endif /* BENCH_INTERNAL_H */
