# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots, by gnuplot, as SVG for the page: labelled where the data is, in the page's colours."""
import math
import re
import subprocess
import sys

from markup import E
from results import SUBJECT, backend_order

# Colours that gnuplot is given, and what the page has in their place, light or dark.
ROLES = {"ink": "#010101", "rule": "#020202", "us": "#030303", "them": "#040404"}
FALLBACK = {"ink": "#1d2228", "rule": "#dde1e6", "us": "#0b62c4", "them": "#6b7480"}
# Of lines that cross: readable on white and on black.
COLOURS = ["#c8752a", "#3f9b6c", "#a06fd0", "#c05a6e", "#8a8f2c", "#3d94a8", "#b36ba8", "#8d7a5c",
           "#7484c9", "#969da6"]
WIDTH, ROW, LINES_HEIGHT = 480, 25, 310
CHARACTER = 8.4  # pixels, of a label

TERMINAL = ("set terminal svg size {w},{h} dynamic font 'sans-serif,15' noenhanced\n"
            f"set border 1 lc rgb '{ROLES['ink']}'\n"
            f"set tics nomirror scale 0.5 textcolor rgb '{ROLES['ink']}'\n"
            f"set grid {{grid}} lc rgb '{ROLES['rule']}' lt 1\nunset key\nset errorbars 0\n")


def gnuplot(script, blocks, tag, title):
    """Run @script over datablocks; the SVG, with ids of its own, a name and no fixed size."""
    data = "".join(f"${name} << EOD\n{text}EOD\n" for name, text in blocks.items())
    run = subprocess.run(["gnuplot"], input=data + script, capture_output=True, text=True)
    if run.returncode or "<svg" not in run.stdout:
        sys.exit("report.py: gnuplot failed\n" + run.stderr)
    svg = run.stdout[run.stdout.index("<svg"):]
    svg = re.sub(r"\s*<title>.*?</title>|<desc>.*?</desc>", "", svg, flags=re.S)
    for ident in set(re.findall(r"\bid=['\"]([^'\"]+)['\"]", svg)):
        svg = re.sub(rf"(\bid=|href=)(['\"])(#?){re.escape(ident)}\2",
                     rf"\1\2\3{tag}-{ident}\2", svg)
        svg = svg.replace(f"url(#{ident})", f"url(#{tag}-{ident})")
    for role, colour in ROLES.items():
        n = int(colour[1:3])
        svg = re.sub(rf"rgb\(\s*{n},\s*{n},\s*{n}\)", f"var(--{role},{FALLBACK[role]})", svg)
    return re.sub(r"<svg\s([^>]*)>", rf"<svg role=img aria-labelledby='{tag}-title' \1>"
                  rf"<title id='{tag}-title'>{E(title)}</title>", svg, count=1)


