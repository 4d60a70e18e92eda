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
static int64_t **tally_of; /* where a slot's remainders go, or NULL: to its base */
static uint32_t slots;

/*
 * The bases of unused slots.  Threads' arrays still hold counts for the slot's last user.
 * A new counter cancels them in its base; a tally cannot, so it reuses slots of tallies.
 */
#define UNUSED     INT64_MIN
#define FREE       (INT64_MIN + 1)
#define FREE_TALLY (INT64_MIN + 2)
#define IN_USE(i)  (base[i] > FREE_TALLY)

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
	int64_t **of = sctx__pool_alloc(more * sizeof(*of));
	int64_t *array = of ? resize(base, slots, more) : NULL;

	if (!array) {
		sctx__pool_free(of, more * sizeof(*of));
		return false;
	}
	memset(of, 0, more * sizeof(*of));
	if (slots)
		memcpy(of, tally_of, slots * sizeof(*of));
	sctx__pool_free(tally_of, slots * sizeof(*of));
	for (uint32_t i = slots; i < more; i++)
		array[i] = UNUSED;
	tally_of = of;
	base = array;
	slots = more;
	return true;
}

static int slot_new(uint32_t *slot, int64_t *tally)
{
	uint32_t i = 0;
	int error = 0;

	pthread_mutex_lock(&sctx__threads_lock);
	while (i < slots && base[i] != UNUSED && base[i] != (tally ? FREE_TALLY : FREE))
		i++;
	if (i == slots && !grow_slots()) {
		error = -ENOMEM;
	} else {
		/* Cancels what threads' arrays still hold for the slot's last user. */
		base[i] = 0;
		*(tally ? tally : &base[i]) = -sum_locked(i);
		tally_of[i] = tally;
		*slot = i;
	}
	pthread_mutex_unlock(&sctx__threads_lock);
	return error;
}

int sctx__counter_new(uint32_t *slot)
{
	return slot_new(slot, NULL);
}

int sctx__tally_new(struct sctx__tally *tally, uint32_t *slot)
{
	return slot_new(slot, &tally->flushed);
}

void sctx__counter_delete(uint32_t slot)
{
	pthread_mutex_lock(&sctx__threads_lock);
	if (slot < slots) {
		base[slot] = tally_of[slot] ? FREE_TALLY : FREE;
		tally_of[slot] = NULL;
	}
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

void sctx__tally_add_slow(struct sctx__tally *tally, int64_t n)
{
	struct sctx__thread *self = sctx__thread_self();
	uint32_t slot = tally->slot;
	int64_t most = sctx__load(&tally->step);

	if (slot >= self->counters)
		sctx__counter_add_slow(slot, 0);
	if (slot < self->counters) {
		n += self->counter[slot];
		sctx__store_release(&self->counter[slot], n < most && n > -most ? n : 0);
		if (n < most && n > -most)
			return;
	}
	sctx__add(&tally->flushed, n);
}

int64_t sctx__tally_sum(const struct sctx__tally *tally)
{
	uint32_t slot = sctx__load_acquire(&tally->slot);

	return slot == SCTX__NO_SLOT ? 0 : sctx__load(&tally->flushed) + sctx__counter_sum(slot);
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
		if (IN_USE(i) && tally_of[i])
			sctx__add(tally_of[i], value_in(t, i));
		else if (IN_USE(i))
			base[i] += value_in(t, i);
	sctx__pool_free(t->counter, t->counters * sizeof(*t->counter));
	t->counter = NULL;
	t->counters = 0;
}

void sctx__counters_fini(void)
{
	pthread_mutex_lock(&sctx__threads_lock);
	sctx__pool_free(base, slots * sizeof(*base));
	sctx__pool_free(tally_of, slots * sizeof(*tally_of));
	base = NULL;
	tally_of = NULL;
	slots = 0;
	pthread_mutex_unlock(&sctx__threads_lock);
}
