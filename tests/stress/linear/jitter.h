/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's atomics, each with a pause before it now and then: on few
 * processors threads that run flat out seldom meet inside an operation of
 * some 20 ns.  Built in front of the library's own text:
 *
 *   make CPPFLAGS="-iquote lib -include tests/stress/linear/jitter.h" B=build/jitter
 *
 * Only time is added: what goes wrong here can go wrong without.
 */
#ifndef LINEAR_JITTER_H
#define LINEAR_JITTER_H

#include "base/sync.h"

static __thread uint32_t sctx__jitter_state __attribute__((unused));

/* Mostly nothing, sometimes a while, seldom the processor. */
static inline void sctx__jitter(void)
{
	uint32_t x = sctx__jitter_state;

	if (!x)
		x = (uint32_t)(uintptr_t)&sctx__jitter_state | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	sctx__jitter_state = x;
	if (x % 64 == 0)
		sched_yield();
	else if (x % 8 == 0)
		for (uint32_t n = x >> 8 & 63; n; n--)
			sctx__pause();
}

#undef sctx__load
#undef sctx__load_acquire
#undef sctx__store
#undef sctx__store_release
#undef sctx__add
#undef sctx__add_acquire
#undef sctx__cas_acq_rel
#define sctx__load(p)             (sctx__jitter(), __atomic_load_n((p), __ATOMIC_RELAXED))
#define sctx__load_acquire(p)     (sctx__jitter(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define sctx__store(p, v)         (sctx__jitter(), __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define sctx__store_release(p, v) (sctx__jitter(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define sctx__add(p, v)           (sctx__jitter(), __atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define sctx__add_acquire(p, v)   (sctx__jitter(), __atomic_fetch_add((p), (v), __ATOMIC_ACQUIRE))
#define sctx__cas_acq_rel(p, old, v) \
	(sctx__jitter(),             \
	 __atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))

#endif /* LINEAR_JITTER_H */
