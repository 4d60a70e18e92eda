/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The RCU seam: what the library needs of an RCU flavour.  Together with
 * streamctx/inline.h, which has the read side, the only file that includes
 * liburcu.  This file adds registration, grace periods and fork.
 *
 *   memb  default.  Readers run no fence; the grace period uses membarrier(2).
 *   bp    registers threads by itself; grace periods sleep.
 *   qsbr  the cheapest readers; idle threads call sctx_thread_offline().
 *   c11   C11 atomics only, for ThreadSanitizer and model checkers.
 *
 * A grace period orders memory: a section that sctx__rcu_synchronize() waited
 * for happens before its return, and a section that it did not wait for sees
 * everything that happened before the call.
 */
#ifndef SCTX_RCU_H
#define SCTX_RCU_H

#include "base/sync.h"

#include <streamctx/inline.h>

#if defined(SCTX_RCU_C11)
#define SCTX__HOST_CAN_REGISTER 0
#else
#define SCTX__HOST_CAN_REGISTER 1
#endif

#if defined(SCTX_RCU_BP)

#define SCTX__RCU_NAME "bp"

#include <dlfcn.h>

/*
 * bp has an exit hook of its own in every thread.  Its library must stay loaded
 * as long as they live, even if ours is unloaded.
 */
static inline void sctx__rcu_init(void)
{
	Dl_info info;

	if (dladdr((void *)urcu_bp_register, &info))
		dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* liburcu owns bp's record of a thread and handles fork itself. */
static inline void *sctx__rcu_register(void)
{
	urcu_bp_register_thread();
	return NULL;
}

static inline bool sctx__rcu_registered(void)
{
	return URCU_TLS(urcu_bp_reader) != NULL;
}

/* liburcu unregisters at thread exit. */
static inline void sctx__rcu_unregister(void)
{
}

static inline void sctx__rcu_synchronize(void)
{
	urcu_bp_synchronize_rcu();
}

static inline void sctx__rcu_online(void)
{
}

static inline void sctx__rcu_offline(void)
{
}

static inline void sctx__rcu_before_fork(void)
{
	urcu_bp_before_fork();
}

static inline void sctx__rcu_after_fork_parent(void)
{
	urcu_bp_after_fork_parent();
}

static inline void sctx__rcu_after_fork_child(void)
{
	urcu_bp_after_fork_child();
}

static inline void sctx__rcu_forget(void *reader)
{
	(void)reader;
}

static inline bool sctx__rcu_inside(void *reader)
{
	(void)reader;
	return false;
}

#else /* memb, qsbr, c11 */

#if defined(SCTX__MEMB_READY)

/* Whether the fast path of inline.h may be used with the liburcu that was loaded. */
bool sctx__rcu_is_as_assumed(void);
void sctx__rcu_init(void);

#else

static inline void sctx__rcu_init(void)
{
}

#endif

/* These flavours need nothing around fork but sctx__rcu_forget(). */
static inline void sctx__rcu_before_fork(void)
{
}

static inline void sctx__rcu_after_fork_parent(void)
{
}

static inline void sctx__rcu_after_fork_child(void)
{
}

#if defined(SCTX_RCU_C11)

#define SCTX__RCU_NAME "c11"

void *sctx__rcu_register(void);
bool sctx__rcu_registered(void);
void sctx__rcu_unregister(void);
void sctx__rcu_synchronize(void);
void sctx__rcu_forget(void *reader);
bool sctx__rcu_inside(void *reader);

static inline void sctx__rcu_online(void)
{
}

static inline void sctx__rcu_offline(void)
{
}

#elif defined(SCTX_RCU_QSBR)

#define SCTX__RCU_NAME "qsbr"

static inline bool sctx__rcu_registered(void)
{
	return URCU_TLS(urcu_qsbr_reader).registered;
}

static inline void *sctx__rcu_register(void)
{
	urcu_qsbr_register_thread();
	return &URCU_TLS(urcu_qsbr_reader);
}

static inline void sctx__rcu_unregister(void)
{
	urcu_qsbr_unregister_thread();
}

static inline void sctx__rcu_synchronize(void)
{
	urcu_qsbr_synchronize_rcu();
}

static inline void sctx__rcu_online(void)
{
	if (!URCU_TLS(urcu_qsbr_reader).ctr)
		urcu_qsbr_thread_online();
	sctx__qsbr_ctr = &URCU_TLS(urcu_qsbr_reader).ctr;
}

static inline void sctx__rcu_offline(void)
{
	if (sctx__rcu_registered() && URCU_TLS(urcu_qsbr_reader).ctr)
		urcu_qsbr_thread_offline();
}

/* In a fork's child: @reader belongs to a thread that no longer exists. */
static inline void sctx__rcu_forget(void *reader)
{
	cds_list_del(&((struct urcu_qsbr_reader *)reader)->node);
}

static inline bool sctx__rcu_inside(void *reader)
{
	(void)reader;
	return false;
}

#else /* memb */

#define SCTX__RCU_NAME "memb"

static inline bool sctx__rcu_registered(void)
{
	return URCU_TLS(urcu_memb_reader).registered;
}

static inline void *sctx__rcu_register(void)
{
	urcu_memb_register_thread();
	return &URCU_TLS(urcu_memb_reader);
}

/*
 * A thread that exits inside a section leaves it first, which wakes a grace
 * period that waits for it.  READY must not stay in the counter.
 */
static inline void sctx__rcu_unregister(void)
{
	while (urcu_memb_read_ongoing())
		urcu_memb_read_unlock();
	urcu_memb_unregister_thread();
	CMM_STORE_SHARED(URCU_TLS(urcu_memb_reader).ctr, 0);
}

static inline void sctx__rcu_synchronize(void)
{
	urcu_memb_synchronize_rcu();
	sctx__tsan_acquire(&urcu_memb_gp);
}

static inline void sctx__rcu_online(void)
{
}

static inline void sctx__rcu_offline(void)
{
}

static inline void sctx__rcu_forget(void *reader)
{
	cds_list_del(&((struct urcu_reader *)reader)->node);
}

/* A guess: whether the thread is in a section.  liburcu's stores to ctr are plain. */
static inline __attribute__((no_sanitize_thread)) bool sctx__rcu_inside(void *reader)
{
	return CMM_LOAD_SHARED(((struct urcu_reader *)reader)->ctr) & URCU_GP_CTR_NEST_MASK;
}

#endif
#endif /* !bp */

/* What the first section of a thread that RCU does not know begins with. */
void sctx__rcu_on_new_thread(void (*attach)(void));

/*
 * A section for functions with a fast path that makes no call.  The reader's
 * state is looked up once for both ends, and no other section may begin inside.
 * It may also be ended by sctx__rcu_read_unlock().
 */
#if defined(SCTX__MEMB_READY)

/* A thread's first section attaches it, and its detaching leaves the counter not ready. */
#define SCTX__READY_IS_ATTACHED 1

typedef unsigned long *sctx__reader;

static inline void sctx__rcu_unready(void)
{
	unsigned long *ctr = &URCU_TLS(urcu_memb_reader).ctr;

	if (*ctr == SCTX__MEMB_READY)
		CMM_STORE_SHARED(*ctr, 0);
}

static inline sctx__reader sctx__rcu_reader(void)
{
	return sctx__memb_counter();
}

static inline bool sctx__rcu_is_quick(sctx__reader reader)
{
	return *reader == SCTX__MEMB_READY;
}

SCTX__INLINE void sctx__rcu_quick_lock(sctx__reader reader)
{
	sctx__memb_enter(reader);
}

SCTX__INLINE void sctx__rcu_quick_unlock(sctx__reader reader)
{
	sctx__memb_leave(reader);
}

#else

#define SCTX__READY_IS_ATTACHED 0

typedef struct {
} sctx__reader;

static inline void sctx__rcu_unready(void)
{
}

static inline sctx__reader sctx__rcu_reader(void)
{
	return (sctx__reader){};
}

static inline bool sctx__rcu_is_quick(sctx__reader reader)
{
	(void)reader;
	return true;
}

SCTX__INLINE void sctx__rcu_quick_lock(sctx__reader reader)
{
	(void)reader;
	sctx__rcu_read_lock();
}

SCTX__INLINE void sctx__rcu_quick_unlock(sctx__reader reader)
{
	(void)reader;
	sctx__rcu_read_unlock();
}

#endif

/*
 * A quiescent state for qsbr, after a call that opened no section.  @reader is
 * NULL if the library did not register the calling thread.
 */
static inline void sctx__rcu_quiescent(const void *reader)
{
#if defined(SCTX_RCU_QSBR)
	unsigned long seen = reader ? ((const struct urcu_qsbr_reader *)reader)->ctr : 0;

	if (seen && seen != CMM_LOAD_SHARED(urcu_qsbr_gp.ctr) && sctx__qsbr_nesting == 0)
		urcu_qsbr_quiescent_state();
#else
	(void)reader;
#endif
}

#endif /* SCTX_RCU_H */
