/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that the kernel knows of: one struct inode for each, with a
 * descriptor that names it (O_PATH), and the opens of it.
 */
#ifndef SPYFS_INODE_H
#define SPYFS_INODE_H

#define FUSE_USE_VERSION 35

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <uthash.h>

#include "store.h"

struct handle;

struct inode {
	struct {
		uint64_t dev, ino;
	} key;
	int fd;
	uint64_t refs;        /* what the kernel looked up, and a reference for each handle */
	pthread_mutex_t lock; /* of: */
	struct handle *handles;
	UT_hash_handle hh;
};

/* One open of a file. */
struct handle {
	struct spy_file file;
	struct spy_stream *stream;
	struct inode *inode;
	struct handle *next, *prev;
};

int inodes_start(const char *source);

/* Close what is still open, forget everything.  Returns how many handles there were. */
unsigned long inodes_stop(void);

struct inode *inode_of(fuse_ino_t ino);

/* Find @name in @parent and fill in @entry, which the kernel is to be told of. */
int inode_lookup(struct inode *parent, const char *name, struct fuse_entry_param *entry);
void inode_forget(struct inode *inode, uint64_t refs);

/* A handle for @fd, which is the handle's from now on, on failure too (closed). */
int handle_open(struct inode *inode, int fd, struct handle **handle);
void handle_close(struct handle *handle);

#endif /* SPYFS_INODE_H */
