/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Misuse that can be seen.  A release build returns the error; `make DEBUG=1`
 * says what was wrong and stops at the spot.
 */
#ifndef SCTX_DEBUG_H
#define SCTX_DEBUG_H

#ifdef SCTX_DEBUG

#include <stdio.h>
#include <stdlib.h>

static inline int sctx__misuse(int error, const char *what, const void *object)
{
	fprintf(stderr, "streamctx: %s: %p (error %d)\n", what, object, error);
	abort();
}

#else

static inline int sctx__misuse(int error, const char *what, const void *object)
{
	(void)what;
	(void)object;
	return error;
}

#endif

#endif /* SCTX_DEBUG_H */
