#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Test suites that other people wrote, run by a second user: on a folder, and on a
spyfs above such a folder.  Each case has the same result on both.

  fio           verified writes: plain, mapped, asynchronous, direct
  stress-ng     every stressor of its class `filesystem`, verified
  CPython       its tests of files and folders

  SPYFS_MINUTES=10   of stress-ng on spyfs     SPYFS_ONLY=fio,stress_ng,cpython
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from mount import Mount, built, nothing_left
from second import ALICE

MINUTES = float(os.environ.get("SPYFS_MINUTES", 10))
ONLY = [name for name in os.environ.get("SPYFS_ONLY", "").split(",") if name]

PYTHON_TESTS = ("test_bufio test_bz2 test_dbm test_dbm_dumb test_fcntl test_file test_filecmp test_fileinput"
                " test_fileio test_genericpath test_glob test_gzip test_import test_io test_largefile test_lzma"
                " test_mailbox test_mmap test_os test_pathlib test_posix test_posixpath test_shelve test_shutil"
                " test_sqlite3 test_stat test_tarfile test_tempfile test_unicode_file"
                " test_unicode_file_functions test_zipfile").split()


def run(folder, *command, **more):
    """Run the command as Alice, the owner of @folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
    return subprocess.run(command, cwd=folder, user=ALICE, group=ALICE, extra_groups=(), env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", **more)


def fio(folder, on_spyfs):
    """name: whether it passed"""
    jobs = {
        "random": ("--rw=randrw", "--ioengine=psync", "--bsrange=512-64k"),
        "vectors": ("--rw=randwrite", "--ioengine=pvsync2", "--bs=4k"),
        "mapped": ("--rw=randrw", "--ioengine=mmap", "--bs=4k"),
        "asynchronous": ("--rw=randrw", "--ioengine=libaio", "--iodepth=16", "--bsrange=1k-32k"),
        "direct": ("--rw=randrw", "--ioengine=libaio", "--iodepth=16", "--bs=4k", "--direct=1"),
        "uring": ("--rw=randrw", "--ioengine=io_uring", "--iodepth=16", "--bsrange=4k-64k"),
        "synchronous": ("--rw=randwrite", "--ioengine=sync", "--bs=4k", "--sync=1", "--io_size=1M"),
        "appended": ("--rw=write", "--ioengine=sync", "--bs=3000", "--file_append=1"),
        "allocated": ("--rw=randwrite", "--ioengine=psync", "--bs=4k", "--fallocate=posix"),
    }
    results = {}
    for name, options in jobs.items():
        done = run(folder, "fio", f"--name={name}", f"--directory={folder}", "--numjobs=4", "--size=8M", "--nrfiles=4",
                   "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0",
                   "--group_reporting", *options)
        results[name] = done.returncode == 0
        if done.returncode:
            print(f"fio {name}: {done.stdout[-600:]}")
        for file in os.listdir(folder):
            if file.startswith(name + "."):
                os.unlink(os.path.join(folder, file))
    return results


def stressors():
    listed = subprocess.run(["stress-ng", "--class", "filesystem?"], capture_output=True, text=True)
    return (listed.stdout + listed.stderr).split("stressors: ")[1].split()


def stress_ng(folder, on_spyfs):
    """stressor: its exit status; 3 and 4: not possible here"""
    names = stressors()
    seconds = max(1, round(MINUTES * 60 / len(names))) if on_spyfs else 2
    results = {}
    for name in names:
        done = run(folder, "stress-ng", f"--{name}", "2", "--timeout", f"{seconds}s", "--verify", "--temp-path",
                   folder, timeout=seconds + 1200)
        results[name] = done.returncode
        for line in done.stdout.splitlines():
            if on_spyfs and "fail:" in line:
                print(f"stress-ng {name}: {line}")
    return results


def cpython(folder, on_spyfs):
    """case: passed, or how it failed"""
    report = os.path.join(folder, "report.xml")
    installed = [name for name in PYTHON_TESTS if subprocess.run(
        ["/usr/bin/python3", "-c", f"import importlib.util as u; exit(not u.find_spec('test.{name}'))"]).returncode == 0]
    if not installed:
        sys.exit("missing package libpython3.*-testsuite: run 'make deps-spyfs'")
    done = run(folder, "/usr/bin/python3", "-m", "test", "--tempdir", folder, "--junit-xml", report,
               *installed)
    if not os.path.exists(report):
        raise RuntimeError(done.stdout[-3000:])
    results = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        name = re.sub(r"/\S*", "", case.get("name"))
        results[name] = min(kinds) if kinds else "passed"
    return results


def on_folder(suite):
    folder = tempfile.mkdtemp(prefix="spyfs-plain-")
    try:
        os.chown(folder, ALICE, ALICE)
        return suite(folder, False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_spyfs(suite):
    with Mount(built(), "streamctx", "audit=LOG,quota,heat") as m:
        folder = os.path.join(m.path, "alice")
        os.mkdir(folder)
        os.chown(folder, ALICE, ALICE)
        results = suite(folder, True)
        assert m.process.poll() is None, "spyfs ended"
        shutil.rmtree(folder, ignore_errors=True)
        m.wait_closed()
        status, said = m.stop()
        assert status == 0, said
        print(f"{suite.__name__}: {nothing_left(said)} opens, nothing left", flush=True)
        return results


def main():
    differ = []
    for suite in (fio, stress_ng, cpython):
        if ONLY and suite.__name__ not in ONLY:
            continue
        plain, spied = on_folder(suite), on_spyfs(suite)
        names = sorted(name for name in {**plain, **spied} if plain.get(name) != spied.get(name))
        print(f"{suite.__name__}: {len(plain)} on the folder, {len(spied)} on spyfs, {len(names)} differ", flush=True)
        for name in names:
            print(f"  {name}: {plain.get(name)} on the folder, {spied.get(name)} on spyfs")
        differ += names
    assert not differ, differ


for program in ("fio", "stress-ng"):
    if not shutil.which(program):
        sys.exit(f"missing package {program}: run 'make deps-spyfs'")
main()
