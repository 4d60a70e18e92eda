/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See search.h. */
#include "search.h"

#include "engine.h"

#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 65536
#define CHANGES_MAX 8

struct choice {
	uint32_t step;
	uint8_t chosen;
	uint8_t left; /* not tried yet */
};

bool search_every;

static enum { DEPTH_FIRST, PRIORITIES, SCHEDULE } mode;

/* Depth first: the choices on the way to the present execution. */
static struct choice path[CHOICES_MAX];
static int depth, position;
static int bound, preemptions;

/* Priorities. */
static uint64_t seed;
static int priority[THREADS_MAX];
static uint32_t change[CHANGES_MAX];
static int changes, lowest;
static uint64_t random_state; /* for what is decided on the way */
static uint32_t steps_expected;

/* What differs from the default: taken so far, and given. */
static struct choice taken[CHOICES_MAX];
static int taken_count;
static struct choice given[CHOICES_MAX];
static int given_count;

static int first_of(unsigned int mask)
{
	return __builtin_ctz(mask);
}

static int choose_by_default(unsigned int mask)
{
	return mask & BIT(current->id) ? current->id : first_of(mask);
}

/* ------------------------------------------------------------- depth first */

static int choose_depth_first(unsigned int mask, int chosen, bool may_leave)
{
	if (position < depth) {
		/* A step that is not in the path was no point when it was laid. */
		explore_check(step <= path[position].step, "two executions of one schedule differ");
		if (step == path[position].step)
			chosen = path[position++].chosen;
		explore_check(mask & BIT(chosen), "two executions of one schedule differ");
	} else if (may_leave) {
		explore_check(depth < CHOICES_MAX, "more choices than there is room for");
		path[depth].step = step;
		path[depth].chosen = (uint8_t)chosen;
		path[depth].left = (uint8_t)(mask & ~BIT(chosen));
		position = ++depth;
	}
	return chosen;
}

/* The next way at the last choice that has one. */
static bool more_depth_first(void)
{
	for (; depth; depth--) {
		struct choice *last = &path[depth - 1];

		if (!last->left)
			continue;
		last->chosen = (uint8_t)first_of(last->left);
		last->left &= (uint8_t)(last->left - 1);
		return true;
	}
	return false;
}

/* -------------------------------------------------------------- priorities */

uint64_t search_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void begin_priorities(void)
{
	uint64_t state = seed;

	for (int i = 0; i < THREADS_MAX; i++) {
		int other = (int)(search_random(&state) % (unsigned int)(i + 1));

		priority[i] = priority[other];
		priority[other] = i + 1;
	}
	for (int i = 0; i < changes; i++)
		change[i] = (uint32_t)(search_random(&state) % steps_expected);
	lowest = 0;
	random_state = state;
}

/* Between two operations a thread may as well wait for all others. */
static int choose_by_priority(unsigned int mask, enum leave leave)
{
	int chosen = first_of(mask);

	if (leave == LEAVE_FREE && mask & BIT(current->id) && search_random(&random_state) % 2)
		priority[current->id] = --lowest;

	for (int i = 0; i < changes; i++)
		if (change[i] <= step) {
			change[i] = UINT32_MAX;
			priority[current->id] = --lowest;
		}
	for (mask &= mask - 1; mask; mask &= mask - 1)
		if (priority[first_of(mask)] > priority[chosen])
			chosen = first_of(mask);
	return chosen;
}

/* ---------------------------------------------------------------- schedule */

static int choose_as_given(unsigned int mask, int chosen)
{
	while (position < given_count && given[position].step < step)
		position++;
	if (position < given_count && given[position].step == step)
		chosen = given[position++].chosen;
	explore_check(mask & BIT(chosen), "at step %u thread %d cannot run: not a schedule of this",
		      step, chosen);
	return chosen;
}

/* ------------------------------------------------------------------ common */

static void take(int chosen, int by_default)
{
	if (chosen == by_default || taken_count == CHOICES_MAX)
		return;
	taken[taken_count].step = step;
	taken[taken_count++].chosen = (uint8_t)chosen;
}

int search_choose(unsigned int mask, enum leave leave)
{
	bool costs = leave == LEAVE_COSTS && mask & BIT(current->id);
	int by_default = choose_by_default(mask), chosen;

	if (!concurrent)
		return by_default;
	if (mode == DEPTH_FIRST)
		chosen = choose_depth_first(mask, by_default, !costs || preemptions < bound);
	else if (mode == PRIORITIES)
		chosen = choose_by_priority(mask, leave);
	else
		chosen = choose_as_given(mask, by_default);
	preemptions += costs && chosen != current->id;
	take(chosen, by_default);
	return chosen;
}

bool search_delay(void)
{
	int chosen = 0;

	if (mode == DEPTH_FIRST)
		chosen = choose_depth_first(BIT(0) | BIT(1), 0, preemptions < bound);
	else if (mode == PRIORITIES)
		chosen = search_random(&random_state) % 8 == 0;
	else
		chosen = choose_as_given(BIT(0) | BIT(1), 0);
	preemptions += chosen; /* counts as one */
	take(chosen, 0);
	return chosen;
}

bool search_everywhere(void)
{
	return mode != DEPTH_FIRST || search_every;
}

void search_depth_first(int preemption_bound)
{
	mode = DEPTH_FIRST;
	bound = preemption_bound;
	depth = 0;
}

void search_priorities(uint64_t with_seed, uint32_t steps, int with_changes)
{
	mode = PRIORITIES;
	seed = with_seed;
	steps_expected = steps ? steps : 1;
	changes = with_changes < CHANGES_MAX ? with_changes : CHANGES_MAX;
}

void search_schedule(const char *schedule)
{
	char *end;

	mode = SCHEDULE;
	given_count = 0;
	for (; *schedule && given_count < CHOICES_MAX; schedule = *end ? end + 1 : end) {
		given[given_count].step = (uint32_t)strtoul(schedule, &end, 10);
		if (*end != ':')
			break;
		given[given_count++].chosen = (uint8_t)strtoul(end + 1, &end, 10);
	}
}

void search_begin(void)
{
	position = preemptions = taken_count = 0;
	if (mode == PRIORITIES)
		begin_priorities();
}

bool search_more(void)
{
	return mode == DEPTH_FIRST && more_depth_first();
}

void search_print(FILE *out)
{
	for (int i = 0; i < taken_count; i++)
		fprintf(out, "%s%u:%u", i ? "," : "", taken[i].step, taken[i].chosen);
}
