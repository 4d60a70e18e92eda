/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stores that others see late, in programs that say "delay": the one step
 * beyond sequential consistency that the library's grace periods are about.
 * (A store that unlinks may be seen after the load of the phase that follows
 * it.  Without this, one grace period would do where there are two.)
 *
 * One store of an execution may be delayed, which counts as a preemption.  Its own thread goes on,
 * and the stores that follow are delayed behind it; loads and acquires are not.  Other threads load
 * what was there before, until the thread releases something with an atomic operation or a mutex,
 * or ends its section; or until another one wants to write there.  C11 allows all of that, and
 * more.
 */
#ifndef EXPLORE_DELAY_H
#define EXPLORE_DELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern bool delays; /* the program is one that says so */

void delay_reset(void);
/* After the point of a store that replaces @old at @p: it may be delayed. */
void delay_store(const volatile void *p, uintptr_t old);
/* What the calling thread sees at @p, where @value is in memory. */
uintptr_t delay_load(const volatile void *p, uintptr_t value);
/* Somebody writes at @p in another way: what is delayed there is seen first. */
void delay_write(const volatile void *p);
/* The calling thread releases: all that it has delayed is seen. */
void delay_release(void);
/* Whether the calling thread has delayed anything. */
bool delay_pending(void);

#endif /* EXPLORE_DELAY_H */
