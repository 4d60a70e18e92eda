# SPDX-License-Identifier: LGPL-2.1-or-later
"""The page, put together.  For report.py."""
import appendix
import measured
import verdicts
from markup import E, STYLE, details
from results import BUSY, coverage, known_cost


def beginning(results, groups):
    context, off = results["context"], known_cost(results)
    n = max(len(ops) for g in groups for ops in g.ops.values())
    known = "" if off is None else (
        f" A workload of exactly 1000 ns, measured in between, was off by {off:+.1f} % at the "
        "worst moment.")
    warning = "" if off is None or abs(off) <= BUSY else (
        f"<p class=warn>Where it was off by more than {BUSY} %, the machine was too busy: "
        "verdicts on what was measured around that moment are withheld.</p>")
    return ("<h1>streamctx beside what else one would write</h1>"
            f"<p class=answer>{E(verdicts.sentence(groups))}</p>"
            f"<p class=note>{E(context['date'][:16].replace('T', ' '))}, "
            f"{E(appendix.processor())}, {context['num_cpus']} processors, {n} interleaved "
            f"repetitions. Intervals, in parentheses, cover the median with {coverage(n):.0f} %."
            f"{known}</p>{warning}")


def write_page(path, source, results, groups, paced, series, store, costs, costs_source):
    context = results["context"]
    timed = [g for g in groups if g.workload != "known_cost"]
    plain = [g for g in timed if not g.beside]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>streamctx: benchmarks</title><style>{STYLE}</style></head><body><main>",
        beginning(results, plain),
        "<h2>Should I use it?</h2>", verdicts.use_section(plain, paced, store),
        "<h2>Where others win</h2>", verdicts.others_section(context, plain, paced),
        "<h2>What each one leaves out</h2>",
        "<p>A backend that frees at once does less work in <i>open_cold</i>, <i>mixed</i>, "
        "<i>replay</i> and <i>update_contended</i> than one that waits for readers.</p>",
        measured.backends_table(context, paced),
        "<h2>Throughput</h2><p class=note>Marks are medians with their intervals. <i>floor</i> is "
        "no competitor: the same layout, search and prefetches with no synchronisation, each "
        "thread with a table to itself. It is no bound either: streamctx may come out ahead of "
        "it. What a workload retires is freed inside the timed span.</p>",
        measured.throughput_figures(plain),
        details("Every backend, every figure", measured.full_table(timed)),
    ]
    if paced:
        parts += ["<h2>Latency at a fixed rate</h2>", measured.paced_section(paced)]
    if series:
        parts += ["<h2>Memory and limbo under churn</h2>",
                  "<p>Two threads open, use and close new streams as fast as they can "
                  "(<i>open_cold</i>); sampled every 20 ms.</p>", measured.series_section(series)]
    parts += [
        "<h2>A reader that stalls</h2>", measured.stall_section(store),
        measured.growth_section(store),
        "<h2>Appendix: targets</h2>", appendix.targets_section(store),
        "<h2>Appendix: counted costs</h2>", appendix.costs_section(costs, costs_source),
        "<h2>Appendix: a model of more cores</h2>", appendix.model_section(plain, costs),
        "<h2>Appendix: machine</h2>", appendix.machine_list(results),
        "<h2>Appendix: raw data</h2>", appendix.raw_section(groups, store),
        "<h2>Again, on yours</h2>",
        "<pre>make deps bench\nmake bench-targets\nmake deps-study bench-study\nmake bench "
        "BENCH_FILTER='open_warm/(streamctx|urcu)/' BENCH_OUT=part.json\nbuild/bench/sctx-bench "
        "open_cold streamctx --threads 2 --seconds 30 --series series.txt\nmake bench-process"
        "</pre>",
        f"<p class=note>Methods and their limits: bench/README.md. Raw results: {E(source)}.</p>"
        "</main></body></html>",
    ]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts))
