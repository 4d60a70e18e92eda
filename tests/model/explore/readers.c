/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See readers.h. */
#include "readers.h"

#include "delay.h"

#include <string.h>

/* What lib/rcu/rcu.h declares for SCTX_RCU_C11. */
void sctx__reader_attach_slow(void);
void sctx__rcu_on_new_thread(void (*attach)(void));
void sctx__rcu_read_lock(void);
void sctx__rcu_read_unlock(void);
bool sctx__rcu_read_ongoing(void);
void *sctx__rcu_register(void);
bool sctx__rcu_registered(void);
void sctx__rcu_unregister(void);
void sctx__rcu_synchronize(void);
void sctx__rcu_forget(void *reader);
bool sctx__rcu_inside(void *reader);
extern const char sctx__inline_abi_1_c11;

const char sctx__inline_abi_1_c11 = 1;

/* Sections only read it, grace periods write it: the memory that they share. */
static char state;
static uint32_t sections;

#define SITE(name, text) static const struct explore_site name = { __FILE__, __LINE__, text }

SITE(site_lock, "read_lock");
SITE(site_unlock, "read_unlock");
SITE(site_begin, "synchronize begins");
SITE(site_end, "synchronize ends");

void readers_reset(void)
{
	sections = 0;
}

void sections_now(struct sections *now)
{
	for (int i = 0; i < THREADS_MAX; i++)
		now->open[i] = threads[i].section;
}

int sections_left(const struct sections *then)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (then->open[i] && then->open[i] == threads[i].section)
			return i;
	return -1;
}

static void (*attach_thread)(void); /* in the library */

void sctx__rcu_on_new_thread(void (*attach)(void))
{
	attach_thread = attach;
}

void sctx__reader_attach_slow(void)
{
	attach_thread();
}

void sctx__rcu_read_lock(void)
{
	if (!current->registered)
		sctx__reader_attach_slow();
	if (current->nesting++)
		return;
	engine_point(&state, false, &site_lock);
	current->section = ++sections;
}

void sctx__rcu_read_unlock(void)
{
	explore_check(current->nesting, "the end of a section that has not begun");
	if (current->nesting == 1) {
		engine_point(&state, false, &site_unlock);
		delay_release();
		current->section = 0;
	}
	current->nesting--;
}

bool sctx__rcu_read_ongoing(void)
{
	return current->nesting != 0;
}

bool sctx__rcu_registered(void)
{
	return current->registered;
}

void *sctx__rcu_register(void)
{
	current->registered = true;
	return current;
}

void sctx__rcu_unregister(void)
{
	explore_check(!current->nesting, "a thread is unregistered inside a section");
	current->registered = false;
}

void sctx__rcu_forget(void *reader)
{
	((struct thread *)reader)->registered = false;
}

/* It is a guess that nothing may depend on. */
bool sctx__rcu_inside(void *reader)
{
	(void)reader;
	return false;
}

static bool period_over(struct thread *self)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (self->waits[i] && self->waits[i] == threads[i].section)
			return false;
	return true;
}

void sctx__rcu_synchronize(void)
{
	explore_check(!current->nesting, "a grace period is waited for inside a section");
	engine_point(&state, true, &site_begin);
	delay_release();
	for (int i = 0; i < THREADS_MAX; i++)
		current->waits[i] = threads[i].section;
	engine_wait(period_over, "readers");
	trace_add(&site_end);
}
