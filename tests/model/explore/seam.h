/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the explored library calls instead of the processor and the system.
 * Each call is a point where another of the explored threads may go on.
 * Included by explore_sync.h, for the library, and by the explorer's files
 * that define these.
 */
#ifndef EXPLORE_SEAM_H
#define EXPLORE_SEAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A place in the library's source: what a schedule's trace names. */
struct explore_site {
	const char *file;
	int line;
	const char *what;
};

/* atomics.c: operands of 1, 2, 4 or 8 bytes. */
uintptr_t explore_load(const volatile void *p, size_t size, const struct explore_site *site);
void explore_store(volatile void *p, size_t size, uintptr_t v, const struct explore_site *site);
uintptr_t explore_add(volatile void *p, size_t size, uintptr_t v, const struct explore_site *site);
uintptr_t explore_exchange(volatile void *p, size_t size, uintptr_t v,
			   const struct explore_site *site);
bool explore_cas(volatile void *p, size_t size, uintptr_t *old, uintptr_t v,
		 const struct explore_site *site);
/* Ahead of an operation that releases (delay.h). */
void explore_release(void);
uintptr_t explore_lock(volatile void *p, size_t size, const struct explore_site *site);
void explore_unlock(volatile void *p, size_t size, uintptr_t leave,
		    const struct explore_site *site);

/* system.c: locks that block, threads, and what must not differ between two runs. */
int explore_mutex_lock(const void *mutex, const struct explore_site *site);
int explore_mutex_unlock(const void *mutex, const struct explore_site *site);
int explore_cond_wait(const void *cond, const void *mutex, bool timed,
		      const struct explore_site *site);
int explore_cond_wake(const void *cond, bool all, const struct explore_site *site);
int explore_create(pthread_t *thread, void *(*main)(void *), void *arg);
int explore_join(pthread_t thread);
int explore_key_create(pthread_key_t *key, void (*exit_hook)(void *));
int explore_key_set(void *value);
void explore_yield(void);
int explore_cpu(void);
long explore_random(void *buffer, size_t size);

/* Where the calling thread's struct sctx__thread is. */
void *explore_self(void);

/* The library's sizes, ahead of its headers; those below a program chooses. */
#define SCTX__SLOTS 2
#define SCTX__COMPACT_MIN 8
extern size_t explore_first_buckets;

#endif /* EXPLORE_SEAM_H */
