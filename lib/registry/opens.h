/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream's open count, with the flags that change in the same step.
 *
 *    31     30          29      28                              0
 *   +------+-----------+-------+---------------------------------+
 *   | DEAD | FORGOTTEN | ASKED | open references                 |
 *   +------+-----------+-------+---------------------------------+
 *
 *   open       has references
 *   idle       has none, and is in the table: found, opened again, or dropped
 *   forgotten  has references, and its slot does not match its id (table.h)
 *   dead       is out of the table and torn down
 *
 * Opening is one addition, whatever the state.  On a dead stream it fails, and nothing
 * reads the count any more.  Dropping a stream sets DEAD by compare-and-swap under the
 * lock of its bucket, so every stream in a locked bucket is alive.
 *
 * ASKED is set while may_drop is called for the idle stream.  A close clears it, so the
 * answer only applies to the idle period that it was given for.
 */
#ifndef SCTX_OPENS_H
#define SCTX_OPENS_H

#include "rcu/rcu.h"

#include <errno.h>

#define SCTX__DEAD      (UINT32_C(1) << 31)
#define SCTX__FORGOTTEN (UINT32_C(1) << 30)
#define SCTX__ASKED     (UINT32_C(1) << 29)
#define SCTX__OPENS     (SCTX__ASKED - 1)
/* The other half of the field has room for additions that are taken back. */
#define SCTX__OPENS_MAX (UINT32_C(1) << 28)

/* Results of taking an open reference, beside negative errno values. */
enum sctx__taken { SCTX__TAKEN, SCTX__REVIVED };

/* The number of open references in @opens. */
static inline uint32_t sctx__references(uint32_t opens)
{
	return opens & SCTX__DEAD ? 0 : opens & SCTX__OPENS;
}

static inline bool sctx__stream_is_idle(const struct sctx_stream *stream)
{
	return !(sctx__load(&stream->opens) & (SCTX__DEAD | SCTX__OPENS));
}

static __attribute__((noinline, unused)) int sctx__open_taken_slow(struct sctx_stream *stream,
								   uint32_t opens)
{
	if (opens & SCTX__DEAD)
		return -ESTALE;
	if (!(opens & SCTX__OPENS))
		return SCTX__REVIVED;
	if ((opens & SCTX__OPENS) < SCTX__OPENS_MAX)
		return SCTX__TAKEN;
	sctx__sub(&stream->opens, 1);
	return -EOVERFLOW;
}

/*
 * Take an open reference on @stream, which the caller's section keeps valid.  Returns the
 * previous value, for sctx__open_judge().  The acquire pairs with the releases of earlier
 * closes: the opener sees what was done under their references.
 */
SCTX__INLINE uint32_t sctx__open_add(struct sctx_stream *stream)
{
	return sctx__add_acquire(&stream->opens, 1);
}

/* The common case: the stream is open. */
SCTX__INLINE bool sctx__open_is_plain(uint32_t opens)
{
	return sctx__likely(opens - 1 < SCTX__OPENS_MAX - 1);
}

/* The result of sctx__open_add(): taken, revived, or an error (-ESTALE: dead). */
SCTX__INLINE int sctx__open_judge(struct sctx_stream *stream, uint32_t opens)
{
	if (sctx__open_is_plain(opens))
		return SCTX__TAKEN;
	return sctx__likely(opens == 0) ? SCTX__REVIVED : sctx__open_taken_slow(stream, opens);
}

#endif /* SCTX_OPENS_H */
