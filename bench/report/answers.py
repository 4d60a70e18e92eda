# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tables of the page that draw conclusions, each computed from results."""
import statistics

import model
import targets
from markup import E, small_spread, table
from plots import figures, plot_lines
from results import (BASELINE, CLOCK, FLOOR, SUBJECT, backend_order, behind, free_latencies,
                     lacks_of, microseconds, number, rate, short, stream_bytes)

# What one may want it for, and the workload that is like it.
NEEDS = (
    ("look up a context at each read and write of an open file", "lookup_hot", "contexts:4", 2),
    ("find the context of a file by its id, among a million", "lookup_cold", "", 2),
    ("open what is open already, at random among a million files", "open_warm", "", 2),
    ("the same, sixteen at a time", "open_many", "", 2),
    ("the same, a few files most of the time", "open_zipf", "", 2),
    ("the same, one file by all threads", "open_hot", "", 2),
    ("open and close new files, each with a context", "open_cold", "", 2),
    ("both, as a file server might", "mixed", "", 2),
    ("both, with more threads than processors", "mixed", "", 16),
    ("what a recorded build did, as fast as it goes", "replay", "trace:build", 2),
    ("change the contexts of one file that others read", "update_contended", "", 2),
    ("unload a module whose contexts hang on a million files", "unload", "", 2),
)
EVEN = 1.2  # less is no difference to choose by


def verdict(ratio, other):
    if ratio is None:
        return "-"
    if ratio >= EVEN:
        return f"<b>yes</b>: {number(ratio)} × the next, {E(other)}"
    if ratio > 1 / EVEN:
        return f"even with {E(other)}"
    return f"<i>no</i>: {E(other)} does {number(1 / ratio)} × as much"


def speed_rows(groups):
    for what, workload, params, threads in NEEDS:
        for g in groups:
            if (g.workload, g.threads) != (workload, threads) or not g.params.startswith(params):
                continue
            if SUBJECT not in g.ops:
                continue
            best = g.best_other()
            yield [E(what), verdict(g.ratio(SUBJECT, best), best), rate(g.median(SUBJECT)),
                   number(g.ratio(SUBJECT, BASELINE)),
                   f"{workload}<br><small>{E(short(g.params))} {threads} threads</small>"]
            break


def least(values):
    """The other backend with the least of something, and how much."""
    others = {b: v for b, v in values.items() if b not in (SUBJECT, FLOOR, CLOCK)}
    best = min(others, key=others.get, default=None)
    return best, others.get(best)


def other_rows(paced, store):
    sizes = stream_bytes(paced)
    if SUBJECT in sizes:
        best, size = least(sizes)
        ratio = size / sizes[SUBJECT] if best else None
        yield ["have little memory",
               verdict(ratio, f"{best} with {size:,.0f} bytes") if ratio and ratio > 1 / EVEN else
               f"<i>no</i>: {E(best)} takes {size:,.0f}" if best else "-",
               f"{sizes[SUBJECT]:,.0f} bytes",
               number(sizes[BASELINE] / sizes[SUBJECT]) if BASELINE in sizes else "-",
               "a resident stream<br><small>with one context</small>"]
    frees = free_latencies(paced)
    if SUBJECT in frees:
        yield ["need a context gone when its last close returns",
               "<i>no</i>: that is what a lock does; here a grace period passes first",
               f"{microseconds(frees[SUBJECT]['p99'])} µs", "-",
               "from a close to the free<br><small>99 %</small>"]
    share = targets.limbo_share(store)
    if share is not None:
        yield ["have readers that stall, and memory that must not grow",
               "<b>yes</b>: who creates waits at the limit, who closes never does"
               if share <= 1 + 2 / 64 else "<i>no</i>: it went over its limit",
               number(share), "-", "stall<br><small>limbo ÷ its limit</small>"]


def use_section(groups, paced, store):
    rows = [*speed_rows(groups), *other_rows(paced, store)]
    return table(["you mostly&hellip;", "then", "streamctx<br><small>M/s</small>", "times<br>mutex",
                  "measured as"], rows, "", (0, 1, 4), wrap=(0, 1))


