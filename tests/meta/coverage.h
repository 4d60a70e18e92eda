/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ahead of every C source in a coverage build: who ends in a hurry counts, too. */
#ifndef COVERAGE_DUMP_H
#define COVERAGE_DUMP_H

#ifndef __cplusplus

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);

/* Not the compiler's own, which forgets what the child did within fork(). */
pid_t plain_fork(void) __asm__("fork");

#define fork() plain_fork()

#define _exit(status) (__gcov_dump(), _exit(status))
#define abort()       (__gcov_dump(), abort())

#endif
#endif /* COVERAGE_DUMP_H */
