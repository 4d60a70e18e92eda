/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of registered owners: owner.c, for unload.c. */
#ifndef SCTX_OWNER_H
#define SCTX_OWNER_H

#include "owner/owned.h"

/*
 * Begin to unregister @owner, which refuses contexts and opens from now on.
 * Errors: -ENOENT; -EALREADY, another thread is unregistering it.
 */
int sctx__owner_leave(struct sctx_owner *owner);

/* Unregistering failed and may be tried again. */
void sctx__owner_stay(struct sctx_owner *owner);

/* Unlink and free @owner, which nothing refers to any more. */
void sctx__owner_forget(struct sctx_owner *owner);

/* Notify the owners of contexts on @stream whether it is idle: told.c. */
void sctx__owner_tell(struct sctx_stream *stream);

#endif /* SCTX_OWNER_H */
