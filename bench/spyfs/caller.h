/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Root serves other users, so each request is carried out with the rights of
 * the program that made it: the filesystem below decides, about the file that
 * is there now, and not the attributes that a kernel remembers.
 *
 * Credentials belong to a thread, and so does the umask, since each worker has
 * left the process's CLONE_FS.  A thread must not start another one between
 * begin and end: that one would inherit them.
 */
#ifndef SPYFS_CALLER_H
#define SPYFS_CALLER_H

#include "inode.h"

/* Once in each thread that serves.  Errors: those of unshare(2). */
int caller_thread_start(void);

/*
 * Take the caller's user, group, supplementary groups and umask.  A spyfs that
 * is not root's has no rights to give up: it takes the umask alone.
 * Errors: -EOVERFLOW, a user without a number here; -ENOMEM; -EMFILE.
 */
int caller_begin(fuse_req_t req);

/* Take @uid and @gid alone: for writes, where no permission is looked up. */
int caller_begin_as(uid_t uid, gid_t gid);

void caller_end(void);

/*
 * caller_begin(), and a descriptor (O_PATH) of @ino, negative errno on failure;
 * then the result of the call in between: 0, a descriptor, or a negative errno.
 * end() reads errno if @result is negative, and closes @fd.
 */
int begin(fuse_req_t req, fuse_ino_t ino);
int end(int fd, int result);

#endif /* SPYFS_CALLER_H */
