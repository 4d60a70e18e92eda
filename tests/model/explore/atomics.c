/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's atomic operations and its spinlock.  The access itself is made
 * here, where it is not taken for a plain one (memory.c).
 */
#include "behaviour.h"
#include "delay.h"
#include "engine.h"
#include "ledger.h"
#include "memory.h"

#define LOCKED 1u

/* Of a value: what fits into an operand of @size. */
static uintptr_t fit(uintptr_t v, size_t size)
{
	return size == 8 ? v : v & (((uintptr_t)1 << 8 * size) - 1);
}

static uintptr_t look(const volatile void *p, size_t size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)p;
	case 2:
		return *(const volatile uint16_t *)p;
	case 4:
		return *(const volatile uint32_t *)p;
	default:
		return *(const volatile uint64_t *)p;
	}
}

static uintptr_t get(const volatile void *p, size_t size)
{
	uintptr_t value = delay_load(p, look(p, size));

	behaviour_saw(value);
	return value;
}

static void put(volatile void *p, size_t size, uintptr_t v)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)p = (uint8_t)v;
		break;
	case 2:
		*(volatile uint16_t *)p = (uint16_t)v;
		break;
	case 4:
		*(volatile uint32_t *)p = (uint32_t)v;
		break;
	default:
		*(volatile uint64_t *)p = v;
	}
}

static void point(const volatile void *p, size_t size, bool write, const struct explore_site *site)
{
	engine_point(p, write, site);
	memory_check(p, size, site->what);
}

/* Of an operation that reads and writes at once: it sees the newest value. */
static void point_rmw(const volatile void *p, size_t size, const struct explore_site *site)
{
	point(p, size, true, site);
	delay_write(p);
}

uintptr_t explore_load(const volatile void *p, size_t size, const struct explore_site *site)
{
	point(p, size, false, site);
	return get(p, size);
}

void explore_store(volatile void *p, size_t size, uintptr_t v, const struct explore_site *site)
{
	point(p, size, true, site);
	delay_store(p, look(p, size));
	put(p, size, v);
	ledger_stored(p, v);
}

uintptr_t explore_add(volatile void *p, size_t size, uintptr_t v, const struct explore_site *site)
{
	uintptr_t old;

	point_rmw(p, size, site);
	old = get(p, size);
	put(p, size, old + v);
	return old;
}

uintptr_t explore_exchange(volatile void *p, size_t size, uintptr_t v,
			   const struct explore_site *site)
{
	uintptr_t old;

	point_rmw(p, size, site);
	old = get(p, size);
	put(p, size, v);
	return old;
}

bool explore_cas(volatile void *p, size_t size, uintptr_t *old, uintptr_t v,
		 const struct explore_site *site)
{
	uintptr_t seen;

	point_rmw(p, size, site);
	seen = get(p, size);
	if (seen == fit(*old, size)) {
		put(p, size, v);
		ledger_stored(p, v);
		return true;
	}
	*old = seen;
	return false;
}

static bool lock_free(struct thread *self)
{
	memory_check(self->waits_for, self->size, "wait for the lock");
	return !(look(self->waits_for, self->size) & LOCKED);
}

uintptr_t explore_lock(volatile void *p, size_t size, const struct explore_site *site)
{
	uintptr_t seen;

	point_rmw(p, size, site);
	current->waits_for = p;
	current->size = size;
	if (!lock_free(current))
		engine_wait(lock_free, site->what);
	delay_write(p); /* whoever unlocked it meanwhile: what he did is seen now */
	seen = get(p, size);
	put(p, size, seen | LOCKED);
	return seen;
}

void explore_unlock(volatile void *p, size_t size, uintptr_t leave, const struct explore_site *site)
{
	point(p, size, true, site);
	explore_check(look(p, size) & LOCKED, "%s: nobody holds it", site->what);
	delay_store(p, look(p, size));
	put(p, size, leave & ~(uintptr_t)LOCKED);
}

void explore_release(void)
{
	delay_release();
}
