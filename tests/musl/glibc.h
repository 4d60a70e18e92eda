/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests use of glibc's own: the rest is in glibc.c. */
#ifndef MUSL_GLIBC_H
#define MUSL_GLIBC_H

const char *strerrorname_np(int error);

#endif /* MUSL_GLIBC_H */
