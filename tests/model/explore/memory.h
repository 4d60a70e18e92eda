/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An allocator that gives no address twice in one execution and checks, at
 * each access of the library's, plain ones included, that the memory is live.
 *
 * Plain accesses are seen by means of the calls that -fsanitize=thread has the
 * compiler insert; here they are defined otherwise.  As they are no points, a
 * thread is never stopped between the load of a pointer and the plain use of
 * what is behind it.  So a block must not be freed either while another thread
 * stands right behind such a use: it may as well not have come to it yet.  Nor
 * may it be freed while another's section lasts that has used it in any way.
 */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void memory_init(void);
void memory_reset(void);

void *memory_alloc(size_t size, const char *what);
void memory_free(void *memory, size_t size);

bool memory_live(const void *memory);
/* Live, or not of this allocator. */
void memory_check(const volatile void *p, size_t size, const char *what);

/* Blocks that are live now are a leak. */
void memory_check_leaks(void);

#endif /* EXPLORE_MEMORY_H */
