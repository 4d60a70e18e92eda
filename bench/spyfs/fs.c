/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filesystem's names and attributes: passed through, nobody is told. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs.h"

struct fd_path fd_path(int fd)
{
	struct fd_path path;

	snprintf(path.path, sizeof(path.path), "/proc/self/fd/%d", fd);
	return path;
}

static void reply(fuse_req_t req, int result)
{
	fuse_reply_err(req, result ? errno : 0);
}

static void fs_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV; /* the filesystem below does it, if it does */
}

/* ------------------------------------------------------------------- names */

static void reply_entry(fuse_req_t req, struct inode *parent, const char *name)
{
	struct fuse_entry_param entry;
	int error = inode_lookup(parent, name, &entry);

	if (error)
		fuse_reply_err(req, -error);
	else if (fuse_reply_entry(req, &entry) == -ENOENT) /* the caller was interrupted */
		inode_forget(inode_of(entry.ino), 1);
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_entry(req, inode_of(parent), name);
}

static void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	inode_forget(inode_of(ino), lookups);
	fuse_reply_none(req);
}

static void fs_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < n; i++)
		inode_forget(inode_of(forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

void give_to_caller(fuse_req_t req, struct inode *parent, const char *name)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	struct stat attr;
	gid_t gid = caller->gid;

	if (geteuid() != 0 || (caller->uid == 0 && caller->gid == 0))
		return;
	if (fstat(parent->fd, &attr) == 0 && attr.st_mode & S_ISGID)
		gid = (gid_t)-1; /* inherited from the directory */
	if (fchownat(parent->fd, name, caller->uid, gid, AT_SYMLINK_NOFOLLOW))
		perror("spyfs: chown");
}

/* @name was made in @parent, or not. */
static void made(fuse_req_t req, struct inode *parent, const char *name, int result)
{
	if (result) {
		reply(req, result);
		return;
	}
	give_to_caller(req, parent, name);
	reply_entry(req, parent, name);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode, dev_t device)
{
	struct inode *parent = inode_of(ino);

	made(req, parent, name, mknodat(parent->fd, name, mode, device));
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name, mode_t mode)
{
	struct inode *parent = inode_of(ino);

	made(req, parent, name, mkdirat(parent->fd, name, mode));
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t ino, const char *name)
{
	struct inode *parent = inode_of(ino);

	made(req, parent, name, symlinkat(target, parent->fd, name));
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent_ino, const char *name)
{
	struct inode *parent = inode_of(parent_ino);

	if (linkat(AT_FDCWD, fd_path(inode_of(ino)->fd).path, parent->fd, name, AT_SYMLINK_FOLLOW))
		reply(req, -1);
	else
		reply_entry(req, parent, name);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req, unlinkat(inode_of(parent)->fd, name, 0));
}

static void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply(req, unlinkat(inode_of(parent)->fd, name, AT_REMOVEDIR));
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned int flags)
{
	reply(req,
	      renameat2(inode_of(parent)->fd, name, inode_of(new_parent)->fd, new_name, flags));
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[4096 + 1];
	ssize_t length = readlinkat(inode_of(ino)->fd, "", target, sizeof(target) - 1);

	if (length < 0) {
		reply(req, -1);
		return;
	}
	target[length] = '\0';
	fuse_reply_readlink(req, target);
}

/* -------------------------------------------------------------- attributes */

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;

	(void)fi;
	if (fstat(inode_of(ino)->fd, &attr))
		reply(req, -1);
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

static int set_size(int fd, off_t size, struct fuse_file_info *fi)
{
	return fi ? ftruncate(handle_of(fi)->file.fd, size) : truncate(fd_path(fd).path, size);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	int fd = inode_of(ino)->fd;

	if ((to_set & FUSE_SET_ATTR_MODE && chmod(fd_path(fd).path, attr->st_mode)) ||
	    (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID) && set_owner(fd, attr, to_set)) ||
	    (to_set & FUSE_SET_ATTR_SIZE && set_size(fd, attr->st_size, fi)) ||
	    (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME) && set_times(fd, attr, to_set)))
		reply(req, -1);
	else
		fs_getattr(req, ino, fi);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs attr;

	if (fstatvfs(inode_of(ino)->fd, &attr))
		reply(req, -1);
	else
		fuse_reply_statfs(req, &attr);
}

