/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: the reader of recorded traces (bench/traces/trace.c), and the plan
 * that deals its processes out (bench/harness/plan.c).
 *
 * trace_valid.c says by other means whether the text is a trace; the reader
 * must agree.  What it has read is written out again and must read the same.
 * The plan must hold every event once, in order, opens and closes in turn.
 */
#include "trace_valid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bench/harness/internal.h"
#include "../../bench/harness/plan.h"
#include "../../bench/traces/trace.h"

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* plan.c's, when memory is short. */
void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

/* Files first: where among the events their lines stood is not kept. */
static char *write_trace(const struct trace *t, size_t *length)
{
	char *text;
	FILE *out = open_memstream(&text, length);

	CHECK(out);
	fprintf(out, "streamctx-trace 1\n");
	for (size_t i = 0; i < t->files; i++)
		fprintf(out, "f %lu %lu\n", t->file[i].dev, t->file[i].ino);
	for (size_t i = 0; i < t->events; i++) {
		const struct trace_event *e = &t->event[i];

		if (e->type == TRACE_OPEN)
			fprintf(out, "o %u %u %u\n", e->process, e->handle, e->file);
		else
			fprintf(out, "c %u %u\n", e->process, e->handle);
	}
	fprintf(out, "e %zu %zu %u\n", t->events / 2, t->files, t->processes);
	fclose(out);
	return text;
}

static void check_written(const struct trace *t)
{
	struct trace again;
	char err[100];
	size_t length;
	char *text = write_trace(t, &length);

	CHECK(trace_parse(text, length, &again, err, sizeof(err)) == 0);
	CHECK(again.files == t->files && again.events == t->events);
	CHECK(again.processes == t->processes);
	CHECK(memcmp(again.file, t->file, t->files * sizeof(*t->file)) == 0);
	CHECK(memcmp(again.event, t->event, t->events * sizeof(*t->event)) == 0);
	trace_free(&again);
	free(text);
}

/* --------------------------------------------------------------------- plan */

static bool same_id(const struct sctx_id *id, const struct trace_file *file)
{
	return id->volume == file->dev && id->file[0] == file->ino && !id->file[1] && !id->stream;
}

/* In each share every slot is opened and closed in turn, and closed at last. */
static size_t check_share(const struct replay_share *share)
{
	bool *open = calloc(share->slots + 1, sizeof(*open));

	CHECK(open);
	for (size_t i = 0; i < share->events; i++) {
		const struct replay_event *e = &share->event[i];

		CHECK(e->slot < share->slots);
		CHECK(open[e->slot] == e->close);
		open[e->slot] = !e->close;
	}
	for (size_t i = 0; i < share->slots; i++)
		CHECK(!open[i]);
	free(open);
	return share->events;
}

/*
 * Each process's events are, in order, among those of one share.
 */
static bool advance(const struct replay_share *share, const struct trace *t,
		    const struct trace_event *e, size_t *at)
{
	for (size_t i = *at; i < share->events; i++) {
		const struct replay_event *r = &share->event[i];

		if (r->close != (e->type == TRACE_CLOSE) ||
		    (!r->close && !same_id(&r->id, &t->file[e->file])))
			continue;
		*at = i + 1;
		return true;
	}
	return false;
}

static void check_order(const struct trace *t, unsigned int threads)
{
	for (uint32_t p = 0; p < t->processes; p++) {
		bool found = false;

		for (unsigned int n = 0; n < threads && !found; n++) {
			size_t at = 0;

			found = true;
			for (size_t i = 0; i < t->events && found; i++)
				if (t->event[i].process == p)
					found = advance(plan_get(t, threads, n), t, &t->event[i],
							&at);
		}
		CHECK(found);
	}
}

static void check_plan(const struct trace *t, unsigned int threads)
{
	size_t events = 0;

	for (unsigned int i = 0; i < threads; i++)
		events += check_share(plan_get(t, threads, i));
	CHECK(events == t->events);
	check_order(t, threads);
	plan_free_all();
}

/* --------------------------------------------------------------------- entry */

static void check_message(int ret, const char *err, size_t room)
{
	if (!room)
		return;
	CHECK(memchr(err, 0, room));
	if (ret == -EBADMSG && room > 6)
		CHECK(strncmp(err, "line ", 5) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t rooms[] = { 200, 0, 1, 9 };
	size_t room = rooms[size % 4];
	char *text = malloc(size), *err = malloc(room); /* exact: ASan sees the end */
	struct trace t;
	int ret;

	CHECK((text || !size) && (err || !room));
	memcpy(text, data, size);
	ret = trace_parse(text, size, &t, err, room);
	CHECK(ret == 0 || ret == -EBADMSG);
	CHECK((ret == 0) == trace_valid(text, size));
	if (ret) {
		CHECK(!t.file && !t.event && !t.files && !t.events && !t.processes);
		check_message(ret, err, room);
	} else {
		check_written(&t);
		check_plan(&t, 1 + (unsigned int)(size % 5));
	}
	trace_free(&t);
	free(text);
	free(err);
	return 0;
}
