/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread serves all clients of the socket.  An answer is made in memory
 * first, so no lock is held while a client takes its time, and each client has
 * PATIENCE_MS for everything, from connect to close.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"
#include "store.h"

#define CLIENTS     32
#define PATIENCE_MS 10000
#define BACK_OFF_MS 100 /* without a descriptor or memory */

struct client {
	int fd; /* -1: this place is free */
	int64_t deadline;
	char question[CTL_QUESTION_MAX];
	size_t got;
	char *answer; /* NULL until the question is complete */
	size_t length, sent;
};

static struct sockaddr_un address;
static dev_t socket_dev;
static ino_t socket_ino;
static int listening = -1, stopping = -1;
static struct client clients[CLIENTS];
static int64_t accept_after; /* no accept before */
static pthread_t server;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------- answers */

static void metrics(FILE *file)
{
	store->metrics(file);
	modules_metrics(file);
}

static void answer(const char *question, FILE *file)
{
	if (strncmp(question, "load ", 5) == 0) {
		if (modules_load(question + 5, file) == 0)
			fputs("ok\n", file);
	} else if (strncmp(question, "unload ", 7) == 0) {
		if (modules_unload(question + 7, file) == 0)
			fputs("ok\n", file);
	} else if (strcmp(question, "modules") == 0) {
		modules_list(file);
	} else if (strcmp(question, "metrics") == 0) {
		metrics(file);
	} else if (strcmp(question, "top") == 0) {
		top_print(file);
	} else if (strncmp(question, "GET /metrics ", 13) == 0) {
		fputs("HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n", file);
		metrics(file);
	} else {
		fprintf(file, "error: what is \"%s\"?\n", question);
	}
}

/* Without memory there is no answer: the client is closed. */
static void client_answer(struct client *client, const char *question)
{
	FILE *file = open_memstream(&client->answer, &client->length);

	if (!file)
		return;
	answer(question, file);
	if (fclose(file)) {
		free(client->answer);
		client->answer = NULL;
	}
}

/* ----------------------------------------------------------------- clients */

static void client_close(struct client *client)
{
	close(client->fd);
	free(client->answer);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

static struct client *client_free_place(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd < 0)
			return &clients[i];
	return NULL;
}

static void client_accept(void)
{
	struct client *client = client_free_place();
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* The connection stays in the queue: poll() would return at once. */
		accept_after = now_ms() + BACK_OFF_MS;
		return;
	}
	client->fd = fd;
	client->deadline = now_ms() + PATIENCE_MS;
}

/* The end of the question: of a header, for HTTP, or of the first line; NULL if it goes on. */
static char *question_end(char *question)
{
	if (strncmp(question, "GET ", 4) == 0 && !strstr(question, "\r\n\r\n") &&
	    !strstr(question, "\n\n"))
		return NULL;
	return strpbrk(question, "\r\n");
}

static void client_read(struct client *client)
{
	ssize_t n = recv(client->fd, client->question + client->got,
			 sizeof(client->question) - 1 - client->got, 0);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	client->got += n > 0 ? (size_t)n : 0;
	client->question[client->got] = '\0';
	end = question_end(client->question);
	if (end) {
		*end = '\0';
		client_answer(client, client->question);
	} else if (n > 0 && client->got < sizeof(client->question) - 1) {
		return;
	} else if (n > 0) {
		client->answer = strdup("error: the question is too long\n");
		client->length = client->answer ? strlen(client->answer) : 0;
	}
	if (!client->answer)
		client_close(client);
}

