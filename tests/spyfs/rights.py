#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Root's spyfs serves other users.  No user gets through it what the folder below
refuses, and each operation has the same result as on that folder.
"""
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import signal
import stat
import struct
import subprocess
import time

from mount import run_steps
from second import ALICE, BOB, STAFF, as_user, background, outcome

LIBC = ctypes.CDLL(None, use_errno=True)
STALE = 1.2  # seconds until the kernel's attributes are old


def twins(m, name, mode, uid=0, gid=0):
    """A folder at the mount and one beside the source, with the same owner and mode."""
    here, plain = os.path.join(m.path, name), os.path.join(m.scratch, name)
    for folder in (os.path.join(m.source, name), plain):
        os.mkdir(folder)
        os.chown(folder, uid, gid)
        os.chmod(folder, mode)
    return here, plain


def look(path):
    status = os.lstat(path)
    return status.st_uid, status.st_gid, oct(status.st_mode), status.st_nlink


# ------------------------------------------------------------------- creating

def make(kind, path, mode, umask):
    os.umask(umask)
    if kind == "file":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode))
    elif kind == "folder":
        os.mkdir(path, mode)
    elif kind == "symlink":
        os.symlink("/etc/passwd", path)
    elif kind == "fifo":
        os.mknod(path, stat.S_IFIFO | mode)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | mode)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | mode, os.makedev(1, 3))
    elif kind == "link":
        os.close(os.open(path + ".of", os.O_CREAT | os.O_RDWR, mode))
        os.link(path + ".of", path)
    return look(path)


def made_as_caller(m):
    """Owner, group and mode of what a user makes are those of the folder below."""
    kinds = ("file", "folder", "symlink", "fifo", "socket", "device", "link")
    folders = [twins(m, f"folder-{mode:o}-{gid}", mode, 0, gid)
               for mode, gid in ((0o777, 0), (0o2777, STAFF), (0o1777, 0), (0o770, STAFF), (0o755, 0))]
    compared = 0
    for here, plain in folders:
        for kind, mode, umask in itertools.product(kinds, (0o644, 0o2755, 0o6777), (0, 0o027)):
            for uid, groups in ((ALICE, ()), (ALICE, (STAFF,)), (BOB, (0,)), (0, ())):
                name = f"{kind}-{mode:o}-{umask:o}-{uid}-{len(groups)}"
                got = outcome(uid, make, kind, f"{here}/{name}", mode, umask, groups=groups)
                want = outcome(uid, make, kind, f"{plain}/{name}", mode, umask, groups=groups)
                assert got == want, (here, name, groups, got, want)
                if not isinstance(got, str):
                    assert look(f"{m.source}/{os.path.basename(here)}/{name}") == want
                compared += 1
    assert compared == 5 * 7 * 3 * 2 * 4


def remembered_rights_do_not_count(m):
    """The kernel's attributes may be a second old: the folder below decides."""
    folder, below = os.path.join(m.path, "shut"), os.path.join(m.source, "shut")
    os.mkdir(below)
    os.chmod(below, 0o777)
    for call, name in ((make_file, "new"), (os.listdir, ""), (os.mkdir, "new"), (os.stat, "old")):
        os.chmod(below, 0o777)
        time.sleep(STALE)
        make_file(below + "/old")
        as_user(ALICE, os.stat, folder)
        os.chmod(below, 0o700)
        assert outcome(ALICE, call, os.path.join(folder, name)) == "EACCES", call
        assert os.listdir(below) == ["old"]
    with open(os.path.join(below, "secret"), "w") as f:
        f.write("x")
    os.chmod(below, 0o755)
    time.sleep(STALE)
    as_user(ALICE, read, os.path.join(folder, "secret"))
    os.chmod(os.path.join(below, "secret"), 0o600)
    assert outcome(ALICE, read, os.path.join(folder, "secret")) == "EACCES"


def modes_of_folders(m):
    """To list a folder takes r, to find a name in it takes x."""
    here, plain = twins(m, "modes", 0o777)
    for mode in range(8):
        for folder in (here, plain):
            below = folder.replace(m.path, m.source) + f"/{mode}"
            os.mkdir(below)
            make_file(below + "/file")
            os.chmod(below, 0o700 | mode)
        for call, name in ((os.listdir, ""), (os.stat, "/file"), (make_file, "/new"), (os.unlink, "/file")):
            results = [outcome(ALICE, call, f"{folder}/{mode}{name}") for folder in (here, plain)]
            if call is os.stat and not isinstance(results[0], str):
                results = [(r.st_size, r.st_mode) for r in results]
            assert results[0] == results[1], (oct(mode), call, results)


