/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module.h"

static void module_detached(struct sctx_context *ctx)
{
	struct module *module = module_of(ctx);

	CHECK(atomic_load(&module->there));
	CHECK_EQ(module_data(ctx)->canary, ITEM_ALIVE);
	atomic_fetch_add(&module_data(ctx)->detached, 1);
	atomic_fetch_add(&module->detached, 1);
	if (module->hook)
		module->hook(module, ctx);
}

static void module_free(struct sctx_context *ctx)
{
	struct module *module = module_of(ctx);

	CHECK(atomic_load(&module->there));
	CHECK_EQ(module_data(ctx)->canary, ITEM_ALIVE);
	module_data(ctx)->canary = ITEM_DEAD;
	atomic_fetch_add(&module->freed, 1);
}

void module_init(struct module *module)
{
	*module = (struct module){
		.ops = {
			.size = sizeof(module->ops),
			.name = "module",
			.tag = MODULE_TAG,
			.context_size = sizeof(struct module_data),
			.detached = module_detached,
			.free = module_free,
			.arg = module,
		},
	};
}

void module_enter(struct module *module, struct sctx_registry *registry)
{
	atomic_store(&module->there, true);
	CHECK_EQ(sctx_owner_register(registry, &module->ops, &module->owner), 0);
}

int module_leave(struct module *module, struct sctx_leaks *leaks)
{
	int error = sctx_owner_unregister(module->owner, leaks);

	if (!error)
		atomic_store(&module->there, false);
	return error;
}

int module_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg, struct sctx_context **ctx)
{
	struct module *module = sctx_owner_arg(owner);
	int want = atomic_load(&module->attach);
	int error;

	(void)arg;
	CHECK(atomic_load(&module->there));
	if (want)
		return want > 0 ? 0 : want;
	error = sctx_context_alloc(owner, NULL, 0, ctx);
	if (error)
		return error;
	module_data(*ctx)->canary = ITEM_ALIVE;
	module_data(*ctx)->number = id_number(id);
	atomic_fetch_add(&module->made, 1);
	return 0;
}

struct sctx_context *module_context(struct module *module, const void *instance)
{
	struct sctx_context *ctx;

	CHECK_EQ(sctx_context_alloc(module->owner, instance, 0, &ctx), 0);
	module_data(ctx)->canary = ITEM_ALIVE;
	return ctx;
}

struct sctx_context *module_insert(struct module *module, struct sctx_stream *stream)
{
	struct sctx_context *ctx = module_context(module, NULL);

	CHECK_EQ(sctx_insert(stream, ctx), 0);
	return ctx;
}

struct sctx_stream *stream_open(struct sctx_registry *registry, uint64_t n)
{
	struct sctx_id id = id_of(n);
	struct sctx_stream *stream;

	CHECK_EQ(sctx_open(registry, &id, 0, &stream), 0);
	return stream;
}

struct sctx_registry *home;

int home_setup(void **state)
{
	(void)state;
	return sctx_registry_create(&home);
}

int home_teardown(void **state)
{
	(void)state;
	return sctx_registry_destroy(home) || sctx_barrier();
}
