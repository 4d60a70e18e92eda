# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page: what was measured, what the machine was.  For report.py."""
import base64
import json
import platform
import re
import subprocess

import answers
from markup import E, STYLE, small_spread, table
from plots import figures, plot_bars, plot_lines
from results import (BUSY, MEANWHILE, NEAR, NEAR_NOTE, SUBJECT, backend_order, behind,
                     free_latencies, handover, known_cost, lacks_of, microseconds, number, rate,
                     rate_spread, short, stream_bytes, threads_of)

ABOUT = {
    "lookup_hot": "One stream, held open; look up the oldest of its contexts.",
    "lookup_cold": "Find a random one of many streams by id, look up its context.",
    "open_warm": "Open a random one of many resident streams, look up, close.",
    "open_many": "The same in batches of 16: open all, look up in each, close all. "
                 "An operation is one open.",
    "open_zipf": "As open_warm, but few streams get most of the opens (Zipf's law, s = 0.99).",
    "mixed": "Nineteen in twenty opens are of 100,000 residents, the others of new streams; four "
             "owners look up their contexts. What that retires is freed inside the timed span.",
    "unload": "An owner leaves all streams, while the threads open and close them: contexts taken "
              "away a second.",
    MEANWHILE: "What the threads get done while that goes on.",
    "open_hot": "Open the one resident stream, look up, close.",
    "open_cold": "A new stream each time: open, create a context, look it up, close. "
                 "What that retires is freed inside the timed span.",
    "update_contended": "All threads on one stream: insert a context, look up 8 times, remove it.",
    "replay": "Recorded opens and closes of real programs; an audit and a quota module count "
              "each open in contexts of their own. An operation is an open or a close.",
}


def summary_table(found):
    head = ["workload", "threads", "streamctx<br><small>M/s</small>", "mutex<br><small>M/s</small>",
            "times<br>mutex", "best other", "<small>M/s</small>", "times<br>best", "times<br>urcu",
            "time ÷<br>floor's"]
    rows = [[f"<b>{c}</b>" if i == 4 and c != "-" else small_spread(c) for i, c in enumerate(r)]
            for r in found]
    return table(head, rows, "Million operations a second, all threads together: median and "
                 "half the distance between the quartiles." +
                 (f" {NEAR}: {NEAR_NOTE}." if any(NEAR in r[1] for r in found) else ""), (0, 5))


def full_table(groups):
    backends = backend_order({b for g in groups for b in g.ops})
    rows = []
    for g in groups:
        row = [E(f"{g.workload} {short(g.params)}".strip()), threads_of(g)]
        for b in backends:
            times = g.ratio(SUBJECT, b)
            row.append("-" if b not in g.ops else small_spread(rate_spread(g.ops[b])) + (
                "" if b == SUBJECT or times is None else f"<br>×{number(times)}"))
        rows.append(row)
    return table(["workload", "threads"] + backends, rows,
                 "Every backend; × is how many times as fast streamctx was.")


def bar_figures(groups):
    plots = []
    workloads = list(dict.fromkeys(g.workload for g in groups))
    for w in workloads:
        mine = [g for g in groups if g.workload == w]
        parts = [mine]
        if len(mine) > 4:
            parts = [[g for g in mine if g.threads == t] for t in sorted({g.threads for g in mine})]
        for i, part in enumerate(parts):
            title = w
            if len(parts) > 1:
                title += f", {part[0].threads} thread" + ("s" if part[0].threads > 1 else "")
            params = {g.params for g in part}
            what = params.pop().split(":")[0] if len(params) > 1 else short(params.pop())
            text = ABOUT.get(w, "") + (f" By {what}." if params else f" {what}." if what else "")
            plots.append((title, text, plot_bars(part, f"bars-{w}-{i}")))
    return figures(plots, {b for g in groups for b in g.ops})


QUANTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def paced_section(paced):
    plots, rows = [], []
    for (workload, threads), results in paced.items():
        name = f"{workload}, {threads} thread" + ("s" if threads > 1 else "")
        at = rate(next(iter(results.values()))["rate"])
        series = {b: [(ns, share) for ns, share in r["paced_ns"]["ccdf"] if share > 0]
                  for b, r in results.items()}
        plots.append((name, f"Share of operations that took longer, {at} million a second.",
                      plot_lines(series, f"paced-{workload}-{threads}",
                                 "set logscale xy\nset format xy '10^{%L}'\nset yrange [1e-6:1]\n"
                                 "set grid xtics\nset xlabel 'ns' textcolor rgb '#333333'\n")))
        for b in backend_order(results):
            rows.append([E(name), E(b), at] +
                        [f"{results[b]['paced_ns'][q]:,.0f}" for q in QUANTILES] +
                        ["behind" if behind(results[b]) else ""])
    note = ("<p class=note>Each operation is due at a fixed moment, at half the rate that the slower "
            "of streamctx and the mutex can keep up, and is timed from then to its end: if those "
            "before it took long, it has waited. <i>Behind</i>: the rate was too much, and the times "
            "are the backlog's. <i>clock</i> keeps the same schedule with nothing to do: the "
            "machine's own jitter. A value is known to 6 %.</p>")
    backends = set().union(*paced.values())
    return note + figures(plots, backends) + "<details><summary>The figures</summary>" + table(
        ["workload", "backend", "M/s", "median", "90 %", "99 %", "99.9 %", "99.99 %", "longest",
         ""], rows, "Nanoseconds from when an operation was due to its end.", (0, 1)) + "</details>"


