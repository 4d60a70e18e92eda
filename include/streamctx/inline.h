/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The read side, compiled into its caller: the read section and the lookup.
 * streamctx.h includes it if SCTX_INLINE is defined.  The library includes it
 * through lib/rcu/rcu.h, so both compile the same text.
 *
 * The caller's flavour must be the library's: pkg-config gives the
 * definition (SCTX_RCU_BP, SCTX_RCU_QSBR, SCTX_RCU_C11; none means memb).  A
 * program that was compiled for another flavour, or for another version of what
 * is inlined, does not link or load: it lacks the symbol SCTX__INLINE_ABI.
 */
#ifndef STREAMCTX_INLINE_H
#define STREAMCTX_INLINE_H

#include <streamctx.h>

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#ifndef __cplusplus
extern long syscall(long number, ...); /* liburcu calls it, and strict C hides it */
#endif
#if defined(SCTX_RCU_BP)
#include <urcu/urcu-bp.h>
#define SCTX__INLINE_ABI sctx__inline_abi_1_bp
#elif defined(SCTX_RCU_QSBR)
#include <urcu/urcu-qsbr.h>
#define SCTX__INLINE_ABI sctx__inline_abi_1_qsbr
#elif defined(SCTX_RCU_C11)
#define SCTX__INLINE_ABI sctx__inline_abi_1_c11
#else
#include <urcu/urcu-memb.h>
#define SCTX__INLINE_ABI sctx__inline_abi_1_memb
#endif

/*
 * ThreadSanitizer sees neither liburcu's code nor membarrier(2).  Annotations
 * order a section before the end of the grace period that waited for it, and
 * nothing else: an acquire in the section would hide races.
 */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define SCTX__TSAN
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define SCTX__TSAN
#endif
#ifdef SCTX__TSAN
#include <sanitizer/tsan_interface.h>
#define sctx__tsan_release(p) __tsan_release(p)
#define sctx__tsan_acquire(p) __tsan_acquire(p)
#else
#define sctx__tsan_release(p) ((void)(p))
#define sctx__tsan_acquire(p) ((void)(p))
#endif

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* lib/base/sync.h defines these itself in builds that count or explore. */
#ifndef sctx__load
#define sctx__load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif
#ifndef sctx__load_acquire
#define sctx__load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif
/* Force inlining of small hot functions. */
#define SCTX__INLINE      static inline __attribute__((always_inline))
#define sctx__likely(x)   __builtin_expect(!!(x), 1)
#define sctx__unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Initial-exec TLS is reached in one instruction, also in a library that was
 * loaded with dlopen().  liburcu's TLS cannot be: its alignment does not fit
 * into the static TLS that a running process has left, so a shared object
 * reaches it by a function call.  There our TLS keeps its address.
 */
#define SCTX__TLS __thread __attribute__((tls_model("initial-exec")))
#if defined(__PIC__) && !defined(__PIE__)
#define SCTX__SHARED_OBJECT 1
#else
#define SCTX__SHARED_OBJECT 0
#endif

/* Exported for this header only. */
SCTX_API extern const char SCTX__INLINE_ABI;
SCTX_API void sctx__reader_attach_slow(void);
/* The empty stream in which a lookup on NULL finds nothing. */
SCTX_API extern const struct sctx_stream sctx__no_stream;

/* ------------------------------------------------------- the read section */

/*
 * Each flavour defines read_lock, read_unlock and read_ongoing.  A thread that
 * is not registered yet takes the slow path once.
 */
#if defined(SCTX_RCU_BP)

SCTX__INLINE void sctx__rcu_read_lock(void)
{
	if (sctx__unlikely(!URCU_TLS(urcu_bp_reader)))
		sctx__reader_attach_slow();
	urcu_bp_read_lock();
}

SCTX__INLINE void sctx__rcu_read_unlock(void)
{
	urcu_bp_read_unlock();
}

SCTX__INLINE bool sctx__rcu_read_ongoing(void)
{
	return URCU_TLS(urcu_bp_reader) && urcu_bp_read_ongoing();
}

#elif defined(SCTX_RCU_QSBR)

/*
 * qsbr knows threads, not sections, so we count the nesting.  The end of the
 * outermost section is a quiescent state: a load and a compare while no grace
 * period is under way.
 */
SCTX_API extern SCTX__TLS unsigned int sctx__qsbr_nesting;
/* The thread's counter in liburcu.  0, or a counter of no thread, is "offline". */
SCTX_API extern SCTX__TLS unsigned long *sctx__qsbr_ctr;

