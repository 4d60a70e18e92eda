/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Thread exit, for lib/memory/tag.c.
 */
#ifndef SCTX_TAG_H
#define SCTX_TAG_H

#include "thread/thread.h"

/* @t exits: flush its deltas.  sctx__threads_lock held. */
void sctx__tags_fold(struct sctx__thread *t);

/* The bytes that @memory of sctx_alloc() takes. */
size_t sctx__alloc_size(const void *memory);

#endif /* SCTX_TAG_H */
