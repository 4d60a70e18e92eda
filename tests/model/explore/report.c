/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happened: the steps of the present execution, and how to see them
 * again.
 */
#include "ops.h"
#include "search.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRACE_MAX (1 << 18)
#define SHOWN     3 /* steps after each switch, and before the next */

bool trace_all;
bool report_abort;

static struct traced {
	const struct explore_site *site;
	uint32_t step;
	uint8_t thread;
} trace[TRACE_MAX];
static int traced;

void trace_begin(void)
{
	traced = 0;
}

/* The program's own part; what comes before is always the same. */
void trace_add(const struct explore_site *site)
{
	if (concurrent && traced < TRACE_MAX)
		trace[traced++] = (struct traced){ site, step, (uint8_t)current->id };
}

static void print_step(const struct traced *t)
{
	const char *slash = strrchr(t->site->file, '/');

	printf("    %6u  %s:%d %s\n", t->step, slash ? slash + 1 : t->site->file, t->site->line,
	       t->site->what);
}

static void print_turn(const struct traced *begin, const struct traced *end)
{
	printf("  thread %d, %s:\n", begin->thread, threads[begin->thread].name);
	for (const struct traced *t = begin; t < end; t++)
		if (trace_all || t - begin < SHOWN || end - t <= SHOWN)
			print_step(t);
		else if (t - begin == SHOWN)
			printf("       ...  %d steps\n", (int)(end - begin) - 2 * SHOWN);
}

void trace_print(void)
{
	const struct traced *begin = trace, *end;

	for (; begin < trace + traced; begin = end) {
		for (end = begin; end < trace + traced && end->thread == begin->thread; end++)
			continue;
		print_turn(begin, end);
	}
}

void explore_fail(const char *format, ...)
{
	va_list args;

	printf("FAILED %s\n", program.text);
	trace_print();
	printf("  thread %d, %s, at step %u: ", current->id, current->name, step);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n  again: %s --replay=", program_invocation_name);
	search_print(stdout);
	printf(" '%s'\n", program.text);
	printf("  (--trace prints every step; in gdb, \"break engine_point if step == %u\")\n",
	       step);
	fflush(stdout);
	if (report_abort)
		abort();
	_exit(1);
}