/* A section has ended; if it was the outermost, a grace period may wait for it. */
SCTX_API void sctx__qsbr_section_ended(void);

SCTX__INLINE const unsigned long *sctx__qsbr_counter(void)
{
	return SCTX__SHARED_OBJECT ? sctx__qsbr_ctr : &URCU_TLS(urcu_qsbr_reader).ctr;
}

SCTX__INLINE void sctx__rcu_read_lock(void)
{
	if (sctx__unlikely(!*sctx__qsbr_counter()))
		sctx__reader_attach_slow();
	sctx__qsbr_nesting++;
	cmm_barrier();
}

SCTX__INLINE void sctx__rcu_read_unlock(void)
{
	cmm_barrier();
	if (sctx__unlikely(--sctx__qsbr_nesting |
			   (*sctx__qsbr_counter() ^ CMM_LOAD_SHARED(urcu_qsbr_gp.ctr))))
		sctx__qsbr_section_ended();
}

SCTX__INLINE bool sctx__rcu_read_ongoing(void)
{
	return sctx__qsbr_nesting != 0;
}

#elif defined(SCTX_RCU_C11)

/* For checkers, not for speed: nothing is inlined. */
SCTX_API void sctx__rcu_read_lock(void);
SCTX_API void sctx__rcu_read_unlock(void);
SCTX_API bool sctx__rcu_read_ongoing(void);

#else /* memb */

/*
 * liburcu's section, with its tests folded into one.  Between sections the
 * thread's counter holds READY, which liburcu takes for "outside" and which
 * means: registered, on a kernel with membarrier(2), not nested.  Any other
 * value (a new thread, an outer section, the host's own use of liburcu) takes
 * the slow path, which is liburcu's.
 *
 * Without membarrier(2), or with a liburcu that reads the counter in another way
 * (lib/rcu/assumed.c), the slow path nests twice, so that the end of the section
 * never takes the fast path.
 */
#define SCTX__MEMB_READY (1UL << 62)

SCTX_API void sctx__memb_read_lock_slow(void);
SCTX_API void sctx__memb_read_unlock_slow(void);
/* A grace period sleeps.  @section is the counter's value in the section that just ended. */
SCTX_API void sctx__memb_section_ended(unsigned long section);
/* The thread's counter in liburcu, set by its first slow path. */
SCTX_API extern SCTX__TLS unsigned long *sctx__memb_ctr;

SCTX__INLINE unsigned long *sctx__memb_counter(void)
{
	return SCTX__SHARED_OBJECT ? sctx__memb_ctr : &URCU_TLS(urcu_memb_reader).ctr;
}

/* From READY, and back. */
SCTX__INLINE void sctx__memb_enter(unsigned long *ctr)
{
	/* The grace period's membarrier() orders this, as in liburcu. */
	CMM_STORE_SHARED(*ctr, CMM_LOAD_SHARED(urcu_memb_gp.ctr));
	cmm_barrier();
}

SCTX__INLINE void sctx__memb_leave(unsigned long *ctr)
{
	unsigned long section = *ctr;

	sctx__tsan_release(&urcu_memb_gp); /* pairs with sctx__rcu_synchronize()'s */
	cmm_barrier();
	CMM_STORE_SHARED(*ctr, SCTX__MEMB_READY);
	cmm_barrier();
	if (sctx__unlikely(CMM_LOAD_SHARED(urcu_memb_gp.futex) == -1))
		sctx__memb_section_ended(section);
}

SCTX__INLINE void sctx__rcu_read_lock(void)
{
	unsigned long *ctr = sctx__memb_counter();

	if (sctx__likely(*ctr == SCTX__MEMB_READY))
		sctx__memb_enter(ctr);
	else
		sctx__memb_read_lock_slow();
}

SCTX__INLINE void sctx__rcu_read_unlock(void)
{
	unsigned long *ctr = sctx__memb_counter();

	if (sctx__likely((uint32_t)(*ctr & URCU_GP_CTR_NEST_MASK) == URCU_GP_COUNT))
		sctx__memb_leave(ctr);
	else
		sctx__memb_read_unlock_slow();
}

SCTX__INLINE bool sctx__rcu_read_ongoing(void)
{
	return urcu_memb_read_ongoing();
}

#endif

/* -------------------------------------------------------- a stream's list */