def log_tics(low, high):
    """1, 2, 5, 10 ... if there are some, else finer ones; of many, the powers of ten."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [s * 10.0 ** d for d in decades for s in steps if low <= s * 10.0 ** d <= high]
        if len(found) >= 3 or len(steps) > 3:
            return found if len(found) <= 6 else found[::2]


def tics(axis, values):
    return f"set {axis}tics (" + ", ".join(f"'{v:,.6g}' {v:.9g}" for v in values) + ")\n"


def log_range(axis, values):
    low, high = min(values) / 1.15, max(values) * 1.15
    return (f"set logscale {axis}\nset {axis}range [{low:.9g}:{high:.9g}]\n" +
            tics(axis, log_tics(low, high)))


def plot_dots(rows, tag, title, xlabel, joined=False, unit=1):
    """A line for each row (label, [(x, low, high) or None of each series], text at the right).
    The first series has circles, the next ones other marks.  @joined: a line through them."""
    marks = (6, 7, 9, 13)
    values = [v / unit for _, points, _ in rows for p in points if p for v in p]
    blocks, plots, labels = {}, [], []
    for i, (label, points, text) in enumerate(rows):
        y = len(rows) - 1 - i
        role = "us" if label == SUBJECT else "them"
        labels.append(f"set label '{text}' at graph 1.02, first {y} tc rgb '{ROLES['ink']}'\n")
        there = [(k, p) for k, p in enumerate(points) if p]
        shift = 0 if joined else 0.22
        lines = {k: [v / unit for v in p] + [y + shift * (len(points) / 2 - 0.5 - k)]
                 for k, p in there}
        if joined and there:
            blocks[f"j{i}"] = "".join(f"{v[0]:.9g} {v[3]}\n" for v in lines.values())
            plots.append(f"$j{i} using 1:2 with lines lw 1.5 lc rgb '{ROLES[role]}'")
        for k, v in lines.items():
            blocks[f"d{i}_{k}"] = " ".join(f"{n:.9g}" for n in v) + "\n"
            plots.append(f"$d{i}_{k} using 1:4:2:3 with xerrorbars pt {marks[k]} ps 0.9 lw 1.5 "
                         f"lc rgb '{ROLES[role]}'")
    left = max(len(r[0]) for r in rows) * CHARACTER + 12
    right = WIDTH - max(len(r[2]) for r in rows) * CHARACTER - 14
    height = 66 + ROW * len(rows)
    script = TERMINAL.format(w=WIDTH, h=height, grid="xtics") + log_range("x", values) + (
        f"set lmargin at screen {left / WIDTH:.4f}\nset rmargin at screen {right / WIDTH:.4f}\n"
        f"set tmargin at screen {1 - 4 / height:.4f}\nset bmargin at screen {58 / height:.4f}\n"
        f"set yrange [-0.6:{len(rows) - 0.4}]\nset ytics scale 0 (" +
        ", ".join(f"'{r[0]}' {len(rows) - 1 - i}" for i, r in enumerate(rows)) + ")\n"
        f"set xlabel '{xlabel}' textcolor rgb '{ROLES['ink']}' offset 0,0.4\n" + "".join(labels) +
        "plot " + ", ".join(plots) + "\n")
    return gnuplot(script, blocks, tag, title)


def spread_out(wanted, gap):
    """Places near the wanted ones (0 to 1), in their order, at least @gap apart."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = {}
    for n, i in enumerate(order):
        places[i] = max(wanted[i], places[order[n - 1]] + gap) if n else wanted[i]
    over = max(0, max(places.values()) - 1)
    for n, i in enumerate(reversed(order)):
        above = places[order[len(order) - n]] - gap if n else 1
        places[i] = min(places[i], above) if over else places[i]
    return [places[i] for i in range(len(wanted))]


def plot_lines(series, tag, title, xlabel, ylabel, settings="", log=True, xs=None):
    """@series: {backend: [(x, y)]}, each labelled at its end."""
    backends = [b for b in backend_order(series) if series[b]]
    spare = iter(COLOURS * 9)
    paint = {b: ROLES["us"] if b == SUBJECT else next(spare) for b in backends}
    ys = [y for b in backends for _, y in series[b] if y > 0 or not log]
    low, high = (min(ys) / 1.2, max(ys) * 1.2) if log else (0, max(ys) * 1.05 or 1)
    scale = math.log if log else float
    part = [(scale(max(series[b][-1][1], low)) - scale(low)) / (scale(high) - scale(low))
            for b in backends]
    places = spread_out(part, 17 / (LINES_HEIGHT - 60))
    right = WIDTH - max(map(len, backends)) * CHARACTER - 16
    script = TERMINAL.format(w=WIDTH, h=LINES_HEIGHT, grid="ytics") + (
        log_range("y", ys) if log else f"set yrange [0:{high:.6g}]\n") + (
        tics("x", xs) if xs else "") + (
        f"set rmargin at screen {right / WIDTH:.4f}\n"
        f"set xrange [*:{max(x for b in backends for x, _ in series[b]):.6g}]\n"
        f"set xlabel '{xlabel}' textcolor rgb '{ROLES['ink']}'\n"
        f"set ylabel '{ylabel}' textcolor rgb '{ROLES['ink']}'\n") + settings + "".join(
        f"set label '{b}' at graph 1.02, graph {y:.4f} tc rgb '{paint[b]}'\n"
        for b, y in zip(backends, places))
    blocks = {f"d{i}": "".join(f"{x:.6g} {y:.9g}\n" for x, y in series[b] if y > 0 or not log)
              for i, b in enumerate(backends)}
    script += "plot " + ", ".join(
        f"$d{i} using 1:2 with lines lw {3 if b == SUBJECT else 1.8} lc rgb '{paint[b]}'"
        for i, b in enumerate(backends)) + "\n"
    return gnuplot(script, blocks, tag, title)


def figures(found):
    """[(title, text below it, SVG)]"""
    return "<div class=plots>" + "".join(
        f"<figure><h3>{E(title)}</h3><figcaption>{text}</figcaption>{svg}</figure>"
        for title, text, svg in found) + "</div>"
