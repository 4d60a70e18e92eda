/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open files: each open, read and write is an event on its stream. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/*
 * O_APPEND would send what the kernel writes back from memory to the end, too:
 * fs_write() appends instead.  O_DIRECT needs aligned buffers.  Without
 * O_NONBLOCK a user's lease, or FIFO, would keep this thread from serving others.
 */
static int flags_below(int flags)
{
	return (flags & ~(O_NOFOLLOW | O_DIRECT | O_APPEND | O_CREAT | O_EXCL)) | O_NONBLOCK |
	       O_NOCTTY | O_CLOEXEC;
}

static int opened(fuse_req_t req, fuse_ino_t ino, int fd, struct fuse_file_info *fi)
{
	struct handle *handle;
	int error = handle_open(req, ino, fd, &handle);

	if (error)
		return error;
	fi->fh = (uint64_t)handle;
	tell(req, handle, (struct spy_event){ .type = SPY_OPENED });
	return 0;
}

static int open_below(fuse_req_t req, fuse_ino_t ino, int flags)
{
	int fd = begin(req, ino);

	return fd < 0 ? fd : end(fd, open(fd_path(fd).path, flags));
}

void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	int error = share_take(uid);

	if (!error) {
		int fd = open_below(req, ino, flags_below(fi->flags));

		if (fd < 0)
			share_give(uid);
		error = fd < 0 ? fd : opened(req, ino, fd, fi);
	}
	if (error)
		reply(req, error);
	else if (fuse_reply_open(req, fi) == -ENOENT) /* the caller was interrupted */
		handle_close(handle_of(fi));
}

/*
 * Another program may have made the file meanwhile: the filesystem below then
 * decides whether the caller may open it.
 */
static int create_below(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, int flags)
{
	const struct open_how how = { .flags = (uint64_t)(flags_below(flags) | O_CREAT |
							  O_NOFOLLOW | (flags & O_EXCL)),
				      .mode = mode & 07777,
				      .resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH };
	int fd = begin(req, parent);
	struct stat attr;

	if (fd >= 0)
		fd = end(fd, (int)syscall(SYS_openat2, fd, name, &how, sizeof(how)));
	if (fd >= 0 && (fstat(fd, &attr) || !S_ISREG(attr.st_mode))) {
		close(fd);
		return -ESTALE; /* the kernel looks again */
	}
	return fd;
}

/* The entry of what was opened, and not of what may have the name by now. */
static int enter_open(int fd, struct fuse_entry_param *entry)
{
	int path = open(fd_path(fd).path, O_PATH | O_CLOEXEC);

	return path < 0 ? -errno : inode_enter(path, entry);
}

static int create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		  struct fuse_file_info *fi, struct fuse_entry_param *entry)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	int fd = create_below(req, parent, name, mode, fi->flags);
	int error = fd < 0 ? fd : enter_open(fd, entry);

	if (error) {
		if (fd >= 0)
			close(fd);
		share_give(uid);
		return error;
	}
	error = opened(req, entry->ino, fd, fi);
	if (error)
		inode_forget(entry->ino, 1);
	return error;
}

void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	int error = share_take(fuse_req_ctx(req)->uid);

	if (!error)
		error = create(req, parent, name, mode, fi, &entry);
	if (error) {
		reply(req, error);
	} else if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		handle_close(handle_of(fi));
		inode_forget(entry.ino, 1);
	}
}

void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_close(handle_of(fi));
	reply(req, 0);
}

/* -------------------------------------------------------------------- read */

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	char *buffer = malloc(size);
	uint64_t start = now_ns();
	ssize_t got;

	(void)ino;
	if (!buffer) {
		reply(req, -ENOMEM);
		return;
	}
	got = pread(handle->file.fd, buffer, size, offset);
	if (got < 0) {
		reply(req, -errno);
	} else {
		tell(req, handle,
		     (struct spy_event){ .type = SPY_READ,
					 .asked = size,
					 .bytes = (uint64_t)got,
					 .ns = now_ns() - start });
		fuse_reply_buf(req, buffer, (size_t)got);
	}
	free(buffer);
}

