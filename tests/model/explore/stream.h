/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations on one stream.  Before a program begins, one context of owner A
 * hangs on it, or none; another hangs nowhere ("loose").  See ops.h.
 */
#ifndef EXPLORE_STREAM_H
#define EXPLORE_STREAM_H

#include "ops.h"

#include <streamctx.h>

struct stream_world {
	struct sctx_stream *stream, *other; /* the loose context may hang on either */
	struct sctx_context *hung, *loose;
	struct sctx_context *created; /* what get_or_create gave first */
	bool hiding, hidden;          /* disable was called, has returned */
	bool ending, ended;           /* the same of teardown */
	bool gone;                    /* memory is freed: not to be found any more */
	int loose_on;                 /* inserts of the loose context that succeeded */
};

extern struct stream_world stream_world;
extern const struct op stream_ops[];

/* Operations that change who reclaims. */
void stream_poll(void);
void stream_to_thread(void);
void stream_to_poll(void);

#endif /* EXPLORE_STREAM_H */
