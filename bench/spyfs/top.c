/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `spyfs top`: the hottest streams and the registry's own figures. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "store.h"

#define ROWS 20

struct top {
	struct spy_row row[ROWS]; /* hottest first */
	int n;
};

static bool hotter(const struct spy_row *a, const struct spy_row *b)
{
	return a->heat != b->heat ? a->heat > b->heat : a->bytes > b->bytes;
}

static void add(const struct spy_row *row, void *arg)
{
	struct top *top = arg;
	int i = top->n;

	if (i == ROWS && !hotter(row, &top->row[--i]))
		return;
	while (i > 0 && hotter(row, &top->row[i - 1])) {
		top->row[i] = top->row[i - 1];
		i--;
	}
	top->row[i] = *row;
	if (top->n < ROWS)
		top->n++;
}

void top_print(FILE *file)
{
	struct top top = { .n = 0 };

	fputs("spyfs on ", file);
	store->summary(file);
	store->for_each(add, &top);
	fprintf(file, "\n%8s %8s %8s %8s %10s %8s  %s\n", "HEAT", "OPENS", "READS", "WRITES", "KIB",
		"MEAN us", "STREAM");
	for (int i = 0; i < top.n; i++) {
		const struct spy_row *row = &top.row[i];
		uint64_t calls = row->reads + row->writes;

		fprintf(file, "%8.1f %8llu %8llu %8llu %10.1f %8.1f  %s\n", row->heat,
			(unsigned long long)row->opens, (unsigned long long)row->reads,
			(unsigned long long)row->writes, (double)row->bytes / 1024,
			calls ? (double)row->ns / (double)calls / 1e3 : 0, row->name);
	}
}

int top_watch(const char *socket, bool once)
{
	bool terminal = isatty(STDOUT_FILENO);
	int status;

	if (once)
		return ctl_ask(socket, "top");
	do {
		if (terminal)
			fputs("\033[H\033[2J", stdout); /* clears it */
		status = ctl_ask(socket, "top");
		sleep(1);
	} while (status == EXIT_SUCCESS);
	return status;
}
