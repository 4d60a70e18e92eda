# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page's plots and tables of what was measured."""
import statistics

from markup import E, details, table
from plots import figures, plot_dots, plot_lines
from results import (CLOCK, MEANWHILE, NEAR, NEAR_NOTE, SUBJECT, backend_order, behind,
                     free_latencies, interval, lacks_of, microseconds, number, rate,
                     rate_interval, ratio_interval, short, stream_bytes, threads_of)

ABOUT = {
    "lookup_hot": "One stream, held open; look up the oldest of its contexts.",
    "lookup_cold": "Find a random one of many streams by id, look up its context.",
    "open_warm": "Open a random one of many resident streams, look up, close.",
    "open_many": "The same in batches of 16: open all, look up in each, close all.",
    "open_zipf": "As open_warm, but few streams get most of the opens (Zipf, s = 0.99).",
    "mixed": "Nineteen in twenty opens are of 100,000 residents, the others of new streams; four "
             "owners look up their contexts.",
    "unload": "Contexts taken away a second, by an owner that leaves all streams.",
    MEANWHILE: "Opens of the other threads meanwhile.",
    "open_hot": "Open the one resident stream, look up, close.",
    "open_cold": "A new stream each time: open, create a context, look it up, close.",
    "update_contended": "All threads on one stream: insert a context, look up 8 times, remove it.",
    "replay": "Recorded opens and closes of real programs; two modules count each open.",
    "open_cached": "Ten million ids by Zipf's law, of which 100,000 idle streams are kept; two "
                   "modules count each open.",
}
MORE_IS_BETTER = "million operations a second (log scale): more is better →"
LESS_IS_BETTER = "µs (log scale): ← less is better"


# ------------------------------------------------------------------ throughput

def dots_of(groups, tag, title):
    """One set of parameters: a line for each backend, a mark for each number of threads."""
    groups = sorted(groups, key=lambda g: g.threads)
    rows = []
    for b in backend_order({b for g in groups for b in g.ops}):
        points, ratios = [], []
        for g in groups:
            ops = g.ops.get(b)
            points.append((statistics.median(ops), *interval(ops)) if ops else None)
            ratio = g.ratio(SUBJECT, b)
            ratios.append("-" if ratio is None else number(ratio))
        rows.append((b, points, " · ".join(f"{g.threads}T" for g in groups) if b == SUBJECT else " · ".join(ratios)))
    return plot_dots(rows, tag, title, MORE_IS_BETTER, unit=1e6)


def lookup_lines(groups, tag, title):
    """By the number of contexts."""
    found = sorted((int(g.params.split(":")[1]), g) for g in groups)
    series = {b: [(n, g.median(b) / 1e6) for n, g in found if b in g.ops]
              for b in {b for g in groups for b in g.ops}}
    xs = [n for n, _ in found if n not in (17, 33)]
    return plot_lines(series, tag, title, "contexts on the stream (log scale)",
                      "M/s (log scale), more is better", "set logscale x\n", xs=xs)


def by_key(groups, key):
    found = {}
    for g in groups:
        found.setdefault(key(g), []).append(g)
    return found


def throughput_figures(groups):
    plots = []
    for workload, mine in by_key(groups, lambda g: g.workload).items():
        about = ABOUT.get(workload, "")
        if workload == "lookup_hot" and len({g.params for g in mine}) > 3:
            for t, part in by_key(mine, lambda g: g.threads).items():
                title = f"{workload}, {t} thread" + "s" * (t > 1)
                plots.append((title, about, lookup_lines(part, f"lines-{workload}-{t}", title)))
            continue
        for params, part in by_key(mine, lambda g: g.params).items():
            title = f"{workload} {short(params)}".strip()
            marks = " and ".join(f"{mark} {g.threads} thread" + "s" * (g.threads > 1)
                                 for mark, g in zip("○●▲", sorted(part, key=lambda g: g.threads)))
            tag = f"dots-{workload}-{params}".translate(str.maketrans(": ", "--"))
            idle = (" Idle streams are kept; <i>away</i>: a backend that keeps none."
                    if "resident:" in params else "")
            plots.append((title, f"{about}{idle} {marks}; at the right, how many times as fast streamctx "
                          "is.", dots_of(part, tag, title + ": throughput by backend")))
    return figures(plots)


def full_table(groups):
    backends = backend_order({b for g in groups for b in g.ops})
    rows = []
    for g in groups:
        row = [E(g.name()), threads_of(g)]
        for b in backends:
            row.append("-" if b not in g.ops else rate_interval(g.ops[b]) + (
                "" if b == SUBJECT or g.ratio(SUBJECT, b) is None else
                f"<br>×{ratio_interval(g.ratios(SUBJECT, b))}"))
        rows.append(row)
    near = f" {NEAR}: {NEAR_NOTE}." if any(g.near for g in groups) else ""
    return table(["workload", "threads"] + backends, rows,
                 "Million operations a second of all threads together: median and interval; "
                 f"×: how many times as fast streamctx was.{near}")


# --------------------------------------------------------------------- latency

QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
PLOTTED = ("p50", "p99", "p99.9", "p99.99")


def quantile_dots(results, key, tag, title):
    rows = [(b, [(r[key][q],) * 3 for q in PLOTTED], f"{r[key]['p99.9'] / 1000:,.1f} µs")
            for b, r in ((b, results[b]) for b in backend_order(results))]
    return plot_dots(rows, tag, title, LESS_IS_BETTER, joined=True, unit=1000)


