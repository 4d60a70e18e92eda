/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: modules.  Each worker's registers as an owner of the hot registry,
 * attaches at open or not, has contexts on streams and leaves, again and
 * again.  Whoever looks for any context finds a module's, too, and may hold it
 * when the module wants to leave: then it tries again later.
 *
 * Once it has left no callback comes: a record's callback and `detached' look
 * whether the module is there.
 */
#include "torture.h"

struct module {
	struct sctx_owner *owner;
	atomic_bool there;
	atomic_bool leaving; /* what attach makes may be refused */
};

static atomic_ulong left;

unsigned long modules_left(void)
{
	return atomic_load(&left);
}

static void check_there(const struct sctx_context *ctx, const char *what)
{
	const struct module *m = sctx_owner_arg(ctx->owner);

	if (!atomic_load_explicit(&m->there, RELAXED))
		wrong(guest(), record_of((struct sctx_context *)ctx), "%s, and its module has left",
		      what);
}

static void detached(struct sctx_context *ctx)
{
	check_there(ctx, "detached");
	atomic_fetch_add_explicit(&record_of(ctx)->unlinks, 1, RELAXED);
}

static void module_free(struct sctx_context *ctx)
{
	const struct module *m = sctx_owner_arg(ctx->owner);
	struct record *r = record_of(ctx);
	int links = atomic_load_explicit(&r->links, RELAXED);
	int unlinks = atomic_load_explicit(&r->unlinks, RELAXED);

	check_there(ctx, "called back");
	if (unlinks != links && !(unlinks == 0 && atomic_load(&m->leaving)))
		wrong(guest(), r, "linked %d times, and its module was told of %d unlinks", links,
		      unlinks);
	record_callback(ctx);
}

static int attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg, struct sctx_context **ctx)
{
	struct worker *w = guest();
	struct record *r;
	int rc = one_in(w, 16) ? -EIO : 0;

	(void)arg;
	if (rc || one_in(w, 4))
		return rc;
	rc = record_new_of(w, owner, place_number(w, false, id_number(id)), &r);
	if (rc)
		return rc;
	atomic_fetch_add_explicit(&r->links, 1, RELAXED);
	*ctx = &r->ctx;
	return 0;
}

enum outcome op_module_enter(struct worker *w)
{
	struct sctx_owner_ops ops = { .size = sizeof(ops),
				      .name = "torture",
				      .tag = SCTX_TAG('T', 'o', 'r', 't'),
				      .detached = detached,
				      .free = module_free };
	struct module *m;
	int rc;

	if (w->module)
		return NOTHING;
	m = calloc(1, sizeof(*m));
	CHECK(m);
	ops.arg = m;
	ops.attach = one_in(w, 2) ? attach : NULL;
	atomic_store(&m->there, true);
	rc = sctx_owner_register(registry_hot(), &ops, &m->owner);
	trace(w, w->now, 0, rc);
	ALLOW(w, NULL, rc, 0, -ENOSPC, 0, 0);
	if (rc)
		free(m);
	else
		w->module = m;
	return rc ? REFUSED : DONE;
}

/* A context on a stream that we have open. */
enum outcome op_module_use(struct worker *w)
{
	const struct handle *h;
	struct record *r;
	int rc;

	if (!w->module || w->n_handles == 0)
		return NOTHING;
	h = &w->handle[roll(w, w->n_handles)];
	if (h->cold)
		return NOTHING;
	rc = record_new_of(w, w->module->owner, h->number, &r);
	ALLOW(w, NULL, rc, 0, -ESHUTDOWN, 0, 0);
	if (rc)
		return REFUSED;
	atomic_fetch_add_explicit(&r->links, 1, RELAXED);
	rc = sctx_insert(h->stream, &r->ctx);
	trace(w, w->now, h->number, rc);
	ALLOW(w, r, rc, 0, -EAGAIN, -ESHUTDOWN, -EOPNOTSUPP);
	if (rc) {
		atomic_fetch_sub_explicit(&r->links, 1, RELAXED);
		MUST(w, NULL, sctx_put(&r->ctx) == 0);
	}
	return rc ? REFUSED : DONE;
}

bool module_leave(struct worker *w)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct module *m = w->module;
	int rc;

	atomic_store(&m->leaving, true);
	rc = sctx_owner_unregister(m->owner, &leaks);
	trace(w, w->now, 0, rc);
	ALLOW(w, NULL, rc, 0, -EBUSY, 0, 0);
	if (rc) {
		MUST(w, NULL, leaks.held > 0);
		return false;
	}
	atomic_store_explicit(&m->there, false, RELAXED);
	free(m);
	w->module = NULL;
	atomic_fetch_add(&left, 1);
	return true;
}

enum outcome op_module_leave(struct worker *w)
{
	if (!w->module)
		return NOTHING;
	holds_drop(w);
	return module_leave(w) ? DONE : REFUSED;
}
