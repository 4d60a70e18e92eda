/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The schedule explorer.
 *
 *   explore [options] [SUITE|'PROGRAM' ...]
 *
 *   --bound=N     at most N preemptions (2)
 *   --max=N       give a program up after N schedules (none)
 *   --random      the programs that follow: at random, not all schedules
 *   --runs=N      random schedules for each random program (100), and ten
 *                 times as many for each large one
 *   --programs=N  random programs (100)
 *   --seed=N      of the first of them (1)
 *   --jobs=N      programs explored at a time (as many as there are processors)
 *   --list        the suites' programs
 *   --replay=S    one schedule, as a failure printed it; stops in a debugger
 *   --trace       print every step
 *   --quiet       no line for each program
 *   EXPLORE_LONG  in the environment: --bound=3 --max=2000000 --runs=2000 --programs=2000
 *   --every       every step is a point, no schedule is given up: slow
 *   --behaviours  count what the threads saw, twice: with and without --every
 *
 * SUITE is pairs-stream, pairs-list, pairs-slot, pairs-registry, pairs-idle,
 * pairs-owner, steps-list, triples, reclaim, modes, owners, large, random, or all (which it is by
 * default); PROGRAM is as in ops.h.  Fails at the first program that fails, and prints how to see
 * that again.  engine.h says what this can see.
 */
#include "behaviour.h"
#include "memory.h"
#include "run.h"
#include "search.h"
#include "suites.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	long programs;
	uint64_t seed;
	int workers;
	bool list;
	bool random;
	bool behaviours;
	const char *replay;
} options = { .programs = 100, .seed = 1 };

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "bound", required_argument, NULL, 'b' },
		{ "max", required_argument, NULL, 'm' },
		{ "runs", required_argument, NULL, 'r' },
		{ "programs", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "random", no_argument, NULL, 'a' },
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
		case 'b':
			run_options.bound = atoi(optarg);
			break;
		case 'm':
			run_options.max = atol(optarg);
			break;
		case 'r':
			run_options.runs = atol(optarg);
			break;
		case 'p':
			options.programs = atol(optarg);
			break;
		case 's':
			options.seed = strtoul(optarg, NULL, 0);
			break;
		case 'j':
			options.workers = atoi(optarg);
			break;
		case 'l':
			options.list = true;
			break;
		case 'a':
			options.random = true;
			break;
		case 'R':
			options.replay = optarg;
			break;
		case 't':
			trace_all = true;
			break;
		case 'q':
			run_options.quiet = true;
			break;
		case 'e':
			search_every = true;
			break;
		case 'B':
			options.behaviours = true;
			break;
		default:
			exit(2);
		}
}

static void add(const char *name)
{
	if (strchr(name, ':')) {
		jobs_add("given", name, 0, options.random ? options.seed << 32 : 0);
	} else if (!suite_add(name, options.programs, options.seed)) {
		fprintf(stderr, "explore: no suite: %s\n", name);
		exit(2);
	}
}

static int run(void)
{
	int failed = 0;

	if (options.list) {
		for (int i = 0; i < jobs->count; i++)
			puts(jobs->job[i].text);
		return 0;
	}
	if (!options.replay && !options.behaviours)
		return run_jobs(options.workers);
	for (int i = 0; i < jobs->count && !failed; i++)
		if (options.replay)
			run_replay(jobs->job[i].text, options.replay);
		else
			failed = !run_compare(jobs->job[i].text);
	return failed;
}

/* On the stack of the thread that did it. */
static void crashed(int number)
{
	explore_fail("%s", strsignal(number));
}

static void catch_crashes(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction action = { .sa_handler = crashed, .sa_flags = SA_RESETHAND };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

int main(int argc, char **argv)
{
	int status;

	if (getenv("EXPLORE_LONG")) {
		run_options.bound = 3;
		run_options.max = 2000000;
		run_options.runs = options.programs = 2000;
	}
	parse_options(argc, argv);
	if (options.workers < 1)
		options.workers = (int)sysconf(_SC_NPROCESSORS_ONLN);
	memory_init();
	engine_init();
	library_save("libexplored");
	jobs_init();
	if (!options.replay) /* then, a debugger wants them */
		catch_crashes();
	for (int i = optind; i < argc; i++)
		add(argv[i]);
	if (optind == argc)
		add("all");
	status = run();
	fflush(stdout);
	_exit(status); /* not the library's destructor: its threads are none */
}