def paced_section(paced):
    plots, rows = [], []
    for (workload, threads), results in paced.items():
        name = f"{workload}, {threads} thread" + "s" * (threads > 1)
        at = rate(next(iter(results.values()))["rate"])
        plots.append((name, f"{at} million a second. ○ median, ● 99 %, ▲ 99.9 %, ◆ 99.99 %; "
                      "at the right 99.9 %.", quantile_dots(
                          results, "paced_ns", f"paced-{workload}-{threads}",
                          f"{name}: latency at a fixed rate by backend")))
        for b in backend_order(results):
            rows.append([E(name), E(b), at] +
                        [f"{results[b]['paced_ns'][q]:,.0f}" for q in QUANTILES] +
                        ["behind" if behind(results[b]) else ""])
    note = ("<p class=note>Each operation is due at a fixed moment, at half the rate that the "
            "slower of streamctx and mutex can keep up, and is timed from then to its end: "
            "waiting behind a slow one counts. <i>clock</i> keeps the same schedule with nothing "
            "to do: the machine's own jitter. <i>Behind</i>: the rate was too much, and the times "
            "are the backlog's. A value is known to 6 %.</p>")
    return note + figures(plots) + details("The figures", table(
        ["workload", "backend", "M/s", "median", "90 %", "99 %", "99.9 %", "99.99 %", "longest",
         ""], rows, "Nanoseconds from when an operation was due to its end.", (0, 1)))


# ---------------------------------------------------------------------- memory

def series_section(found):
    samples = {b: rows for b, (rows, _) in found.items()}
    plots = [
        ("Resident memory", "Of the whole process. Less is better.", plot_lines(
            {b: [(r[0], r[2] / 1024) for r in rows] for b, rows in samples.items()}, "rss",
            "Resident memory over time by backend", "seconds", "MB, less is better", log=False)),
        ("Limbo", "Contexts made and not yet freed. Less is better; none where a lock frees at "
         "once.", plot_lines(
             {b: [(r[0], r[3]) for r in rows] for b, rows in samples.items()}, "limbo",
             "Contexts not yet freed over time by backend", "seconds",
             "contexts (log scale), less is better")),
    ]
    rows = []
    for b in backend_order(found):
        part, result = found[b]
        free = result["free_ns"]
        rows.append([E(b), f"{max(r[2] for r in part) / 1024:.1f}",
                     f"{max(r[3] for r in part):,.0f}",
                     f"{max(r[4] for r in part) / 1024:,.0f}" if b == SUBJECT else "-",
                     microseconds(free["p50"]), microseconds(free["p99"]),
                     microseconds(free["max"]), rate(result["ops"])])
    return figures(plots) + table(
        ["backend", "most MB resident", "most contexts in limbo", "most limbo, kB",
         "free, median µs", "99 %", "longest", "million opens a second"], rows,
        "open_cold, 2 threads.", cards=True)


def backends_table(context, paced):
    lacks, sizes, frees = lacks_of(context), stream_bytes(paced), free_latencies(paced)
    rows = []
    for b in backend_order(lacks):
        free = [microseconds(frees[b][q]) if b in frees else "-" for q in ("p50", "p99")]
        rows.append([E(b), E(lacks[b]) or "the subject",
                     f"{sizes[b]:,.0f}" if b in sizes else "-", *free])
    return table(["backend", "leaves out", "bytes a stream", "free, median µs", "99 %"], rows,
                 "Bytes that a resident stream with one context takes; microseconds from a close "
                 "to its context's free, at a rate that leaves time.", (0, 1), wrap=(1,),
                 cards=True)


# --------------------------------------------------------------- stall, growth

def middle(runs, key, quantile):
    return statistics.median(r[key][quantile] for r in runs)


def stall_section(store):
    rows = []
    for b in backend_order(n[len("stall-"):] for n in store.runs if n.startswith("stall-")):
        runs = store.runs["stall-" + b]
        rows.append([E(b)] + [f"{middle(runs, key, 'p99.9') / 1000:,.1f}"
                              for key in ("before_ns", "stalled_ns", "after_ns")] +
                    [f"{statistics.median(r['limbo_contexts'] for r in runs):,.0f}",
                     f"{statistics.median(r['limbo_bytes'] for r in runs) / 2**20:,.1f}"
                     if b == SUBJECT else "-"])
    return table(["backend", "before, µs", "during, µs", "after, µs", "most contexts not yet freed",
                  "limbo, MiB (limit 32)"], rows,
                 "99.9 % of the closes took no longer than that before a reader stalled in its "
                 "section, meanwhile and after; two threads open, insert and close without a "
                 "pause. Where frees are not deferred, a section is a lock that no other thread "
                 "wanted.", cards=True)


def growth_section(store):
    found, rows = {}, []
    for b in backend_order(n[len("growth-"):] for n in store.runs if n.startswith("growth-")):
        runs = store.runs["growth-" + b]
        found[b] = runs[0]
        rows.append([E(b)] + [f"{middle(runs, 'open_ns', q) / 1000:,.1f}"
                              for q in ("p50", "p99", "p99.9", "p99.99", "max")] +
                    [f"{middle(runs, 'bare_ns', q) / 1000:,.1f}" for q in ("p99.99", "max")])
        if b == SUBJECT:
            found[CLOCK] = {"open_ns": runs[0]["bare_ns"]}
    if not rows:
        return ""
    streams = short(store.runs["growth-" + SUBJECT][0]["name"].split("/")[2])
    title = f"growth: opens of new streams, from none to {streams}"
    return "<h2>Growth</h2>" + figures([(title, "○ median, ● 99 %, ▲ 99.9 %, ◆ 99.99 %.",
                                         quantile_dots(found, "open_ns", "growth", title))]) + table(
        ["backend", "median", "99 %", "99.9 %", "99.99 %", "longest", "bare clock, 99.99 %",
         "bare clock, longest"], rows, "µs of one open. The bare clock waits as often for as long, "
        "for nothing: it is late by the machine's doing.", cards=True)
