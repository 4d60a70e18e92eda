/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Coroutines, points, one execution.  See engine.h. */
#include "engine.h"

#include "behaviour.h"
#include "conflict.h"
#include "delay.h"
#include "memory.h"
#include "readers.h"
#include "search.h"
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE  (256 << 10)
#define RECORD_SIZE 4096

/* More points than any program here has: it goes round in circles. */
#define STEPS_MAX 200000

struct thread threads[THREADS_MAX];
struct thread *current;
bool concurrent;
bool library_last;
uint32_t step;

static unsigned int preempted; /* threads that stand in leave_before() */
static jmp_buf outside;
static ucontext_t outside_context;
static struct thread *starting;

/* -------------------------------------------------------------- coroutines */

static void thread_end(struct thread *t)
{
	system_exit_hook(t);
	t->done = true;
	if (t->id == MAIN_THREAD)
		_longjmp(outside, 1);
	engine_wait(NULL, "the end");
	abort();
}

/* Stops before the body; an execution continues it there by jumping to base. */
static void coroutine(void)
{
	if (_setjmp(starting->base) == 0)
		swapcontext(&starting->context, &outside_context);
	current->main(current->arg);
	thread_end(current);
}

static void thread_init(struct thread *t)
{
	t->stack = aligned_alloc(64, STACK_SIZE);
	t->record = aligned_alloc(64, RECORD_SIZE);
	if (!t->stack || !t->record || getcontext(&t->context))
		abort();
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK_SIZE;
	starting = t;
	makecontext(&t->context, coroutine, 0);
	swapcontext(&outside_context, &t->context);
}

void engine_init(void)
{
	for (int i = 0; i < THREADS_MAX; i++) {
		threads[i].id = i;
		thread_init(&threads[i]);
	}
}

void *explore_self(void)
{
	return current->record;
}

static void thread_reset(struct thread *t)
{
	t->exists = t->done = t->woken = t->registered = false;
	t->ready = NULL;
	t->waits_for = NULL;
	t->exit_arg = NULL;
	t->nesting = 0;
	t->section = t->steps = t->others = 0;
}

struct thread *engine_spawn(const char *name, int first, void *(*body)(void *), void *arg)
{
	struct thread *t = &threads[first];

	while (t < threads + THREADS_MAX && t->exists)
		t++;
	explore_check(t < threads + THREADS_MAX, "more threads than the explorer has room for");
	snprintf(t->name, sizeof(t->name), "%s", name);
	memset(t->record, 0, RECORD_SIZE);
	memcpy(t->at, t->base, sizeof(t->at));
	t->main = body;
	t->arg = arg;
	t->exists = true;
	return t;
}

void engine_run(void *(*body)(void *))
{
	library_restore();
	memory_reset();
	system_reset();
	readers_reset();
	trace_begin();
	behaviour_begin();
	delay_reset();
	for (int i = 0; i < THREADS_MAX; i++)
		thread_reset(&threads[i]);
	concurrent = library_last = false;
	step = preempted = 0;
	current = engine_spawn("main", MAIN_THREAD, body, NULL);
	if (_setjmp(outside) == 0)
		_longjmp(current->at, 1);
}

/* True if another thread ran meanwhile. */
static bool switch_to(struct thread *next)
{
	struct thread *self = current;

	if (next == self)
		return false;
	current = next;
	if (_setjmp(self->at) == 0)
		_longjmp(next->at, 1);
	return true;
}

/* ------------------------------------------------------------------ points */

bool thread_can_run(struct thread *t)
{
	return t->exists && !t->done && (!t->ready || t->ready(t));
}

static unsigned int runnable(void)
{
	unsigned int mask = 0, program = BIT(LIBRARY_FIRST) - 1;

	for (int i = 0; i < THREADS_MAX; i++)
		if (thread_can_run(&threads[i]))
			mask |= BIT(i);
	return library_last && mask & program ? mask & program : mask;
}

bool others_can_run(struct thread *self)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (&threads[i] != self && thread_can_run(&threads[i]))
			return true;
	return false;
}

static bool switch_among(unsigned int mask, enum leave leave)
{
	if (mask == BIT(current->id))
		return false;
	return switch_to(&threads[search_choose(mask, leave)]);
}

static void count_step(void)
{
	step++;
	current->steps++;
	explore_check(step < STEPS_MAX, "no end after %d points: threads go round in circles",
		      STEPS_MAX);
}

/*
 * Preempted before an operation that nothing met since: the same as a schedule
 * in which the operation came first and the preemption later, or not at all.
 * That one is explored, so this one is given up.
 */
static void leave_before(const volatile void *address, bool write)
{
	struct thread *self = current;
	bool left;

	self->address = address;
	self->write = write;
	self->met = delay_pending(); /* others see it when these are seen */
	preempted |= BIT(self->id);
	left = switch_among(runnable() | BIT(self->id), LEAVE_COSTS);
	preempted &= ~BIT(self->id);
	if (left && !self->met && !search_everywhere())
		_longjmp(outside, 1);
}

void engine_meet(const volatile void *address, bool write)
{
	for (unsigned int mask = preempted; mask; mask &= mask - 1) {
		struct thread *t = &threads[__builtin_ctz(mask)];

		t->met |= t->address == address && (write || t->write);
	}
}

/* The trace tells of what was done, so the site comes after the switch. */
void engine_point(const volatile void *address, bool write, const struct explore_site *site)
{
	count_step();
	if (concurrent) {
		if (search_everywhere() || conflict_at(address, write) || delay_pending())
			leave_before(address, write);
		conflict_note(address, write);
		engine_meet(address, write);
	}
	trace_add(site);
}

void engine_pause(void)
{
	count_step();
	if (concurrent)
		switch_among(runnable() | BIT(current->id), LEAVE_FREE);
}

/*
 * Who yields waits for what others do: for one step of theirs, at least, since it
 * began to look, which was when it had yielded before.
 */
static bool others_went_on(struct thread *self)
{
	return step - self->steps != self->others;
}

void engine_yield(void)
{
	engine_wait(others_went_on, "somebody, by turns");
	current->others = step - current->steps;
}

static void stuck(const char *why)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (threads[i].exists && !threads[i].done)
			printf("  %d %s waits\n", i, threads[i].name);
	explore_fail("no thread can run: deadlock (the last waits for %s)", why);
}

void engine_wait(bool (*ready)(struct thread *self), const char *why)
{
	unsigned int mask;

	current->ready = ready;
	count_step();
	mask = runnable();
	if (!mask)
		stuck(why);
	if (!(mask & BIT(current->id)))
		switch_among(mask, LEAVE_FREE);
	current->ready = NULL;
}
