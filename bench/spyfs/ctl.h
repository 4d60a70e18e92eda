/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The UNIX socket: a client sends one line, the answer ends with the
 * connection.  An answer is never empty; an error begins with "error: ".
 *
 *   load NAME[=ARG]   unload NAME   modules   metrics   top   GET /metrics
 */
#ifndef SPYFS_CTL_H
#define SPYFS_CTL_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/un.h>

#define CTL_QUESTION_MAX 8192 /* bytes, an HTTP header included */

/* The default path of the socket. */
const char *ctl_default_socket(void);

/* Fill in @address.  Errors: -ENAMETOOLONG. */
int ctl_address(const char *path, struct sockaddr_un *address);

/*
 * The server: one thread for all clients.  It starts a socket at @path, where
 * it replaces a stale one of its own and nothing else.
 * Errors: -EADDRINUSE, a server answers there; -EEXIST, something else is
 * there; -EPERM, other users could replace what is there.
 */
int ctl_start(const char *path);
void ctl_stop(void);

/* The client: ask, and print the answer.  Returns an exit status. */
int ctl_ask(const char *path, const char *question);

/* top.c */
void top_print(FILE *file);
int top_watch(const char *socket, bool once);

#endif /* SPYFS_CTL_H */
