/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module that keeps a descriptor for each open file, in a process that may
 * have 64 of them: memory is freed in `free`, after a grace period, and the
 * descriptor is closed in `detached`, at the last close.  Then shutdown.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILES 5000

struct cached {
	int fd;
	char *buffer; /* readers may still look at it: freed after the grace period */
};

static struct cached *cached_of(struct sctx_context *ctx)
{
	return sctx_context_data(ctx);
}

static int cache_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			struct sctx_context **ctx)
{
	int error = sctx_context_alloc(owner, NULL, 0, ctx);

	(void)id;
	(void)arg;
	if (error)
		return error;
	cached_of(*ctx)->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cached_of(*ctx)->buffer = malloc(512);
	return 0;
}

/* Unlinked: whoever has no open handle has no business with the descriptor. */
static void cache_detached(struct sctx_context *ctx)
{
	if (cached_of(ctx)->fd >= 0)
		close(cached_of(ctx)->fd);
}

/* No reader is left. */
static void cache_free(struct sctx_context *ctx)
{
	free(cached_of(ctx)->buffer);
}

/* In a section: the result is used before it ends. */
static int descriptor_is_open(struct sctx_stream *stream, struct sctx_owner *cache)
{
	struct sctx_context *ctx;
	int is_open;

	sctx_read_lock();
	ctx = sctx_lookup(stream, cache, NULL);
	is_open = ctx && cached_of(ctx)->fd >= 0;
	sctx_read_unlock();
	return is_open;
}

static int shut_down(struct sctx_registry *registry, struct sctx_owner *cache)
{
	int error = sctx_owner_unregister(cache, NULL); /* off every stream, callbacks done */

	if (!error)
		error = sctx_registry_destroy(registry); /* -EBUSY while a handle is open */
	if (!error)
		error = sctx_barrier(); /* what other owners' callbacks use may go now */
	return error;
}

int main(void)
{
	const struct rlimit few = { 64, 64 };
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = "cache",
		.tag = SCTX_TAG('C', 'a', 'c', 'h'),
		.context_size = sizeof(struct cached),
		.attach = cache_attach,
		.detached = cache_detached,
		.free = cache_free,
	};
	struct sctx_registry *registry;
	struct sctx_stream *stream;
	struct sctx_owner *cache;
	unsigned int without = 0;

	if (setrlimit(RLIMIT_NOFILE, &few) || sctx_registry_create(&registry) ||
	    sctx_owner_register(registry, &ops, &cache))
		return 1;
	for (uint64_t ino = 1; ino <= FILES; ino++) {
		struct sctx_id id = { .volume = 1, .file = { ino, 0 } };

		if (sctx_open(registry, &id, 0, &stream))
			return 1;
		without += !descriptor_is_open(stream, cache);
		if (sctx_close(stream))
			return 1;
	}
	printf("%d files, %u without a descriptor\n", FILES, without);
	return without || shut_down(registry, cache);
}
