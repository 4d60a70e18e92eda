/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attach at open.  The owner room does it; a registry with owners that attach knows
 * these functions by sctx_registry.attach.
 */
#ifndef SCTX_ATTACH_H
#define SCTX_ATTACH_H

#include "registry/registry.h"

/*
 * The owners whose attach an open calls.  The pins keep them registered until
 * the open ends: then unregister finds the stream in the table, or the open has
 * dropped it.
 */
struct sctx__attachers {
	unsigned int count;
	struct sctx_owner *owner[SCTX_ATTACH_MAX];
};

struct sctx__attach {
	void (*pin)(struct sctx_registry *registry, struct sctx__attachers *attachers);
	void (*unpin)(struct sctx__attachers *attachers);
	/* Create and link their contexts on @stream, which is not published yet. */
	int (*all)(struct sctx__attachers *attachers, const struct sctx_id *id, void *arg,
		   struct sctx_stream *stream);
};

#endif /* SCTX_ATTACH_H */
