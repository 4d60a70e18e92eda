/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caller.h"

#define KEEP         ((uid_t)-1) /* setresuid(2): leave this one */
#define GROUPS_USUAL 64

static _Thread_local bool acting; /* as another user or group */

int caller_thread_start(void)
{
	return unshare(CLONE_FS) ? -errno : 0;
}

/* ---------------------------------------------------------------- identity */

/*
 * The system calls, since those of the C library change all threads.  Giving
 * up the effective user gives up all capabilities with it: no reserved blocks,
 * no quota that is ignored, setuid bits that a write clears.
 */
static int take(uid_t uid, gid_t gid, int n, const gid_t *groups)
{
	if (geteuid() != 0 || (uid == 0 && gid == 0))
		return 0;
	/* -1 would keep root's. */
	if (uid == KEEP || gid == (gid_t)KEEP)
		return -EOVERFLOW;
	acting = true;
	if ((uid != 0 && syscall(SYS_setgroups, n, groups)) ||
	    syscall(SYS_setresgid, KEEP, gid, KEEP) || syscall(SYS_setresuid, KEEP, uid, KEEP)) {
		int error = -errno;

		caller_end();
		return error;
	}
	return 0;
}

/* The saved user is root, so these fail only while the kernel has no memory. */
static void insist(long number, long a, long b, long c)
{
	while (syscall(number, a, b, c))
		sched_yield();
}

void caller_end(void)
{
	if (!acting)
		return;
	insist(SYS_setresuid, KEEP, 0, KEEP);
	insist(SYS_setresgid, KEEP, 0, KEEP);
	insist(SYS_setgroups, 0, 0, 0);
	acting = false;
}

int caller_begin_as(uid_t uid, gid_t gid)
{
	return take(uid, gid, 0, NULL);
}

/* -------------------------------------------------------------- the caller */

/*
 * The caller waits in the kernel, so its groups cannot change meanwhile.  None
 * if it is in another PID namespace, where it has no number here.
 */
static int groups_of(fuse_req_t req, gid_t **groups)
{
	int n = fuse_req_getgroups(req, GROUPS_USUAL, *groups);

	if (n > GROUPS_USUAL) {
		*groups = malloc((size_t)n * sizeof(gid_t));
		if (!*groups)
			return -ENOMEM;
		n = fuse_req_getgroups(req, n, *groups);
	}
	return n == -ENOENT || n == -ESRCH ? 0 : n;
}

int caller_begin(fuse_req_t req)
{
	const struct fuse_ctx *caller = fuse_req_ctx(req);
	gid_t usual[GROUPS_USUAL], *groups = usual;
	int n = 0;

	if (geteuid() == 0 && caller->uid != 0)
		n = groups_of(req, &groups);
	if (n >= 0)
		n = take(caller->uid, caller->gid, n, groups);
	if (n == 0)
		umask(caller->umask);
	if (groups != usual)
		free(groups);
	return n;
}

int begin(fuse_req_t req, fuse_ino_t ino)
{
	int fd = inode_open(ino);
	int error = fd < 0 ? fd : caller_begin(req);

	if (fd >= 0 && error) {
		close(fd);
		return error;
	}
	return fd;
}

int end(int fd, int result)
{
	int error = result < 0 ? -errno : result;

	caller_end();
	close(fd);
	return error;
}
