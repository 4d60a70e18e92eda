/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Attach at open: what registry.c needs of owner.c.
 */
#ifndef SCTX_ATTACH_H
#define SCTX_ATTACH_H

#include "registry/registry.h"

/*
 * The owners that an open asks, kept from leaving until it is over: who leaves
 * finds the stream in the table, or the open has dropped it.
 */
struct sctx__attachers {
	unsigned int count;
	struct sctx_owner *owner[SCTX_ATTACH_MAX];
};

void sctx__attachers_pin(struct sctx_registry *registry, struct sctx__attachers *attachers);
void sctx__attachers_unpin(struct sctx__attachers *attachers);

/* Build their contexts on @stream, which nobody else knows. */
int sctx__attach_all(struct sctx__attachers *attachers, const struct sctx_id *id, void *arg,
		     struct sctx_stream *stream);

/* Whether owners of @registry are registered. */
bool sctx__owners_of(const struct sctx_registry *registry);

#endif /* SCTX_ATTACH_H */
