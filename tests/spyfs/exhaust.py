#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
No user locks others out of spyfs, by slow clients of its socket, descriptors,
leases, FIFOs or memory: what runs out is an errno of the caller's.
"""
import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

from mount import Mount, built, run_steps
from second import ALICE, BOB, as_user, background, outcome

LIBC = ctypes.CDLL(None, use_errno=True)


def seconds(call, *args):
    begin = time.monotonic()
    call(*args)
    return time.monotonic() - begin


def make_file(path):
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))


def processor_seconds(m):
    with open(f"/proc/{m.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ----------------------------------------------------------------- the socket

def client(m, question=b""):
    s = socket.socket(socket.AF_UNIX)
    s.connect(m.socket)
    s.sendall(question)
    return s


def drip(s, end):
    with contextlib.suppress(OSError):
        while not end.wait(0.5):
            s.sendall(b"x")


@contextlib.contextmanager
def slow_clients(m, questions):
    """Clients that send a byte now and then, and never read."""
    end, kept = threading.Event(), [client(m, question) for question in questions]
    threads = [threading.Thread(target=drip, args=(s, end)) for s in kept]
    for thread in threads:
        thread.start()
    try:
        yield kept
    finally:
        end.set()
        for thread in threads:
            thread.join()
        for s in kept:
            s.close()


def slow_clients_delay_no_other(m):
    """A client has ten seconds, whatever it sends, and others are answered meanwhile."""
    begin = time.monotonic()
    with slow_clients(m, [b"GET /metrics HTTP/1.0\r\n", b"m", b""] * 8) as kept:
        assert seconds(m.ask, "modules") < 2
        assert seconds(m.metrics) < 2
        for s in kept:
            s.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert s.recv(1) == b""
        assert 8 < time.monotonic() - begin < 15


def more_clients_than_places(m):
    """Clients beyond those that are served wait, and get their answers."""
    with slow_clients(m, [b""] * 40):
        assert seconds(m.ask, "modules") < 25


def slow_clients_do_not_hold_the_mount(m):
    with slow_clients(m, [b"GET /metrics HTTP/1.0\r\n", b"m", b"metrics\n"]):
        time.sleep(0.5)
        assert seconds(m.stop) < 5
    assert not os.path.ismount(m.path)


def an_unread_answer_delays_no_write(m):
    """A module's lock is not held while its figures are sent."""
    name = os.path.join(m.path, "file")
    fd = os.open(name, os.O_CREAT | os.O_RDWR, 0o666)
    for uid in range(10000, 16000):  # more figures than a socket holds
        os.seteuid(uid)
        os.pwrite(fd, b"x", 0)
        os.seteuid(0)
    with contextlib.closing(client(m, b"metrics\n")):
        time.sleep(0.5)
        os.seteuid(17000)
        try:
            assert seconds(os.pwrite, fd, b"x", 0) < 1
        finally:
            os.seteuid(0)
        assert seconds(make_file, os.path.join(m.path, "other")) < 1
    os.close(fd)
    assert m.metrics()["spyfs_quota_used_bytes", "15999"] == 1


def questions_have_an_end(m):
    for question in (b"x" * 100000, b"GET /metrics " + b"x" * 100000):
        with contextlib.closing(client(m)) as s, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(question)
            assert s.recv(100).startswith(b"error: ")
    m.ask("modules")


