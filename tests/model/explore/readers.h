/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RCU as what it promises: a grace period ends when every section that was
 * open as it began has ended.  Stands in for the c11 flavour (lib/rcu/rcu.h).
 */
#ifndef EXPLORE_READERS_H
#define EXPLORE_READERS_H

#include "engine.h"

/* The sections that are open at one moment, by thread; 0: none. */
struct sections {
	uint32_t open[THREADS_MAX];
};

void readers_reset(void);
void sections_now(struct sections *sections);
/* The thread whose section of @sections is still open, or -1. */
int sections_left(const struct sections *sections);

#endif /* EXPLORE_READERS_H */
