/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The schedule explorer.
 *
 *   explore [options] SUITE|'PROGRAM' ...
 *
 *   --bound=N     at most N preemptions (2)
 *   --max=N       give a program up after N schedules (none)
 *   --runs=N      random schedules for each random program (200)
 *   --programs=N  random programs (100)
 *   --seed=N      of the first of them (1)
 *   --list        the suites' programs
 *   --replay=S    one schedule, as a failure printed it; stops in a debugger
 *   --trace       print every step
 *   --quiet       print sums only
 *   --every       every step is a point, no schedule is given up: slow
 *   --behaviours  count what the threads saw, twice: with and without --every
 *
 * SUITE is pairs-stream, pairs-registry, reclaim, random, or all.  PROGRAM is
 * as in ops.h.  Fails at the first program that fails.  engine.h says what
 * this can see.
 */
#include "behaviour.h"
#include "conflict.h"
#include "memory.h"
#include "ops.h"
#include "search.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern bool report_abort;

/*
 * With the reclaimer's thread taking part, or with more than two threads.
 * A bound in front is used where it is lower than the option's.
 */
static const char *const reclaim_programs[] = {
	/* Somebody uses what another one drops. */
	"stream/one: lookup | delete | reclaimer",
	"stream/one: lookup | remove | sleeper",
	"stream/one: lookup | teardown | reclaimer",
	"stream/one: lookup | retire | reclaimer",
	"stream/one: lookup | teardown_sync",
	"stream/one: lookup | replace | reclaimer",
	"stream/nine: lookup | insert | reclaimer",
	"stream/full: lookup | insert | sleeper",
	"stream/one: get | remove | reclaimer",
	"stream/one: get | teardown | reclaimer",
	"stream/one: get | retire | reclaimer",
	"stream/one: get | delete | sleeper",
	"stream/one: detach | retire | reclaimer",
	"stream/one: detach | teardown | reclaimer",
	"stream/one: detach_found | delete | reclaimer",
	"stream/one: insert_unique | delete | reclaimer",
	"stream/one: get_or_create | delete | reclaimer",
	"stream/empty: get_or_create | get_or_create | reclaimer",
	"stream/one: insert | teardown | reclaimer",
	"stream/one: insert | retire | reclaimer",
	"stream/one: put | delete | reclaimer",
	"stream/one: put | detach | reclaimer",
	/* Work that must not be forgotten. */
	"stream/one: delete | sleeper",
	"stream/one: barrier | delete | sleeper",
	"stream/one: delete, thread_detach | reclaimer",
	"stream/one: delete, barrier | sleeper",
	"stream/limit: delete, insert | sleeper",
	"stream/limit: delete | insert | sleeper",
	"stream/limit: delete, get_or_create | reclaimer",
	"stream/spread: lookup | delete | reclaimer",
	"stream/spread: teardown | reclaimer",
	/* Nodes, arrays, buckets and tables that are used again. */
	"registry/closed: close_a, open_b | find_a | reclaimer",
	"registry/closed: close_a | existing_a | reclaimer",
	"registry/closed: close_a | find_a | sleeper",
	"registry/growing: find_a | open_c | reclaimer",
	"registry/chained: find_a | open_c | reclaimer",
	"registry/growing: existing_a | open_c | reclaimer",
	"registry/growing: walk | open_c | reclaimer",
	/* Three at once. */
	"stream/one: lookup | remove | insert_unique",
	"stream/one: detach | remove | teardown",
	"stream/empty: insert | lookup | teardown",
	"stream/empty: insert_unique | get_or_create | delete",
	"registry/closed: open_close_a | open_close_a | find_a",
	"registry/closed: open_close_a | close_a | open_a",
	"registry/growing: open_b | open_c | find_a",
	NULL,
};

static struct {
	int bound;
	long max;
	long runs;
	long programs;
	unsigned long seed;
	bool list, quiet, behaviours;
	const char *replay;
} options = { .bound = 2, .max = 0, .runs = 200, .programs = 100, .seed = 1 };

static long total_programs, total_schedules, total_cut;

/* ------------------------------------------------------------ one program */

static void parse(const char *text)
{
	if (program_parse(text))
		return;
	fprintf(stderr, "explore: no program: %s\n", text);
	exit(2);
}

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
static bool exhaust(int bound, long *schedules)
{
	do {
		search_depth_first(bound);
		do {
			program_run();
			if (options.behaviours && program_complete)
				behaviour_end();
			if (++*schedules == options.max)
				return false;
		} while (search_more());
	} while (conflict_learnt());
	return true;
}

static void print_result(const char *result, long schedules, struct timespec since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!options.quiet)
		printf("%-9s %9ld schedules %7.2f s  %s\n", result, schedules,
		       (double)(now.tv_sec - since.tv_sec) +
			       (double)(now.tv_nsec - since.tv_nsec) / 1e9,
		       program.text);
	fflush(stdout);
}

static void explore(const char *text)
{
	struct timespec since;
	char result[32];
	long schedules;
	bool all = true;

	if (options.list) {
		puts(text);
		return;
	}
	parse(text);
	conflict_reset();
	clock_gettime(CLOCK_MONOTONIC, &since);
	schedules = sample(20, 1);
	for (int bound = 0; bound <= options.bound && all; bound++) {
		all = exhaust(bound, &schedules);
		snprintf(result, sizeof(result), "%s %d", all ? "bound" : "cut at", bound);
	}
	total_programs++;
	total_schedules += schedules;
	total_cut += !all;
	print_result(result, schedules, since);
}

