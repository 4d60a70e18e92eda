/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private limbo.  The list has every call that has begun and not ended, oldest first.
 * reclaimer.lock covers it.
 */
#include "reclaim/private.h"

#include "reclaim/callbacks.h"
#include "reclaim/reclaimer.h"

#include <string.h>

static struct sctx__private *first;
static struct sctx__private **end = &first;
static uint64_t begun;

/* ----------------------------------------------------------------- the list */

static void list_add(struct sctx__private *own)
{
	own->number = ++begun;
	own->next = NULL;
	own->link = end;
	*end = own;
	end = &own->next;
}

static void list_remove(struct sctx__private *own)
{
	*own->link = own->next;
	if (own->next)
		own->next->link = own->link;
	else
		end = own->link;
}

/* ------------------------------------------------------------- one of them */

void sctx__private_begin(struct sctx__private *own)
{
	memset(own, 0, sizeof(*own));
	own->thread = pthread_self();
	pthread_mutex_lock(&reclaimer.lock);
	list_add(own);
	pthread_mutex_unlock(&reclaimer.lock);
}

static void account_add(int64_t callbacks, int64_t bytes)
{
	sctx__add(&sctx__account.callbacks, callbacks);
	sctx__add(&sctx__account.bytes, bytes);
}

void sctx__private_retire_end(struct sctx__private *own, const struct sctx__retiring *r)
{
	own->callbacks = (int64_t)r->contexts;
	own->bytes = (int64_t)(r->bytes + r->contexts * sizeof(struct sctx_context));
	account_add(own->callbacks, own->bytes);
}

/* With the lock held: barriers and forks stop waiting for @own. */
static void ended(struct sctx__private *own)
{
	list_remove(own);
	pthread_cond_broadcast(&reclaimer.done);
}

/* A callback has called pthread_exit(): the reclaimer goes on with the rest. */
static void thread_died(void *arg)
{
	struct sctx__private *own = arg;

	sctx__self.in_callback = false;
	sctx__callbacks_account(&own->limbo);
	pthread_mutex_lock(&reclaimer.lock);
	sctx__limbo_leave(&own->limbo);
	if (sctx__load(&sctx__shared.worker)) {
		sctx__store(&sctx__shared.sleeping, 0);
		pthread_cond_signal(&reclaimer.work);
	}
	ended(own);
	pthread_mutex_unlock(&reclaimer.lock);
}

/* With the lock held; releases it while callbacks run.  A fork interrupts them. */
static void run(struct sctx__private *own)
{
	while (sctx__load(&sctx__shared.forking))
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
	own->running = true;
	pthread_mutex_unlock(&reclaimer.lock);
	pthread_cleanup_push(thread_died, own);
	sctx__callbacks_run_set(&own->limbo);
	pthread_cleanup_pop(0);
	sctx__rcu_offline(); /* a callback may have used a section */
	pthread_mutex_lock(&reclaimer.lock);
	own->running = false;
	pthread_cond_broadcast(&reclaimer.done);
}

bool sctx__private_finish(struct sctx__private *own)
{
	uint64_t again = sctx__callbacks_dropped_again();

	sctx__synchronize();
	sctx__rcu_offline(); /* callbacks must not hold up grace periods */
	pthread_mutex_lock(&reclaimer.lock);
	while (sctx__limbo_any(&own->limbo))
		run(own);
	ended(own);
	pthread_mutex_unlock(&reclaimer.lock);
	return sctx__callbacks_dropped_again() == again;
}

/* ------------------------------------------------------ barriers and forks */

void sctx__private_wait(void)
{
	uint64_t last = begun;

	while (first && first->number <= last)
		pthread_cond_wait(&reclaimer.done, &reclaimer.lock);
}

static bool is_mine(const struct sctx__private *own)
{
	return pthread_equal(own->thread, pthread_self());
}

bool sctx__private_runs(void)
{
	bool any = false;

	for (struct sctx__private *own = first; own && !any; own = own->next)
		any = own->running && !is_mine(own);
	return any;
}

/*
 * The stacks of the parent's other threads are intact.  A limbo whose callback was
 * running may be half moved: the fork gave up waiting for it.
 */
void sctx__private_after_fork_child(void)
{
	struct sctx__private *next;

	for (struct sctx__private *own = first; own; own = next) {
		next = own->next;
		if (is_mine(own))
			continue;
		list_remove(own);
		if (own->running)
			account_add(-own->callbacks, -own->bytes);
		else
			sctx__limbo_leave(&own->limbo);
	}
}
