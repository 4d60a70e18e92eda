# SPDX-License-Identifier: LGPL-2.1-or-later
"""A spyfs on a scratch folder, for the tests beside this file."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from prometheus_client.parser import text_string_to_metric_families

UNAVAILABLE = 69  # sysexits.h: spyfs cannot run here


class Mount:
    """.source is shown at .path until stop(); both are in a new folder, removed at the end."""

    def __init__(self, program, registry, modules, environment=None, limits=()):
        self.program = program
        self.scratch = tempfile.mkdtemp(prefix="spyfs-")
        self.source = os.path.join(self.scratch, "source")
        self.path = os.path.join(self.scratch, "mount")
        self.socket = os.path.join(self.scratch, "socket")
        self.log = os.path.join(self.scratch, "audit.log")
        self.said = ""
        os.chmod(self.scratch, 0o711)  # other users pass
        os.mkdir(self.source)
        os.mkdir(self.path)
        # SIGTERM must not leave a mount behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.process = subprocess.Popen(
            [*limits, program, self.source, self.path, f"--registry={registry}", f"--socket={self.socket}",
             "--modules=" + modules.replace("LOG", self.log)],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})

    def __enter__(self):
        while "serving" not in self.said:
            line = self.process.stderr.readline()
            if not line:
                self.remove()
                if self.process.wait() == UNAVAILABLE:
                    print("skip: " + self.said.strip().replace("\n", "; "))
                    sys.exit(77)
                sys.exit(self.said)
            self.said += line
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        if self.process.poll() is None:
            self.process.kill()
        subprocess.run(["fusermount3", "-uqz", self.path], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def stop(self):
        """Send SIGTERM; return the exit status and all of stderr."""
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=60)[1]
        self.said += said
        return self.process.returncode, self.said

    def ask(self, *words):
        """The output of `spyfs ctl ...`; an error is an exception."""
        return self.run("ctl", *words)

    def run(self, *words):
        done = subprocess.run([self.program, *words, f"--socket={self.socket}"],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr or f"exit status {done.returncode}")
        return done.stdout

    def metrics(self):
        families = list(text_string_to_metric_families(self.ask("metrics")))
        names = [family.name for family in families]
        assert len(names) == len(set(names)), "a metric stands twice"
        return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}

    def streams(self):
        value = self.metrics()
        return value.get(("streamctx_streams",), value.get(("spyfs_streams",)))

    def wait_closed(self):
        """The kernel releases files after close(2) has returned."""
        end = time.monotonic() + 30
        while self.streams():
            assert time.monotonic() < end, self.run("top", "--once")
            time.sleep(0.01)


def built():
    """The program under test, or a skip."""
    if not os.path.exists(os.environ["SPYFS"]):
        print("skip: spyfs was not built: no libfuse3-dev or uthash-dev (make deps)")
        sys.exit(77)
    return os.environ["SPYFS"]


def run_steps(steps, modules, **more):
    """Run each step on its own mount, and check that nothing is left."""
    for step in steps:
        begin = time.monotonic()
        with Mount(built(), os.environ["SPYFS_REGISTRY"], modules, **more) as m:
            if "root alone is served" in m.said:
                print(f"skip: there are no file handles on {m.scratch}")
                m.stop()
                sys.exit(77)
            step(m)
            if m.process.poll() is None:
                status, said = m.stop()
                assert status == 0 and "spyfs: nothing left: " in said, (status, said)
        print(f"{step.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


def nothing_left(said):
    """Check the last line, and return the number of opens."""
    last = said.strip().split("\n")[-1]
    assert last.startswith("spyfs: nothing left: "), said
    count = [int(n) for n in re.findall(r"\d+", last)]
    assert count[0] == count[1] > 0, said
    return count[0]
