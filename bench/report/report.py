#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""From what the drivers wrote to the tables that `make bench` ends with, and
to one self-contained page.  Python's standard library and gnuplot, no more.
"""
import argparse
import json
import os
import statistics
import sys
import textwrap

from cost import read_baseline
from page import write_page
from results import (AWAY, BASELINE, BUSY, FLOOR, KNOWN, MEANWHILE, NEAR, NEAR_NOTE, SUBJECT,
                     backend_order, behind, coverage, free_latencies, handover, known_cost,
                     lacks_of, load_groups, load_json, load_paced, load_series, microseconds,
                     number, rate, rate_interval, ratio_interval, short, stream_bytes, threads_of)
from targets import Store, judge, rows, summary
from verdicts import cases_of, sentence, verdict

WIDTH = 100


# ---------------------------------------------------------------------- tables

def print_columns(head, rows, left):
    widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(cell.ljust(w) if i in left else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


HEAD = ["workload", "T", "streamctx", "x mutex", "x best other", "", "x urcu", "floor"]


def table_row(g):
    best = g.best_other()
    busy = "?" if g.is_busy() else ""
    return [g.workload if g.workload == MEANWHILE else g.name(), threads_of(g),
            rate(g.median(SUBJECT)), ratio_interval(g.ratios(SUBJECT, BASELINE)),
            ratio_interval(g.ratios(SUBJECT, best)) + busy if best else "-", best or "",
            number(g.ratio(SUBJECT, "urcu")), number(g.ratio(FLOOR, SUBJECT))]


def print_verdicts(groups):
    found = cases_of(groups)
    if not found:
        return
    print()
    print_columns(["you mostly...", "use it?", "x best other", ""],
                  [[textwrap.shorten(need.question, 58, placeholder="..."), verdict(cases, {}),
                    case.text(), f"{t}T"]
                   for need, cases in found for t, case in list(cases.items())[-1:]], {0, 1, 2, 3})
    print("\n" + textwrap.fill(sentence(groups), WIDTH))


def print_table(groups, results):
    found = [g for g in groups if SUBJECT in g.ops and g.workload != KNOWN and
             not (g.beside and len(g.ops) == 1)]
    if not found:
        for g in groups:
            print(f"{g.name()} threads:{g.threads}  " + "  ".join(
                f"{b} {rate_interval(ops)}" for b, ops in g.ops.items()))
        return
    print_columns(HEAD, [table_row(g) for g in found], {0, 5})
    n = max(len(ops) for g in found for ops in g.ops.values())
    print("\n" + textwrap.fill(
        "streamctx: million operations a second, all T threads together.  x: it is so many times "
        f"as fast as mutex, as the best of the others, as urcu; the interval covers the median "
        f"with {coverage(n):.0f} %.  floor: streamctx's time divided by that of the same work "
        "with nothing shared.", WIDTH))
    if handover(results):
        print(f"\nA cache line took {handover(results)}.")
        if any(g.near for g in groups):
            print(f"{NEAR}: {NEAR_NOTE}.")
    off = known_cost(results)
    if off is not None and abs(off) > BUSY:
        print("\n" + textwrap.fill(
            f"THE MACHINE WAS BUSY: a workload of known cost was {off:+.1f} % off.  Rows that end "
            "in ? were measured around such a moment; they say nothing, and verdicts on them are "
            "withheld.", WIDTH))


def print_peers(groups):
    """How many times as fast streamctx is, beside each of many."""
    backends = [b for b in backend_order({b for g in groups for b in g.ops})
                if b not in (SUBJECT, FLOOR) and not b.endswith(AWAY)]
    if len(backends) <= 5:
        return
    rows = [[g.name(), threads_of(g)] +
            [number(g.ratio(SUBJECT, b)) for b in backends]
            for g in groups if g.workload != KNOWN]
    print("\nstreamctx is so many times as fast as; - where it does not do the workload:\n")
    half = (len(backends) + 1) // 2
    for part in (range(half), range(half, len(backends))):
        print_columns(["workload", "T"] + [backends[i] for i in part],
                      [r[:2] + [r[2 + i] for i in part] for r in rows], {0})
        print()


QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99")


def print_paced(paced):
    rows = []
    for (workload, threads), results in paced.items():
        for b in backend_order(results):
            result = results[b]
            first = [workload, str(threads), rate(result["rate"])] if b == SUBJECT else [""] * 3
            rows.append(first + [b] + [f"{result['paced_ns'][q]:,.0f}" for q in QUANTILES] +
                        ["behind" if behind(result) else ""])
    print("\nNanoseconds from when an operation was due to its end, at a fixed rate (M/s):\n")
    print_columns(["workload", "T", "rate", "", *QUANTILES, ""], rows, {0, 3, 9})
    print("\nThe rate is half of what the slower of streamctx and mutex can do; behind: it was too much,"
          "\nand the times are the backlog's.  clock: the same schedule with nothing to do, which shows"
          "\nthe machine's own jitter.")


def print_backends(context, paced):
    sizes, frees = stream_bytes(paced), free_latencies(paced)
    print("\nBytes of memory a resident stream with one context takes; microseconds from a close to"
          "\nits context's free, at that rate; and what the backend leaves out:\n")
    print(f"{'':10} {'bytes':>6} {'p50':>7} {'p99':>7}  leaves out")
    lacks = lacks_of(context)
    for b in backend_order(lacks):
        size = f"{sizes[b]:,.0f}" if b in sizes else "-"
        free = [microseconds(frees[b][q]) if b in frees else "-" for q in ("p50", "p99")]
        text = textwrap.wrap(lacks[b] or "(the subject)", WIDTH - 34)
        print(f"{b:10} {size:>6} {free[0]:>7} {free[1]:>7}  {text[0]}")
        for line in text[1:]:
            print(" " * 34 + line)


def print_targets(store):
    verdicts = judge(store)
    print(f"\nTargets, {summary(verdicts)}:\n")
    print_columns(["", "", "measured", "target", ""], rows(verdicts), {0, 1, 4})
    print("\n×: the median of the ratios of one run's interleaved repetitions.")
    if store.left_out:
        print(textwrap.fill(store.left_out, WIDTH))


def print_rate(groups, what):
    """For sctx-bench --rate: half the median of the slower of the two to be compared."""
    workload, threads = what.split("/")
    for g in groups:
        if (g.workload, str(g.threads)) == (workload, threads) and {SUBJECT, BASELINE} <= set(g.ops):
            print(round(min(g.median(SUBJECT), g.median(BASELINE)) / 2))
            return
    sys.exit(f"report.py: {what} was not run on {SUBJECT} and {BASELINE}")


# ----------------------------------------------------------------------- main

def check_known(paths):
    """Each driver's rate for known_cost is near enough to what it must be."""
    bad = 0
    for path in paths:
        with open(path) as f:
            result = json.load(f)
        runs = ([(f"{g.workload}/{g.params}/threads:{g.threads}", g.threads, statistics.median(ops))
                 for g in load_groups(result) for ops in g.ops.values()]
                if "benchmarks" in result else
                [(result["name"], int(result["name"].rsplit(":")[-1]), result["ops"])])
        for name, threads, ops in runs:
            off = 100 * (ops / (1e6 * threads) - 1)
            bad += abs(off) > BUSY
            print(f"{'ok ' if abs(off) <= BUSY else 'BAD'} {path}: {name}: {ops / 1e6:.4f} M/s, "
                  f"{off:+.2f} % off")
    sys.exit(1 if bad else 0)


