/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of glibc's that musl lacks: one for test.c, and one that the packaged
 * liburcu calls, which was built with glibc.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *strerrorname_np(int error)
{
	return strerror(error);
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...);

int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
	va_list args;
	int printed;

	(void)flag;
	va_start(args, format);
	printed = vfprintf(file, format, args);
	va_end(args);
	return printed;
}
