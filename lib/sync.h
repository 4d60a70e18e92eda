/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Atomics, the spinlock and the pause: the only file of the library that
 * names an atomic builtin, so that one file can be exchanged to count or to
 * explore what the others do.
 *
 * Orders are written at each use: plain names are relaxed.  Every acquire,
 * release and fence in the library names its partner in a comment.
 */
#ifndef SCTX_SYNC_H
#define SCTX_SYNC_H

#ifdef SCTX_EXPLORE
#include "explore_sync.h" /* tests/explore */
#else

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __SANITIZE_THREAD__
/* What the builtin is to it, were it not for gcc's warning that no report knows of it. */
void __tsan_atomic_thread_fence(int order);
#endif

#define sctx__load(p)                __atomic_load_n((p), __ATOMIC_RELAXED)
#define sctx__load_acquire(p)        __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sctx__store(p, v)            __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sctx__store_release(p, v)    __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sctx__add(p, v)              __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define sctx__add_acquire(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_ACQUIRE)
#define sctx__sub(p, v)              __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define sctx__add_acq_rel(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define sctx__sub_acq_rel(p, v)      __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define sctx__exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* On failure *old is what was found, as with the builtin; acquire either way. */
#define sctx__cas_acquire(p, old, v) \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define sctx__cas_acq_rel(p, old, v) \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

static inline void sctx__fence(void)
{
#ifdef __SANITIZE_THREAD__
	__tsan_atomic_thread_fence(__ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void sctx__pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Fetch a line for writing: one transfer between cores instead of two, for a
 * line that another one has.  The compiler's own would fetch it for reading
 * on x86-64.
 */
static inline void sctx__prefetch_write(const void *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

#ifdef SCTX_COUNT
#include "count_sync.h" /* bench */
#endif

/*
 * The spinlock is bit 0 of a word whose other bits only its holder changes:
 * a stream's flags, a bucket's overflow link.  Taking it returns the word
 * with the bit clear; releasing it stores the word to leave behind.
 *
 * The acquire in lock pairs with the release in unlock: the holder sees all
 * that earlier holders wrote.
 */
#define SCTX__LOCKED 1u

/* Tries before giving up the processor, to a holder that may have lost its own. */
#define SCTX__SPINS 128

#define SCTX__DEFINE_SPINLOCK(name, type)                                        \
	static inline type sctx__lock_##name(type *word)                         \
	{                                                                        \
		for (unsigned int spins = 0;; spins++) {                         \
			type seen = sctx__load(word) & ~(type)SCTX__LOCKED;      \
                                                                                 \
			if (sctx__cas_acquire(word, &seen, seen | SCTX__LOCKED)) \
				return seen;                                     \
			if (spins < SCTX__SPINS)                                 \
				sctx__pause();                                   \
			else                                                     \
				sched_yield();                                   \
		}                                                                \
	}                                                                        \
                                                                                 \
	static inline void sctx__unlock_##name(type *word, type leave)           \
	{                                                                        \
		sctx__store_release(word, leave & ~(type)SCTX__LOCKED);          \
	}

SCTX__DEFINE_SPINLOCK(u32, uint32_t)
SCTX__DEFINE_SPINLOCK(word, uintptr_t)

#endif /* !SCTX_EXPLORE */
#endif /* SCTX_SYNC_H */
