/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "program.h"

#include "worker.h"

/* ---------------------------------------------------------------- profiles */

/* Not verbs, but several of them in one read section. */
enum { VISIT = VERBS, GRAB, CHOICES };

struct profile {
	const char *name;
	unsigned int plain, ids, owners, instances, prefill;
	uint8_t weight[CHOICES]; /* how often each choice comes up */
};

/* clang-format off */
static const struct profile profiles[] = {
	{ "list", 1, 0, 2, 2, 4, {
		[INSERT] = 6, [UNIQUE] = 3, [REPLACE] = 3, [CREATE] = 3, [LOOKUP] = 6, [GET] = 3,
		[REMOVE] = 5, [DELETE] = 3, [DETACH] = 3, [REF] = 1, [PUT] = 3, [GRAB] = 2 } },
	{ "unique", 1, 0, 1, 1, 1, {
		[UNIQUE] = 5, [REPLACE] = 4, [CREATE] = 4, [LOOKUP] = 5, [GET] = 2, [REMOVE] = 4,
		[DELETE] = 2, [PUT] = 2, [GRAB] = 1 } },
	{ "newest", 1, 0, 2, 2, 12, {
		[INSERT] = 6, [REPLACE] = 2, [LOOKUP] = 9, [GET] = 3, [REMOVE] = 3, [DETACH] = 6,
		[GRAB] = 2 } },
	{ "moves", 2, 0, 2, 1, 3, {
		[INSERT] = 6, [UNIQUE] = 2, [REPLACE] = 3, [LOOKUP] = 4, [GET] = 4, [REMOVE] = 5,
		[DETACH] = 4, [PUT] = 2, [GRAB] = 2 } },
	{ "shared", 2, 0, 1, 0, 2, {
		[INSERT] = 7, [REPLACE] = 1, [GET] = 5, [REMOVE] = 4, [DELETE] = 2, [DETACH] = 4,
		[PUT] = 5, [GRAB] = 8 } },
	{ "teardown", 1, 0, 2, 1, 3, {
		[INSERT] = 6, [UNIQUE] = 3, [REPLACE] = 2, [CREATE] = 3, [LOOKUP] = 4, [GET] = 2,
		[REMOVE] = 4, [DETACH] = 2, [TEARDOWN] = 3, [DISABLE] = 1, [SUPPORTS] = 2 } },
	{ "open", 0, 1, 1, 1, 1, {
		[OPEN] = 8, [CLOSE] = 7, [FIND] = 4, [INSERT] = 2, [CREATE] = 2, [LOOKUP] = 2,
		[VISIT] = 4 } },
	{ "all", 1, 2, 2, 1, 2, {
		[OPEN] = 6, [CLOSE] = 5, [FIND] = 2, [INSERT] = 4, [UNIQUE] = 2, [REPLACE] = 2,
		[CREATE] = 3, [LOOKUP] = 3, [GET] = 3, [REMOVE] = 4, [DELETE] = 1, [DETACH] = 2,
		[REF] = 1, [PUT] = 3, [TEARDOWN] = 1, [SUPPORTS] = 1, [VISIT] = 4, [GRAB] = 2 } },
};
/* clang-format on */

/* ----------------------------------------------------------------- choosing */

static unsigned int roll(struct worker *w, unsigned int n)
{
	return (unsigned int)(test_random(&w->seed) % n);
}

static unsigned int choose(struct worker *w, const struct profile *p)
{
	unsigned int sum = 0, at, choice = 0;

	for (unsigned int i = 0; i < CHOICES; i++)
		sum += p->weight[i];
	for (at = roll(w, sum); at >= p->weight[choice]; choice++)
		at -= p->weight[choice];
	return choice;
}

/* Where to work: the stream that is borrowed, a plain one, or an open one. */
static struct sctx_stream *some_stream(struct worker *w)
{
	unsigned int plain = w->round->profile->plain, at;

	if (w->borrowed)
		return w->borrowed;
	if (!(plain + w->opens))
		return NULL;
	at = roll(w, plain + w->opens);
	return at < plain ? &w->round->plain[at] : w->open[at - plain];
}

static void some_match(struct worker *w, struct op *op)
{
	op->owner = (uint8_t)(roll(w, 5) ? 1 + roll(w, w->round->profile->owners) : 0);
	op->instance = (uint8_t)roll(w, w->round->profile->instances + 1);
	if (!op->owner && roll(w, 16))
		op->instance = 0;
}

static int some_context(struct worker *w, unsigned int verb)
{
	if (verb == CREATE)
		return w->creates ? w->create[--w->creates] : NONE;
	return w->holds ? w->hold[roll(w, w->holds)] : NONE;
}