/* A size of 0 asks how much there is. */
static void reply_xattr(fuse_req_t req, const void *value, size_t size, ssize_t length)
{
	if (length < 0)
		reply(req, -1);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)length);
	else
		fuse_reply_buf(req, value, (size_t)length);
}

static void fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	void *value = malloc(size);

	if (size && !value)
		fuse_reply_err(req, ENOMEM);
	else
		reply_xattr(req, value, size,
			    getxattr(fd_path(inode_of(ino)->fd).path, name, value, size));
	free(value);
}

static void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	void *names = malloc(size);

	if (size && !names)
		fuse_reply_err(req, ENOMEM);
	else
		reply_xattr(req, names, size,
			    listxattr(fd_path(inode_of(ino)->fd).path, names, size));
	free(names);
}

static void fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	reply(req, setxattr(fd_path(inode_of(ino)->fd).path, name, value, size, flags));
}

static void fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	reply(req, removexattr(fd_path(inode_of(ino)->fd).path, name));
}

/* ------------------------------------------------------------- directories */

struct directory {
	DIR *dir;
	off_t offset;           /* where dir is */
	struct dirent *pending; /* read, but did not fit into the last reply */
};

static void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	int fd = openat(inode_of(ino)->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!directory || fd < 0 || !(directory->dir = fdopendir(fd))) {
		reply(req, -1);
		if (fd >= 0)
			close(fd);
		free(directory);
		return;
	}
	fi->fh = (uint64_t)directory;
	fuse_reply_open(req, fi);
}

static struct dirent *next_entry(struct directory *directory)
{
	if (!directory->pending) {
		errno = 0;
		directory->pending = readdir(directory->dir);
	}
	return directory->pending;
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	struct directory *directory = (struct directory *)fi->fh;
	char *buffer = malloc(size);
	struct dirent *entry;
	size_t used = 0;

	(void)ino;
	if (!buffer) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (offset != directory->offset) {
		seekdir(directory->dir, offset);
		directory->offset = offset;
		directory->pending = NULL;
	}
	while ((entry = next_entry(directory))) {
		const struct stat attr = { .st_ino = entry->d_ino,
					   .st_mode = DTTOIF(entry->d_type) };
		size_t length = fuse_add_direntry(req, buffer + used, size - used, entry->d_name,
						  &attr, entry->d_off);

		if (length > size - used)
			break;
		used += length;
		directory->offset = entry->d_off;
		directory->pending = NULL;
	}
	if (!entry && errno && !used)
		reply(req, -1);
	else
		fuse_reply_buf(req, buffer, used);
	free(buffer);
}

static void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct directory *directory = (struct directory *)fi->fh;

	(void)ino;
	closedir(directory->dir);
	free(directory);
	fuse_reply_err(req, 0);
}

static void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = dirfd(((struct directory *)fi->fh)->dir);

	(void)ino;
	reply(req, datasync ? fdatasync(fd) : fsync(fd));
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = fs_init,
	.lookup = fs_lookup,
	.forget = fs_forget,
	.forget_multi = fs_forget_multi,
	.mknod = fs_mknod,
	.mkdir = fs_mkdir,
	.symlink = fs_symlink,
	.link = fs_link,
	.unlink = fs_unlink,
	.rmdir = fs_rmdir,
	.rename = fs_rename,
	.readlink = fs_readlink,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.statfs = fs_statfs,
	.getxattr = fs_getxattr,
	.listxattr = fs_listxattr,
	.setxattr = fs_setxattr,
	.removexattr = fs_removexattr,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.releasedir = fs_releasedir,
	.fsyncdir = fs_fsyncdir,
	.open = io_open,
	.create = io_create,
	.read = io_read,
	.write = io_write,
	.copy_file_range = io_copy,
	.fsync = io_fsync,
	.fallocate = io_fallocate,
	.lseek = io_lseek,
	.release = io_release,
};
