/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs run, by processes that take one after the other from the list of
 * jobs; and what is printed of it.
 */
#include "run.h"

#include "behaviour.h"
#include "conflict.h"
#include "search.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIRST_LOOK 20
#define LARGE      10 /* times the runs of a random program, for chosen ones */

extern bool report_abort;

struct run_options run_options = { .bound = 2, .runs = 100 };

static void parse(const char *text)
{
	if (program_parse(text))
		return;
	fprintf(stderr, "explore: no program: %s\n", text);
	exit(2);
}

/* ------------------------------------------------------------- one program */

/* Random schedules: at once what is easily found, and who uses which memory. */
static long sample(long runs, uint64_t seed)
{
	uint32_t steps = 100;

	for (long i = 0; i < runs; i++) {
		search_priorities(seed + (uint64_t)i, steps, 1 + (int)(i % 3));
		program_run();
		steps = step;
	}
	return runs;
}

/* False if it was cut off. */
static bool exhaust(int bound, long *schedules, bool count_behaviours)
{
	do {
		search_depth_first(bound);
		do {
			program_run();
			if (count_behaviours && program_complete)
				behaviour_end();
			if (++*schedules == run_options.max)
				return false;
		} while (search_more());
	} while (conflict_learnt());
	return true;
}

static void explore(struct job *job)
{
	int most = run_options.bound - job->less;

	long runs = strcmp(job->suite, "random") == 0 ? run_options.runs : LARGE * run_options.runs;

	job->schedules = sample(job->seed ? runs : FIRST_LOOK, job->seed + 1);
	for (int bound = 0; !job->seed && bound <= most; bound++)
		if (exhaust(bound, &job->schedules, false))
			job->bound = bound;
		else
			break;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_job(struct job *job)
{
	double since = seconds();
	char result[32] = "random";

	parse(job->text);
	conflict_reset();
	explore(job);
	job->seconds = seconds() - since;
	if (run_options.quiet)
		return;
	if (!job->seed)
		snprintf(result, sizeof(result), "%s %d",
			 job->bound == run_options.bound - job->less ? "bound" : "cut after",
			 job->bound);
	printf("%-11s %9ld schedules %7.2f s  %s\n", result, job->schedules, job->seconds,
	       job->text);
}

/* ----------------------------------------------------------------- workers */

static int work(void)
{
	int i;

	while ((i = __atomic_fetch_add(&jobs->next, 1, __ATOMIC_RELAXED)) < jobs->count) {
		run_job(&jobs->job[i]);
		fflush(stdout);
		if (__atomic_load_n(&jobs->failed, __ATOMIC_RELAXED))
			break;
	}
	return 0;
}

/* A failure ends its process, inside a program: others stop after theirs. */
static bool workers_pass(int workers)
{
	int status;

	fflush(stdout);
	for (int i = 0; i < workers; i++) {
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (pid == 0)
			_exit(work());
	}
	for (int i = 0; i < workers; i++)
		if (wait(&status) < 0 || status != 0)
			__atomic_store_n(&jobs->failed, 1, __ATOMIC_RELAXED);
	return !jobs->failed;
}

/* ------------------------------------------------------------------- table */

#define BOUNDS 5

struct row {
	const char *suite;
	int programs;
	int at[BOUNDS]; /* of them exhausted with so many preemptions */
	int cut;
	int random;
	long schedules;
	double seconds;
};

static void row_add(struct row *row, const struct job *job)
{
	row->programs++;
	row->schedules += job->schedules;
	row->seconds += job->seconds;
	if (job->seed)
		row->random++;
	else if (job->bound < run_options.bound - job->less)
		row->cut++;
	else
		row->at[job->bound < BOUNDS ? job->bound : BOUNDS - 1]++;
}

static void row_print(const struct row *row)
{
	int most = row->at[run_options.bound < BOUNDS ? run_options.bound : BOUNDS - 1];
	int less = run_options.bound ? row->at[run_options.bound - 1] : 0;

	printf("%-15s %8d %9d %9d %8d %8d %8d %10ld %8.1f\n", row->suite, row->programs, most, less,
	       row->programs - most - less - row->cut - row->random, row->cut, row->random,
	       row->schedules, row->seconds);
}

/* Jobs of a suite stand together. */
static void table_print(void)
{
	struct row row, all = { .suite = "all" };

	printf("\nsuite           programs  bound %d   bound %d    lower      cut   random  "
	       "schedules    "
	       "CPU s\n",
	       run_options.bound, run_options.bound - 1);
	for (int i = 0, next; i < jobs->count; i = next) {
		row = (struct row){ .suite = jobs->job[i].suite };
		for (next = i; next < jobs->count && jobs->job[next].suite == row.suite; next++) {
			row_add(&row, &jobs->job[next]);
			row_add(&all, &jobs->job[next]);
		}
		row_print(&row);
	}
	row_print(&all);
	printf("No failure.  Bound: every schedule with at most so many preemptions; "
	       "memory is sequentially consistent.\n");
}

int run_jobs(int workers)
{
	static char buffer[1 << 20];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer)); /* reports in one piece */
	for (int i = 0; i < jobs->count; i++)
		parse(jobs->job[i].text);
	if (!workers_pass(workers)) {
		printf("failed\n");
		return 1;
	}
	table_print();
	return 0;
}

/* ------------------------------------------------------ replaying, comparing */

void run_replay(const char *text, const char *schedule)
{
	parse(text);
	report_abort = true;
	search_schedule(schedule);
	program_run();
	trace_print();
	printf("passed\n");
}

static uint64_t behaviours_of(const char *text, bool every, long *count)
{
	long schedules = 0;

	search_every = every;
	parse(text);
	conflict_reset();
	behaviours_reset();
	if (!every)
		sample(FIRST_LOOK, 1);
	if (!exhaust(run_options.bound, &schedules, true))
		return 0;
	*count = behaviours_count();
	printf("%9ld schedules %9ld behaviours  %s%s\n", schedules, *count, text,
	       every ? " (every step)" : "");
	return behaviours_sum();
}

bool run_compare(const char *text)
{
	long with = 0, without = 0;

	if (behaviours_of(text, false, &with) == behaviours_of(text, true, &without) &&
	    with == without)
		return true;
	printf("FAILED %s: %ld behaviours, and %ld without reductions\n", text, with, without);
	return false;
}
