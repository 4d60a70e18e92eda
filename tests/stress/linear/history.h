/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A concurrent history: who called what when, and what came back.  Recorded by
 * program.c, written by hand in checker.c, checked by check.c.  As text, one
 * operation on a line, '#' to the end of a line is a comment:
 *
 *   plain 1                             streams 0 .. n-1 are plain ones, set up
 *   context c0 o1 n2                    owner 1, instance 2; the program has it
 *   context c1 o1 n0 created            made by get_or_create, if at all
 *   1 3 6 insert s0 c0 = 0              thread, called, returned, what = result
 *   2 4 9 create s0 c1 = 0 c0 made      get_or_create got c0, c1 was made and lost
 *   2 10 11 open i0 existing = -ENOENT -
 *
 * s: stream, c: context, i: id, o: owner (o0: NULL), n: instance (n0: NULL).
 * A registry's stream is named by its address, so a number may come back for
 * another stream once its own is closed.
 */
#ifndef LINEAR_HISTORY_H
#define LINEAR_HISTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define MAX_THREADS  5 /* 0 is the one that sets up and cleans up */
#define MAX_CONTEXTS 48
#define MAX_STREAMS  32
#define MAX_IDS      4
#define MAX_OPS      256

#define NONE  (-1)
#define ALIEN (-2) /* a pointer that is nobody's */

enum verb {
	INSERT,
	UNIQUE,
	REPLACE,
	CREATE,
	LOOKUP,
	GET,
	REMOVE,
	DELETE,
	DETACH,
	REF,
	PUT,
	TEARDOWN,
	DISABLE,
	SUPPORTS,
	OPEN,
	FIND,
	CLOSE,
	CALLED, /* how often the callback ran, after a barrier */
	VERBS
};

/*
 * What a verb takes and gives, a letter each: s stream, c context, m match
 * (owner and instance), i id; after the '=' r result, c context, s stream.
 */
extern const struct verb_form {
	const char *name, *form;
} verb_forms[VERBS];

struct op {
	uint64_t called, returned;
	uint8_t thread, verb;
	int8_t stream, ctx, id;
	uint8_t owner, instance;
	bool existing; /* open: SCTX_OPEN_EXISTING */
	bool made;     /* create: the context was made */
	bool crossed;  /* set by check.c, see spec.h */
	int result;
	int8_t out;
};

#define OP(v) ((struct op){ .verb = (v), .stream = NONE, .ctx = NONE, .id = NONE, .out = NONE })

struct history {
	struct {
		uint8_t owner, instance;
		bool created;
	} ctx[MAX_CONTEXTS];
	unsigned int contexts, plain, ops;
	struct op op[MAX_OPS];
};

/* Does the verb's form take, or give, @letter? */
bool op_takes(const struct op *op, char letter);
bool op_gives(const struct op *op, char letter);
bool ops_overlap(const struct op *a, const struct op *b);

/* In order of the call, with stamps 1, 2, 3 ... */
void history_sort(struct history *h);

#define OP_TEXT 128
const char *op_text(const struct op *op, char text[OP_TEXT]);
const char *answer_text(const struct op *op, char text[OP_TEXT]);
void history_write(const struct history *h, FILE *file);
/* For reading: a column for each thread, a bar at what overlaps. */
void history_table(const struct history *h, FILE *file);
/* False, with a message on stderr, if it is not well formed. */
bool history_read(struct history *h, FILE *file);

#endif /* LINEAR_HISTORY_H */