def make_file(path):
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def take_by_racing(path, rounds, go, done):
    kept = []
    for i in range(rounds):
        os.read(go, 1)
        try:
            kept.append(os.open(f"{path}/{i}", os.O_CREAT | os.O_RDWR, 0o666))
        except OSError:
            pass
        os.write(done, b".")
        if len(kept) > 10:
            os.close(kept.pop(0))


def no_user_takes_a_file(m):
    """Root makes a file below, with O_EXCL; Alice makes the same one through spyfs at that moment."""
    rounds, mine = 1500, 0
    here, below = os.path.join(m.path, "race"), os.path.join(m.source, "race")
    os.mkdir(below)
    os.chmod(below, 0o1777)
    time.sleep(STALE)
    (go, send_go), (wait_done, done) = os.pipe(), os.pipe()
    pid = background(ALICE, take_by_racing, here, rounds, go, done)
    for i in range(rounds):
        os.write(send_go, b".")
        end = time.perf_counter() + i % 60 * 2e-6
        while time.perf_counter() < end:
            pass
        try:
            os.close(os.open(f"{below}/{i}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            mine += 1
            made = True
        except FileExistsError:
            made = False
        os.read(wait_done, 1)
        owner = os.stat(f"{below}/{i}").st_uid
        assert owner == (0 if made else ALICE), (i, made, owner)
    assert os.waitpid(pid, 0)[1] == 0
    assert 0 < mine < rounds, f"no race: root made {mine} of {rounds}"


# -------------------------------------------------------- ACLs and mode bits

USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"


def acl(owner, user, user_rights, group, mask, other):
    entries = ((USER_OBJ, owner, 0xffffffff), (USER, user_rights, user), (GROUP_OBJ, group, 0xffffffff),
               (MASK, mask, 0xffffffff), (OTHER, other, 0xffffffff))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acls_count(m):
    """A user whom an ACL lets in comes in, and one whom it shuts out does not."""
    here, plain = twins(m, "acl", 0o777)
    below = os.path.join(m.source, "acl")
    try:
        os.setxattr(below, DEFAULT, acl(7, ALICE, 6, 5, 7, 0))
        os.setxattr(plain, DEFAULT, acl(7, ALICE, 6, 5, 7, 0))
    except OSError as error:
        assert error.errno == errno.ENOTSUP, error
        print("not tested: there are no ACLs on the filesystem below")
        return
    for umask, kind in itertools.product((0, 0o077), ("file", "folder", "fifo")):
        name = f"{kind}-{umask:o}"
        assert as_user(BOB, make, kind, f"{here}/{name}", 0o666, umask) \
            == as_user(BOB, make, kind, f"{plain}/{name}", 0o666, umask)
        assert os.getxattr(f"{here}/{name}", ACCESS) == os.getxattr(f"{plain}/{name}", ACCESS)
    for rights in (0, 4, 6):
        for name, other in (("closed", 0), ("open", 6)):
            path = f"{below}/{name}-{rights}"
            with open(path, "w") as f:
                f.write("text")
            os.chmod(path, 0o600)
            os.setxattr(path, ACCESS, acl(6, ALICE, rights, 0, 6, other))
            path = f"{here}/{name}-{rights}"
            assert outcome(ALICE, read, path) == (b"text" if rights & 4 else "EACCES"), path
            assert outcome(BOB, read, path) == (b"text" if other & 4 else "EACCES"), path
            assert outcome(ALICE, os.truncate, path, 4) == (None if rights & 2 else "EACCES"), path
    as_user(ALICE, make_file, f"{here}/hers")
    assert outcome(BOB, os.setxattr, f"{here}/hers", ACCESS, acl(6, BOB, 6, 0, 6, 0)) == "EPERM"
    as_user(ALICE, os.setxattr, f"{here}/hers", ACCESS, acl(6, BOB, 6, 0, 6, 0))
    assert outcome(BOB, read, f"{here}/hers") == b""


def write(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"y")
    os.close(fd)


def truncate_open(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


def allocate(path):
    fd = os.open(path, os.O_WRONLY)
    os.posix_fallocate(fd, 0, 20000)
    os.close(fd)


def punch(path):
    fd = os.open(path, os.O_WRONLY)
    LIBC.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(4096))
    os.close(fd)


def copy(path):
    fd, to = os.open(path, os.O_RDONLY), os.open(path, os.O_RDWR)
    os.copy_file_range(fd, to, 1000, 100, 0)
    os.close(fd)
    os.close(to)


def chgrp(path):
    os.chown(path, -1, STAFF)


def setid_bits(m):
    """A change by another user clears setuid and setgid; an owner's chgrp, too."""
    here, plain = twins(m, "setid", 0o777)
    below = os.path.join(m.source, "setid")
    calls = (write, os.truncate, truncate_open, allocate, punch, copy, chgrp)
    for call, mode, (uid, owner) in itertools.product(
            calls, (0o6777, 0o2767), ((ALICE, 0), (ALICE, ALICE), (0, 0), (0, ALICE))):
        modes = []
        for folder, path in ((below, f"{here}/f"), (plain, f"{plain}/f")):
            if os.path.exists(f"{folder}/f"):
                os.unlink(f"{folder}/f")
            with open(f"{folder}/f", "wb") as f:
                f.write(b"x" * 10000)
            os.chown(f"{folder}/f", owner, 0)
            os.chmod(f"{folder}/f", mode)
            result = outcome(uid, call, path, *((5,) if call is os.truncate else ()), groups=(STAFF,))
            modes.append((oct(os.stat(f"{folder}/f").st_mode), result))
        assert modes[0] == modes[1], (call, oct(mode), uid, owner, modes)
    as_user(ALICE, make_file, f"{here}/not-staff")
    os.chown(f"{below}/not-staff", ALICE, 0)
    as_user(ALICE, os.chmod, f"{here}/not-staff", 0o2755)
    assert os.stat(f"{below}/not-staff").st_mode & 0o7777 == 0o755


def sticky_folders(m):
    """In a sticky folder a user cannot remove, rename or replace another's file."""
    here, _ = twins(m, "sticky", 0o1777)
    as_user(ALICE, make_file, f"{here}/hers")
    as_user(BOB, make_file, f"{here}/his")
    for call, *args in ((os.unlink, f"{here}/hers"), (os.rename, f"{here}/hers", f"{here}/taken"),
                        (os.rename, f"{here}/his", f"{here}/hers")):
        assert outcome(BOB, call, *args) == "EPERM", call
    as_user(ALICE, os.unlink, f"{here}/hers")


# ----------------------------------------------------------- content, numbers

def appending_and_memory(m):
    """Mapped writes keep their offsets while programs append."""
    name, below = os.path.join(m.path, "log"), os.path.join(m.source, "log")
    for appender in ("same", "before", "after"):
        with open(below, "wb") as f:
            f.write(b"a" * 8192)
        time.sleep(STALE)
        append = [os.open(name, os.O_WRONLY | os.O_APPEND)] if appender == "before" else []
        fd = os.open(name, os.O_RDWR | (os.O_APPEND if appender == "same" else 0))
        memory = mmap.mmap(fd, 8192)
        if appender == "after":
            append.append(os.open(name, os.O_WRONLY | os.O_APPEND))
        memory[0:4] = b"MMAP"
        memory.flush()
        for writer in append or [fd]:
            os.write(writer, b"line")
        memory[4096:4100] = b"page"
        memory.close()
        for each in append + [fd]:
            os.close(each)
        assert read(below) == b"MMAP" + b"a" * 4092 + b"page" + b"a" * 4092 + b"line", appender
    with open(below, "wb"):
        pass
    fd, other = os.open(name, os.O_WRONLY | os.O_APPEND), os.open(below, os.O_WRONLY | os.O_APPEND)
    for _ in range(100):  # two appenders, one through spyfs: nothing is overwritten
        os.write(fd, b"spyfs\n")
        os.write(other, b"below\n")
    assert read(below) == b"spyfs\nbelow\n" * 100
    os.close(fd)
    os.close(other)


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_uint32 * 32)]


