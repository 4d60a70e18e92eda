/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the operations mean when they run one after the other, written from
 * streamctx.h and from nothing else.  check.c looks for an order of a
 * history's operations in which each gives what it gives here.
 *
 * One state for all: streams, ids, contexts with their references.  A context
 * is freed by its callback when no reference is left; who borrowed it may
 * still take one (sctx_ref() in a section), so "freed" is read only at the
 * end, by CALLED after a barrier.
 *
 * Not one step, and so not asked to be:
 *
 *   The last sctx_close() is three: the stream is dead (SCTX_OPEN_EXISTING
 *   refuses it), the id names it no longer (sctx_find()), it is torn down.
 *   Whoever borrowed the stream can see them apart: find nothing by id, and
 *   insert in the stream that he still has.  An open that would create waits
 *   from the first step to the second.
 *
 *   A context hangs on a stream in two places: the stream's list, and its own
 *   link, which -EBUSY is made of.  While an operation that hangs it up or
 *   takes it down is under way, an insert of the same context may get -EBUSY
 *   though no lookup finds it (@crossed).
 *
 *   sctx_stream_supports_contexts() reads a flag that a teardown or disable
 *   under way sets a moment after it has emptied the list (@crossed).
 *
 * Not here at all: sctx_registry_for_each(), which is no snapshot.  Two
 * lookups are two operations: nothing is said of what changes between them.
 */
#ifndef LINEAR_SPEC_H
#define LINEAR_SPEC_H

#include "history.h"

#define UNBORN (-1)

struct spec {
	struct {
		int8_t refs;  /* UNBORN until created */
		bool limbo;   /* a reference was dropped: limbo may hold it */
		int8_t on;    /* the stream that it hangs on */
		int8_t older; /* the next on that stream */
	} ctx[MAX_CONTEXTS];
	struct {
		int8_t newest;
		int8_t id; /* NONE: a plain one */
		uint8_t opens;
		uint8_t flags;
	} stream[MAX_STREAMS];
	int8_t named[MAX_IDS]; /* the stream that an id names */
};

enum spec_answer {
	SPEC_NO,   /* cannot have come next */
	SPEC_DONE, /* did */
	SPEC_MORE, /* did its next step and has another one */
};

void spec_init(struct spec *spec, const struct history *h);

/*
 * Step number @step of @op.  @want is @op with the answer that the state
 * gives; where it says SPEC_NO the state may have changed.  *@waits: it is
 * not the answer that forbids it.
 */
enum spec_answer spec_step(struct spec *spec, const struct history *h, const struct op *op,
			   unsigned int step, struct op *want, bool *waits);

#endif /* LINEAR_SPEC_H */
