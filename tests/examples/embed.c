/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream in the daemon's own inode: no registry, no lookup by id. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

struct inode {
	unsigned long number;
	struct sctx_stream stream;
};

static const char cache_owner; /* any address can stand for a module */

static void inode_free(struct sctx_stream *stream)
{
	struct inode *inode = (void *)((char *)stream - offsetof(struct inode, stream));

	printf("inode %lu is freed\n", inode->number);
	free(inode);
}

int main(void)
{
	static struct sctx_context ctx;
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode || sctx_stream_init(&inode->stream))
		return 1;
	inode->number = 42;
	if (sctx_context_init(&ctx, &cache_owner, NULL, SCTX_NO_FREE) ||
	    sctx_insert(&inode->stream, &ctx))
		return 1;
	sctx_read_lock();
	printf("found: %d\n", sctx_lookup(&inode->stream, &cache_owner, NULL) == &ctx);
	sctx_read_unlock();
	/* Tear it down; the memory goes when no reader is left. */
	return sctx_stream_retire(&inode->stream, inode_free) || sctx_barrier();
}