/* False if there is nothing to do it with. */
static bool prepare(struct worker *w, unsigned int verb, struct record *r)
{
	struct op *op = &r->op;

	*r = (struct record){ .op = OP((uint8_t)verb) };
	if (op_takes(op, 's')) {
		r->stream = some_stream(w);
		if (!r->stream)
			return false;
	}
	if (op_takes(op, 'c')) {
		op->ctx = (int8_t)some_context(w, verb);
		if (op->ctx == NONE)
			return false;
	}
	if (op_takes(op, 'm'))
		some_match(w, op);
	if (op_takes(op, 'i'))
		op->id = (int8_t)roll(w, w->round->profile->ids);
	if (verb == OPEN)
		op->existing = roll(w, 4) == 0;
	if (verb == CLOSE) {
		if (!w->opens)
			return false;
		r->stream = w->open[roll(w, w->opens)];
	}
	return true;
}

/* ----------------------------------------------------------------- running */

static void try_verb(struct worker *w, unsigned int verb)
{
	struct record r;

	if (prepare(w, verb, &r))
		worker_do(w, &r);
}

/* Borrow a stream by id and use it, open or not. */
static void visit(struct worker *w)
{
	static const uint8_t what[] = { LOOKUP, GET, INSERT, REMOVE, SUPPORTS, CREATE, FIND };
	struct record r;

	sctx_read_lock();
	prepare(w, FIND, &r);
	w->borrowed = worker_do(w, &r)->out_stream;
	if (w->borrowed) {
		try_verb(w, what[roll(w, ARRAY_SIZE(what))]);
		try_verb(w, what[roll(w, ARRAY_SIZE(what))]);
	}
	w->borrowed = NULL;
	sctx_read_unlock();
}

/* Borrow a context and take a reference on it, or unlink it. */
static void grab(struct worker *w)
{
	struct record r, second = { .op = OP((uint8_t)(roll(w, 2) ? REF : DETACH)) };

	if (!prepare(w, LOOKUP, &r))
		return;
	sctx_read_lock();
	second.op.ctx = worker_do(w, &r)->op.out;
	if (second.op.ctx >= 0)
		worker_do(w, &second);
	sctx_read_unlock();
}

/* So that the threads fall into each other's operations. */
static void dawdle(struct worker *w)
{
	unsigned int how = roll(w, 16);

	if (how == 0)
		sched_yield();
	for (unsigned int n = how < 8 ? roll(w, 1u << how) : 0; n; n--)
		atomic_signal_fence(memory_order_seq_cst);
}

void round_run(struct round *round, unsigned int thread)
{
	struct worker *w = &round->worker[thread];

	for (unsigned int tries = 0; w->records < round->length && tries < 64; tries++) {
		unsigned int choice = choose(w, round->profile);

		dawdle(w);
		if (choice == VISIT)
			visit(w);
		else if (choice == GRAB)
			grab(w);
		else
			try_verb(w, choice);
	}
}

/* ------------------------------------------------------ set up, take down */

static void do_now(struct worker *w, unsigned int verb, struct sctx_stream *stream, int ctx)
{
	struct record r = { .op = OP((uint8_t)verb), .stream = stream };

	r.op.ctx = (int8_t)ctx;
	worker_do(w, &r);
}

/* Contexts that each thread begins with, and others for get_or_create. */
#define OWN     4
#define CREATED 3

static int new_context(struct round *round, struct worker *w, bool created)
{
	int c = (int)round->cells++;
	unsigned int owner = 1 + roll(w, round->profile->owners);
	unsigned int instance = roll(w, round->profile->instances + 1);

	CHECK(round->cells <= MAX_CONTEXTS);
	round->history.ctx[c].owner = (uint8_t)owner;
	round->history.ctx[c].instance = (uint8_t)instance;
	round->history.ctx[c].created = created;
	if (!created)
		CHECK_EQ(sctx_context_init(&round->cell[c].ctx, OWNER(owner),
					   instance ? INST(instance) : NULL, cell_called),
			 0);
	return c;
}

static void give_contexts(struct round *round)
{
	struct worker *w = &round->worker[0];

	for (unsigned int t = 1; t <= round->threads; t++) {
		for (unsigned int i = 0; i < OWN; i++)
			worker_hold(&round->worker[t], new_context(round, w, false));
		for (unsigned int i = 0; i < CREATED; i++)
			round->worker[t].create[round->worker[t].creates++] =
				new_context(round, w, true);
	}
}

/* One of the streams is open already, some contexts hang and have a holder. */
static void set_up(struct round *round)
{
	const struct profile *p = round->profile;
	struct worker *w = &round->worker[0];
	unsigned int n = roll(w, p->prefill + 1);

	if (p->ids && roll(w, 2)) {
		struct record r = { .op = OP(OPEN) };
		struct worker *heir = &round->worker[1 + roll(w, round->threads)];

		r.op.id = (int8_t)roll(w, p->ids);
		worker_open(heir, worker_do(w, &r)->out_stream);
	}
	while (n-- && (p->plain || w->opens)) {
		struct worker *heir = &round->worker[1 + roll(w, round->threads)];
		int c = new_context(round, w, false);

		worker_hold(w, c);
		do_now(w, INSERT, some_stream(w), c);
		if (roll(w, 2)) {
			do_now(w, REF, NULL, c);
			worker_hold(heir, c);
			w->holds = 0;
		}
	}
	w->opens = 0; /* the heir's */
}

