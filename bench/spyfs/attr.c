/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attributes, and extended ones with the ACLs among them. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs.h"

static int get_attr(fuse_ino_t ino, const struct fuse_file_info *fi, struct stat *attr)
{
	int fd = fi ? handle_of(fi)->file.fd : inode_open(ino);
	int error;

	if (fd < 0)
		return fd;
	error = fstat(fd, attr) ? -errno : 0;
	if (!fi)
		close(fd);
	return error;
}

void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;
	int error = get_attr(ino, fi, &attr);

	if (error)
		reply(req, error);
	else
		fuse_reply_attr(req, &attr, 1);
}

static struct timespec time_to_set(int to_set, int bit, int bit_now, struct timespec time)
{
	if (to_set & bit_now)
		time.tv_nsec = UTIME_NOW;
	else if (!(to_set & bit))
		time.tv_nsec = UTIME_OMIT;
	return time;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	const struct timespec times[2] = {
		time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
		time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
	};

	return utimensat(AT_FDCWD, fd_path(fd).path, times, 0);
}

static int set_owner(int fd, const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

/* truncate(2) would wait for the holder of a lease, and keep this thread from serving others. */
static int set_size(int fd, off_t size, struct fuse_file_info *fi)
{
	int file, result, error;

	if (fi)
		return ftruncate(handle_of(fi)->file.fd, size);
	file = open(fd_path(fd).path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return -1;
	result = ftruncate(file, size);
	error = errno;
	close(file);
	errno = error;
	return result;
}

#define SETID_BITS ((mode_t)(S_ISUID | S_ISGID))

static bool only_clears_setid(int fd, mode_t mode)
{
	struct stat now;

	return fstat(fd, &now) == 0 && ((now.st_mode ^ mode) & 07777 & ~SETID_BITS) == 0 &&
	       (mode & SETID_BITS & ~now.st_mode) == 0;
}

/*
 * Before a write the kernel clears the setuid and setgid bits in the writer's
 * name, which only the owner may do.  The write itself clears them below, since
 * it is made with the writer's rights, so nothing is left to do here.
 */
static int set_mode(int fd, mode_t mode)
{
	int error;

	if (chmod(fd_path(fd).path, mode) == 0)
		return 0;
	error = errno;
	if (error == EPERM && only_clears_setid(fd, mode))
		return 0;
	errno = error;
	return -1;
}

static int set_all(int fd, const struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_MODE && set_mode(fd, attr->st_mode))
		return -1;
	if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) && set_owner(fd, attr, to_set))
		return -1;
	if (to_set & FUSE_SET_ATTR_SIZE && set_size(fd, attr->st_size, fi))
		return -1;
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) && set_times(fd, attr, to_set))
		return -1;
	return 0;
}

void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi)
{
	struct stat now;
	int fd = begin(req, ino);
	int error = fd < 0 ? fd : end(fd, set_all(fd, attr, to_set, fi));

	if (!error)
		error = get_attr(ino, fi, &now);
	if (error) {
		reply(req, error);
		return;
	}
	if (to_set & FUSE_SET_ATTR_MODE) /* the write that clears them has not come yet */
		now.st_mode &= attr->st_mode | ~SETID_BITS;
	fuse_reply_attr(req, &now, 1);
}

void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs attr;
	int fd = begin(req, ino);
	int error = fd < 0 ? fd : end(fd, fstatvfs(fd, &attr));

	if (error)
		reply(req, error);
	else
		fuse_reply_statfs(req, &attr);
}

/* ----------------------------------------------------- extended attributes */

/* @length is that of @value, or of what there is if @size is 0, or a negative errno. */
static void reply_xattr(fuse_req_t req, const void *value, size_t size, int length)
{
	if (length < 0)
		reply(req, length);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)length);
	else
		fuse_reply_buf(req, value, (size_t)length);
}

/*
 * The kernel reads ACLs and capabilities for its own checks, capabilities at
 * each write.  That needs no right, and the caller's groups need not be read.
 */
static bool is_the_kernels(const char *name)
{
	return strncmp(name, "system.", 7) == 0 || strncmp(name, "security.", 9) == 0;
}

void fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	void *value = malloc(size ? size : 1);
	int fd = !value ? -ENOMEM : is_the_kernels(name) ? inode_open(ino) : begin(req, ino);

	if (fd < 0)
		reply_xattr(req, NULL, size, fd);
	else
		reply_xattr(req, value, size,
			    end(fd, (int)getxattr(fd_path(fd).path, name, value, size)));
	free(value);
}

void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *names = malloc(size ? size : 1);
	int fd = names ? begin(req, ino) : -ENOMEM;

	if (fd < 0)
		reply_xattr(req, NULL, size, fd);
	else
		reply_xattr(req, names, size,
			    end(fd, (int)listxattr(fd_path(fd).path, names, size)));
	free(names);
}

void fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	int fd = begin(req, ino);

	reply(req, fd < 0 ? fd : end(fd, setxattr(fd_path(fd).path, name, value, size, flags)));
}

void fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	int fd = begin(req, ino);

	reply(req, fd < 0 ? fd : end(fd, removexattr(fd_path(fd).path, name)));
}
