/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "history.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct verb_form verb_forms[VERBS] = {
	[INSERT] = { "insert", "sc=r" },    [UNIQUE] = { "unique", "sc=rc" },
	[REPLACE] = { "replace", "sc=rc" }, [CREATE] = { "create", "sc=rc" },
	[LOOKUP] = { "lookup", "sm=c" },    [GET] = { "get", "sm=c" },
	[REMOVE] = { "remove", "sm=c" },    [DELETE] = { "delete", "sm=r" },
	[DETACH] = { "detach", "c=r" },     [REF] = { "ref", "c=r" },
	[PUT] = { "put", "c=r" },           [TEARDOWN] = { "teardown", "s=r" },
	[DISABLE] = { "disable", "s=r" },   [SUPPORTS] = { "supports", "s=r" },
	[OPEN] = { "open", "i=rs" },        [FIND] = { "find", "i=s" },
	[CLOSE] = { "close", "s=r" },       [CALLED] = { "called", "c=r" },
};

static const char *gives(const struct op *op)
{
	return strchr(verb_forms[op->verb].form, '=');
}

bool op_takes(const struct op *op, char letter)
{
	const char *at = strchr(verb_forms[op->verb].form, letter);

	return at && at < gives(op);
}

bool op_gives(const struct op *op, char letter)
{
	return strchr(gives(op), letter);
}

bool ops_overlap(const struct op *a, const struct op *b)
{
	return a->thread != b->thread && a->called < b->returned && b->called < a->returned;
}

static int by_call(const void *a, const void *b)
{
	const struct op *x = a, *y = b;

	return (x->called > y->called) - (x->called < y->called);
}

static int by_stamp(const void *a, const void *b)
{
	uint64_t *const *x = a, *const *y = b;

	return (**x > **y) - (**x < **y);
}

void history_sort(struct history *h)
{
	uint64_t *stamp[2 * MAX_OPS];
	unsigned int n = 0;

	qsort(h->op, h->ops, sizeof(*h->op), by_call);
	for (unsigned int i = 0; i < h->ops; i++) {
		stamp[n++] = &h->op[i].called;
		stamp[n++] = &h->op[i].returned;
	}
	qsort(stamp, n, sizeof(*stamp), by_stamp);
	for (unsigned int i = 0; i < n; i++)
		*stamp[i] = i + 1;
}

/* ------------------------------------------------------------------- write */

__attribute__((format(printf, 2, 3))) static void add(char *text, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, OP_TEXT - length, format, args);
	va_end(args);
}

static void add_named(char *text, char letter, int number)
{
	if (number == NONE)
		add(text, " -");
	else if (number == ALIEN)
		add(text, " ?");
	else
		add(text, " %c%d", letter, number);
}

static void add_result(char *text, int result)
{
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (name)
		add(text, " -%s", name);
	else
		add(text, " %d", result);
}

static void add_answer(char *text, const struct op *op)
{
	if (op_gives(op, 'r'))
		add_result(text, op->result);
	if (op_gives(op, 'c'))
		add_named(text, 'c', op->out);
	if (op_gives(op, 's'))
		add_named(text, 's', op->out);
}

const char *answer_text(const struct op *op, char text[OP_TEXT])
{
	text[0] = '\0';
	add_answer(text, op);
	return text + 1;
}

const char *op_text(const struct op *op, char text[OP_TEXT])
{
	text[0] = '\0';
	add(text, "%s", verb_forms[op->verb].name);
	if (op_takes(op, 's'))
		add_named(text, 's', op->stream);
	if (op_takes(op, 'c'))
		add_named(text, 'c', op->ctx);
	if (op_takes(op, 'i'))
		add_named(text, 'i', op->id);
	if (op_takes(op, 'm'))
		add(text, " o%u n%u", op->owner, op->instance);
	add(text, "%s =", op->existing ? " existing" : "");
	add_answer(text, op);
	add(text, "%s", op->made ? " made" : "");
	return text;
}

void history_write(const struct history *h, FILE *file)
{
	char text[OP_TEXT];

	fprintf(file, "plain %u\n", h->plain);
	for (unsigned int i = 0; i < h->contexts; i++)
		fprintf(file, "context c%u o%u n%u%s\n", i, h->ctx[i].owner, h->ctx[i].instance,
			h->ctx[i].created ? " created" : "");
	for (unsigned int i = 0; i < h->ops; i++)
		fprintf(file, "%u %llu %llu %s\n", h->op[i].thread,
			(unsigned long long)h->op[i].called, (unsigned long long)h->op[i].returned,
			op_text(&h->op[i], text));
}

/* A bar: it overlaps with another thread's. */
void history_table(const struct history *h, FILE *file)
{
	char text[OP_TEXT];

	fprintf(file, "thread called returned  operation\n");
	for (unsigned int i = 0; i < h->ops; i++) {
		const struct op *op = &h->op[i];
		int indent = 3 * op->thread;
		bool overlaps = false;

		for (unsigned int j = 0; j < h->ops; j++)
			overlaps |= ops_overlap(op, &h->op[j]);
		fprintf(file, "%4u %8llu %8llu  %c %*s%s\n", op->thread,
			(unsigned long long)op->called, (unsigned long long)op->returned,
			overlaps ? '|' : ' ', indent, "", op_text(op, text));
	}
}

/* -------------------------------------------------------------------- read */

static bool read_number(const char *token, int max, int *number)
{
	char *end;
	long value = strtol(token, &end, 10);

	*number = (int)value;
	return end != token && !*end && value >= 0 && value < max;
}