def kernel_number(path):
    """The node and generation that name_to_handle_at(2) shows to any user."""
    handle, mount = Handle(bytes=128), ctypes.c_int()
    if LIBC.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), path)
    return handle.data[0] << 32 | handle.data[1], handle.data[2]


def no_addresses_leave(m):
    """Numbers that the kernel shows are those of the inode below, and tell reuse."""
    name, below = os.path.join(m.path, "file"), os.path.join(m.source, "file")
    seen, reused = {}, 0
    maps = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in open(f"/proc/{m.process.pid}/maps")]
    for _ in range(20):
        make_file(below)
        time.sleep(STALE if not seen else 0)
        number, generation = as_user(ALICE, kernel_number, name)
        assert number == os.stat(below).st_ino
        assert not any(begin <= number < end for begin, end in maps)
        assert generation not in seen.get(number, ())
        reused += number in seen
        seen.setdefault(number, []).append(generation)
        os.unlink(name)
    print(f"numbers used again: {reused}")


def deleted_is_not_replaced(m):
    """A file that has a deleted one's number is not taken for it."""
    name, below = os.path.join(m.path, "file"), os.path.join(m.source, "file")
    for _ in range(20):
        make_file(below)
        number = os.stat(below).st_ino
        old = os.open(name, os.O_PATH)
        os.unlink(below)
        with open(below + ".new", "w") as f:
            f.write("secret")
        os.chmod(below + ".new", 0o600)
        if os.stat(below + ".new").st_ino == number:
            time.sleep(STALE)
            try:
                assert os.fstat(old).st_size == 0
            except OSError as error:
                assert error.errno in (errno.ESTALE, errno.EIO), error
            assert os.stat(name + ".new").st_size == 6
            os.close(old)
            return
        os.close(old)
        os.unlink(below + ".new")
    print("not tested: the filesystem below uses no number again")


