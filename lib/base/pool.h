/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the library's own structures, and locked memory for
 * lib/memory/tag.c.
 */
#ifndef SCTX_POOL_H
#define SCTX_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 64-byte aligned if @size is a multiple of 64.  NULL if out of memory. */
void *sctx__pool_alloc(size_t size);
void sctx__pool_free(void *memory, size_t size);
/* Tell LeakSanitizer that @memory is in use: all pointers to it are tagged. */
void sctx__pool_hide(const void *memory);

/* Whole pages, zeroed; the system backs them when they are touched. */
void *sctx__pages_alloc(size_t size);
void sctx__pages_free(void *pages, size_t size);

/*
 * Memory that stays in core, 16-byte aligned for a @size of 16 or more.  NULL
 * if out of memory or at the mlock limit.  @cache belongs to the calling
 * thread and is 0 at first; the thread calls sctx__locked_cache_drop() before
 * it ends.
 *
 * A forked child inherits the memory without its locks.  @inherited memory
 * must not be cached together with memory that the child has locked.
 */
void *sctx__locked_alloc(uint32_t *cache, size_t size);
void sctx__locked_free(uint32_t *cache, void *memory, size_t size, bool inherited);
void sctx__locked_cache_drop(uint32_t *cache);

/* In a fork's child.  The caller sets every thread's cache to 0. */
void sctx__locked_after_fork(void);
/* The number of forks between the first process and this one. */
uint32_t sctx__locked_generation(void);
/* After this the library's code may be unmapped. */
void sctx__locked_fini(void);

/* "jemalloc" or "libc". */
const char *sctx__pool_name(void);

#endif /* SCTX_POOL_H */
