/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far ahead the processor looks just now: two lines that are in no near cache, with
 * so many empty instructions between them, take the time of one if the second is asked for
 * while the first is waited for.  Prints that time with many by that with few: 1, or 2
 * where many are too many.  Where two hardware threads share a core, each has half of what
 * it looks ahead with while the other one is busy, with whatever it does.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINES (1u << 19) /* of each chain: 32 MiB */
#define TURNS 20000
#define FEW   60  /* on both sides, as both loads wait for the turn before */
#define MANY  300 /* between half of what today's look ahead and all of it */

struct line {
	struct line *next;
	char rest[56];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A circle of all lines in a random order (Sattolo's algorithm). */
static struct line *circle(uint64_t random)
{
	struct line *line = aligned_alloc(64, LINES * sizeof(*line));

	if (!line)
		exit(1);
	for (uint32_t i = 0; i < LINES; i++)
		line[i].next = &line[i];
	for (uint32_t i = LINES - 1; i > 0; i--) {
		struct line *next = line[i].next, *other;

		random = random * 6364136223846793005 + 1442695040888963407;
		other = &line[(random >> 32) % i];
		line[i].next = other->next;
		other->next = next;
	}
	return line;
}

#define STRING(n) #n
#define EMPTY(n) \
	__asm__ volatile(".rept " STRING(n) "\n\tnop\n\t.endr" : "+r"(a), "+r"(b) : : "memory")
#define DEFINE_WALK(name, n)                        \
	static uint64_t name(struct line **at)      \
	{                                           \
		struct line *a = at[0], *b = at[1]; \
		uint64_t begin = now_ns();          \
                                                    \
		for (int i = 0; i < TURNS; i++) {   \
			a = a->next;                \
			EMPTY(n);                   \
			b = b->next;                \
			EMPTY(n);                   \
		}                                   \
		at[0] = a;                          \
		at[1] = b;                          \
		return now_ns() - begin;            \
	}

DEFINE_WALK(walk_few, FEW)
DEFINE_WALK(walk_many, MANY)

int main(void)
{
	struct line *at[2] = { circle(1), circle(2) };
	double few, many;

	walk_few(at);
	few = (double)walk_few(at);
	many = (double)walk_many(at);
	printf("%.2f\n", many / few);
	return 0;
}
