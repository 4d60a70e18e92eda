/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the benchmarks reckon with, against what can be reckoned otherwise. */
#include <math.h>
#include <stdio.h>

#include "../harness/internal.h"
#include "../traces/trace.h"

static unsigned int failures;

static void expect(bool good, const char *what, double got, double wanted)
{
	printf("%s %s: %.6g, should be about %.6g\n", good ? "ok " : "BAD", what, got, wanted);
	failures += !good;
}

/*
 * Chi-square of the draws against the exact probabilities: of n - 1 degrees
 * of freedom, it is within 6 standard deviations, sqrt(2 (n - 1)), of n - 1.
 */
static void test_zipf(uint64_t n, double s)
{
	const uint64_t draws = 2000000;
	uint64_t *count = bench_alloc_lines((n + 1) * sizeof(*count));
	const double df = (double)(n - 1);
	uint64_t random = n;
	double chi2 = 0;
	double sum = 0;
	struct zipf z;
	char what[64];

	zipf_init(&z, n, s);
	for (uint64_t i = 0; i < draws; i++) {
		uint64_t k = zipf_draw(&z, &random);

		if (k < 1 || k > n)
			bench_die("zipf drew %lu of %lu", k, n);
		count[k]++;
	}
	for (uint64_t k = 1; k <= n; k++)
		sum += pow((double)k, -s);
	for (uint64_t k = 1; k <= n; k++) {
		double wanted = (double)draws * pow((double)k, -s) / sum;

		chi2 += ((double)count[k] - wanted) * ((double)count[k] - wanted) / wanted;
	}
	snprintf(what, sizeof(what), "zipf of %lu, s = %g: chi-square", n, s);
	expect(fabs(chi2 - df) < 6 * sqrt(2 * df), what, chi2, df);
	free(count);
}

/* The draws for a workload: the share of the most popular of a million streams. */
static void test_zipf_streams(void)
{
	const uint64_t streams = 1000000;
	const uint32_t *stream = zipf_streams(streams);
	uint32_t *count = bench_alloc_lines(streams * sizeof(*count));
	uint32_t most = 0;
	double sum = 0;

	for (uint64_t i = 0; i < ZIPF_DRAWS; i++)
		if (++count[stream[i]] > most)
			most = count[stream[i]];
	for (uint64_t k = 1; k <= streams; k++)
		sum += pow((double)k, -ZIPF_S);
	expect(fabs(most * sum / ZIPF_DRAWS - 1) < 0.02, "share of the most popular stream",
	       (double)most / ZIPF_DRAWS, 1 / sum);
	free(count);
	zipf_free_all();
}

static void test_histogram(void)
{
	static struct histogram h;

	for (uint64_t i = 1; i <= 100000; i++)
		histogram_add(&h, i);
	for (double q = 0.5; q < 0.99999; q = 1 - (1 - q) / 10) {
		double got = (double)histogram_quantile(&h, q);

		expect(got >= q * 100000 && got <= q * 100000 * 1.07, "quantile of 1 .. 100000",
		       got, q * 100000);
	}
	expect(histogram_quantile(&h, 1) == 100000, "the largest", (double)h.max, 100000);
}

/* Of two processes, each opens and closes a file of its own, one more often. */
static void trace_of_unequals(struct trace *trace, size_t often)
{
	*trace = (struct trace){
		.file = bench_alloc(2 * sizeof(*trace->file)),
		.files = 2,
		.event = bench_alloc((2 * often + 2) * sizeof(*trace->event)),
		.events = 2 * often + 2,
		.processes = 2,
	};
	for (uint32_t i = 0; i < 2; i++)
		trace->file[i] = (struct trace_file){ .dev = 1, .ino = i };
	for (size_t i = 0; i < trace->events; i++)
		trace->event[i] = (struct trace_event){
			.type = i % 2 ? TRACE_CLOSE : TRACE_OPEN,
			.process = i < 2,
			.file = i < 2,
		};
}

/* A rate is measured with all threads at work: threads that are done go on. */
static void test_onward(void)
{
	struct bench_case c = { .threads = 2, .trace_name = "unequal" };
	struct bench_limit limit = { .iterations = 50 };
	struct bench_result result;
	struct trace trace;
	double wanted;

	trace_of_unequals(&trace, 2000);
	c.trace = &trace;
	c.workload = bench_workload_find("replay");
	c.backend = bench_backend_find("mutex");
	wanted = (double)(limit.iterations * trace.events);
	bench_run(&c, &limit, NULL, &result);
	expect((double)result.ops == wanted, "of a trace, what was asked for", (double)result.ops,
	       wanted);
	limit.onward = true;
	bench_run(&c, &limit, NULL, &result);
	expect((double)result.ops > wanted, "and on until all are done, more than",
	       (double)result.ops, wanted);
	bench_finish();
	trace_free(&trace);
}

int main(void)
{
	bench_init();
	test_zipf(2, 0.99);
	test_zipf(10, 0.5);
	test_zipf(1000, 0.99);
	test_zipf(200, 2);
	test_zipf_streams();
	test_histogram();
	test_onward();
	return failures ? 1 : 0;
}
