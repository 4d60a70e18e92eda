/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of sctx-bench, and the numbers in the options of sctx-gbench.  In a file
 * of their own, so that the parser can be fuzzed.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "harness.h"

#ifdef __cplusplus
extern "C" {
#endif

struct options {
	struct bench_case c;
	struct bench_limit limit;
	const char *trace;
	const char *series;
	bool latency;
	bool frees;
	bool json;
	bool list; /* what there is, and nothing else */
};

/*
 * Fill @o from the command line.  Bad ones end the program with a message,
 * unless argp's @flags (ARGP_SILENT) say otherwise: then -EINVAL.
 */
int options_parse(int argc, char **argv, unsigned int flags, struct options *o);

/* A number from 1 to @max, or one above 0 and below @max; nothing else in @text. */
bool option_number(const char *text, uint64_t max, uint64_t *out);
bool option_positive(const char *text, double max, double *out);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_OPTIONS_H */