/* So that a new round meets nothing of an older one. */
static void name_ids(struct round *round)
{
	static unsigned long used;

	for (unsigned int i = 0; i < round->profile->ids; i++)
		round->id[i] = id_of(used++);
}

static uint64_t mix(uint64_t seed, uint64_t number)
{
	uint64_t state = seed ^ number * 0xd1342543de82ef95u;

	return test_random(&state);
}

static const struct profile *some_profile(struct worker *w)
{
	const char *only = getenv("SCTX_LINEAR_PROFILE");
	const struct profile *p = &profiles[roll(w, ARRAY_SIZE(profiles))];

	for (size_t i = 0; only && i < ARRAY_SIZE(profiles); i++)
		if (strcmp(profiles[i].name, only) == 0)
			p = &profiles[i];
	return p;
}

struct round *round_new(uint64_t seed, unsigned long number, unsigned int threads,
			struct sctx_registry *registry)
{
	struct round *round = calloc(1, sizeof(*round));

	CHECK(round && threads < MAX_THREADS);
	round->number = number;
	round->threads = threads;
	round->registry = registry;
	for (unsigned int t = 0; t < MAX_THREADS; t++) {
		round->worker[t].round = round;
		round->worker[t].seed = mix(mix(seed, number), t);
	}
	round->profile = some_profile(&round->worker[0]);
	round->length = 4 + roll(&round->worker[0], 3);
	for (unsigned int i = 0; i < round->profile->plain; i++)
		CHECK_EQ(sctx_stream_init(&round->plain[i]), 0);
	name_ids(round);
	give_contexts(round);
	set_up(round);
	return round;
}

const char *round_profile(const struct round *round)
{
	return round->profile->name;
}

/* What hangs, in order; or what is left to be torn down. */
static void empty(struct worker *w, struct sctx_stream *stream)
{
	struct record r = { .op = OP(REMOVE), .stream = stream };

	if (roll(w, 2))
		for (unsigned int n = 0; n < 20 && worker_do(w, &r)->op.out >= 0; n++)
			;
	r.op = OP(LOOKUP);
	worker_do(w, &r);
}

static void inherit(struct round *round)
{
	struct worker *w = &round->worker[0];

	for (unsigned int t = 1; t <= round->threads; t++) {
		const struct worker *from = &round->worker[t];

		for (unsigned int i = 0; i < from->holds; i++)
			worker_hold(w, from->hold[i]);
		for (unsigned int i = 0; i < from->opens; i++)
			worker_open(w, from->open[i]);
	}
}

void round_finish(struct round *round)
{
	struct worker *w = &round->worker[0];
	struct record r = { .op = OP(FIND) };

	inherit(round);
	for (unsigned int i = 0; i < round->profile->plain; i++) {
		empty(w, &round->plain[i]);
		do_now(w, TEARDOWN, &round->plain[i], NONE);
	}
	while (w->opens) {
		empty(w, w->open[0]);
		do_now(w, CLOSE, w->open[0], NONE);
	}
	for (r.op.id = 0; r.op.id < (int)round->profile->ids; r.op.id++)
		worker_do(w, &r);
	while (w->holds)
		do_now(w, PUT, NULL, w->hold[w->holds - 1]);
}

/* ----------------------------------------------------------------- history */

struct numbers {
	const struct sctx_stream *stream[MAX_STREAMS];
	unsigned int n;
};

static int8_t number(struct numbers *numbers, const struct sctx_stream *stream)
{
	unsigned int i = 0;

	if (!stream)
		return NONE;
	while (i < numbers->n && numbers->stream[i] != stream)
		i++;
	CHECK(i < MAX_STREAMS);
	if (i == numbers->n)
		numbers->stream[numbers->n++] = stream;
	return (int8_t)i;
}

static void add_records(struct history *h, const struct worker *w, struct numbers *numbers)
{
	for (unsigned int i = 0; i < w->records; i++) {
		const struct record *r = &w->record[i];
		struct op *op = &h->op[h->ops++];

		CHECK(h->ops <= MAX_OPS);
		*op = r->op;
		op->stream = number(numbers, r->stream);
		if (op_gives(op, 's'))
			op->out = number(numbers, r->out_stream);
	}
}

void round_history(struct round *round, struct history *h)
{
	struct numbers numbers = { .n = 0 };

	for (unsigned int i = 0; i < round->cells; i++)
		do_now(&round->worker[0], CALLED, NULL, (int)i);
	*h = round->history;
	h->contexts = round->cells;
	h->plain = round->profile->plain;
	for (unsigned int i = 0; i < h->plain; i++)
		number(&numbers, &round->plain[i]);
	for (unsigned int t = 0; t <= round->threads; t++)
		add_records(h, &round->worker[t], &numbers);
	history_sort(h);
}

void round_free(struct round *round)
{
	free(round);
}
