/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A module that gets its context onto every stream before anyone sees it. */
#include <stdio.h>
#include <streamctx.h>

struct audit {
	unsigned long volume, reads;
};

static int audit_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			struct sctx_context **ctx)
{
	int error = sctx_context_alloc(owner, NULL, 0, ctx);

	(void)arg;
	if (!error)
		((struct audit *)sctx_context_data(*ctx))->volume = id->volume;
	return error;
}

static void audit_free(struct sctx_context *ctx)
{
	printf("reads: %lu\n", ((struct audit *)sctx_context_data(ctx))->reads);
}

int main(void)
{
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "audit",
		.tag = SCTX_TAG('A', 'u', 'd', 't'),
		.context_size = sizeof(struct audit),
		.attach = audit_attach,
		.free = audit_free,
	};
	struct sctx_id id = { .volume = 7, .file = { 1, 2 } };
	struct sctx_registry *registry;
	struct sctx_stream *stream;
	struct sctx_owner *audit;

	if (sctx_registry_create(&registry) || sctx_owner_register(registry, &ops, &audit) ||
	    sctx_open(registry, &id, 0, &stream))
		return 1;
	sctx_read_lock();
	((struct audit *)sctx_context_data(sctx_lookup(stream, audit, NULL)))->reads++;
	sctx_read_unlock();
	sctx_stats_print(registry, SCTX_TEXT, stdout);
	return sctx_close(stream) || sctx_owner_unregister(audit, NULL) ||
	       sctx_registry_destroy(registry);
}
