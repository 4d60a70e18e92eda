/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which operations are worth a switch before them: those on an address that
 * another thread uses as well, and not both only to read.  A switch before
 * any other operation is the same as one before the thread's next that is,
 * because what lies between changes places with all that others do.
 *
 * Who uses what is learnt while exploring.  A search that learns something
 * new is repeated from its start, until one teaches nothing.
 */
#ifndef EXPLORE_CONFLICT_H
#define EXPLORE_CONFLICT_H

#include <stdbool.h>

/* For another program: forget. */
void conflict_reset(void);

/* Whether the calling thread's operation there may conflict with another's. */
bool conflict_at(const volatile void *address, bool write);
void conflict_note(const volatile void *address, bool write);

/* True if something new was learnt since the last call. */
bool conflict_learnt(void);

#endif /* EXPLORE_CONFLICT_H */
