/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics as text, as JSON and in Prometheus' exposition format.
 *
 * All formats share one walk over groups of values, some with labels.  A format
 * decides how a group begins and ends and how a value looks.
 */
#include "stats/print.h"

#include "base/debug.h"
#include "base/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* ------------------------------------------------------------------ escaping */

/*
 * A name in quotes.  Bytes that are not UTF-8 become question marks, and in
 * text so do control characters.  Quotes, backslashes and newlines are escaped
 * as the format requires.
 */
static int utf8_length(const unsigned char *s)
{
	int length = *s < 0x80 ? 1 : *s >= 0xf0 && *s < 0xf5 ? 4 : *s >= 0xe0 ? 3 : 2;

	if (*s >= 0xf5 || (*s >= 0x80 && *s < 0xc2))
		return 0;
	/* Overlong forms, surrogates, and what is beyond the last code point. */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	/* C1 controls: a terminal may obey them. */
	if (*s == 0xc2 && s[1] < 0xa0)
		return 0;
	for (int i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static void put_escaped(struct sctx__printer *p, unsigned char c)
{
	if (c == '"' || c == '\\')
		fprintf(p->file, "\\%c", c);
	else if (c == '\n')
		fputs("\\n", p->file);
	else if (c >= 0x20 && c != 0x7f)
		fputc(c, p->file);
	else if (p->format == SCTX_JSON)
		fprintf(p->file, "\\u%04x", c);
	else
		fputc('?', p->file);
}

void sctx__print_quoted(struct sctx__printer *p, const char *name)
{
	const unsigned char *s = (const unsigned char *)name;

	fputc('"', p->file);
	while (*s) {
		int length = utf8_length(s);

		if (length <= 1)
			put_escaped(p, length ? *s : '?');
		else
			fwrite(s, 1, (size_t)length, p->file);
		s += length ? length : 1;
	}
	fputc('"', p->file);
}

/* ------------------------------------------------------------------- values */

struct value {
	const char *name; /* in text and JSON */
	const char *metric;
	const char *type; /* of the metric; NULL: the same as the previous value's */
	const char *help;
	double scale; /* metric = value * scale */
	uint64_t value;
};

static void print_labels(struct sctx__printer *p, const struct sctx__label *label)
{
	if (!label)
		return;
	fputc('{', p->file);
	for (const struct sctx__label *l = label; l->name; l++) {
		fprintf(p->file, "%s%s=", l == label ? "" : ",", l->name);
		sctx__print_quoted(p, l->value);
	}
	fputc('}', p->file);
}

static void print_metric_head(struct sctx__printer *p, const struct value *v)
{
	fprintf(p->file, "# HELP streamctx_%s %s\n# TYPE streamctx_%s %s\n", v->metric, v->help,
		v->metric, v->type);
}

static void print_metric(struct sctx__printer *p, const struct value *v,
			 const struct sctx__label *label)
{
	fprintf(p->file, "streamctx_%s", v->metric);
	print_labels(p, label);
	if (v->scale == 1)
		fprintf(p->file, " %" PRIu64 "\n", v->value);
	else
		fprintf(p->file, " %.9f\n", (double)v->value * v->scale);
}

static void print_value(struct sctx__printer *p, const struct value *v, bool first)
{
	if (p->format == SCTX_JSON)
		fprintf(p->file, "%s\"%s\": %" PRIu64, first ? "" : ", ", v->name, v->value);
	else
		fprintf(p->file, "  %-20s %" PRIu64 "\n", v->name, v->value);
}

/* The values of one object. */
static void print_group(struct sctx__printer *p, const struct value *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p->format != SCTX_PROMETHEUS) {
			print_value(p, &v[i], i == 0);
			continue;
		}
		print_metric_head(p, &v[i]);
		print_metric(p, &v[i], NULL);
	}
}

/* --------------------------------------------------------------- lists of things */

/*
 * Owners and tags: one line of text or one JSON object each.  Prometheus wants
 * all samples of a metric together, so it takes one round for each metric.
 */
