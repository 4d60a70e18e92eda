/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The explorer's threads and its one processor.
 *
 * The threads of an explored program are coroutines of one real thread, and
 * pass it on at points: each atomic operation, lock, RCU call and wait of the
 * library.  Coroutines rather than threads that pass a token, because a switch
 * then costs 20 ns instead of two visits to the kernel, an execution is
 * deterministic without further care, and hundreds of thousands of schedules
 * fit into a second or two.  The price is that __thread means nothing here:
 * the library's one record per thread is exchanged (sctx__self).
 *
 *   engine.c   the coroutines, points, one execution from start to end
 *   search.c   which thread goes on at a point: depth first with a preemption
 *              bound, by random priorities, or as a given schedule says
 *   conflict.c which points matter: those at memory that threads share
 *   atomics.c, system.c, readers.c  what the library calls (seam.h, lib/rcu/rcu.h)
 *   memory.c   an allocator that knows what was freed (lib/base/pool.h)
 *   ledger.c   who holds which context, and what must hold of it
 *   orders.c   whether some order of the operations gives what they gave
 *   ops.h, stream_ops.c, ordered.c, slot.c, registry.c, owner.c  the operations
 *              that programs are made of
 *   program.c  a program's text to threads, start to finish
 *   suites.c   the programs, run.c runs them, main.c has the options
 *
 * What it cannot see: interleavings here are sequentially consistent (but for
 * delay.h), so a missing acquire, release or fence is not found (ThreadSanitizer's part, and
 * the models').  Plain accesses are no points: that they are free of races is
 * ThreadSanitizer's to say, too.  Fork, exit, dlclose and liburcu are not in
 * it; grace periods are modelled as what they promise.
 */
#ifndef EXPLORE_ENGINE_H
#define EXPLORE_ENGINE_H

#include "seam.h"

#include <setjmp.h>
#include <ucontext.h>

/* Thread 0 sets up and finishes, 1 to 4 are the program, the rest the library's. */
#define MAIN_THREAD   0
#define PROGRAM_FIRST 1
#define PROGRAM_MAX   4
#define LIBRARY_FIRST 5
#define THREADS_MAX   8

#define BIT(n) (1u << (n))

struct thread {
	int id;
	char name[64];
	void *(*main)(void *);
	void *arg;
	bool exists;
	bool done;
	jmp_buf base; /* where the coroutine begins a program */
	jmp_buf at;   /* where it stopped */
	ucontext_t context;
	char *stack;
	void *record;    /* the library's struct sctx__thread */
	void *exit_arg;  /* of the library's exit hook, if it asked for it */
	uint32_t steps;  /* of its own */
	uint32_t others; /* of all others, when it had yielded last */
	/* Waiting: for this to become true. */
	bool (*ready)(struct thread *self);
	const volatile void *waits_for;
	size_t size;
	bool woken;
	/* Preempted before an operation there; @met: one came that conflicts with it. */
	const volatile void *address;
	bool write;
	bool met;
	/* RCU. */
	bool registered;
	unsigned int nesting;
	uint32_t section;            /* its number; 0: outside */
	uint32_t waits[THREADS_MAX]; /* sections that its grace period waits for */
};

extern struct thread threads[THREADS_MAX];
extern struct thread *current;

/* Points are where threads may switch only in the part of a run that says so. */
extern bool concurrent;
extern uint32_t step; /* points passed in this run */

void engine_init(void);
/* One execution: @main on thread 0, until it returns. */
void engine_run(void *(*main)(void *));

/* A new thread; @first is the lowest number that it may get. */
struct thread *engine_spawn(const char *name, int first, void *(*main)(void *), void *arg);

/* Before an operation on @address, which other threads may use too. */
void engine_point(const volatile void *address, bool write, const struct explore_site *site);
/* Threads that stand before an operation there learn that it was used. */
void engine_meet(const volatile void *address, bool write);
/* The same before use of what the explorer itself keeps, to judge by. */
#define engine_judge(address, write)                                                        \
	do {                                                                                \
		static const struct explore_site judge_ = { __FILE__, __LINE__, #address }; \
		engine_point((address), (write), &judge_);                                  \
	} while (0)
/* Between two operations of a program: whoever may run goes on, at no cost. */
void engine_pause(void);
/* Until others have gone on. */
void engine_yield(void);
/* Until @ready(current). */
void engine_wait(bool (*ready)(struct thread *self), const char *why);

bool thread_can_run(struct thread *t);
/* Any but @self. */
bool others_can_run(struct thread *self);

/* Keep the library's threads out of the concurrent part as long as others can run. */
extern bool library_last;

/* The library's static data, as it was before the first execution. */
void library_save(const char *path);
void library_restore(void);
/* Frees what the library keeps until it is unloaded. */
void library_end(void);

/* ---------------------------------------------------------------- failures */

/* Says what happened, and the schedule that led there; does not return. */
void explore_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define explore_check(condition, ...)              \
	do {                                       \
		if (!(condition))                  \
			explore_fail(__VA_ARGS__); \
	} while (0)

void trace_begin(void);
void trace_add(const struct explore_site *site);
void trace_print(void);
extern bool trace_all;

#endif /* EXPLORE_ENGINE_H */