# ------------------------------------------------------------ where others win

EDGE = 1.06  # what a histogram's bucket, or a rerun, makes of no difference


def wins(groups, paced):
    """(backend, by what factor, where)"""
    for g in groups:
        for b in g.ops:
            times = g.ratio(b, SUBJECT)
            if b not in (SUBJECT, FLOOR) and times is not None and times > EDGE:
                where = f"{g.workload} {short(g.params)}".strip()
                yield b, times, f"{where}, {g.threads}T: {number(times)} × as fast"
    for (workload, threads), results in paced.items():
        mine = results[SUBJECT]["paced_ns"]["p99.9"]
        for b, r in results.items():
            theirs = r["paced_ns"]["p99.9"]
            if b not in (SUBJECT, FLOOR, CLOCK) and theirs * EDGE < mine and not behind(r):
                yield (b, mine / theirs, f"{workload}, {threads}T, 99.9 % of latencies: "
                       f"{theirs:,.0f} ns, not {mine:,.0f}")
    sizes = stream_bytes(paced)
    for b, size in sizes.items():
        if b not in (SUBJECT, FLOOR) and size * EDGE < sizes.get(SUBJECT, 0):
            yield (b, sizes[SUBJECT] / size,
                   f"{size:,.0f} bytes for a resident stream, not {sizes[SUBJECT]:,.0f}")


def others_section(context, groups, paced):
    lacks, found = lacks_of(context), {}
    for b, times, where in wins(groups, paced):
        found.setdefault(b, []).append((-times, where))
    frees = free_latencies(paced)
    soon = [b for b in backend_order(frees) if b not in (SUBJECT, FLOOR) and
            frees[b]["p99"] * EDGE < frees[SUBJECT]["p99"]]
    note = (f"<p>Sooner freed than {microseconds(frees[SUBJECT]['p99'])} µs after the close, in "
            f"99 % of cases, by: {', '.join(soon)}.</p>" if soon else "")
    if not found:
        return "<p>Nowhere else, in this run.</p>" + note
    rows = [[E(b), E(lacks.get(b, "")), "<br>".join(E(w) for _, w in sorted(found[b]))]
            for b in backend_order(found)]
    return note + table(["backend", "leaves out", "wins"], rows, "", (0, 1, 2), wrap=(1, 2))


# --------------------------------------------------------------------- targets

def targets_section(store):
    verdicts = targets.judge(store)
    colour = {"met": "good", "missed": "bad"}
    rows = [[f"<strong>{E(r[0])}</strong>", *map(E, r[1:4]),
             f"<span class={colour.get(r[4], 'note')}>{r[4]}</span>"] for r in
            targets.rows(verdicts)]
    return (f"<p class=note>{targets.summary(verdicts)}. What a plain <i>make bench</i> leaves "
            "out, <i>make bench-targets</i> measures. A ratio is the median of the ratios of one "
            f"run's interleaved repetitions. {store.left_out}</p>" +
            table(["", "", "measured", "target", ""], rows, "", (0, 1, 4), wrap=(0, 1)))


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
    return table(["backend", "before", "during", "after", "most contexts<br>not yet freed",
                  "limbo, MiB<br><small>limit 32</small>"], rows,
                 "99.9 % of the closes took no more than so many µs, before a reader stalled in "
                 "its section, meanwhile and after; two threads open, insert and close without a "
                 "pause. Where frees are not deferred, a section is a lock that nobody else "
                 "wanted.")


