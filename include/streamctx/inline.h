/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The read side, compiled into its caller: the read section and the lookup.
 * Included by streamctx.h where SCTX_INLINE is defined, and by the library
 * itself through lib/rcu/rcu.h, so that there is one text of it.
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
 * ThreadSanitizer sees neither into liburcu nor membarrier(2).  It is told that
 * what a section did happens before the end of the grace period that waited
 * for it, and nothing more: a section that acquired would hide races.
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

/* lib/base/sync.h has its own definition, for the builds that count or explore. */
#ifndef sctx__load
#define sctx__load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#endif
#ifndef sctx__load_acquire
#define sctx__load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif
/* Small where it matters; the compiler does not see how often. */
#define SCTX__INLINE      static inline __attribute__((always_inline))
#define sctx__likely(x)   __builtin_expect(!!(x), 1)
#define sctx__unlikely(x) __builtin_expect(!!(x), 0)

/*
 * Thread-local state of our own is reached in one instruction, in a library
 * that was loaded later, too.  liburcu's cannot be: its alignment keeps it out
 * of the static TLS that a running process has to spare, and reaching it from
 * a shared object is a function call.  So there its address is kept in ours.
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
/* Where contexts are looked up if there is no stream: it has none. */
SCTX_API extern const struct sctx_stream sctx__no_stream;

/* ------------------------------------------------------- the read section */

/*
 * Each flavour: read_lock, read_unlock, and whether the thread is inside.  A
 * thread that the flavour does not know yet takes the slow path once.
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
 * qsbr knows threads, not sections; this counts them.  The end of the
 * outermost section is a quiescent state, which costs one load and a compare
 * while no grace period is under way.
 */
SCTX_API extern SCTX__TLS unsigned int sctx__qsbr_nesting;
/* The thread's counter in liburcu; 0 there, or no thread's, is "offline". */
SCTX_API extern SCTX__TLS unsigned long *sctx__qsbr_ctr;

/* A section has ended, the outermost perhaps, and a grace period may wait for it. */
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

/* Made for checkers, not for speed: nothing is worth inlining. */
SCTX_API void sctx__rcu_read_lock(void);
SCTX_API void sctx__rcu_read_unlock(void);
SCTX_API bool sctx__rcu_read_ongoing(void);

#else /* memb */

/*
 * liburcu's own section, with the tests that a section repeats made once.  The
 * thread's counter rests at a value that its liburcu takes for "outside" and
 * that says: registered, on a kernel with membarrier(2), not nested.  Whatever
 * else stands there (a new thread, an outer section, the host's own use of
 * liburcu) takes the slow path, which is liburcu's.
 *
 * Without membarrier(2), or with a liburcu that reads the counter in another way
 * (lib/rcu/assumed.c), the slow path counts twice, so that the end of the section is
 * never taken for the fast one.
 */
#define SCTX__MEMB_READY (1UL << 62)

SCTX_API void sctx__memb_read_lock_slow(void);
SCTX_API void sctx__memb_read_unlock_slow(void);
/* A grace period sleeps; @section: the counter as it was in the section that has just ended. */
SCTX_API void sctx__memb_section_ended(unsigned long section);
/* The thread's counter in liburcu, once it has taken the slow path. */
SCTX_API extern SCTX__TLS unsigned long *sctx__memb_ctr;

SCTX__INLINE unsigned long *sctx__memb_counter(void)
{
	return SCTX__SHARED_OBJECT ? sctx__memb_ctr : &URCU_TLS(urcu_memb_reader).ctr;
}

