/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utlist.h>

#include "inode.h"

static struct inode root;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the table and all refs */
static struct inode *table;

int inodes_start(const char *source)
{
	struct stat attr;

	root.fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root.fd < 0 || fstat(root.fd, &attr))
		return -errno;
	root.key.dev = attr.st_dev;
	root.key.ino = attr.st_ino;
	root.refs = 2; /* never forgotten */
	pthread_mutex_init(&root.lock, NULL);
	HASH_ADD(hh, table, key, sizeof(root.key), &root);
	return 0;
}

struct inode *inode_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &root : (struct inode *)ino;
}

/* The inode of @fd, with one more reference; NULL without memory. */
static struct inode *inode_get(int fd, const struct stat *attr)
{
	struct inode key = { .key = { attr->st_dev, attr->st_ino } };
	struct inode *inode;

	pthread_mutex_lock(&lock);
	HASH_FIND(hh, table, &key.key, sizeof(key.key), inode);
	if (inode) {
		close(fd);
	} else {
		inode = calloc(1, sizeof(*inode));
		if (inode) {
			inode->key = key.key;
			inode->fd = fd;
			pthread_mutex_init(&inode->lock, NULL);
			HASH_ADD(hh, table, key, sizeof(inode->key), inode);
		}
	}
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&lock);
	return inode;
}

int inode_lookup(struct inode *parent, const char *name, struct fuse_entry_param *entry)
{
	struct inode *inode;
	int fd = openat(parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memset(entry, 0, sizeof(*entry));
	if (fstat(fd, &entry->attr)) {
		int error = -errno;

		close(fd);
		return error;
	}
	inode = inode_get(fd, &entry->attr);
	if (!inode) {
		close(fd);
		return -ENOMEM;
	}
	entry->ino = inode == &root ? FUSE_ROOT_ID : (fuse_ino_t)inode;
	entry->attr_timeout = 1;
	entry->entry_timeout = 1;
	return 0;
}

static void inode_free(struct inode *inode)
{
	close(inode->fd);
	pthread_mutex_destroy(&inode->lock);
	if (inode != &root)
		free(inode);
}

void inode_forget(struct inode *inode, uint64_t refs)
{
	bool last;

	pthread_mutex_lock(&lock);
	inode->refs -= refs;
	last = inode->refs == 0;
	if (last)
		HASH_DEL(table, inode);
	pthread_mutex_unlock(&lock);
	if (last)
		inode_free(inode);
}

/*
 * The kernel may have its forget of an inode overtake its release of a handle:
 * so each handle has a reference of its own.
 */
int handle_open(struct inode *inode, int fd, struct handle **opened)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int error = -ENOMEM;

	if (handle) {
		handle->inode = inode;
		handle->file.fd = fd;
		handle->file.id.volume = inode->key.dev;
		handle->file.id.file[0] = inode->key.ino;
		error = store->open(&handle->file, &handle->stream);
	}
	if (error) {
		close(fd);
		free(handle);
		return error;
	}
	pthread_mutex_lock(&lock);
	inode->refs++;
	pthread_mutex_unlock(&lock);
	pthread_mutex_lock(&inode->lock);
	DL_APPEND(inode->handles, handle);
	pthread_mutex_unlock(&inode->lock);
	*opened = handle;
	return 0;
}

void handle_close(struct handle *handle)
{
	struct inode *inode = handle->inode;

	pthread_mutex_lock(&inode->lock);
	DL_DELETE(inode->handles, handle);
	pthread_mutex_unlock(&inode->lock);
	store->close(handle->stream);
	close(handle->file.fd);
	free(handle);
	inode_forget(inode, 1);
}

unsigned long inodes_stop(void)
{
	struct inode *inode, *next;
	unsigned long handles = 0;

	HASH_ITER(hh, table, inode, next)
	{
		inode->refs++;
		while (inode->handles) {
			handle_close(inode->handles);
			handles++;
		}
		inode_forget(inode, inode->refs);
	}
	return handles;
}
