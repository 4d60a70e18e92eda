/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The workloads.  Each is one function in workloads/, given to every backend:
 * do @n operations for worker @w through @b, and add to @w->seen what the
 * lookups found and to @w->expected what they should have.  With @timed, a
 * constant, the opens are timed into @w->latency.
 */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include "../harness/histogram.h"
#include "../harness/worker.h"
#include "../harness/zipf.h"

#define BENCH_WORKLOADS(X, ...)           \
	X(lookup_hot, __VA_ARGS__)        \
	X(lookup_cold, __VA_ARGS__)       \
	X(lookup_first, __VA_ARGS__)      \
	X(lookup_last, __VA_ARGS__)       \
	X(open_warm, __VA_ARGS__)         \
	X(open_many, __VA_ARGS__)         \
	X(open_zipf, __VA_ARGS__)         \
	X(open_hot, __VA_ARGS__)          \
	X(open_cold, __VA_ARGS__)         \
	X(mixed, __VA_ARGS__)             \
	X(update_contended, __VA_ARGS__)  \
	X(unload, __VA_ARGS__)            \
	X(replay, __VA_ARGS__)            \
	X(open_cached, __VA_ARGS__)       \
	X(growth, __VA_ARGS__)            \
	X(stall, __VA_ARGS__)             \
	X(known_cost, __VA_ARGS__)        \
	X(bare_clock, __VA_ARGS__)

#define BENCH_NUMBER(workload, ...) WORKLOAD_##workload,
enum { BENCH_WORKLOADS(BENCH_NUMBER, ) WORKLOADS };

typedef void (*workload_fn)(struct worker *w, uint64_t n);

/* A backend, with the workloads compiled for it. */
struct backend {
	const struct backend_ops *ops;
	struct {
		workload_fn run;
		workload_fn run_timed;
	} workload[WORKLOADS];
};

#define WORKLOAD static inline __attribute__((always_inline)) void

/* For backends; the harness wants no more than the above. */
#if defined(BENCH_BACKEND_H) && !defined(BENCH_INTERNAL_H)
#include "lookup.h"
#include "open.h"
#include "many.h"
#include "mixed.h"
#include "update.h"
#include "unload.h"
#include "replay.h"
#include "cached.h"
#include "growth.h"
#include "stall.h"
#include "known.h"
#endif

#endif /* BENCH_WORKLOADS_H */
