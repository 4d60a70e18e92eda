/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Detected misuse.  A release build returns the error.  A DEBUG build prints
 * the error, the object, the call site and the site of the conflicting call,
 * and aborts.  It also records which code took references on the contexts of
 * registered owners, for leak reports.
 */
#ifndef SCTX_DEBUG_H
#define SCTX_DEBUG_H

#include <streamctx.h>

#define SCTX__TAG_TEXT 11
void sctx__tag_text(uint32_t tag, char text[SCTX__TAG_TEXT]);

#ifdef SCTX_DEBUG

/* Defined in lib/stream/misuse.c and lib/memory/tag.c. */
__attribute__((noreturn)) int sctx__misuse_context(int error, const char *what,
						   const struct sctx_context *ctx);
__attribute__((noreturn)) int sctx__misuse_stream(int error, const char *what,
						  const struct sctx_stream *stream);
/* A @tag of 0 is unknown. */
__attribute__((noreturn)) int sctx__misuse_memory(int error, const char *what, const void *memory,
						  uint32_t tag);

/* First thing in a public function that can report misuse. */
#define sctx__debug_enter() sctx__debug_called_from(__builtin_return_address(0))
void sctx__debug_called_from(const void *site);

/* End a report on @object: print this call's site and that of the last event, and abort. */
__attribute__((noreturn)) void sctx__debug_stop(const void *object);

/* Prints a context's owner.  Set before any thread uses the library. */
extern void (*sctx__debug_print_owner)(FILE *file, const struct sctx_context *ctx);

void sctx__debug_before_fork(void);
void sctx__debug_after_fork(void);

/* Record that the current call did @what ("inserted", "put" ...) to @object. */
void sctx__debug_did(const void *object, const char *what);

void sctx__debug_took_at(const struct sctx_context *ctx, const void *site);
void sctx__debug_forget(const struct sctx_context *ctx);
/* Add the recorded sites of @owner's contexts to the report. */
void sctx__debug_report(const struct sctx_owner *owner, struct sctx_leaks *leaks);

/* In a public function: its caller took a reference on @ctx, which may be NULL. */
#define sctx__debug_took(ctx) sctx__debug_took_at((ctx), __builtin_return_address(0))

#else

static inline void sctx__debug_before_fork(void)
{
}

static inline void sctx__debug_after_fork(void)
{
}

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
