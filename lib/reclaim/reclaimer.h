/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the reclaimer's cycles (lib/reclaim/reclaim.c) and its beginning, changes and end
 * (lib/reclaim/lifecycle.c) share.  Included by these two.
 */
#ifndef SCTX_RECLAIMER_H
#define SCTX_RECLAIMER_H

#include "reclaim/reclaim.h"

#include <pthread.h>

/* Hidden, and yet the archive's users must not meet its short name. */
#define reclaimer sctx__reclaimer

extern struct sctx__reclaimer {
	pthread_mutex_t lock;
	pthread_cond_t work; /* the thread waits */
	pthread_cond_t done; /* others wait for the thread */
	pthread_t thread;
	uint64_t started; /* cycles */
	uint64_t finished;
	uint64_t wanted; /* cycles that someone waits for: no pause before */
	bool parked;     /* for a fork */
	bool running;    /* the thread is */
	bool stop;       /* when nothing is left */
	bool stop_now;
	bool changing;        /* the mode is, by a thread that waits */
	bool cycling;         /* a thread of the host's runs a cycle: */
	pthread_t cycler;     /* this one */
	uint64_t released_ns; /* when the last such cycle ended */
	enum sctx_reclaim_mode mode;
	unsigned int flags;
	int64_t limit_callbacks;
	int64_t limit_bytes;
	uint64_t grace_periods;
	uint64_t grace_period_ns;
	uint64_t latency[SCTX_LATENCY_BUCKETS];
} reclaimer;

/* All of these with the lock held. */

/* See to it that there is who reclaims. */
int sctx__reclaimer_start(void);

/* What limits depend on has changed: limbo may be full now, or full no more. */
void sctx__limits_update_full(void);

/* The limits have changed. */
void sctx__limits_set_batches(void);

/* Without it: what is in limbo; with @since, since when something is in the threads' sets. */
struct sctx__account sctx__limbo_sum(uint64_t *since);

/* The time @seconds and @ns from now, for pthread_cond_timedwait(). */
struct timespec sctx__after(time_t seconds, long ns);

#endif /* SCTX_RECLAIMER_H */
