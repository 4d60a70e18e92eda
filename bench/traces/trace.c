/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader of recorded traces; trace.h has the format.
 *
 * Nothing in a trace is believed: every number is compared with what the lines
 * before it allow, so that none can lead outside an array, and arrays are sized
 * by counting lines, so that no small file can ask for much memory.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "streamctx-trace 1"

/* What a handle is while no open has it. */
#define CLOSED UINT32_MAX

/* The handles that a process has used so far, and the file of each. */
struct process {
	uint32_t *file;
	uint32_t handles;
	uint32_t room;
};

struct reader {
	const char *at;  /* the next byte of this line */
	const char *end; /* its newline */
	size_t line;
	struct trace *trace;
	size_t files_room; /* the lines of each kind */
	size_t events_room;
	struct process *process;
	size_t opens;
	size_t closes;
	bool ended; /* the e line has been read */
	char *err;
	size_t errlen;
};

static int __attribute__((format(printf, 2, 3))) bad(struct reader *r, const char *format, ...)
{
	int n = snprintf(r->err, r->errlen, "line %zu: ", r->line);
	va_list args;

	if (n >= 0 && (size_t)n < r->errlen) {
		va_start(args, format);
		vsnprintf(r->err + n, r->errlen - (size_t)n, format, args);
		va_end(args);
	}
	return -EBADMSG;
}

static int no_memory(char *err, size_t errlen)
{
	snprintf(err, errlen, "out of memory");
	return -ENOMEM;
}

/* ------------------------------------------------------------------ words */

/* A space and a number of at most @max. */
static int number(struct reader *r, const char *what, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	const char *first;

	if (r->at == r->end || *r->at != ' ')
		return bad(r, "no %s", what);
	first = ++r->at;
	for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
		const uint64_t digit = (uint64_t)(*r->at - '0');

		if (value > (max - digit) / 10)
			return bad(r, "%s is out of range", what);
		value = value * 10 + digit;
	}
	if (r->at == first)
		return bad(r, "%s is not a number", what);
	if (*first == '0' && r->at - first > 1)
		return bad(r, "%s has a leading zero", what);
	*out = value;
	return 0;
}

static int number32(struct reader *r, const char *what, uint32_t *out)
{
	uint64_t value;
	int ret = number(r, what, UINT32_MAX - 1, &value);

	if (!ret)
		*out = (uint32_t)value;
	return ret;
}

static int line_end(struct reader *r)
{
	return r->at == r->end ? 0 : bad(r, "something follows the last number");
}

/* ------------------------------------------------------------------ lines */

static int file_line(struct reader *r)
{
	struct trace_file *file = &r->trace->file[r->trace->files];
	int ret = number(r, "device", UINT64_MAX, &file->dev);

	if (!ret)
		ret = number(r, "inode", UINT64_MAX, &file->ino);
	if (!ret)
		ret = line_end(r);
	if (!ret)
		r->trace->files++;
	return ret;
}

static int new_handle(struct reader *r, struct process *p)
{
	if (p->handles == p->room) {
		const uint32_t room = p->room ? 2 * p->room : 4;
		uint32_t *file = realloc(p->file, room * sizeof(*file));

		if (!file)
			return no_memory(r->err, r->errlen);
		p->file = file;
		p->room = room;
	}
	p->file[p->handles++] = CLOSED;
	return 0;
}

static void add_event(struct reader *r, const struct trace_event *event)
{
	r->trace->event[r->trace->events++] = *event;
}

static int open_line(struct reader *r)
{
	struct trace_event e = { .type = TRACE_OPEN };
	struct trace *t = r->trace;
	struct process *p;
	int ret;

	if ((ret = number32(r, "process", &e.process)) ||
	    (ret = number32(r, "handle", &e.handle)) || (ret = number32(r, "file", &e.file)) ||
	    (ret = line_end(r)))
		return ret;
	if (e.process > t->processes)
		return bad(r, "process %u comes before process %u", e.process, t->processes);
	if (e.file >= t->files)
		return bad(r, "file %u of %zu", e.file, t->files);
	p = &r->process[e.process];
	if (e.handle > p->handles)
		return bad(r, "handle %u comes before handle %u", e.handle, p->handles);
	if (e.handle == p->handles && (ret = new_handle(r, p)))
		return ret;
	if (p->file[e.handle] != CLOSED)
		return bad(r, "open of handle %u of process %u, which is open", e.handle,
			   e.process);
	p->file[e.handle] = e.file;
	if (e.process == t->processes)
		t->processes++;
	r->opens++;
	add_event(r, &e);
	return 0;
}

static int close_line(struct reader *r)
{
	struct trace_event e = { .type = TRACE_CLOSE };
	struct process *p;
	int ret;

	if ((ret = number32(r, "process", &e.process)) ||
	    (ret = number32(r, "handle", &e.handle)) || (ret = line_end(r)))
		return ret;
	p = e.process < r->trace->processes ? &r->process[e.process] : NULL;
	if (!p || e.handle >= p->handles || p->file[e.handle] == CLOSED)
		return bad(r, "close of handle %u of process %u, which is not open", e.handle,
			   e.process);
	e.file = p->file[e.handle];
	p->file[e.handle] = CLOSED;
	r->closes++;
	add_event(r, &e);
	return 0;
}

