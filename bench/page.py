# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page: plots by gnuplot, tables, what the machine was.  For report.py."""
import html
import platform
import re
import statistics
import subprocess
import sys

from results import (BASELINE, FLOOR, MEANWHILE, SUBJECT, backend_order, behind, free_latencies,
                     known_cost, lacks_of, microseconds, number, rate, rate_spread, short,
                     stream_bytes)

COLOURS = {
    "streamctx": "#0b62c4", "floor": "#c9ccd1", "mutex": "#d9822b", "rwlock": "#b5495b",
    "sharded": "#5d9e4f", "urcu": "#8257a6", "clock": "#9aa3ad",
    "ck": "#2b8a99", "tbb": "#8c6d31", "cuckoo": "#c94f9b", "cds": "#4a5f1f", "glib": "#d3b53d", "gluster": "#7a4b2a", "openssl": "#6b6f76",
}
SPARE_COLOURS = ["#3f7f5f", "#a06fd0", "#506070", "#e07070"]
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


# ---------------------------------------------------------------------- plots

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
    """Medians as bars in clusters, the quartiles as whiskers."""
    backends = backend_order({b for g in groups for b in g.ops} - {FLOOR})
    paint = colours(backends)
    lines, bars = [], []
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
    for i, b in enumerate(backends):
        c = 3 * i + 2
        bars.append(f"$d using {c}:{c + 1}:{c + 2}:xtic(1) lc rgb '{paint[b]}'")
    script = TERMINAL.format(w=560, h=340) + (
        "set style data histograms\nset style histogram errorbars gap 1 lw 1\n"
        "set style fill solid noborder\nset boxwidth 0.92\nset yrange [0:*]\n"
        "set errorbars front lw 1 lc rgb '#333333'\n"
        "set ylabel 'million operations a second' textcolor rgb '#333333'\n"
        "set xtics scale 0\n"
        "plot " + ", ".join(bars) + "\n")
    return gnuplot(script, {"d": "\n".join(lines) + "\n"}, tag)


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


# ----------------------------------------------------------------------- page

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: #1d2228;
  background: #fff; font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-top: .6rem; border-top: 1px solid #dde1e6 }
h3 { font-size: 1rem; margin: 0 0 .1rem }
p, ul { max-width: 46rem; margin: .4rem 0 .9rem }
.note, figcaption { color: #565f6b; font-size: .9rem }
.scroll { overflow-x: auto; margin: 0 -1rem; padding: 0 1rem }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none;
  font-size: .9rem }
.legend i { display: inline-block; width: 1.4em; height: .7em; margin-right: .45em;
  border-radius: 2px }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e9ecf0 }