static void print_row(struct sctx__printer *p, const struct sctx__label *label,
		      const struct value *values, size_t n)
{
	if (p->format == SCTX_PROMETHEUS) {
		if (p->row == 0)
			print_metric_head(p, &values[p->column]);
		print_metric(p, &values[p->column], label);
		p->row++;
		return;
	}
	fputs(p->format == SCTX_JSON && p->row ? ", " : "", p->file);
	fputs(p->format == SCTX_JSON ? "{" : " ", p->file);
	for (const struct sctx__label *l = label; l->name; l++) {
		fprintf(p->file, p->format == SCTX_JSON ? "\"%s\": " : " %s ", l->name);
		sctx__print_quoted(p, l->value);
		fputs(p->format == SCTX_JSON ? ", " : "", p->file);
	}
	for (size_t i = 0; i < n; i++)
		fprintf(p->file, p->format == SCTX_JSON ? "%s\"%s\": %" PRIu64 : "%s %s %" PRIu64,
			p->format == SCTX_JSON && i ? ", " : "", values[i].name, values[i].value);
	fputs(p->format == SCTX_JSON ? "}" : "\n", p->file);
	p->row++;
}

/* --------------------------------------------------------------- the process */

#define COUNTER "counter"
#define GAUGE   "gauge"

static void print_latency_prometheus(struct sctx__printer *p, const struct sctx_stats *s)
{
	static const char name[] = "streamctx_grace_period_seconds";
	uint64_t below = 0;

	fprintf(p->file, "# HELP %s Time that a grace period took.\n# TYPE %s histogram\n", name,
		name);
	for (int i = 0; i < SCTX_LATENCY_BUCKETS; i++) {
		below += s->grace_period_latency[i];
		if (i < SCTX_LATENCY_BUCKETS - 1)
			fprintf(p->file, "%s_bucket{le=\"%.6f\"} %" PRIu64 "\n", name,
				(double)((uint64_t)1 << i) * 1e-6, below);
	}
	fprintf(p->file, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n",
		name, below, name, (double)s->grace_period_ns * 1e-9, name, below);
}

static void print_latency(struct sctx__printer *p, const struct sctx_stats *s)
{
	if (p->format == SCTX_PROMETHEUS) {
		print_latency_prometheus(p, s);
		return;
	}
	if (p->format == SCTX_JSON)
		fprintf(p->file, ", \"grace_period_latency\": [");
	for (int i = 0; i < SCTX_LATENCY_BUCKETS; i++) {
		uint64_t n = s->grace_period_latency[i];

		if (p->format == SCTX_JSON)
			fprintf(p->file, "%s%" PRIu64, i ? ", " : "", n);
		else if (n)
			fprintf(p->file, "  grace periods below %" PRIu64 " us: %" PRIu64 "\n",
				(uint64_t)1 << i, n);
	}
	if (p->format == SCTX_JSON)
		fputc(']', p->file);
}

static void print_process(struct sctx__printer *p, const struct sctx_stats *s)
{
	const struct value values[] = {
		{ "opens", "opens_total", COUNTER, "Opens that succeeded.", 1, s->opens },
		{ "creates", "creates_total", COUNTER, "Opens that created a stream.", 1,
		  s->creates },
		{ "closes", "closes_total", COUNTER, "Closes.", 1, s->closes },
		{ "last_closes", "last_closes_total", COUNTER,
		  "Closes that left no open reference.", 1, s->last_closes },
		{ "revivals", "revivals_total", COUNTER, "Opens of an idle stream.", 1,
		  s->revivals },
		{ "evictions", "evictions_total", COUNTER, "Idle streams dropped.", 1,
		  s->evictions },
		{ "refusals", "refusals_total", COUNTER, "Idle streams that may_drop kept.", 1,
		  s->refusals },
		{ "forgets", "forgets_total", COUNTER, "Streams forgotten.", 1, s->forgets },
		{ "inserts", "inserts_total", COUNTER, "Contexts linked.", 1, s->inserts },
		{ "removes", "removes_total", COUNTER, "Contexts unlinked.", 1, s->removes },
		{ "callbacks_run", "callbacks_total", COUNTER, "Callbacks run.", 1,
		  s->callbacks_run },
		{ "limbo_callbacks", "limbo_callbacks", GAUGE, "Callbacks pending in limbo.", 1,
		  s->limbo_callbacks },
		{ "limbo_bytes", "limbo_bytes", GAUGE, "Bytes in limbo.", 1, s->limbo_bytes },
		{ "limbo_age_ns", "limbo_age_seconds", GAUGE, "Age of limbo's oldest member.", 1e-9,
		  s->limbo_age_ns },
		{ "grace_periods", "grace_periods_total", COUNTER, "Grace periods.", 1,
		  s->grace_periods },
	};

	if (p->format == SCTX_JSON)
		fputs("\"process\": {", p->file);
	else if (p->format == SCTX_TEXT)
		fputs("process\n", p->file);
	print_group(p, values, sizeof(values) / sizeof(values[0]));
	print_latency(p, s);
	if (p->format == SCTX_JSON)
		fputc('}', p->file);
}

