/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Atomics, the spinlock and the pause.  This is the library's only file that
 * names an atomic builtin, so counting and exploring builds replace one file.
 *
 * The order is in the name; a name without one is relaxed.  Every acquire,
 * release and fence in the library names its partner in a comment.
 */
#ifndef SCTX_SYNC_H
#define SCTX_SYNC_H

#ifdef SCTX_EXPLORE
#include "explore_sync.h" /* tests/model/explore */
#else

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __SANITIZE_THREAD__
/* The builtin compiles to this, but gcc warns that TSan does not support it. */
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
#define sctx__exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)

/* On failure *old gets the value found, as with the builtin.  Acquire either way. */
#define sctx__cas_acquire(p, old, v) \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
#define sctx__cas_acq_rel(p, old, v) \
	__atomic_compare_exchange_n((p), (old), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/* Add to a counter that only this thread writes and others load. */
static inline void sctx__add_own(int64_t *p, int64_t v)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__("addq %1, %0" : "+m"(*p) : "er"(v)); /* the builtins take three instructions */
#else
	sctx__store(p, *p + v);
#endif
}

/* Whether the 16 bits at @p are @v: an acquire load and a comparison. */
static inline bool sctx__is_u16_acquire(const void *p, uint16_t v)
{
	typedef uint16_t __attribute__((may_alias)) half;

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	bool is;

	__asm__ volatile("cmpw %2, %1" /* one instruction, again */
			 : "=@cce"(is)
			 : "m"(*(const half *)p), "r"(v)
			 : "memory");
	return is;
#else
	return sctx__load_acquire((const half *)p) == v;
#endif
}

/*
 * Compare-and-swap of eight bytes whose parts are accessed separately elsewhere.  Hardware
 * orders accesses of mixed sizes; C does not say, and ThreadSanitizer goes by address, so
 * it gets an acquire of @part.  On failure the caller loads what it needs.
 */
typedef uint64_t __attribute__((may_alias)) sctx__whole;

#define sctx__cas_whole_acq_rel(p, old, v, part) \
	(sctx__cas_whole((p), (old), (v)) && (sctx__tsan_acquire(part), true))

static inline bool sctx__cas_whole(void *p, uint64_t old, uint64_t v)
{
	return sctx__cas_acq_rel((sctx__whole *)p, &old, v);
}

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
 * Prefetch a line for writing before it is read and then written: a line that
 * another core owns is then transferred once instead of twice.  The compiler's
 * builtin would prefetch it for reading on x86-64.
 */
static inline void sctx__prefetch_write(const void *line)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
	__builtin_prefetch(line, 1);
#endif
}

/*
 * Back off before retrying a lost race.  Two cores that alternate on a line pay
 * a transfer for each operation; if the loser stays away for a microsecond or
 * two, the winner runs at full speed meanwhile.
 */
#define SCTX__BACK_OFF_PAUSES 128 /* in round 0; doubled in each of the next three */

static inline void sctx__back_off(unsigned int round)
{
	for (unsigned int i = SCTX__BACK_OFF_PAUSES << (round < 3 ? round : 3); i > 0; i--)
		sctx__pause();
}

#ifdef SCTX_COUNT
#include "count_sync.h" /* bench */
#endif

/*
 * The spinlock is bit 0 of a word whose other bits only the holder changes: a
 * stream's flags, a bucket's overflow link.  Lock returns the word with the bit
 * clear; unlock stores the new word.
 *
 * The acquire in lock pairs with the release in unlock: a holder sees whatever
 * earlier holders wrote.
 */
#define SCTX__LOCKED      1u

/* Rounds before yielding: the holder may have been preempted. */
#define SCTX__LOCK_ROUNDS 4

#define SCTX__DEFINE_SPINLOCK(name, type)                                        \
	static inline type sctx__lock_##name(type *word)                         \
	{                                                                        \
		sctx__prefetch_write(word);                                      \
		for (unsigned int round = 0;; round++) {                         \
			type seen = sctx__load(word);                            \
                                                                                 \
			if (!(seen & SCTX__LOCKED) &&                            \
			    sctx__cas_acquire(word, &seen, seen | SCTX__LOCKED)) \
				return seen;                                     \
			if (round < SCTX__LOCK_ROUNDS)                           \
				sctx__back_off(round);                           \
			else                                                     \
				sched_yield();                                   \
		}                                                                \
	}                                                                        \
                                                                                 \
	static inline void sctx__unlock_##name(type *word, type leave)           \
	{                                                                        \
		sctx__store_release(word, leave & ~(type)SCTX__LOCKED);          \
	}

SCTX__DEFINE_SPINLOCK(u16, uint16_t)
SCTX__DEFINE_SPINLOCK(u32, uint32_t)
SCTX__DEFINE_SPINLOCK(word, uintptr_t)

#endif /* !SCTX_EXPLORE */
#endif /* SCTX_SYNC_H */
