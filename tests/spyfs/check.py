#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
spyfs in general: files pass through unchanged, modules do their work and are
loaded and unloaded under load, and SIGTERM leaves nothing.  SPYFS is the
program, SPYFS_REGISTRY its store.
"""
import errno
import mmap
import multiprocessing
import os
import shutil
import socket
import subprocess
import time

from mount import Mount, built, nothing_left

SECONDS = float(os.environ.get("SPYFS_SECONDS", 2))
WORKERS = 4


def tree_sum(path):
    return subprocess.check_output(
        f"tar -C '{path}' --sort=name -cf - . | sha256sum", shell=True)


def refused(code, call, *args):
    try:
        call(*args)
    except OSError as error:
        assert error.errno == code, error
    else:
        raise AssertionError(f"{call} was not refused")


def passes_through(m):
    """Changes at the mount appear below."""
    here = os.path.join(m.path, "names")
    below = os.path.join(m.source, "names")
    os.mkdir(here, 0o751)
    a, b, c = (os.path.join(here, name) for name in "abc")
    with open(a, "w") as f:
        f.write("one")
    with open(a, "a") as f:
        f.write(" two")
    os.link(a, b)
    os.symlink("a", c)
    os.chmod(a, 0o640)
    os.utime(a, ns=(10**18, 10**18 + 7))
    os.utime(c, ns=(10**18, 10**18 + 9), follow_symlinks=False)
    status = os.stat(os.path.join(below, "a"))
    assert (status.st_mode & 0o7777, status.st_nlink, status.st_mtime_ns) == (0o640, 2, 10**18 + 7)
    assert os.lstat(os.path.join(below, "c")).st_mtime_ns == 10**18 + 9
    assert open(c).read() == "one two" and os.readlink(os.path.join(below, "c")) == "a"
    assert os.stat(below).st_mode & 0o7777 == 0o751
    os.rename(b, os.path.join(m.path, "moved"))
    assert open(os.path.join(m.source, "moved")).read() == "one two"
    refused(errno.ENOENT, os.stat, b)
    refused(errno.ENOTEMPTY, os.rmdir, here)
    os.truncate(a, 3)
    assert open(os.path.join(below, "a")).read() == "one"
    for i in range(300):
        os.symlink("nowhere", os.path.join(here, f"link-{i}"))
    assert sorted(os.listdir(here)) == sorted(os.listdir(below)) and len(os.listdir(here)) == 302
    with open(a, "r+b") as f:  # deleted while it is open, and written through memory
        os.unlink(a)
        f.truncate(8192)
        with mmap.mmap(f.fileno(), 8192) as memory:
            memory[5000:5005] = b"mmap!"
        assert os.pread(f.fileno(), 5, 5000) == b"mmap!"
        assert os.fstat(f.fileno()).st_nlink == 1  # "moved"
    try:
        os.setxattr(below, "user.spy", b"value")
    except OSError:
        return  # the filesystem below has none
    assert os.getxattr(here, "user.spy") == b"value"
    os.setxattr(here, "user.spy", b"other")
    assert os.listxattr(here).count("user.spy") == 1
    os.removexattr(here, "user.spy")
    refused(errno.ENODATA, os.getxattr, below, "user.spy")


def storm(path, number, end, done):
    """Open, write, read back and close: a file of this process and one of all."""
    mine = os.path.join(path, f"storm-{number}")
    shared = os.path.join(path, "shared")
    rounds = 0
    while time.monotonic() < end:
        data = f"{number} {rounds} ".encode() * (rounds % 700 + 1)
        with open(mine, "wb") as f:
            f.write(data)
        with open(shared, "rb") as f, open(mine, "rb") as again:
            assert again.read() == data
            assert f.read() == b"shared"
        rounds += 1
    assert rounds > 0
    done.put(rounds)


def contexts_of_owners(m):
    return sum(v for k, v in m.metrics().items() if k[0] == "streamctx_owner_contexts")


def storms(m):
    """Load, while modules are unloaded and loaded."""
    with open(os.path.join(m.path, "shared"), "wb") as f:
        f.write(b"shared")
    done = multiprocessing.Queue()
    end = time.monotonic() + SECONDS
    workers = [multiprocessing.Process(target=storm, args=(m.path, i, end, done))
               for i in range(WORKERS)]
    for worker in workers:
        worker.start()
    unloads = 0
    while time.monotonic() < end:
        for name in ("heat=1", "quota=1G", f"audit={m.log}"):
            m.ask("unload", name.split("=")[0])
            assert name not in m.ask("modules")
            m.run("top", "--once")
            m.ask("load", name)
            m.metrics()
            unloads += 1
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    rounds = sum(done.get() for _ in workers)
    m.wait_closed()
    # The last contexts are freed after a grace period.
    deadline = time.monotonic() + 20
    while contexts_of_owners(m):
        assert time.monotonic() < deadline, m.metrics()
        time.sleep(0.05)
    print(f"{rounds} rounds of {WORKERS} processes, {unloads} unloads")


def quota(m):
    """Each user may write up to the limit, counted apart from other users."""
    m.ask("unload", "quota")
    m.ask("load", "quota=1M")
    name = os.path.join(m.path, "much")
    block = b"x" * 65536
    with open(name, "wb", buffering=0) as f:
        for _ in range(16):
            assert f.write(block) == len(block)
        refused(errno.EDQUOT, f.write, b"y")
        if os.geteuid() == 0:
            pid = os.fork()
            if pid == 0:
                os.setuid(65534)
                os._exit(f.write(block) != len(block))
            assert os.waitpid(pid, 0)[1] == 0
    value = m.metrics()
    me = str(os.geteuid())
    assert value["spyfs_quota_used_bytes", me] == 1 << 20, value
    assert value["spyfs_quota_refused_total", me] == 1
    if os.geteuid() == 0:
        assert value["spyfs_quota_used_bytes", "65534"] == 65536
    m.ask("unload", "quota")
    with open(name, "ab", buffering=0) as f:
        assert f.write(b"y") == 1
    m.ask("load", "quota")


def audit(m):
    """Each close of a stream leaves a line with its figures."""
    m.wait_closed()
    with open(os.path.join(m.path, "audited"), "wb", buffering=0) as f:
        f.write(b"a" * 4096)
        f.write(b"b" * 8192)
    m.wait_closed()
    with open(os.path.join(m.path, "audited"), "rb", buffering=0) as f, \
         open(os.path.join(m.path, "audited"), "rb", buffering=0) as again:
        assert len(f.read(12288)) == 12288
        table = m.run("top", "--once")
        assert [row.split()[1:3] for row in table.split("\n") if "audited" in row] == [["2", "1"]], table
        del again
    m.wait_closed()
    m.ask("unload", "audit")  # the log is complete then
    lines = [line.split() for line in open(m.log) if line.rstrip().endswith("/source/audited")]
    figures = [dict(zip(line[0:12:2], map(int, line[1:12:2]))) for line in lines]
    for figure in figures:
        del figure["ns"]
    assert figures == [
        {"opens": 1, "reads": 0, "writes": 2, "read": 0, "written": 12288},
        {"opens": 2, "reads": 1, "writes": 0, "read": 12288, "written": 0},
    ], figures
    m.ask("load", "audit")


def heat(m):
    """A temperature falls by half in a half-life, and outlives a close."""
    def degrees():
        return float(next(row for row in m.run("top", "--once").split("\n") if "warm" in row).split()[0])

    m.ask("unload", "heat")
    m.ask("load", "heat=1")
    name = os.path.join(m.path, "warm")
    with open(name, "wb", buffering=0) as f:
        for _ in range(100):
            f.write(b"x")
        hot = degrees()
        time.sleep(0.6)
        assert 0 < degrees() < 0.75 * hot, hot
        for _ in range(200):
            f.write(b"x")
    m.wait_closed()
    with open(name, "rb"):
        assert degrees() > 2  # this open alone would be 1


def asked(m):
    """Wrong questions are refused, and Prometheus gets its answer."""
    for wrong in (["load", "nosuch"], ["load", "heat"], ["unload", "nosuch"], ["load", "../audit"], ["what"]):
        try:
            m.ask(*wrong)
        except RuntimeError as error:
            assert str(error).startswith("error: "), error
        else:
            raise AssertionError(f"{wrong} was not refused")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(m.socket)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: spyfs\r\n\r\n")
        reply = b"".join(iter(lambda: s.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.0 200 OK\r\n") and b"\r\n\r\n# HELP " in reply


def main():
    registry = os.environ["SPYFS_REGISTRY"]
    with Mount(built(), registry, "audit=LOG,quota=1G,heat=1") as m:
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        for folder in ("lib", "include", "tests"):
            shutil.copytree(os.path.join(top, folder), os.path.join(m.path, folder), symlinks=True)
        assert tree_sum(m.path) == tree_sum(m.source)
        assert subprocess.run(["diff", "-r", os.path.join(top, "lib"), os.path.join(m.path, "lib")]).returncode == 0
        for step in (passes_through, storms, quota, audit, heat, asked):
            begin = time.monotonic()
            step(m)
            print(f"{step.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
        assert tree_sum(m.path) == tree_sum(m.source)
        with open(os.path.join(m.path, "open"), "wb", buffering=0) as left:
            left.write(b"at the end")
            status, said = m.stop()
            print(said)
            assert status == 0, status
            assert "spyfs: 1 files were still open\n" in said
            refused(errno.ENOTCONN, left.write, b"no more")
        nothing_left(said)
        assert not os.path.ismount(m.path) and os.listdir(m.path) == []


main()
