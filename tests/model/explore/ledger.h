/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contexts of an explored program, who holds them, and what must hold of
 * each:
 *   its callback is called once, or it is handed back and freed by its holder;
 *   not while a thread of the program holds a reference;
 *   not while a section is open that was open when its last reference was put
 *   (such a section could have borrowed it);
 *   and in the end it has been;
 *   a registered owner is told of each unlinking, once, inside a section.
 */
#ifndef EXPLORE_LEDGER_H
#define EXPLORE_LEDGER_H

#include <streamctx.h>

void ledger_reset(void);

/* A new context, held by the caller. */
struct sctx_context *ledger_new(const void *owner, const void *instance);

/* One of a registered owner's; NULL if the owner is leaving. */
struct sctx_context *ledger_new_owned(struct sctx_owner *owner, const void *instance);
/* What such an owner has for its ops. */
void ledger_free(struct sctx_context *ctx);
void ledger_detached(struct sctx_context *ctx);
/* @ctx is linked, or (perhaps) is not because its owner leaves; was unlinked. */
void ledger_linked(struct sctx_context *ctx);
void ledger_linked_perhaps(struct sctx_context *ctx);
void ledger_unlinked(struct sctx_context *ctx);
/* Contexts of @owner's that were not called back yet. */
int ledger_live(const void *owner);

/* The caller gets a reference, or gives one away (before the call that does). */
void ledger_gets(struct sctx_context *ctx);
void ledger_gives(struct sctx_context *ctx);

/* What was handed back is freed at once: nobody else can have borrowed it. */
void ledger_free_handed(struct sctx_context *ctx);

/* sctx_put() of a reference that the caller holds. */
void ledger_put(struct sctx_context *ctx);

/* What a borrower or holder does with a context: it must be live, and stay it. */
void ledger_use(struct sctx_context *ctx);

/* Every context has been called back. */
void ledger_check_end(void);
bool ledger_called_back(const struct sctx_context *ctx);

/* The library's atomic stores: a context that goes to limbo. */
void ledger_stored(const volatile void *p, uintptr_t value);

#endif /* EXPLORE_LEDGER_H */
