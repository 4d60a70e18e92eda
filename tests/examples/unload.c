/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A module leaves while someone still holds a context of it. */
#include <errno.h>
#include <stdio.h>
#include <streamctx.h>

int main(void)
{
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "heat",
		.tag = SCTX_TAG('H', 'e', 'a', 't'),
		.context_size = 64,
	};
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct sctx_id id = { .volume = 1, .file = { 42, 0 } };
	struct sctx_registry *registry;
	struct sctx_stream *stream;
	struct sctx_owner *heat;
	struct sctx_context *ctx;

	if (sctx_registry_create(&registry) || sctx_owner_register(registry, &ops, &heat) ||
	    sctx_open(registry, &id, 0, &stream) || sctx_context_alloc(heat, NULL, 0, &ctx) ||
	    sctx_insert(stream, ctx))
		return 1;
	ctx = sctx_get(stream, heat, NULL);
	if (sctx_owner_unregister(heat, &leaks) != -EBUSY)
		return 1;
	sctx_leaks_print(&leaks, stdout); /* whose, how many, of which streams */
	sctx_put(ctx);
	if (sctx_owner_unregister(heat, &leaks)) /* now dlclose() would be safe */
		return 1;
	return sctx_close(stream) || sctx_registry_destroy(registry);
}
