/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What registry and owners need of a stream's list beyond the public API. */
#ifndef SCTX_CONTEXT_H
#define SCTX_CONTEXT_H

#include "rcu/rcu.h"

#include <errno.h>

/* In sctx_stream.state, changed under the stream's lock (SCTX__LOCKED, bit 0). */
#define SCTX__READY   2u  /* takes contexts */
#define SCTX__TORN    4u  /* torn down */
#define SCTX__RETIRED 8u  /* its memory was handed to limbo */
#define SCTX__MANAGED 16u /* a registry's */
#define SCTX__TRACKED 32u /* @next is its struct sctx__tracker (hooks.h) */
#define SCTX__TELLING 64u /* a thread tells owners that it is idle, or open again */
#define SCTX__RETELL  128u /* that thread is to look again when it is done */

/* In sctx_context.flags. */
#define SCTX__OWNED     1u /* @owner points to a struct sctx__owned (hooks.h) */
#define SCTX__ALLOCATED 2u /* by sctx_context_alloc() */
#define SCTX__NOTED     4u /* in its owner's notes of who holds what; changed under the owner's lock */
#define SCTX__TOLD      8u /* its owner knows that the stream is idle */

/* Before publication: an empty list with these flags and one open reference. */
static inline void sctx__stream_setup(struct sctx_stream *stream, uint32_t flags)
{
	stream->only = NULL;
	stream->list = 0;
	stream->state = (uint16_t)(SCTX__READY | flags);
	stream->age = 0;
	stream->opens = 1;
}

/*
 * What an insert into a stream in @state comes to.  No misuse: a teardown may just have
 * come first.
 */
static inline int sctx__stream_refuses(uint32_t state)
{
	if (state & SCTX__READY)
		return 0;
	return state & SCTX__TORN ? -ESHUTDOWN : -EOPNOTSUPP;
}

/* Inside an update: tear @stream down, and retire the node around it, of @bytes. */
void sctx__node_teardown(struct sctx_stream *stream, size_t bytes);

/* The same by the holder of the stream's lock, which left @state; it is released. */
void sctx__node_teardown_locked(struct sctx_stream *stream, uint16_t state, size_t bytes);

/* What hangs on @stream and was allocated here, in bytes.  In a section. */
size_t sctx__stream_bytes(const struct sctx_stream *stream);

/* sctx_insert() without waiting, for a stream that nobody else knows yet. */
int sctx__stream_attach(struct sctx_stream *stream, struct sctx_context *ctx);

/* Inside an update: unlink and put all of @owner's contexts, who is leaving. */
void sctx__stream_sweep(struct sctx_stream *stream, const struct sctx_owner *owner);

#endif /* SCTX_CONTEXT_H */
