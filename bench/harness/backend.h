/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a system must offer to be benchmarked, and what it gets in return.
 *
 * A backend is one file, backends/NAME.c.  It defines struct bench_table and
 * struct bench_stream as it likes, fills one constant struct backend_ops and
 * ends with BENCH_BACKEND(that table).  The macro compiles every workload
 * into the file with the table as a compile-time constant, so that its
 * functions are inlined: a lookup of 1.5 ns must not pay for an indirect call.
 */
#ifndef BENCH_BACKEND_H
#define BENCH_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "samples.h"
#include "worker.h"

/*
 * Every context is BENCH_CONTEXT_SIZE bytes of malloc() in every backend: the
 * backend's header and the owner's payload, a single word.  Equal sizes keep
 * the allocator and the cache lines out of the comparison.
 *
 * A section (enter or find, to leave) is what makes a looked-up word safe to
 * touch: a read section here, a lock there.
 */
#define BENCH_CONTEXT_SIZE 64

struct backend_ops {
	const char *name;
	const char *lacks;	/* what its semantics leave out: printed in the report */
	bool private_tables;	/* unsynchronised: each thread gets a table to itself */
	bool sized;		/* table_create() fixes the table's size */
	uint32_t only;		/* a bit, 1 << WORKLOAD_..., for each it can do; 0: all */

	/* Each may be NULL. */
	void (*thread_enter)(void);
	void (*thread_exit)(void);
	void (*thread_idle)(void);	/* about to wait, outside any section */
	void (*drain)(void);		/* wait until all that was retired is freed */
	uint64_t (*limbo_bytes)(void);	/* retired and not yet freed, if it can tell */

	/* @streams will be resident: a hint for tables that cannot be left to grow. */
	struct bench_table *(*table_create)(uint64_t streams);
	void (*table_destroy)(struct bench_table *table);	/* empty by now */
	uint64_t (*table_count)(struct bench_table *table);	/* of open streams */

	/* Find or create, plus one open reference; the last close tears down. */
	struct bench_stream *(*open)(struct bench_table *table, const struct sctx_id *id);
	void (*close)(struct bench_table *table, struct bench_stream *stream);

	/* Begin a section in the stream named @id; NULL, and no section, if not open. */
	struct bench_stream *(*find)(struct bench_table *table, const struct sctx_id *id);
	/* Begin a section in a stream that the caller holds open. */
	void (*enter)(struct bench_stream *stream);
	void (*leave)(struct bench_stream *stream);

	/*
	 * In a section: the word of the newest match, or NULL.  Valid until the
	 * section's next lookup, or its end.
	 */
	uint64_t *(*lookup)(struct bench_stream *stream, const void *owner, const void *instance);

	/* The rest outside of sections, on a stream that the caller holds open. */

	/* Allocate a context that holds @word and whose free is counted; link it. */
	void (*insert)(struct bench_stream *stream, const void *owner, const void *instance,
		       uint64_t word);
	/* Unlink the match and drop it; it is freed when that is safe. */
	void (*del)(struct bench_stream *stream, const void *owner, const void *instance);
	/* Add one to the word of @owner's context, made first if there is none. */
	void (*bump)(struct bench_stream *stream, const void *owner);

	/* Each may be NULL: what not every system has. */

	/* Open @n streams at once; without it, they are opened one by one. */
	void (*open_many)(struct bench_table *table, const struct sctx_id *id,
			  struct bench_stream **stream, unsigned int n);
	/*
	 * From now on keep @limit streams after their last close, with their contexts, for
	 * the next open.  A lower limit drops what is beyond it before this returns, but
	 * for what waits for readers.  0, as at first: none.  While no other thread works.
	 */
	void (*keep_idle)(struct bench_table *table, uint64_t limit);
	/*
	 * A module that comes and goes.  The pointer is good for lookup, later
	 * too, when it must find nothing.  Unregister takes the owner's contexts
	 * off all streams, while others open, look up and close, and returns
	 * when all of them are freed.
	 */
	const void *(*owner_register)(struct bench_table *table);
	void (*owner_insert)(struct bench_stream *stream, const void *owner, uint64_t word);
	void (*owner_unregister)(struct bench_table *table, const void *owner);
};

