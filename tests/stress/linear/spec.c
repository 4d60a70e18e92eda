/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spec.h"

#include <errno.h>
#include <string.h>

/* Flags of a stream; one that was never opened, or was closed, has none. */
#define LIVE     1 /* a plain one, or open, or not yet torn down by its close */
#define DISABLED 2
#define TORN     4

/* A call in the making. */
struct call {
	struct spec *spec;
	const struct history *h;
	const struct op *op;
	struct op *want;
	bool *waits;
};

void spec_init(struct spec *spec, const struct history *h)
{
	memset(spec, 0, sizeof(*spec));
	memset(spec->named, NONE, sizeof(spec->named));
	for (unsigned int i = 0; i < MAX_CONTEXTS; i++) {
		spec->ctx[i].on = spec->ctx[i].older = NONE;
		spec->ctx[i].refs = i < h->contexts && !h->ctx[i].created ? 1 : UNBORN;
	}
	for (unsigned int i = 0; i < MAX_STREAMS; i++) {
		spec->stream[i].newest = spec->stream[i].id = NONE;
		spec->stream[i].flags = i < h->plain ? LIVE : 0;
	}
}

/* Whether the call got what the state gives. */
static enum spec_answer answer(const struct call *c, int result, int out)
{
	*c->want = *c->op;
	c->want->result = result;
	c->want->out = (int8_t)out;
	if (op_gives(c->op, 'r') && c->op->result != result)
		return SPEC_NO;
	if ((op_gives(c->op, 'c') || op_gives(c->op, 's')) && c->op->out != out)
		return SPEC_NO;
	return SPEC_DONE;
}

/* -------------------------------------------------------------- the list */

static bool matches(const struct call *c, int ctx, unsigned int owner, unsigned int instance)
{
	if (!owner)
		return !instance;
	return c->h->ctx[ctx].owner == owner && (!instance || c->h->ctx[ctx].instance == instance);
}

/* The newest that matches; a disabled stream shows none. */
static int find(const struct call *c, unsigned int owner, unsigned int instance)
{
	int ctx = c->spec->stream[c->op->stream].newest;

	if (c->spec->stream[c->op->stream].flags & DISABLED)
		return NONE;
	while (ctx != NONE && !matches(c, ctx, owner, instance))
		ctx = c->spec->ctx[ctx].older;
	return ctx;
}

/* Where the list names @ctx. */
static int8_t *link_of(struct spec *spec, int stream, int ctx)
{
	int8_t *link = &spec->stream[stream].newest;

	while (*link != ctx)
		link = &spec->ctx[*link].older;
	return link;
}

static void hang(struct spec *spec, int stream, int ctx, int8_t *link)
{
	spec->ctx[ctx].on = (int8_t)stream;
	spec->ctx[ctx].older = *link;
	*link = (int8_t)ctx;
}

static void unhang(struct spec *spec, int ctx)
{
	*link_of(spec, spec->ctx[ctx].on, ctx) = spec->ctx[ctx].older;
	spec->ctx[ctx].on = spec->ctx[ctx].older = NONE;
}

/*
 * The last one goes to limbo, which a borrower's new reference does not end.
 * Whether it was the last is not told by this order: a get that comes before
 * may have taken its reference after, on what it had borrowed.
 */
static void drop(struct spec *spec, int ctx)
{
	spec->ctx[ctx].refs--;
	spec->ctx[ctx].limbo = true;
}

static void tear_down(struct spec *spec, int stream)
{
	while (spec->stream[stream].newest != NONE) {
		int ctx = spec->stream[stream].newest;

		unhang(spec, ctx);
		drop(spec, ctx);
	}
	spec->stream[stream].flags |= TORN;
}

/* ---------------------------------------------------------------- inserts */

static int refusal(const struct call *c)
{
	uint8_t flags = c->spec->stream[c->op->stream].flags;

	if (flags & TORN)
		return -ESHUTDOWN;
	return flags & LIVE && !(flags & DISABLED) ? 0 : -EOPNOTSUPP;
}

