/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Run small random programs on the library and check that what they saw is
 * what some order of their operations gives (check.h, spec.h).
 *
 *   linear                  for SCTX_LINEAR_SECONDS (5), from a new seed
 *   linear --check FILE     a history that was saved
 *
 *   SCTX_LINEAR_SEED=n      the programs of that seed
 *   SCTX_LINEAR_ROUND=n     that round's program alone, again and again
 *   SCTX_LINEAR_PROFILE=x   programs of that kind only (program.c)
 *   SCTX_LINEAR_SAVE=DIR    where a history that is wrong goes; here by default
 *
 * A seed gives the programs, not what the scheduler makes of them.
 */
#include "check.h"
#include "program.h"
#include "test.h"

/* Rounds from one barrier to the next. */
#define BATCH 32

struct batch {
	struct round *round[BATCH];
	struct rendezvous meet;
};

struct totals {
	unsigned long histories, ops, states, parts;
	unsigned long overlapping, meeting; /* histories; meeting: on one object */
	unsigned long overlapping_ops, pairs, pairs_on_one;
	unsigned long gave_up;
};

static uint64_t seed;
static long only_round = -1;

static long env(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 0) : otherwise;
}

/* ----------------------------------------------------------------- running */

static void batch_thread(unsigned int index, void *arg)
{
	struct batch *batch = arg;

	for (unsigned int i = 0; i < BATCH; i++) {
		rendezvous_wait(&batch->meet);
		round_run(batch->round[i], index + 1);
	}
}

static void batch_run(struct batch *batch, unsigned long first, struct sctx_registry *registry)
{
	/* A round runs with as many threads whenever it is run again. */
	unsigned long which = only_round >= 0 ? (unsigned long)only_round : first;
	unsigned int threads = 2 + (unsigned int)(which / BATCH % (MAX_THREADS - 2));

	rendezvous_init(&batch->meet, threads);
	for (unsigned int i = 0; i < BATCH; i++)
		batch->round[i] =
			round_new(seed, only_round >= 0 ? (unsigned long)only_round : first + i,
				  threads, registry);
	run_threads(threads, batch_thread, batch);
	for (unsigned int i = 0; i < BATCH; i++)
		round_finish(batch->round[i]);
	CHECK_EQ(sctx_barrier(), 0);
}

/* ---------------------------------------------------------------- checking */

static void count(struct totals *t, const struct history *h, const struct finding *finding)
{
	struct overlap overlap = history_overlap(h);

	t->histories++;
	t->ops += h->ops;
	t->states += finding->states;
	t->parts += finding->parts;
	t->overlapping += overlap.pairs != 0;
	t->meeting += overlap.pairs_on_one != 0;
	t->overlapping_ops += overlap.ops;
	t->pairs += overlap.pairs;
	t->pairs_on_one += overlap.pairs_on_one;
	t->gave_up += finding->verdict == GAVE_UP;
}

static void save(const struct history *h, unsigned long round)
{
	const char *folder = getenv("SCTX_LINEAR_SAVE"), *libraries = getenv("LD_LIBRARY_PATH");
	const char *program = program_invocation_name;
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/history-%llu-%lu", folder ? folder : ".",
		 (unsigned long long)seed, round);
	file = fopen(path, "w");
	CHECK(file);
	fprintf(file, "# seed %llu round %lu, %s\n", (unsigned long long)seed, round,
		sctx_version());
	history_write(h, file);
	fclose(file);
	printf("again:    %s%s SCTX_LINEAR_SEED=%llu SCTX_LINEAR_ROUND=%lu %s\n",
	       libraries ? "LD_LIBRARY_PATH=" : "", libraries ? libraries : "",
	       (unsigned long long)seed, round, program);
	printf("by hand:  %s --check %s\n", program, path);
}

static void report(const struct history *h, const struct finding *finding)
{
	printf("\nthe history:\n");
	history_table(h, stdout);
	printf("\n");
	finding_print(finding, stdout);
	printf("\n");
}

