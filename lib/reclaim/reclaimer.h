/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reclaimer's state, shared by its cycles (reclaim.c), the threads that wait for it
 * (wait.c) and changes of mode, fork and exit (lifecycle.c).
 */
#ifndef SCTX_RECLAIMER_H
#define SCTX_RECLAIMER_H

#include "reclaim/reclaim.h"

#include <pthread.h>
#include <sched.h>

/* In the archive the symbol must not have so short a name. */
#define reclaimer sctx__reclaimer

extern struct sctx__reclaimer {
	pthread_mutex_t lock;
	pthread_cond_t work; /* the thread waits */
	pthread_cond_t done; /* others wait for the thread */
	pthread_t thread;
	uint64_t started; /* cycles */
	uint64_t finished;
	uint64_t wanted; /* no pause before that many have finished: a thread waits */
	uint32_t barriers; /* under way */
	bool turned;     /* a cycle has flipped the phase and waits for its grace period */
	bool at_lists;   /* a cycle moves the lists and runs callbacks ... */
	pthread_t at_lists_thread; /* ... on this thread */
	bool running;    /* the thread exists and must be joined */
	bool ended;      /* the thread does not use this struct any more */
	bool stop;       /* it ends when nothing is left */
	bool stop_now;
	bool changing;    /* a thread changes the mode, and waits */
	bool cycling;     /* a thread of the host runs a cycle ... */
	pthread_t cycler; /* ... this one */
	enum sctx_reclaim_mode mode;
	unsigned int flags;
	int64_t limit_callbacks;
	int64_t limit_bytes;
	cpu_set_t cpus; /* that the process could use at its start */
	uint64_t grace_periods;
	uint64_t grace_period_ns;
	uint64_t latency[SCTX_LATENCY_BUCKETS];
} reclaimer;

/* For the thread that runs the cycle. */

/* Run a cycle.  *@any: there was something to do.  Returns the number of callbacks, <= @max. */
size_t sctx__cycle(size_t max, bool *any);
/* Run ripe callbacks without collecting anything. */
size_t sctx__cycle_run(size_t max);

/* With the lock held. */

/* Start the thread, if the mode has one.  Errors: -EAGAIN, -ENOMEM. */
int sctx__reclaimer_start(void);

/* Update whether limbo is full, after a change of the account or the limits. */
void sctx__limits_update_full(void);

/* The limits have changed. */
void sctx__limits_set_batches(void);

/* Without the lock: what is in limbo.  *@since: when the oldest set of a thread began to fill. */
struct sctx__account sctx__limbo_sum(uint64_t *since);

/* A wait that ends by time only where something is wrong: the explorer knows no time. */
#ifndef sctx__wait_at_most
#define sctx__wait_at_most pthread_cond_timedwait
#endif

/* The time @seconds and @ns from now, for pthread_cond_timedwait() on our conditions. */
struct timespec sctx__after(time_t seconds, long ns);

#endif /* SCTX_RECLAIMER_H */
