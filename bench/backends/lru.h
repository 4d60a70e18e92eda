/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The textbook way to keep idle streams: a list of them, the one closed last at its head.
 * A last close puts its stream there, an open takes it off, and what is beyond the limit
 * goes from the tail.  All under the lock of the table, which the includer holds anyway.
 */
#ifndef BENCH_LRU_H
#define BENCH_LRU_H

#include <stddef.h>
#include <stdint.h>

struct lru_link {
	struct lru_link *newer, *older;
};

struct lru {
	uint32_t limit; /* 0: a last close ends its stream */
	uint32_t idle;
	struct lru_link ends; /* older: the newest; newer: the oldest */
};

static inline void lru_init(struct lru *lru)
{
	lru->ends.newer = lru->ends.older = &lru->ends;
	lru->limit = 0;
	lru->idle = 0;
}

static inline void lru_remove(struct lru *lru, struct lru_link *link)
{
	link->newer->older = link->older;
	link->older->newer = link->newer;
	lru->idle--;
}

/* The oldest, if more than the limit are idle; NULL else. */
static inline struct lru_link *lru_excess(struct lru *lru)
{
	struct lru_link *oldest = lru->ends.newer;

	if (lru->idle <= lru->limit)
		return NULL;
	lru_remove(lru, oldest);
	return oldest;
}

/* @link's stream has been closed for the last time: which one is to go, if any. */
static inline struct lru_link *lru_closed(struct lru *lru, struct lru_link *link)
{
	if (!lru->limit)
		return link;
	link->older = lru->ends.older;
	link->newer = &lru->ends;
	link->older->newer = link;
	lru->ends.older = link;
	lru->idle++;
	return lru_excess(lru);
}

#define LRU_STREAM(link) \
	((struct bench_stream *)((char *)(link) - offsetof(struct bench_stream, idle)))

#endif /* BENCH_LRU_H */
