/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes that go home: 128-byte objects which the reclaimer gives back to the
 * thread that allocated them, so that neither side enters the allocator.
 * jemalloc alone would have the reclaimer flush its thread cache into the
 * arenas that the openers refill theirs from, under the same locks.
 *
 *   magazine of a thread
 *     loaded    a list that its thread pops from, alone
 *     returned  a stack that others push to; the thread takes all of it, with
 *               one exchange, when loaded is empty
 *
 * A free node is linked through stream.next, and stream.opens says how many
 * lie in the stack from it downwards, which bounds the stack.
 *
 * A magazine outlives its thread and is given to a later one; the nodes in
 * it point to it.
 */
#ifndef SCTX_MAGAZINE_H
#define SCTX_MAGAZINE_H

#include "table.h"

/* NULL if there is no memory. */
struct sctx__node *sctx__node_alloc(void);
/* By any thread.  Does not fail. */
void sctx__node_free(struct sctx__node *node);

#endif /* SCTX_MAGAZINE_H */
