#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What spyfs prints, logs and counts: no name that a user chose acts on a
terminal, the audit log is its owner's alone, and quota's sums are right.
"""
import contextlib
import errno
import os
import subprocess
import time

from mount import run_steps
from second import ALICE, BOB, as_user, background, outcome

ESCAPES = (b"c1\xc2\x9b31mRED", b"osc\xc2\x9d0;title\xc2\x9c", b"raw\x9b31m", b"raw\x9d0;x\x9c", b"esc\x1b[31m",
           b"bell\x07", b"del\x7f", b"line\nfeed", b"return\rx", b"nel\xc2\x85", b"\xe2\x80\xaebidi",
           b"\xe2\x80\xa8line", b"\xff\xfe", b"cut\xe2\x82", b"\xed\xa0\x80surrogate", b"zero\xe2\x80\x8bwidth",
           b"tag\xf3\xa0\x81\x81", b"back\x08\x08")
HARMLESS = ("Grüße", "日本語", "naïve", "emoji 🙂", "plain")


def assert_harmless(text):
    text = text.decode()  # it is UTF-8
    for c in text.replace("\n", ""):
        assert c.isprintable(), (hex(ord(c)), text)


def names_are_harmless(m):
    """In top, in the audit log, and in the answers of a socket that is not spyfs's."""
    here = m.path.encode()
    rows = b""
    for names in (ESCAPES, [name.encode() for name in HARMLESS]):  # no more at once than top has rows
        opened = [os.open(os.path.join(here, name), os.O_CREAT | os.O_RDWR, 0o644) for name in names]
        rows += subprocess.run([m.program, "top", "--once", f"--socket={m.socket}"], capture_output=True,
                               check=True).stdout
        for fd in opened:
            os.close(fd)
        m.wait_closed()
    assert_harmless(rows)
    m.ask("unload", "audit")
    with open(m.log, "rb") as f:
        log = f.read()
    assert_harmless(log)
    assert log.count(b"\n") == len(ESCAPES) + len(HARMLESS)
    for name in HARMLESS:
        assert name in rows.decode() and name in log.decode(), name
    try:
        m.ask("unload", "x\x1b[31m\u009b31m")
    except RuntimeError as error:
        assert_harmless(str(error).encode())
    else:
        raise AssertionError("a module has that name")


def top_in_a_file_is_text(m):
    """`top` clears a terminal, and writes no escape codes elsewhere."""
    top = subprocess.Popen([m.program, "top", f"--socket={m.socket}"], stdout=subprocess.PIPE)
    time.sleep(1.5)
    top.terminate()
    out = top.communicate()[0]
    assert out.count(b"STREAM") >= 2, out
    assert_harmless(out)
    master, slave = os.openpty()
    with subprocess.Popen([m.program, "top", f"--socket={m.socket}"], stdout=slave) as top:
        time.sleep(0.5)
        assert b"\x1b[2J" in os.read(master, 65536)
        top.terminate()
    os.close(master)
    os.close(slave)


# ------------------------------------------------------------------ audit log

def refused(m, *words):
    try:
        m.ask(*words)
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"{words} was not refused")


def the_log_is_its_owners(m):
    assert os.stat(m.log).st_mode & 0o7777 == 0o600
    m.ask("unload", "audit")
    victim = os.path.join(m.scratch, "victim")
    with open(victim, "w") as f:
        f.write("untouched")
    os.chmod(m.log, 0o644)  # as an old version left it
    os.symlink(victim, m.log + ".symlink")
    with open(m.log + ".other", "w"):
        os.chown(m.log + ".other", ALICE, ALICE)
    os.link(victim, m.log + ".link")
    os.mkfifo(m.log + ".fifo")
    for name, why in ((".symlink", errno.ELOOP), (".other", errno.EPERM), (".link", errno.EPERM),
                      (".fifo", errno.ENXIO), ("/none", errno.ENOTDIR)):
        assert os.strerror(why) in refused(m, "load", f"audit={m.log}{name}"), name
    with open(victim) as f:
        assert f.read() == "untouched"
    m.ask("load", f"audit={m.log}")
    assert os.stat(m.log).st_mode & 0o7777 == 0o600


def long_paths_are_whole(m):
    """Or refused: never another file than the one that was named."""
    folder = m.scratch
    while len(folder) < 1000:
        folder = os.path.join(folder, "x" * 200)
    os.makedirs(folder)
    m.ask("unload", "audit")
    m.ask("load", f"audit={folder}/log")
    assert f"audit={folder}/log" in m.ask("modules")
    assert os.listdir(folder) == ["log"]
    m.ask("unload", "audit")
    assert os.strerror(errno.ENAMETOOLONG) in refused(m, "load", "audit=" + "y" * 4500)
    assert "too long" in refused(m, "load", "audit=" + "z" * 9000)
    refused(m, "load", "x" * 5000)
    assert "audit" not in m.ask("modules")