/* The head of the library's own memory that goes through limbo. */
struct sctx__block {
	struct sctx__block *next;
	__extension__ union {
		void (*free_fn)(struct sctx__block *block);
		size_t size; /* in limbo, of plain memory */
	};
};

/*
 * The array that replaces a stream's inline entries, 64-byte aligned.
 *
 *   +-------+-------+----------+--------------------+--------------------------
 *   | block | count | capacity | tag, a byte each   | entry {owner, ...} ...
 *   +-------+-------+----------+--------------------+--------------------------
 *
 * Tags are compared 8 or 16 at a time; only entries whose tag matches are read.
 */
struct sctx__array {
	struct sctx__block block;
	uint32_t count;    /* published entries; only grows */
	uint32_t capacity; /* a multiple of 8 */
	/* uint64_t tag[capacity / 8]; entry n's tag is byte n % 8 of word n / 8 */
	/* struct sctx_entry entry[capacity] */
};

/*
 * sctx_stream.list is a count of inline entries, or the address of an array.
 * HIDDEN is set if the stream is disabled: readers see it empty.
 */
#define SCTX__LIST_HIDDEN ((uintptr_t)1 << 63)
#define SCTX__LIST_ARRAY  ((uintptr_t)64)

/* One signed comparison: with HIDDEN the word is negative. */
SCTX__INLINE bool sctx__list_is_array(uintptr_t list)
{
	return (intptr_t)list >= (intptr_t)SCTX__LIST_ARRAY;
}

/* The published entries of a stream: @entry[0 .. @count), oldest first. */
struct sctx__view {
	const struct sctx_entry *entry;
	const uint64_t *tag; /* NULL: inline entries have none */
	uintptr_t count;
};

/*
 * The acquire pairs with the release of count in lib/stream/list.h: a reader of
 * the new count sees the entries that it covers, and their tags.
 */
SCTX__INLINE struct sctx__view sctx__array_view(uintptr_t list)
{
	const struct sctx__array *array = (const struct sctx__array *)list;
	const uint64_t *tag = (const uint64_t *)(array + 1);
	struct sctx__view view = { (const struct sctx_entry *)(tag + array->capacity / 8), tag,
				   sctx__load_acquire(&array->count) };

	return view;
}

/*
 * The acquire pairs with the releases in lib/stream/list.h that publish an array or
 * an inline entry (list).
 */
SCTX__INLINE struct sctx__view sctx__list_view(const struct sctx_stream *stream)
{
	uintptr_t list = sctx__load_acquire(&stream->list);
	struct sctx__view view = { stream->inline_entry, NULL, list };

	if (list & SCTX__LIST_HIDDEN)
		view.count = 0;
	else if (sctx__list_is_array(list))
		view = sctx__array_view(list);
	return view;
}

/* An entry's owner and instance are what they were published as. */
SCTX__INLINE bool sctx__entry_is(const struct sctx_entry *entry, const void *owner,
				 const void *instance)
{
	return entry->owner == owner && (!instance || entry->instance == instance);
}

/*
 * NULL if the context was unlinked.  The acquire pairs with the releases in
 * lib/stream/context.c that replace and that unlink a context: a reader that
 * sees it unlinked sees what was inserted before.
 */
SCTX__INLINE struct sctx_context *sctx__entry_load(const struct sctx_entry *entry)
{
	return sctx__load_acquire(&entry->context);
}

/* 7 bits of the owner's hash, and a bit that unwritten entries do not have. */
SCTX__INLINE uint64_t sctx__tag(const void *owner)
{
	return (uint64_t)(uintptr_t)owner * 0x9e3779b97f4a7c15 >> 57 | 0x80;
}

#define SCTX__TAG_ONES  0x0101010101010101
#define SCTX__TAG_HIGHS 0x8080808080808080

/*
 * Compare the SCTX__TAG_STEP bytes at @tag with those of @tags.  The result has
 * SCTX__TAG_BITS bits for each byte.  If an array has only 8 tags, 16 bytes
 * reach into its entries; the caller ignores bits beyond the count.
 *
 * A vector load need not be atomic as a whole, only each word of it.
 * ThreadSanitizer builds load words instead.
 */
#if defined(__SSE2__) && !defined(SCTX__TSAN)
#define SCTX__TAG_STEP 16
#define SCTX__TAG_BITS 1