def check_paced(slow_path, fast_path):
    """known_cost at a rate that leaves time, and at twice what can be done."""
    with open(slow_path) as f:
        slow = json.load(f)
    with open(fast_path) as f:
        fast = json.load(f)
    median, backlog = slow["paced_ns"]["p50"], fast["paced_ns"]["p50"] / 1e9
    checks = [
        ("on time, the median is the cost, ns", median, 1000, 1150),
        ("on time, the share done", slow["count"] / slow["due"], 0.99, 1),
        ("late, the median is a quarter of the run, s", backlog, 0.125 * 0.8, 0.125 * 1.2),
        ("late, the share done", fast["count"] / fast["due"], 0.4, 0.52),
    ]
    bad = 0
    for what, got, low, high in checks:
        good = low <= got <= high
        bad += not good
        print(f"{'ok ' if good else 'BAD'} {what}: {got:.4g}, should be {low:.4g} to {high:.4g}")
    sys.exit(1 if bad else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="Google Benchmark's results")
    parser.add_argument("--targets", help="folder of what bench/targets/targets.sh measured")
    parser.add_argument("--costs", help="what cost.py counted in this run")
    parser.add_argument("--only-targets", action="store_true", help="print no more than these")
    parser.add_argument("--paced", help="folder of sctx-bench --rate --json results")
    parser.add_argument("--series", help="folder of sctx-bench --series files")
    parser.add_argument("--rate", metavar="WORKLOAD/T", help="print the rate to pace it at")
    parser.add_argument("--html", help="page to write")
    parser.add_argument("--check-known", nargs="+", metavar="FILE")
    parser.add_argument("--check-paced", nargs=2, metavar="FILE")
    args = parser.parse_args()
    if args.check_paced:
        check_paced(*args.check_paced)
    if args.check_known:
        check_known(args.check_known)
    store = Store([args.json] if args.json else [], args.targets, args.costs)
    if args.only_targets:
        print_targets(store)
        return
    results = load_json(args.json)
    groups = load_groups(results)
    crowded = os.path.join(args.targets or "", "oversubscribed.json")
    if args.targets and os.path.exists(crowded):
        more = load_groups(load_json(crowded))
        for group in more:  # measured after the known cost was, for the last time
            group.off = known_cost(results) or 0
        groups += more
        workloads = [g.workload for g in groups]
        groups.sort(key=lambda g: workloads.index(g.workload))
    if args.rate:
        print_rate(groups, args.rate)
        return
    paced = load_paced(args.paced) if args.paced else {}
    print()
    print_table(groups, results)
    print_verdicts([g for g in groups if not g.beside])
    print_peers(groups)
    if paced:
        print_paced(paced)
        print_backends(results["context"], paced)
    if args.targets:
        print_targets(store)
    print()
    if args.html:
        costs, source = ((store.costs, "in this run") if store.costs else
                         (read_baseline()[0], "not in this run: the commit's cost.baseline"))
        write_page(args.html, args.json, results, groups, paced,
                   load_series(args.series) if args.series else {}, store, costs, source)


if __name__ == "__main__":
    main()
