# SPDX-License-Identifier: LGPL-2.1-or-later
"""The targets that streamctx is held to, as a table of rules over results.

A rule has a heading, what it compares, a function that takes the figure from a Store,
a relation and a bound.  A ratio is the median of the repetitions' ratios in one run
that interleaved both sides.  Verdicts on times are withheld if the machine was busy.
"""
import collections
import glob
import json
import os
import re
import statistics

from results import BUSY, KNOWN, NEAR_NOTE, SUBJECT, handovers, is_near, load_json, number, off_by, repetitions

PACKAGED = ("ck", "tbb", "cuckoo", "cds", "glib", "gluster", "openssl")
DEFERS = ("urcu", "ck", "cds")  # of open_cold's peers, those that wait before they free
CONTEXT_BYTES = 64
MIB = 1 << 20
TIMED = ("×", " µs")  # units of what a busy machine makes worthless

Rule = collections.namedtuple("Rule", "heading what figure relation bound unit")
Verdict = collections.namedtuple("Verdict", "rule value word")


def known_costs(runs):
    """By how much each was missed; @runs: {name: {repetition: run}}."""
    return [off_by(found.values()) for name, found in runs.items() if name.startswith(KNOWN)]


class Store:
    """Results of sctx-gbench by file and name, and of sctx-bench by name."""

    def __init__(self, gbench_paths, folder, costs):
        self.files = [self.load_runs(p) for p in gbench_paths]
        self.runs = {}
        for path in sorted(glob.glob(os.path.join(folder or "", "*.json")) if folder else []):
            found = re.fullmatch(r"(.+)\.(\d+)\.json", os.path.basename(path))
            if found:
                self.runs.setdefault(found.group(1), []).append(load_json(path))
            else:
                self.files.append(self.load_runs(path, os.path.basename(path)))
        runs = [run for f in self.files for by_number in f.values() for run in by_number.values()]
        self.busy = any(abs(off) > BUSY for f in self.files for off in known_costs(f))
        ns = handovers(runs)
        self.usual = statistics.median(ns or [0])
        near = sum(is_near(run, self.usual) for run in runs)
        self.left_out = (f"Of {len(ns)} repetitions on several threads {near} are left out: "
                         f"{NEAR_NOTE}." if near else "")
        lru = os.path.join(folder or "", "lru.hits")
        self.lru = {(r["trace"], r["limit"]): r["rate"] for r in load_json(lru)} if (
            folder and os.path.exists(lru)) else {}
        self.costs = load_json(costs) if costs and os.path.exists(costs) else {}

    @staticmethod
    def load_runs(path, prefix=""):
        """{name: {repetition: run}}; the other flavour's names say so"""
        flavour = "qsbr:" if prefix == "qsbr.json" else ""
        found = {}
        for run in repetitions(load_json(path)):
            found.setdefault(flavour + run["name"], {})[run["repetition_index"]] = run
        return found

    def names(self):
        return {n for f in self.files for n in f}

    def times_as_fast(self, one, other):
        """How many times as fast @one is as @other: from the last file that has both, and of
        that without those repetitions, if others remain, when the processors were near."""
        for found in reversed(self.files):
            if one in found and other in found:
                x, y = found[one], found[other]
                pairs = [(x[k], y[k]) for k in x.keys() & y.keys()]
                far = [p for p in pairs if not any(is_near(run, self.usual) for run in p)]
                return statistics.median(a["ops"] / b["ops"] for a, b in far or pairs)
        return None

    def of_runs(self, name, figure):
        """The median of a figure of each repetition of an sctx-bench run."""
        return statistics.median(map(figure, self.runs[name])) if name in self.runs else None

    def of_two_runs(self, one, other, figure):
        if one not in self.runs or other not in self.runs:
            return None
        return statistics.median(figure(a) / figure(b)
                                 for a, b in zip(self.runs[one], self.runs[other]))


# -------------------------------------------------------------------- figures

def case(workload, backend=SUBJECT, params="", threads=1, flavour=""):
    return f"{flavour}{workload}/{backend}/{params + '/' if params else ''}threads:{threads}"


