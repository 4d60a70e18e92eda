/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs that are explored, in suites.  A new one is a line in suites.c;
 * the pairs follow from the kinds' operations (ops.h).
 */
#ifndef EXPLORE_SUITES_H
#define EXPLORE_SUITES_H

#include "ops.h"

struct job {
	const char *suite;
	char text[sizeof(program.text)];
	int less;      /* preemptions than the bound */
	uint64_t seed; /* of random schedules; 0: all are explored */
	/* What came of it. */
	int bound; /* exhausted with so many preemptions, or -1 */
	long schedules;
	double seconds;
};

#define JOBS_MAX 16384

/* In memory that workers share. */
struct jobs {
	struct job job[JOBS_MAX];
	int count;
	int next; /* to be taken by a worker */
	int failed;
};

extern struct jobs *jobs;

void jobs_init(void);
/* A single program. */
void jobs_add(const char *suite, const char *text, int less, uint64_t seed);
/* The programs of a suite, or of "all".  False if there is none of that name. */
bool suite_add(const char *name, long random_programs, uint64_t seed);

#endif /* EXPLORE_SUITES_H */
