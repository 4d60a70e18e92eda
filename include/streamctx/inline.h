/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The read side, compiled into its caller: the read section and the lookup.
 * Included by streamctx.h where SCTX_INLINE is defined, and by the library
 * itself through lib/rcu.h, so that there is one text of it.
 *
 * The caller's flavour must be the library's: pkg-config gives the
 * definition (SCTX_RCU_BP, SCTX_RCU_QSBR, SCTX_RCU_C11; none means memb), and
 * a program built for another flavour does not link, for want of the
 * sctx__rcu_flavour_* symbol named below.
 */
#ifndef STREAMCTX_INLINE_H
#define STREAMCTX_INLINE_H

#include <streamctx.h>

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#if defined(SCTX_RCU_BP)
#include <urcu/urcu-bp.h>
#define SCTX__FLAVOUR sctx__rcu_flavour_bp
#elif defined(SCTX_RCU_QSBR)
#include <urcu/urcu-qsbr.h>
#define SCTX__FLAVOUR sctx__rcu_flavour_qsbr
#elif defined(SCTX_RCU_C11)
#define SCTX__FLAVOUR sctx__rcu_flavour_c11
#else
#include <urcu/urcu-memb.h>
#define SCTX__FLAVOUR sctx__rcu_flavour_memb
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* lib/sync.h has its own definition, for the builds that count or explore. */
#ifndef sctx__load_acquire
#define sctx__load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif
#define sctx__likely(x)   __builtin_expect(!!(x), 1)
#define sctx__unlikely(x) __builtin_expect(!!(x), 0)

/* Exported for this header only. */
SCTX_API extern const char SCTX__FLAVOUR;
SCTX_API void sctx__reader_attach_slow(void);

/* ------------------------------------------------------- the read section */

/*
 * Each flavour: read_lock, read_unlock, and whether the thread is inside.  A
 * thread that the flavour does not know yet takes the slow path once.
 */
#if defined(SCTX_RCU_BP)

static inline void sctx__rcu_read_lock(void)
{
	if (sctx__unlikely(!URCU_TLS(urcu_bp_reader)))
		sctx__reader_attach_slow();
	urcu_bp_read_lock();
}

static inline void sctx__rcu_read_unlock(void)
{
	urcu_bp_read_unlock();
}

static inline bool sctx__rcu_read_ongoing(void)
{
	return URCU_TLS(urcu_bp_reader) && urcu_bp_read_ongoing();
}

#elif defined(SCTX_RCU_QSBR)

/*
 * qsbr knows threads, not sections; this counts them.  The end of the
 * outermost section is a quiescent state, which costs one load and a compare
 * while no grace period is under way.
 */
SCTX_API extern __thread unsigned int sctx__qsbr_nesting;

static inline void sctx__rcu_read_lock(void)
{
	if (sctx__unlikely(!URCU_TLS(urcu_qsbr_reader).ctr))
		sctx__reader_attach_slow();
	sctx__qsbr_nesting++;
	cmm_barrier();
}

static inline void sctx__rcu_read_unlock(void)
{
	cmm_barrier();
	if (--sctx__qsbr_nesting == 0)
		urcu_qsbr_quiescent_state();
}

static inline bool sctx__rcu_read_ongoing(void)
{
	return sctx__qsbr_nesting != 0;
}

#elif defined(SCTX_RCU_C11)

/* Made for checkers, not for speed: nothing is worth inlining. */
SCTX_API void sctx__rcu_read_lock(void);
SCTX_API void sctx__rcu_read_unlock(void);
SCTX_API bool sctx__rcu_read_ongoing(void);

#else /* memb */

static inline void sctx__rcu_read_lock(void)
{
	if (sctx__unlikely(!URCU_TLS(urcu_memb_reader).registered))
		sctx__reader_attach_slow();
	urcu_memb_read_lock();
}

static inline void sctx__rcu_read_unlock(void)
{
	urcu_memb_read_unlock();
}

static inline bool sctx__rcu_read_ongoing(void)
{
	return urcu_memb_read_ongoing();
}

#endif

/* -------------------------------------------------------- a stream's list */

/* The head of whatever memory of the library's own goes through limbo. */
struct sctx__block {
	struct sctx__block *next;
	void (*free_fn)(struct sctx__block *block);
};

/* The array that takes over from a stream's inline entries, 64-byte aligned. */
struct sctx__array {
	struct sctx__block block;
	uint32_t count; /* published entries; only grows */
	uint32_t capacity;
	struct sctx_entry entry[];
};

/* In sctx_stream.list: the stream is disabled, readers see it empty. */
#define SCTX__LIST_HIDDEN ((uintptr_t)32)

/* The published entries of a stream: @entry[0 .. @count), oldest first. */
struct sctx__view {
	const struct sctx_entry *entry;
	uintptr_t count;
};

/*
 * The acquires pair with the releases in lib/context.c that publish an array
 * (list), an inline entry (list) or an array's entry (count): whoever sees
 * the new value sees the entries that it covers.
 */
static inline struct sctx__view sctx__list_view(const struct sctx_stream *stream)
{
	uintptr_t list = sctx__load_acquire(&stream->list);
	struct sctx__view view = { stream->inline_entry, list };

	if (sctx__unlikely(list > SCTX_INLINE_ENTRIES)) {
		const struct sctx__array *array = (const struct sctx__array *)list;

		if (list & SCTX__LIST_HIDDEN) {
			view.count = 0;
			return view;
		}
		view.count = sctx__load_acquire(&array->count);
		view.entry = array->entry;
	}
	return view;
}

/*
 * The newest live entry that matches, with its context as it was seen: the
 * entry may be unlinked at any moment, the copy in *@ctx is what counts.  That
 * acquire pairs with the release that sctx_replace() stores a context with.
 */
static inline const struct sctx_entry *sctx__view_match(struct sctx__view view, const void *owner,
							const void *instance,
							struct sctx_context **ctx)
{
	if (sctx__unlikely(!owner && instance))
		return NULL;
	while (view.count-- > 0) {
		const struct sctx_entry *entry = &view.entry[view.count];

		if (entry->owner != owner && owner)
			continue;
		if (instance && entry->instance != instance)
			continue;
		*ctx = sctx__load_acquire(&entry->context);
		if (sctx__likely(*ctx != NULL))
			return entry;
	}
	return NULL;
}

static inline struct sctx_context *sctx__lookup(const struct sctx_stream *stream, const void *owner,
						const void *instance)
{
	struct sctx_context *ctx;

	if (sctx__unlikely(!stream))
		return NULL;
	return sctx__view_match(sctx__list_view(stream), owner, instance, &ctx) ? ctx : NULL;
}

/* ------------------------------------------------------------- public API */

#ifdef SCTX_INLINE
/* Refuses to link with a library of another flavour. */
static const char *const sctx__flavour_check __attribute__((used)) = &SCTX__FLAVOUR;

static inline void sctx_read_lock(void)
{
	sctx__rcu_read_lock();
}

static inline void sctx_read_unlock(void)
{
	sctx__rcu_read_unlock();
}

static inline struct sctx_context *sctx_lookup(const struct sctx_stream *stream, const void *owner,
					       const void *instance)
{
	return sctx__lookup(stream, owner, instance);
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_INLINE_H */
