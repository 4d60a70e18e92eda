/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Histories: the operations of one execution with what they gave, judged by
 * tests/stress/linear's checker: is there an order of them in which each gives what
 * its specification gives?  So each schedule is judged, not only those that a
 * run on real processors happens to meet.
 *
 * Operations are on one stream, contexts have numbers, owners and instances
 * are 1, 2, 3 ... (0: NULL).
 */
#ifndef EXPLORE_ORDERS_H
#define EXPLORE_ORDERS_H

#include <stdbool.h>

enum verb_of_order {
	ORDER_INSERT,
	ORDER_UNIQUE,
	ORDER_REPLACE,
	ORDER_CREATE,
	ORDER_LOOKUP,
	ORDER_GET,
	ORDER_REMOVE,
	ORDER_DELETE,
	ORDER_DETACH,
	ORDER_REF,
	ORDER_TEARDOWN,
	ORDER_DISABLE,
	ORDER_SUPPORTS,
};

#define ORDER_NOTHING (-1)

/* For another execution: forget all. */
void orders_reset(void);

/* A context that the calling thread makes, with one reference or (@created) in get_or_create. */
int orders_context(int owner, int instance, bool created);

/* An operation begins (a match, a context, or neither), and has ended. */
int orders_match(enum verb_of_order verb, int owner, int instance);
int orders_call(enum verb_of_order verb, int ctx);
void orders_return(int op, int result, int out);
/* Of a get_or_create: it made its context. */
void orders_made(int op);

/* Fails the execution if no order agrees. */
void orders_check(void);

#endif /* EXPLORE_ORDERS_H */
