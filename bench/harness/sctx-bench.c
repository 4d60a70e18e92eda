/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One case, once, as a plain program: for hyperfine, perf, callgrind, series. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <streamctx.h>	/* the default limits */

#include "harness.h"
#include "histogram.h"
#include "options.h"
#include "../traces/trace.h"

#define SERIES_PERIOD_MS 20

/* Pairs of a workload and a backend. */
static void list_unsupported(void)
{
	size_t workload_count;
	size_t backend_count;
	const struct workload_info *workload = bench_workloads(&workload_count);
	const struct backend *const *backend = bench_backends(&backend_count);

	for (size_t w = 0; w < workload_count; w++)
		for (size_t b = 0; b < backend_count; b++)
			if (!bench_supports(backend[b], &workload[w]))
				printf("  %-18s%s\n", workload[w].name,
				       bench_backend_name(backend[b]));
}

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
	puts("not supported");
	list_unsupported();
}

/* ---------------------------------------------------------------- sampling */

struct sampler {
	FILE *file;
	bool stop;
};

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
			p.ops, bench_resident_kb(), p.unfreed, p.limbo_bytes);
		due += SERIES_PERIOD_MS * 1000000ul;
		ts = (struct timespec){ (time_t)(due / 1000000000), (long)(due % 1000000000) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
	return NULL;
}

static void run_sampled(const struct options *o, const struct bench_probe *probe,
			struct bench_result *result)
{
	struct sampler sampler = { 0 };
	pthread_t thread;

	if (!o->series) {
		bench_run(&o->c, &o->limit, probe, result);
		return;
	}
	sampler.file = fopen(o->series, "w");
	if (!sampler.file || pthread_create(&thread, NULL, sampler_main, &sampler)) {
		perror(o->series);
		exit(1);
	}
	bench_run(&o->c, &o->limit, probe, result);
	__atomic_store_n(&sampler.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (fclose(sampler.file)) {
		perror(o->series);
		exit(1);
	}
}

/* ---------------------------------------------------------------- printing */

/* What can be measured of each operation, by the name it is printed under. */
struct measured {
	const char *name;
	const char *what;
	struct histogram *h;	/* NULL: not asked for */
};

static long peak_rss_kb(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss;
}

static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999, 0.9999 };
#define QUANTILES (sizeof(quantiles) / sizeof(*quantiles))

/* Every bucket in use as [ns, share that took longer]. */
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

static void print_histogram_json(const struct measured *m)
{
	printf(",\"%s_ns\":{\"timer\":\"%s\",\"timer_ns\":%.1f,\"count\":%lu", m->name,
	       bench_tick_name(), (double)bench_tick_cost() * bench_tick_ns(),
	       histogram_total(m->h));
	for (size_t i = 0; i < QUANTILES; i++)
		printf(",\"p%g\":%.1f", quantiles[i] * 100,
		       (double)histogram_quantile(m->h, quantiles[i]) * bench_tick_ns());
	printf(",\"max\":%.1f,\"ccdf\":[", (double)m->h->max * bench_tick_ns());
	print_ccdf(m->h);
	printf("]}");
}

static void print_counts_json(const char *name, const struct bench_counts *c)
{
	printf(",\"%s\":{\"rmw\":%lu,\"fences\":%lu,\"stores\":%lu}", name, c->rmw, c->fences,
	       c->stores);
}

static void print_json(const char *name, const struct bench_limit *limit,
		       const struct bench_result *r, const struct bench_stall *stall,
		       const struct measured *m)
{
	printf("{\"name\":\"%s\",\"ops\":%.1f,\"count\":%lu,\"seconds\":%.6f,\"contexts\":%lu,"
	       "\"peak_rss_kb\":%ld,\"site_kb\":%lu,\"before_kb\":%lu,\"checks\":\"passed\"",
	       name, (double)r->ops / r->seconds, r->ops, r->seconds, r->created, peak_rss_kb(),
	       r->site_kb, r->before_kb);
	if (limit->rate > 0)
		printf(",\"rate\":%.1f,\"due\":%lu", limit->rate, r->due);
	if (r->meanwhile)
		printf(",\"meanwhile\":%lu,\"longest_ns\":%lu", r->meanwhile, r->longest_ns);
	if (stall)
		printf(",\"limbo_contexts\":%lu,\"limbo_bytes\":%lu,\"limit_callbacks\":%zu,"
		       "\"limit_bytes\":%zu", stall->limbo_contexts, stall->limbo_bytes,
		       SCTX_LIMIT_CALLBACKS_DEFAULT, SCTX_LIMIT_BYTES_DEFAULT);
	for (; m->name; m++)
		if (m->h)
			print_histogram_json(m);
	print_counts_json("counts", &r->counts);
	print_counts_json("counts_all", &r->counts_all);
	puts("}");
}

