/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Idle streams: without open references, and kept.
 *
 * There is no list of them.  A close that leaves a stream idle writes the current age into
 * it.  When an open creates a stream and too many are idle, a hand that all threads share
 * moves over a few buckets of the table and drops the oldest idle streams that it meets.
 * So a close into idle and an open of an idle stream are one atomic operation each.
 *
 * The current age advances SCTX__AGES_PER_TURN times while as many streams are dropped as
 * may be idle.
 *
 *   age of a stream    15          8 7                 0
 *                     +-------------+------------------+
 *                     | idle before | age at its close |
 *                     +-------------+------------------+
 *
 * "Idle before" counts the idle periods, up to SCTX__PERIODS_MAX.  It is weighed against
 * the age, so that one scan over many files does not evict files that are used all day.
 */
#ifndef SCTX_IDLE_H
#define SCTX_IDLE_H

#include "thread/counter.h"

#include <streamctx.h>

#define SCTX__AGES_PER_TURN 16
#define SCTX__PERIODS_MAX   4

struct sctx_registry;
struct sctx__node;

/* The options of the last sctx_registry_idle().  Replaced as a whole. */
struct sctx__idle_rules {
	struct sctx_idle_options options;
	struct sctx__block block;
};

struct sctx__idle {
	struct sctx__tally streams;     /* the number of idle streams */
	struct sctx__idle_rules *rules; /* NULL until the first */
	uint32_t lock;                  /* covers changes of the rules */
	size_t limit_bytes;
	uint32_t batch;                 /* the least to drop at a time */
	/* Written by threads that drop streams. */
	size_t hand __attribute__((aligned(64))); /* the next bucket, not yet masked */
	uint64_t laps;
	uint64_t dropped;
	uint64_t bytes_each; /* of an idle stream, on average */
};

/* At the end of the registry's life; no other thread uses it. */
void sctx__idle_free(struct sctx__idle *idle);

/* How many streams are idle. */
uint64_t sctx__idle_count(const struct sctx__idle *idle);

/* About how many bytes they take. */
uint64_t sctx__idle_bytes(const struct sctx__idle *idle);

/*
 * After creating a stream, with no lock held and outside the library's sections: drop
 * idle streams if there are too many.  The work is bounded (idle.c).
 */
void sctx__idle_make_room_slow(struct sctx_registry *registry);

/* Drop all idle streams; no other thread uses the registry.  Returns how many are open. */
uint64_t sctx__idle_drop_all(struct sctx_registry *registry);

#endif /* SCTX_IDLE_H */
