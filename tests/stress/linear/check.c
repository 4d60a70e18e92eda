/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATES 400000ul

/* --------------------------------------------------------------- partition */

/* Nodes of a forest: streams, ids and contexts. */
#define OBJECTS (MAX_STREAMS + MAX_IDS + MAX_CONTEXTS)

static unsigned int object(char letter, int number)
{
	switch (letter) {
	case 's':
		return (unsigned int)number;
	case 'i':
		return (unsigned int)(MAX_STREAMS + number);
	default:
		return (unsigned int)(MAX_STREAMS + MAX_IDS + number);
	}
}

/* What @op names; returns how many. */
static unsigned int objects_of(const struct op *op, unsigned int named[4])
{
	unsigned int n = 0;

	if (op_takes(op, 's'))
		named[n++] = object('s', op->stream);
	if (op_takes(op, 'i'))
		named[n++] = object('i', op->id);
	if (op_takes(op, 'c'))
		named[n++] = object('c', op->ctx);
	if (op->out >= 0)
		named[n++] = object(op_gives(op, 's') ? 's' : 'c', op->out);
	return n;
}

static unsigned int root(unsigned int *parent, unsigned int node)
{
	while (parent[node] != node)
		node = parent[node] = parent[parent[node]];
	return node;
}

/* The part that each operation belongs to, by the root of what it names. */
static void partition(const struct history *h, unsigned int part[MAX_OPS])
{
	unsigned int parent[OBJECTS], named[4];

	for (unsigned int i = 0; i < OBJECTS; i++)
		parent[i] = i;
	for (unsigned int i = 0; i < h->ops; i++) {
		unsigned int n = objects_of(&h->op[i], named);

		while (n-- > 1)
			parent[root(parent, named[n])] = root(parent, named[0]);
	}
	for (unsigned int i = 0; i < h->ops; i++) {
		objects_of(&h->op[i], named);
		part[i] = root(parent, named[0]);
	}
}

static void take_part(const struct history *h, const unsigned int part[MAX_OPS], unsigned int which,
		      struct history *out)
{
	*out = *h;
	out->ops = 0;
	for (unsigned int i = 0; i < h->ops; i++)
		if (part[i] == which)
			out->op[out->ops++] = h->op[i];
}

/* ----------------------------------------------------- what spec.h leaves open */

/* May @op hang @ctx up, or take it down? */
static bool moves(const struct op *op, int ctx)
{
	switch (op->verb) {
	case INSERT:
	case UNIQUE:
	case REPLACE:
	case CREATE:
	case DETACH:
		return op->ctx == ctx || (op->verb == REPLACE && op->out == ctx);
	case REMOVE:
		return op->out == ctx;
	case DELETE:
	case TEARDOWN:
	case CLOSE:
		return true;
	default:
		return false;
	}
}

static bool ends(const struct op *op, int stream)
{
	return (op->verb == TEARDOWN || op->verb == DISABLE || op->verb == CLOSE) &&
	       op->stream == stream;
}

static bool is_crossed(const struct history *h, const struct op *op)
{
	for (unsigned int i = 0; i < h->ops; i++) {
		const struct op *other = &h->op[i];

		if (!ops_overlap(op, other))
			continue;
		if (op->verb == SUPPORTS ? ends(other, op->stream) : moves(other, op->ctx))
			return true;
	}
	return false;
}

static void set_crossed(struct history *h)
{
	for (unsigned int i = 0; i < h->ops; i++) {
		struct op *op = &h->op[i];

		op->crossed = (op->verb == SUPPORTS || op->result == -EBUSY) && is_crossed(h, op);
	}
}

/* ------------------------------------------------------------------ memory */

#define WORDS (MAX_OPS / 64)

/* Where a search stands. */
struct place {
	uint64_t done[WORDS];
	struct spec spec;
	uint8_t step[MAX_THREADS]; /* of the operation that a thread is in */
};

/* A hash table of places, open addressing; a slot is an index + 1. */
struct memory {
	struct place *place;
	uint32_t *slot;
	size_t places, room, mask;
};

