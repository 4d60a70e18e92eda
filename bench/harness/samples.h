/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Free latency: from the close that drops a context to its free.  Of one
 * context in SAMPLE_EVERY the word says where the time of the close is kept;
 * bench_freed() knows such a word by its upper byte.
 */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SAMPLE_EVERY 64
#define SAMPLE_TAG   0xa5ul
#define SAMPLE_SHIFT 56
#define SAMPLES      16384 /* in flight, of each thread */

struct histogram;

struct sample {
	uint64_t closed;      /* ticks; 0: not in use */
	struct histogram *to; /* several threads add to it */
};

/* A worker's own. */
struct samples {
	uint64_t next;
	struct histogram *to;
	struct sample sample[SAMPLES];
};

/* One that is not in use, or NULL. */
static inline struct sample *sample_take(struct samples *samples)
{
	struct sample *s = &samples->sample[samples->next % SAMPLES];

	if (__atomic_load_n(&s->closed, __ATOMIC_ACQUIRE))
		return NULL;
	samples->next++;
	s->to = samples->to;
	return s;
}

static inline uint64_t sample_word(const struct sample *s)
{
	return SAMPLE_TAG << SAMPLE_SHIFT | (uint64_t)(uintptr_t)s;
}

static inline int sample_is(uint64_t word)
{
	return word >> SAMPLE_SHIFT == SAMPLE_TAG;
}

void bench_sample_freed(uint64_t word);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_SAMPLES_H */
