# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls as another user.  The users are numbers and need no accounts."""
import errno
import os
import pickle
import sys

if os.geteuid() != 0:
    print("skip: only root can become a second user")
    sys.exit(77)

ALICE, BOB, STAFF = 61001, 61002, 61005  # two users and a group


def as_user(uid, call, *args, groups=()):
    """The call's result; what it raises is raised here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            answer = True, call(*args)
        except BaseException as error:
            answer = False, error
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    good, answer = pickle.loads(data)
    if not good:
        raise answer
    return answer


def outcome(uid, call, *args, groups=()):
    """The result, or the name of the errno."""
    try:
        return as_user(uid, call, *args, groups=groups)
    except OSError as error:
        return errno.errorcode[error.errno]


def background(uid, call, *args, groups=()):
    """A process that runs the call as @uid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            call(*args)
            status = 0
        finally:
            os._exit(status)
    return pid
