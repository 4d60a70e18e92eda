/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: the options of the benchmarks (bench/harness/options.c).  The input is
 * the command line, a word to a line.  What is accepted must be in range.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bench/harness/options.h"

#define WORDS 16

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* In the place of the harness: one of each kind. */
static const struct workload_info workloads[] = {
	{ .name = "lookup_hot", .param = PARAM_CONTEXTS },
	{ .name = "open_warm", .param = PARAM_STREAMS, .opens = true },
	{ .name = "replay", .param = PARAM_TRACE, .keeps = true },
	{ .name = "open_cold", .opens = true, .samples = true },
	{ .name = "unload", .param = PARAM_STREAMS, .unloads = true },
	{ .name = "idle", .only_paced = true, .no_backend = true },
};
/* The second one has no owners, and keeps no idle streams. */
static const char *const backends[] = { "streamctx", "mutex" };

const struct workload_info *bench_workload_find(const char *name)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	return NULL;
}

const struct backend *bench_backend_find(const char *name)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (strcmp(name, backends[i]) == 0)
			return (const struct backend *)&backends[i];
	return NULL;
}

const char *bench_backend_name(const struct backend *backend)
{
	return *(const char *const *)backend;
}

bool bench_supports(const struct backend *backend, const struct workload_info *workload)
{
	return !workload->unloads || strcmp(bench_backend_name(backend), "streamctx") == 0;
}

bool bench_keeps_idle(const struct backend *backend)
{
	return strcmp(bench_backend_name(backend), "streamctx") == 0;
}

static void check(const struct options *o)
{
	CHECK(o->c.threads >= 1 && o->c.threads <= 1024);
	CHECK(o->c.contexts >= 1 && o->c.contexts <= 64);
	CHECK(o->c.streams >= 1 && o->c.streams <= 1ul << 30);
	CHECK(o->limit.iterations <= 1ul << 40);
	CHECK(o->limit.iterations || o->limit.seconds > 0);
	CHECK(o->limit.seconds >= 0 && o->limit.seconds < 1e6);
	CHECK(o->limit.rate >= 0 && o->limit.rate < 1e9);
	if (o->list)
		return;
	CHECK(o->c.workload && o->c.backend);
	CHECK(o->c.workload->param != PARAM_TRACE || o->trace);
	CHECK(!o->latency || o->c.workload->opens);
	CHECK(!o->frees || o->c.workload->samples);
	CHECK(bench_supports(o->c.backend, o->c.workload));
	CHECK(o->c.workload->keeps || (!o->c.resident && !o->c.create_ns));
	CHECK(!o->c.resident || bench_keeps_idle(o->c.backend));
	CHECK(o->c.resident <= 1ul << 30 && o->c.create_ns <= 1000000000);
	CHECK(!o->c.workload->only_paced || o->limit.rate > 0);
	CHECK(o->limit.rate == 0 || (!o->limit.iterations && !o->c.workload->unloads));
}

/* A number is accepted if it is printed the same, leading zeros apart. */
static void check_number(const char *word)
{
	const char *digits = word + strspn(word, "0");
	uint64_t value = 0;
	char text[32];

	if (!option_number(word, UINT64_MAX / 2, &value)) {
		CHECK(value == 0);
		return;
	}
	snprintf(text, sizeof(text), "%lu", value);
	CHECK(strcmp(text, digits) == 0 && value <= UINT64_MAX / 2);
}

static void check_positive(const char *word)
{
	double value = 1;

	CHECK(!option_positive(word, 10, &value) || (value > 0 && value < 10));
	CHECK(value > 0 && value < 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *word = text, *argv[WORDS + 1] = { "sctx-bench" };
	struct options o;
	int argc = 1;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = 0;
	while (word && argc < WORDS) {
		char *newline = strchr(word, '\n');

		if (newline)
			*newline++ = 0;
		check_number(word);
		check_positive(word);
		argv[argc++] = word;
		word = newline;
	}
	if (options_parse(argc, argv, ARGP_SILENT, &o) == 0)
		check(&o);
	free(text);
	return 0;
}
