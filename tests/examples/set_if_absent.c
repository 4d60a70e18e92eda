/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Set if absent: whoever comes second gets the first one's, referenced. */
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

static const char quota_owner;

static void quota_free(struct sctx_context *ctx)
{
	free(ctx);
}

static struct sctx_context *quota_set(struct sctx_stream *stream)
{
	struct sctx_context *ctx = malloc(sizeof(*ctx)), *existing;

	if (!ctx || sctx_context_init(ctx, &quota_owner, NULL, quota_free))
		return NULL;
	sctx_ref(ctx); /* one reference for the stream, one for our caller */
	switch (sctx_insert_unique(stream, ctx, &existing)) {
	case 0:
		return ctx;
	default:
		sctx_put(ctx);
		sctx_put(ctx);
		return existing; /* NULL if it was another error than -EEXIST */
	}
}

int main(void)
{
	struct sctx_stream stream;
	struct sctx_context *first, *second;

	sctx_stream_init(&stream);
	first = quota_set(&stream);
	second = quota_set(&stream);
	printf("the same: %d\n", first && first == second);
	sctx_put(first);
	sctx_put(second);
	return first != second || sctx_teardown_sync(&stream);
}
