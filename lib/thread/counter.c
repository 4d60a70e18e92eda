/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters: see counter.h.  sctx__threads_lock covers the bases, the slots in
 * use, and the threads' pointers to their arrays.  Only the thread itself
 * writes the values in its array.
 */
#include "thread/counter.h"

#include "base/pool.h"

#include <errno.h>
#include <string.h>

/* Counts that are in no thread's array.  FREE marks a free slot. */
static int64_t event_base[SCTX__EVENTS];
static int64_t *base;
static uint32_t slots;

#define FREE INT64_MIN

/* A zero-extended copy of @old, which is freed.  NULL if out of memory. */
static int64_t *resize(int64_t *old, uint32_t old_n, uint32_t n)
{
	int64_t *array = sctx__pool_alloc(n * sizeof(*array));

	if (!array)
		return NULL;
	memset(array, 0, n * sizeof(*array));
	if (old_n)
		memcpy(array, old, old_n * sizeof(*array));
	sctx__pool_free(old, old_n * sizeof(*array));
	return array;
}

static int64_t value_in(const struct sctx__thread *t, uint32_t slot)
{
	/* Pairs with the release in sctx__counter_add(). */
	return slot < t->counters ? sctx__load_acquire(&t->counter[slot]) : 0;
}

/* After sctx__counters_fini() there are no slots, but threads may still count. */
static int64_t sum_locked(uint32_t slot)
{
	int64_t sum = slot < slots ? base[slot] : 0;

	for (const struct sctx__thread *t = sctx__threads; t; t = t->next)
		sum += value_in(t, slot);
	return sum;
}

static bool grow_slots(void)
{
	uint32_t more = slots ? 2 * slots : 16;
	int64_t *array = resize(base, slots, more);

	if (!array)
		return false;
	for (uint32_t i = slots; i < more; i++)
		array[i] = FREE;
	base = array;
	slots = more;
	return true;
}

int sctx__counter_new(uint32_t *slot)
{
	uint32_t i = 0;
	int error = 0;

	pthread_mutex_lock(&sctx__threads_lock);
	while (i < slots && base[i] != FREE)
		i++;
	if (i == slots && !grow_slots()) {
		error = -ENOMEM;
	} else {
		/* Cancels what threads' arrays still hold for the slot's last user. */
		base[i] = 0;
		base[i] = -sum_locked(i);
		*slot = i;
	}
	pthread_mutex_unlock(&sctx__threads_lock);
	return error;
}

void sctx__counter_delete(uint32_t slot)
{
	pthread_mutex_lock(&sctx__threads_lock);
	if (slot < slots)
		base[slot] = FREE;
	pthread_mutex_unlock(&sctx__threads_lock);
}

void sctx__counter_add_slow(uint32_t slot, int64_t n)
{
	struct sctx__thread *self = sctx__thread_self();
	int64_t *array = NULL;

	pthread_mutex_lock(&sctx__threads_lock);
	if (slot < slots)
		array = resize(self->counter, self->counters, slots);
	if (array) {
		self->counter = array;
		self->counters = slots;
		sctx__store_release(&array[slot], array[slot] + n);
	} else if (slot < slots) {
		base[slot] += n;
	}
	pthread_mutex_unlock(&sctx__threads_lock);
}

int64_t sctx__counter_sum(uint32_t slot)
{
	int64_t sum;

	pthread_mutex_lock(&sctx__threads_lock);
	sum = sum_locked(slot);
	pthread_mutex_unlock(&sctx__threads_lock);
	return sum;
}

int64_t sctx__count_sum(enum sctx__event event)
{
	int64_t sum;

	pthread_mutex_lock(&sctx__threads_lock);
	sum = event_base[event];
	for (struct sctx__thread *t = sctx__threads; t; t = t->next)
		sum += sctx__load(&t->event[event]);
	pthread_mutex_unlock(&sctx__threads_lock);
	return sum;
}

/* Unused slots are folded too; sctx__counter_new() cancels them. */
void sctx__counters_fold(struct sctx__thread *t)
{
	for (int i = 0; i < SCTX__EVENTS; i++) {
		event_base[i] += t->event[i];
		t->event[i] = 0;
	}
	for (uint32_t i = 0; i < t->counters && i < slots; i++)
		if (base[i] != FREE)
			base[i] += value_in(t, i);
	sctx__pool_free(t->counter, t->counters * sizeof(*t->counter));
	t->counter = NULL;
	t->counters = 0;
}

void sctx__counters_fini(void)
{
	pthread_mutex_lock(&sctx__threads_lock);
	sctx__pool_free(base, slots * sizeof(*base));
	base = NULL;
	slots = 0;
	pthread_mutex_unlock(&sctx__threads_lock);
}