static void replay(const char *text)
{
	parse(text);
	report_abort = true;
	search_schedule(options.replay);
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
		sample(20, 1);
	if (!exhaust(options.bound, &schedules))
		return 0;
	*count = behaviours_count();
	printf("%9ld schedules %9ld behaviours  %s%s\n", schedules, *count, text,
	       every ? " (every step)" : "");
	return behaviours_sum();
}

/* Fails if the reduced search sees less, or more. */
static void compare(const char *text)
{
	long with, without;

	if (behaviours_of(text, false, &with) == behaviours_of(text, true, &without) &&
	    with == without)
		return;
	printf("FAILED %s: %ld behaviours, and %ld without reductions\n", text, with, without);
	fflush(stdout);
	_exit(1);
}

/* ------------------------------------------------------------------ suites */

static const struct op *op_at(const struct kind *kind, int i)
{
	return &kind->ops[i];
}

static void pair(const struct kind *kind, int start, const struct op *a, const struct op *b)
{
	char text[sizeof(program.text)];

	/* The one frees what the other was called with. */
	if (a->flags & b->flags & OP_ONCE)
		return;
	snprintf(text, sizeof(text), "%s/%s: %s | %s", kind->name, kind->starts[start], a->name,
		 b->name);
	explore(text);
}

static void pairs(const struct kind *kind)
{
	for (int start = 0; start < kind->starts_for_pairs; start++)
		for (int i = 0; op_at(kind, i)->name; i++)
			for (int j = i; op_at(kind, j)->name; j++)
				pair(kind, start, op_at(kind, i), op_at(kind, j));
}

static void reclaim(void)
{
	for (const char *const *text = reclaim_programs; *text; text++)
		explore(*text);
}

static int ops_count(const struct kind *kind)
{
	int n = 0;

	while (kind->ops[n].name)
		n++;
	return n;
}

/* Four threads of three operations, which may all meet. */
static void random_text(const struct kind *kind, uint64_t seed, char *text, size_t size)
{
	uint64_t state = seed;
	size_t n;

	n = (size_t)snprintf(text, size, "%s/%s: ", kind->name,
			     kind->starts[search_random(&state) %
					  (unsigned int)kind->starts_for_pairs]);
	for (int i = 0; i < PROGRAM_MAX * 3;) {
		const struct op *op =
			op_at(kind, (int)(search_random(&state) % (unsigned int)ops_count(kind)));

		if (op->flags & (OP_ONCE | OP_FREES))
			continue;
		n += (size_t)snprintf(text + n, size - n, "%s%s", op->name,
				      ++i % 3 ? ", " : i < PROGRAM_MAX * 3 ? " | " : "");
	}
	snprintf(text + n, size - n, " | %s", seed % 2 ? "reclaimer" : "sleeper");
}

static void random_suite(void)
{
	char text[sizeof(program.text)];
	struct timespec since;

	for (long i = 0; i < options.programs; i++) {
		uint64_t seed = options.seed + (uint64_t)i;

		random_text(seed % 4 < 2 ? &stream_kind : &registry_kind, seed, text, sizeof(text));
		if (options.list) {
			puts(text);
			continue;
		}
		parse(text);
		clock_gettime(CLOCK_MONOTONIC, &since);
		total_schedules += sample(options.runs, seed << 32);
		total_programs++;
		print_result("random", options.runs, since);
	}
}

static void run(const char *name)
{
	bool all = strcmp(name, "all") == 0;

	if (strchr(name, ':')) {
		if (options.replay)
			replay(name);
		else if (options.behaviours)
			compare(name);
		else
			explore(name);
		return;
	}
	if (!all && strcmp(name, "pairs-stream") && strcmp(name, "pairs-registry") &&
	    strcmp(name, "reclaim") && strcmp(name, "random")) {
		fprintf(stderr, "explore: no suite: %s\n", name);
		exit(2);
	}
	if (all || strcmp(name, "pairs-stream") == 0)
		pairs(&stream_kind);
	if (all || strcmp(name, "pairs-registry") == 0)
		pairs(&registry_kind);
	if (all || strcmp(name, "reclaim") == 0)
		reclaim();
	if (all || strcmp(name, "random") == 0)
		random_suite();
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "bound", required_argument, NULL, 'b' },
		{ "max", required_argument, NULL, 'm' },
		{ "runs", required_argument, NULL, 'r' },
		{ "programs", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' },
		{ "list", no_argument, NULL, 'l' },
		{ "replay", required_argument, NULL, 'R' },
		{ "trace", no_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "every", no_argument, NULL, 'e' },
		{ "behaviours", no_argument, NULL, 'B' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (c) {
		case 'b': options.bound = atoi(optarg); break;
		case 'm': options.max = atol(optarg); break;
		case 'r': options.runs = atol(optarg); break;
		case 'p': options.programs = atol(optarg); break;
		case 's': options.seed = strtoul(optarg, NULL, 0); break;
		case 'l': options.list = true; break;
		case 'R': options.replay = optarg; break;
		case 't': trace_all = true; break;
		case 'q': options.quiet = true; break;
		case 'e': search_every = true; break;
		case 'B': options.behaviours = true; break;
		default: exit(2);
		}
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	memory_init();
	engine_init();
	library_save("libexplored");
	for (int i = optind; i < argc; i++)
		run(argv[i]);
	if (!options.list && !options.replay)
		printf("%ld programs, %ld schedules, %ld cut off: no failure "
		       "(sequentially consistent interleavings only)\n",
		       total_programs, total_schedules, total_cut);
	fflush(stdout);
	_exit(optind < argc ? 0 : 2); /* not the library's destructor: its threads are none */
}
