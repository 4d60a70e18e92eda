/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the harness, the workloads and the backends share: a worker thread's
 * state, ids and words of the streams, counters.
 */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* streamctx's 32-byte id serves all backends; only backends/streamctx.c inlines. */
#include <streamctx.h>

#ifdef __cplusplus
extern "C" {
#endif

struct backend_ops;
struct bench_table;
struct bench_stream;
struct histogram;
struct samples;

/* Print the message with what is being run, and end the process with 1. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --------------------------------------------------------------- counters */

struct tally {
	uint64_t created;
	uint64_t freed;
	uint64_t words_in;
	uint64_t words_out;
	const struct backend_ops *ops;
	struct tally *next;
} __attribute__((aligned(64)));

/* The calling thread's, for the backend that it worked for last. */
extern __thread struct tally *bench_tally_self;
void bench_tally_attach(const struct backend_ops *ops);

/* Written by one thread, read by any. */
static inline void bench_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* What it costs to build a context, beside its memory; 0: nothing.  Set between runs. */
extern uint64_t bench_create_ticks;
void bench_spin(uint64_t ticks);

/* ---------------------------------------------------------------- workers */

/* One open or close of a recorded program, by the thread that carries it. */
struct replay_event {
	struct sctx_id id;
	uint32_t slot;		/* of the open file, in the thread's own numbering */
	bool close;
};

struct replay_share {
	struct replay_event *event;
	size_t events;
	size_t opens;		/* of the events */
	struct bench_stream **slot;
	size_t slots;
};

struct worker {
	struct bench_table *table;
	struct bench_stream *stream;	/* number 0, held open; NULL where there is none */
	uint64_t streams;		/* resident in the table */
	unsigned int index;		/* among the threads of this run */
	uint64_t random;		/* state of bench_random() */
	uint64_t serial;		/* ids that this worker has made up, or calls made */
	struct replay_share *replay;
	const uint32_t *zipf;		/* ZIPF_DRAWS numbers of streams, and where we are */
	uint64_t zipf_at;
	uint64_t longest; /* unload: ns of the slowest operation */
	const void *leaver;		/* the owner that is about to leave */
	struct histogram *latency;
	struct samples *samples;
	struct histogram *bare;		/* growth: the same clock with nothing to time */
	struct histogram **closes;	/* stall: one for each value of *phase */
	const unsigned int *phase;

	/* What lookups found and what they should have: compared at the end. */
	uint64_t seen;
	uint64_t expected;
};

/*
 * wyrand, scaled to [0, bound): as good as any for this, and of few instructions, since
 * they are the harness's and stand between one miss and the next in what is measured.
 */
static inline uint64_t bench_random(uint64_t *state, uint64_t bound)
{
	uint64_t x = *state += 0xa0761d6478bd642f;
	unsigned __int128 square = (unsigned __int128)x * (x ^ 0xe7037ed1a0b428db);

	x = (uint64_t)(square >> 64) ^ (uint64_t)square;
	return (uint64_t)(((unsigned __int128)x * bound) >> 64);
}

/* The id of resident stream @n, and the word of its @owner-th context. */
static inline struct sctx_id bench_id(uint64_t n)
{
	struct sctx_id id = { 1, { n, 0 }, 0 };

	return id;
}

static inline uint64_t bench_word(uint64_t n, unsigned int owner)
{
	return n + owner + 1;
}

/* An id not used before. */
static inline struct sctx_id bench_fresh_id(struct worker *w)
{
	struct sctx_id id = { 2, { w->serial++, w->index }, 0 };

	return id;
}

#define BENCH_OWNERS 64
#define MIXED_OWNERS 4
#define REPLAY_OWNERS 2
#define CACHED_OWNERS 2
#define CACHED_IDS 10000000u
#define SCAN_OWNERS 8
#define KNOWN_COST_NS 1000
extern const char bench_owner[BENCH_OWNERS];

/* What a module does with what it looked up: read a word of it. */
static inline uint64_t bench_touch(const uint64_t *word)
{
	return word ? *word : 0;
}

/* The same, where what it says cannot be foretold. */
static inline void bench_look(const uint64_t *word)
{
	uint64_t value = bench_touch(word);

	__asm__ volatile("" ::"r"(value));
}

/*
 * An id is 32 bytes in memory that the compiler knows nothing of, as those of a request
 * are.  What it knew it would hash and compare beforehand, in a backend that is inlined.
 */
static inline void bench_unknown(struct sctx_id *id)
{
	__asm__ volatile("" : "+m"(*id));
}

/* The compiler must do each operation anew. */
static inline void bench_no_hoist(void)
{
	__asm__ volatile("" ::: "memory");
}

#ifdef __cplusplus
}
#endif

#endif /* BENCH_WORKER_H */
