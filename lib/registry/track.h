/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Embedded streams that a registry knows of: a doubly linked list under a
 * spinlock of the registry's (taken inside a stream's).  A stream's record is
 * in its @next, which has no other use before it is retired.
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
 * Call @fn for each tracked stream of @registry, inside an update (a new one
 * every few streams, waiting between them where limbo is at its limit).
 * @cursor is the caller's, zeroed before its first use, and usable again after
 * a walk that a fork cut off.
 */
void sctx__tracked_sweep(struct sctx_registry *registry, struct sctx__tracked *cursor,
			 void (*fn)(struct sctx_stream *stream, void *arg), void *arg);

#endif /* SCTX_TRACK_H */
