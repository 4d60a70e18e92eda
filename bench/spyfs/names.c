/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names in folders: found, made, moved and removed. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"

/* @found is an O_PATH descriptor or a negative errno. */
static void reply_entry(fuse_req_t req, int found)
{
	struct fuse_entry_param entry;
	int error = found < 0 ? found : inode_enter(found, &entry);

	if (error)
		reply(req, error);
	else if (fuse_reply_entry(req, &entry) == -ENOENT) /* the caller was interrupted */
		inode_forget(entry.ino, 1);
}

void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int fd = begin(req, parent);

	reply_entry(req, fd < 0 ? fd : end(fd, inode_find_at(fd, name)));
}

void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	inode_forget(ino, lookups);
	fuse_reply_none(req);
}

void fs_forget_multi(fuse_req_t req, size_t n, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < n; i++)
		inode_forget(forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* Between begin() and end(): @name was made in @fd, or not; find it. */
static int made(int fd, const char *name, int result)
{
	return result ? result : inode_find_at(fd, name);
}

void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	int fd = begin(req, parent);

	reply_entry(req, fd < 0 ? fd : end(fd, made(fd, name, mknodat(fd, name, mode, device))));
}

void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	int fd = begin(req, parent);

	reply_entry(req, fd < 0 ? fd : end(fd, made(fd, name, mkdirat(fd, name, mode))));
}

void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	int fd = begin(req, parent);

	reply_entry(req, fd < 0 ? fd : end(fd, made(fd, name, symlinkat(target, fd, name))));
}

void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	int file = inode_open(ino);
	int fd = file < 0 ? file : begin(req, parent);

	if (fd >= 0) {
		int result = linkat(AT_FDCWD, fd_path(file).path, fd, name, AT_SYMLINK_FOLLOW);

		fd = end(fd, made(fd, name, result));
	}
	if (file >= 0)
		close(file);
	reply_entry(req, fd);
}

void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int fd = begin(req, parent);

	reply(req, fd < 0 ? fd : end(fd, unlinkat(fd, name, 0)));
}

void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	int fd = begin(req, parent);

	reply(req, fd < 0 ? fd : end(fd, unlinkat(fd, name, AT_REMOVEDIR)));
}

void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned int flags)
{
	int to = inode_open(new_parent);
	int from = to < 0 ? to : begin(req, parent);

	if (from >= 0)
		from = end(from, renameat2(from, name, to, new_name, flags));
	if (to >= 0)
		close(to);
	reply(req, from);
}

void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	int fd = begin(req, ino);
	ssize_t length = fd < 0 ? fd : readlinkat(fd, "", target, PATH_MAX);
	int error = fd < 0 ? fd : end(fd, (int)length);

	if (error < 0) {
		reply(req, error);
		return;
	}
	target[length] = '\0';
	fuse_reply_readlink(req, target);
}
