/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DEBUG builds tell AddressSanitizer and Valgrind which memory must not be accessed:
 * blocks in the quarantine (lib/memory), and free nodes that a magazine (lib/registry)
 * keeps for reuse.
 */
#ifndef SCTX_POISON_H
#define SCTX_POISON_H

#include <stddef.h>

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

#endif

#endif /* SCTX_POISON_H */
