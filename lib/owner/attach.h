/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attach at open: owner.c, for registry.c.
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

void sctx__attachers_pin(struct sctx_registry *registry, struct sctx__attachers *attachers);
void sctx__attachers_unpin(struct sctx__attachers *attachers);

/* Create and link their contexts on @stream, which is not published yet. */
int sctx__attach_all(struct sctx__attachers *attachers, const struct sctx_id *id, void *arg,
		     struct sctx_stream *stream);

/* Whether @registry has registered owners. */
bool sctx__owners_of(const struct sctx_registry *registry);

#endif /* SCTX_ATTACH_H */
