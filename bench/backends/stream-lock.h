/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small spinlock in each stream of compact-stream.h, on the line that holds
 * its id, and what is done to contexts under it.  A section is the lock held.
 */
#ifndef BENCH_STREAM_LOCK_H
#define BENCH_STREAM_LOCK_H

#include <sched.h>

#include "compact-stream.h"

/* Spin briefly, then yield to a holder that may have lost its processor. */
static inline void stream_enter(struct bench_stream *stream)
{
	unsigned int spins = 0;

	while (__atomic_exchange_n(&stream->lock, 1, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&stream->lock, __ATOMIC_RELAXED)) {
			if (++spins % 128 == 0)
				sched_yield();
#ifdef __x86_64__
			__builtin_ia32_pause();
#endif
		}
	}
}

static inline void stream_leave(struct bench_stream *stream)
{
	__atomic_store_n(&stream->lock, 0, __ATOMIC_RELEASE);
}

static inline void context_insert(struct bench_stream *stream, const void *owner,
				  const void *instance, uint64_t word)
{
	struct bench_context *ctx = context_new(owner, instance, word);

	stream_enter(stream);
	entries_push(stream, ctx);
	stream_leave(stream);
}

static inline void context_del(struct bench_stream *stream, const void *owner, const void *instance)
{
	struct bench_context *ctx;

	stream_enter(stream);
	ctx = entries_remove(stream, owner, instance);
	stream_leave(stream);
	if (ctx)
		ctx->free_callback(ctx);
}

static inline void context_bump(struct bench_stream *stream, const void *owner)
{
	stream_enter(stream);
	stream_bump(stream, owner);
	stream_leave(stream);
}

/* Where opens are counted with atomics: drop a reference that is not the last. */
static inline bool stream_close_not_last(struct bench_stream *stream)
{
	uint32_t opens = __atomic_load_n(&stream->opens, __ATOMIC_RELAXED);

	while (opens > 1)
		if (__atomic_compare_exchange_n(&stream->opens, &opens, opens - 1, true,
						__ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return true;
	return false;
}

#endif /* BENCH_STREAM_LOCK_H */
