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
 * Free nodes are linked through stream.next.
 */
#ifndef SCTX_MAGAZINE_H
#define SCTX_MAGAZINE_H

#include "registry/table.h"
#include "thread/thread.h"

/* NULL if there is no memory. */
struct sctx__node *sctx__node_alloc(void);

/* One that was never published, by the thread that allocated it. */
void sctx__node_free(struct sctx__node *node);

/*
 * By the reclaimer, after a grace period and with sctx__threads_lock held: return
 * what is waiting, and let @closed wait.  What the thread has no use for is
 * added to @surplus, to be freed.
 */
void sctx__magazine_turn(struct sctx__magazine *magazine, struct sctx__nodes *closed,
			 struct sctx__nodes *surplus);

/* Move the nodes of @from to @to. */
void sctx__nodes_move(struct sctx__nodes *to, struct sctx__nodes *from);

/* Free all nodes of a list that nobody else knows. */
void sctx__nodes_free(struct sctx__nodes *nodes);

/* The thread exits: free what is ripe; what is waiting goes to @limbo. */
void sctx__magazine_empty(struct sctx__magazine *magazine, struct sctx__nodes *limbo);

#endif /* SCTX_MAGAZINE_H */
