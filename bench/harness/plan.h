/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of a trace, dealt out to threads. */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

struct replay_share;
struct trace;

/*
 * Thread @index's share of @trace among @threads.  Each process is carried by
 * one thread, in recorded order; the busiest processes are dealt out first,
 * each to the thread with least to do.  Kept for the next call; not
 * thread-safe.
 */
struct replay_share *plan_get(const struct trace *trace, unsigned int threads, unsigned int index);
void plan_free_all(void);

#endif /* BENCH_PLAN_H */
