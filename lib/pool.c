/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory: jemalloc's own calls where the process has jemalloc, libc's
 * otherwise.  The only file that knows jemalloc.
 *
 * The references are weak, and this library does not name libjemalloc among
 * its needs: its thread-local storage (2.6 kB of static TLS) does not fit
 * into a process that did not start with it, so that a plugin that needed it
 * could not be loaded with dlopen().  What a program links beside -lstreamctx
 * (see the .pc file) decides; the host's malloc stays what it was either way.
 */
#include "pool.h"

#include "sync.h"

#include <stdlib.h>
#include <sys/mman.h>

#define JEMALLOC_NO_DEMANGLE
#include <jemalloc/jemalloc.h>

#pragma weak mallocx
#pragma weak sdallocx

static bool have_jemalloc(void)
{
	return mallocx && sdallocx;
}

void *sctx__pool_alloc(size_t size)
{
	if (have_jemalloc())
		return mallocx(size, 0);
	return size % 64 == 0 ? aligned_alloc(64, size) : malloc(size);
}

void sctx__pool_free(void *memory, size_t size)
{
	if (!memory)
		return;
	if (have_jemalloc())
		sdallocx(memory, size, 0);
	else
		free(memory);
}

void *sctx__pages_alloc(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

void sctx__pages_free(void *pages, size_t size)
{
	munmap(pages, size);
}

const char *sctx__pool_name(void)
{
	return have_jemalloc() ? "jemalloc" : "libc";
}
