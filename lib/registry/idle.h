/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Idle streams: closed by everyone, and kept.
 *
 * No list of them exists.  A close that leaves a stream idle notes the present in its
 * age; when an open creates a stream and too many are idle, a hand that all threads
 * share goes over a few buckets of the table, and the oldest of what it meets are
 * dropped.  So a close and an open of an idle stream are one atomic operation each.
 *
 * The present advances SCTX__AGES_PER_TURN times while as many streams are dropped as
 * may be idle.
 *
 *   age of a stream    15          8 7                 0
 *                     +-------------+------------------+
 *                     | idle before | present, then    |
 *                     +-------------+------------------+
 *
 * "Idle before" counts the idle periods, up to SCTX__PERIODS_MAX.  It weighs against the
 * age, so that one pass over many files does not displace what is used all day.
 */
#ifndef SCTX_IDLE_H
#define SCTX_IDLE_H

#include "thread/counter.h"

#include <streamctx.h>

#define SCTX__AGES_PER_TURN 16
#define SCTX__PERIODS_MAX   4

struct sctx_registry;
struct sctx__node;

/* What sctx_registry_idle() was told last.  Replaced as a whole. */
struct sctx__idle_rules {
	struct sctx_idle_options options;
	struct sctx__block block;
};

struct sctx__idle {
	struct sctx__tally streams;     /* that are idle */
	struct sctx__idle_rules *rules; /* NULL until the first */
	uint32_t lock;                  /* of a change of the rules */
	uint32_t batch;                 /* drop no fewer at a time */
	/* Written by those who drop. */
	size_t hand __attribute__((aligned(64))); /* the next bucket, not yet masked */
	uint64_t laps;
	uint64_t dropped;
	uint64_t bytes_each; /* of an idle stream, on average */
};

/* Once in a registry's life: nobody else uses it. */
void sctx__idle_free(struct sctx__idle *idle);

/* How many streams are idle. */
uint64_t sctx__idle_count(const struct sctx__idle *idle);

/* How many bytes they take, about. */
uint64_t sctx__idle_bytes(const struct sctx__idle *idle);

/*
 * After the creation of a stream, with no lock held and in no section of the library's:
 * drop some if too many are idle.  Looks at SCTX__IDLE_BUCKETS_MAX buckets and drops
 * SCTX__IDLE_DROPS_MAX streams at most.
 */
void sctx__idle_make_room_slow(struct sctx_registry *registry);

/* Note the present in @stream, which the caller is about to leave idle. */
void sctx__idle_note(struct sctx_registry *registry, struct sctx_stream *stream);

/* Drop all idle streams of a registry that nobody else uses.  Returns how many are open. */
uint64_t sctx__idle_drop_all(struct sctx_registry *registry);

#endif /* SCTX_IDLE_H */
