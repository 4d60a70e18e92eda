/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Embedded streams that a registry knows: a doubly linked list under a spinlock
 * of the registry, which is taken inside a stream's lock.  A stream points to
 * its record by @next, which is otherwise unused before the stream is retired.
 */
#ifndef SCTX_TRACK_H
#define SCTX_TRACK_H

#include "registry/registry.h"
#include "stream/hooks.h"

struct sctx__tracked {
	struct sctx__tracker tracker;
	struct sctx__tracked *next, *prev;
	struct sctx_stream *stream; /* NULL: a cursor */
	struct sctx_registry *registry;
};

/*
 * Call @fn for each tracked stream of @registry, inside an update.  A new update
 * begins every few streams, after waiting while limbo is at its limit.  The
 * caller zeroes @cursor before its first use; it can be used again after a walk
 * that a fork cut off.
 */
void sctx__tracked_sweep(struct sctx_registry *registry, struct sctx__tracked *cursor,
			 void (*fn)(struct sctx_stream *stream, void *arg), void *arg);

#endif /* SCTX_TRACK_H */
