/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs run: all schedules, random ones, a given one.  See run.c. */
#ifndef EXPLORE_RUN_H
#define EXPLORE_RUN_H

#include <stdbool.h>

struct run_options {
	int bound;
	long max;
	long runs;
	bool quiet;
};

extern struct run_options run_options;

/* All jobs (suites.h), by as many processes; prints results, returns the exit status. */
int run_jobs(int workers);

/* One schedule of one program; aborts where it fails. */
void run_replay(const char *text, const char *schedule);

/* False if the reduced search sees less than one without reductions, or more. */
bool run_compare(const char *text);

#endif /* EXPLORE_RUN_H */