def times(one, other):
    """As fast, times."""
    return lambda store: store.times_as_fast(one, other)


def time(one, other):
    """As slow, times."""
    return times(other, one)


def times_best(workload, peers, params, threads):
    """As fast as the fastest of those peers that were run; its name is kept."""
    def figure(store):
        found = {p: store.times_as_fast(case(workload, SUBJECT, params, threads),
                                        case(workload, p, params, threads)) for p in peers}
        return min((v for v in found.values() if v is not None), default=None)
    return figure


def counted(name, what):
    """As bench/cost/cost.py prints it: a batch's share of a hundredth counts."""
    def figure(store):
        cost = store.costs.get(name)
        return None if cost is None else round(cost[what], 2)
    return figure


def stalled_closes(store):
    return store.of_runs("stall-streamctx",
                         lambda r: r["stalled_ns"]["p99.9"] / r["before_ns"]["p99.9"])


def limbo_share(store):
    """Of its limits, the one that it comes nearest to."""
    return store.of_runs("stall-streamctx", lambda r: max(
        r["limbo_bytes"] / r["limit_bytes"],
        2 * r["limbo_contexts"] / r["limit_callbacks"]))  # with each context its stream


def growth_beyond(store):
    """Microseconds; negative where the machine alone took longer."""
    return store.of_runs("growth-streamctx", lambda r: (
        r["open_ns"]["p99.99"] - r["bare_ns"]["p99.99"]) / 1000)


def stream_bytes(store):
    return store.of_runs("memory-streamctx", lambda r: 1024 * r["site_kb"] / int(
        re.search(r"streams:(\d+)", r["name"]).group(1)) - CONTEXT_BYTES)


def churn_mib(store):
    return store.of_runs("churn-streamctx",
                         lambda r: 1024 * (r["peak_rss_kb"] - r["before_kb"]) / MIB)


def oversubscribed_tail(store):
    return store.of_two_runs("oversubscribed-streamctx", "oversubscribed-mutex",
                             lambda r: r["paced_ns"]["p99.9"])


def replay(backend, trace, threads=1, resident=16384, create_ns=0):
    params = [f"trace:{trace}"] + [f"{name}:{value}" for name, value in
                                   (("resident", resident), ("create_ns", create_ns)) if value]
    return case("replay", backend, "/".join(params), threads)


def least_times(one, others):
    """As fast as the fastest of several."""
    def figure(store):
        found = [store.times_as_fast(one, other) for other in others]
        return min(found) if found and None not in found else None
    return figure


def hits_beyond_lru(trace, limit):
    """Points of a hundred opens, from an empty table; each stream made has two contexts."""
    def figure(store):
        lru = store.lru.get((trace, limit))
        rate = store.of_runs(f"hits-{trace}-{limit}",
                             lambda r: 100 * (1 - r["contexts"] / 2 / (r["count"] / 2)))
        return None if None in (lru, rate) else rate - lru
    return figure


def cached_tail(other):
    return lambda store: store.of_two_runs("cached-streamctx", "cached-" + other,
                                           lambda r: r["open_ns"]["p99.99"])


# ---------------------------------------------------------------------- rules

ONE, MILLION, TEN = "contexts:1", "streams:1000000", "streams:10000000"


def hot(backend=SUBJECT, contexts=1, threads=1, flavour=""):
    return case("lookup_hot", backend, f"contexts:{contexts}", threads, flavour)


TRACES = ("build", "git", "search")
THROW_AWAY = ("mutex", "rwlock", "sharded", "urcu")


