/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The counted build (-DSCTX_COUNT, `make bench-cost`): what sync.h has is
 * counted where it is used, by thread.  Included by sync.h alone, in that
 * build alone.  liburcu's and the allocator's own operations do not pass here.
 *
 * Shared stores are the stores through sync.h: to memory that other threads read,
 * even if only this thread writes it.
 */
#ifndef BENCH_COUNT_SYNC_H
#define BENCH_COUNT_SYNC_H

#include <stdint.h>

#define SCTX__COUNT_THREADS 256

struct sctx__counts {
	uint64_t rmw;
	uint64_t fences;
	uint64_t stores;
} __attribute__((aligned(64)));

/* Weak: one of each, whichever object files are linked. */
struct sctx__counts sctx__counts[SCTX__COUNT_THREADS] __attribute__((weak));
unsigned int sctx__counts_used __attribute__((weak));
__thread struct sctx__counts *sctx__counts_own __attribute__((weak));

/* The calling thread's; after 256 threads they share. */
static inline struct sctx__counts *sctx__counts_self(void)
{
	if (!sctx__counts_own) {
		unsigned int n = __atomic_fetch_add(&sctx__counts_used, 1, __ATOMIC_RELAXED);

		sctx__counts_own = &sctx__counts[n % SCTX__COUNT_THREADS];
	}
	return sctx__counts_own;
}

#define SCTX__COUNTED(what, expr) \
	(__atomic_fetch_add(&sctx__counts_self()->what, 1, __ATOMIC_RELAXED), (expr))

#undef sctx__store
#undef sctx__store_release
#undef sctx__add
#undef sctx__add_acquire
#undef sctx__sub
#undef sctx__add_acq_rel
#undef sctx__sub_acq_rel
#undef sctx__exchange_acq_rel
#undef sctx__cas_acquire
#undef sctx__cas_acq_rel
#undef sctx__cas_pair_acq_rel

#define sctx__store(p, v) SCTX__COUNTED(stores, __atomic_store_n((p), (v), __ATOMIC_RELAXED))
#define sctx__store_release(p, v) \
	SCTX__COUNTED(stores, __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define sctx__add(p, v)         SCTX__COUNTED(rmw, __atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define sctx__add_acquire(p, v) SCTX__COUNTED(rmw, __atomic_fetch_add((p), (v), __ATOMIC_ACQUIRE))
#define sctx__sub(p, v)         SCTX__COUNTED(rmw, __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED))
#define sctx__add_acq_rel(p, v) SCTX__COUNTED(rmw, __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL))
#define sctx__sub_acq_rel(p, v) SCTX__COUNTED(rmw, __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define sctx__exchange_acq_rel(p, v) \
	SCTX__COUNTED(rmw, __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define sctx__cas_acquire(p, old, v)                                                             \
	SCTX__COUNTED(rmw, __atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQUIRE, \
						       __ATOMIC_ACQUIRE))
#define sctx__cas_acq_rel(p, old, v)                                                             \
	SCTX__COUNTED(rmw, __atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, \
						       __ATOMIC_ACQUIRE))
#define sctx__cas_pair_acq_rel(p, old, v) SCTX__COUNTED(rmw, sctx__cas_whole((p), (old), (v)))
#define sctx__add_own(p, v)               SCTX__COUNTED(stores, sctx__add_own((p), (v)))
#define sctx__fence()                     SCTX__COUNTED(fences, sctx__fence())

#endif /* BENCH_COUNT_SYNC_H */