def growth_section(store):
    curves, rows = {}, []
    for b in backend_order(n[len("growth-"):] for n in store.runs if n.startswith("growth-")):
        runs = store.runs["growth-" + b]
        curves[b] = runs[0]["open_ns"]["ccdf"]
        rows.append([E(b)] + [f"{middle(runs, 'open_ns', q) / 1000:,.1f}"
                              for q in ("p50", "p99", "p99.9", "p99.99", "max")] +
                    [f"{middle(runs, 'bare_ns', q) / 1000:,.1f}" for q in ("p99.99", "max")])
        if b == SUBJECT:
            curves["bare clock"] = runs[0]["bare_ns"]["ccdf"]
    if not rows:
        return ""
    streams = short(store.runs["growth-" + SUBJECT][0]["name"].split("/")[2])
    plot = plot_lines({b: [(x, y) for x, y in c if y > 0] for b, c in curves.items()}, "growth",
                      "set logscale xy\nset format xy '10^{%L}'\nset yrange [1e-7:1]\n"
                      "set grid xtics\nset xlabel 'ns' textcolor rgb '#333333'\n")
    return ("<h2>Growth</h2>" + figures(
        [("growth", f"Share of opens that took longer, from an empty table to {streams}.", plot)],
        curves) + table(
        ["backend", "median", "99 %", "99.9 %", "99.99 %", "longest", "bare clock,<br>99.99 %",
         "longest"], rows, "µs of one open. The bare clock waits as often for as long, for "
        "nothing: what it is late by is the machine's doing."))


# ----------------------------------------------------------------------- costs

def costs_section(costs):
    rows = []
    for name, c in costs.items():
        floor = ["-" if c.get(k) is None else str(c[k]) for k in ("floor_rmw", "floor_fences")]
        rows.append([E(name), f"{c['rmw']:.2f}", floor[0], f"{c['fences']:.2f}", floor[1],
                     f"{c['stores']:.2f}", f"{c['instructions']:,.0f}"])
    return table(["an operation of", "RMW", "least", "fences", "least", "shared<br>stores",
                  "instructions"], rows,
                 "Counted, not timed: atomic read-modify-writes, full fences and stores to shared "
                 "memory by the working thread, in the library itself; instructions with "
                 "everything. <i>Least</i> is what the design allows.")


def model_plots(rows):
    plots, backends = [], set()
    for workload in dict.fromkeys(r[0] for r in rows):
        mine = [r for r in rows if r[0] == workload]
        backends |= {r[2] for r in mine}
        series = {r[2]: [(1, r[4] / 1e6), (2, r[6] / 1e6)] +
                  [(n, v / 1e6) for n, v in zip(model.CORES, r[7:])] for r in mine}
        plots.append((workload, f"Predicted million operations a second by cores. "
                      f"{E(short(mine[0][1]))}", plot_lines(
                          series, f"model-{workload}",
                          "set logscale xy\nset xrange [1:128]\nset xtics (1,2,8,32,128)\n"
                          "set xlabel 'cores' textcolor rgb '#333333'\n"
                          "set ylabel 'M/s' textcolor rgb '#333333'\n")))
    return figures(plots, backends)


def model_section(groups, costs):
    rows = model.tabulate([g for g in groups if g.threads in (1, 2)], costs)
    if not rows:
        return ""
    cells, before = [], None
    for r in rows:
        cells.append([E(f"{r[0]} {short(r[1])}".strip()) if r[0] != before else "", E(r[2]),
                      E(r[3]), *(rate(v) for v in r[4:7]), f"{100 * (r[6] / r[5] - 1):+.0f} %",
                      *(rate(v) for v in r[7:])])
        before = r[0]
    middle_off, worst = model.error(rows)
    published = ", ".join(f"{c:g} at {n}" for n, c in model.PUBLISHED)
    return ("<p>Two cores tell nothing of 128. What follows is no measurement: it is what counted "
            "RMW and published costs of contended lines come to (ns of an increment by CPUs that "
            f"contend: {published}; one Milan machine, perfbook, CodeSamples/count).</p><ul>" +
            "".join(f"<li>{E(a)}</li>" for a in model.ASSUMPTIONS) +
            f"</ul><p>Checked against 2 threads here: off by a factor of {middle_off:.2f} in the "
            f"median, {worst:.1f} at the worst.</p>" + model_plots(rows) +
            "<details><summary>The figures</summary>" +
            table(["workload", "backend", "RMW on lines of", "1 thread,<br>measured",
                   "2,<br>measured", "2,<br>model", "off"] + [f"{n},<br>model" for n in
                                                                model.CORES],
                  cells, "Million operations a second.", (0, 1, 2)) + "</details>")
