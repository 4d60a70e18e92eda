/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread of a round: what it holds, and what it did.  program.c chooses
 * operations, worker.c does them and writes them down.
 */
#ifndef LINEAR_WORKER_H
#define LINEAR_WORKER_H

#include "history.h"

#include "test.h"

#define MAX_RECORDS 128
#define MAX_HELD    64
#define MAX_PLAIN   2

/* Streams as addresses, until they are numbered. */
struct record {
	struct op op;
	struct sctx_stream *stream, *out_stream;
};

struct worker {
	struct round *round;
	uint64_t seed;
	struct record record[MAX_RECORDS];
	unsigned int records;
	/* References of this thread's: contexts, and streams it opened. */
	int hold[MAX_HELD];
	unsigned int holds;
	struct sctx_stream *open[MAX_HELD];
	unsigned int opens;
	int create[MAX_HELD]; /* for get_or_create, not made yet */
	unsigned int creates;
	struct sctx_stream *borrowed; /* in the section that it is in */
};

/* A context, and how often it was called back. */
struct cell {
	struct sctx_context ctx;
	atomic_uint called;
};

struct round {
	unsigned long number;
	const struct profile *profile;
	unsigned int threads, length; /* operations of a thread */
	struct sctx_registry *registry;
	struct sctx_id id[MAX_IDS];
	struct sctx_stream plain[MAX_PLAIN];
	struct cell cell[MAX_CONTEXTS];
	unsigned int cells;
	struct worker worker[MAX_THREADS];
	struct history history;
};

void cell_called(struct sctx_context *ctx);
void worker_hold(struct worker *w, int ctx);
void worker_open(struct worker *w, struct sctx_stream *stream);

/* Do it, write it down with its result; what was written. */
struct record *worker_do(struct worker *w, const struct record *what);

#endif /* LINEAR_WORKER_H */
