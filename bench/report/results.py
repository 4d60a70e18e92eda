# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the drivers wrote, read back: for report.py and page.py.

A ratio is the median, over the repetitions, of the ratio of two backends'
k-th repetitions, which were interleaved in the same few seconds.  A spread
(±) is half the distance between the quartiles, in percent of the median.
"""
import glob
import json
import os
import re
import statistics

SUBJECT, BASELINE, FLOOR, CLOCK = "streamctx", "mutex", "floor", "clock"
ASIDE = ("streamctx_so", "streamctx_inline", "atomic")  # measures, not ways to do the same
NEAR = "*"
NEAR_NOTE = "the processors were as near as those of one core, where contention costs less"
MEANWHILE = "unload: opens"  # a row of its own
BUSY = 3  # percent by which a known cost may be missed


class Group:
    """One workload with one set of parameters: {backend: [ops of each repetition]}."""

    def __init__(self, workload, params, threads, ops, near=False):
        self.workload, self.params, self.threads = workload, params, threads
        self.ops = ops
        self.near = near  # the processors were, all along or for some of it
        self.beside = False  # there is another group of what was run while they were not

    def median(self, backend):
        return statistics.median(self.ops[backend])

    def ratio(self, one, other):
        """How many times as fast @one is as @other; None if either was not run."""
        if one not in self.ops or other not in self.ops:
            return None
        return statistics.median(a / b for a, b in zip(self.ops[one], self.ops[other]))

    def peers(self):
        return [b for b in self.ops if b not in (SUBJECT, FLOOR, *ASIDE)]

    def best_other(self):
        return max(self.peers(), key=self.median, default=None)


def spread(values):
    """Half the distance between the quartiles, in percent of the median."""
    if len(values) < 3:
        return None
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return 50 * (high - low) / statistics.median(values)


def repetitions(results):
    return [run for run in results["benchmarks"] if run["run_type"] == "iteration"]


def handovers(runs):
    """ns that a cache line took between processors, after each repetition on several threads."""
    return [run["handover_ns"] for run in runs if run.get("handover_ns")]


def is_near(run, usual):
    """A host that runs two virtual processors on one core for a while makes locks cheap:
    22 ns here instead of some 80, and mutex's replay twice as fast."""
    return 0 < run.get("handover_ns", 0) < usual / 2


def split(key, runs, usual):
    """By how near the processors were, if every backend was run while they were not."""
    runs = sorted(runs, key=lambda run: run[1]["repetition_index"])

    def group(wanted):
        ops = {}
        for backend, run, value in runs:
            if is_near(run, usual) in wanted:
                ops.setdefault(backend, []).append(value)
        return Group(*key, ops, near=True in wanted)

    far, near = group([False]), group([True])
    if not near.ops:
        return [far]
    both = group([False, True])
    if far.ops.keys() != both.ops.keys():
        return [both]
    near.beside = True
    return [far, near]


def load_groups(results):
    runs = repetitions(results)
    usual = statistics.median(handovers(runs) or [0])
    found = {}
    for run in runs:
        workload, backend, *params, threads = run["name"].split("/")
        values = {workload: run["ops"]}
        if "meanwhile" in run:
            values[MEANWHILE] = run["meanwhile"]
        for what, value in values.items():
            key = (what, " ".join(params), int(threads.split(":")[1]))
            found.setdefault(key, []).append((backend, run, value))
    return [group for key, runs in found.items() for group in split(key, runs, usual)]


def backend_order(backends):
    first = [SUBJECT, BASELINE]
    last = [FLOOR, CLOCK]
    return sorted(backends, key=lambda b: (
        first.index(b) if b in first else 3 + last.index(b) if b in last else 2, b))


def short(params):
    return re.sub(r"\b(\d+)000000\b", r"\1M", params)


def three_digits(value):
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def rate(ops):
    """In millions a second."""
    return three_digits(ops / 1e6)


def number(value):
    return "-" if value is None else f"{value:.2f}" if value < 1 else three_digits(value)


def rate_spread(values):
    part = spread(values)
    return rate(statistics.median(values)) + ("" if part is None else f" ±{part:.0f}%")


def handover(results):
    """How far apart two processors were, to read contended figures by."""
    ns = sorted(handovers(repetitions(results)))
    if not ns:
        return ""
    return (f"{statistics.median(ns):.0f} ns ({ns[0]:.0f} to {ns[-1]:.0f})"
            " from one processor to another")


def threads_of(group):
    return f"{group.threads}" + NEAR * group.near


def known_cost(groups):
    """How far the drivers are from the cost that they were given to measure, in percent."""
    off = []
    for g in groups:
        if g.workload == "known_cost":
            ns = float(g.params.split(":")[1])
            off += [100 * (statistics.median(ops) * ns / 1e9 / g.threads - 1)
                    for ops in g.ops.values()]
    return max(off, key=abs, default=None)


def load_json(path):
    with open(path) as f:
        return json.load(f)


def paced_order(path):
    """Opens of what is there first."""
    name = os.path.basename(path)
    return not name.startswith("open_warm"), not name.startswith("open_cold"), name


def load_paced(folder):
    """{(workload, threads): {backend: result}}; the backend "clock" does nothing."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.json")), key=paced_order):
        workload, backend, threads = os.path.basename(path)[:-len(".json")].split("-")
        found.setdefault((workload, int(threads)), {})[backend] = load_json(path)
    return found


def load_series(folder):
    """{backend: ([(seconds, ops, rss_kb, unfreed, limbo_bytes)], result)}"""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.txt"))):
        backend = re.sub(r"^[a-z_]+-|\.txt$", "", os.path.basename(path))
        with open(path) as f:
            rows = [[float(x) for x in line.split()] for line in f if not line.startswith("#")]
        found[backend] = [(r[0] / 1000, *r[1:]) for r in rows], load_json(path[:-3] + "json")
    return found


def behind(result):
    """Whether a paced run could not keep its rate: what it waited for is then the backlog."""
    return result["count"] < 0.99 * result["due"]


def stream_bytes(paced):
    """{backend: what a resident stream with one context adds to resident memory}"""
    found = {}
    for (workload, threads), results in paced.items():
        if workload != "open_warm":
            continue
        streams = {b: int(re.search(r"streams:(\d+)", r["name"]).group(1))
                   for b, r in results.items() if b != CLOCK}
        for b, n in streams.items():
            tables = threads if b == FLOOR else 1
            found.setdefault(b, 1024 * results[b]["site_kb"] / n / tables)
    return found


def free_latencies(paced):
    """{backend: free_ns at the rate of open_cold, with the fewest threads}"""
    for key in sorted(k for k in paced if k[0] == "open_cold"):
        return {b: r["free_ns"] for b, r in paced[key].items() if "free_ns" in r}
    return {}


def microseconds(ns):
    """Less than a microsecond is no wait for anybody."""
    return "0" if ns < 1000 else f"{ns / 1000:,.0f}"


def lacks_of(context):
    return {k[len("lacks_"):]: v for k, v in context.items() if k.startswith("lacks_")}