/*
 * Counts of contexts, one a thread, so that counting costs two plain stores
 * on a line of one's own.  The harness holds what went in against what came
 * out, in numbers and in the sum of the words.
 */
static inline struct tally *bench_tally(const struct backend_ops *ops)
{
	/* A library's own thread calls back for each backend that is built on it. */
	if (__builtin_expect(!bench_tally_self || bench_tally_self->ops != ops, 0))
		bench_tally_attach(ops);
	return bench_tally_self;
}

static inline void bench_created(const struct backend_ops *ops, uint64_t word)
{
	struct tally *tally = bench_tally(ops);

	if (__builtin_expect(bench_create_ticks > 0, 0))
		bench_spin(bench_create_ticks);
	bench_count(&tally->created, 1);
	bench_count(&tally->words_in, word);
}

static inline void bench_bumped(const struct backend_ops *ops)
{
	bench_count(&bench_tally(ops)->words_in, 1);
}

static inline void bench_freed(const struct backend_ops *ops, uint64_t word)
{
	struct tally *tally = bench_tally(ops);

	bench_count(&tally->freed, 1);
	bench_count(&tally->words_out, word);
	if (__builtin_expect(sample_is(word), 0))
		bench_sample_freed(word);
}

static inline void *bench_alloc(size_t size)
{
	void *p = malloc(size);

	if (!p)
		bench_die("out of memory");
	return p;
}

static inline void *bench_alloc_lines(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (!p)
		bench_die("out of memory");
	return memset(p, 0, size);
}

#include "../workloads/workloads.h"

/*
 * A backend's table of functions, ahead of its definition, for a header that
 * is included before.  C++ has no such thing for a constant of one file,
 * except in a namespace without a name, where the definition then stands too.
 */
#ifdef __cplusplus
#define OPS_DECLARE                          \
	namespace {                          \
	extern const struct backend_ops ops; \
	}                                    \
	static_assert(true, "")
#else
#define OPS_DECLARE static const struct backend_ops ops
#endif

/* flatten: the backend's functions are inlined, whatever their size. */
#define BENCH_RUN(workload, ops)                                                        \
	static __attribute__((flatten)) void run_##workload(struct worker *w, uint64_t n) \
	{                                                                               \
		workload(&(ops), w, n, false);                                          \
	}                                                                               \
	static __attribute__((flatten)) void run_##workload##_timed(struct worker *w, uint64_t n)                \
	{                                                                               \
		workload(&(ops), w, n, true);                                           \
	}

#define BENCH_ENTRY(workload, ops) { run_##workload, run_##workload##_timed },

/* The harness finds backends by this section, sorted by name. */
#define BENCH_BACKEND(ops)                                                              \
	LOOKUP_COPY(0, ops) LOOKUP_COPY(1, ops) LOOKUP_COPY(2, ops) LOOKUP_COPY(3, ops) \
	LOOKUP_COPY(4, ops) LOOKUP_COPY(5, ops) LOOKUP_COPY(6, ops) LOOKUP_COPY(7, ops) \
	static lookup_fn *lookup_copy(uint64_t turn)                                    \
	{                                                                               \
		static lookup_fn *const copy[LOOKUP_COPIES] = {                         \
			lookup_copy_0, lookup_copy_1, lookup_copy_2, lookup_copy_3,     \
			lookup_copy_4, lookup_copy_5, lookup_copy_6, lookup_copy_7,     \
		};                                                                      \
                                                                                        \
		return copy[turn % LOOKUP_COPIES];                                      \
	}                                                                               \
	BENCH_WORKLOADS(BENCH_RUN, ops)                                                 \
	static const struct backend bench_backend = {                                   \
		&(ops),                                                                 \
		{ BENCH_WORKLOADS(BENCH_ENTRY, ops) },                                  \
	};                                                                              \
	static const struct backend *const bench_backend_entry                          \
		__attribute__((section("bench_backends"), used)) = &bench_backend

#endif /* BENCH_BACKEND_H */