def refused_to_start(m, socket_path):
    """A second spyfs, with that socket, and what it said."""
    other = [os.path.join(m.scratch, name) for name in ("source2", "mount2")]
    for folder in other:
        os.makedirs(folder, exist_ok=True)
    done = subprocess.run([built(), *other, f"--socket={socket_path}"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode, done
    assert not os.path.ismount(other[1])
    return done.stderr


def only_a_stale_socket_is_replaced(m):
    path = os.path.join(m.scratch, "precious")
    for kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFLNK, stat.S_IFDIR):
        if kind == stat.S_IFLNK:
            os.symlink("audit.log", path)
        elif kind == stat.S_IFDIR:
            os.mkdir(path)
        else:
            os.mknod(path, kind | 0o600)
        assert os.strerror(errno.EEXIST) in refused_to_start(m, path)
        assert stat.S_IFMT(os.lstat(path).st_mode) == kind
        (os.rmdir if kind == stat.S_IFDIR else os.unlink)(path)
    assert os.strerror(errno.EADDRINUSE) in refused_to_start(m, m.socket)
    m.ask("modules")
    with socket.socket(socket.AF_UNIX) as s:  # another user's
        s.bind(path)
    os.chown(path, ALICE, ALICE)
    assert os.strerror(errno.EEXIST) in refused_to_start(m, path)
    os.mkdir(path + "-folder")
    os.chmod(path + "-folder", 0o777)  # where others could put something in its place
    assert os.strerror(errno.EPERM) in refused_to_start(m, path + "-folder/socket")
    assert os.strerror(errno.ENAMETOOLONG) in refused_to_start(m, "/tmp/" + "x" * 200)
    assert os.stat(m.socket).st_mode & 0o077 == 0
    m.process.kill()  # and leaves its socket behind
    m.process.wait()
    subprocess.run(["fusermount3", "-uz", m.path], check=True)
    assert os.path.exists(m.socket)
    with subprocess.Popen([built(), m.source, m.path, f"--socket={m.socket}"], stderr=subprocess.PIPE,
                          text=True) as again:
        assert "serving" in again.stderr.readline()
        again.terminate()
        assert again.wait(20) == 0


# ---------------------------------------------------------------- descriptors

def keep(paths, flags, told, end):
    """Open all, tell how many, and hold them."""
    kept, refused = [], set()
    for path in paths:
        try:
            kept.append(os.open(path, flags))
        except OSError as error:
            refused.add(error.errno)
    os.write(told, f"{len(kept)} {sorted(refused)}\n".encode())
    os.read(end, 1)


@contextlib.contextmanager
def holder(uid, paths, flags):
    """Yields how many descriptors @uid could open, and the errnos of the others."""
    (told, tell), (wait, end) = os.pipe(), os.pipe()
    pid = background(uid, keep, paths, flags, tell, wait)
    with os.fdopen(told) as answer:
        number, refused = answer.readline().split(" ", 1)
        try:
            yield int(number), refused.strip()
        finally:
            os.write(end, b".")
            assert os.waitpid(pid, 0)[1] == 0
            for fd in (tell, wait, end):
                os.close(fd)


def many_files(m, n):
    for i in range(n):
        make_file(os.path.join(m.source, str(i)))
        os.chmod(os.path.join(m.source, str(i)), 0o666)
    return [os.path.join(m.path, str(i)) for i in range(n)]


def remembered_files_cost_no_descriptor(m):
    """200 files are looked up, and 200 held without being open, at a limit of 64."""
    paths = many_files(m, 400)
    before = len(os.listdir(f"/proc/{m.process.pid}/fd"))
    for path in paths[:200]:
        as_user(ALICE, os.stat, path)
    with holder(ALICE, paths[200:], os.O_PATH) as (number, refused):
        assert (number, refused) == (200, "[]")
        for uid in (0, BOB):
            assert outcome(uid, os.stat, paths[0]) is not None
            assert len(as_user(uid, os.listdir, m.path)) == 400
            assert outcome(uid, make_file, paths[1]) is None
        m.ask("modules")
        m.wait_closed()
        assert len(os.listdir(f"/proc/{m.process.pid}/fd")) <= before + 2


def open_files_are_shared_out(m):
    """However many files some users hold, another user can open one."""
    paths = many_files(m, 100)
    enfile = f"[{errno.ENFILE}]"
    with holder(ALICE, paths, os.O_RDONLY) as (hers, refused):
        assert 4 <= hers < 40 and refused == enfile, (hers, refused)
        with holder(BOB, paths, os.O_RDONLY) as (his, refused):
            assert 2 <= his <= hers and refused == enfile, (his, refused)
            with holder(BOB + 1, [m.path] * 100, os.O_RDONLY) as (folders, refused):
                assert 1 <= folders <= his and refused == enfile, (folders, refused)
                assert outcome(ALICE, make_file, paths[0]) == "ENFILE"
                for uid in (0, BOB + 2):
                    assert outcome(uid, make_file, paths[0]) is None
                    assert len(as_user(uid, os.listdir, m.path)) == 100
                m.ask("modules")
    m.wait_closed()
    assert outcome(ALICE, make_file, paths[0]) is None


def without_descriptors_no_thread_spins(m):
    """A client waits while there is no descriptor for it, and spyfs sleeps."""
    limit = resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))
    with contextlib.closing(client(m, b"modules\n")) as s:
        before = processor_seconds(m)
        time.sleep(2)
        assert processor_seconds(m) - before < 0.3
        assert outcome(ALICE, os.stat, os.path.join(m.path, "none")) in ("EMFILE", "ENOENT")
        resource.prlimit(m.process.pid, resource.RLIMIT_NOFILE, limit)
        s.settimeout(5)
        assert s.recv(100) != b""
    assert outcome(ALICE, os.stat, os.path.join(m.path, "none")) == "ENOENT"


# -------------------------------------------------------------------- waiting

