/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * audit: how often each stream was opened, and what was read and written.
 * With audit=FILE it also writes a line to FILE for each stream, when the
 * context is freed: after a grace period no thread counts any more, so the
 * figures are final.
 */
#include <stdatomic.h>
#include <string.h>

#include "audit_log.h"
#include "module.h"

struct counts {
	atomic_ullong opens, reads, writes, bytes_read, bytes_written, ns;
};

struct audit {
	struct counts counts;
	char name[SPY_NAME];
};

static struct counts closed; /* the sum over streams that are closed */
static atomic_ullong streams_closed;

static int audit_start(const char *arg)
{
	return arg ? audit_log_open(arg) : 0;
}

static void audit_attach(void *context, const struct spy_file *opened)
{
	strcpy(((struct audit *)context)->name, opened->name);
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

	/* Two threads opened the file at once, and the other's context was linked. */
	if (!get(&counts->opens) && !get(&counts->reads) && !get(&counts->writes))
		return;
	add(&closed.opens, get(&counts->opens));
	add(&closed.reads, get(&counts->reads));
	add(&closed.writes, get(&counts->writes));
	add(&closed.bytes_read, get(&counts->bytes_read));
	add(&closed.bytes_written, get(&counts->bytes_written));
	add(&closed.ns, get(&counts->ns));
	add(&streams_closed, 1);
	audit_log_add("opens %llu reads %llu writes %llu read %llu written %llu ns %llu %s\n",
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
	case SPY_CHARGE:
	case SPY_ALLOCATED:
	case SPY_REFUSED:
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
	counter(to, "lost_lines", "Lines that the log has no room for", audit_log_lost());
}

const struct spy_module spy_module = {
	.name = "audit",
	.tag = SCTX_TAG('A', 'u', 'd', 't'),
	.context_size = sizeof(struct audit),
	.start = audit_start,
	.stop = audit_log_close,
	.attach = audit_attach,
	.free = audit_free,
	.event = audit_event,
	.row = audit_row,
	.metrics = audit_metrics,
};
