/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See behaviour.h. */
#include "behaviour.h"

#include "engine.h"

#include <string.h>

#define ROOM (1u << 20)

static uint64_t hashes[PROGRAM_FIRST + PROGRAM_MAX];
static uint64_t seen[ROOM];
static long count;
static uint64_t sum;

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

void behaviour_begin(void)
{
	memset(hashes, 0, sizeof(hashes));
}

/* The library's own threads are stopped anywhere when the program is over. */
void behaviour_saw(uintptr_t value)
{
	if (concurrent && current->id < LIBRARY_FIRST)
		hashes[current->id] = mix(hashes[current->id] + value + 1);
}

void behaviour_end(void)
{
	uint64_t all = 0, at;

	for (int i = 0; i < PROGRAM_FIRST + PROGRAM_MAX; i++)
		all = mix(all + hashes[i] + 1);
	all |= 1;
	for (at = all >> 20; seen[at % ROOM] && seen[at % ROOM] != all; at++)
		continue;
	if (seen[at % ROOM])
		return;
	explore_check(++count < ROOM / 2, "more behaviours than there is room for");
	seen[at % ROOM] = all;
	sum += all;
}

void behaviours_reset(void)
{
	memset(seen, 0, sizeof(seen));
	count = 0;
	sum = 0;
}

long behaviours_count(void)
{
	return count;
}

uint64_t behaviours_sum(void)
{
	return sum;
}
