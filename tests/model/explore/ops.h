/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations, and the programs made of them.  A program is a line of text:
 *
 *   KIND/START: OPERATION, OPERATION | OPERATION | reclaimer
 *
 * Threads stand between bars.  KIND says what they meet on and which
 * operations there are (stream_ops.c, ordered.c, slot.c, registry.c, owner.c), START how
 * it looks before.
 * The reclaimer's thread runs when no other can, unless it is named:
 * "reclaimer" takes part and is awake, "sleeper" takes part and sleeps.  With
 * "delay" a store may be seen late (delay.h).
 *
 * A new operation is a line in a kind's table; all pairs of a kind's
 * operations are explored.  More threads, or more operations to a thread, are
 * a line in suites.c.
 */
#ifndef EXPLORE_OPS_H
#define EXPLORE_OPS_H

#include "engine.h"

/* What an operation does to what others may rely on; what it needs. */
#define OP_UNLINKS  0x01u    /* the context that hung may be gone */
#define OP_REPLACES 0x02u    /* another one may be in its place */
#define OP_ADDS     0x04u    /* a context, whether there is one or not */
#define OP_HIDES    0x08u    /* the stream refuses contexts, without an end */
#define OP_ENDS     0x10u    /* the stream ends, or is torn down */
#define OP_FREES    0x20u    /* its memory is freed: others look for it inside a section */
#define OP_HOLDS    0x40u    /* needs a reference on the context that hangs */
#define OP_LOOSE    0x80u    /* needs a reference on the context that hangs nowhere */
#define OP_OPENED   0x100u   /* needs an open reference */
#define OP_ONCE     0x200u   /* cannot meet itself */
#define OP_STREAM   0x400u   /* needs the stream that is open throughout */
#define OP_KEEPS    0x800u   /* has a reference on a context for a while */
#define OP_LEAVES   0x1000u  /* an owner unregisters */
#define OP_MODES    0x2000u  /* of reclaiming: not among the pairs */
#define OP_MOVES    0x4000u  /* hangs a context up that it did not make */
#define OP_GUARD    0x8000u  /* needs an owner that is good throughout */
#define OP_REFERS   0x10000u /* takes references, or has them */
#define OP_LONG     0x40000u /* many steps: with one preemption less than the bound */
#define OP_OTHER    0x20000u /* on where contexts are moved to: not among the pairs */
#define OP_DETACHES 0x80000u /* by pointer: from wherever it was moved to */
#define OP_DELETES  0x100000u /* puts the context that hung, which limbo then has */

struct op {
	const char *name;
	void (*run)(void);
	unsigned int flags;
};

#define STARTS_MAX 8
#define OPS_MAX    8

struct kind {
	const char *name;
	const char *starts[STARTS_MAX]; /* those that all pairs are explored from come first */
	int starts_for_pairs;
	const struct op *ops;
	void (*set_up)(int start);
	void (*finish)(void);    /* after the program, before its threads end */
	void (*check_end)(void); /* when the reclaimer has nothing left */
};

enum reclaimer { RECLAIMER_LAST, RECLAIMER_AWAKE, RECLAIMER_ASLEEP };

struct program {
	char text[256];
	const struct kind *kind;
	int start;
	int threads;
	const struct op *op[PROGRAM_MAX][OPS_MAX]; /* NULL after the last */
	enum reclaimer reclaimer;
	bool delays;        /* delay.h */
	bool by_hand;       /* no thread reclaims: set by set_up */
	unsigned int flags; /* of all operations */
};

/* The one that is being explored. */
extern struct program program;

/* How many of the program's operations have @flag. */
int program_count(unsigned int flag);
/* False if the text makes no sense. */
bool program_parse(const char *text);
/* One execution.  Complete, if the search did not give it up. */
void program_run(void);
extern bool program_complete;

extern const struct kind stream_kind, registry_kind, owner_kind, slot_kind, list_kind,
	idle_kind;

/* Owners. */
extern const char owner_a, owner_b;

struct sctx_stream;
/* The entries of @stream, which nobody uses; how many are owner A's. */
int stream_check(const struct sctx_stream *stream);

#endif /* EXPLORE_OPS_H */