/* @label NULL: the only registry, an object of its own. */
static void print_registry(struct sctx__printer *p, const struct sctx_registry_stats *s,
			   const struct sctx__label *label)
{
	const struct value values[] = {
		{ "streams", "streams", GAUGE, "Streams of the registry, open and idle.", 1,
		  s->streams },
		{ "idle", "idle_streams", GAUGE, "Idle streams.", 1, s->idle },
		{ "idle_limit", "idle_limit_streams", GAUGE, "Idle streams to keep.", 1,
		  s->idle_limit },
		{ "idle_bytes", "idle_bytes", GAUGE, "Bytes of idle streams, estimated.", 1,
		  s->idle_bytes },
		{ "laps", "idle_laps_total", COUNTER, "Laps in search of the oldest.", 1,
		  s->laps },
		{ "buckets", "buckets", GAUGE, "Buckets of its table, of 7 streams each.", 1,
		  s->buckets },
		{ "overflows", "overflow_buckets", GAUGE, "Buckets chained to full ones.", 1,
		  s->overflows },
		{ "longest_chain", "longest_chain", GAUGE, "Its longest chain, in buckets.", 1,
		  s->longest_chain },
		{ "tracked", "tracked_streams", GAUGE, "Embedded streams that it knows.", 1,
		  s->tracked },
		{ "owners", "owners", GAUGE, "Owners registered with it.", 1, s->owners },
	};

	const size_t n = sizeof(values) / sizeof(values[0]);

	if (label) {
		print_row(p, label, values, n);
		return;
	}
	if (p->format == SCTX_JSON)
		fputs(", \"registry\": {", p->file);
	else if (p->format == SCTX_TEXT)
		fprintf(p->file, "registry (%.1f %% of slots in use)\n",
			100.0 * (double)s->streams / (7.0 * (double)(s->buckets + s->overflows)));
	print_group(p, values, n);
	if (p->format == SCTX_JSON)
		fputc('}', p->file);
}

#define REGISTRY_COLUMNS 10

/* ------------------------------------------------------------ owners and tags */

struct owners {
	struct sctx__printer *p;
	const char *registry; /* its name, or NULL */
};

static int print_owner(const struct sctx_owner_stats *s, void *arg)
{
	const struct owners *of = arg;
	char tag[SCTX__TAG_TEXT], serial[24];
	const struct sctx__label label[] = { { "registry", of->registry },
					     { "owner", s->name },
					     { "tag", tag },
					     { "serial", serial },
					     { 0 } };
	const struct value values[] = {
		{ "contexts", "owner_contexts", GAUGE, "Contexts of the owner not yet freed.", 1,
		  s->contexts },
		{ "attached", "owner_attached_total", COUNTER, "Contexts made at open.", 1,
		  s->attached },
		{ "attach_failures", "owner_attach_failures_total", COUNTER,
		  "Attaches at open that failed.", 1, s->attach_failures },
		{ "leaving", "owner_leaving", GAUGE, "1 if its unregistering has begun.", 1,
		  s->leaving },
	};

	sctx__tag_text(s->tag, tag);
	snprintf(serial, sizeof(serial), "%" PRIu64, s->serial);
	print_row(of->p, of->registry ? label : label + 1, values,
		  sizeof(values) / sizeof(values[0]));
	return 0;
}

#define OWNER_COLUMNS 4

static void print_tag(struct sctx__printer *p, const struct sctx_tag_stats *s)
{
	char tag[SCTX__TAG_TEXT];
	const struct sctx__label label[] = { { "tag", tag }, { 0 } };
	const struct value values[] = {
		{ "bytes", "tag_bytes", GAUGE, "Bytes in use under the tag.", 1, s->bytes },
		{ "objects", "tag_objects", GAUGE, "Objects in use under the tag.", 1, s->objects },
		{ "peak", "tag_peak_bytes", GAUGE, "Most bytes in use under the tag.", 1, s->peak },
	};

	sctx__tag_text(s->tag, tag);
	print_row(p, label, values, sizeof(values) / sizeof(values[0]));
}

#define TAG_COLUMNS 3

/* ---------------------------------------------------------------------- all of it */