static uint64_t place_hash(const struct place *place)
{
	const unsigned char *byte = (const unsigned char *)place;
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < sizeof(*place); i++)
		hash = (hash ^ byte[i]) * 1099511628211u;
	return hash ^ hash >> 32;
}

static void *must(void *memory)
{
	if (!memory) {
		perror("linear");
		exit(2);
	}
	return memory;
}

/* The slot that names @place, or that is empty and would. */
static uint32_t *memory_slot(const struct memory *m, const struct place *place)
{
	size_t at = place_hash(place) & m->mask;

	while (m->slot[at] && memcmp(&m->place[m->slot[at] - 1], place, sizeof(*place)) != 0)
		at = (at + 1) & m->mask;
	return &m->slot[at];
}

static void memory_grow(struct memory *m)
{
	m->room = m->room ? 2 * m->room : 256;
	m->mask = 4 * m->room - 1;
	m->place = must(realloc(m->place, m->room * sizeof(*m->place)));
	free(m->slot);
	m->slot = must(calloc(m->mask + 1, sizeof(*m->slot)));
	for (size_t i = 0; i < m->places; i++)
		*memory_slot(m, &m->place[i]) = (uint32_t)i + 1;
}

/* True if @place is new. */
static bool remember(struct memory *m, const struct place *place)
{
	uint32_t *slot;

	if (m->places == m->room)
		memory_grow(m);
	slot = memory_slot(m, place);
	if (*slot)
		return false;
	m->place[m->places++] = *place;
	*slot = (uint32_t)m->places;
	return true;
}

/* ------------------------------------------------------------------ search */

struct search {
	struct finding *finding;
	struct memory memory;
	unsigned int order[MAX_OPS];
};

static bool is_done(const struct place *place, unsigned int i)
{
	return place->done[i / 64] >> (i % 64) & 1;
}

/* Operations that may come next: called before any that is left returned. */
static unsigned int next_ops(const struct history *h, const struct place *place,
			     unsigned int next[MAX_THREADS])
{
	uint64_t first_return = UINT64_MAX;
	unsigned int n = 0;

	for (unsigned int i = 0; i < h->ops && h->op[i].called < first_return; i++) {
		if (is_done(place, i))
			continue;
		next[n++] = i;
		if (h->op[i].returned < first_return)
			first_return = h->op[i].returned;
	}
	return n;
}

static bool search_from(struct search *s, const struct place *place, unsigned int length);

static bool search_step(struct search *s, const struct place *place, unsigned int length,
			unsigned int i)
{
	const struct op *op = &s->finding->part.op[i];
	struct place after = *place;
	struct op want;
	bool waits;

	switch (spec_step(&after.spec, &s->finding->part, op, after.step[op->thread], &want,
			  &waits)) {
	case SPEC_MORE:
		after.step[op->thread]++;
		return search_from(s, &after, length);
	case SPEC_DONE:
		after.step[op->thread] = 0;
		after.done[i / 64] |= UINT64_C(1) << (i % 64);
		s->order[length] = i;
		return search_from(s, &after, length + 1);
	default:
		return false;
	}
}

static void keep_prefix(struct search *s, const struct place *place, unsigned int length)
{
	if (length < s->finding->length || (length && length == s->finding->length))
		return;
	s->finding->length = length;
	s->finding->state = place->spec;
	memcpy(s->finding->prefix, s->order, length * sizeof(*s->order));
}

static bool search_from(struct search *s, const struct place *place, unsigned int length)
{
	unsigned int next[MAX_THREADS], n;

	if (s->memory.places >= MAX_STATES || !remember(&s->memory, place))
		return false;
	keep_prefix(s, place, length);
	if (length == s->finding->part.ops)
		return true;
	n = next_ops(&s->finding->part, place, next);
	for (unsigned int i = 0; i < n; i++)
		if (search_step(s, place, length, next[i]))
			return true;
	return false;
}

static enum verdict check_part(struct finding *finding)
{
	static struct search s; /* keeps its memory from one history to the next */
	struct place place;
	bool found;

