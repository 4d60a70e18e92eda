/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a text is a trace, told by regular expressions and a table of opens. */
#ifndef FUZZ_TRACE_VALID_H
#define FUZZ_TRACE_VALID_H

#include <stdbool.h>
#include <stddef.h>

bool trace_valid(const char *text, size_t length);

#endif /* FUZZ_TRACE_VALID_H */