/* What is printed: gathered before the first byte is written. */
struct report {
	struct sctx__printer *p;
	struct sctx_stats process;
	struct sctx_tag_stats *tag;
	int tags;
	const struct sctx_named_registry *registry;
	size_t registries;
};

static void print_tags(const struct report *r)
{
	for (int i = 0; i < r->tags; i++)
		print_tag(r->p, &r->tag[i]);
}

static void print_registries(const struct report *r)
{
	for (size_t i = 0; i < r->registries; i++) {
		const struct sctx__label label[] = { { "registry", r->registry[i].name }, { 0 } };
		struct sctx_registry_stats of = { .size = sizeof(of) };

		sctx_registry_stats_get(r->registry[i].registry, &of);
		print_registry(r->p, &of, r->registry[i].name ? label : NULL);
	}
}

static void print_owners(const struct report *r)
{
	for (size_t i = 0; i < r->registries; i++) {
		struct owners of = { r->p, r->registry[i].name };

		sctx_registry_owners(r->registry[i].registry, print_owner, &of);
	}
}

/* One round over the rows for text and JSON, one for each metric for Prometheus. */
static void print_list(const struct report *r, const char *name, int columns,
		       void (*rows)(const struct report *r))
{
	struct sctx__printer *p = r->p;

	if (p->format == SCTX_JSON)
		fprintf(p->file, ", \"%s\": [", name);
	else if (p->format == SCTX_TEXT)
		fprintf(p->file, "%s\n", name);
	for (p->column = 0; p->column < (p->format == SCTX_PROMETHEUS ? columns : 1); p->column++) {
		p->row = 0;
		rows(r);
	}
	if (p->format == SCTX_JSON)
		fputc(']', p->file);
}

/* Version, flavour and allocator, as a metric that is always 1. */
static void print_build(struct sctx__printer *p)
{
	const struct sctx__label label[] = { { "version", sctx_version() }, { 0 } };
	const struct value values[] = { { "build", "build_info", GAUGE,
					  "The library that runs: version, RCU flavour, allocator.",
					  1, 1 } };

	if (p->format != SCTX_PROMETHEUS)
		return;
	p->row = p->column = 0;
	print_row(p, label, values, 1);
}

static void print_report(const struct report *r)
{
	struct sctx__printer *p = r->p;

	if (p->format == SCTX_JSON)
		fputc('{', p->file);
	print_process(p, &r->process);
	print_build(p);
	print_list(r, "tags", TAG_COLUMNS, print_tags);
	if (r->registries && r->registry[0].name)
		print_list(r, "registries", REGISTRY_COLUMNS, print_registries);
	else if (r->registries)
		print_registries(r);
	if (r->registries)
		print_list(r, "owners", OWNER_COLUMNS, print_owners);
	if (p->format == SCTX_JSON)
		fputs("}\n", p->file);
}

static int print(const struct sctx_named_registry *registry, size_t n, enum sctx_format format,
		 FILE *file)
{
	struct sctx__printer p = { .file = file, .format = format };
	struct report r = { .p = &p,
			    .process = { .size = sizeof(r.process) },
			    .registry = registry,
			    .registries = n };

	if (!file || (format != SCTX_TEXT && format != SCTX_JSON && format != SCTX_PROMETHEUS))
		return -EINVAL;
	r.tag = sctx__pool_alloc(SCTX_TAGS_MAX * sizeof(*r.tag));
	if (!r.tag)
		return -ENOMEM;
	sctx_stats_get(&r.process);
	r.tags = sctx_tag_stats_get(r.tag, sizeof(*r.tag), SCTX_TAGS_MAX);
	print_report(&r);
	sctx__pool_free(r.tag, SCTX_TAGS_MAX * sizeof(*r.tag));
	return sctx__print_end(file);
}

int sctx_stats_print(struct sctx_registry *registry, enum sctx_format format, FILE *file)
{
	const struct sctx_named_registry one = { registry, NULL };

	return print(&one, registry != NULL, format, file);
}

int sctx_stats_print_all(const struct sctx_named_registry *registry, size_t n,
			 enum sctx_format format, FILE *file)
{
	if (n && !registry)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!registry[i].registry || !registry[i].name)
			return -EINVAL;
		for (size_t k = 0; k < i; k++)
			if (strcmp(registry[k].name, registry[i].name) == 0)
				return -EEXIST;
	}
	return print(registry, n, format, file);
}
