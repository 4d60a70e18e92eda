# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Real programs in a folder.  Each workload is prepared, then timed, and checks its
own results.  Its files fit into the page cache, so the disk is not measured.
"""
import os
import shutil
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Workload:
    packages = ()  # programs

    def __init__(self, folder, size, mounted):
        self.folder = folder
        self.size = size  # 1: a round takes some seconds through a mount
        self.mounted = mounted  # on spyfs, or a plain folder

    def prepare(self):
        pass

    def path(self, name):
        return os.path.join(self.folder, name)


class Fio(Workload):
    packages = ("fio",)

    def fio(self, *options):
        run("fio", "--name=fio", f"--directory={self.folder}", "--numjobs=4", "--thread", "--minimal",
            "--group_reporting", "--fallocate=none", "--verify_state_save=0", *options)


class Random(Fio):
    """fio: 4 jobs, 32 files each, 4 KiB at random, reads and writes; all verified"""

    def work(self):
        self.fio("--rw=randrw", "--bs=4k", "--filesize=64k", "--nrfiles=32",
                 f"--io_size={int(24 * self.size)}M", "--verify=crc32c", "--verify_fatal=1")


class Sequential(Fio):
    """fio: 4 jobs, 32 MiB written and read in pieces of 128 KiB; all verified"""

    def work(self):
        self.fio("--rw=write", "--bs=128k", f"--size={int(32 * self.size)}M",
                 "--verify=crc32c", "--verify_fatal=1")


class OneFile(Fio):
    """fio: 8 jobs, 4 KiB at random from one file, past the kernel's page cache to spyfs"""

    def work(self):
        self.fio("--filename=one", "--rw=randread", "--bs=4k", "--size=4M", "--numjobs=8",
                 f"--io_size={int(192 * self.size)}M", f"--direct={int(self.mounted)}")


class OpenClose(Fio):
    """fio: 4 jobs, an open, a read of 4 KiB and a close, of 4 x 500 files at random"""

    def work(self):
        self.fio("--rw=randread", "--bs=4k", "--filesize=4k", "--nrfiles=500", "--openfiles=1",
                 "--file_service_type=random", "--size=2M", f"--io_size={int(16 * self.size)}M")


class Create(Fio):
    """fio: 4 jobs, 1500 files each made and closed"""

    def work(self):
        self.fio("--ioengine=filecreate", "--filesize=4k", f"--nrfiles={int(1500 * self.size)}",
                 "--openfiles=1", "--create_on_open=1")


class Git(Workload):
    """git clone of this repository, and fsck"""
    packages = ("git",)

    def work(self):
        run("git", "clone", "-q", "--no-local", TOP, self.path("clone"))
        run("git", "-C", self.path("clone"), "fsck", "--full", "--strict")
        assert run("git", "-C", self.path("clone"), "status", "--porcelain") == ""


class Compile(Workload):
    """make -j2 of this library, with gcc"""

    def prepare(self):
        for name in ("include", "lib"):
            shutil.copytree(os.path.join(TOP, name), self.path(name))
        shutil.copy(os.path.join(TOP, "Makefile"), self.folder)

    def work(self):
        run("make", "-s", "-j2", "-C", self.folder, "lib", "B=build",
            env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})
        assert "sctx_open" in run("nm", "-D", self.path("build/libstreamctx.so"))


class Tar(Workload):
    """tar | sha256sum of 40 copies of this library's sources"""

    def prepare(self):
        for i in range(40):
            shutil.copytree(os.path.join(TOP, "lib"), self.path(f"lib-{i}"))

    def work(self):
        for _ in range(max(1, int(3 * self.size))):
            run("sh", "-c", f"tar -C '{self.folder}' --sort=name -cf - . | sha256sum")


class Sqlite(Workload):
    """sqlite3: a database in 100 transactions, with and without WAL; integrity_check"""
    packages = ("sqlite3",)

    def work(self):
        for mode in ("delete", "wal"):
            rows = int(1000 * self.size)
            script = [f"pragma journal_mode={mode}; pragma synchronous=off;"
                      "create table t (k integer primary key, v text); create index v on t (v);"]
            for i in range(50):
                script.append(
                    "begin; with recursive n(i) as (select 1 union all select i + 1 from n where i < "
                    f"{rows}) insert into t(v) select hex(randomblob(20)) from n;"
                    f"delete from t where k % 7 = {i % 7}; commit;")
            script.append("pragma integrity_check; select count(*) > 0 from t;")
            lines = run("sqlite3", self.path(f"{mode}.db"), input="".join(script)).split()
            assert lines == [mode, "ok", "1"], lines


class Stress(Workload):
    """stress-ng: file names of all lengths and characters, and directory entries"""
    packages = ("stress-ng",)

    def work(self):
        run("stress-ng", "-q", "--verify", "--temp-path", self.folder,
            "--filename", "2", "--filename-ops", str(int(8000 * self.size)),
            "--dentry", "2", "--dentry-ops", str(int(6000 * self.size)),
            "--open", "2", "--open-ops", str(int(4000 * self.size)))


ALL = (Random, Sequential, OneFile, OpenClose, Create, Tar, Git, Compile, Sqlite, Stress)
