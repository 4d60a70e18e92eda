/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds keep freed memory for a while, to detect a second free and a
 * write after the free.  Other builds free at once.  Called by
 * lib/memory/tag.c.  AddressSanitizer and Valgrind know what rests here, and
 * which closed streams lib/registry/magazine.c keeps for reuse.
 */
#ifndef SCTX_QUARANTINE_H
#define SCTX_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef SCTX_DEBUG

#if defined(__SANITIZE_ADDRESS__)
#define SCTX__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SCTX__ASAN 1
#endif
#endif

/* Mark @memory as not accessible; as accessible, with undefined contents. */
#ifdef SCTX__ASAN
#include <sanitizer/asan_interface.h>
#define sctx__poison(memory, size)   ASAN_POISON_MEMORY_REGION((memory), (size))
#define sctx__unpoison(memory, size) ASAN_UNPOISON_MEMORY_REGION((memory), (size))
#elif __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define sctx__poison(memory, size)   ((void)VALGRIND_MAKE_MEM_NOACCESS((memory), (size)))
#define sctx__unpoison(memory, size) ((void)VALGRIND_MAKE_MEM_DEFINED((memory), (size)))
#else
#define sctx__poison(memory, size)   ((void)(memory), (void)(size))
#define sctx__unpoison(memory, size) ((void)(memory), (void)(size))
#endif

/*
 * Fill the @size bytes behind the @header bytes at @memory, of @tag, and keep
 * the block.  If there is no room, check the oldest blocks and @release them.
 */
void sctx__quarantine_add(void *memory, size_t header, size_t size, uint32_t tag,
			  void (*release)(void *memory));

/* Check and @release all blocks.  False if there were none. */
bool sctx__quarantine_empty(void (*release)(void *memory));

#else

static inline void sctx__poison(void *memory, size_t size)
{
	(void)memory;
	(void)size;
}

static inline void sctx__unpoison(void *memory, size_t size)
{
	(void)memory;
	(void)size;
}

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
