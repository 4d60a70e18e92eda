# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page's appendix: targets, counted costs, the model of more cores, machine, raw data."""
import base64
import json
import platform
import re
import subprocess

import model
import targets
from cost import CASES, name_of
from markup import E, details, table
from plots import figures, plot_lines
from results import handover, rate, short, threads_of

COLOUR = {"met": "good", "missed": "bad"}


def targets_section(store):
    verdicts = targets.judge(store)
    rows = [[f"<strong>{E(r[0])}</strong>", *map(E, r[1:4]),
             f"<span class={COLOUR.get(r[4], 'note')}>{r[4]}</span>"]
            for r in targets.rows(verdicts)]
    return (f"<p class=note>{targets.summary(verdicts)}. What a plain <i>make bench</i> leaves "
            "out, <i>make bench-targets</i> measures. A ratio is the median of the ratios of one "
            f"run's interleaved repetitions. {store.left_out}</p>" +
            table(["", "compared", "measured", "target", "verdict"], rows, "", (0, 1, 4),
                  wrap=(1,), cards=True))


# ----------------------------------------------------------------------- costs

def least():
    """{case: (RMW, fences) that the design needs at the least}"""
    return {name_of(workload, options): (rmw, fences) for workload, options, rmw, fences in CASES}


def costs_section(costs, source):
    rows, needed = [], least()
    for name, c in costs.items():
        rmw, fences = ("-" if n is None else str(n) for n in needed.get(name, (None, None)))
        rows.append([E(name), f"{c['rmw']:.2f}", rmw, f"{c['fences']:.2f}", fences,
                     f"{c['stores']:.2f}", f"{c['instructions']:,.0f}"])
    return table(["an operation of", "RMW", "least", "fences", "least", "shared stores",
                  "instructions"], rows,
                 f"Counted, not timed, {source}: atomic read-modify-writes, full fences and stores "
                 "to shared memory by the working thread, in the library itself; instructions "
                 "with everything. <i>Least</i> is what the design needs.", cards=True)


# ----------------------------------------------------------------------- model

def model_plots(rows):
    plots = []
    for workload in dict.fromkeys(r[0] for r in rows):
        mine = [r for r in rows if r[0] == workload]
        series = {r[2]: [(1, r[4] / 1e6), (2, r[6] / 1e6)] +
                  [(n, v / 1e6) for n, v in zip(model.CORES, r[7:])] for r in mine}
        plots.append((workload, E(short(mine[0][1])), plot_lines(
            series, f"model-{workload}", f"{workload}: predicted operations a second by cores",
            "cores (log scale)", "M/s (log scale), more is better",
            "set logscale x\nset xrange [1:128]\n", xs=(1, 2, 8, 32, 128))))
    return figures(plots)


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
    return details(
        f"No measurement, and at 2 threads already off by a factor of {middle_off:.2f} in the "
        f"median and {worst:.1f} at the worst: read the shape, not the figures",
        "<p>One thread's time here, counted RMW, and published costs of contended lines (ns of "
        f"an increment by CPUs that contend: {published}; one Milan machine, perfbook, "
        "CodeSamples/count).</p><ul>",
        *(f"<li>{E(a)}</li>" for a in model.ASSUMPTIONS), "</ul>", model_plots(rows),
        table(["workload", "backend", "RMW on lines of", "1 thread,<br>measured",
               "2,<br>measured", "2,<br>model", "off"] + [f"{n},<br>model" for n in model.CORES],
              cells, "Million operations a second.", (0, 1, 2)))


# --------------------------------------------------------------------- machine

def cpuinfo(key):
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            found = re.search(rf"^{key}\s*:\s*(.*)$", f.read(), re.M)
    except OSError:
        return ""
    return found.group(1) if found else ""


def first_line(path, pattern):
    try:
        with open(path, encoding="utf-8") as f:
            return next((m.group(1) for m in (re.match(pattern, line) for line in f) if m), "")
    except OSError:
        return ""


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor():
    ids = [f"{what} {cpuinfo(key)}" for what, key in
           (("family", "cpu family"), ("model", "model"), ("stepping", r"stepping"))
           if cpuinfo(key)]
    return cpuinfo("model name") + (f" ({', '.join(ids)})" if ids else "")


def caches(context):
    return ", ".join(f"L{c['level']} {c['type'].lower()} {c['size'] // 1024} kB of "
                     f"{c['num_sharing']}" for c in context.get("caches", ()))


def machine_list(results):
    context = results["context"]
    facts = [
        ("processor", processor()),
        ("processors", f"{context['num_cpus']} at {context['mhz_per_cpu']} MHz"
                       + (", a virtual machine" if re.search(r"\bhypervisor\b", cpuinfo("flags"))
                          else "")),
        ("caches", caches(context)),
        ("a cache line", handover(results)),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("huge pages", first_line("/sys/kernel/mm/transparent_hugepage/enabled", r".*\[(\w+)\]")),
        ("load before", ", ".join(f"{x:.2f}" for x in context["load_avg"])),
        ("compiler", f"{context['compiler']}, {context['flags']}"),
        ("malloc", f"{context['allocator']}, for every backend"),
        ("liburcu", f"{context['liburcu']}; streamctx uses {context['rcu']}, urcu uses memb"),
        ("Google Benchmark", context["benchmark"]),
        ("streamctx", output_of("git", "describe", "--always", "--dirty")),
        ("date", context["date"]),
    ]
    return "<dl>" + "".join(f"<dt>{E(k)}</dt><dd>{E(str(v))}</dd>" for k, v in facts if v) + "</dl>"


# -------------------------------------------------------------------- raw data

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
