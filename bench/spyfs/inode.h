/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that the kernel remembers.  What a user makes the kernel remember must
 * not cost descriptors, so a file below is kept as its file handle
 * (name_to_handle_at(2)).  A handle names the inode itself, deleted or renamed;
 * at a path users can put another file.
 *
 * open_by_handle_at(2) is root's.  Another user's spyfs, or one on a filesystem
 * without handles, keeps a descriptor (O_PATH) for each file, and serves its
 * own user alone: inodes_serve_others() says which.
 *
 * The kernel knows an inode by the number of the one below.
 */
#ifndef SPYFS_INODE_H
#define SPYFS_INODE_H

#define FUSE_USE_VERSION 35

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <sys/types.h>

#include "module.h"

struct inode;

int inodes_start(const char *source);
bool inodes_serve_others(void);
/* Forget everything.  No handle is open any more. */
void inodes_stop(void);

/* A descriptor (O_PATH) of @ino, to be closed.  Errors: -ESTALE, it is gone. */
int inode_open(fuse_ino_t ino);

/*
 * Enter the file at @fd (O_PATH), which is closed, and fill in @entry for the
 * kernel, which has one more reference then.
 * Errors: -EXDEV, another filesystem's; -ENOMEM.
 */
int inode_enter(int fd, struct fuse_entry_param *entry);

/* openat(2) with O_PATH.  Mounts below are not entered: another user may own them. */
int inode_find_at(int parent, const char *name);

void inode_forget(fuse_ino_t ino, uint64_t refs);

/* One more reference to an inode that the kernel has. */
struct inode *inode_ref(fuse_ino_t ino);
void inode_unref(struct inode *inode);
void inode_id(const struct inode *inode, struct sctx_id *id);

/* The path that stands for a descriptor, where a call needs a path. */
struct fd_path {
	char path[32];
};
struct fd_path fd_path(int fd);

#endif /* SPYFS_INODE_H */
