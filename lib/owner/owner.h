/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of registered owners: what unload.c needs of owner.c. */
#ifndef SCTX_OWNER_H
#define SCTX_OWNER_H

#include "owner/owned.h"

/*
 * Begin to unregister @owner: alone, and with the owner refusing contexts and
 * opens from now on.  -ENOENT, -EALREADY.
 */
int sctx__owner_leave(struct sctx_owner *owner);

/* The unregistering did not succeed: it may be tried again. */
void sctx__owner_stay(struct sctx_owner *owner);

/* Nothing refers to @owner any more. */
void sctx__owner_forget(struct sctx_owner *owner);

/* The owners that have contexts on @stream hear whether it is idle now: told.c. */
void sctx__owner_tell(struct sctx_stream *stream);

#endif /* SCTX_OWNER_H */
