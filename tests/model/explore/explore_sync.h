/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lib/base/sync.h as the schedule explorer has it.  Included by that file under
 * SCTX_EXPLORE, and so ahead of everything else in each of the library's
 * sources: what else of the system they use is exchanged here as well.
 *
 * Orders are not modelled: every operation is sequentially consistent.
 */
#ifndef EXPLORE_SYNC_H
#define EXPLORE_SYNC_H

#include "seam.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define EXPLORE_SITE(text)                                                             \
	({                                                                             \
		static const struct explore_site here_ = { __FILE__, __LINE__, text }; \
		&here_;                                                                \
	})

/* ----------------------------------------------------------------- atomics */

#define EXPLORE_LOAD(p, text)                                                       \
	({                                                                          \
		__auto_type p_ = (p);                                               \
		(__typeof__(*p_))explore_load(p_, sizeof(*p_), EXPLORE_SITE(text)); \
	})
#define EXPLORE_STORE(p, v, text)                                                  \
	({                                                                         \
		__auto_type p_ = (p);                                              \
		__typeof__(*p_) v_ = (v);                                          \
		explore_store(p_, sizeof(*p_), (uintptr_t)v_, EXPLORE_SITE(text)); \
	})
#define EXPLORE_RMW(fn, p, v, text)                                                      \
	({                                                                               \
		__auto_type p_ = (p);                                                    \
		__typeof__(*p_) v_ = (v);                                                \
		(__typeof__(*p_))fn(p_, sizeof(*p_), (uintptr_t)v_, EXPLORE_SITE(text)); \
	})
#define EXPLORE_CAS(p, old, v, text)                                                             \
	({                                                                                       \
		__auto_type p_ = (p);                                                            \
		__auto_type o_ = (old);                                                          \
		__typeof__(*p_) v_ = (v);                                                        \
		uintptr_t seen_ = (uintptr_t)*o_;                                                \
		bool same_ =                                                                     \
			explore_cas(p_, sizeof(*p_), &seen_, (uintptr_t)v_, EXPLORE_SITE(text)); \
		*o_ = (__typeof__(*p_))seen_;                                                    \
		same_;                                                                           \
	})

