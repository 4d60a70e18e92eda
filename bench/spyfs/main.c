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

/* A descriptor for each file that the kernel remembers. */
static void raise_file_limit(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };

	if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
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

static struct fuse_session *session_new(const char *source)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	char *fsname = NULL;

	if (asprintf(&fsname, "-ofsname=%s,subtype=spyfs,default_permissions%s", source,
		     geteuid() == 0 ? ",allow_other" : "") < 0)
		return NULL;
	if (!fuse_opt_add_arg(&args, "spyfs") && !fuse_opt_add_arg(&args, fsname))
		session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), NULL);
	fuse_opt_free_args(&args);
	free(fsname);
	return session;
}

/* Until SIGTERM, SIGINT, SIGHUP or an unmount. */
static int loop(struct fuse_session *session)
{
	struct fuse_loop_config config = { .clone_fd = 0, .max_idle_threads = 10 };
	int error = ctl_start(options.socket);

	if (error) {
		say(options.socket, error);
		return EX_UNAVAILABLE;
	}
	error = -EIO;
	if (fuse_set_signal_handlers(session) == 0) {
		fprintf(stderr, "spyfs: serving\n");
		error = fuse_session_loop_mt(session, &config);
		fuse_remove_signal_handlers(session);
	}
	ctl_stop();
	return error < 0 ? EX_IOERR : EX_OK;
}

static int mounted(const char *source, const char *mountpoint)
{
	struct fuse_session *session = session_new(source);
	int status = EX_UNAVAILABLE;

	if (!session)
		return EX_UNAVAILABLE;
	if (fuse_session_mount(session, mountpoint) == 0) {
		status = loop(session);
		fuse_session_unmount(session);
	} else {
		fprintf(stderr, "spyfs: cannot mount on %s\n", mountpoint);
	}
	fuse_session_destroy(session);
	return status;
}

static int serve(const char *source, const char *mountpoint)
{
	unsigned long handles;
	int status, error;

	if (access("/dev/fuse", R_OK | W_OK)) {
		say("cannot serve without /dev/fuse", -errno);
		return EX_UNAVAILABLE;
	}
	raise_file_limit();
	umask(0); /* the kernel has applied the caller's */
	error = inodes_start(source);
	if (error) {
		say(source, error);
		return EX_NOINPUT;
	}
	error = store->create();
	if (error) {
		say(store->name, error);
		return EX_OSERR;
	}
	status = load_all(options.modules) ? EX_USAGE : mounted(source, mountpoint);
	handles = inodes_stop();
	if (handles)
		fprintf(stderr, "spyfs: %lu files were still open\n", handles);
	error = modules_unload_all(stderr);
	if (store->destroy(stderr) || error)
		return EX_SOFTWARE;
	return status;
}

/* --------------------------------------------------------------- arguments */

enum { KEY_REGISTRY = 1, KEY_MODULES, KEY_SOCKET, KEY_ONCE };

static const struct argp_option known_options[] = {
	{ "registry", KEY_REGISTRY, "streamctx|mutex", 0, "where open files are kept", 0 },
	{ "modules", KEY_MODULES, "NAME[=ARG],...", 0,
	  "audit[=LOGFILE], quota[=BYTES], heat[=SECONDS]; by default all three", 0 },
	{ "socket", KEY_SOCKET, "PATH", 0, "of ctl and top; /run/spyfs.sock for root", 0 },
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
	char question[256];

	snprintf(question, sizeof(question), "%s%s%s", options.words[1], options.n > 2 ? " " : "",
		 options.n > 2 ? options.words[2] : "");
	return ctl_ask(options.socket, question);
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
