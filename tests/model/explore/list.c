/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream's list as it stands when a program is over. */
#include "memory.h"
#include "ops.h"

#include <streamctx/inline.h>

int stream_check(const struct sctx_stream *stream)
{
	uintptr_t list = stream->list & ~SCTX__LIST_HIDDEN;
	const struct sctx_entry *entry = stream->inline_entry;
	const uint8_t *tag = NULL;
	uintptr_t n = list;
	int a = 0;

	if (list >= SCTX__LIST_ARRAY) {
		const struct sctx__array *array = (const struct sctx__array *)list;

		tag = (const uint8_t *)(array + 1);
		entry = (const struct sctx_entry *)(tag + array->capacity);
		n = array->count;
		explore_check(n <= array->capacity, "more entries than room");
	}
	for (uintptr_t i = 0; i < n; i++) {
		const struct sctx_context *ctx = entry[i].context;

		explore_check(!tag || tag[i] == sctx__tag(entry[i].owner),
			      "an entry's tag is another owner's");
		if (!ctx)
			continue;
		explore_check(memory_live(ctx), "an entry names what was called back");
		explore_check(ctx->stream == stream, "an entry's context hangs elsewhere");
		explore_check(ctx->owner == entry[i].owner && ctx->instance == entry[i].instance,
			      "an entry and its context differ");
		a += ctx->owner == &owner_a;
	}
	return a;
}