static void client_write(struct client *client)
{
	ssize_t n = send(client->fd, client->answer + client->sent, client->length - client->sent,
			 MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	client->sent += n > 0 ? (size_t)n : 0;
	if (n <= 0 || client->sent == client->length)
		client_close(client);
}

/* ------------------------------------------------------------------ server */

/* The first two are the server's own, the others are clients[]: as many as are in use. */
static nfds_t fill_poll(struct pollfd *fds, int *timeout)
{
	int64_t now = now_ms(), next = now + PATIENCE_MS;
	bool accepts = client_free_place() && now >= accept_after;
	nfds_t n = 2;

	if (accept_after > now)
		next = accept_after;
	fds[0] = (struct pollfd){ .fd = stopping, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = accepts ? listening : -1, .events = POLLIN };
	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &clients[i];

		fds[2 + i] = (struct pollfd){ .fd = client->fd,
					      .events = client->answer ? POLLOUT : POLLIN };
		if (client->fd < 0)
			continue;
		n = (nfds_t)i + 3;
		if (client->deadline < next)
			next = client->deadline;
	}
	*timeout = next > now ? (int)(next - now) : 0;
	return n;
}

static void serve_clients(const struct pollfd *fds)
{
	int64_t now = now_ms();

	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &clients[i];

		if (client->fd < 0)
			continue;
		if (now >= client->deadline)
			client_close(client);
		else if (fds[2 + i].revents && client->answer)
			client_write(client);
		else if (fds[2 + i].revents)
			client_read(client);
	}
}

static void *server_main(void *arg)
{
	struct pollfd fds[2 + CLIENTS];

	(void)arg;
	for (;;) {
		int timeout;
		nfds_t n = fill_poll(fds, &timeout);

		sctx_thread_offline(); /* qsbr alone: the thread is about to sleep */
		if (poll(fds, n, timeout) < 0) {
			usleep(BACK_OFF_MS * 1000); /* no memory */
			continue;
		}
		if (fds[0].revents)
			break;
		serve_clients(fds);
		if (fds[1].revents)
			client_accept();
	}
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd >= 0)
			client_close(&clients[i]);
	return NULL;
}

/* ------------------------------------------------------------- its address */

/* Whether other users cannot replace what is at @path. */
static bool folder_is_safe(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[sizeof(address.sun_path)] = ".";
	struct stat attr;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path + 1), path);
	if (stat(folder, &attr) || (attr.st_uid != geteuid() && attr.st_uid != 0))
		return false;
	return !(attr.st_mode & (S_IWGRP | S_IWOTH)) || attr.st_mode & S_ISVTX;
}

/* Remove the socket of a spyfs that was killed. */
static int take_over(void)
{
	struct stat attr;
	int fd, error = 0;

	if (lstat(address.sun_path, &attr))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(attr.st_mode) || attr.st_uid != geteuid())
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		error = -EADDRINUSE;
	else if (errno != ECONNREFUSED)
		error = -errno;
	close(fd);
	if (!error && unlink(address.sun_path))
		error = -errno;
	return error;
}

static int bind_socket(void)
{
	struct stat attr;

	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	stopping = eventfd(0, EFD_CLOEXEC);
	if (listening < 0 || stopping < 0)
		return -errno;
	/* The process's umask keeps other users out. */
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listening, CLIENTS) || lstat(address.sun_path, &attr))
		return -errno;
	socket_dev = attr.st_dev;
	socket_ino = attr.st_ino;
	return 0;
}

/* Another program may have replaced the socket. */
static void remove_address(void)
{
	struct stat attr;

	if (socket_ino && lstat(address.sun_path, &attr) == 0 && attr.st_dev == socket_dev &&
	    attr.st_ino == socket_ino)
		unlink(address.sun_path);
}

static void close_all(void)
{
	remove_address();
	if (listening >= 0)
		close(listening);
	if (stopping >= 0)
		close(stopping);
}

int ctl_start(const char *path)
{
	int error = ctl_address(path, &address);

	for (int i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	if (!error && !folder_is_safe(path))
		error = -EPERM;
	if (!error)
		error = take_over();
	if (!error)
		error = bind_socket();
	if (!error)
		error = -pthread_create(&server, NULL, server_main, NULL);
	if (error)
		close_all();
	return error;
}

void ctl_stop(void)
{
	eventfd_write(stopping, 1);
	pthread_join(server, NULL);
	close_all();
}
