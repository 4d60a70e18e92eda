/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds: freed memory rests for a while, so that a second free and a
 * write after the free are seen.  Other builds free at once.  Called by
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
 * Overwrite the @size bytes behind the @header bytes at @memory, of @tag, and
 * keep it all.  Those that rested longest are looked at and given to @release.
 */
void sctx__quarantine_add(void *memory, size_t header, size_t size, uint32_t tag,
			  void (*release)(void *memory));

/* Release all of it.  False if it was empty. */
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
