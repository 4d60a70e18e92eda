/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open files: each open, read and write is an event on its stream. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int tell(fuse_req_t req, struct handle *handle, struct spy_event event)
{
	event.file = &handle->file;
	event.uid = fuse_req_ctx(req)->uid;
	return store->event(handle->stream, &event);
}

/* ------------------------------------------------------------- open, close */

/* O_DIRECT is between the program and the kernel: our buffers are not aligned. */
static int flags_below(int flags)
{
	return (flags & ~(O_NOFOLLOW | O_DIRECT)) | O_CLOEXEC;
}

static int opened(fuse_req_t req, struct inode *inode, int fd, struct fuse_file_info *fi)
{
	struct handle *handle;
	int error = handle_open(inode, fd, &handle);

	if (error)
		return error;
	fi->fh = (uint64_t)handle;
	tell(req, handle, (struct spy_event){ .type = SPY_OPENED });
	return 0;
}

void io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = inode_of(ino);
	int fd = open(fd_path(inode->fd).path, flags_below(fi->flags));
	int error = fd < 0 ? -errno : opened(req, inode, fd, fi);

	if (error)
		fuse_reply_err(req, -error);
	else if (fuse_reply_open(req, fi) == -ENOENT) /* the caller was interrupted */
		handle_close(handle_of(fi));
}

void io_create(fuse_req_t req, fuse_ino_t parent_ino, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct inode *parent = inode_of(parent_ino);
	struct fuse_entry_param entry;
	int fd = openat(parent->fd, name, flags_below(fi->flags) | O_CREAT | O_NOFOLLOW, mode);
	int error = fd < 0 ? -errno : 0;

	if (!error) {
		give_to_caller(req, parent, name);
		error = inode_lookup(parent, name, &entry);
		if (error)
			close(fd);
	}
	if (!error) {
		error = opened(req, inode_of(entry.ino), fd, fi);
		if (error)
			inode_forget(inode_of(entry.ino), 1);
	}
	if (error) {
		fuse_reply_err(req, -error);
	} else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		handle_close(handle_of(fi));
		inode_forget(inode_of(entry.ino), 1);
	}
}

void io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_close(handle_of(fi));
	fuse_reply_err(req, 0);
}

/* ------------------------------------------------------------- read, write */

void io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	char *buffer = malloc(size);
	uint64_t begin = now_ns();
	ssize_t got;

	(void)ino;
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	got = pread(handle->file.fd, buffer, size, offset);
	if (got < 0) {
		fuse_reply_err(req, errno);
	} else {
		tell(req, handle,
		     (struct spy_event){ .type = SPY_READ,
					 .asked = size,
					 .bytes = (size_t)got,
					 .ns = now_ns() - begin });
		fuse_reply_buf(req, buffer, (size_t)got);
	}
	free(buffer);
}

/* What was announced with SPY_WRITE has happened. */
static void wrote(fuse_req_t req, struct handle *handle, size_t asked, ssize_t done, uint64_t begin)
{
	int error = errno;

	tell(req, handle,
	     (struct spy_event){ .type = SPY_WROTE,
				 .asked = asked,
				 .bytes = done < 0 ? 0 : (size_t)done,
				 .ns = now_ns() - begin });
	if (done < 0)
		fuse_reply_err(req, error);
	else
		fuse_reply_write(req, (size_t)done);
}

void io_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	int error = tell(req, handle, (struct spy_event){ .type = SPY_WRITE, .asked = size });
	uint64_t begin = now_ns();

	(void)ino;
	if (error)
		fuse_reply_err(req, -error);
	else
		wrote(req, handle, size, pwrite(handle->file.fd, data, size, offset), begin);
}

void io_copy(fuse_req_t req, fuse_ino_t from_ino, off_t from_offset, struct fuse_file_info *from,
	     fuse_ino_t to_ino, off_t to_offset, struct fuse_file_info *to, size_t size, int flags)
{
	struct handle *handle = handle_of(to);
	int error = tell(req, handle, (struct spy_event){ .type = SPY_WRITE, .asked = size });
	uint64_t begin = now_ns();

	(void)from_ino;
	(void)to_ino;
	if (error)
		fuse_reply_err(req, -error);
	else
		wrote(req, handle, size,
		      copy_file_range(handle_of(from)->file.fd, &from_offset, handle->file.fd,
				      &to_offset, size, (unsigned int)flags),
		      begin);
}

/* -------------------------------------------------------------------- rest */

void io_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = handle_of(fi)->file.fd;

	(void)ino;
	fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) ? errno : 0);
}

void io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_err(req, fallocate(handle_of(fi)->file.fd, mode, offset, length) ? errno : 0);
}

/* For SEEK_DATA and SEEK_HOLE: the kernel does the others by itself. */
void io_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	off_t found = lseek(handle_of(fi)->file.fd, offset, whence);

	(void)ino;
	if (found < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, found);
}
