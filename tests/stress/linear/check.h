/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is there an order of a history's operations that agrees with real time and
 * in which each gives what spec.c gives?  Wing and Gong's search (Testing and
 * Verifying Concurrent Objects, 1993): take any operation that no other one
 * left has returned before, let the specification do it, go on with the rest,
 * and step back where that fails.  With Lowe's memory (Testing for
 * Linearizability, 2017): a set of operations done, and the state that they
 * led to, is looked into once.
 *
 * Partition.  Linearizability is local: a history is linearizable if and only
 * if what was done to each object is.  An object here is whatever operations
 * tie together: two of them are in one part if they name the same stream, id
 * or context, as argument or as result, or are tied by a third.  So two
 * streams are checked apart if no context was on both; a stream of the
 * registry goes with its id.  Owners and instances do not part anything:
 * (owner, NULL) and (NULL, NULL) take the newest of several, a replace keeps
 * the place of what it replaces, and a teardown ends all.
 */
#ifndef LINEAR_CHECK_H
#define LINEAR_CHECK_H

#include "spec.h"

enum verdict { LINEAR, NOT_LINEAR, GAVE_UP };

struct finding {
	enum verdict verdict;
	unsigned int parts;
	unsigned long states; /* looked into */
	/* The part that is not linearizable, and the longest order found in it. */
	struct history part;
	unsigned int prefix[MAX_OPS], length; /* operations of @part */
	struct spec state;                    /* after the prefix */
};

/* Sets @crossed in @h's operations. */
enum verdict history_check(struct history *h, struct finding *finding);

/* The prefix, and what would have had to come next. */
void finding_print(const struct finding *finding, FILE *file);

/*
 * Operations that overlap with one of another thread, and pairs of them that
 * also name the same stream, id or context.
 */
struct overlap {
	unsigned int ops, pairs, pairs_on_one;
};
struct overlap history_overlap(const struct history *h);

#endif /* LINEAR_CHECK_H */
