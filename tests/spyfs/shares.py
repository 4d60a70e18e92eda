# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shares of a process's processor time, by perf."""
import collections
import os
import re
import signal
import subprocess

# Functions of store_streamctx.c and store_mutex.c.
STORE = re.compile(r"^(streamctx_|mutex_|owner_|tell_late|tell_linked|create_late|context_|stream_add)")
REGISTRY_LIBRARIES = ("libstreamctx", "liburcu", "libjemalloc")
RECLAIMER = ("reclaimer_main", "runner_main")
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")


class Profile:
    def __init__(self, pid, file):
        self.file = file
        control, enable = os.pipe()
        enabled, acknowledge = os.pipe()
        self.perf = subprocess.Popen(
            ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "--call-graph", "dwarf,2048",
             "-D", "-1", f"--control=fd:{control},{acknowledge}", "-p", str(pid), "-o", file],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(control, acknowledge))
        os.close(control)
        os.close(acknowledge)
        os.write(enable, b"enable\n")
        assert os.read(enabled, 3) == b"ack", "perf does not run here"
        self.pipes = enable, enabled  # perf ends when they are closed

    def shares(self):
        """End the recording; return each part's share of the samples, and their number."""
        self.perf.send_signal(signal.SIGINT)
        self.perf.wait()
        for pipe in self.pipes:
            os.close(pipe)
        script = subprocess.run(
            ["perf", "script", "--no-inline", "-F", "ip,sym,dso", "-i", self.file],
            capture_output=True, text=True, errors="replace").stdout
        os.unlink(self.file)
        count = collections.Counter()
        for sample in script.split("\n\n"):
            frames = [m.groups() for m in map(FRAME.match, sample.split("\n")) if m]
            if frames:
                count[part(frames)] += 1
        total = sum(count.values())
        return {name: n / total for name, n in count.items()}, total


def part(frames):
    """The part that the sample belongs to: locks and allocations count for their caller."""
    in_kernel = frames[0][1] == "[kernel.kallsyms]"
    for symbol, path in frames:
        name = os.path.basename(path)
        if name.startswith(REGISTRY_LIBRARIES) or name == "spyfs" and STORE.match(symbol):
            return "reclaimer" if any(frame[0] in RECLAIMER for frame in frames) else "registry"
        if name in ("audit.so", "quota.so", "heat.so"):
            return "modules"
        if name == "spyfs" or name.startswith("libfuse3"):
            return "kernel" if in_kernel else "spyfs, libfuse"
    return "kernel" if in_kernel else "spyfs, libfuse"
