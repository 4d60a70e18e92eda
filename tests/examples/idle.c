/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams that outlive their handles: a checksum that was computed once is found at
 * the next open.  Dirty files stay, deleted ones go, and so do the oldest.
 */
#include <errno.h>
#include <stdio.h>
#include <streamctx.h>

#define KEPT 100

struct cached {
	uint64_t checksum; /* 0: not computed yet */
	bool dirty;
};

static unsigned int computed;

static struct cached *cached_of(struct sctx_context *ctx)
{
	return sctx_context_data(ctx);
}

static int cache_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			struct sctx_context **ctx)
{
	(void)id;
	(void)arg;
	return sctx_context_alloc(owner, NULL, 0, ctx);
}

/* Keep what must be written back first. */
static int may_drop(struct sctx_stream *stream, void *cache)
{
	struct sctx_context *ctx = sctx_lookup(stream, cache, NULL);

	return ctx && cached_of(ctx)->dirty ? -EAGAIN : 0;
}

/* Open, use, close.  Returns whether the checksum was there already. */
static bool use(struct sctx_registry *registry, struct sctx_owner *cache, uint64_t ino, bool dirty)
{
	const struct sctx_id id = { .volume = 1, .file = { ino, 0 } };
	struct sctx_stream *stream;
	struct cached *cached;
	bool known;

	if (sctx_open(registry, &id, 0, &stream))
		return false;
	sctx_read_lock();
	cached = cached_of(sctx_lookup(stream, cache, NULL));
	known = cached->checksum != 0;
	if (!known) {
		cached->checksum = ino * 2654435761u;
		computed++;
	}
	cached->dirty = dirty;
	sctx_read_unlock();
	sctx_close(stream); /* the last close: the stream is idle now */
	return known;
}

int main(void)
{
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "cache",
		.tag = SCTX_TAG('C', 'a', 'c', 'h'),
		.context_size = sizeof(struct cached),
		.attach = cache_attach,
	};
	struct sctx_idle_options keep = {
		.size = sizeof(keep),
		.limit_streams = KEPT, /* 0, the default: none */
		.may_drop = may_drop,
	};
	const struct sctx_id deleted = { .volume = 1, .file = { 2, 0 } };
	struct sctx_registry_stats stats = { .size = sizeof(stats) };
	struct sctx_registry *registry;
	struct sctx_owner *cache;

	if (sctx_registry_create(&registry) || sctx_owner_register(registry, &ops, &cache))
		return 1;
	keep.arg = cache;
	if (sctx_registry_idle(registry, &keep))
		return 1;
	use(registry, cache, 1, true);
	use(registry, cache, 2, false);
	if (!use(registry, cache, 2, false))
		return 1;
	sctx_forget(registry, &deleted); /* unlink(2): another file may get its number */
	if (use(registry, cache, 2, false))
		return 1;
	for (uint64_t ino = 3; ino < 10 * KEPT; ino++)
		use(registry, cache, ino, false);
	if (!use(registry, cache, 1, false)) /* dirty, and so kept */
		return 1;
	if (sctx_registry_stats_get(registry, &stats) || stats.idle > 2 * KEPT)
		return 1;
	printf("%u checksums, %u streams idle\n", computed, (unsigned int)stats.idle);
	sctx_registry_trim(registry, 0, 0); /* memory is short */
	sctx_registry_close_all(registry, NULL, NULL); /* at shutdown: handles still open */
	return sctx_owner_unregister(cache, NULL) || sctx_registry_destroy(registry);
}
