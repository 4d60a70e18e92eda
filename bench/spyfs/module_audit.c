/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit: who was opened, how often, and what was read and written.  With
 * audit=FILE a line goes to FILE for each stream, when its context is freed:
 * after a grace period nobody is counting any more, so the figures are final.
 */
#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "module.h"

struct counts {
	atomic_ullong opens, reads, writes, bytes_read, bytes_written, ns;
};

struct audit {
	struct counts counts;
	char name[sizeof(((struct spy_row *)0)->name)]; /* the end of it */
};

static struct counts closed; /* the sum over streams that are gone */
static atomic_ullong streams_closed;
static FILE *file;

static int audit_start(const char *arg)
{
	if (arg && !(file = fopen(arg, "ae")))
		return -errno;
	return 0;
}

static void audit_stop(void)
{
	if (file)
		fclose(file);
}

static void audit_attach(void *context, const struct spy_file *opened)
{
	struct audit *audit = context;
	char link[32], path[4096];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", opened->fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		length = 0;
	path[length] = '\0';
	for (char *c = path; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	strcpy(audit->name, (size_t)length < sizeof(audit->name)
				    ? path
				    : path + length - (sizeof(audit->name) - 1));
}

static void add(atomic_ullong *count, uint64_t n)
{
	atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

static uint64_t get(const atomic_ullong *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

static void audit_free(void *context)
{
	struct audit *audit = context;
	struct counts *counts = &audit->counts;

	/* Two opened a file at once, and the other's context became the stream's. */
	if (!get(&counts->opens) && !get(&counts->reads) && !get(&counts->writes))
		return;
	add(&closed.opens, get(&counts->opens));
	add(&closed.reads, get(&counts->reads));
	add(&closed.writes, get(&counts->writes));
	add(&closed.bytes_read, get(&counts->bytes_read));
	add(&closed.bytes_written, get(&counts->bytes_written));
	add(&closed.ns, get(&counts->ns));
	add(&streams_closed, 1);
	if (!file)
		return;
	fprintf(file, "opens %llu reads %llu writes %llu read %llu written %llu ns %llu %s\n",
		counts->opens, counts->reads, counts->writes, counts->bytes_read,
		counts->bytes_written, counts->ns, audit->name);
}

static int audit_event(void *context, const struct spy_event *event)
{
	struct counts *counts = &((struct audit *)context)->counts;

	switch (event->type) {
	case SPY_OPENED:
		add(&counts->opens, 1);
		break;
	case SPY_READ:
		add(&counts->reads, 1);
		add(&counts->bytes_read, event->bytes);
		break;
	case SPY_WROTE:
		add(&counts->writes, 1);
		add(&counts->bytes_written, event->bytes);
		break;
	case SPY_WRITE:
		break;
	}
	add(&counts->ns, event->ns);
	return 0;
}

static void audit_row(const void *context, struct spy_row *row)
{
	const struct audit *audit = context;

	strcpy(row->name, audit->name);
	row->opens = get(&audit->counts.opens);
	row->reads = get(&audit->counts.reads);
	row->writes = get(&audit->counts.writes);
	row->bytes = get(&audit->counts.bytes_read) + get(&audit->counts.bytes_written);
	row->ns = get(&audit->counts.ns);
}

static void counter(FILE *to, const char *name, const char *what, uint64_t value)
{
	fprintf(to,
		"# HELP spyfs_audit_%s_total %s.\n# TYPE spyfs_audit_%s_total counter\n"
		"spyfs_audit_%s_total %llu\n",
		name, what, name, name, (unsigned long long)value);
}

static void audit_metrics(FILE *to)
{
	counter(to, "streams", "Streams that were closed", get(&streams_closed));
	counter(to, "opens", "Opens of streams that were closed", get(&closed.opens));
	counter(to, "reads", "Reads of streams that were closed", get(&closed.reads));
	counter(to, "writes", "Writes to streams that were closed", get(&closed.writes));
	counter(to, "read_bytes", "Bytes read from streams that were closed",
		get(&closed.bytes_read));
	counter(to, "written_bytes", "Bytes written to streams that were closed",
		get(&closed.bytes_written));
}

const struct spy_module spy_module = {
	.name = "audit",
	.tag = SCTX_TAG('A', 'u', 'd', 't'),
	.context_size = sizeof(struct audit),
	.start = audit_start,
	.stop = audit_stop,
	.attach = audit_attach,
	.free = audit_free,
	.event = audit_event,
	.row = audit_row,
	.metrics = audit_metrics,
};