/*
 * What limbo holds is not hung up; when limbo has let go is not the caller's
 * to see.
 */
static bool in_limbo(const struct call *c)
{
	return c->spec->ctx[c->op->ctx].limbo && c->op->result == -EBADF;
}

static bool is_busy(const struct call *c)
{
	return c->spec->ctx[c->op->ctx].on != NONE || (c->op->crossed && c->op->result == -EBUSY);
}

/* The context that an insert of this one would meet. */
static int met(const struct call *c)
{
	return find(c, c->h->ctx[c->op->ctx].owner, c->h->ctx[c->op->ctx].instance);
}

static void append(const struct call *c)
{
	hang(c->spec, c->op->stream, c->op->ctx, &c->spec->stream[c->op->stream].newest);
}

static enum spec_answer do_insert(const struct call *c)
{
	int error = refusal(c);

	if (!error && in_limbo(c))
		error = -EBADF;
	if (!error && is_busy(c))
		error = -EBUSY;
	if (!error)
		append(c);
	return answer(c, error, NONE);
}

static enum spec_answer do_unique(const struct call *c)
{
	int there = refusal(c) ? NONE : met(c);

	if (there == NONE)
		return do_insert(c);
	c->spec->ctx[there].refs++;
	return answer(c, -EEXIST, there);
}

static enum spec_answer do_replace(const struct call *c)
{
	int there = refusal(c) ? NONE : met(c);
	int8_t *link;

	if (there == NONE || in_limbo(c) || is_busy(c))
		return do_insert(c);
	link = link_of(c->spec, c->op->stream, there);
	unhang(c->spec, there);
	hang(c->spec, c->op->stream, c->op->ctx, link);
	return answer(c, 0, there);
}

/* @made says whether the caller's function was called; it need not be. */
static enum spec_answer do_create(const struct call *c)
{
	int error = refusal(c), there = met(c);

	if (c->op->made)
		c->spec->ctx[c->op->ctx].refs = 0;
	if (there != NONE) {
		c->spec->ctx[there].refs++;
		return answer(c, 0, there);
	}
	if (error)
		return answer(c, error, NONE);
	if (!c->op->made)
		return answer(c, 0, c->op->ctx), SPEC_NO;
	c->spec->ctx[c->op->ctx].refs = 2;
	append(c);
	return answer(c, 0, c->op->ctx);
}

/* ------------------------------------------------- lookups and removes */

static enum spec_answer do_lookup(const struct call *c)
{
	return answer(c, 0, find(c, c->op->owner, c->op->instance));
}

static enum spec_answer do_get(const struct call *c)
{
	int there = find(c, c->op->owner, c->op->instance);

	if (there != NONE)
		c->spec->ctx[there].refs++;
	return answer(c, 0, there);
}

/* The stream's reference moves to the caller. */
static enum spec_answer do_remove(const struct call *c)
{
	int there = find(c, c->op->owner, c->op->instance);

	if (there != NONE)
		unhang(c->spec, there);
	return answer(c, 0, there);
}

static enum spec_answer do_delete(const struct call *c)
{
	int there = find(c, c->op->owner, c->op->instance);

	if (there == NONE)
		return answer(c, -ENOENT, NONE);
	unhang(c->spec, there);
	drop(c->spec, there);
	return answer(c, 0, NONE);
}

static enum spec_answer do_detach(const struct call *c)
{
	if (c->spec->ctx[c->op->ctx].on == NONE)
		return answer(c, -ENOENT, NONE);
	unhang(c->spec, c->op->ctx);
	drop(c->spec, c->op->ctx);
	return answer(c, 0, NONE);
}

static enum spec_answer do_ref(const struct call *c)
{
	c->spec->ctx[c->op->ctx].refs++;
	return answer(c, 0, NONE);
}

static enum spec_answer do_put(const struct call *c)
{
	int8_t *refs = &c->spec->ctx[c->op->ctx].refs;