def series_section(found):
    seconds = "set xlabel 'seconds' textcolor rgb '#333333'\nset yrange [0:*]\n"
    samples = {b: rows for b, (rows, _) in found.items()}
    plots = [
        ("Resident memory", "Of the whole process, MB.", plot_lines(
            {b: [(r[0], r[2] / 1024) for r in rows] for b, rows in samples.items()}, "rss",
            seconds + "set ylabel 'MB' textcolor rgb '#333333'\n")),
        ("Limbo", "Contexts made and not yet freed, in thousands.", plot_lines(
            {b: [(r[0], r[3] / 1000) for r in rows] for b, rows in samples.items()}, "limbo",
            seconds + "set ylabel 'thousand contexts' textcolor rgb '#333333'\n")),
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
    return figures(plots, found) + table(
        ["backend", "most MB resident", "most contexts in limbo", "most limbo, kB",
         "free, median µs", "99 %", "longest", "million opens a second"], rows,
        "open_cold, 2 threads.")


def peer_table(context, paced):
    lacks, sizes, frees = lacks_of(context), stream_bytes(paced), free_latencies(paced)
    rows = ""
    for b in backend_order(lacks):
        free = [microseconds(frees[b][q]) if b in frees else "-" for q in ("p50", "p99")]
        rows += (f"<tr><td>{E(b)}</td><td class=wrap>{E(lacks[b]) or 'the subject'}</td>"
                 f"<td>{f'{sizes[b]:,.0f}' if b in sizes else '-'}</td>"
                 f"<td>{free[0]}</td><td>{free[1]}</td></tr>")
    return ("<p class=note>Bytes that a resident stream with one context takes; microseconds from "
            "a close to its context's free, at a rate that leaves time.</p>"
            "<div class=scroll><table><thead><tr><th>backend</th>"
            "<th class=left>what it leaves out</th><th>bytes a stream</th>"
            "<th>free, median</th><th>99 %</th></tr></thead>"
            f"<tbody>{rows}</tbody></table></div>")


def first_line(path, pattern):
    try:
        with open(path) as f:
            return next((m.group(1) for m in (re.match(pattern, line) for line in f) if m), "")
    except OSError:
        return ""


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine_list(results):
    context = results["context"]
    commit = output_of("git", "describe", "--always", "--dirty")
    facts = [
        ("processor", first_line("/proc/cpuinfo", r"model name\s*:\s*(.*)")),
        ("processors", f"{context['num_cpus']} at {context['mhz_per_cpu']} MHz"
                       + (", a virtual machine" if first_line("/proc/cpuinfo",
                          r"flags\s*:.*\b(hypervisor)\b") else "")),
        ("a cache line", handover(results)),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("huge pages", first_line("/sys/kernel/mm/transparent_hugepage/enabled", r".*\[(\w+)\]")),
        ("load before", ", ".join(f"{x:.2f}" for x in context["load_avg"])),
        ("compiler", f"{context['compiler']}, {context['flags']}"),
        ("malloc", f"{context['allocator']}, for every backend"),
        ("liburcu", f"{context['liburcu']}; streamctx uses {context['rcu']}, urcu uses memb"),
        ("Google Benchmark", context["benchmark"]),
        ("streamctx", commit),
        ("date", context["date"]),
    ]
    return "<dl>" + "".join(f"<dt>{E(k)}</dt><dd>{E(str(v))}</dd>" for k, v in facts if v) + "</dl>"


def raw_section(groups, store):
    """Every repetition, so that the page alone can be reckoned with again."""
    data = {"operations a second": {
        f"{g.workload}/{b}/{g.params}/threads:{threads_of(g)}": [round(v) for v in ops]
        for g in groups for b, ops in g.ops.items()}}
    if store:
        data["targets"] = [{n: [round(run["ops"]) for _, run in sorted(runs.items())]
                            for n, runs in f.items()}
                           for f in store.files]
        data["runs"] = {name: [{k: {q: x for q, x in v.items() if q != "ccdf"}
                                if isinstance(v, dict) else v for k, v in run.items()}
                               for run in runs] for name, runs in store.runs.items()}
    text = json.dumps(data, separators=(",", ":"))
    link = base64.b64encode(text.encode()).decode()
    return (f"<p><a download=streamctx-bench.json href='data:application/json;base64,{link}'>"
            f"Every repetition as JSON</a>, {len(text) // 1024} kB.</p>")


def beginning(context, groups, off):
    repetitions = max(len(ops) for g in groups for ops in g.ops.values())
    busy = "" if off is None else (
        f" A workload of just 1000 ns by the clock, measured in between, came out {off:+.1f} % "
        "off" + (": <b>the machine was too busy to conclude anything</b>." if abs(off) > BUSY
                 else "."))
    return ("<h1>streamctx beside what else one would write</h1>"
            f"<p class=note>{E(context['date'][:16].replace('T', ' '))}, "
            f"{E(first_line('/proc/cpuinfo', r'model name.*: (.*)'))}, {context['num_cpus']} "
            f"processors, {repetitions} interleaved repetitions.{busy}</p>")


def write_page(path, source, results, groups, rows, paced, series, store, costs):
    context = results["context"]
    measured = [g for g in groups if g.workload != "known_cost"]
    plain = [g for g in measured if not g.beside]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>streamctx: benchmarks</title><style>{STYLE}</style></head><body>",
        beginning(context, groups, known_cost(groups)),
        "<h2>Should I use it?</h2><p>If several modules keep state of their own for each open "
        "file, and this is what you do most:</p>",
        answers.use_section(plain, paced, store),
        "<h2>Where others win</h2>", answers.others_section(context, plain, paced),
        "<h2>What each one leaves out</h2>",
        "<p>A backend that frees at once does less work in <i>open_cold</i>, <i>mixed</i>, "
        "<i>replay</i> and <i>update_contended</i> than one that waits for readers.</p>",
        peer_table(context, paced),
        "<h2>Targets</h2>", answers.targets_section(store),
        "<h2>Throughput</h2><p class=note>Bars are medians, whiskers the quartiles. The dashed "
        "line is the floor: the same layout and work with no synchronisation, each thread with a "
        "table to itself.</p>", bar_figures(plain), summary_table(rows),
        "<p class=note>Ratios are medians of the repetitions' own ratios. <i>Best other</i> is the "
        "fastest of the rest.</p>",
        "<details><summary>Every backend</summary>", full_table(measured), "</details>",
    ]
    if paced:
        parts += ["<h2>Latency at a fixed rate</h2>", paced_section(paced)]
    if series:
        parts += ["<h2>Memory and limbo under churn</h2>",
                  "<p>Two threads open, use and close new streams as fast as they can "
                  "(<i>open_cold</i>); sampled every 20 ms.</p>", series_section(series)]
    parts += [
        "<h2>A reader that stalls</h2>", answers.stall_section(store),
        answers.growth_section(store),
        "<h2>Counted costs</h2>", answers.costs_section(costs),
        "<h2>Beyond two cores, on paper</h2>", answers.model_section(plain, costs),
        "<h2>Machine</h2>", machine_list(results),
        "<h2>Raw data</h2>", raw_section(groups, store),
        "<h2>Again, on yours</h2>",
        "<pre>make deps bench\nmake bench-targets\nmake deps-study bench-study\nmake bench "
        "BENCH_FILTER='open_warm/(streamctx|urcu)/' BENCH_OUT=part.json\nbuild/bench/sctx-bench "
        "open_cold streamctx --threads 2 --seconds 30 --series series.txt\nmake bench-process"
        "</pre>",
        f"<p class=note>Methods and their limits: bench/README.md. Raw results: {E(source)}.</p>"
        "</body></html>",
    ]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts))
