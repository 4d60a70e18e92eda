/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Misuse that can be seen.  A release build returns the error; `make DEBUG=1`
 * says what was wrong, with what, called from where, and where the call was
 * that it clashes with, and stops at the spot.  It also remembers which code
 * took references on the contexts of registered owners, for leak reports.
 */
#ifndef SCTX_DEBUG_H
#define SCTX_DEBUG_H

#include <streamctx.h>

#ifdef SCTX_DEBUG

__attribute__((noreturn)) int sctx__misuse_context(int error, const char *what,
						   const struct sctx_context *ctx);
__attribute__((noreturn)) int sctx__misuse_stream(int error, const char *what,
						  const struct sctx_stream *stream);
/* @tag may be 0: not known. */
__attribute__((noreturn)) int sctx__misuse_memory(int error, const char *what, const void *memory,
						  uint32_t tag);

/* At the beginning of a function of the API that may meet misuse. */
#define sctx__debug_enter() sctx__debug_called_from(__builtin_return_address(0))
void sctx__debug_called_from(const void *site);

/* The call under way did this with @object ("inserted", "put", "closed" ...). */
void sctx__debug_did(const void *object, const char *what);

void sctx__debug_took_at(const struct sctx_context *ctx, const void *site);
void sctx__debug_forget(const struct sctx_context *ctx);
/* Add what is remembered of @owner's contexts. */
void sctx__debug_report(const struct sctx_owner *owner, struct sctx_leaks *leaks);

/* In a function of the API: its caller took a reference on @ctx (or on none). */
#define sctx__debug_took(ctx) sctx__debug_took_at((ctx), __builtin_return_address(0))

#else

static inline int sctx__misuse_context(int error, const char *what, const struct sctx_context *ctx)
{
	(void)what;
	(void)ctx;
	return error;
}

static inline int sctx__misuse_stream(int error, const char *what, const struct sctx_stream *stream)
{
	(void)what;
	(void)stream;
	return error;
}

static inline int sctx__misuse_memory(int error, const char *what, const void *memory, uint32_t tag)
{
	(void)what;
	(void)memory;
	(void)tag;
	return error;
}

static inline void sctx__debug_enter(void)
{
}

static inline void sctx__debug_did(const void *object, const char *what)
{
	(void)object;
	(void)what;
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
