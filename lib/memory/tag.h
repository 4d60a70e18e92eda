/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other rooms need of memory by tag.
 */
#ifndef SCTX_TAG_H
#define SCTX_TAG_H

#include <stddef.h>

/* The bytes that @memory of sctx_alloc() takes. */
size_t sctx__alloc_size(const void *memory);

#endif /* SCTX_TAG_H */
