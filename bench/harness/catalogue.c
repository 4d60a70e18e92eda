/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The workloads and the backends, by name. */
#include <stdio.h>

#include "internal.h"

#define MIXED_STREAMS 100000	/* with four contexts each */
#define CACHED_RESIDENT 100000

const struct workload_info bench_workload_list[WORKLOADS] = {
	[WORKLOAD_lookup_hot] = {
		.name = "lookup_hot",
		.what = "one stream; look up the oldest of its contexts",
		.param = PARAM_CONTEXTS, .streams = 1,
	},
	[WORKLOAD_lookup_cold] = {
		.name = "lookup_cold",
		.what = "many streams; find one at random by id, look up",
		.param = PARAM_STREAMS, .contexts = 1,
	},
	[WORKLOAD_lookup_first] = {
		.name = "lookup_first",
		.what = "as lookup_cold, eight owners on each stream; look up the newest context",
		.param = PARAM_STREAMS, .contexts = SCAN_OWNERS, .large = true,
	},
	[WORKLOAD_lookup_last] = {
		.name = "lookup_last",
		.what = "the same, but the oldest",
		.param = PARAM_STREAMS, .contexts = SCAN_OWNERS, .large = true,
	},
	[WORKLOAD_open_warm] = {
		.name = "open_warm",
		.what = "many resident streams; open one at random, look up, close",
		.param = PARAM_STREAMS, .contexts = 1, .opens = true,
	},
	[WORKLOAD_open_many] = {
		.name = "open_many",
		.what = "the same in batches of 16: open all, look up in each, close all",
		.param = PARAM_STREAMS, .contexts = 1,
	},
	[WORKLOAD_open_zipf] = {
		.name = "open_zipf",
		.what = "as open_warm, but few streams get most opens: zipf, s = 0.99",
		.param = PARAM_STREAMS, .contexts = 1, .opens = true, .zipf = true,
	},
	[WORKLOAD_open_hot] = {
		.name = "open_hot",
		.what = "one resident stream; open, look up, close",
		.streams = 1, .contexts = 1, .opens = true,
	},
	[WORKLOAD_open_cold] = {
		.name = "open_cold",
		.what = "a new stream each time; open, create a context, look up, close; drained",
		.creates = 1, .retires = true, .opens = true, .samples = true,
	},
	[WORKLOAD_mixed] = {
		.name = "mixed",
		.what = "95 % opens of 100000 resident streams, 5 % of new ones; four owners each; "
			"drained",
		.streams = MIXED_STREAMS, .contexts = MIXED_OWNERS, .retires = true, .opens = true,
	},
	[WORKLOAD_update_contended] = {
		.name = "update_contended",
		.what = "all on one stream; insert a context, look up 8 times, remove it; drained",
		.streams = 1, .contexts = 2, .creates = 1, .retires = true,
	},
	[WORKLOAD_unload] = {
		.name = "unload",
		.what = "an owner leaves many streams while the threads open and close them",
		.param = PARAM_STREAMS, .contexts = 1, .unloads = true,
	},
	[WORKLOAD_replay] = {
		.name = "replay",
		.what = "recorded opens and closes; two modules count each open; drained",
		.param = PARAM_TRACE, .retires = true, .keeps = true,
	},
	[WORKLOAD_open_cached] = {
		.name = "open_cached",
		.what = "ten million ids by Zipf's law, of which 100000 stay; two modules count each "
			"open; drained",
		.zipf = true, .zipf_ids = CACHED_IDS, .keeps = true, .resident = CACHED_RESIDENT,
		.bumps = CACHED_OWNERS, .retires = true, .opens = true,
	},
	[WORKLOAD_growth] = {
		.name = "growth",
		.what = "open new streams and keep them, from none to --streams; each open is timed, "
			"and the clock by itself",
		.param = PARAM_STREAMS, .grows = true, .plain = true, .opens = true,
	},
	[WORKLOAD_stall] = {
		.name = "stall",
		.what = "as open_cold; a reader stays in its section for the second of three times "
			"--seconds; each close is timed",
		.streams = 1, .contexts = 1, .creates = 1, .retires = true, .stalls = true,
		.plain = true,
	},
	[WORKLOAD_known_cost] = {
		.name = "known_cost",
		.what = "wait 1000 ns by the clock: checks the measurement itself",
		.param = PARAM_NS, .no_backend = true,
	},
	[WORKLOAD_bare_clock] = {
		.name = "bare_clock",
		.what = "nothing at all: with --rate, the jitter of the machine itself",
		.no_backend = true, .only_paced = true,
	},
};