static int end_line(struct reader *r)
{
	uint64_t opens, files, processes;
	int ret;

	if ((ret = number(r, "number of opens", UINT32_MAX, &opens)) ||
	    (ret = number(r, "number of files", UINT32_MAX, &files)) ||
	    (ret = number(r, "number of processes", UINT32_MAX, &processes)) || (ret = line_end(r)))
		return ret;
	if (r->opens != r->closes)
		return bad(r, "unbalanced: %zu opens are never closed", r->opens - r->closes);
	if (opens != r->opens)
		return bad(r, "%zu opens instead of %llu", r->opens, (unsigned long long)opens);
	if (files != r->trace->files)
		return bad(r, "%zu files instead of %llu", r->trace->files,
			   (unsigned long long)files);
	if (processes != r->trace->processes)
		return bad(r, "%u processes instead of %llu", r->trace->processes,
			   (unsigned long long)processes);
	r->ended = true;
	return 0;
}

static int one_line(struct reader *r)
{
	const size_t length = (size_t)(r->end - r->at);
	unsigned char kind;

	if (r->line == 1) {
		if (length != strlen(FIRST_LINE) || memcmp(r->at, FIRST_LINE, length) != 0)
			return bad(r, "not \"" FIRST_LINE "\"");
		return 0;
	}
	if (r->ended)
		return bad(r, "something follows the end");
	if (!length)
		return bad(r, "empty");
	kind = (unsigned char)*r->at++;
	switch (kind) {
	case '#':
		return r->trace->files + r->trace->events ? bad(r, "header among the events") : 0;
	case 'f':
		return file_line(r);
	case 'o':
		return open_line(r);
	case 'c':
		return close_line(r);
	case 'e':
		return end_line(r);
	}
	if (kind > ' ' && kind < 0x7f)
		return bad(r, "unknown event '%c'", kind);
	return bad(r, "unknown event, byte 0x%02x", kind);
}

/* ------------------------------------------------------------------ texts */

static void count_lines(struct reader *r, const char *text, const char *end)
{
	while (text && text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		r->files_room += *text == 'f';
		r->events_room += *text == 'o' || *text == 'c';
		text = newline ? newline + 1 : NULL;
	}
}

static int all_lines(struct reader *r, const char *text, const char *end)
{
	while (text < end) {
		int ret;

		r->line++;
		r->at = text;
		r->end = memchr(text, '\n', (size_t)(end - text));
		if (!r->end)
			return bad(r, "truncated: no end of line");
		ret = one_line(r);
		if (ret)
			return ret;
		text = r->end + 1;
	}
	r->line++;
	return r->ended ? 0 : bad(r, "truncated: the file ends before an e line");
}

int trace_parse(const char *text, size_t length, struct trace *out, char *err, size_t errlen)
{
	struct reader r = { .trace = out, .err = err, .errlen = errlen };
	int ret;

	memset(out, 0, sizeof(*out));
	if (length > TRACE_MAX_BYTES) {
		snprintf(err, errlen, "longer than %zu bytes", TRACE_MAX_BYTES);
		return -EFBIG;
	}
	count_lines(&r, text, text + length);
	/* One more than needed: calloc may answer 0 with NULL. */
	out->file = calloc(r.files_room + 1, sizeof(*out->file));
	out->event = calloc(r.events_room + 1, sizeof(*out->event));
	r.process = calloc(r.events_room + 1, sizeof(*r.process));
	if (out->file && out->event && r.process)
		ret = all_lines(&r, text, text + length);
	else
		ret = no_memory(err, errlen);
	/* A process that failed in its first open is not counted yet. */
	for (size_t i = 0; r.process && i <= out->processes && i <= r.events_room; i++)
		free(r.process[i].file);
	free(r.process);
	if (ret)
		trace_free(out);
	return ret;
}

void trace_free(struct trace *trace)
{
	free(trace->file);
	free(trace->event);
	memset(trace, 0, sizeof(*trace));
}

/* ------------------------------------------------------------------ files */

/* Up to @length bytes of @fd.  If the file got shorter meanwhile, parsing fails. */
static int read_all(int fd, char *text, size_t *length)
{
	size_t done = 0;

	while (done < *length) {
		ssize_t n = read(fd, text + done, *length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*length = done;
	return 0;
}

static int load(int fd, struct trace *out, char *err, size_t errlen)
{
	struct stat st;
	size_t length;
	char *text;
	int ret;

	if (fstat(fd, &st)) {
		ret = -errno;
		snprintf(err, errlen, "%s", strerror(-ret));
		return ret;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(err, errlen, "not a regular file");
		return -EINVAL;
	}
	if ((uint64_t)st.st_size > TRACE_MAX_BYTES) {
		snprintf(err, errlen, "longer than %zu bytes", TRACE_MAX_BYTES);
		return -EFBIG;
	}
	length = (size_t)st.st_size;
	text = malloc(length + 1);
	if (!text)
		return no_memory(err, errlen);
	ret = read_all(fd, text, &length);
	if (ret)
		snprintf(err, errlen, "%s", strerror(-ret));
	else
		ret = trace_parse(text, length, out, err, errlen);
	free(text);
	return ret;
}

int trace_load(const char *path, struct trace *out, char *err, size_t errlen)
{
	/* Non-blocking: a FIFO is to be refused, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int ret;

	memset(out, 0, sizeof(*out));
	if (fd < 0) {
		ret = -errno;
		snprintf(err, errlen, "%s", strerror(-ret));
		return ret;
	}
	ret = load(fd, out, err, errlen);
	close(fd);
	return ret;
}