	if (*refs <= 0)
		return answer(c, -EBADF, NONE);
	if (*refs == 1 && c->spec->ctx[c->op->ctx].on != NONE)
		return answer(c, -EBUSY, NONE);
	drop(c->spec, c->op->ctx);
	return answer(c, 0, NONE);
}

static enum spec_answer do_called(const struct call *c)
{
	return answer(c, c->spec->ctx[c->op->ctx].refs == 0, NONE);
}

/* ----------------------------------------------------------------- streams */

static enum spec_answer do_teardown(const struct call *c)
{
	if (c->spec->stream[c->op->stream].id != NONE)
		return answer(c, -EPERM, NONE);
	tear_down(c->spec, c->op->stream);
	return answer(c, 0, NONE);
}

static enum spec_answer do_disable(const struct call *c)
{
	c->spec->stream[c->op->stream].flags |= DISABLED;
	return answer(c, 0, NONE);
}

static enum spec_answer do_supports(const struct call *c)
{
	return answer(c, c->op->crossed ? c->op->result : refusal(c) == 0, NONE);
}

/* ---------------------------------------------------------------- registry */

static bool is_open(const struct spec *spec, int stream)
{
	return stream != NONE && spec->stream[stream].opens;
}

static enum spec_answer wait(const struct call *c)
{
	*c->want = *c->op;
	*c->waits = true;
	return SPEC_NO;
}

/* A new stream has an address that no other has at the time. */
static enum spec_answer open_new(const struct call *c)
{
	int stream = c->op->out;

	if (stream < 0 || c->spec->stream[stream].flags & LIVE)
		return answer(c, 0, NONE), SPEC_NO;
	c->spec->stream[stream].flags = LIVE;
	c->spec->stream[stream].opens = 1;
	c->spec->stream[stream].id = c->op->id;
	c->spec->named[c->op->id] = (int8_t)stream;
	return answer(c, 0, stream);
}

static enum spec_answer do_open(const struct call *c)
{
	int stream = c->spec->named[c->op->id];

	if (is_open(c->spec, stream)) {
		c->spec->stream[stream].opens++;
		return answer(c, 0, stream);
	}
	if (c->op->existing)
		return answer(c, -ENOENT, NONE);
	return stream == NONE ? open_new(c) : wait(c);
}

static enum spec_answer do_find(const struct call *c)
{
	return answer(c, 0, c->spec->named[c->op->id]);
}

/* The last close: 1st step dead, 2nd not named, 3rd torn down. */
static enum spec_answer close_step(const struct call *c, unsigned int step)
{
	int stream = c->op->stream;

	if (step == 0) {
		if (!is_open(c->spec, stream))
			return answer(c, -EBADF, NONE);
		if (--c->spec->stream[stream].opens)
			return answer(c, 0, NONE);
		return answer(c, 0, NONE) == SPEC_NO ? SPEC_NO : SPEC_MORE;
	}
	if (step == 1) {
		c->spec->named[c->spec->stream[stream].id] = NONE;
		return SPEC_MORE;
	}
	tear_down(c->spec, stream);
	c->spec->stream[stream].flags = TORN;
	c->spec->stream[stream].id = NONE;
	return SPEC_DONE;
}

enum spec_answer spec_step(struct spec *spec, const struct history *h, const struct op *op,
			   unsigned int step, struct op *want, bool *waits)
{
	static enum spec_answer (*const verbs[VERBS])(const struct call *c) = {
		[INSERT] = do_insert,   [UNIQUE] = do_unique,     [REPLACE] = do_replace,
		[CREATE] = do_create,   [LOOKUP] = do_lookup,     [GET] = do_get,
		[REMOVE] = do_remove,   [DELETE] = do_delete,     [DETACH] = do_detach,
		[REF] = do_ref,         [PUT] = do_put,           [TEARDOWN] = do_teardown,
		[DISABLE] = do_disable, [SUPPORTS] = do_supports, [OPEN] = do_open,
		[FIND] = do_find,       [CALLED] = do_called,
	};
	struct call call = { spec, h, op, want, waits };

	*waits = false;
	return op->verb == CLOSE ? close_step(&call, step) : verbs[op->verb](&call);
}
