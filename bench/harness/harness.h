/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The harness: runs a case (a workload on a backend with its parameters) in
 * threads of its own, measures the span from the first thread's start to the
 * last one's end, and compares the work done with what it should have been.
 * A mismatch ends the process with a message and status 1.
 *
 * Every thread that calls into a backend is started for it and ends with it,
 * so registering it with an RCU flavour can never happen twice.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counts.h"

#ifdef __cplusplus
extern "C" {
#endif

struct backend;
struct histogram;
struct trace;

/* The parameter of a workload, beside the number of threads. */
enum bench_param { PARAM_NONE, PARAM_CONTEXTS, PARAM_STREAMS, PARAM_TRACE, PARAM_NS };

struct workload_info {
	const char *name;
	const char *what;
	enum bench_param param;
	uint64_t streams;	/* resident, where that is no parameter */
	unsigned int contexts;	/* on each resident stream, likewise */
	unsigned int creates;	/* contexts, in each operation, if that is fixed */
	bool retires;		/* drained inside the timed span */
	bool opens;		/* can time its opens */
	bool samples;		/* can time its frees */
	bool zipf;		/* draws streams by Zipf's law */
	uint64_t zipf_ids;	/* of so many, if they are not the resident ones */
	bool keeps;		/* bench_case.resident and .create_ns are parameters */
	uint64_t resident;	/* the former, where it is not chosen */
	unsigned int bumps;	/* opens counted by modules, in each operation */
	bool unloads;		/* an owner leaves: needs a backend that has owners */
	bool no_backend;	/* exercises the machine: run on floor alone */
	bool only_paced;	/* nothing to measure but how late it is */
	bool grows;		/* fills a table of its own, from nothing: see growth.c */
	bool stalls;		/* a reader stays in its section: see stall.c */
	bool plain;		/* for sctx-bench alone: there is no rate to compare */
	bool large;		/* too much memory for all backends at once: if asked for by name */
};

struct bench_case {
	const struct workload_info *workload;
	const struct backend *backend;
	unsigned int threads;
	unsigned int contexts;		/* of PARAM_CONTEXTS, up to 64 */
	uint64_t streams;		/* of PARAM_STREAMS */
	const struct trace *trace;	/* of PARAM_TRACE */
	const char *trace_name;
	uint64_t resident;		/* idle streams to keep; 0: a last close ends its stream */
	uint64_t create_ns;		/* that building a context takes beside its memory */
};

/*
 * Give iterations or seconds; with a rate, seconds.  An iteration is an operation,
 * or a pass through a trace.
 */
struct bench_limit {
	uint64_t iterations;	/* of each thread, on average */
	bool onward;		/* a trace: threads go on until all have passed through */
	double seconds;
	double rate;		/* operations a second, of all threads: see bench_probe */
	bool cold;		/* begin without idle streams; else a pass or so comes before */
};

/* stall: the time of each close, and the most that was in limbo. */
enum bench_phase { PHASE_BEFORE, PHASE_STALLED, PHASE_AFTER, PHASES };

struct bench_stall {
	struct histogram *closes[PHASES];
	uint64_t limbo_contexts;
	uint64_t limbo_bytes; /* 0 where the backend cannot tell */
};

/* Measured beside the throughput: histograms to add to, in ticks, or NULL. */
struct bench_probe {
	struct histogram *opens;	/* each open, by itself, back to back */
	struct histogram *paced;	/* at bench_limit.rate: each operation, from when due */
	struct histogram *frees;	/* from the close of a stream to its context's free */
	struct histogram *bare;		/* growth, beside the opens: the machine's own jitter */
	struct bench_stall *stall;	/* stall: all of it */
};

struct bench_result {
	uint64_t ops;		/* of all threads */
	double seconds;
	uint64_t created;	/* contexts; all but the residents' were freed */
	uint64_t due;		/* at a rate: operations that should have been done */
	uint64_t meanwhile;	/* unload: opens while the owner left */
	uint64_t longest_ns;	/* and the longest that one took */
	uint64_t site_kb;	/* what making the residents added to resident memory */
	uint64_t before_kb;	/* resident memory, when the threads started */
	struct bench_counts counts;	/* the counted library's, of the threads */
	struct bench_counts counts_all;	/* the same with the reclaimer's, and its drain's */
};

/* Seen while bench_run() is under way in another thread. */
struct bench_progress {
	uint64_t ops;
	uint64_t unfreed;	/* contexts made and not yet freed */
	uint64_t limbo_bytes;	/* 0 where the backend cannot tell */
};

/* To be called first. */
void bench_init(void);

const struct workload_info *bench_workloads(size_t *count);
const struct workload_info *bench_workload_find(const char *name);

const struct backend *const *bench_backends(size_t *count);
const struct backend *bench_backend_find(const char *name);
const char *bench_backend_name(const struct backend *backend);
const char *bench_backend_lacks(const struct backend *backend);
/* A backend that cannot do a workload must not be run with it. */
bool bench_supports(const struct backend *backend, const struct workload_info *workload);
bool bench_keeps_idle(const struct backend *backend);

/* WORKLOAD/BACKEND/params/threads:T; with a NULL backend, without it. */
void bench_case_name(const struct bench_case *c, char *name, size_t size);

/*
 * Run @c.  Resident streams are made at the first case that needs them and
 * kept for the next.  @probe may be NULL.
 */
void bench_run(const struct bench_case *c, const struct bench_limit *limit,
	       const struct bench_probe *probe, struct bench_result *result);

void bench_watch(struct bench_progress *progress);

/* Close all residents and check that nothing is left. */
void bench_finish(void);

double bench_tick_ns(void);
/* Ticks between two readings of the clock with nothing in between. */
uint64_t bench_tick_cost(void);
const char *bench_tick_name(void);

const char *bench_allocator(void);

/* How long a cache line takes from the first CPU to the second; 0 if there is one. */
double bench_handover_ns(void);

/* Of the whole process. */
uint64_t bench_resident_kb(void);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_HARNESS_H */