def resident_rules(add):
    """Streams that outlive their last handle."""
    under = "replay, 16384 idle streams"
    for trace in TRACES:
        add(f"{trace}: time ÷ floor's, 1 thread", time(replay(SUBJECT, trace),
                                                       replay("floor", trace)), "≤", 1.4,
            under=under)
    either = [replay(b, "build", resident=n) for b in ("mutex", "sharded") for n in (0, 16384)]
    add("build: as fast as mutex and sharded in either form, 1 thread",
        least_times(replay(SUBJECT, "build"), either), "≥", 1.5, under=under)
    for trace, bound in zip(TRACES, (2.5, 2, 1.7)):
        add(f"{trace}: as fast as mutex that throws away, 2 threads",
            times(replay(SUBJECT, trace, 2), replay("mutex", trace, 2, 0)), "≥", bound,
            under=under)
    for trace in TRACES:
        add(f"{trace}: as fast as the better sharded, 2 threads",
            least_times(replay(SUBJECT, trace, 2),
                        [replay("sharded", trace, 2, n) for n in (0, 16384)]), "≥", 1,
            under=under)
    under = "the same, contexts take 1 µs to build"
    for trace in TRACES:
        for t in (1, 2):
            mine = replay(SUBJECT, trace, t, create_ns=1000)
            threads = f"{t} thread" + "s" * (t > 1)
            add(f"{trace}: as fast as those that throw away, {threads}",
                least_times(mine, [replay(b, trace, t, 0, 1000) for b in THROW_AWAY]), "≥", 3,
                under=under)
            add(f"{trace}: as fast as mutex with LRU, {threads}",
                times(mine, replay("mutex", trace, t, create_ns=1000)), "≥", 1.5 if t == 1 else 2.5,
                under=under)
        add(f"{trace}: as fast as sharded with LRU, 2 threads",
            times(replay(SUBJECT, trace, 2, create_ns=1000),
                  replay("sharded", trace, 2, create_ns=1000)), "≥", 1.5, under=under)
    under = "open_cached, 2 threads"
    for other, bound in (("mutex", 3), ("sharded", 1.5)):
        add(f"as fast as {other} with LRU",
            times(case("open_cached", params="resident:100000", threads=2),
                  case("open_cached", other, "resident:100000", 2)), "≥", bound, under=under)
        add(f"99.99 % of opens ÷ {other}'s", cached_tail(other), "≤", 1, under=under)
    for trace in TRACES:
        for limit in (256, 1024, 4096):
            add(f"{trace}, {limit} idle streams: beyond LRU's", hits_beyond_lru(trace, limit),
                "≥", -1, " %", under="hit rates")