/* The linker's names for the bounds of the section that backends register in. */
extern const struct backend *const __start_bench_backends[];
extern const struct backend *const __stop_bench_backends[];

static const struct backend **backends;
static size_t backend_count;

/* streamctx first, then by name. */
static int backend_order(const void *a, const void *b)
{
	const char *x = bench_backend_name(*(const struct backend *const *)a);
	const char *y = bench_backend_name(*(const struct backend *const *)b);
	int subject = (strcmp(y, "streamctx") == 0) - (strcmp(x, "streamctx") == 0);

	return subject ? subject : strcmp(x, y);
}

void bench_catalogue_init(void)
{
	backend_count = (size_t)(__stop_bench_backends - __start_bench_backends);
	backends = bench_alloc(backend_count * sizeof(*backends));
	memcpy(backends, __start_bench_backends, backend_count * sizeof(*backends));
	qsort(backends, backend_count, sizeof(*backends), backend_order);
}

const struct backend *const *bench_backends(size_t *count)
{
	*count = backend_count;
	return backends;
}

const struct backend *bench_backend_find(const char *name)
{
	for (size_t i = 0; i < backend_count; i++)
		if (strcmp(bench_backend_name(backends[i]), name) == 0)
			return backends[i];
	return NULL;
}

const char *bench_backend_name(const struct backend *backend)
{
	return backend->ops->name;
}

const char *bench_backend_lacks(const struct backend *backend)
{
	return backend->ops->lacks;
}

bool bench_keeps_idle(const struct backend *backend)
{
	return backend->ops->keep_idle != NULL;
}

bool bench_supports(const struct backend *backend, const struct workload_info *workload)
{
	const struct backend_ops *ops = backend->ops;
	const ptrdiff_t number = workload - bench_workload_list;

	if (workload->no_backend)
		return strcmp(ops->name, "floor") == 0;
	if (ops->only && !(ops->only >> number & 1))
		return false;
	if (workload->unloads)
		return ops->owner_register != NULL;
	if (workload->resident)
		return bench_keeps_idle(backend);
	if (workload->grows && ops->sized)
		return false;
	/* A reader stalls no other thread where nothing is shared. */
	if (workload->stalls && ops->private_tables)
		return false;
	return true;
}

const struct workload_info *bench_workloads(size_t *count)
{
	*count = WORKLOADS;
	return bench_workload_list;
}

const struct workload_info *bench_workload_find(const char *name)
{
	for (size_t i = 0; i < WORKLOADS; i++)
		if (strcmp(bench_workload_list[i].name, name) == 0)
			return &bench_workload_list[i];
	return NULL;
}

void bench_case_name(const struct bench_case *c, char *name, size_t size)
{
	char param[128] = "", resident[32] = "", create_ns[32] = "";

	switch (c->workload->param) {
	case PARAM_NONE:
		break;
	case PARAM_CONTEXTS:
		snprintf(param, sizeof(param), "/contexts:%u", c->contexts);
		break;
	case PARAM_STREAMS:
		snprintf(param, sizeof(param), "/streams:%lu", c->streams);
		break;
	case PARAM_TRACE:
		snprintf(param, sizeof(param), "/trace:%s", c->trace_name);
		break;
	case PARAM_NS:
		snprintf(param, sizeof(param), "/ns:%d", KNOWN_COST_NS);
		break;
	}
	if (c->resident)
		snprintf(resident, sizeof(resident), "/resident:%lu", c->resident);
	if (c->create_ns)
		snprintf(create_ns, sizeof(create_ns), "/create_ns:%lu", c->create_ns);
	snprintf(name, size, "%s%s%s%s%s%s/threads:%u", c->workload->name, c->backend ? "/" : "",
		 c->backend ? bench_backend_name(c->backend) : "", param, resident, create_ns,
		 c->threads);
}
