/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The FUSE session.  All workers start at the beginning: libfuse's own loop
 * starts them on demand, and ends the session when it has no memory for one.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "ctl.h"
#include "fs.h"

#define WORKERS 10

static pthread_t workers[WORKERS];
static atomic_int failure; /* an errno that ends the session */

static void fs_init(void *userdata, struct fuse_conn_info *conn)
{
	const unsigned int needed = FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK |
				    FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ATOMIC_O_TRUNC;

	(void)userdata;
	/* The filesystem below applies ACLs and umask, and clears setuid bits. */
	conn->want |= needed & conn->capable;
	conn->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	if ((conn->capable & needed) != needed)
		failure = EPROTONOSUPPORT;
}

static const struct fuse_lowlevel_ops ops = {
	.init = fs_init,
	.lookup = fs_lookup,
	.forget = fs_forget,
	.forget_multi = fs_forget_multi,
	.mknod = fs_mknod,
	.mkdir = fs_mkdir,
	.symlink = fs_symlink,
	.link = fs_link,
	.unlink = fs_unlink,
	.rmdir = fs_rmdir,
	.rename = fs_rename,
	.readlink = fs_readlink,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.statfs = fs_statfs,
	.getxattr = fs_getxattr,
	.listxattr = fs_listxattr,
	.setxattr = fs_setxattr,
	.removexattr = fs_removexattr,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.releasedir = fs_releasedir,
	.fsyncdir = fs_fsyncdir,
	.open = fs_open,
	.create = fs_create,
	.read = fs_read,
	.write = fs_write,
	.copy_file_range = fs_copy,
	.fallocate = fs_fallocate,
	.fsync = fs_fsync,
	.lseek = fs_lseek,
	.release = fs_release,
};

/* ----------------------------------------------------------------- workers */

static void free_buffer(void *buffer)
{
	free(((struct fuse_buf *)buffer)->mem);
}

static void serve_requests(struct fuse_session *session, struct fuse_buf *buffer)
{
	while (!fuse_session_exited(session) && !failure) {
		int n;

		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		n = fuse_session_receive_buf(session, buffer);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
		if (n > 0)
			fuse_session_process_buf(session, buffer);
		else if (n == -ENOMEM)
			usleep(10000); /* the request waits */
		else if (n != -EINTR && n != -EAGAIN)
			break; /* unmounted */
	}
}

static void *worker_main(void *session)
{
	struct fuse_buf buffer = { .mem = NULL };
	int error;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_push(free_buffer, &buffer);
	error = caller_thread_start();
	if (!error)
		error = store->thread_start();
	if (error)
		failure = -error;
	serve_requests(session, &buffer);
	pthread_cleanup_pop(1);
	kill(getpid(), SIGTERM);
	return NULL;
}

static void ends_of(sigset_t *ends)
{
	sigemptyset(ends);
	sigaddset(ends, SIGTERM);
	sigaddset(ends, SIGINT);
	sigaddset(ends, SIGHUP);
}

void session_block_signals(void)
{
	sigset_t all;

	ends_of(&all);
	sigaddset(&all, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void workers_run(struct fuse_session *session)
{
	sigset_t ends;
	int error = 0, n = 0, sig;

	ends_of(&ends);
	while (n < WORKERS && !error) {
		error = pthread_create(&workers[n], NULL, worker_main, session);
		n += !error;
	}
	if (!error)
		sigwait(&ends, &sig);
	else
		failure = error;
	fuse_session_exit(session);
	for (int i = 0; i < n; i++)
		pthread_cancel(workers[i]);
	for (int i = 0; i < n; i++)
		pthread_join(workers[i], NULL);
}

/* ----------------------------------------------------------------- session */

static int serve(struct fuse_session *session, const char *socket)
{
	int error = ctl_start(socket);

	if (error) {
		fprintf(stderr, "spyfs: %s: %s\n", socket, strerror(-error));
		return EX_UNAVAILABLE;
	}
	fprintf(stderr, "spyfs: serving\n");
	workers_run(session);
	ctl_stop();
	if (failure ==
	    EPROTONOSUPPORT) /* without the caller's umask and ACLs users are not apart */
		fprintf(stderr, "spyfs: FUSE in this kernel has no ACLs or no umask\n");
	else if (failure)
		fprintf(stderr, "spyfs: cannot serve: %s\n", strerror(failure));
	return failure ? EX_UNAVAILABLE : EX_OK;
}

static struct fuse_session *session_new(const char *source)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session = NULL;
	char *options = NULL, *name = NULL;

	/* Escaped, since a comma in the folder's name begins another option. */
	if (asprintf(&name, "fsname=%s", source) >= 0 &&
	    !fuse_opt_add_opt_escaped(&options, name) &&
	    !fuse_opt_add_opt(&options, "subtype=spyfs,default_permissions") &&
	    (!inodes_serve_others() || !fuse_opt_add_opt(&options, "allow_other")) &&
	    !fuse_opt_add_arg(&args, "spyfs") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, options))
		session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	fuse_opt_free_args(&args);
	free(options);
	free(name);
	return session;
}

int session_run(const char *source, const char *mountpoint, const char *socket)
{
	struct fuse_session *session = session_new(source);
	int status = EX_UNAVAILABLE;

	if (!session)
		return EX_UNAVAILABLE;
	if (fuse_session_mount(session, mountpoint) == 0) {
		status = serve(session, socket);
		fuse_session_unmount(session);
	} else {
		fprintf(stderr, "spyfs: cannot mount on %s\n", mountpoint);
	}
	fuse_session_destroy(session);
	return status;
}
