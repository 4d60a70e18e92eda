/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads: attach, detach at exit, fork.  Called by lib/reclaim and, through
 * thread.h, by every update.
 *
 * sctx__threads_lock covers the list of threads and is never held across a grace
 * period.  rcu_gate is held for reading around each call into liburcu that takes
 * one of its locks, and for writing by a fork.  For passes see sctx__gate_slow().
 * Order: rcu_gate, passes, reclaimer.lock (lib/reclaim/reclaim.c),
 * sctx__threads_lock.
 */
#include "thread/counter.h"
#include "base/debug.h"
#include "base/pool.h"

#include <errno.h>

#ifndef sctx__self
SCTX__TLS struct sctx__thread sctx__self;
#endif
struct sctx__shared sctx__shared = { .sleeping = 1 };
void (*sctx__thread_exit_hook)(struct sctx__thread *t);
void (*sctx__home_hook)(struct sctx__thread *self);

pthread_mutex_t sctx__threads_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rcu_gate = PTHREAD_RWLOCK_INITIALIZER;
static pthread_rwlock_t passes = PTHREAD_RWLOCK_INITIALIZER;
struct sctx__thread *sctx__threads;
static bool fork_quiet; /* the fork under way holds rcu_gate and passes */
static bool host_registers;
static bool library_registered;

static pthread_key_t exit_key;
static bool key_made;

bool sctx__readers_inside(void)
{
	bool inside = false;

	pthread_mutex_lock(&sctx__threads_lock);
	for (struct sctx__thread *t = sctx__threads; t && !inside; t = t->next)
		inside = t->reader && sctx__rcu_inside(t->reader);
	pthread_mutex_unlock(&sctx__threads_lock);
	return inside;
}

/* Called by the thread itself, or for one that is gone.  sctx__threads_lock held. */
static void thread_unlink(struct sctx__thread *t)
{
	sctx__limbo_orphan(t);
	if (sctx__thread_exit_hook)
		sctx__thread_exit_hook(t);
	sctx__counters_fold(t);
	sctx__locked_cache_drop(&t->locked_cache);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
}

static void thread_link(struct sctx__thread *t)
{
	t->next = sctx__threads;
	t->link = &sctx__threads;
	if (sctx__threads)
		sctx__threads->link = &t->next;
	sctx__threads = t;
}

/* --------------------------------------------------------- attach, detach */

/*
 * As seen by a fork, a thread is on RCU's list only while it is on ours: the
 * child walks our list to remove dead readers from RCU's.
 */
void sctx__thread_detach(void)
{
	struct sctx__thread *self = &sctx__self;

	if (!self->attached)
		return;
	pthread_rwlock_rdlock(&rcu_gate);
	if (self->registered)
		sctx__rcu_unregister();
	pthread_mutex_lock(&sctx__threads_lock);
	thread_unlink(self);
	pthread_mutex_unlock(&sctx__threads_lock);
	pthread_rwlock_unlock(&rcu_gate);
	self->attached = false;
	self->at_end &= ~SCTX__HOME_DUE;
	sctx__rcu_unready();
	self->registered = false;
	self->reader = NULL;
}

/* A thread that uses the library in a later exit hook attaches again. */
static void exit_hook(void *self)
{
	(void)self;
	sctx__thread_detach();
}

/* Arrange for exit_hook() at this thread's exit.  On failure nothing has changed. */
static int set_exit_hook(struct sctx__thread *self)
{
	pthread_mutex_lock(&sctx__threads_lock);
	if (!key_made)
		key_made = pthread_key_create(&exit_key, exit_hook) == 0;
	pthread_mutex_unlock(&sctx__threads_lock);
	return key_made && pthread_setspecific(exit_key, self) == 0 ? 0 : -ENOMEM;
}

/* Whether the library is to register the calling thread with RCU. */
static bool claim_registration(bool always)
{
	bool claim = !sctx__rcu_registered();

	pthread_mutex_lock(&sctx__threads_lock);
	if (claim && !always) {
		claim = !host_registers;
		library_registered |= claim;
	}
	pthread_mutex_unlock(&sctx__threads_lock);
	return claim;
}

int sctx__thread_attach(bool register_always)
{
	struct sctx__thread *self = &sctx__self;
	int error;

	if (self->attached)
		return 0;
	error = set_exit_hook(self);
	if (error)
		return error;

	self->registered = claim_registration(register_always);
	pthread_rwlock_rdlock(&rcu_gate);
	if (self->registered)
		self->reader = sctx__rcu_register();
	pthread_mutex_lock(&sctx__threads_lock);
	thread_link(self);
	pthread_mutex_unlock(&sctx__threads_lock);
	pthread_rwlock_unlock(&rcu_gate);
	self->attached = true;
	/* qsbr: go online at the first section, not for counters or pools alone. */
	if (self->registered)
		sctx__rcu_offline();
	return 0;
}

/* For callers that cannot fail.  Retries until there is memory for the exit hook. */
void sctx__thread_attach_slow(void)
{
	while (sctx__thread_attach(false))
		sched_yield();
}

__attribute__((constructor(101))) static void threads_init(void)
{
	sctx__rcu_on_new_thread(sctx__thread_attach_slow);
}

int sctx_thread_attach(void)
{
	return sctx__thread_attach(false);
}

int sctx_thread_detach(void)
{
	if (sctx__must_not_wait())
		return -EDEADLK;
	sctx__thread_detach();
	return 0;
}