static bool read_result(const char *token, int *result)
{
	char *end;

	*result = (int)strtol(token, &end, 10);
	if (end != token)
		return !*end;
	for (int error = 1; error < 256 && token[0] == '-'; error++) {
		const char *name = strerrorname_np(error);

		*result = -error;
		if (name && strcmp(name, token + 1) == 0)
			return true;
	}
	return false;
}

static bool read_operand(struct op *op, const char *token)
{
	int number;
	bool ok;

	if (strcmp(token, "existing") == 0)
		return op->existing = op->verb == OPEN;
	switch (token[0]) {
	case 's':
		ok = read_number(token + 1, MAX_STREAMS, &number);
		op->stream = (int8_t)number;
		return ok && op_takes(op, 's');
	case 'c':
		ok = read_number(token + 1, MAX_CONTEXTS, &number);
		op->ctx = (int8_t)number;
		return ok && op_takes(op, 'c');
	case 'i':
		ok = read_number(token + 1, MAX_IDS, &number);
		op->id = (int8_t)number;
		return ok && op_takes(op, 'i');
	case 'o':
		ok = read_number(token + 1, 256, &number);
		op->owner = (uint8_t)number;
		return ok && op_takes(op, 'm');
	case 'n':
		ok = read_number(token + 1, 256, &number);
		op->instance = (uint8_t)number;
		return ok && op_takes(op, 'm');
	}
	return false;
}

static bool read_answer(struct op *op, const char *token)
{
	int number;

	if (strcmp(token, "made") == 0)
		return op->made = op->verb == CREATE;
	if (strcmp(token, "-") == 0 || strcmp(token, "?") == 0) {
		op->out = token[0] == '-' ? NONE : ALIEN;
		return op_gives(op, 'c') || op_gives(op, 's');
	}
	if (token[0] == 'c' || token[0] == 's') {
		if (!op_gives(op, token[0]) ||
		    !read_number(token + 1, token[0] == 'c' ? MAX_CONTEXTS : MAX_STREAMS, &number))
			return false;
		op->out = (int8_t)number;
		return true;
	}
	return op_gives(op, 'r') && read_result(token, &op->result);
}

static bool complete(const struct op *op)
{
	return op->called < op->returned && (op->stream != NONE || !op_takes(op, 's')) &&
	       (op->ctx != NONE || !op_takes(op, 'c')) && (op->id != NONE || !op_takes(op, 'i'));
}

static bool read_op(struct op *op, unsigned int thread, unsigned long long called,
		    unsigned long long returned, char *rest)
{
	bool after = false, ok = true;
	const char *token = strtok(rest, " \t\n");
	unsigned int verb = 0;

	while (verb < VERBS && token && strcmp(token, verb_forms[verb].name) != 0)
		verb++;
	if (verb == VERBS || !token || thread >= MAX_THREADS)
		return false;
	*op = OP((uint8_t)verb);
	op->thread = (uint8_t)thread;
	op->called = called;
	op->returned = returned;
	while (ok && (token = strtok(NULL, " \t\n"))) {
		if (strcmp(token, "=") == 0)
			after = true;
		else
			ok = after ? read_answer(op, token) : read_operand(op, token);
	}
	return ok && after && complete(op);
}

static bool read_context(struct history *h, unsigned int c, unsigned int owner,
			 unsigned int instance, const char *rest)
{
	if (c != h->contexts || c >= MAX_CONTEXTS || !owner || owner > 255 || instance > 255)
		return false;
	h->ctx[c].owner = (uint8_t)owner;
	h->ctx[c].instance = (uint8_t)instance;
	h->ctx[c].created = strstr(rest, "created");
	h->contexts++;
	return true;
}

static bool read_line(struct history *h, char *line)
{
	unsigned int a, b, c;
	unsigned long long called, returned;
	int end = 0;

	line[strcspn(line, "#\n")] = '\0';
	if (strspn(line, " \t") == strlen(line))
		return true;
	if (sscanf(line, " plain %u %n", &a, &end) == 1) {
		h->plain = a;
		return a <= MAX_STREAMS;
	}
	if (sscanf(line, " context c%u o%u n%u%n", &a, &b, &c, &end) == 3)
		return read_context(h, a, b, c, line + end);
	if (h->ops == MAX_OPS ||
	    sscanf(line, " %u %llu %llu %n", &a, &called, &returned, &end) != 3)
		return false;
	return read_op(&h->op[h->ops++], a, called, returned, line + end);
}

/* What is named must have been declared; a thread does one thing at a time. */
static const char *wrong(const struct history *h)
{
	uint64_t returned[MAX_THREADS] = { 0 };

	for (unsigned int i = 0; i < h->ops; i++) {
		const struct op *op = &h->op[i];

		if (op->ctx >= (int)h->contexts ||
		    (op_gives(op, 'c') && op->out >= (int)h->contexts))
			return "a context is not declared";
		if (op->called < returned[op->thread])
			return "a thread does two things at a time";
		returned[op->thread] = op->returned;
	}
	return h->ops ? NULL : "no operations";
}

bool history_read(struct history *h, FILE *file)
{
	char line[256];

	memset(h, 0, sizeof(*h));
	for (unsigned int n = 1; fgets(line, sizeof(line), file); n++) {
		char copy[256];

		strcpy(copy, line);
		if (!read_line(h, line)) {
			fprintf(stderr, "line %u: not understood: %s", n, copy);
			return false;
		}
	}
	history_sort(h);
	if (wrong(h))
		fprintf(stderr, "%s\n", wrong(h));
	return !wrong(h);
}
