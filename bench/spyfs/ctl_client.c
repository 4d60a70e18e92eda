/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl.h"
#include "text.h"

const char *ctl_default_socket(void)
{
	static char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *folder = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	int length = snprintf(path, sizeof(path), "%s/spyfs.sock", folder ? folder : ".");

	return length < (int)sizeof(path) ? path : "./spyfs.sock";
}

int ctl_address(const char *path, struct sockaddr_un *address)
{
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	strcpy(address->sun_path, path);
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int error = ctl_address(path, &address);
	int fd = error ? error : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (error)
		return error;
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Another program may answer at the socket. */
static void print_clean(char *line, FILE *to)
{
	size_t length = strlen(line);
	bool whole = length && line[length - 1] == '\n';

	if (whole)
		line[length - 1] = '\0';
	text_clean(line);
	fprintf(to, "%s%s", line, whole ? "\n" : "");
}

static int print_answer(FILE *file)
{
	FILE *to = NULL;
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, file) > 0) {
		if (!to)
			to = strncmp(line, "error: ", 7) == 0 ? stderr : stdout;
		print_clean(line, to);
	}
	free(line);
	if (!to)
		fputs("error: no answer\n", stderr);
	return to == stdout && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int ctl_ask(const char *path, const char *question)
{
	int fd = connect_to(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	int status;

	if (!file) {
		fprintf(stderr, "spyfs: %s: %s: is a spyfs running there?\n", path,
			strerror(fd < 0 ? -fd : errno));
		return EXIT_FAILURE;
	}
	/* The server may answer, and close, before it has read everything. */
	signal(SIGPIPE, SIG_IGN);
	dprintf(fd, "%s\n", question);
	status = print_answer(file);
	fclose(file);
	return status;
}