static bool check_round(struct round *round, unsigned long number, struct totals *totals)
{
	static struct finding finding;
	struct history h;

	round_history(round, &h);
	history_check(&h, &finding);
	count(totals, &h, &finding);
	if (finding.verdict != NOT_LINEAR)
		return true;
	printf("NOT LINEARIZABLE: seed %llu round %lu (%s)\n", (unsigned long long)seed, number,
	       round_profile(round));
	report(&h, &finding);
	save(&h, number);
	return false;
}

static double percent(unsigned long part, unsigned long whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_totals(const struct totals *t)
{
	printf("%lu histories, %lu operations, %lu parts, %lu states looked into, %lu given up\n",
	       t->histories, t->ops, t->parts, t->states, t->gave_up);
	printf("%lu histories (%.0f %%) with operations that overlap, %lu (%.0f %%) on one "
	       "object\n",
	       t->overlapping, percent(t->overlapping, t->histories), t->meeting,
	       percent(t->meeting, t->histories));
	printf("%lu operations overlap; %lu pairs, %lu on one object\n", t->overlapping_ops,
	       t->pairs, t->pairs_on_one);
}

/*
 * Sequential histories prove nothing.  Until there are so many of the others a
 * run goes on, on a machine that has little time for it, to six times its own;
 * then it has failed.
 */
#define MEETING_MIN 100

static int conclude(const struct totals *t)
{
	print_totals(t);
	if (t->gave_up * 1000 > t->histories) {
		printf("too many given up\n");
		return 1;
	}
	if (t->meeting < MEETING_MIN) {
		printf("too few histories are concurrent\n");
		return 1;
	}
	return 0;
}

static bool check_batch(struct batch *batch, unsigned long first, struct totals *totals)
{
	bool ok = true;

	for (unsigned int i = 0; i < BATCH; i++) {
		unsigned long number = only_round >= 0 ? (unsigned long)only_round : first + i;

		ok = ok && check_round(batch->round[i], number, totals);
		round_free(batch->round[i]);
	}
	return ok;
}

static int run(unsigned int seconds)
{
	struct sctx_registry *registry;
	struct totals totals = { 0 };
	static struct batch batch;
	unsigned long first = 0;

	printf("%s, seed %llu\n", sctx_version(), (unsigned long long)seed);
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (uint64_t end = now_ns() + seconds * UINT64_C(1000000000),
		      last = end + seconds * UINT64_C(5000000000);
	     !past(end) || (totals.meeting < MEETING_MIN && !past(last)); first += BATCH) {
		batch_run(&batch, first, registry);
		if (!check_batch(&batch, first, &totals)) {
			print_totals(&totals);
			return 1;
		}
	}
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	return conclude(&totals);
}

static int check_file(const char *path)
{
	static struct finding finding;
	struct history h;
	FILE *file = fopen(path, "r");

	if (!file) {
		perror(path);
		return 2;
	}
	if (!history_read(&h, file))
		return 2;
	fclose(file);
	if (history_check(&h, &finding) == LINEAR) {
		printf("linearizable: %u operations, %u parts\n", h.ops, finding.parts);
		return 0;
	}
	printf(finding.verdict == GAVE_UP ? "given up\n" : "NOT LINEARIZABLE\n");
	report(&h, &finding);
	return 1;
}

int main(int argc, char **argv)
{
	const char *flavour = getenv("SCTX_TEST_RCU");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check_file(argv[2]);
	if (argc != 1) {
		fprintf(stderr, "usage: %s [--check FILE]\n", argv[0]);
		return 2;
	}
	if (flavour)
		CHECK(strstr(sctx_version(), flavour));
	seed = (uint64_t)env("SCTX_LINEAR_SEED", (long)(now_ns() % 1000000000));
	only_round = env("SCTX_LINEAR_ROUND", -1);
	return run((unsigned int)env("SCTX_LINEAR_SECONDS", 5));
}
