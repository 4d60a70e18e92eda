/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "handle.h"
#include "text.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list */
static struct handle *handles;

/* Once for each open, outside any read section: a module's attach() may be inside one. */
static void name_file(struct spy_file *file)
{
	char path[4096];
	ssize_t length = readlink(fd_path(file->fd).path, path, sizeof(path) - 1);
	const char *tail = path;

	path[length < 0 ? 0 : length] = '\0';
	if (length >= SPY_NAME)
		tail = path + length - (SPY_NAME - 1);
	strcpy(file->name, tail);
	text_clean(file->name);
}

int handle_open(fuse_req_t req, fuse_ino_t ino, int fd, struct handle **opened)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	struct handle *handle = calloc(1, sizeof(*handle));
	int error = handle ? 0 : -ENOMEM;

	if (!error) {
		*handle = (struct handle){ .file.fd = fd, .uid = caller->uid, .gid = caller->gid };
		/* The kernel may forget an inode before it releases its last handle. */
		handle->inode = inode_ref(ino);
		error = handle->inode ? 0 : -ESTALE;
	}
	if (!error) {
		inode_id(handle->inode, &handle->file.id);
		name_file(&handle->file);
		error = store->open(&handle->file, &handle->stream);
		if (error)
			inode_unref(handle->inode);
	}
	if (error) {
		close(fd);
		share_give(caller->uid);
		free(handle);
		return error;
	}
	pthread_mutex_lock(&lock);
	DL_APPEND(handles, handle);
	pthread_mutex_unlock(&lock);
	*opened = handle;
	return 0;
}

static void handle_free(struct handle *handle)
{
	store->close(handle->stream);
	close(handle->file.fd);
	share_give(handle->uid);
	inode_unref(handle->inode);
	free(handle);
}

void handle_close(struct handle *handle)
{
	pthread_mutex_lock(&lock);
	DL_DELETE(handles, handle);
	pthread_mutex_unlock(&lock);
	handle_free(handle);
}

unsigned long handles_stop(void)
{
	struct handle *handle, *next;
	unsigned long n = 0;

	DL_FOREACH_SAFE(handles, handle, next)
	{
		handle_free(handle);
		n++;
	}
	handles = NULL;
	return n;
}