def mounts_below_are_not_entered(m):
    """Another user may own what is mounted below, and let spyfs wait for it."""
    below = os.path.join(m.source, "inner")
    os.mkdir(below)
    if subprocess.run(["mount", "-t", "tmpfs", "none", below], capture_output=True).returncode:
        print("not tested: no mount(8) here")
        return
    try:
        assert outcome(ALICE, os.stat, os.path.join(m.path, "inner")) == "EXDEV"
        assert outcome(0, make_file, os.path.join(m.path, "inner", "file")) == "EXDEV"
        assert os.listdir(m.path) == ["inner"]
    finally:
        subprocess.run(["umount", below], check=True)


def map_and_write(path):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 4096) as memory:
        memory[0:1] = b"z"
        memory.flush()
    os.close(fd)


def differences_are_as_documented(m):
    """The table in bench/spyfs/README.md."""
    name, below = os.path.join(m.path, "file"), os.path.join(m.source, "file")
    with open(below, "wb") as f:
        f.write(b"x" * 8192)
    os.chmod(below, 0o666)
    assert os.statvfs(m.path).f_flag & (os.ST_NOSUID | os.ST_NODEV) == os.ST_NOSUID | os.ST_NODEV
    assert outcome(0, os.open, m.path, os.O_TMPFILE | os.O_RDWR) == "ENOTSUP"
    with open(name) as f:
        for request in (0xc020660b, 0x80086601):  # FS_IOC_FIEMAP, FS_IOC_GETFLAGS
            assert outcome(0, fcntl.ioctl, f, request, bytes(64)) in ("ENOTTY", "ENOTSUP")
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    for call, *args in ((read, name), (os.truncate, name, 4096)):
        m.wait_closed()
        with open(below, "r+b") as f:
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            assert outcome(ALICE, call, *args) == "EAGAIN", call
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        outcome(ALICE, call, *args)
    os.chmod(below, 0o6777)
    time.sleep(STALE)
    as_user(ALICE, map_and_write, name)
    assert os.stat(below).st_mode & 0o7777 == 0o777
    assert m.metrics()["spyfs_quota_used_bytes", "0"] == 4096


run_steps((made_as_caller, modes_of_folders, remembered_rights_do_not_count, no_user_takes_a_file, acls_count,
           setid_bits, sticky_folders, appending_and_memory, no_addresses_leave, deleted_is_not_replaced,
           mounts_below_are_not_entered, differences_are_as_documented), "audit=LOG,quota,heat")
