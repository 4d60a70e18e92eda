/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_log.h"

#define PENDING_MAX ((size_t)64 << 20) /* bytes in memory: the disk is too slow beyond */

struct buffer {
	char *text;
	size_t used, size;
};

static int fd = -1;
static pthread_t writer;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct buffer pending;
static bool ending;
static uint64_t lost;

/* ------------------------------------------------------------------ writer */

static uint64_t lines_in(const char *text, size_t length)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	return lines;
}

/* Returns how many lines were lost. */
static uint64_t write_all(const struct buffer *buffer)
{
	size_t done = 0;

	while (done < buffer->used) {
		ssize_t n = write(fd, buffer->text + done, buffer->used - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	return lines_in(buffer->text + done, buffer->used - done);
}

static void *writer_main(void *arg)
{
	struct buffer writing = { NULL, 0, 0 };

	pthread_mutex_lock(&lock);
	while (pending.used || !ending) {
		struct buffer empty = writing;
		uint64_t lines;

		if (!pending.used) {
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		writing = pending;
		pending = empty;
		pthread_mutex_unlock(&lock);
		lines = write_all(&writing);
		writing.used = 0;
		pthread_mutex_lock(&lock);
		lost += lines;
	}
	pthread_mutex_unlock(&lock);
	free(writing.text);
	return arg;
}

/* ------------------------------------------------------------------- lines */

/* The lock is held. */
static bool make_room(size_t length)
{
	size_t size = pending.size ? pending.size : 4096;
	char *text;

	while (size < pending.used + length)
		size *= 2;
	if (size == pending.size)
		return true;
	text = size <= PENDING_MAX ? realloc(pending.text, size) : NULL;
	if (!text)
		return false;
	pending.text = text;
	pending.size = size;
	return true;
}

void audit_log_add(const char *format, ...)
{
	char line[512];
	va_list args;
	int length;

	if (fd < 0)
		return;
	va_start(args, format);
	length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	pthread_mutex_lock(&lock);
	if (length < 0 || (size_t)length >= sizeof(line) || !make_room((size_t)length)) {
		lost++;
	} else {
		memcpy(pending.text + pending.used, line, (size_t)length);
		pending.used += (size_t)length;
		pthread_cond_signal(&changed);
	}
	pthread_mutex_unlock(&lock);
}

uint64_t audit_log_lost(void)
{
	uint64_t lines;

	pthread_mutex_lock(&lock);
	lines = lost;
	pthread_mutex_unlock(&lock);
	return lines;
}

/* ------------------------------------------------------------- open, close */

/* Another user must neither choose the file that is appended to nor read it. */
static int check_ours(int opened)
{
	struct stat attr;

	if (fstat(opened, &attr))
		return -errno;
	if (!S_ISREG(attr.st_mode) || attr.st_uid != geteuid() || attr.st_nlink != 1)
		return -EPERM;
	return fchmod(opened, 0600) ? -errno : 0;
}

int audit_log_open(const char *path)
{
	int opened = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			  0600);
	int error = opened < 0 ? -errno : check_ours(opened);

	if (!error) {
		fd = opened;
		error = -pthread_create(&writer, NULL, writer_main, NULL);
	}
	if (error) {
		fd = -1;
		if (opened >= 0)
			close(opened);
	}
	return error;
}

void audit_log_close(void)
{
	if (fd < 0)
		return;
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	pthread_join(writer, NULL);
	if (lost)
		fprintf(stderr, "spyfs: the audit log lost %llu lines\n", (unsigned long long)lost);
	free(pending.text);
	close(fd);
	fd = -1;
}