#define sctx__load(p)             EXPLORE_LOAD(p, "load " #p)
#define sctx__load_acquire(p)     EXPLORE_LOAD(p, "load " #p)
#define sctx__store(p, v)         EXPLORE_STORE(p, v, "store " #p)
#define sctx__store_release(p, v) EXPLORE_STORE(p, v, "store " #p)
#define sctx__add(p, v)           EXPLORE_RMW(explore_add, p, v, "add " #p)
#define sctx__add_acquire(p, v)   EXPLORE_RMW(explore_add, p, v, "add " #p)
#define sctx__add_acq_rel(p, v)   (explore_release(), EXPLORE_RMW(explore_add, p, v, "add " #p))
#define sctx__sub(p, v)           EXPLORE_RMW(explore_add, p, (__typeof__(*(p)))-(v), "sub " #p)
#define sctx__exchange_acq_rel(p, v) \
	(explore_release(), EXPLORE_RMW(explore_exchange, p, v, "exchange " #p))
#define sctx__cas_acquire(p, old, v) EXPLORE_CAS(p, old, v, "cas " #p)
#define sctx__cas_acq_rel(p, old, v) (explore_release(), EXPLORE_CAS(p, old, v, "cas " #p))

static inline void sctx__add_own(int64_t *p, int64_t v)
{
	sctx__store(p, *p + v);
}

/* Addresses stand for what is there: the part's is shown by adding nothing. */
#define sctx__cas_whole_acq_rel(p, old, v, part)                                            \
	({                                                                                  \
		uint64_t seen_ = (old);                                                     \
		explore_release();                                                          \
		explore_add((part), sizeof(*(part)), 0, EXPLORE_SITE("cas " #p));           \
		explore_cas((p), 8, &seen_, (v), EXPLORE_SITE("cas " #p));                  \
	})

static inline void sctx__fence(void)
{
	explore_release();
}

static inline void sctx__pause(void)
{
}

static inline void sctx__back_off(unsigned int round)
{
	(void)round;
}

static inline void sctx__prefetch_write(const void *line)
{
	(void)line;
}

/* The spinlock: who waits for it does not run. */
#define SCTX__LOCKED 1u

#define EXPLORE_LOCK(p, text)                                                       \
	({                                                                          \
		__auto_type p_ = (p);                                               \
		(__typeof__(*p_))explore_lock(p_, sizeof(*p_), EXPLORE_SITE(text)); \
	})
#define EXPLORE_UNLOCK(p, v, text)                                       \
	({                                                               \
		__auto_type p_ = (p);                                    \
		__typeof__(*p_) v_ = (v);                                \
		explore_unlock(p_, sizeof(*p_), v_, EXPLORE_SITE(text)); \
	})

#define sctx__lock_u16(word)           EXPLORE_LOCK(word, "lock " #word)
#define sctx__lock_u32(word)           EXPLORE_LOCK(word, "lock " #word)
#define sctx__lock_word(word)          EXPLORE_LOCK(word, "lock " #word)
#define sctx__unlock_u16(word, leave)  EXPLORE_UNLOCK(word, leave, "unlock " #word)
#define sctx__unlock_u32(word, leave)  EXPLORE_UNLOCK(word, leave, "unlock " #word)
#define sctx__unlock_word(word, leave) EXPLORE_UNLOCK(word, leave, "unlock " #word)

/* -------------------------------------------------------------- the system */

static inline int explore_nothing(void)
{
	return 0;
}

#define pthread_mutex_lock(m)   explore_mutex_lock((m), EXPLORE_SITE("mutex_lock " #m))
#define pthread_mutex_unlock(m) explore_mutex_unlock((m), EXPLORE_SITE("mutex_unlock " #m))
#define pthread_cond_wait(c, m) explore_cond_wait((c), (m), false, EXPLORE_SITE("cond_wait " #c))
#define pthread_cond_timedwait(c, m, at) \
	explore_cond_wait((c), (m), ((void)(at), true), EXPLORE_SITE("cond_timedwait " #c))
#define sctx__wait_at_most(c, m, at)     ((void)(at), pthread_cond_wait((c), (m)))
#define pthread_cond_signal(c)           explore_cond_wake((c), false, EXPLORE_SITE("cond_signal " #c))
#define pthread_cond_broadcast(c)        explore_cond_wake((c), true, EXPLORE_SITE("cond_broadcast " #c))
#define pthread_create(t, attr, fn, arg) ((void)(attr), explore_create((t), (fn), (arg)))
#define pthread_join(t, result)          ((void)(result), explore_join(t))
#define pthread_key_create(key, hook)    explore_key_create((key), (hook))
#define pthread_setspecific(key, value)  ((void)(key), explore_key_set(value))

#define sched_yield()              explore_yield()
#define sched_getcpu()             explore_cpu()
#define sysconf(name)              ((void)(name), 2L)
#define getrandom(buffer, size, f) explore_random((buffer), (size))
#define clock_gettime(clock, at)   ((void)(clock), memset((at), 0, sizeof(*(at))))
#define nanosleep(nap, left)       ((void)(nap), explore_yield())
#define pthread_sigmask(how, a, b) ((void)(a), (void)(b), explore_nothing())

/* Explored threads share one of the system's, and none of them exits in a callback. */
#define pthread_setcancelstate(state, before) ((void)(state), (void)(before), explore_nothing())
#undef pthread_cleanup_push
#undef pthread_cleanup_pop
#define pthread_cleanup_push(fn, arg)         ((void)(fn), (void)(arg))
#define pthread_cleanup_pop(run)              ((void)(run))
#define pthread_setname_np(t, name)           ((void)(t), (void)(name), explore_nothing())
#define sched_setaffinity(t, size, set)       ((void)(t), (void)(size), (void)(set), explore_nothing())

/* Only a fork waits for this one. */
#define pthread_rwlock_rdlock(l) ((void)(l), explore_nothing())
#define pthread_rwlock_unlock(l) ((void)(l), explore_nothing())
/* Forks are not explored. */
#define pthread_atfork(a, b, c) ((void)(a), (void)(b), (void)(c), explore_nothing())

/* ------------------------------------------------- the library's own sizes */

#define sctx__self    (*(struct sctx__thread *)explore_self())
#define FIRST_BUCKETS explore_first_buckets

#endif /* EXPLORE_SYNC_H */