def a_full_disk_is_counted(m):
    """Lines that the disk has no room for are lost, and counted."""
    m.ask("unload", "audit")
    os.mkdir(m.log + ".d")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", m.log + ".d"], capture_output=True).returncode:
        print("not tested: no mount(8) here")
        return
    try:
        m.ask("load", f"audit={m.log}.d/log")
        for _ in range(200):
            os.close(os.open(os.path.join(m.path, "file"), os.O_CREAT | os.O_RDWR))
        m.wait_closed()
        end = time.monotonic() + 20
        while m.metrics()["spyfs_audit_lost_lines_total",] == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        m.ask("unload", "audit")
    finally:
        subprocess.run(["umount", m.log + ".d"], check=True)


# ---------------------------------------------------------------------- quota

def used(m, uid):
    return m.metrics().get(("spyfs_quota_used_bytes", str(uid)), 0)


def allocations_count(m):
    m.ask("unload", "quota")
    m.ask("load", "quota=1M")
    fd = os.open(os.path.join(m.path, "file"), os.O_CREAT | os.O_RDWR, 0o666)

    def allocate(length):
        return outcome(ALICE, os.posix_fallocate, fd, 0, length)

    assert allocate(2 << 20) == allocate(1 << 62) == "EDQUOT"
    assert allocate(512 << 10) is None
    assert as_user(ALICE, os.pwrite, fd, b"x" * (256 << 10), 0) == 256 << 10
    assert used(m, ALICE) == 768 << 10
    assert allocate(512 << 10) == "EDQUOT"
    assert allocate(256 << 10) is None
    assert outcome(ALICE, os.pwrite, fd, b"x", 0) == "EDQUOT"
    os.close(fd)
    assert used(m, ALICE) == 1 << 20 and used(m, BOB) == 0


def write_too_far(fd):
    """A write that fails below, but not on tmpfs: there only allocations do."""
    os.pwrite(fd, b"x" * 65536, 1 << 61)


def allocate_too_much(fd):
    os.posix_fallocate(fd, 0, 1 << 62)


def failing(m):
    """The calls that fail on the filesystem below."""
    calls = []
    with open(os.path.join(m.source, "try"), "wb") as f:
        for call in (write_too_far, allocate_too_much):
            try:
                call(f.fileno())
            except OSError as error:
                assert error.errno in (errno.EFBIG, errno.ENOSPC), error
                calls.append(call)
    return calls


def failures_are_given_back(m):
    fd = os.open(os.path.join(m.path, "file"), os.O_CREAT | os.O_RDWR, 0o666)
    for call in failing(m) * 3:
        assert outcome(ALICE, call, fd) in ("EFBIG", "ENOSPC")
    os.close(fd)
    assert used(m, ALICE) == 0


def hold(path):
    """One long write, during which the file's other changes wait."""
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, bytes(512 << 20), 0)


def refuse(call, path):
    fd = os.open(path, os.O_WRONLY)
    with contextlib.suppress(OSError):
        call(fd)


def no_underflow_across_loads(m):
    """A change is charged, quota is unloaded and loaded, and the change fails."""
    name, below, call = os.path.join(m.path, "file"), os.path.join(m.source, "file"), failing(m)[0]
    os.close(os.open(below, os.O_CREAT))
    overlapped = False
    for _ in range(20):
        pids = [background(0, hold, below)]
        time.sleep(0.1)
        pids.append(background(0, refuse, call, name))
        time.sleep(0.05)
        m.ask("unload", "quota")
        m.ask("load", "quota")
        overlapped = os.waitpid(pids[1], os.WNOHANG) == (0, 0)
        for pid in pids[:1 + overlapped]:
            os.waitpid(pid, 0)
        m.wait_closed()
        assert used(m, 0) == 0, used(m, 0)
        if overlapped:
            return
    raise AssertionError("the change never overlapped the load")


def wrong_sizes_are_refused(m):
    m.ask("unload", "quota")
    for size, why in (("99999999999999999999", errno.ERANGE), ("18446744073709551615K", errno.ERANGE),
                      ("16777216T", errno.ERANGE), ("-1", errno.EINVAL), ("+1", errno.EINVAL), (" 1", errno.EINVAL),
                      ("1X", errno.EINVAL), ("1KK", errno.EINVAL), ("K", errno.EINVAL)):
        assert os.strerror(why) in refused(m, "load", f"quota={size}"), size
    for size in ("0", "1", "18446744073709551615", "16777215T", "1K"):
        m.ask("load", f"quota={size}")
        m.ask("unload", "quota")
    m.ask("load", "quota=0")
    with open(os.path.join(m.path, "none"), "wb", buffering=0) as f:
        assert outcome(0, f.write, b"x") == "EDQUOT"
    m.ask("unload", "heat")
    for seconds in ("0", "-1", "nan", "inf", "1e-300", "1e300", "1x", "x"):
        refused(m, "load", f"heat={seconds}")
    m.ask("load", "heat=0.5")


run_steps((names_are_harmless, top_in_a_file_is_text, the_log_is_its_owners, long_paths_are_whole,
           a_full_disk_is_counted, allocations_count, failures_are_given_back, no_underflow_across_loads,
           wrong_sizes_are_refused), "audit=LOG,quota,heat")