SCTX__INLINE uint64_t sctx__tags_found(const uint64_t *tag, uint64_t tags)
{
	__m128i x;

	__asm__("movdqu %1, %0" : "=x"(x) : "m"(*(const uint64_t(*)[2])tag));
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi64x((int64_t)tags)));
}
#else
/*
 * A byte of @x is 0 if the tag matches; its high bit is then set in the result.
 * Rarely it is also set for the byte above one that matches.  That is harmless,
 * since the entries are compared.
 */
#define SCTX__TAG_STEP 8
#define SCTX__TAG_BITS 8

SCTX__INLINE uint64_t sctx__tags_found(const uint64_t *tag, uint64_t tags)
{
	uint64_t x = sctx__load(tag) ^ tags;

	return (x - SCTX__TAG_ONES) & ~x & SCTX__TAG_HIGHS;
}
#endif

/* sctx__view_last() by tags, for an array that has entries. */
SCTX__INLINE const struct sctx_entry *sctx__array_last(struct sctx__view view, const void *owner,
						       const void *instance)
{
	const uint64_t tags = sctx__tag(owner) * SCTX__TAG_ONES;
	uintptr_t first = (view.count - 1) & ~(uintptr_t)(SCTX__TAG_STEP - 1);

	for (;; first -= SCTX__TAG_STEP) {
		uint64_t found = sctx__tags_found(&view.tag[first / 8], tags);

		while (found) {
			uintptr_t bit = 63 ^ (uintptr_t)__builtin_clzll(found);
			const struct sctx_entry *entry = &view.entry[first + bit / SCTX__TAG_BITS];

			if (sctx__likely(first + bit / SCTX__TAG_BITS < view.count &&
					 sctx__entry_is(entry, owner, instance)))
				return entry;
			found ^= (uint64_t)1 << bit;
		}
		if (!first)
			return NULL;
	}
}

/* The newest matching entry of a non-NULL @owner.  Its context may be unlinked. */
SCTX__INLINE const struct sctx_entry *sctx__view_last(struct sctx__view view, const void *owner,
						      const void *instance)
{
	/* Up to four, a plain scan is faster: no address depends on a load. */
	if (view.tag && view.count > 4)
		return sctx__array_last(view, owner, instance);
	while (view.count-- > 0)
		if (sctx__entry_is(&view.entry[view.count], owner, instance))
			return &view.entry[view.count];
	return NULL;
}

/*
 * The newest match of a non-NULL @owner that has a context.  *@gone is set if a
 * match without a context was passed.
 */
SCTX__INLINE const struct sctx_entry *sctx__view_match(struct sctx__view view, const void *owner,
						       const void *instance,
						       struct sctx_context **ctx, bool *gone)
{
	const struct sctx_entry *entry;

	for (;;) {
		entry = sctx__view_last(view, owner, instance);
		if (!entry)
			return NULL;
		*ctx = sctx__entry_load(entry);
		if (*ctx)
			return entry;
		*gone = true;
		view.count = (uintptr_t)(entry - view.entry); /* the older ones */
	}
}

/*
 * The newest context of all.  A replaced entry was the newest of its owner, not
 * of all, so entries added meanwhile always require another scan.
 */
SCTX__INLINE const struct sctx_entry *sctx__view_newest(struct sctx__view view,
							struct sctx_context **ctx, bool *gone)
{
	*gone = true;
	while (view.count-- > 0) {
		*ctx = sctx__entry_load(&view.entry[view.count]);
		if (*ctx)
			return &view.entry[view.count];
	}
	return NULL;
}

/* The entry that matches (owner, instance), with its context in *@ctx. */
SCTX__INLINE const struct sctx_entry *sctx__view_find(struct sctx__view view, const void *owner,
						      const void *instance,
						      struct sctx_context **ctx, bool *gone)
{
	if (sctx__likely(owner != NULL))
		return sctx__view_match(view, owner, instance, ctx, gone);
	return instance ? NULL : sctx__view_newest(view, ctx, gone);
}

/*
 * A lookup is linearizable, although a scan takes time.
 *
 * If the first match has a context, or there is no match, the lookup takes
 * effect when the list is loaded.  If that context was stored by a replace
 * since, it takes effect at the replace (lib/stream/context.c replaces in place
 * only the newest entry of an owner).
 *
 * If a match was unlinked, a newer context may have been inserted before it was
 * unlinked, behind the scan: there was a match all along, but the scan finds
 * none.  So scan again if entries were added.  If none were, entries can only
 * have been unlinked or replaced in place, and the context found was the newest
 * match when it was loaded.  A reader that sees an entry unlinked sees entries
 * that were added before.  Slots are used once and the scan stays in one array,
 * so it ends.  An array that was replaced does not change any more.
 */
