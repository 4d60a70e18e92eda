/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The UNIX socket: one line asks, the answer ends with the connection.  It is
 * never empty, and an error if it begins with "error: ".
 *
 *   load NAME[=ARG]   unload NAME   modules   metrics   top   GET /metrics
 */
#ifndef SPYFS_CTL_H
#define SPYFS_CTL_H

#include <stdbool.h>
#include <stdio.h>

/* Where the socket is if nobody says otherwise. */
const char *ctl_default_socket(void);

/* The server: a thread of its own, one question at a time. */
int ctl_start(const char *path);
void ctl_stop(void);

/* The client: ask, and print the answer.  Returns what exit(3) takes. */
int ctl_ask(const char *path, const char *question);

/* top.c */
void top_print(FILE *file);
int top_watch(const char *socket, bool once);

#endif /* SPYFS_CTL_H */
