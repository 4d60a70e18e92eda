/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams, for the registry and for owners: beyond the public API. */
#ifndef SCTX_CONTEXT_H
#define SCTX_CONTEXT_H

#include "rcu/rcu.h"

#include <errno.h>

/* In sctx_stream.state, changed under the stream's lock (SCTX__LOCKED, bit 0). */
#define SCTX__READY   2u  /* accepts contexts */
#define SCTX__TORN    4u  /* torn down */
#define SCTX__RETIRED 8u  /* its memory was handed to limbo */
#define SCTX__MANAGED 16u /* belongs to a registry */
#define SCTX__TRACKED 32u /* @next is its struct sctx__tracker (hooks.h) */
#define SCTX__TELLING 64u /* a thread notifies owners that it is idle, or open again */
#define SCTX__RETELL  128u /* that thread must look again when it is done */

/* In sctx_context.flags. */
#define SCTX__OWNED     1u /* @owner points to a struct sctx__owned (hooks.h) */
#define SCTX__ALLOCATED 2u /* by sctx_context_alloc() */
#define SCTX__NOTED     4u /* in its owner's notes of holders; changed under the owner's lock */
#define SCTX__TOLD      8u /* its owner was notified that the stream is idle */

/* An empty list with @flags and one open reference, not published yet. */
static inline void sctx__stream_setup(struct sctx_stream *stream, uint32_t flags)
{
	stream->only = NULL;
	stream->list = 0;
	stream->state = (uint16_t)(SCTX__READY | flags);
	stream->age = 0;
	stream->opens = 1;
}

/*
 * The error of an insert into a stream in @state.  Not misuse: a concurrent teardown may
 * have come first.
 */
static inline int sctx__stream_refuses(uint32_t state)
{
	if (state & SCTX__READY)
		return 0;
	return state & SCTX__TORN ? -ESHUTDOWN : -EOPNOTSUPP;
}

/* Inside an update: tear @stream down and retire its node of @bytes. */
void sctx__node_teardown(struct sctx_stream *stream, size_t bytes);

/* The same with the stream locked, whose lock returned @state.  Unlocks it. */
void sctx__node_teardown_locked(struct sctx_stream *stream, uint16_t state, size_t bytes);

/* Bytes of @stream's array and of its contexts from sctx_context_alloc().  In a section. */
size_t sctx__stream_bytes(const struct sctx_stream *stream);

/* sctx_insert() without waiting, for a stream that is not published yet. */
int sctx__stream_attach(struct sctx_stream *stream, struct sctx_context *ctx);

/* Inside an update: unlink and put all contexts of @owner, which is leaving. */
void sctx__stream_sweep(struct sctx_stream *stream, const struct sctx_owner *owner);

#endif /* SCTX_CONTEXT_H */