	s.finding = finding;
	s.memory.places = 0;
	if (s.memory.slot)
		memset(s.memory.slot, 0, (s.memory.mask + 1) * sizeof(*s.memory.slot));
	finding->length = 0;
	memset(&place, 0, sizeof(place));
	spec_init(&place.spec, &finding->part);
	found = search_from(&s, &place, 0);
	finding->states += s.memory.places;
	if (found)
		return LINEAR;
	return s.memory.places >= MAX_STATES ? GAVE_UP : NOT_LINEAR;
}

enum verdict history_check(struct history *h, struct finding *finding)
{
	unsigned int part[MAX_OPS];

	set_crossed(h);
	partition(h, part);
	finding->verdict = LINEAR;
	finding->parts = 0;
	finding->states = 0;
	for (unsigned int which = 0; which < OBJECTS && finding->verdict == LINEAR; which++) {
		take_part(h, part, which, &finding->part);
		if (!finding->part.ops)
			continue;
		finding->parts++;
		finding->verdict = check_part(finding);
	}
	return finding->verdict;
}

/* ------------------------------------------------------------------- print */

static void print_next(const struct finding *f, const struct op *op, FILE *file)
{
	char text[OP_TEXT];
	struct spec spec = f->state;
	struct op want;
	bool waits;
	enum spec_answer is = spec_step(&spec, &f->part, op, 0, &want, &waits);

	fprintf(file, "    thread %u: %s", op->thread, op_text(op, text));
	if (is != SPEC_NO)
		fprintf(file, "    could come next, and then no other could\n");
	else if (waits)
		fprintf(file, "    would have to wait\n");
	else
		fprintf(file, "    should have been: %s\n", answer_text(&want, text));
}

static void print_lists(const struct finding *f, FILE *file)
{
	for (int i = 0; i < MAX_STREAMS; i++) {
		int ctx = f->state.stream[i].newest;

		if (ctx == NONE)
			continue;
		fprintf(file, "    s%d, newest first:", i);
		for (; ctx != NONE; ctx = f->state.ctx[ctx].older)
			fprintf(file, " c%d (o%u n%u)", ctx, f->part.ctx[ctx].owner,
				f->part.ctx[ctx].instance);
		fputc('\n', file);
	}
}

void finding_print(const struct finding *f, FILE *file)
{
	char text[OP_TEXT];
	struct place place = { .spec = f->state };
	unsigned int next[MAX_THREADS], n;

	fprintf(file, "longest order that agrees, %u of %u operations:\n", f->length, f->part.ops);
	for (unsigned int i = 0; i < f->length; i++) {
		const struct op *op = &f->part.op[f->prefix[i]];

		place.done[f->prefix[i] / 64] |= UINT64_C(1) << (f->prefix[i] % 64);
		fprintf(file, "    thread %u: %s\n", op->thread, op_text(op, text));
	}
	fprintf(file, "then:\n");
	print_lists(f, file);
	n = next_ops(&f->part, &place, next);
	for (unsigned int i = 0; i < n; i++)
		print_next(f, &f->part.op[next[i]], file);
}

/* ----------------------------------------------------------------- overlap */

static bool share(const struct op *a, const struct op *b)
{
	unsigned int of_a[4], of_b[4], n = objects_of(a, of_a), m = objects_of(b, of_b);

	for (unsigned int i = 0; i < n; i++)
		for (unsigned int j = 0; j < m; j++)
			if (of_a[i] == of_b[j])
				return true;
	return false;
}

struct overlap history_overlap(const struct history *h)
{
	struct overlap overlap = { 0, 0, 0 };

	for (unsigned int i = 0; i < h->ops; i++) {
		bool overlaps = false;

		for (unsigned int j = 0; j < h->ops; j++) {
			if (!ops_overlap(&h->op[i], &h->op[j]))
				continue;
			overlaps = true;
			overlap.pairs += i < j;
			overlap.pairs_on_one += i < j && share(&h->op[i], &h->op[j]);
		}
		overlap.ops += overlaps;
	}
	return overlap;
}
