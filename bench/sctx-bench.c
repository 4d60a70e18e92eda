/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One case, once, as a plain program: for hyperfine, perf, callgrind, series. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "histogram.h"
#include "options.h"
#include "trace.h"

#define SERIES_PERIOD_MS 20

static void list(void)
{
	size_t count;
	const struct workload_info *workloads = bench_workloads(&count);
	const struct backend *const *backends;

	puts("workloads");
	for (size_t i = 0; i < count; i++)
		printf("  %-18s%s\n", workloads[i].name, workloads[i].what);
	puts("backends");
	backends = bench_backends(&count);
	for (size_t i = 0; i < count; i++)
		printf("  %-18s%s\n", bench_backend_name(backends[i]),
		       bench_backend_lacks(backends[i]));
}

/* ---------------------------------------------------------------- sampling */

struct sampler {
	FILE *file;
	bool stop;
};

static unsigned long rss_kb(void)
{
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%lu %lu", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * ((unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

static void *sampler_main(void *arg)
{
	struct sampler *s = arg;
	const uint64_t begin = bench_now_ns();
	uint64_t due = begin;

	fprintf(s->file, "# ms since the start, operations done, resident kB, contexts not yet\n"
			 "# freed, bytes in limbo as the backend counts them (0: it does not)\n"
			 "# ms ops rss_kb unfreed limbo_bytes\n");
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		struct bench_progress p;
		struct timespec ts;

		bench_watch(&p);
		fprintf(s->file, "%.1f %lu %lu %lu %lu\n", (double)(bench_now_ns() - begin) / 1e6,
			p.ops, rss_kb(), p.unfreed, p.limbo_bytes);
		due += SERIES_PERIOD_MS * 1000000ul;
		ts = (struct timespec){ (time_t)(due / 1000000000), (long)(due % 1000000000) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
	return NULL;
}

static void run_sampled(const struct options *o, struct histogram *latency,
			struct bench_result *result)
{
	struct sampler sampler = { 0 };
	pthread_t thread;

	if (!o->series) {
		bench_run(&o->c, &o->limit, latency, result);
		return;
	}
	sampler.file = fopen(o->series, "w");
	if (!sampler.file || pthread_create(&thread, NULL, sampler_main, &sampler)) {
		perror(o->series);
		exit(1);
	}
	bench_run(&o->c, &o->limit, latency, result);
	__atomic_store_n(&sampler.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (fclose(sampler.file)) {
		perror(o->series);
		exit(1);
	}
}

/* ---------------------------------------------------------------- printing */

static long peak_rss_kb(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss;
}

static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999, 0.9999 };
#define QUANTILES (sizeof(quantiles) / sizeof(*quantiles))

static uint64_t histogram_total(const struct histogram *h)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += h->count[i];
	return total;
}

static double quantile_ns(const struct histogram *h, double quantile)
{
	uint64_t total = histogram_total(h);
	uint64_t below = 0;
	unsigned int i;

	for (i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		below += h->count[i];
		if ((double)below >= quantile * (double)total)
			break;
	}
	return (double)histogram_upper(i) * bench_tick_ns();
}

/* Every bucket in use as [ns, share of opens that took longer]. */
static void print_ccdf(const struct histogram *h)
{
	uint64_t total = histogram_total(h);
	uint64_t above = total;
	const char *comma = "";

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (!h->count[i])
			continue;
		above -= h->count[i];
		printf("%s[%.1f,%.9f]", comma, (double)histogram_upper(i) * bench_tick_ns(),
		       (double)above / (double)total);
		comma = ",";
	}
}

static void print_json(const char *name, const struct bench_result *r, const struct histogram *h)
{
	printf("{\"name\":\"%s\",\"ops\":%.1f,\"count\":%lu,\"seconds\":%.6f,\"contexts\":%lu,"
	       "\"peak_rss_kb\":%ld,\"checks\":\"passed\"",
	       name, (double)r->ops / r->seconds, r->ops, r->seconds, r->created, peak_rss_kb());
	if (h) {
		printf(",\"latency_ns\":{\"timer\":\"%s\",\"timer_ns\":%.1f,\"opens\":%lu",
		       bench_tick_name(), (double)bench_tick_cost() * bench_tick_ns(),
		       histogram_total(h));
		for (size_t i = 0; i < QUANTILES; i++)
			printf(",\"p%g\":%.1f", quantiles[i] * 100, quantile_ns(h, quantiles[i]));
		printf(",\"max\":%.1f,\"ccdf\":[", (double)h->max * bench_tick_ns());
		print_ccdf(h);
		printf("]}");
	}
	puts("}");
}

static void print_text(const char *name, const struct bench_result *r, const struct histogram *h)
{
	printf("%s\n", name);
	printf("  ops      %.4g/s (%lu in %.3f s)\n", (double)r->ops / r->seconds, r->ops,
	       r->seconds);
	printf("  checks   passed: %lu contexts created, each freed once; lookups as expected; "
	       "nothing left open\n", r->created);
	if (!h)
		return;
	printf("  open     ");
	for (size_t i = 0; i < QUANTILES; i++)
		printf("p%g %.0f ns, ", quantiles[i] * 100, quantile_ns(h, quantiles[i]));
	printf("max %.0f ns\n", (double)h->max * bench_tick_ns());
	printf("  timer    %s: costs %.0f ns, which is included\n", bench_tick_name(),
	       (double)bench_tick_cost() * bench_tick_ns());
}

static void load_trace(struct options *o, struct trace *trace)
{
	static char name[64];
	const char *base = strrchr(o->trace, '/') ? strrchr(o->trace, '/') + 1 : o->trace;
	char err[256];

	if (trace_load(o->trace, trace, err, sizeof(err))) {
		fprintf(stderr, "sctx-bench: %s: %s\n", o->trace, err);
		exit(1);
	}
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
	o->c.trace = trace;
	o->c.trace_name = name;
}

int main(int argc, char **argv)
{
	static struct histogram latency;
	static struct trace trace;
	struct options o;
	struct histogram *h;
	struct bench_result result;
	char name[256];

	bench_init();
	if (options_parse(argc, argv, 0, &o))
		return 1;
	if (o.list) {
		list();
		return 0;
	}
	if (o.trace && o.c.workload->param == PARAM_TRACE)
		load_trace(&o, &trace);
	h = o.latency ? &latency : NULL;
	run_sampled(&o, h, &result);
	bench_case_name(&o.c, name, sizeof(name));
	bench_finish();
	trace_free(&trace);
	if (o.json)
		print_json(name, &result, h);
	else
		print_text(name, &result, h);
	return fflush(stdout) ? 1 : 0;
}
