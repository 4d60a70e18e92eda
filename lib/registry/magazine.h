/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Free nodes of each thread.  Nodes that a thread closed return to it for its
 * next opens after a grace period, as one list that the reclaimer does not walk.
 * So neither side enters the allocator, and a node's cache lines do not move to
 * the reclaimer's core and back.
 *
 *   loaded    the thread pops from it
 *   returned  the reclaimer adds whole lists; the thread takes all of it with
 *             one exchange when loaded is empty
 *   waiting   collected by the last reclaim pass, returned after the next
 *
 * Free nodes are linked through stream.next.  The lists are in thread/limbo.c.
 */
#ifndef SCTX_MAGAZINE_H
#define SCTX_MAGAZINE_H

#include "registry/table.h"
#include "thread/thread.h"

/* NULL if out of memory. */
struct sctx__node *sctx__node_alloc(void);

/* @node was allocated by the calling thread and never published. */
void sctx__node_free(struct sctx__node *node);

#endif /* SCTX_MAGAZINE_H */
