/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the threads of a program saw: a hash of every value that each of them
 * read by an atomic operation.  Two searches that see the same set of these
 * explored the same; so the reductions (conflict.h, leave_before() in
 * engine.c) are tested beside a search without them.
 */
#ifndef EXPLORE_BEHAVIOUR_H
#define EXPLORE_BEHAVIOUR_H

#include <stdint.h>

void behaviour_begin(void); /* of an execution */
void behaviour_saw(uintptr_t value);
void behaviour_end(void);

/* For another program: forget all. */
void behaviours_reset(void);
long behaviours_count(void);
/* A sum that is the same for the same set. */
uint64_t behaviours_sum(void);

#endif /* EXPLORE_BEHAVIOUR_H */
