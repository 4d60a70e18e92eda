/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders that are open. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs.h"

struct directory {
	DIR *dir;
	uid_t uid;              /* whose share of descriptors it is from */
	off_t offset;           /* where dir is */
	struct dirent *pending; /* read, but did not fit into the last reply */
};

static struct directory *directory_of(const struct fuse_file_info *fi)
{
	return (struct directory *)fi->fh;
}

static int open_below(fuse_req_t req, fuse_ino_t ino)
{
	int fd = begin(req, ino);

	return fd < 0 ? fd : end(fd, open(fd_path(fd).path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int directory_open(fuse_req_t req, fuse_ino_t ino, struct directory *directory)
{
	int fd = open_below(req, ino);

	if (fd < 0)
		return fd;
	directory->dir = fdopendir(fd);
	if (!directory->dir) {
		close(fd);
		return -ENOMEM;
	}
	return 0;
}

static void directory_close(struct directory *directory)
{
	closedir(directory->dir);
	share_give(directory->uid);
	free(directory);
}

void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct directory *directory = calloc(1, sizeof(*directory));
	uid_t uid = fuse_req_ctx(req)->uid;
	int error = directory ? share_take(uid) : -ENOMEM;

	if (!error) {
		error = directory_open(req, ino, directory);
		if (error)
			share_give(uid);
	}
	if (error) {
		free(directory);
		reply(req, error);
		return;
	}
	directory->uid = uid;
	fi->fh = (uint64_t)directory;
	if (fuse_reply_open(req, fi) == -ENOENT) /* the caller was interrupted */
		directory_close(directory);
}

static struct dirent *next_entry(struct directory *directory)
{
	if (!directory->pending) {
		errno = 0;
		directory->pending = readdir(directory->dir);
	}
	return directory->pending;
}

/* Returns how much of @buffer was filled, or a negative errno. */
static ssize_t fill(fuse_req_t req, struct directory *directory, char *buffer, size_t size)
{
	struct dirent *entry;
	size_t used = 0;

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
	return !entry && errno && !used ? -errno : (ssize_t)used;
}

void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	struct directory *directory = directory_of(fi);
	char *buffer = malloc(size);
	ssize_t used;

	(void)ino;
	if (!buffer) {
		reply(req, -ENOMEM);
		return;
	}
	if (offset != directory->offset) {
		seekdir(directory->dir, offset);
		directory->offset = offset;
		directory->pending = NULL;
	}
	used = fill(req, directory, buffer, size);
	if (used < 0)
		reply(req, (int)used);
	else
		fuse_reply_buf(req, buffer, (size_t)used);
	free(buffer);
}

void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	directory_close(directory_of(fi));
	reply(req, 0);
}

void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	int fd = dirfd(directory_of(fi)->dir);

	(void)ino;
	reply(req, (datasync ? fdatasync(fd) : fsync(fd)) ? -errno : 0);
}
