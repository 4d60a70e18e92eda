/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for the library's own structures.  Called by everyone above.
 */
#ifndef SCTX_POOL_H
#define SCTX_POOL_H

#include <stddef.h>

/* 64-byte aligned where @size is a multiple of 64.  NULL if there is none. */
void *sctx__pool_alloc(size_t size);
void sctx__pool_free(void *memory, size_t size);

/* Whole pages, zeroed, taken from the system only as they are touched. */
void *sctx__pages_alloc(size_t size);
void sctx__pages_free(void *pages, size_t size);

/* "jemalloc" or "libc". */
const char *sctx__pool_name(void);

#endif /* SCTX_POOL_H */
