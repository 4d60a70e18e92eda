# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots, by gnuplot, as SVG for the page."""
import re
import statistics
import subprocess
import sys

from markup import E
from results import FLOOR, SUBJECT, backend_order

COLOURS = {
    "streamctx": "#0b62c4", "floor": "#8a9099", "mutex": "#d9822b", "rwlock": "#b5495b",
    "sharded": "#5d9e4f", "urcu": "#8257a6", "clock": "#9aa3ad",
    "ck": "#2b8a99", "tbb": "#8c6d31", "cuckoo": "#c94f9b", "cds": "#4a5f1f",
    "glib": "#d3b53d", "gluster": "#7a4b2a", "openssl": "#6b6f76", "streamctx_so": "#7fb0e6",
    "streamctx_inline": "#4f8fd0",
    "atomic": "#2f3640", "bare clock": "#9aa3ad",
}
SPARE_COLOURS = ["#3f7f5f", "#a06fd0", "#506070", "#e07070"]


def colours(backends):
    spare = iter(SPARE_COLOURS * 9)
    return {b: COLOURS.get(b) or next(spare) for b in backends}


def gnuplot(script, blocks, tag):
    """Run @script over datablocks; the SVG, with ids of its own and no fixed size."""
    data = "".join(f"${name} << EOD\n{text}EOD\n" for name, text in blocks.items())
    run = subprocess.run(["gnuplot"], input=data + script, capture_output=True, text=True)
    if run.returncode or "<svg" not in run.stdout:
        sys.exit("report.py: gnuplot failed\n" + run.stderr)
    svg = run.stdout[run.stdout.index("<svg"):]
    for ident in set(re.findall(r"\bid=['\"]([^'\"]+)['\"]", svg)):
        svg = re.sub(rf"(\bid=|href=)(['\"])(#?){re.escape(ident)}\2",
                     rf"\1\2\3{tag}-{ident}\2", svg)
        svg = svg.replace(f"url(#{ident})", f"url(#{tag}-{ident})")
    svg = re.sub(r"<title>.*?</title>|<desc>.*?</desc>", "", svg, flags=re.S)
    return svg


TERMINAL = ("set terminal svg size {w},{h} dynamic font 'sans-serif,14' background 'white'\n"
            "set border 3 lc rgb '#666666'\nset tics nomirror textcolor rgb '#333333'\n"
            "set grid ytics lc rgb '#e4e6ea' lt 1\nunset key\n")


def bar_labels(groups):
    """What tells the bars of one plot apart."""
    one_param = len({g.params for g in groups}) == 1
    one_thread = len({g.threads for g in groups}) == 1
    for g in groups:
        param = re.sub(r"^\w+:", "", g.params)
        threads = f"{g.threads} thread" + ("s" if g.threads > 1 else "")
        yield threads if one_param else param if one_thread else f"{param}, {g.threads}T"


def plot_bars(groups, tag):
    """Medians as bars in clusters, the quartiles as whiskers, the floor as a line across."""
    backends = backend_order({b for g in groups for b in g.ops} - {FLOOR})
    paint = colours(backends)
    lines, bars, floor = [], [], []
    for label, g in zip(bar_labels(groups), groups):
        cells = [f'"{label}"']
        for b in backends:
            ops = g.ops.get(b)
            if not ops:
                cells += ["NaN"] * 3
                continue
            low, mid, high = (statistics.quantiles(ops, n=4, method="inclusive")
                              if len(ops) > 1 else ops * 3)
            cells += [f"{v / 1e6:.6g}" for v in (mid, low, high)]
        lines.append(" ".join(cells))
        if FLOOR in g.ops:
            floor.append(f"{len(lines) - 1.47:.2f} {g.median(FLOOR) / 1e6:.6g} 0.94 0")
    for i, b in enumerate(backends):
        c = 3 * i + 2
        bars.append(f"$d using {c}:{c + 1}:{c + 2}:xtic(1) lc rgb '{paint[b]}'")
    if floor:
        bars.append(f"$f using 1:2:3:4 with vectors nohead lw 2 dt 2 lc rgb '{COLOURS[FLOOR]}'")
    script = TERMINAL.format(w=560, h=340) + (
        "set style data histograms\nset style histogram errorbars gap 1 lw 1\n"
        "set style fill solid noborder\nset boxwidth 0.92\nset yrange [0:*]\n"
        "set errorbars front lw 1 lc rgb '#333333'\n"
        "set ylabel 'million operations a second' textcolor rgb '#333333'\n"
        "set xtics scale 0\n"
        f"set xrange [-0.65:{len(lines) - 0.35}]\n"
        "plot " + ", ".join(bars) + "\n")
    return gnuplot(script, {"d": "\n".join(lines) + "\n", "f": "\n".join(floor) + "\n"}, tag)


def plot_lines(series, tag, settings):
    """@series: {backend: [(x, y)]}."""
    backends = backend_order(series)
    paint = colours(backends)
    blocks = {f"d{i}": "".join(f"{x:.6g} {y:.9g}\n" for x, y in series[b])
              for i, b in enumerate(backends)}
    lines = ", ".join(
        f"$d{i} using 1:2 with lines lw {3 if b == SUBJECT else 2} lc rgb '{paint[b]}'"
        for i, b in enumerate(backends))
    script = TERMINAL.format(w=560, h=340) + settings + "plot " + lines + "\n"
    return gnuplot(script, blocks, tag)


def legend(backends):
    paint = colours(backends)
    return "<ul class=legend>" + "".join(
        f"<li><i style='background:{paint[b]}'></i>{E(b)}</li>" for b in backends) + "</ul>"


def figures(pairs, backends):
    return legend(backend_order(backends)) + "<div class=plots>" + "".join(
        f"<figure><h3>{E(title)}</h3><figcaption>{E(text)}</figcaption>{svg}</figure>"
        for title, text, svg in pairs) + "</div>"
