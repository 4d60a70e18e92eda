/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream's list as it stands when a program is over. */
#include "memory.h"
#include "ops.h"

#include <streamctx/inline.h>

void stream_check(const struct sctx_stream *stream)
{
	uintptr_t list = stream->list & ~SCTX__LIST_HIDDEN;
	const struct sctx_entry *entry = stream->inline_entry;
	uintptr_t n = list, a = 0;

	if (list >= SCTX__LIST_ARRAY) {
		const struct sctx__array *array = (const struct sctx__array *)list;

		entry = (const struct sctx_entry *)(array + 1);
		n = array->count;
		explore_check(n <= array->capacity, "more entries than room");
	}
	for (uintptr_t i = 0; i < n; i++) {
		const struct sctx_context *ctx = entry[i].context;

		if (!ctx)
			continue;
		explore_check(memory_live(ctx), "an entry names what was called back");
		explore_check(ctx->stream == stream, "an entry's context hangs elsewhere");
		explore_check(ctx->owner == entry[i].owner && ctx->instance == entry[i].instance,
			      "an entry and its context differ");
		a += ctx->owner == &owner_a;
	}
	if (!(program.flags & (OP_ADDS | OP_LOOSE)))
		explore_check(a <= 1, "%zu contexts of one owner, all inserted as unique",
			      (size_t)a);
}
