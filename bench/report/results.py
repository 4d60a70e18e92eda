# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the drivers wrote, read back: for report.py and page.py.

A ratio is the median, over the repetitions, of the ratio of two backends' k-th
repetitions, which were interleaved in the same few seconds.  An interval goes from the
k-th smallest to the k-th largest value; it covers the true median with the probability
that coverage() says, whatever the distribution.
"""
import glob
import itertools
import json
import math
import os
import re
import statistics

SUBJECT, BASELINE, FLOOR, CLOCK = "streamctx", "mutex", "floor", "clock"
ASIDE = ("streamctx_so", "atomic")  # measures, not ways to do the same
NEAR = "*"
NEAR_NOTE = "the two processors shared a core then, which makes contention cheap"
MEANWHILE = "unload: opens"  # a row of its own
AWAY = " away"  # a backend that keeps no idle streams, beside those that do
BUSY = 3  # percent by which a known cost may be missed
KNOWN = "known_cost"


class Group:
    """One workload with one set of parameters: {backend: [ops of each repetition]}."""

    def __init__(self, workload, params, threads, ops, near=False):
        self.workload, self.params, self.threads = workload, params, threads
        self.ops = ops
        self.off = 0  # by how many percent a known cost was missed, shortly before and after
        self.near = near  # the processors were, all along or for some of it
        self.beside = False  # there is another group of what was run while they were not

    def median(self, backend):
        return statistics.median(self.ops[backend])

    def ratios(self, one, other):
        """How many times as fast @one is as @other, of each repetition."""
        return [a / b for a, b in zip(self.ops.get(one, ()), self.ops.get(other, ()))]

    def ratio(self, one, other):
        """The median; None if either was not run."""
        return statistics.median(self.ratios(one, other) or [math.nan]) if (
            one in self.ops and other in self.ops) else None

    def is_busy(self):
        return abs(self.off) > BUSY

    def name(self):
        return f"{self.workload} {short(self.params)}".strip()

    def peers(self):
        return [b for b in self.ops if b not in (SUBJECT, FLOOR, *ASIDE)]

    def best_other(self):
        return max(self.peers(), key=self.median, default=None)


def order_of(n):
    """Of an interval for the median of @n values: how many it leaves out at each end."""
    k = 0
    while (k + 1) * 2 < n and coverage_of(n, k + 1) >= 0.93:
        k += 1
    return k


def coverage_of(n, k):
    return 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n


def coverage(n):
    """The probability that an interval of @n values covers the median, in percent."""
    return 100 * coverage_of(n, order_of(n))


def interval(values):
    k = order_of(len(values))
    found = sorted(values)
    return found[k], found[-1 - k]


def repetitions(results):
    return [run for run in results["benchmarks"] if run["run_type"] == "iteration"]


def handovers(runs):
    """ns that a cache line took between processors, after each repetition on several threads."""
    return [run["handover_ns"] for run in runs if run.get("handover_ns")]


def is_near(run, usual):
    """A host may run two virtual processors on one core for a while; locks are cheap then."""
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


def off_by(runs):
    """By how many percent a known cost was missed: the worst of the medians."""
    by_name = {}
    for run in runs:
        by_name.setdefault(run["name"], []).append(run["ops"])
    offs = []
    for name, ops in by_name.items():
        _, _, ns, threads = name.split("/")
        should = int(threads.split(":")[1]) * 1e9 / float(ns.split(":")[1])
        offs.append(100 * (statistics.median(ops) / should - 1))
    return max(offs, key=abs)


def moments(runs):
    """[(place of the first run after it, percent)]: when the known cost was measured, and by
    how much it was missed"""
    found, place = [], 0
    for known, part in itertools.groupby(runs, lambda run: run["name"].startswith(KNOWN)):
        part = list(part)
        place += len(part)
        if known:
            found.append((place, off_by(part)))
    return found


def off_around(found, place):
    """The worse of the moments before and after @place."""
    before, after = [m for m in found if m[0] <= place], [m for m in found if m[0] > place]
    return max((off for _, off in before[-1:] + after[:1]), key=abs, default=0)


def without_idle(params):
    return " ".join(p for p in params.split() if not p.startswith("resident:"))


def add_those_without(found):
    """To runs with idle streams, the same without: a daemon may choose between them."""
    for (workload, params, threads), runs in found.items():
        rest = without_idle(params)
        if rest and rest != params:
            runs += [(backend + AWAY, run, value)
                     for backend, run, value in found.get((workload, rest, threads), ())
                     if backend not in (SUBJECT, FLOOR)]


def load_groups(results):
    runs = repetitions(results)
    usual = statistics.median(handovers(runs) or [0])
    known = moments(runs)
    places, found = {}, {}
    for place, run in enumerate(runs):
        workload, backend, *params, threads = run["name"].split("/")
        values = {workload: run["ops"]}
        if "meanwhile" in run:
            values[MEANWHILE] = run["meanwhile"]
        for what, value in values.items():
            key = (what, " ".join(params), int(threads.split(":")[1]))
            found.setdefault(key, []).append((backend, run, value))
            places.setdefault(key, place)
    add_those_without(found)
    groups = []
    for key, of_key in found.items():
        for group in split(key, of_key, usual):
            group.off = off_around(known, places[key])
            groups.append(group)
    seen = [(workload, without_idle(params)) for workload, params, _ in found]
    return sorted(groups, key=lambda g: (seen.index((g.workload, without_idle(g.params))),
                                         len(g.params), g.threads))


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


def rate_interval(values):
    low, high = interval(values)
    return f"{rate(statistics.median(values))} ({rate(low)}–{rate(high)})"


def ratio_interval(values):
    if not values:
        return "-"
    low, high = interval(values)
    return f"{number(statistics.median(values))} ({number(low)}–{number(high)})"


def handover(results):
    """How far apart two processors were, to read contended figures by."""
    ns = sorted(handovers(repetitions(results)))
    if not ns:
        return ""
    return (f"{statistics.median(ns):.0f} ns ({ns[0]:.0f} to {ns[-1]:.0f})"
            " from one processor to another")


def threads_of(group):
    return f"{group.threads}" + NEAR * group.near


def known_cost(results):
    """How far the drivers were from the cost that they had to measure, in percent: the worst
    moment."""
    return max((off for _, off in moments(repetitions(results))), key=abs, default=None)


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