def hold_leases(paths, told, end):
    kept = [os.open(path, os.O_CREAT | os.O_RDWR, 0o666) for path in paths]
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    for fd in kept:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    os.write(told, b".")
    os.read(end, 1)


def leases_hold_no_thread(m):
    """Alice has a lease on each of 30 files below, and opens and cuts them through spyfs."""
    os.chmod(m.source, 0o777)
    names = [f"lease-{i}" for i in range(30)]
    (told, tell), (wait, end) = os.pipe(), os.pipe()
    pid = background(ALICE, hold_leases, [os.path.join(m.source, name) for name in names], tell, wait)
    os.read(told, 1)
    others = [background(ALICE, call, os.path.join(m.path, name), *args)
              for name, (call, *args) in zip(names, [(make_file,), (os.truncate, 0), (read,)] * 10)]
    time.sleep(0.3)
    assert seconds(make_file, os.path.join(m.path, "new")) < 1
    os.write(end, b".")
    for each in [pid] + others:
        os.waitpid(each, 0)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def fifos_hold_no_thread(m):
    """A FIFO that is put in the place of a file which is being made keeps no thread."""
    below, stop = os.path.join(m.source, "folder"), time.monotonic() + 2
    os.mkdir(below)
    os.chmod(below, 0o777)

    def swap():
        while time.monotonic() < stop:
            for i in range(20):
                with contextlib.suppress(OSError):
                    os.unlink(f"{below}/{i}")
                with contextlib.suppress(OSError):
                    os.mkfifo(f"{below}/{i}")

    def create():
        while time.monotonic() < stop:
            for i in range(20):
                with contextlib.suppress(OSError):
                    os.close(os.open(f"{m.path}/folder/{i}", os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK, 0o666))
                with contextlib.suppress(OSError):
                    os.unlink(f"{m.path}/folder/{i}")

    others = [background(ALICE, call) for call in (swap, create, create, create)]
    slowest = 0
    while time.monotonic() < stop:
        slowest = max(slowest, seconds(make_file, os.path.join(m.path, "new")))
    for each in others:
        os.waitpid(each, 0)
    assert slowest < 1.5, slowest


# --------------------------------------------------------------------- memory

FILES = 15000


def memory_is_an_errno(m):
    """Memory runs out while the kernel has spyfs remember files: ENOMEM, and then it goes on."""
    if b"__asan_init" in read(built()):
        print("not tested: AddressSanitizer ends a program that has no memory")
        return
    os.chmod(m.source, 0o777)
    for i in range(100):
        os.mkdir(f"{m.source}/{i}")
    for i in range(FILES):
        os.close(os.open(f"{m.source}/{i % 100}/{i}", os.O_CREAT | os.O_WRONLY, 0o666))
    m.ask("modules")
    with open(f"/proc/{m.process.pid}/status") as f:
        size = next(int(line.split()[1]) for line in f if line.startswith("VmData")) * 1024
    limit = resource.prlimit(m.process.pid, resource.RLIMIT_DATA)
    resource.prlimit(m.process.pid, resource.RLIMIT_DATA, (size, limit[1]))
    seen = as_user(ALICE, use_until_nomem, m.path)
    assert errno.ENOMEM in seen and seen[0] > 1000, seen
    assert set(seen) <= {0, errno.ENOMEM}, seen
    resource.prlimit(m.process.pid, resource.RLIMIT_DATA, limit)
    assert m.process.poll() is None and os.path.ismount(m.path)
    as_user(ALICE, make_file, os.path.join(m.path, "afterwards"))
    assert len(os.listdir(m.path)) == 101
    m.wait_closed()
    m.metrics()


def use_until_nomem(path):
    """How often each errno was seen.  The kernel remembers what was looked up."""
    seen = {}
    for i in range(FILES):
        name = f"{path}/{i % 100}/{i}"
        try:
            os.stat(name)
            if i % 4 == 0:
                os.close(os.open(name, os.O_RDONLY))
            result = 0
        except OSError as error:
            result = error.errno
        seen[result] = seen.get(result, 0) + 1
        if seen.get(errno.ENOMEM, 0) > 500:
            break
    return seen


run_steps((slow_clients_delay_no_other, more_clients_than_places, slow_clients_do_not_hold_the_mount,
           an_unread_answer_delays_no_write, questions_have_an_end, only_a_stale_socket_is_replaced,
           without_descriptors_no_thread_spins, leases_hold_no_thread, fifos_hold_no_thread,
           memory_is_an_errno), "audit=LOG,quota,heat")
run_steps((remembered_files_cost_no_descriptor, open_files_are_shared_out), "audit=LOG,quota,heat",
          limits=("prlimit", "--nofile=64:64"))