void sctx_thread_offline(void)
{
	if (!sctx__rcu_read_ongoing())
		sctx__rcu_offline();
}

int sctx_threads_registered_by_host(void)
{
	int error = 0;

	if (!SCTX__HOST_CAN_REGISTER)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&sctx__threads_lock);
	if (library_registered)
		error = -EBUSY;
	else
		host_registers = true;
	pthread_mutex_unlock(&sctx__threads_lock);
	return error;
}

/* ---------------------------------------------------- read sections, fork */

void sctx_read_lock(void)
{
	sctx__rcu_read_lock();
}

void sctx_read_unlock(void)
{
	sctx__rcu_read_unlock();
}

void sctx__synchronize(void)
{
	pthread_rwlock_rdlock(&rcu_gate);
	sctx__rcu_synchronize();
	pthread_rwlock_unlock(&rcu_gate);
}

/* In an outermost section: leave it until the gate is open. */
static void gate_wait(void)
{
	do {
		sctx__rcu_read_unlock();
		sctx__rcu_offline();
		sched_yield();
		sctx__rcu_read_lock();
	} while (sctx__load(&sctx__shared.gate));
}

/*
 * An update has begun and found the gate closed: a fork is under way.  The
 * gate is read inside the section, so the fork's grace period either waits for
 * the section or began before it, and then the section sees the gate.
 *
 * Nested in a section of the caller's we cannot wait for the fork, because its
 * grace period may be waiting for that section.  Nor does the grace period
 * cover us, if the section began after it.  So pass the gate, and hold `passes`
 * for reading until the update ends.  The fork takes it for writing after its
 * grace period, and waits for no section after that.  An update that began
 * before the gate was closed needs no pass; if it drops the pass of an update
 * nested in it, an earlier fork is over.
 */
void sctx__gate_slow(void)
{
	struct sctx__thread *self = &sctx__self;

	sctx__rcu_read_unlock();
	if (!sctx__rcu_read_ongoing()) {
		sctx__rcu_read_lock();
		gate_wait();
		return;
	}
	sctx__rcu_read_lock();
	if (self->at_end < SCTX__PASS)
		pthread_rwlock_rdlock(&passes);
	self->at_end += SCTX__PASS;
}

/* In a section, so forks and barriers wait until the objects are freed. */
static void home_visit(struct sctx__thread *self)
{
	sctx__rcu_read_lock();
	if (!sctx__load(&sctx__shared.gate))
		sctx__home_hook(self);
	sctx__rcu_read_unlock();
}

void sctx__update_end_slow(void)
{
	struct sctx__thread *self = &sctx__self;

	if (self->at_end >= SCTX__PASS) {
		self->at_end -= SCTX__PASS;
		if (self->at_end < SCTX__PASS)
			pthread_rwlock_unlock(&passes);
	}
	if (self->at_end & SCTX__HOME_DUE && !sctx__must_not_wait())
		home_visit(self);
}

/*
 * With the gate closed, wait until no update and no call into liburcu is under
 * way or can begin.  A thread that forks inside its own read section must not
 * wait for readers, or for a thread that waits for readers.  False if there is
 * one: then the child may only exec.
 */
bool sctx__threads_quiesce(void)
{
	if (!sctx__rcu_read_ongoing()) {
		sctx__synchronize();
		pthread_rwlock_wrlock(&rcu_gate);
		pthread_rwlock_wrlock(&passes);
		return true;
	}
	if (pthread_rwlock_trywrlock(&rcu_gate))
		return false;
	if (pthread_rwlock_trywrlock(&passes)) {
		pthread_rwlock_unlock(&rcu_gate);
		return false;
	}
	return true;
}

void sctx__threads_before_fork(bool quiet)
{
	pthread_mutex_lock(&sctx__threads_lock);
	sctx__debug_before_fork();
	fork_quiet = quiet;
	if (quiet)
		sctx__rcu_before_fork();
}

void sctx__threads_after_fork_parent(void)
{
	bool quiet = fork_quiet;

	sctx__debug_after_fork();
	if (quiet)
		sctx__rcu_after_fork_parent();
	pthread_mutex_unlock(&sctx__threads_lock);
	if (quiet) {
		pthread_rwlock_unlock(&passes);
		pthread_rwlock_unlock(&rcu_gate);
	}
}

/*
 * Only the calling thread exists.  The records of the others are intact, since
 * their stacks are not reused yet.  Take over their limbo sets and remove their
 * readers from RCU's list.
 */
void sctx__threads_after_fork_child(void)
{
	struct sctx__thread *next;

	sctx__debug_after_fork();
	if (fork_quiet)
		sctx__rcu_after_fork_child();
	sctx__locked_after_fork();
	for (struct sctx__thread *t = sctx__threads; t; t = next) {
		next = t->next;
		t->locked_cache = 0;
		if (t == &sctx__self)
			continue;
		thread_unlink(t);
		if (t->reader)
			sctx__rcu_forget(t->reader);
	}
	/* A rwlock records its writer's thread id, which has changed. */
	pthread_rwlock_init(&rcu_gate, NULL);
	pthread_rwlock_init(&passes, NULL);
	sctx__self.at_end &= SCTX__HOME_DUE;
	pthread_mutex_unlock(&sctx__threads_lock);
}

void sctx__threads_fini(void)
{
	if (!sctx__rcu_read_ongoing())
		sctx__thread_detach();
	if (key_made)
		pthread_key_delete(exit_key);
	key_made = false;
	sctx__counters_fini();
	sctx__locked_fini();
}
