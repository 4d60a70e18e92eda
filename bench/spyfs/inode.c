/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inode.h"
#include "table.h"

#define HANDLE_MAX 40 /* bytes; the longest that local filesystems have */

/* struct file_handle, with room. */
struct below {
	struct file_handle head;
	unsigned char bytes[HANDLE_MAX];
};

struct inode {
	fuse_ino_t ino; /* the key */
	uint64_t refs;
	int fd;              /* O_PATH, where handles cannot be had */
	uint32_t generation; /* changes when the filesystem below uses a number again */
	struct below below;
	UT_hash_handle hh;
};

uint32_t table_secret;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the table and what is in it */
static struct inode *table;
static int root_fd = -1; /* of open_by_handle_at() */
static struct stat root;
static bool by_handle;

struct fd_path fd_path(int fd)
{
	struct fd_path path;

	snprintf(path.path, sizeof(path.path), "/proc/self/fd/%d", fd);
	return path;
}

/* ------------------------------------------------------- what is below */

/* The kernel calls the root 1: the file with that number, if any, gets the root's. */
static fuse_ino_t number_of(ino_t below)
{
	if (below == root.st_ino)
		return FUSE_ROOT_ID;
	return below == FUSE_ROOT_ID ? root.st_ino : below;
}

static int below_get(int fd, struct below *below)
{
	int mount;

	memset(below, 0, sizeof(*below));
	below->head.handle_bytes = HANDLE_MAX;
	if (name_to_handle_at(fd, "", &below->head, &mount, AT_EMPTY_PATH) == 0)
		return 0;
	below->head.handle_bytes = 0; /* it has become what would be needed */
	return -errno;
}

static int below_open(struct below *below)
{
	int fd = open_by_handle_at(root_fd, &below->head, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static uint32_t below_generation(const struct below *below)
{
	return XXH32(below->head.f_handle, below->head.handle_bytes, 0);
}

int inode_find_at(int parent, const char *name)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				      .resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH };

	return (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
}

/* --------------------------------------------------------------- the table */

/* The lock is held. */
static struct inode *find(fuse_ino_t ino)
{
	struct inode *inode;

	HASH_FIND(hh, table, &ino, sizeof(ino), inode);
	return inode;
}

/* The lock is held.  Without handles the inode keeps @fd. */
static struct inode *add(fuse_ino_t ino, int fd)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->ino = ino;
	inode->fd = -1;
	HASH_ADD(hh, table, ino, sizeof(inode->ino), inode);
	if (!TABLE_HAS(inode)) {
		free(inode);
		return NULL;
	}
	if (!by_handle)
		inode->fd = fd;
	return inode;
}

/* The lock is held. */
static void drop(struct inode *inode)
{
	HASH_DEL(table, inode);
	if (inode->fd >= 0)
		close(inode->fd);
	free(inode);
}

/*
 * A file with the number of one that the kernel still remembers, and another
 * generation, takes its place: the old one was deleted, and the kernel will
 * see by the generation that it is gone.
 */
static int enter(int fd, const struct stat *attr, const struct below *below,
		 struct fuse_entry_param *entry)
{
	struct inode *inode = find(number_of(attr->st_ino));
	bool kept = false;

	if (!inode) {
		inode = add(number_of(attr->st_ino), fd);
		if (!inode)
			return -ENOMEM;
		kept = !by_handle;
	}
	inode->below = *below;
	inode->generation = below_generation(below);
	inode->refs++;
	*entry = (struct fuse_entry_param){ .ino = inode->ino,
					    .generation = inode->generation,
					    .attr = *attr,
					    .attr_timeout = 1,
					    .entry_timeout = 1 };
	return kept;
}

int inode_enter(int fd, struct fuse_entry_param *entry)
{
	struct below below;
	struct stat attr;
	int error = fstat(fd, &attr) ? -errno : 0;
	int kept = 0;

	if (!error && (attr.st_dev != root.st_dev || attr.st_ino == 0))
		error = -EXDEV; /* a subvolume, with numbers of its own */
	if (!error && below_get(fd, &below) && by_handle)
		error = -EXDEV;
	if (!error) {
		pthread_mutex_lock(&lock);
		kept = enter(fd, &attr, &below, entry);
		pthread_mutex_unlock(&lock);
	}
	if (error || kept <= 0)
		close(fd);
	return error ? error : kept < 0 ? kept : 0;
}

int inode_open(fuse_ino_t ino)
{
	struct below below;
	struct inode *inode;
	int fd = -ESTALE;

	pthread_mutex_lock(&lock);
	inode = find(ino);
	if (inode && by_handle) {
		below = inode->below;
	} else if (inode) {
		fd = fcntl(inode->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			fd = -errno;
	}
	pthread_mutex_unlock(&lock);
	return inode && by_handle ? below_open(&below) : fd;
}

struct inode *inode_ref(fuse_ino_t ino)
{
	struct inode *inode;

	pthread_mutex_lock(&lock);
	inode = find(ino);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&lock);
	return inode;
}

void inode_unref(struct inode *inode)
{
	pthread_mutex_lock(&lock);
	if (--inode->refs == 0)
		drop(inode);
	pthread_mutex_unlock(&lock);
}

void inode_forget(fuse_ino_t ino, uint64_t refs)
{
	struct inode *inode;

	pthread_mutex_lock(&lock);
	inode = find(ino);
	if (inode) {
		inode->refs -= refs < inode->refs ? refs : inode->refs;
		if (inode->refs == 0)
			drop(inode);
	}
	pthread_mutex_unlock(&lock);
}

void inode_id(const struct inode *inode, struct sctx_id *id)
{
	*id = (struct sctx_id){ .volume = root.st_dev, .file = { inode->ino, inode->generation } };
}

/* ------------------------------------------------------------- start, stop */

static bool handles_work(int fd)
{
	struct below below;
	int opened;

	if (below_get(fd, &below))
		return false;
	opened = below_open(&below);
	if (opened >= 0)
		close(opened);
	return opened >= 0;
}

int inodes_start(const char *source)
{
	struct fuse_entry_param entry;
	int fd = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (getrandom(&table_secret, sizeof(table_secret), 0) != sizeof(table_secret))
		return -EIO;
	if (fd < 0 || fstat(fd, &root))
		return -errno;
	root_fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	by_handle = root_fd >= 0 && geteuid() == 0 && handles_work(fd);
	/* The kernel never looks the root up: this reference stays. */
	error = inode_enter(fd, &entry);
	return error;
}

bool inodes_serve_others(void)
{
	return by_handle;
}

void inodes_stop(void)
{
	struct inode *inode, *next;

	HASH_ITER(hh, table, inode, next)
	drop(inode);
	if (root_fd >= 0)
		close(root_fd);
}
