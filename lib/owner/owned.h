/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registered owners and their contexts: counting them, notifying the owner when one is
 * unlinked, noting holders.  Streams call this room through stream/hooks.h.
 *
 * An owner counts its contexts that are not freed (live).  It keeps no list of them:
 * linked ones are found by a walk over the streams.  Of those that are still referenced
 * after they were unlinked, the first few are noted here, off the hot paths.
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

/* A context that is unlinked and still referenced. */
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
	uint64_t serial; /* of registration, in this process */
	struct sctx_owner *next; /* registered after this one */
	pid_t unregistering;     /* the process in which a thread unregisters it, or 0 */
	/* Counters. */
	uint32_t live;               /* contexts not freed */
	uint32_t pins;               /* opens that may be calling attach */
	uint32_t attached;           /* contexts created by attach */
	uint32_t failures;           /* of attach */
	struct sctx__tracked cursor; /* of the thread that unregisters */
	/* Spinlock, covers what follows. */
	uint32_t lock;
	uint32_t held_count;
	struct sctx__held held[SCTX_LEAKS_LISTED];
};

/* Set the hooks that streams call. */
void sctx__owned_set_up(struct sctx__owned *owned);

/* Report the contexts of @owner that are known to be referenced. */
void sctx__owned_report(struct sctx_owner *owner, struct sctx_leaks *leaks);

#endif /* SCTX_OWNED_H */
