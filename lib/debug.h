/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Misuse that can be seen.  A release build returns the error; `make DEBUG=1`
 * says what was wrong and stops at the spot.  It also remembers which code
 * took references on the contexts of registered owners, for leak reports.
 */
#ifndef SCTX_DEBUG_H
#define SCTX_DEBUG_H

#include <streamctx.h>

#ifdef SCTX_DEBUG

#include <stdlib.h>

static inline int sctx__misuse(int error, const char *what, const void *object)
{
	fprintf(stderr, "streamctx: %s: %p (error %d)\n", what, object, error);
	abort();
}

void sctx__debug_took_at(const struct sctx_context *ctx, const void *site);
void sctx__debug_forget(const struct sctx_context *ctx);
/* Add what is remembered of @owner's contexts. */
void sctx__debug_report(const struct sctx_owner *owner, struct sctx_leaks *leaks);

/* In a function of the API: its caller took a reference on @ctx (or on none). */
#define sctx__debug_took(ctx) sctx__debug_took_at((ctx), __builtin_return_address(0))

#else

static inline int sctx__misuse(int error, const char *what, const void *object)
{
	(void)what;
	(void)object;
	return error;
}

static inline void sctx__debug_took(const struct sctx_context *ctx)
{
	(void)ctx;
}

static inline void sctx__debug_forget(const struct sctx_context *ctx)
{
	(void)ctx;
}

static inline void sctx__debug_report(const struct sctx_owner *owner, struct sctx_leaks *leaks)
{
	(void)owner;
	(void)leaks;
}

#endif

#endif /* SCTX_DEBUG_H */
