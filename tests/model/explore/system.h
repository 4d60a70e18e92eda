/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system's part of seam.h: see system.c. */
#ifndef EXPLORE_SYSTEM_H
#define EXPLORE_SYSTEM_H

#include "engine.h"

void system_reset(void);
/* @t ends: what the library asked to be called then. */
void system_exit_hook(struct thread *t);

#endif /* EXPLORE_SYSTEM_H */
