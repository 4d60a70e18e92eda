#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Real programs on a plain folder and on spyfs with each registry, in turn, while a
module is loaded and unloaded.  Contents must be identical and nothing may be
left.  SPYFS_OUT is the file for the table.

  SPYFS_ROUNDS=3   rounds of each workload      SPYFS_SIZE=1   size of a round
  SPYFS_ONLY=Git,Tar   these workloads alone
"""
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import workloads
from mount import Mount, nothing_left
from shares import Profile

PROGRAM = os.environ["SPYFS"]
ROUNDS = int(os.environ.get("SPYFS_ROUNDS", 3))
SIZE = float(os.environ.get("SPYFS_SIZE", 1))
ONLY = [name for name in os.environ.get("SPYFS_ONLY", "").split(",") if name]
REGISTRIES = ("streamctx", "mutex")


def tree_sum(path):
    return workloads.run("sh", "-c", f"tar -C '{path}' --sort=name -cf - . | sha256sum")


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cycle(threading.Thread):
    """Unloads and loads a module twice a second."""

    def __init__(self, mount):
        super().__init__()
        self.mount, self.end, self.unloads, self.failed = mount, threading.Event(), 0, None

    def run(self):
        try:
            while not self.end.wait(0.5):
                self.mount.ask("unload", "heat")
                self.mount.ask("load", "heat")
                self.unloads += 1
        except Exception as error:
            self.failed = error

    def stop(self):
        self.end.set()
        self.join()
        if self.failed:
            raise self.failed


def timed(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def on_plain(kind):
    folder = tempfile.mkdtemp(prefix="spyfs-plain-")
    try:
        workload = kind(folder, SIZE, mounted=False)
        workload.prepare()
        return {"wall": timed(workload.work)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def on_spyfs(kind, registry, profiled=False):
    with Mount(PROGRAM, registry, "audit=LOG,quota,heat") as mount:
        workload = kind(mount.path, SIZE, mounted=True)
        workload.prepare()
        cycle = Cycle(mount)
        cycle.start()
        profile = Profile(mount.process.pid, mount.scratch + "/perf.data") if profiled else None
        processor = processor_seconds(mount.process.pid)
        try:
            got = {"wall": timed(workload.work)}
            got["processor"] = processor_seconds(mount.process.pid) - processor
            if profile:
                got["shares"], got["samples"] = profile.shares()
        finally:
            cycle.stop()
        assert tree_sum(mount.path) == tree_sum(mount.source), "contents differ"
        mount.wait_closed()
        status, said = mount.stop()
        assert status == 0, said
        got["opens"], got["unloads"] = nothing_left(said), cycle.unloads
        return got


def missing(kind):
    for program in kind.packages:
        if not shutil.which(program):
            return program
    return None


def spread(values):
    return f"{statistics.median(values):7.2f} ({min(values):.2f}-{max(values):.2f})"


def report(results, out):
    def say(line=""):
        print(line)
        out.write(line + "\n")

    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    say(f"spyfs: real programs through it, {ROUNDS} rounds in turn, medians (least-most)")
    say(f"{cpu}, {os.cpu_count()} processors, Linux {platform.release()}, "
        f"load {os.getloadavg()[1]:.1f}, {time.strftime('%Y-%m-%d')}")
    say("wall: seconds of the program.  CPU: seconds of spyfs.  registry: share of spyfs's CPU time")
    say("in the registry, its reclaimer and what they call included (perf, a round of its own).")
    say("plain: without spyfs.")
    say()
    say(f"{'':12}{'wall: plain':>20}{'streamctx':>22}{'mutex':>22}{'CPU: streamctx':>22}{'mutex':>22}"
        f"{'registry: streamctx':>21}{'mutex':>7}{'opens':>9}{'unloads':>8}")
    for name, result in results.items():
        line = f"{name:12}{spread([r['wall'] for r in result['plain']]):>20}"
        for key in ("wall", "processor"):
            for registry in REGISTRIES:
                line += f"{spread([r[key] for r in result[registry]]):>22}"
        for registry, width in zip(REGISTRIES, (21, 7)):
            shares = result["profile", registry]["shares"]
            share = shares.get("registry", 0) + shares.get("reclaimer", 0)
            line += f"{100 * share:{width - 1}.1f}%"
        line += f"{result['streamctx'][0]['opens']:9}"
        line += f"{sum(r['unloads'] for kept in REGISTRIES for r in result[kept]):8}"
        say(line)
    say()
    parts = ("registry", "reclaimer", "modules", "spyfs, libfuse", "kernel")
    say("of spyfs's CPU time   " + "".join(f"{part:>16}" for part in parts) + "   samples")
    for name, result in results.items():
        for registry in REGISTRIES:
            got = result["profile", registry]
            say(f"{name:12}{registry:10}" + "".join(f"{100 * got['shares'].get(part, 0):15.1f}%" for part in parts)
                + f"{got['samples']:10}")
    say()
    for kind in workloads.ALL:
        if kind.__name__ in results:
            say(f"{kind.__name__}: {kind.__doc__}")


def main():
    results = {}
    for kind in workloads.ALL:
        name = kind.__name__
        if ONLY and name not in ONLY:
            continue
        if missing(kind):
            print(f"skip: {name}: no {missing(kind)} (make deps-spyfs)")
            continue
        result = results[name] = {"plain": [], "streamctx": [], "mutex": []}
        for _ in range(ROUNDS):
            result["plain"].append(on_plain(kind))
            for registry in REGISTRIES:
                result[registry].append(on_spyfs(kind, registry))
        for registry in REGISTRIES:
            result["profile", registry] = on_spyfs(kind, registry, profiled=True)
        print(f"ok: {name}", flush=True)
    with open(os.environ["SPYFS_OUT"], "w") as out:
        report(results, out)


if not shutil.which("perf"):
    sys.exit("missing package linux-perf: run 'make deps-spyfs'")
main()