SCTX__INLINE struct sctx_context *sctx__array_lookup(uintptr_t list, const void *owner,
						     const void *instance)
{
	for (;;) {
		struct sctx__view view = sctx__array_view(list);
		struct sctx_context *ctx = NULL;
		bool gone = false;

		if (!sctx__view_find(view, owner, instance, &ctx, &gone))
			ctx = NULL;
		if (!gone || sctx__array_view(list).count == view.count)
			return ctx;
	}
}

/* A NULL stream or owner, and matches that were unlinked. */
static __attribute__((noinline, unused)) struct sctx_context *
sctx__lookup_slow(const struct sctx_stream *stream, const void *owner, const void *instance)
{
	struct sctx_context *ctx = NULL;
	uintptr_t list;
	bool gone;

	if (!stream)
		return NULL;
	do {
		struct sctx__view view = { stream->inline_entry, NULL, 0 };

		gone = false;
		list = sctx__load_acquire(&stream->list);
		if (sctx__list_is_array(list))
			return sctx__array_lookup(list, owner, instance);
		if (!(list & SCTX__LIST_HIDDEN))
			view.count = list;
		if (!sctx__view_find(view, owner, instance, &ctx, &gone))
			ctx = NULL;
	} while (gone && sctx__load_acquire(&stream->list) != list);
	return ctx;
}

/* The context of the newest match; if it was unlinked, scan again. */
SCTX__INLINE struct sctx_context *sctx__entry_context(const struct sctx_entry *entry,
						      const struct sctx_stream *stream,
						      const void *owner, const void *instance)
{
	struct sctx_context *ctx = sctx__entry_load(entry);

	return sctx__likely(ctx != NULL) ? ctx : sctx__lookup_slow(stream, owner, instance);
}

/* The common case: the newest match has a context. */
SCTX__INLINE struct sctx_context *sctx__list_lookup(const struct sctx_stream *stream,
						    const void *owner, const void *instance)
{
	uintptr_t list = sctx__load_acquire(&stream->list);
	const struct sctx_entry *entry = NULL;

	if (list == 2 && sctx__entry_is(&stream->inline_entry[1], owner, instance))
		entry = &stream->inline_entry[1];
	else if (sctx__list_is_array(list))
		entry = sctx__view_last(sctx__array_view(list), owner, instance);
	else if (list - 1 < 2 && sctx__entry_is(&stream->inline_entry[0], owner, instance))
		entry = &stream->inline_entry[0];
	return entry ? sctx__entry_context(entry, stream, owner, instance) : NULL;
}

/*
 * The stream's only context, or a walk of its list.
 *
 * The acquire pairs with the release in list_publish(): a reader that sees @only
 * sees its entry, and at that moment the list had no other.
 */
SCTX__INLINE struct sctx_context *sctx__lookup(const struct sctx_stream *stream, const void *owner,
					       const void *instance)
{
	if (sctx__unlikely(!owner))
		return sctx__lookup_slow(stream, owner, instance);
	/* A conditional move: branches bound the speed of a lookup. */
	stream = stream ? stream : &sctx__no_stream;
	if (sctx__likely(sctx__load_acquire(&stream->only) == owner &&
			 (!instance || stream->inline_entry[0].instance == instance)))
		return sctx__entry_context(&stream->inline_entry[0], stream, owner, instance);
	return sctx__list_lookup(stream, owner, instance);
}

/* ------------------------------------------------------------- public API */

#ifdef SCTX_INLINE
/* Refuses to link with a library of another flavour, or with other structs. */
static const char *const sctx__inline_abi_check __attribute__((used)) = &SCTX__INLINE_ABI;

SCTX__INLINE void sctx_read_lock(void)
{
	sctx__rcu_read_lock();
}

SCTX__INLINE void sctx_read_unlock(void)
{
	sctx__rcu_read_unlock();
}

SCTX__INLINE struct sctx_context *sctx_lookup(const struct sctx_stream *stream, const void *owner,
					      const void *instance)
{
	return sctx__lookup(stream, owner, instance);
}

SCTX__INLINE void *sctx_context_data(struct sctx_context *ctx)
{
	return ctx + 1;
}
#endif

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_INLINE_H */
