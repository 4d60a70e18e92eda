/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module for the tests: a registered owner that counts its callbacks and
 * dies of one that comes after it has left, or before its time.
 */
#ifndef MODULE_H
#define MODULE_H

#include "test.h"

#define MODULE_TAG SCTX_TAG('T', 'e', 's', 't')

struct module {
	struct sctx_owner_ops ops; /* may be changed before module_enter() */
	struct sctx_owner *owner;
	atomic_bool there; /* between register and the return of unregister */
	atomic_int attach; /* what attach is to return; > 0: decline */
	atomic_ulong made; /* by attach */
	atomic_ulong detached;
	atomic_ulong freed;
	void (*hook)(struct module *module, struct sctx_context *ctx); /* in detached */
};

/* The module's part of its contexts. */
struct module_data {
	uint32_t canary;
	uint64_t number; /* of the stream */
	atomic_uint detached;
};

static inline struct module_data *module_data(struct sctx_context *ctx)
{
	return sctx_context_data(ctx);
}

static inline struct module *module_of(const struct sctx_context *ctx)
{
	return sctx_owner_arg(ctx->owner);
}

/* All callbacks set, no attach. */
void module_init(struct module *module);
void module_enter(struct module *module, struct sctx_registry *registry);
/* sctx_owner_unregister(); on success no callback may come any more. */
int module_leave(struct module *module, struct sctx_leaks *leaks);

/* ops.attach: a context with the stream's number. */
int module_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg, struct sctx_context **ctx);

/* A new context, the caller's. */
struct sctx_context *module_context(struct module *module, const void *instance);
/* One on @stream. */
struct sctx_context *module_insert(struct module *module, struct sctx_stream *stream);

/* A registry for each test: cmocka's setup and teardown. */
extern struct sctx_registry *home;
int home_setup(void **state);
int home_teardown(void **state);

struct sctx_stream *stream_open(struct sctx_registry *registry, uint64_t n);

#endif /* MODULE_H */
