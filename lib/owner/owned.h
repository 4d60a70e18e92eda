/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners, as their contexts see them: what is counted, which owner is
 * told of an unlinking, who holds what.  Streams call it by the hooks of
 * stream/hooks.h; owner.c and unload.c have the rest.
 *
 * An owner counts its contexts that are not freed yet (live).  It takes no
 * list of them: those that are linked are found by a walk over the streams,
 * and of those that are held by someone after they were unlinked the first
 * few are noted here, where that is no hot path.
 */
#ifndef SCTX_OWNED_H
#define SCTX_OWNED_H

#include "thread/counter.h"
#include "base/debug.h"
#include "base/probe.h"
#include "registry/track.h"
#include "stream/hooks.h"

#include <streamctx.h>
#include <sys/types.h>

/* An unlinked context that someone holds. */
struct sctx__held {
	struct sctx_context *ctx;
	struct sctx_id id;
	bool has_id;
};

struct sctx_owner {
	struct sctx__owned owned; /* first: what streams see of it */
	struct sctx_owner_ops ops;
	char name[SCTX_OWNER_NAME_MAX + 1];
	struct sctx_registry *registry;
	struct sctx_owner *next; /* registered after this one */
	pid_t unregistering;     /* the process of a thread that is at it, or 0 */
	/* Counters. */
	uint32_t live;               /* contexts not freed */
	uint32_t pins;               /* opens that may be calling attach */
	uint32_t attached;           /* contexts made by attach */
	uint32_t failures;           /* of attach */
	struct sctx__tracked cursor; /* of the thread that unregisters */
	/* Spinlock of what follows. */
	uint32_t lock;
	uint32_t held_count;
	struct sctx__held held[SCTX_LEAKS_LISTED];
};

/* For streams to call. */
void sctx__owned_set_up(struct sctx__owned *owned);

/* What is known of @owner's contexts that are not freed. */
void sctx__owned_report(struct sctx_owner *owner, struct sctx_leaks *leaks);

#endif /* SCTX_OWNED_H */
