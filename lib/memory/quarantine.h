/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds keep freed memory for a while, to detect a second free and a
 * write after the free.  Other builds free at once.  Called by
 * lib/memory/tag.c.
 */
#ifndef SCTX_QUARANTINE_H
#define SCTX_QUARANTINE_H

#include "base/poison.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef SCTX_DEBUG

/*
 * Fill the @size bytes behind the @header bytes at @memory, of @tag, and keep
 * the block.  If there is no room, check the oldest blocks and @release them.
 */
void sctx__quarantine_add(void *memory, size_t header, size_t size, uint32_t tag,
			  void (*release)(void *memory));

/* Check and @release all blocks.  False if there were none. */
bool sctx__quarantine_empty(void (*release)(void *memory));

#else

static inline void sctx__quarantine_add(void *memory, size_t header, size_t size, uint32_t tag,
					void (*release)(void *memory))
{
	(void)header;
	(void)size;
	(void)tag;
	release(memory);
}

static inline bool sctx__quarantine_empty(void (*release)(void *memory))
{
	(void)release;
	return false;
}

#endif

#endif /* SCTX_QUARANTINE_H */
