/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl.h"
#include "store.h"

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listening = -1, stopping = -1;
static pthread_t server;

const char *ctl_default_socket(void)
{
	static char path[sizeof(address.sun_path)];
	const char *folder = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

	snprintf(path, sizeof(path), "%s/spyfs.sock", folder ? folder : ".");
	return path;
}

static int set_path(const char *path)
{
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	return 0;
}

/* ------------------------------------------------------------------ server */

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

/* Of HTTP: a socket that is closed with something unread in it is an error to the client. */
static void skip_header(FILE *file)
{
	char line[1024];

	while (fgets(line, sizeof(line), file) && line[strspn(line, "\r\n")])
		;
}

/* A client that says nothing, or does not listen, holds the others up for so long. */
static void serve(int fd)
{
	const struct timeval patience = { .tv_sec = 10 };
	char question[256];
	FILE *file;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	file = fdopen(fd, "r+");
	if (!file) {
		close(fd);
		return;
	}
	if (fgets(question, sizeof(question), file)) {
		question[strcspn(question, "\r\n")] = '\0';
		if (strncmp(question, "GET ", 4) == 0)
			skip_header(file);
		fseek(file, 0, SEEK_CUR); /* from reading to writing */
		answer(question, file);
	}
	fclose(file);
}

static void *server_main(void *arg)
{
	struct pollfd fds[2] = { { .fd = stopping, .events = POLLIN },
				 { .fd = listening, .events = POLLIN } };

	(void)arg;
	for (;;) {
		int fd;

		sctx_thread_offline(); /* qsbr alone: it is going to sleep */
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[0].revents)
			return NULL;
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			serve(fd);
	}
}

static int take_over(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	close(fd);
	if (alive)
		return -EADDRINUSE;
	unlink(address.sun_path); /* of one that was killed */
	return 0;
}

/* Signals are for the main thread. */
static int thread_start(void)
{
	sigset_t all, old;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&server, NULL, server_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -error;
}

int ctl_start(const char *path)
{
	int error = set_path(path);
	mode_t mask;

	if (!error)
		error = take_over();
	if (error)
		return error;
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	stopping = eventfd(0, EFD_CLOEXEC);
	mask = umask(077);
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) || listen(listening, 8))
		error = -errno;
	umask(mask);
	if (!error)
		error = thread_start();
	return error;
}

void ctl_stop(void)
{
	eventfd_write(stopping, 1);
	pthread_join(server, NULL);
	close(listening);
	close(stopping);
	unlink(address.sun_path);
}

/* ------------------------------------------------------------------ client */

/* There is always an answer: without one the server was not there any more. */
static int print_answer(FILE *file)
{
	char line[4096] = "error: no answer\n";
	FILE *to = NULL;

	while (fgets(line, sizeof(line), file) || !to) {
		if (!to)
			to = strncmp(line, "error: ", 7) == 0 ? stderr : stdout;
		fputs(line, to);
	}
	fflush(stdout);
	return to == stderr ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ctl_ask(const char *path, const char *question)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *file;
	int status;

	if (set_path(path) || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		fprintf(stderr, "spyfs: %s: %s: is a spyfs running there?\n", path,
			strerror(errno));
		close(fd);
		return EXIT_FAILURE;
	}
	signal(SIGPIPE, SIG_IGN);
	file = fdopen(fd, "r+");
	fprintf(file, "%s\n", question);
	fflush(file);
	status = print_answer(file);
	fclose(file);
	return status;
}
