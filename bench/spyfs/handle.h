/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open files.  Each costs a descriptor, as each open folder does, so descriptors
 * are shared out: a user may take one more only while as many are free as that
 * user holds.  However many users are greedy, some stay free for the next one.
 */
#ifndef SPYFS_HANDLE_H
#define SPYFS_HANDLE_H

#include "inode.h"
#include "store.h"

#define DESCRIPTORS_MIN 64u /* fewer cannot be shared */

/* How many descriptors there are for open files and folders. */
void shares_start(unsigned long descriptors);

/* Errors: -ENFILE, @uid has its share; -ENOMEM.  Root may take all. */
int share_take(uid_t uid);
void share_give(uid_t uid);

/* One open of a file. */
struct handle {
	struct spy_file file;
	struct spy_stream *stream;
	struct inode *inode;
	uid_t uid; /* opened it */
	gid_t gid;
	struct handle *next, *prev;
};

/*
 * Make a handle of @fd, an open of @ino.  The caller of @req has taken a share;
 * on failure it is given back and @fd closed.
 */
int handle_open(fuse_req_t req, fuse_ino_t ino, int fd, struct handle **handle);
void handle_close(struct handle *handle);

/* Close all, and return how many there were. */
unsigned long handles_stop(void);

#endif /* SPYFS_HANDLE_H */
