/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that stay with their thread: what a thread closes comes back to it
 * for its next opens, once a grace period has passed, as one list that the
 * reclaimer does not walk.  Neither side enters the allocator, and a node's
 * cache lines do not travel to the reclaimer's core and back.
 *
 *   loaded    the thread pops from it, alone
 *   returned  the reclaimer adds a whole list, now and then; the thread takes
 *             all of it, with one exchange, when loaded is empty
 *   waiting   what the last cycle collected: returned after the next
 *
 * Free nodes are linked through stream.next.  The lists are in thread/limbo.c.
 */
#ifndef SCTX_MAGAZINE_H
#define SCTX_MAGAZINE_H

#include "registry/table.h"
#include "thread/thread.h"

/* NULL if there is no memory. */
struct sctx__node *sctx__node_alloc(void);

/* One that was never published, by the thread that allocated it. */
void sctx__node_free(struct sctx__node *node);

#endif /* SCTX_MAGAZINE_H */
