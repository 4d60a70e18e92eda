/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See delay.h.  Memory holds the newest value, which the storing thread sees
 * (in plain accesses, too); what is kept here is what others still see.
 */
#include "delay.h"

#include "conflict.h"
#include "engine.h"
#include "search.h"

#define PENDING_MAX 256

bool delays;

static struct pending {
	const volatile void *address;
	uintptr_t old;
} pending[PENDING_MAX];
static int count;
static struct thread *owner; /* of all of them */
static bool used_up;

void delay_reset(void)
{
	count = 0;
	owner = NULL;
	used_up = false;
}

bool delay_pending(void)
{
	return count && current == owner;
}

/* The change that others see happens now. */
static void flush(void)
{
	for (int i = 0; i < count; i++)
		engine_meet(pending[i].address, true);
	count = 0;
}

static struct pending *oldest(const volatile void *p)
{
	for (int i = 0; i < count; i++)
		if (pending[i].address == p)
			return &pending[i];
	return NULL;
}

void delay_store(const volatile void *p, uintptr_t old)
{
	if (!delays || !concurrent)
		return;
	step++; /* asked or not, so that steps do not depend on what is learnt */
	if (!delay_pending()) {
		delay_write(p);
		if (used_up || !(search_everywhere() || conflict_at(p, true)) || !search_delay())
			return;
		used_up = true;
		owner = current;
	}
	explore_check(count < PENDING_MAX, "more delayed stores than there is room for");
	pending[count].address = p;
	pending[count++].old = old;
}

uintptr_t delay_load(const volatile void *p, uintptr_t value)
{
	const struct pending *seen = count && current != owner ? oldest(p) : NULL;

	return seen ? seen->old : value;
}

void delay_write(const volatile void *p)
{
	if (count && current != owner && oldest(p))
		flush();
}

void delay_release(void)
{
	if (delay_pending())
		flush();
}
