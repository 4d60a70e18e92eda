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

/* Take @uid and @gid alone, for writes: open has checked the permissions. */
int caller_begin_as(uid_t uid, gid_t gid);

void caller_end(void);

/*
 * begin() calls caller_begin() and returns a descriptor (O_PATH) of @ino, or a
 * negative errno.  end() takes that descriptor and the result of the system call
 * in between, and returns the result, or a negative errno if it was negative.
 */
int begin(fuse_req_t req, fuse_ino_t ino);
int end(int fd, int result);

#endif /* SPYFS_CALLER_H */
