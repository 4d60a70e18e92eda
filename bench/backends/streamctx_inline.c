/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * streamctx in its inline mode: no thread is added, and who retires calls back, one at
 * a time for all.
 */
#define RECLAIM	SCTX_RECLAIM_INLINE
#define NAME	"streamctx_inline"
#define LACKS	"nothing: streamctx without a thread of its own"
#define ONLY	(1u << WORKLOAD_open_cold | 1u << WORKLOAD_replay)
#include "streamctx.c"