/* ------------------------------------------------------------------- write */

/* A write, a copy or an allocation, from its charge to its end. */
struct change {
	fuse_req_t req;
	struct handle *handle;
	uint64_t asked, start;
	struct spy_charge charge;
};

/* On failure the change has ended and the caller has its answer. */
static bool change_begin(struct change *change, fuse_req_t req, struct handle *handle,
			 uint64_t asked, bool written_back)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	struct spy_event event = { .charge = &change->charge, .asked = asked };
	int error;

	*change = (struct change){ .req = req, .handle = handle, .asked = asked };
	event.type = SPY_CHARGE;
	error = tell(req, handle, event);
	if (!error)
		error = written_back ? caller_begin_as(handle->uid, handle->gid)
				     : caller_begin_as(caller->uid, caller->gid);
	change->start = now_ns();
	if (!error)
		return true;
	event.type = SPY_REFUSED;
	tell(req, handle, event);
	reply(req, error);
	return false;
}

/* Returns @done, or a negative errno if it is negative. */
static ssize_t change_end(struct change *change, enum spy_event_type type, ssize_t done)
{
	ssize_t result = done < 0 ? -errno : done;

	caller_end();
	tell(change->req, change->handle,
	     (struct spy_event){ .type = type,
				 .charge = &change->charge,
				 .asked = change->asked,
				 .bytes = done < 0 ? 0 : (uint64_t)done,
				 .ns = now_ns() - change->start });
	return result;
}

static void reply_written(fuse_req_t req, ssize_t done)
{
	if (done < 0)
		reply(req, (int)done);
	else
		fuse_reply_write(req, (size_t)done);
}

/*
 * The kernel names no user for pages that it writes back: they are written with
 * the rights of the handle's opener.  They never append.
 */
void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *fi)
{
	const struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
	struct handle *handle = handle_of(fi);
	bool append = fi->flags & O_APPEND && !fi->writepage;
	struct change change;

	(void)ino;
	if (change_begin(&change, req, handle, size, fi->writepage))
		reply_written(req, change_end(&change, SPY_WROTE,
					      pwritev2(handle->file.fd, &iov, 1, offset,
						       append ? RWF_APPEND : 0)));
}

void fs_copy(fuse_req_t req, fuse_ino_t from_ino, off_t from_offset, struct fuse_file_info *from,
	     fuse_ino_t to_ino, off_t to_offset, struct fuse_file_info *to, size_t size, int flags)
{
	struct handle *handle = handle_of(to);
	struct change change;

	(void)from_ino;
	(void)to_ino;
	if (change_begin(&change, req, handle, size, false))
		reply_written(req,
			      change_end(&change, SPY_WROTE,
					 copy_file_range(handle_of(from)->file.fd, &from_offset,
							 handle->file.fd, &to_offset, size,
							 (unsigned int)flags)));
}

/* Punching and collapsing take no room; the other modes may take all of @length. */
void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi)
{
	bool frees = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE);
	uint64_t asked = frees ? 0 : (uint64_t)length;
	struct handle *handle = handle_of(fi);
	struct change change;
	int result;

	(void)ino;
	if (!change_begin(&change, req, handle, asked, false))
		return;
	result = fallocate(handle->file.fd, mode, offset, length);
	result = (int)change_end(&change, SPY_ALLOCATED, result ? result : (ssize_t)asked);
	reply(req, result < 0 ? result : 0);
}

/* -------------------------------------------------------------------- rest */

void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = handle_of(fi)->file.fd;

	(void)ino;
	reply(req, (datasync ? fdatasync(fd) : fsync(fd)) ? -errno : 0);
}

/* For SEEK_DATA and SEEK_HOLE: the kernel does the others by itself. */
void fs_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
	off_t found = lseek(handle_of(fi)->file.fd, offset, whence);

	(void)ino;
	if (found < 0)
		reply(req, -errno);
	else
		fuse_reply_lseek(req, found);
}
