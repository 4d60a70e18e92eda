/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: read a trace, and print what is in it or why it is not valid. */
#include <stdio.h>

#include "trace.h"

static size_t max_open(const struct trace *trace)
{
	size_t open = 0, max = 0;

	for (size_t i = 0; i < trace->events; i++) {
		if (trace->event[i].type == TRACE_CLOSE)
			open--;
		else if (++open > max)
			max = open;
	}
	return max;
}

int main(int argc, char **argv)
{
	struct trace trace;
	char err[200];

	if (argc != 2) {
		fprintf(stderr, "usage: check FILE\n");
		return 2;
	}
	if (trace_load(argv[1], &trace, err, sizeof(err))) {
		fprintf(stderr, "%s: %s\n", argv[1], err);
		return 1;
	}
	printf("opens %zu closes %zu files %zu processes %u max-open %zu\n", trace.events / 2,
	       trace.events / 2, trace.files, trace.processes, max_open(&trace));
	trace_free(&trace);
	return 0;
}
