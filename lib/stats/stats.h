/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stats.c asks of others. */
#ifndef SCTX_STATS_H
#define SCTX_STATS_H

#include <streamctx.h>

/* reclaim.c: grace periods, their time, and limbo. */
void sctx__reclaim_stats(struct sctx_stats *stats);

#endif /* SCTX_STATS_H */
