/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * spyfs: a filesystem that passes everything through to a folder below, with a
 * stream for each open file and modules that keep contexts on it.
 */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"
#include "fs.h"

const char *argp_program_version = "spyfs, with streamctx " SCTX_VERSION;
const struct store *store = &store_streamctx;

static struct options {
	const char *socket, *modules;
	char *words[3];
	int n;
	bool once;
} options;

/* ----------------------------------------------------------------- serving */

static void say(const char *what, int error)
{
	fprintf(stderr, "spyfs: %s: %s\n", what, strerror(-error));
}

/* Open files share all descriptors but those that requests, clients and modules use. */
static int share_descriptors(void)
{
	struct rlimit limit;
	rlim_t own;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur < DESCRIPTORS_MIN)
		return -EMFILE;
	own = limit.rlim_cur / 2 < 128 ? limit.rlim_cur / 2 : 128;
	shares_start(limit.rlim_cur - own);
	return 0;
}

static int load_all(const char *list)
{
	char *names = strdup(list);
	int error = names ? 0 : -ENOMEM;

	for (char *rest = names, *name; !error && (name = strsep(&rest, ","));)
		if (*name)
			error = modules_load(name, stderr);
	free(names);
	return error;
}

static int start(const char *source)
{
	int error = share_descriptors();

	if (error) {
		say("cannot serve with so few descriptors", error);
		return EX_OSERR;
	}
	error = inodes_start(source);
	if (error) {
		say(source, error);
		return EX_NOINPUT;
	}
	if (geteuid() == 0 && !inodes_serve_others())
		fprintf(stderr, "spyfs: no file handles on %s: root alone is served\n", source);
	error = store->create();
	if (error) {
		say(store->name, error);
		return EX_OSERR;
	}
	return EX_OK;
}

static int serve(const char *source, const char *mountpoint)
{
	unsigned long handles;
	int status, error;

	if (access("/dev/fuse", R_OK | W_OK)) {
		say("cannot serve without /dev/fuse", -errno);
		return EX_UNAVAILABLE;
	}
	session_block_signals();
	umask(077); /* for the socket and the log */
	status = start(source);
	if (status)
		return status;
	status = load_all(options.modules) ? EX_USAGE
					   : session_run(source, mountpoint, options.socket);
	handles = handles_stop();
	if (handles)
		fprintf(stderr, "spyfs: %lu files were still open\n", handles);
	error = modules_unload_all(stderr);
	inodes_stop();
	if (store->destroy(stderr) || error)
		return EX_SOFTWARE;
	return status;
}

/* --------------------------------------------------------------- arguments */

enum { KEY_REGISTRY = 1, KEY_MODULES, KEY_SOCKET, KEY_ONCE };

static const struct argp_option known_options[] = {
	{ "registry", KEY_REGISTRY, "streamctx|mutex", 0, "what keeps open files", 0 },
	{ "modules", KEY_MODULES, "NAME[=ARG],...", 0,
	  "audit[=LOGFILE], quota[=BYTES], heat[=SECONDS]; by default all three", 0 },
	{ "socket", KEY_SOCKET, "PATH", 0, "for ctl and top; by default /run/spyfs.sock (root)",
	  0 },
	{ "once", KEY_ONCE, NULL, 0, "top: print the table once", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case KEY_REGISTRY:
		store = strcmp(arg, "mutex") == 0 ? &store_mutex : &store_streamctx;
		if (strcmp(arg, store->name) != 0)
			argp_error(state, "no registry %s", arg);
		return 0;
	case KEY_MODULES:
		options.modules = arg;
		return 0;
	case KEY_SOCKET:
		options.socket = arg;
		return 0;
	case KEY_ONCE:
		options.once = true;
		return 0;
	case ARGP_KEY_ARG:
		if (options.n == 3)
			argp_usage(state);
		options.words[options.n++] = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = known_options,
	.parser = parse,
	.args_doc =
		"SOURCE MOUNTPOINT\nctl load NAME[=ARG]\nctl unload NAME\nctl modules|metrics\ntop",
	.doc = "Show the folder SOURCE at MOUNTPOINT and watch what is done there, until SIGTERM.",
};

static int ctl(void)
{
	char *question = NULL;
	int status;

	if (asprintf(&question, "%s%s%s", options.words[1], options.n > 2 ? " " : "",
		     options.n > 2 ? options.words[2] : "") < 0)
		return EX_OSERR;
	status = ctl_ask(options.socket, question);
	free(question);
	return status;
}

int main(int argc, char **argv)
{
	options.modules = "audit,quota,heat";
	options.socket = ctl_default_socket();
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (options.n >= 2 && strcmp(options.words[0], "ctl") == 0)
		return ctl();
	if (options.n == 1 && strcmp(options.words[0], "top") == 0)
		return top_watch(options.socket, options.once);
	if (options.n == 2)
		return serve(options.words[0], options.words[1]);
	argp_help(&argp, stderr, ARGP_HELP_STD_USAGE, argv[0]);
	return EX_USAGE;
}
