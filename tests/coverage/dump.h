/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ahead of every C source in a coverage build: who ends in a hurry counts, too. */
#ifndef COVERAGE_DUMP_H
#define COVERAGE_DUMP_H

#ifndef __cplusplus

#include <stdlib.h>
#include <unistd.h>

void __gcov_dump(void);

#define _exit(status) (__gcov_dump(), _exit(status))
#define abort()       (__gcov_dump(), abort())

#endif
#endif /* COVERAGE_DUMP_H */