th { font-weight: 600; border-bottom: 2px solid #c9cfd6; vertical-align: bottom }
th:first-child, td:first-child, .left { text-align: left }
td.wrap { white-space: normal; text-align: left; min-width: 16rem }
td b { color: #0b62c4 }
tr.first td { border-top: 1px solid #c9cfd6 }
small { color: #7a838f; font-size: .85em }
.plots { display: grid; gap: 1.8rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
figure { margin: 0; min-width: 0 }
figure svg { display: block; width: 100%; height: auto }
code, pre { font: .88em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
pre { background: #f4f6f8; padding: .8rem 1rem; overflow-x: auto; border-radius: 4px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .92rem }
dt { color: #565f6b } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 40rem) { body { font-size: .95rem } th, td { padding: .28rem .45rem }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } }
"""

E = html.escape


def table(head, rows, caption="", left=(0,)):
    def cell(tag, i, text):
        return f"<{tag}{' class=left' if i in left else ''}>{text}</{tag}>"
    out = [f"<p class=note>{caption}</p>" if caption else "", "<div class=scroll><table>"]
    out.append("<thead><tr>" + "".join(cell("th", i, t) for i, t in enumerate(head)) +
               "</tr></thead><tbody>")
    before = None
    for row in rows:
        workload = row[0].split(" ")[0]
        first = ' class=first' if before not in (None, workload) else ''
        before = workload
        out.append(f"<tr{first}>" + "".join(cell("td", i, t) for i, t in enumerate(row)) + "</tr>")
    out.append("</tbody></table></div>")
    return "\n".join(out)


def small_spread(text):
    return re.sub(r" (±\S+)", r" <small>\1</small>", E(text))


def summary_table(found):
    head = ["workload", "threads", "streamctx<br><small>M/s</small>", "mutex<br><small>M/s</small>",
            "times<br>mutex", "best other", "<small>M/s</small>", "times<br>best", "times<br>urcu",
            "time ÷<br>floor's"]
    rows = [[f"<b>{c}</b>" if i == 4 and c != "-" else small_spread(c) for i, c in enumerate(r)]
            for r in found]
    return table(head, rows, "Million operations a second, all threads together: median and "
                 "half the distance between the quartiles.", (0, 5))


def full_table(groups):
    backends = backend_order({b for g in groups for b in g.ops})
    rows = []
    for g in groups:
        row = [E(f"{g.workload} {short(g.params)}".strip()), str(g.threads)]
        for b in backends:
            times = g.ratio(SUBJECT, b)
            row.append("-" if b not in g.ops else small_spread(rate_spread(g.ops[b])) + (
                "" if b == SUBJECT or times is None else f"<br>×{number(times)}"))
        rows.append(row)
    return table(["workload", "threads"] + backends, rows,
                 "Every backend; × is how many times as fast streamctx was.")


def legend(backends):
    paint = colours(backends)
    return "<ul class=legend>" + "".join(
        f"<li><i style='background:{paint[b]}'></i>{E(b)}</li>" for b in backends) + "</ul>"


def figures(pairs, backends):
    return legend(backend_order(backends)) + "<div class=plots>" + "".join(
        f"<figure><h3>{E(title)}</h3><figcaption>{E(text)}</figcaption>{svg}</figure>"
        for title, text, svg in pairs) + "</div>"


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
    return figures(plots, {b for g in groups for b in g.ops} - {FLOOR})


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
    return note + figures(plots, backends) + table(
        ["workload", "backend", "M/s", "median", "90 %", "99 %", "99.9 %", "99.99 %", "longest",
         ""], rows, "Nanoseconds from when an operation was due to its end.", (0, 1))


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
        rows += (f"<tr><td>{E(b)}</td><td>{f'{sizes[b]:,.0f}' if b in sizes else '-'}</td>"
                 f"<td>{free[0]}</td><td>{free[1]}</td>"
                 f"<td class=wrap>{E(lacks[b]) or 'the subject'}</td></tr>")
    return ("<p class=note>Bytes that a resident stream with one context takes; microseconds from "
            "a close to its context's free, at a rate that leaves time.</p>"
            "<div class=scroll><table><thead><tr><th>backend</th><th>bytes a stream</th>"
            "<th>free, median</th><th>99 %</th><th class=left>what it leaves out</th></tr></thead>"
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


def machine_list(context):
    commit = output_of("git", "describe", "--always", "--dirty")
    facts = [
        ("processor", first_line("/proc/cpuinfo", r"model name\s*:\s*(.*)")),
        ("processors", f"{context['num_cpus']} at {context['mhz_per_cpu']} MHz"
                       + (", a virtual machine" if first_line("/proc/cpuinfo",
                          r"flags\s*:.*\b(hypervisor)\b") else "")),
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


def write_page(path, source, results, groups, rows, paced, series):
    context = results["context"]
    off = known_cost(groups)
    measured = [g for g in groups if g.workload != "known_cost"]
    repetitions = max(len(ops) for g in groups for ops in g.ops.values())
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>streamctx: benchmarks</title><style>{STYLE}</style></head><body>",
        "<h1>streamctx beside what else one would write</h1>",
        f"<p class=note>{E(context['date'][:16].replace('T', ' '))}, "
        f"{E(first_line('/proc/cpuinfo', r'model name.*: (.*)'))}, {context['num_cpus']} "
        f"processors, {repetitions} interleaved repetitions.</p>",
        summary_table(rows),
        "<p class=note>Ratios are medians of the repetitions' own ratios. <i>floor</i> is the same "
        "layout and work with no synchronisation, each thread with a table to itself; <i>best "
        "other</i> is the fastest of the rest."
        + (f" A workload of just 1000 ns by the clock, measured in between, came out {off:+.1f} % "
           "off." if off is not None else "") + "</p>",
        "<h2>What each one leaves out</h2>",
        "<p>A backend that frees at once does less work in <i>open_cold</i>, <i>replay</i> and "
        "<i>update_contended</i> than one that waits for readers.</p>", peer_table(context, paced),
        "<h2>Throughput</h2><p class=note>Bars are medians, whiskers the quartiles.  The floor "
        "stands in the tables alone.</p>",
        bar_figures(measured),
        "<h2>Every backend</h2>", full_table(measured),
    ]
    if paced:
        parts += ["<h2>Latency at a fixed rate</h2>", paced_section(paced)]
    if series:
        parts += ["<h2>Memory and limbo under churn</h2>",
                  "<p>Two threads open, use and close new streams as fast as they can "
                  "(<i>open_cold</i>); sampled every 20 ms.</p>", series_section(series)]
    parts += [
        "<h2>Machine</h2>", machine_list(context),
        "<h2>Again, on yours</h2>",
        "<pre>make deps bench\nmake bench BENCH_FILTER='open_warm/(streamctx|urcu)/' "
        "BENCH_OUT=part.json\nbuild/bench/sctx-bench open_cold streamctx --threads 2 --seconds 30 "
        "--series series.txt\nmake bench-process</pre>",
        "<p class=note>Methods and their limits: bench/README.md. Raw results: "
        f"{E(source)}.</p></body></html>",
    ]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts))


