/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recorded traces: the opens and closes of a real program, as bench/traces/record
 * writes them and the replay workload plays them.
 *
 * A trace is lines of ASCII, each ended by a newline, words separated by one
 * space, numbers decimal without sign or leading zeros:
 *
 *	streamctx-trace 1	always the first line
 *	# TEXT			header: for people only, before the first event
 *	f DEV INO		a file, numbered 0, 1, 2 ... in the order of these lines
 *	o PROCESS HANDLE FILE	PROCESS opens FILE and calls the open HANDLE
 *	c PROCESS HANDLE	that open is closed for good
 *	e OPENS FILES PROCESSES	always the last line: what there was
 *
 * The o and c lines are in recorded order.  Processes are numbered in the order
 * of their first opens.  Handles belong to their process: a new number is the
 * next one after those the process has used, and is free again once closed, so
 * that an array of a process's handles has no holes.  Every open is closed.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longer files are refused. */
#define TRACE_MAX_BYTES ((size_t)1 << 30)

enum trace_type { TRACE_OPEN, TRACE_CLOSE };

struct trace_file {
	uint64_t dev;
	uint64_t ino;
};

struct trace_event {
	enum trace_type type;
	uint32_t process;
	uint32_t handle; /* of this process */
	uint32_t file;   /* of a close: the file of its open */
};

struct trace {
	struct trace_file *file;
	size_t files;
	struct trace_event *event; /* in recorded order; one half are opens */
	size_t events;
	uint32_t processes;
};

/*
 * Read the trace at @path, which must be a regular file, into @out; free it
 * with trace_free.  Takes memory in proportion to the file's length.
 *
 * Returns 0, or with @out empty and a message in @err (cut at @errlen):
 *	-EBADMSG	not a valid trace; the message names the line
 *	-EFBIG		longer than TRACE_MAX_BYTES
 *	-EINVAL		not a regular file
 *	-ENOMEM		out of memory
 *	others		from open and read
 */
int trace_load(const char *path, struct trace *out, char *err, size_t errlen);

/* The same for @length bytes in memory, which are not kept. */
int trace_parse(const char *text, size_t length, struct trace *out, char *err, size_t errlen);

/* Free what @trace holds and leave it empty. */
void trace_free(struct trace *trace);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_TRACE_H */
