/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the library's own structures, and locked memory for lib/memory/tag.c.
 * Called by everyone above.
 */
#ifndef SCTX_POOL_H
#define SCTX_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 64-byte aligned where @size is a multiple of 64.  NULL if there is none. */
void *sctx__pool_alloc(size_t size);
void sctx__pool_free(void *memory, size_t size);

/* Whole pages, zeroed, taken from the system only as they are touched. */
void *sctx__pages_alloc(size_t size);
void sctx__pages_free(void *pages, size_t size);

/*
 * Memory that is in core and stays there, 16-byte aligned for a @size of 16
 * or more.  NULL if there is none or no more may be locked.  @cache is the
 * calling thread's own, 0 at first; what it holds is given back by
 * sctx__locked_cache_drop(), before the thread ends.
 *
 * A forked child inherits the memory, but not the locks on it.  What it
 * allocates is locked; what is @inherited must not be cached among that.
 */
void *sctx__locked_alloc(uint32_t *cache, size_t size);
void sctx__locked_free(uint32_t *cache, void *memory, size_t size, bool inherited);
void sctx__locked_cache_drop(uint32_t *cache);

/* In the child of a fork, where every thread's cache is to be set to 0. */
void sctx__locked_after_fork(void);
/* How many forks lie behind the process. */
uint32_t sctx__locked_generation(void);
/* The library's code may be unmapped. */
void sctx__locked_fini(void);

/* "jemalloc" or "libc". */
const char *sctx__pool_name(void);

#endif /* SCTX_POOL_H */
