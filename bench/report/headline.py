#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plot and the table of the README, from committed results.

  headline.py --keep BENCH.json   keep what is needed of a `make bench` in results/headline.json
  headline.py                     draw results/headline.svg from it, print the table

A bar is the median, over the repetitions, of the ratio to mutex's repetition of the same number:
they were interleaved in the same seconds.  Repetitions in which the host ran both processors on one
core are left out where others remain, as in the report.
"""
import json
import os
import statistics
import subprocess
import sys

from results import handovers, is_near

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "results")
DATA, PLOT = os.path.join(RESULTS, "headline.json"), os.path.join(RESULTS, "headline.svg")

SUBJECT, BASELINE = "streamctx", "mutex"
OTHERS = ("sharded", "urcu")
WORDS = {SUBJECT: SUBJECT, "sharded": "many mutexes", "urcu": "liburcu and its hash table"}
COLOURS = {SUBJECT: "#0b62c4", BASELINE: "#d9822b", "sharded": "#5d9e4f", "urcu": "#8257a6"}
MILLION = "streams:1000000"
# (workload, parameters, threads, label of the plot, words of the table)
ROWS = [
    ("lookup_hot", "contexts:1", 2, "lookup, one stream", "look a record up, all on one stream"),
    ("lookup_cold", MILLION, 2, "lookup, 1 M streams", "look a record up among a million streams"),
    ("open_warm", MILLION, 2, "open, 1 M streams", "open, look up, close; a million streams are open"),
    ("open_many", MILLION, 2, "the same, 16 at a time", "the same in batches of 16"),
    ("replay", "trace:build/resident:16384", 2, "a build", "a recorded build, 16,384 idle files kept"),
    ("replay", "trace:git/resident:16384", 2, "git", "recorded git commands, likewise"),
    ("replay", "trace:search/resident:16384", 2, "a search", "a recorded search, likewise"),
    ("replay", "trace:build/resident:16384", 1, "the build, 1 thread", "the build on one thread"),
    ("replay", "trace:build", 2, "the build, none kept", "the build, no idle files kept"),
    ("replay", "trace:build", 1, "the same, 1 thread", "the same on one thread"),
    ("open_cold", "", 2, "create and destroy", "open a new stream, create a record, look it up, close"),
]
FIELDS = ("name", "run_type", "repetition_index", "ops", "handover_ns")


def name_of(row, backend):
    workload, params, threads = row[:3]
    return f"{workload}/{backend}/{params + '/' if params else ''}threads:{threads}"


def keep(path):
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    names = {name_of(row, b) for row in ROWS for b in (SUBJECT, BASELINE, *OTHERS)}
    runs = [{k: run[k] for k in FIELDS if k in run} for run in results["benchmarks"]
            if run["run_type"] == "iteration" and run["name"] in names]
    context = {k: v for k, v in results["context"].items() if k not in ("host_name", "executable")}
    with open(DATA, "w", encoding="utf-8") as file:
        file.write('{"comment": "SPDX-License-Identifier: LGPL-2.1-or-later",\n"context": ' + json.dumps(context, sort_keys=True) + ',\n"benchmarks": [\n'
                   + ",\n".join(json.dumps(run) for run in runs) + "\n]}\n")


class Results:
    def __init__(self):
        with open(DATA, encoding="utf-8") as file:
            self.data = json.load(file)
        self.runs = {}
        for run in self.data["benchmarks"]:
            self.runs.setdefault(run["name"], {})[run["repetition_index"]] = run
        self.usual = statistics.median(handovers(self.data["benchmarks"]) or [0])

    def pairs(self, row, backend):
        ours, base = self.runs.get(name_of(row, backend), {}), self.runs[name_of(row, BASELINE)]
        pairs = [(ours[k], base[k]) for k in sorted(ours.keys() & base.keys())]
        far = [p for p in pairs if not any(is_near(run, self.usual) for run in p)]
        return far or pairs

    def has(self, row, backend):
        """Not every backend keeps idle streams, nor does every run have them."""
        return name_of(row, backend) in self.runs and name_of(row, BASELINE) in self.runs

    def rows(self):
        return [row for row in ROWS if self.has(row, SUBJECT)]

    def ratios(self, row, backend):
        return [a["ops"] / b["ops"] for a, b in self.pairs(row, backend)]

    def millions(self, row, backend):
        return statistics.median(a["ops"] for a, _ in self.pairs(row, backend)) / 1e6


def quartiles(values):
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def gnuplot(script, blocks):
    data = "".join(f"${name} << EOD\n{text}EOD\n" for name, text in blocks.items())
    run = subprocess.run(["gnuplot"], input=data + script, capture_output=True, text=True)
    if run.returncode or "<svg" not in run.stdout:
        sys.exit("headline.py: gnuplot failed\n" + run.stderr)
    return run.stdout[run.stdout.index("<svg"):]


def figure(ratio):
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def draw(results):
    """Bars to the right of 1 are faster than mutex; each row has one for each backend."""
    backends, rows = (SUBJECT, *OTHERS), results.rows()
    height, thick = len(backends) + 1.2, 0.4
    blocks, labels = {b: "" for b in backends}, []
    for i, row in enumerate(rows):
        for j, backend in enumerate(b for b in backends if results.has(row, b)):
            low, mid, high = quartiles(results.ratios(row, backend))
            y = -(i * height + j)
            blocks[backend] += f"{mid:.5g} {y} 1 {mid:.5g} {y - thick} {y + thick} {low:.5g} {high:.5g}\n"
            labels.append(f"set label '{figure(mid)}' at {max(high, 1):.5g},{y} left offset 0.5,0 "
                          "font ',11' tc rgb '#555555'")
    ticks = ", ".join(f"'{row[3]}' {-(i * height + (len(backends) - 1) / 2)}"
                      for i, row in enumerate(rows))
    bars = ", ".join(
        f"${b} using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb '{COLOURS[b]}' title '{WORDS[b]}', "
        f"${b} using 1:2:7:8 with xerrorbars pt 0 lw 1 lc rgb '#333333' notitle" for b in backends)
    script = (
        f"set terminal svg size 760,{90 + 17 * len(rows) * len(backends)} dynamic "
        "font 'sans-serif,13' background 'white'\n"
        "set border 1 lc rgb '#666666'\nset tics nomirror textcolor rgb '#333333'\n"
        "set grid xtics lc rgb '#e4e6ea' lt 1\nset key at graph 0.98,0.04 right bottom\n"
        "set logscale x\nset xrange [0.2:500]\n"
        "set xtics ('¼' 0.25, '½' 0.5, '1' 1, '2' 2, '5' 5, '10' 10, '20' 20, '50' 50, '100' 100)\n"
        f"set yrange [{-(len(rows) * height)}:1]\nset ytics scale 0 ({ticks})\n"
        "set xlabel 'times as fast as a table under a mutex (further right is faster)' "
        "textcolor rgb '#333333'\n"
        "set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 dt 2 "
        f"lc rgb '{COLOURS[BASELINE]}' front\n" + "\n".join(labels) + f"\nplot {bars}\n")
    svg = gnuplot(script, blocks)
    title = "Throughput of streamctx, sharded mutexes and plain liburcu, relative to a mutex"
    svg = svg.replace("<svg", "<svg role='img' aria-labelledby='headline-title'", 1)
    at = svg.index(">") + 1
    with open(PLOT, "w", encoding="utf-8") as file:
        file.write(svg[:at] + f"\n<title id='headline-title'>{title}</title>\n"
                   "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->" + svg[at:])


def table(results):
    backends = (SUBJECT, BASELINE, *OTHERS)
    print("| million a second | threads | " + " | ".join(backends) + " |")
    print("| --- | --- |" + " --- |" * len(backends))
    for row in results.rows():
        values = [results.millions(row, b) if results.has(row, b) else 0 for b in backends]
        cells = [f"{v:,.0f}" if v >= 100 else f"{v:.1f}" if v else "–" for v in values]
        best = values.index(max(values))
        cells[best] = f"**{cells[best]}**"
        print(f"| {row[4]} | {row[2]} | " + " | ".join(cells) + " |")


def main(arguments):
    if arguments[:1] == ["--keep"] and len(arguments) == 2:
        keep(arguments[1])
    elif arguments:
        sys.exit(__doc__)
    results = Results()
    draw(results)
    table(results)


if __name__ == "__main__":
    main(sys.argv[1:])
