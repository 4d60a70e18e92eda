/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the liburcu that was loaded takes a reader's counter for what inline.h
 * does.  liburcu's inline functions are part of its ABI.  SCTX__MEMB_READY is not:
 * it is a value of ours that liburcu must take for "outside".  So this file calls the
 * functions that liburcu exports, which know its masks.
 */
#include "rcu/rcu.h"

#if defined(SCTX__MEMB_READY)

/* Not the inline functions, which the header puts in their place. */
#undef urcu_memb_read_lock
#undef urcu_memb_read_unlock
#undef urcu_memb_read_ongoing
extern void urcu_memb_read_lock(void);
extern void urcu_memb_read_unlock(void);
extern int urcu_memb_read_ongoing(void);

static unsigned long counter(void)
{
	return CMM_LOAD_SHARED(URCU_TLS(urcu_memb_reader).ctr);
}

static unsigned long nesting(void)
{
	return counter() & URCU_GP_CTR_NEST_MASK;
}

/* Two sections, one in the other, from a counter of @outside. */
static bool sections_are_as_assumed(unsigned long outside)
{
	bool good;

	CMM_STORE_SHARED(URCU_TLS(urcu_memb_reader).ctr, outside);
	good = !urcu_memb_read_ongoing();
	urcu_memb_read_lock();
	good &= counter() == CMM_LOAD_SHARED(urcu_memb_gp.ctr) && nesting() == URCU_GP_COUNT;
	urcu_memb_read_lock();
	good &= nesting() == 2 * URCU_GP_COUNT && urcu_memb_read_ongoing();
	urcu_memb_read_unlock();
	urcu_memb_read_unlock();
	return good && nesting() == 0 && !urcu_memb_read_ongoing();
}

/* Tried on a thread that liburcu may know; if it is in a section, nothing can be tried. */
bool sctx__rcu_is_as_assumed(void)
{
	bool known = URCU_TLS(urcu_memb_reader).registered, good;
	unsigned long before = counter();

	if (before & URCU_GP_CTR_NEST_MASK)
		return false;
	if (!known)
		urcu_memb_register_thread();
	good = sections_are_as_assumed(0) && sections_are_as_assumed(SCTX__MEMB_READY);
	CMM_STORE_SHARED(URCU_TLS(urcu_memb_reader).ctr, before);
	if (!known)
		urcu_memb_unregister_thread();
	return good;
}

#endif