/* From READY, and back. */
SCTX__INLINE void sctx__memb_enter(unsigned long *ctr)
{
	/* The membarrier() of the grace period orders this, as in liburcu. */
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

/* The head of whatever memory of the library's own goes through limbo. */
struct sctx__block {
	struct sctx__block *next;
	void (*free_fn)(struct sctx__block *block);
};

/*
 * The array that takes over from a stream's inline entries, 64-byte aligned.
 *
 *   +-------+-------+----------+--------------------+--------------------------
 *   | block | count | capacity | tag, a byte each   | entry {owner, ...} ...
 *   +-------+-------+----------+--------------------+--------------------------
 *
 * Tags are read 8 or 16 at a time: an entry that cannot match is not looked at.
 */
struct sctx__array {
	struct sctx__block block;
	uint32_t count;    /* published entries; only grows */
	uint32_t capacity; /* a multiple of 8 */
	/* uint64_t tag[capacity / 8], entry n's in bits 8 * (n % 8) and up of word n / 8 */
	/* struct sctx_entry entry[capacity] */
};

/*
 * sctx_stream.list is a count of inline entries, or the address of an array;
 * either with HIDDEN, if the stream is disabled and readers see it empty.
 */
#define SCTX__LIST_HIDDEN ((uintptr_t)1 << 63)
#define SCTX__LIST_ARRAY  ((uintptr_t)64)

/* One comparison: with HIDDEN it is negative. */
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
 * The acquire pairs with the release in lib/stream/list.h that publishes an entry of
 * the array (count): who sees the new count sees the entries it covers, and
 * their tags.
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
 * NULL if the context is gone.  It may be unlinked at any moment; what was
 * seen is what counts.  The acquire pairs with the releases in lib/stream/context.c:
 * that which replaces a context, and that which unlinks one, so that who sees
 * it gone sees what was inserted before.
 */
SCTX__INLINE struct sctx_context *sctx__entry_load(const struct sctx_entry *entry)
{
	return sctx__load_acquire(&entry->context);
}

/* 7 bits of the owner's hash, and a bit that an entry not yet written lacks. */
SCTX__INLINE uint64_t sctx__tag(const void *owner)
{
	return (uint64_t)(uintptr_t)owner * 0x9e3779b97f4a7c15 >> 57 | 0x80;
}

#define SCTX__TAG_ONES  0x0101010101010101
#define SCTX__TAG_HIGHS 0x8080808080808080

/*
 * Which of the SCTX__TAG_STEP bytes at @tag are that of @tags: the bits from
 * SCTX__TAG_BITS * n up for the nth.  Behind 8 tags that are all there is, those of
 * entries are looked at, to no harm: the bits beyond the count say nothing.
 *
 * A vector is loaded at once, though only each of its words need be whole;
 * ThreadSanitizer is shown loads of words instead.
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
 * A byte of @x is 0 where the tag is the owner's, and its high bit is set then; also,
 * rarely, above such a byte where it is 1: entries are compared anyway.
 */
#define SCTX__TAG_STEP 8
#define SCTX__TAG_BITS 8

SCTX__INLINE uint64_t sctx__tags_found(const uint64_t *tag, uint64_t tags)
{
	uint64_t x = sctx__load(tag) ^ tags;

	return (x - SCTX__TAG_ONES) & ~x & SCTX__TAG_HIGHS;
}
#endif

/* sctx__view_last() of an array, which has entries, by their tags. */
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

/* The newest entry of a real @owner that matches; its context may be gone. */
SCTX__INLINE const struct sctx_entry *sctx__view_last(struct sctx__view view, const void *owner,
						      const void *instance)
{
	/* Of four, comparing them all is quicker: no address depends on what was read. */
	if (view.tag && view.count > 4)
		return sctx__array_last(view, owner, instance);
	while (view.count-- > 0)
		if (sctx__entry_is(&view.entry[view.count], owner, instance))
			return &view.entry[view.count];
	return NULL;
}

/*
 * The newest match of a real @owner, and its context.  *@gone is set if one
 * was passed whose context is gone.
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
 * The newest of all.  What is replaced in its place was its owner's newest, and
 * another owner's may be newer: entries added meanwhile always count here.
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

/* The entry that (owner, instance) matches, with its context in *@ctx. */
SCTX__INLINE const struct sctx_entry *sctx__view_find(struct sctx__view view, const void *owner,
						      const void *instance,
						      struct sctx_context **ctx, bool *gone)
{
	if (sctx__likely(owner != NULL))
		return sctx__view_match(view, owner, instance, ctx, gone);
	return instance ? NULL : sctx__view_newest(view, ctx, gone);
}

/*
 * A lookup is what it would be at one moment, though a scan takes longer.
 *
 * If all matches that it passed were live, that is the first it met, and the
 * moment is that of loading the list: this one was the newest then, or, if it
 * was replaced since, when it was replaced (lib/stream/context.c sees to that).  The
 * same if there was none.
 *
 * If one was gone, what is inserted meanwhile is behind the scan: it could miss
 * the one and not find the other, and there always was a match.  So if entries
 * were added, scan again.  If none was, entries can only have gone, or been
 * replaced in their place: what was found was the newest match when it was
 * loaded.  Whoever sees an entry gone sees those that were added before.  A slot
 * is used once, and the scan stays in its array, so it ends.  An array that
 * another one took over from does not change any more.
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

/* A match that names no owner, and all that is rare. */
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

/* Of the newest that matches; if its context is gone, of an older one, or a newer. */
SCTX__INLINE struct sctx_context *sctx__entry_context(const struct sctx_entry *entry,
						      const struct sctx_stream *stream,
						      const void *owner, const void *instance)
{
	struct sctx_context *ctx = sctx__entry_load(entry);

	return sctx__likely(ctx != NULL) ? ctx : sctx__lookup_slow(stream, owner, instance);
}

/* As nearly always: the newest entry that matches has its context. */
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
 * A stream's only context, or what its list has.
 *
 * The acquire pairs with the release in list_publish(): who sees @only sees the
 * entry, and the list at that moment had no other.
 */
SCTX__INLINE struct sctx_context *sctx__lookup(const struct sctx_stream *stream, const void *owner,
					       const void *instance)
{
	if (sctx__unlikely(!owner))
		return sctx__lookup_slow(stream, owner, instance);
	/* A selection, not a branch, of which a lookup has few: see lib/README.md. */
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
