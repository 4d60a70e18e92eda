/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lib/memory/tag.c needs to know of threads.
 */
#ifndef SCTX_TAG_H
#define SCTX_TAG_H

#include "thread/thread.h"

/* sctx__threads_lock held: @t exits. */
void sctx__tags_fold(struct sctx__thread *t);

#endif /* SCTX_TAG_H */
