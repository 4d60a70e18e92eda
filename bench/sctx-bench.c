/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One case, once, as a plain program: for hyperfine, perf, callgrind, series. */
#include <argp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <streamctx.h>	/* the default limits */

#include "harness.h"
#include "histogram.h"
#include "trace.h"

#define SERIES_PERIOD_MS 20

struct options {
	struct bench_case c;
	struct bench_limit limit;
	uint64_t ops;
	const char *trace;
	const char *series;
	bool latency;
	bool frees;
	bool json;
};

enum { OPT_CONTEXTS = 256, OPT_STREAMS, OPT_OPS, OPT_TRACE, OPT_SECONDS, OPT_JSON, OPT_LATENCY,
       OPT_RATE, OPT_FREES, OPT_SERIES, OPT_LIST };

static const struct argp_option option_list[] = {
	{ "threads", 't', "T", 0, "threads (1)", 0 },
	{ "contexts", OPT_CONTEXTS, "N", 0, "lookup_hot: contexts on the stream, 1 to 64 (4)", 0 },
	{ "streams", OPT_STREAMS, "N", 0, "streams, where they are a parameter (1000000)", 0 },
	{ "trace", OPT_TRACE, "FILE", 0, "replay: the recording", 0 },
	{ "ops", OPT_OPS, "N", 0, "operations of each thread; of replay, passes", 0 },
	{ "seconds", OPT_SECONDS, "S", 0, "or for how long (1)", 0 },
	{ "latency", OPT_LATENCY, NULL, 0, "time each open by itself", 0 },
	{ "rate", OPT_RATE, "R", 0, "R operations a second, all threads together, on a schedule: "
	  "percentiles of the time from when each was due to its end", 0 },
	{ "frees", OPT_FREES, NULL, 0, "open_cold: time from a close to the context's free", 0 },
	{ "series", OPT_SERIES, "FILE", 0, "write memory and limbo every 20 ms to FILE", 0 },
	{ "json", OPT_JSON, NULL, 0, "print one JSON object", 0 },
	{ "list", OPT_LIST, NULL, 0, "list workloads and backends", 0 },
	{ 0 },
};

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

static uint64_t number(const char *arg, uint64_t max, struct argp_state *state)
{
	char *end;
	unsigned long long value = strtoull(arg, &end, 10);

	if (*arg < '0' || *arg > '9' || *end || value == 0 || value > max)
		argp_error(state, "'%s' is not a number from 1 to %lu", arg, max);
	return value;
}

static double positive(const char *arg, double max, struct argp_state *state)
{
	char *end;
	double value = strtod(arg, &end);

	if (end == arg || *end || !(value > 0 && value < max))
		argp_error(state, "'%s' is not a positive number below %g", arg, max);
	return value;
}

static void check_options(const struct options *o, struct argp_state *state)
{
	const struct workload_info *w = o->c.workload;

	if (!bench_supports(o->c.backend, w))
		argp_error(state, "%s cannot do %s", bench_backend_name(o->c.backend), w->name);
	if (w->param == PARAM_TRACE && !o->trace)
		argp_error(state, "%s needs --trace", w->name);
	if (o->latency && !w->opens)
		argp_error(state, "%s opens nothing to time", w->name);
	if (o->frees && !w->samples)
		argp_error(state, "%s frees nothing to time", w->name);
	if (w->only_paced && o->limit.rate == 0)
		argp_error(state, "%s needs --rate", w->name);
	if ((w->grows || w->stalls) && (o->limit.iterations || o->limit.rate > 0))
		argp_error(state, "%s goes with --%s", w->name, w->grows ? "streams" : "seconds");
	if (o->limit.rate > 0 && (o->limit.iterations || w->unloads))
		argp_error(state, "--rate goes with --seconds");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 't':
		o->c.threads = (unsigned int)number(arg, 1024, state);
		break;
	case OPT_CONTEXTS:
		o->c.contexts = (unsigned int)number(arg, 64, state);
		break;
	case OPT_STREAMS:
		o->c.streams = number(arg, 1ul << 30, state);
		break;
	case OPT_TRACE:
		o->trace = arg;
		break;
	case OPT_OPS:
		o->limit.iterations = number(arg, 1ul << 40, state);
		break;
	case OPT_SECONDS:
		o->limit.seconds = positive(arg, 1e6, state);
		break;
	case OPT_LATENCY:
		o->latency = true;
		break;
	case OPT_RATE:
		o->limit.rate = positive(arg, 1e9, state);
		break;
	case OPT_FREES:
		o->frees = true;
		break;
	case OPT_SERIES:
		o->series = arg;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_LIST:
		list();
		exit(0);
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			o->c.workload = bench_workload_find(arg);
		else if (state->arg_num == 1)
			o->c.backend = bench_backend_find(arg);
		else
			argp_usage(state);
		if (state->arg_num == 0 ? !o->c.workload : !o->c.backend)
			argp_error(state, "no %s named '%s' (see --list)",
				   state->arg_num == 0 ? "workload" : "backend", arg);
		break;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_usage(state);
		check_options(o, state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse,
	.args_doc = "WORKLOAD BACKEND",
	.doc = "Run one workload on one backend, and check what it did.",
};

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
	struct options o = { .c = { .threads = 1, .contexts = 4, .streams = 1000000 } };

	bench_init();
	if (argp_parse(&argp, argc, argv, 0, NULL, &o))
		return 1;
	if (!o.limit.iterations && o.limit.seconds == 0)
		o.limit.seconds = 1;
	if (o.trace && o.c.workload->param == PARAM_TRACE)
		load_trace(&o, &trace);
	run(&o);
	trace_free(&trace);
	return fflush(stdout) ? 1 : 0;
}
