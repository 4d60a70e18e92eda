/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the other rooms provide to stats.c. */
#ifndef SCTX_STATS_H
#define SCTX_STATS_H

#include <streamctx.h>

/* reclaim.c: grace periods, their latency, and limbo. */
void sctx__reclaim_stats(struct sctx_stats *stats);

#endif /* SCTX_STATS_H */
