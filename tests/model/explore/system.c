/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutexes, conditions, threads: who waits does not run.  A mutex is its
 * address here, a condition wakes who waits longest first, and a timed wait
 * may end at any time.
 */
#include "system.h"

#include "delay.h"

#include <errno.h>
#include <string.h>

#define MUTEXES 32

static struct mutex {
	const void *address;
	struct thread *holder;
} mutexes[MUTEXES];

static void (*exit_hook)(void *);
static uint32_t queued[THREADS_MAX]; /* for a condition: since which step */

size_t explore_first_buckets;

void system_reset(void)
{
	memset(mutexes, 0, sizeof(mutexes));
	memset(queued, 0, sizeof(queued));
	exit_hook = NULL;
	explore_first_buckets = 1;
}

void system_exit_hook(struct thread *t)
{
	void *arg = t->exit_arg;

	t->exit_arg = NULL;
	if (arg)
		exit_hook(arg);
}

static struct mutex *mutex_of(const volatile void *address)
{
	struct mutex *m = mutexes;

	while (m < mutexes + MUTEXES && m->address && m->address != address)
		m++;
	explore_check(m < mutexes + MUTEXES, "more mutexes than there is room for");
	m->address = (const void *)(uintptr_t)address;
	return m;
}

static bool mutex_free(struct thread *self)
{
	return !mutex_of(self->waits_for)->holder;
}

static void mutex_take(const void *mutex)
{
	current->waits_for = mutex;
	if (!mutex_free(current))
		engine_wait(mutex_free, "a mutex");
	mutex_of(mutex)->holder = current;
}

int explore_mutex_lock(const void *mutex, const struct explore_site *site)
{
	engine_point(mutex, true, site);
	explore_check(mutex_of(mutex)->holder != current, "%s: its holder takes it again",
		      site->what);
	mutex_take(mutex);
	return 0;
}

int explore_mutex_unlock(const void *mutex, const struct explore_site *site)
{
	engine_point(mutex, true, site);
	explore_check(mutex_of(mutex)->holder == current, "%s: another one holds it", site->what);
	delay_release();
	mutex_of(mutex)->holder = NULL;
	return 0;
}

static bool cond_woken(struct thread *self)
{
	return self->woken;
}

/* Letting the mutex go and beginning to wait are one step. */
int explore_cond_wait(const void *cond, const void *mutex, bool timed,
		      const struct explore_site *site)
{
	bool woken;

	engine_point(cond, true, site);
	engine_point(mutex, true, site);
	delay_release();
	mutex_of(mutex)->holder = NULL;
	current->waits_for = cond;
	current->woken = false;
	queued[current->id] = step;
	if (timed)
		engine_pause();
	else
		engine_wait(cond_woken, site->what);
	woken = current->woken;
	queued[current->id] = 0;
	mutex_take(mutex);
	return woken ? 0 : ETIMEDOUT;
}

static struct thread *cond_longest(const void *cond)
{
	struct thread *longest = NULL;

	for (struct thread *t = threads; t < threads + THREADS_MAX; t++)
		if (queued[t->id] && !t->woken && t->waits_for == cond && t->exists &&
		    (!longest || queued[t->id] < queued[longest->id]))
			longest = t;
	return longest;
}

int explore_cond_wake(const void *cond, bool all, const struct explore_site *site)
{
	struct thread *t;

	engine_point(cond, true, site);
	while ((t = cond_longest(cond)) != NULL) {
		t->woken = true;
		if (!all)
			break;
	}
	return 0;
}

int explore_create(pthread_t *thread, void *(*body)(void *), void *arg)
{
	bool first = !threads[LIBRARY_FIRST].exists;
	struct thread *t = engine_spawn(first ? "reclaimer" : "runner", LIBRARY_FIRST, body, arg);

	*thread = (pthread_t)t->id;
	return 0;
}

static bool joined_done(struct thread *self)
{
	return ((const volatile struct thread *)self->waits_for)->done;
}

int explore_join(pthread_t thread)
{
	current->waits_for = &threads[thread];
	engine_wait(joined_done, "the end of a thread");
	return 0;
}

int explore_key_create(pthread_key_t *key, void (*hook)(void *))
{
	*key = 0;
	exit_hook = hook;
	return 0;
}

int explore_key_set(void *value)
{
	current->exit_arg = value;
	return 0;
}

void explore_yield(void)
{
	engine_yield();
}

/* Each thread has a CPU of its own, or shares one with another. */
int explore_cpu(void)
{
	return current->id % 2;
}

long explore_random(void *buffer, size_t size)
{
	memset(buffer, 1, size);
	return (long)size;
}
