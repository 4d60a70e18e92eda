/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every other file may use: the end of the process, the owners' identities. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "internal.h"

const char bench_owner[BENCH_OWNERS];
char bench_current[256] = "bench";

void bench_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", bench_current);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}