static void print_histogram_text(const struct measured *m)
{
	printf("  %-9s", m->name);
	for (size_t i = 0; i < QUANTILES; i++)
		printf("p%g %.0f ns, ", quantiles[i] * 100,
		       (double)histogram_quantile(m->h, quantiles[i]) * bench_tick_ns());
	printf("max %.0f ns: %s\n", (double)m->h->max * bench_tick_ns(), m->what);
}

static void print_text(const char *name, const struct bench_limit *limit,
		       const struct bench_result *r, const struct bench_stall *stall,
		       const struct measured *m)
{
	bool timed = false;

	printf("%s\n", name);
	printf("  ops      %.4g/s (%lu in %.3f s)\n", (double)r->ops / r->seconds, r->ops,
	       r->seconds);
	if (limit->rate > 0)
		printf("  due      %lu, at %.4g/s\n", r->due, limit->rate);
	if (r->meanwhile)
		printf("  meanwhile %.4g/s opened, looked up in and closed, the slowest in %.3g ms\n",
		       (double)r->meanwhile / r->seconds, (double)r->longest_ns / 1e6);
	printf("  checks   passed: %lu contexts created, each freed once; lookups as expected; "
	       "nothing left open\n", r->created);
	if (stall)
		printf("  limbo    at most %lu contexts, %lu bytes\n", stall->limbo_contexts,
		       stall->limbo_bytes);
	for (; m->name; m++) {
		if (!m->h)
			continue;
		print_histogram_text(m);
		timed = true;
	}
	if (timed)
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

static void run(const struct options *o)
{
	static struct histogram opens, paced, frees, bare, closes[PHASES];
	struct bench_stall stall = {
		.closes = { &closes[PHASE_BEFORE], &closes[PHASE_STALLED], &closes[PHASE_AFTER] },
	};
	const bool grows = o->c.workload->grows, stalls = o->c.workload->stalls;
	const struct bench_probe probe = {
		.opens = o->latency || grows ? &opens : NULL,
		.paced = o->limit.rate > 0 ? &paced : NULL,
		.frees = o->frees ? &frees : NULL,
		.bare = grows ? &bare : NULL,
		.stall = stalls ? &stall : NULL,
	};
	const struct measured measured[] = {
		{ "open", "each open by itself", probe.opens },
		{ "paced", "each operation, from when it was due", probe.paced },
		{ "free", "from the close of a stream to its context's free", probe.frees },
		{ "bare", "waits for the clock alone: by how much each was late", probe.bare },
		{ "before", "each close before the stall", stalls ? closes : NULL },
		{ "stalled", "each during the stall", stalls ? closes + PHASE_STALLED : NULL },
		{ "after", "each after it", stalls ? closes + PHASE_AFTER : NULL },
		{ 0 },
	};
	struct bench_result result;
	char name[256];

	run_sampled(o, &probe, &result);
	bench_case_name(&o->c, name, sizeof(name));
	bench_finish();
	if (o->json)
		print_json(name, &o->limit, &result, probe.stall, measured);
	else
		print_text(name, &o->limit, &result, probe.stall, measured);
}

int main(int argc, char **argv)
{
	static struct trace trace;
	struct options o;

	bench_init();
	if (options_parse(argc, argv, 0, &o))
		return 1;
	if (o.list) {
		list();
		return 0;
	}
	if (o.trace && o.c.workload->param == PARAM_TRACE)
		load_trace(&o, &trace);
	run(&o);
	trace_free(&trace);
	return fflush(stdout) ? 1 : 0;
}
