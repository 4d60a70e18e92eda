/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each thread carries: its registration with RCU, its part of limbo
 * (limbo.h), its counters; and updates, the sections in which shared
 * structures change.
 */
#ifndef SCTX_THREAD_H
#define SCTX_THREAD_H

#include "rcu/rcu.h"
#include "thread/limbo.h"

#include <pthread.h>
#include <stddef.h>
#include <time.h>

/* Nanoseconds, with a resolution of a few milliseconds, for the cost of a few loads. */
static inline uint64_t sctx__now_coarse(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* See lib/thread/counter.h. */
enum sctx__event {
	SCTX__CREATES,
	SCTX__REOPENS, /* opens of a stream that exists */
	SCTX__REVIVALS, /* of them: of an idle stream */
	SCTX__LAST_CLOSES, /* that left no reference */
	SCTX__OTHER_CLOSES,
	SCTX__INSERTS,
	SCTX__REMOVES,
	SCTX__EVICTIONS, /* of idle streams */
	SCTX__REFUSALS,  /* of evictions */
	SCTX__FORGETS,
	SCTX__EVENTS
};

struct sctx__thread {
	struct sctx__limbo limbo[2]; /* by phase */
	struct sctx__magazine magazine;
	struct sctx__home home;
	int64_t pending_callbacks; /* retired less freed, not yet in the account */
	int64_t pending_bytes;
	int64_t event[SCTX__EVENTS];
	int64_t *counter;
	uint32_t counters;
	uint32_t locked_cache; /* see lib/base/pool.h */
	void *reader;          /* for sctx__rcu_forget(), if the library registered it */
	bool attached;
	bool registered;   /* by the library, not by the host */
	bool in_callback;
	uint16_t attaching; /* calls of owners' attach under way */
	uint32_t at_end;    /* work due at the end of the update: see below */
	struct sctx__thread *next;
	struct sctx__thread **link;
};

/* In sctx__thread.at_end. */
#define SCTX__HOME_DUE 1u /* home has objects that are ready to be freed */
#define SCTX__PASS     2u /* times the number of updates that passed a closed gate */

/*
 * Read at every update and written rarely; @phase changes at every grace
 * period.  On a cache line of its own, which readers can share.
 */
struct sctx__shared {
	uint32_t phase;
	uint32_t forking;  /* forks under way: no reclaim pass may begin or go on */
	uint32_t gate;     /* forks that wait for updates: no update may begin */
	uint32_t sleeping; /* the reclaimer sleeps: wake it when there is work */
	uint32_t full;     /* limbo is at its limit */
	uint32_t lull;     /* hint: CPU + 1 of a reclaimer that waits for readers to leave */
	uint32_t paused;   /* the reclaimer pauses between two grace periods */
	uint32_t worker;   /* the reclaimer's thread exists, or the mode has none */
	uint32_t batch_callbacks;
	int64_t batch_bytes;
} __attribute__((aligned(64)));

#ifndef sctx__self /* the explorer has its own definition */
extern SCTX__TLS struct sctx__thread sctx__self;
#endif
extern struct sctx__shared sctx__shared;

/* All attached threads; the lock covers this list and the data of lib/thread/counter.c. */
extern pthread_mutex_t sctx__threads_lock;
extern struct sctx__thread *sctx__threads;

/* Errors: -ENOMEM, -EAGAIN; nothing has changed. */
int sctx__thread_attach(bool register_always);
void sctx__thread_attach_slow(void);
void sctx__thread_detach(void);
void sctx__gate_slow(void);
void sctx__update_end_slow(void);

/* Called at a thread's exit, with sctx__threads_lock held.  Set before any thread attaches. */
extern void (*sctx__thread_exit_hook)(struct sctx__thread *t);

/* Called in a section with SCTX__HOME_DUE: frees a few objects of home.  Set likewise. */
extern void (*sctx__home_hook)(struct sctx__thread *self);

/* The calling thread's record.  Attaches the thread if necessary. */
static inline struct sctx__thread *sctx__thread_self(void)
{
	if (sctx__unlikely(!sctx__self.attached))
		sctx__thread_attach_slow();
	return &sctx__self;
}

/* Whether a section can begin, and an event be counted, without a call. */
static inline bool sctx__thread_is_quick(sctx__reader reader)
{
	return sctx__rcu_is_quick(reader) && (SCTX__READY_IS_ATTACHED || sctx__self.attached);
}

/*
 * Every change of shared structures happens between update_begin and
 * update_end.  An update is a read section.  The outermost one waits for a fork
 * to end; a nested one holds the fork up.  See sctx__gate_slow().
 */
static inline struct sctx__thread *sctx__update_begin(void)
{
	struct sctx__thread *self = sctx__thread_self();

	sctx__rcu_read_lock();
	if (sctx__unlikely(sctx__load(&sctx__shared.gate)))
		sctx__gate_slow();
	return self;
}

/*
 * In a section of an attached thread: whether the section may become an update,
 * to be ended by sctx__update_end().  A fork that closes the gate later still
 * waits for the section.
 */
static inline bool sctx__section_may_update(void)
{
	return sctx__likely(!sctx__load(&sctx__shared.gate));
}

static inline void sctx__update_end(void)
{
	sctx__rcu_read_unlock();
	if (sctx__unlikely(sctx__self.at_end))
		sctx__update_end_slow();
}

/* Whether the calling thread must not wait: in a read section or a callback. */
static inline bool sctx__must_not_wait(void)
{
	return sctx__self.in_callback || sctx__rcu_read_ongoing();
}

/* A guess: whether a thread that the library registered is in a section. */
bool sctx__readers_inside(void);

/* Waits for a grace period, and for a fork under way. */
void sctx__synchronize(void);

/* Fork: with the gate closed, wait for updates; then hold the locks. */
bool sctx__threads_quiesce(void);
void sctx__threads_before_fork(bool quiet);
void sctx__threads_after_fork_parent(void);
void sctx__threads_after_fork_child(void);

/* At unload: detach the caller and remove the exit hook. */
void sctx__threads_fini(void);

#endif /* SCTX_THREAD_H */
