/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SPYFS_FS_H
#define SPYFS_FS_H

#include "inode.h"

extern const struct fuse_lowlevel_ops fs_ops;

/* The path that stands for an O_PATH descriptor, where a call wants a path. */
struct fd_path {
	char path[32];
};
struct fd_path fd_path(int fd);

/* What is made belongs to who asked for it, where spyfs may give it to him. */
void give_to_caller(fuse_req_t req, struct inode *parent, const char *name);

/* io.c: what is done with open files. */
void io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void io_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void io_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *fi);
void io_copy(fuse_req_t req, fuse_ino_t from_ino, off_t from_offset, struct fuse_file_info *from,
	     fuse_ino_t to_ino, off_t to_offset, struct fuse_file_info *to, size_t size, int flags);
void io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void io_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)fi->fh;
}

#endif /* SPYFS_FS_H */
