/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See conflict.h. */
#include "conflict.h"

#include "engine.h"

#include <string.h>

#define ADDRESSES 16384

struct use {
	const volatile void *address;
	uint8_t readers; /* threads */
	uint8_t writers;
};

static struct use uses[ADDRESSES];
static unsigned int used;
static bool learnt;

void conflict_reset(void)
{
	memset(uses, 0, sizeof(uses));
	used = 0;
	learnt = false;
}

static struct use *use_of(const volatile void *address)
{
	uintptr_t hash = (uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15) >> 40;
	struct use *use;

	while ((use = &uses[hash % ADDRESSES])->address && use->address != address)
		hash++;
	return use;
}

static bool conflicts(const struct use *use, bool write, unsigned int others)
{
	return others & (write ? use->readers | use->writers : use->writers);
}

bool conflict_at(const volatile void *address, bool write)
{
	return conflicts(use_of(address), write, ~BIT(current->id));
}

void conflict_note(const volatile void *address, bool write)
{
	struct use *use = use_of(address);
	uint8_t *set = write ? &use->writers : &use->readers;

	if (*set & BIT(current->id))
		return;
	if (!use->address) {
		explore_check(++used < ADDRESSES / 2, "more addresses than there is room for");
		use->address = address;
	}
	*set |= (uint8_t)BIT(current->id);
	learnt |= conflicts(use, write, ~BIT(current->id));
}

bool conflict_learnt(void)
{
	bool was = learnt;

	learnt = false;
	return was;
}