def rules():
    table = []
    heading = ""

    def add(what, figure, relation, bound, unit="×", under=None):
        table.append(Rule(under or heading, what, figure, relation, bound, unit))

    heading = "lookup_hot, 1 owner, inlined"
    add("time ÷ floor's, memb", time(hot(), hot("floor")), "≤", 1.5)
    add("time ÷ floor's, qsbr", time(hot(flavour="qsbr:"), hot("floor", flavour="qsbr:")),
        "≤", 1.1)
    add("as fast as mutex, 1 thread", times(hot(), hot("mutex")), "≥", 5)
    add("as fast as mutex, 2 threads", times(hot(threads=2), hot("mutex", threads=2)), "≥", 50)
    add("2 threads to 1", times(hot(threads=2), hot()), "≥", 1.9)
    heading = "the same through the .so"
    add("time ÷ inlined", time(hot("streamctx_so"), hot()), "≤", 3)
    heading = "lookup_hot, last of n owners"
    add("time, 16 ÷ 1", time(hot(contexts=16), hot()), "≤", 3)
    add("time, 17 ÷ 16", time(hot(contexts=17), hot(contexts=16)), "≤", 1.5)
    add("time, 33 ÷ 32", time(hot(contexts=33), hot(contexts=32)), "≤", 1.5)
    heading = "lookup_cold, 1 M streams, 8 owners"
    add("time, last owner ÷ first", time(case("lookup_last", params=MILLION),
                                         case("lookup_first", params=MILLION)), "≤", 1.4)
    heading = "open_warm, 1 M streams"
    for t in (1, 2):
        threads = f", {t} thread" + "s" * (t > 1)
        add("as fast as urcu" + threads, times(case("open_warm", params=MILLION, threads=t),
                                               case("open_warm", "urcu", MILLION, t)), "≥", 5)
        add("as fast as the best packaged peer" + threads,
            times_best("open_warm", PACKAGED, MILLION, t), "≥", 1.3)
    add("2 threads to 1", times(case("open_warm", params=MILLION, threads=2),
                                case("open_warm", params=MILLION)), "≥", 1.8)
    heading = "open_warm, 10 M streams"
    add("time ÷ at 1 M", time(case("open_warm", params=TEN), case("open_warm", params=MILLION)),
        "≤", 1.3)
    heading = "open_hot, one id"
    add("as fast as a shared atomic count, 2 threads",
        times(case("open_hot", threads=2), case("open_hot", "atomic", threads=2)), "≥", 2)
    add("stretch: 2 threads to 1", times(case("open_hot", threads=2), case("open_hot")), "≥", 1.8)
    heading = "open_many, 16 at a time, 1 M"
    for t in (1, 2):
        add(f"as fast as open_warm, {t} thread" + "s" * (t > 1),
            times(case("open_many", params=MILLION, threads=t),
                  case("open_warm", params=MILLION, threads=t)), "≥", 2)
    heading = "open_cold"
    for t in (1, 2):
        threads = f", {t} thread" + "s" * (t > 1)
        add("as fast as urcu" + threads, times(case("open_cold", threads=t),
                                               case("open_cold", "urcu", threads=t)), "≥", 1.8)
        add("as fast as the best that defers its frees" + threads,
            times_best("open_cold", DEFERS, "", t), "≥", 1)
    add("as fast as mutex, 2 threads", times(case("open_cold", threads=2),
                                             case("open_cold", "mutex", threads=2)), "≥", 1.5)
    add("peak resident growth, 2 threads", churn_mib, "≤", 16, " MiB")
    heading = "replay, 2 threads"
    for trace in TRACES:
        add(f"{trace}: as fast as mutex", times(case("replay", params=f"trace:{trace}", threads=2),
                                                case("replay", "mutex", f"trace:{trace}", 2)),
            "≥", 3)
    resident_rules(add)
    heading = "mixed, 16 threads"
    add("as fast as mutex", times(case("mixed", threads=16), case("mixed", "mutex", threads=16)),
        "≥", 10)
    add("99.9 % ÷ mutex's, at one rate", oversubscribed_tail, "≤", 1)
    heading = "growth 0 → 10 M streams"
    add("99.99 % of opens, beyond the bare clock's", growth_beyond, "≤", 100, " µs")
    heading = "memory"
    add("of a resident stream with one context, beside it", stream_bytes, "≤", 200, " bytes")
    heading = "a reader stalls for 1 s"
    # Each of two threads may go over by 1/64 (sctx_reclaim_set).
    add("limbo ÷ its limit", limbo_share, "≤", 1 + 2 / 64)
    # Unchanged: a percentile is known to 6 %, and differs by more from run to run.
    add("99.9 % of closes ÷ before", stalled_closes, "≤", 1.2)
    heading = "counted costs"
    for name, rmw in (("lookup_hot contexts:1", 0), ("lookup_cold streams:20000", 0),
                      ("open_warm streams:20000", 2), ("open_cold", 5)):
        add(f"{name}: RMW", counted(name, "rmw"), "≤", rmw, "")
        add(f"{name}: fences", counted(name, "fences"), "≤", 0, "")
    add("stretch: open_cold: RMW", counted("open_cold", "rmw"), "≤", 3, "")
    return table


def judge(store):
    verdicts = []
    for rule in rules():
        value = rule.figure(store)
        if value is None:
            word = "not measured"
        elif store.busy and rule.unit in TIMED:
            word = "withheld"
        elif value <= rule.bound if rule.relation == "≤" else value >= rule.bound:
            word = "met"
        else:
            word = "missed"
        verdicts.append(Verdict(rule, value, word))
    return verdicts


def rows(verdicts):
    """Heading, what, measured, target, verdict; a heading stands once."""
    found, before = [], None
    for v in verdicts:
        r = v.rule
        found.append([r.heading if r.heading != before else "", r.what,
                      "-" if v.value is None else number(v.value) + r.unit,
                      f"{r.relation} {r.bound:.4g}{r.unit}", v.word])
        before = r.heading
    return found


def summary(verdicts):
    words = collections.Counter(v.word for v in verdicts)
    return ", ".join(f"{words[w]} {w}" for w in ("met", "missed", "withheld", "not measured") if words[w])
