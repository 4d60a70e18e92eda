/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small random programs on the real library, and the histories they leave.
 *
 * A round is one program: some streams, ids and contexts, and for each thread
 * a few operations.  What comes next is drawn from the seed, the round's
 * number and what the thread holds at the time: a context that someone handed
 * out is put, inserted again or moved to another stream.  Thread 0, before
 * and after the others, sets up and takes down; that is part of the history,
 * so that what was lost shows at the end.
 *
 * Time is one atomic counter, added to before and after each operation.  If
 * one operation's second number is lower than another one's first, then the
 * additions synchronise, and the one happened before the other in the sense
 * of C11: the library must let it be seen.  A time stamp counter costs less
 * and disturbs less, but promises less: two cores' may differ, and a release
 * store may leave its core's store buffer after the clock was read, which no
 * contract forbids.  What the counter hides, for want of a barrier at the
 * edge of an operation, is for the model checkers.
 */
#ifndef LINEAR_PROGRAM_H
#define LINEAR_PROGRAM_H

#include "history.h"

struct sctx_registry;
struct round;

struct round *round_new(uint64_t seed, unsigned long number, unsigned int threads,
			struct sctx_registry *registry);
const char *round_profile(const struct round *round);
/* What thread @thread, 1 .. @threads, does. */
void round_run(struct round *round, unsigned int thread);
/* When all have: close, remove and put what is left. */
void round_finish(struct round *round);
/* After a barrier: whose callback ran.  Then the history is whole. */
void round_history(struct round *round, struct history *h);
void round_free(struct round *round);

#endif /* LINEAR_PROGRAM_H */
