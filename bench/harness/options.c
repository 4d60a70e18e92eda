/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of sctx-bench: see options.h. */
#include "options.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>

enum {
	OPT_CONTEXTS = 256,
	OPT_STREAMS,
	OPT_OPS,
	OPT_TRACE,
	OPT_RESIDENT,
	OPT_CREATE_NS,
	OPT_SECONDS,
	OPT_JSON,
	OPT_LATENCY,
	OPT_RATE,
	OPT_FREES,
	OPT_SERIES,
	OPT_LIST
};

static const struct argp_option option_list[] = {
	{ "threads", 't', "T", 0, "threads (1)", 0 },
	{ "contexts", OPT_CONTEXTS, "N", 0, "lookup_hot: contexts on the stream, 1 to 64 (4)", 0 },
	{ "streams", OPT_STREAMS, "N", 0, "streams, where they are a parameter (1000000)", 0 },
	{ "trace", OPT_TRACE, "FILE", 0, "replay: the recording", 0 },
	{ "resident", OPT_RESIDENT, "N", 0,
	  "replay, open_cached: idle streams to keep; with --ops, none are there at first", 0 },
	{ "create-ns", OPT_CREATE_NS, "T", 0, "the same: ns that building a context takes", 0 },
	{ "ops", OPT_OPS, "N", 0, "operations of each thread; of replay, passes", 0 },
	{ "seconds", OPT_SECONDS, "S", 0, "or for how long (1)", 0 },
	{ "latency", OPT_LATENCY, NULL, 0, "time each open by itself", 0 },
	{ "rate", OPT_RATE, "R", 0,
	  "R operations a second, all threads together, on a schedule: "
	  "percentiles of the time from when each was due to its end",
	  0 },
	{ "frees", OPT_FREES, NULL, 0, "open_cold: time from a close to the context's free", 0 },
	{ "series", OPT_SERIES, "FILE", 0, "write memory and limbo every 20 ms to FILE", 0 },
	{ "json", OPT_JSON, NULL, 0, "print one JSON object", 0 },
	{ "list", OPT_LIST, NULL, 0, "list workloads and backends", 0 },
	{ 0 },
};

bool option_number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value == 0 || value > max)
		return false;
	*out = value;
	return true;
}

bool option_positive(const char *text, double max, double *out)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0 && value < max))
		return false;
	*out = value;
	return true;
}

/* argp_error() returns if ARGP_SILENT is set. */
static error_t number(const char *arg, uint64_t max, struct argp_state *state, uint64_t *out)
{
	if (option_number(arg, max, out))
		return 0;
	argp_error(state, "'%s' is not a number from 1 to %lu", arg, max);
	return EINVAL;
}

static error_t number32(const char *arg, uint32_t max, struct argp_state *state, unsigned int *out)
{
	uint64_t value = 0;
	error_t error = number(arg, max, state, &value);

	*out = (unsigned int)value;
	return error;
}

static error_t positive(const char *arg, double max, struct argp_state *state, double *out)
{
	if (option_positive(arg, max, out))
		return 0;
	argp_error(state, "'%s' is not a positive number below %g", arg, max);
	return EINVAL;
}

static error_t usage(struct argp_state *state)
{
	argp_usage(state);
	return EINVAL;
}

static error_t argument(char *arg, struct argp_state *state, struct options *o)
{
	const char *what = state->arg_num == 0 ? "workload" : "backend";

	if (state->arg_num > 1)
		return usage(state);
	if (state->arg_num == 0)
		o->c.workload = bench_workload_find(arg);
	else
		o->c.backend = bench_backend_find(arg);
	if (state->arg_num == 0 ? o->c.workload != NULL : o->c.backend != NULL)
		return 0;
	argp_error(state, "no %s named '%s' (see --list)", what, arg);
	return EINVAL;
}

/* Whether they go together. */
static error_t check(struct argp_state *state, const struct options *o)
{
	const struct workload_info *w = o->c.workload;

	if (o->list)
		return 0;
	if (state->arg_num < 2)
		return usage(state);
	if (!bench_supports(o->c.backend, w))
		argp_error(state, "%s cannot do %s", bench_backend_name(o->c.backend), w->name);
	else if (w->param == PARAM_TRACE && !o->trace)
		argp_error(state, "%s needs --trace", w->name);
	else if (!w->keeps && (o->c.resident || o->c.create_ns))
		argp_error(state, "%s keeps no idle streams", w->name);
	else if (o->c.resident && !bench_keeps_idle(o->c.backend))
		argp_error(state, "%s keeps no idle streams", bench_backend_name(o->c.backend));
	else if (o->latency && !w->opens)
		argp_error(state, "%s opens nothing to time", w->name);
	else if (o->frees && !w->samples)
		argp_error(state, "%s frees nothing to time", w->name);
	else if (w->only_paced && o->limit.rate == 0)
		argp_error(state, "%s needs --rate", w->name);
	else if (w->grows && (o->limit.iterations || o->limit.rate > 0))
		argp_error(state, "%s goes with --streams", w->name);
	else if (w->stalls && (o->limit.iterations || o->limit.rate > 0))
		argp_error(state, "%s goes with --seconds", w->name);
	else if (o->limit.rate > 0 && (o->limit.iterations || w->unloads))
		argp_error(state, "--rate goes with --seconds");
	else
		return 0;
	return EINVAL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 't':
		return number32(arg, 1024, state, &o->c.threads);
	case OPT_CONTEXTS:
		return number32(arg, 64, state, &o->c.contexts);
	case OPT_STREAMS:
		return number(arg, 1ul << 30, state, &o->c.streams);
	case OPT_TRACE:
		o->trace = arg;
		return 0;
	case OPT_RESIDENT:
		return number(arg, 1ul << 30, state, &o->c.resident);
	case OPT_CREATE_NS:
		return number(arg, 1000000000, state, &o->c.create_ns);
	case OPT_OPS:
		return number(arg, 1ul << 40, state, &o->limit.iterations);
	case OPT_SECONDS:
		return positive(arg, 1e6, state, &o->limit.seconds);
	case OPT_LATENCY:
		o->latency = true;
		return 0;
	case OPT_RATE:
		return positive(arg, 1e9, state, &o->limit.rate);
	case OPT_FREES:
		o->frees = true;
		return 0;
	case OPT_SERIES:
		o->series = arg;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_LIST:
		o->list = true;
		return 0;
	case ARGP_KEY_ARG:
		return argument(arg, state, o);
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_list,
	.parser = parse,
	.args_doc = "WORKLOAD BACKEND",
	.doc = "Run one workload on one backend, and check what it did.",
};

int options_parse(int argc, char **argv, unsigned int flags, struct options *o)
{
	*o = (struct options){ .c = { .threads = 1, .contexts = 4, .streams = 1000000 } };
	if (argp_parse(&argp, argc, argv, flags, NULL, o))
		return -EINVAL;
	if (!o->limit.iterations && o->limit.seconds == 0)
		o->limit.seconds = 1;
	if (o->c.workload && !o->c.resident)
		o->c.resident = o->c.workload->resident;
	o->limit.cold = o->limit.iterations > 0;
	return 0;
}
