/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stand-ins for what the library asks of libc.  A program that links inject.o
 * and the static library with --wrap (FAULT_WRAPS in tests.mk) has them called
 * by the library and by itself.
 *
 * Allocations fail for the thread that has armed them and for no other;
 * threads, keys, hooks and mlock for whoever comes first.
 */
#ifndef INJECT_H
#define INJECT_H

#include "test.h"

/* Let the @n-th allocation from now on fail; @all: and those after it. */
void arm(unsigned int n, bool all);
/* Returns how many allocations failed. */
unsigned int disarm(void);

/* What arm() sets: allocations to go until one fails, 0 for none; all after it. */
extern __thread unsigned int fail_in, fail_all;

/* How many threads, keys, hooks, locks cannot be had yet. */
extern atomic_uint no_threads, no_keys, no_hooks, no_mlocks;
extern int random_error;                /* errno of getrandom, or */
extern bool random_zero;                /* a secret that is known */
extern __thread uintptr_t address_bits; /* set in what is allocated: not to be touched */

/* Runs @statement with memory enough. */
#define UNHARMED(statement)                                  \
	do {                                                 \
		unsigned int in_ = fail_in, all_ = fail_all; \
		fail_in = 0;                                 \
		statement;                                   \
		fail_in = in_;                               \
		fail_all = all_;                             \
	} while (0)

struct books {
	long blocks, maps;
};

/*
 * Only what is in use is left: limbo is empty, and a thread that has detached
 * keeps no free memory for its next opens.
 */
struct books books_now(void);
void books_compare(struct books before);

/*
 * Run @call with its Nth allocation failing, N = 1, 2, 3 ... until none does.
 * A call that fails must return -ENOMEM and leave the books as they were; then
 * @check looks whether anything else has changed.  Returns how often it failed.
 */
unsigned int until_it_succeeds(int (*call)(void *arg), void (*check)(void *arg), void *arg);

/* A test that runs @fn in a child, in which the library is fresh. */
#define IN_CHILD(fn)                                    \
	static void in_child_##fn(void **state)         \
	{                                               \
		(void)state;                            \
		assert_child_ok(child_start(fn, NULL)); \
	}

#endif /* INJECT_H */
