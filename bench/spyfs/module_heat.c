/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * heat: a temperature for each stream.  Each access adds 1 degree, and half of
 * the temperature is lost every ten seconds (heat=SECONDS for another half-life).
 * A stream's temperature is saved for its next open when the context is
 * unlinked, that is before the last close returns.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "module.h"

/* A temperature and its time, in one word that is exchanged as a whole. */
union temperature {
	uint64_t word;
	struct {
		float degrees;
		uint32_t ms;
	};
};

struct heat {
	struct sctx_id id;
	_Atomic uint64_t now; /* union temperature */
};

/* Temperatures of closed streams: each slot remembers the last of its streams. */
#define SLOTS 4096
#define LOCKS 64
static struct slot {
	struct sctx_id id;
	uint64_t word;
} slots[SLOTS];
static pthread_mutex_t locks[LOCKS]; /* lock i: slots i, i + LOCKS, ... */

static double half_life = 10;

static int heat_start(const char *arg)
{
	char *end = NULL;

	if (arg) {
		half_life = strtod(arg, &end);
		if (end == arg || *end || !(half_life >= 0.001 && half_life <= 1e9))
			return -EINVAL;
	}
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_init(&locks[i], NULL);
	return 0;
}

static void heat_stop(void)
{
	for (int i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&locks[i]);
}

static uint32_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static union temperature cooled(uint64_t word, uint32_t ms)
{
	union temperature old = { .word = word }, new = { .ms = ms };
	int32_t passed = (int32_t)(ms - old.ms); /* another thread's clock may be ahead */

	if (passed < 0)
		return old;
	new.degrees = old.degrees *exp2f((float)(-passed / (1000 * half_life)));
	return new;
}

static struct slot *slot_of(const struct sctx_id *id, pthread_mutex_t **lock)
{
	uint64_t hash = (id->file[0] ^ id->volume << 32) * 0x9e3779b97f4a7c15u >> 32;

	*lock = &locks[hash % LOCKS];
	return &slots[hash % SLOTS];
}

static void heat_attach(void *context, const struct spy_file *file)
{
	struct heat *heat = context;
	pthread_mutex_t *lock;
	struct slot *slot = slot_of(&file->id, &lock);

	heat->id = file->id;
	pthread_mutex_lock(lock);
	if (memcmp(&slot->id, &heat->id, sizeof(heat->id)) == 0)
		heat->now = slot->word;
	pthread_mutex_unlock(lock);
}

static void heat_detached(void *context)
{
	struct heat *heat = context;
	pthread_mutex_t *lock;
	struct slot *slot = slot_of(&heat->id, &lock);

	pthread_mutex_lock(lock);
	slot->id = heat->id;
	slot->word = heat->now;
	pthread_mutex_unlock(lock);
}

static int heat_event(void *context, const struct spy_event *event)
{
	struct heat *heat = context;
	uint64_t old = atomic_load_explicit(&heat->now, memory_order_relaxed);
	uint32_t ms = now_ms();
	union temperature new;

	if (event->type == SPY_CHARGE || event->type == SPY_REFUSED)
		return 0;
	do {
		new = cooled(old, ms);
		new.degrees += 1;
	} while (!atomic_compare_exchange_weak_explicit(
		&heat->now, &old, new.word, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

static void heat_row(const void *context, struct spy_row *row)
{
	const struct heat *heat = context;

	row->heat =
		cooled(atomic_load_explicit(&heat->now, memory_order_relaxed), now_ms()).degrees;
}

const struct spy_module spy_module = {
	.name = "heat",
	.tag = SCTX_TAG('H', 'e', 'a', 't'),
	.context_size = sizeof(struct heat),
	.start = heat_start,
	.stop = heat_stop,
	.attach = heat_attach,
	.detached = heat_detached,
	.event = heat_event,
	.row = heat_row,
};
