/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which thread goes on.  A schedule is what differs from the default, which is
 * to stay with the thread that runs and, where it cannot go on, to take the
 * lowest number: "35:2,81:1" is thread 2 at step 35 and thread 1 at step 81.
 *
 * Depth first: all schedules with at most @bound preemptions, that is, changes
 * away from a thread that could have gone on (Musuvathi and Qadeer, PLDI 2007).
 * Changes where a thread waits, ends or pauses between two operations are free.
 *
 * Priorities: PCT (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010).
 * The runnable thread of highest priority runs; at a few random steps the
 * running thread's becomes the lowest, and perhaps where it pauses between two
 * operations.
 */
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum leave { LEAVE_COSTS, LEAVE_FREE };

/* One of @mask, which has two or more, or lacks the current thread. */
int search_choose(unsigned int mask, enum leave leave);

/* Whether a store is delayed (delay.h); "35:1" in a schedule as well. */
bool search_delay(void);

/* Whether every step is a point, or only those at memory that threads share. */
bool search_everywhere(void);
/* Without any reduction, to test the reductions. */
extern bool search_every;

/* Before a search, and before each execution of it; more() after each. */
void search_depth_first(int bound);
void search_priorities(uint64_t seed, uint32_t steps, int changes);
void search_schedule(const char *schedule);
void search_begin(void);
bool search_more(void);

/* Random numbers that depend on nothing but the seed. */
uint64_t search_random(uint64_t *state);

/* The schedule of this execution so far. */
void search_print(FILE *out);

#endif /* EXPLORE_SEARCH_H */
