#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operation of streamctx costs, in things that can be counted.

The counted build of the library (lib/base/sync.h) counts atomic read-modify-writes, full
fences and shared stores of the working thread; the reclaimer's are printed beside them.
liburcu's are not counted: its grace periods, and the store at each end of a section.
Instructions are the working thread's in the released build, by callgrind, with the
workload's loop, malloc() and liburcu.

  cost.py cost           print the table
  cost.py cost-check     fail if a count is above bench/cost/cost.baseline
  cost.py cost-baseline  write bench/cost/cost.baseline
"""
import json
import os
import re
import subprocess
import sys
import tempfile

BUILD = os.environ.get("B", "build")
BASELINE = "bench/cost/cost.baseline"

COUNTS = ("rmw", "fences", "stores", "instructions")
# What may come out larger from run to run: when the reclaimer is woken, which
# thread meets which.
SLACK = {"rmw": 0.02, "fences": 0.002, "stores": 0.05}
# A share; more where it matters how far the reclaimer has come meanwhile.
SLACK_INSTRUCTIONS, SLACK_RETIRING = 0.03, 0.2
RETIRING = ("open_cold", "mixed", "update_contended")

OPS, OPS_CALLGRIND = 300000, 50000
RESIDENT = "--streams 20000"
# (workload, options, RMW and fences at the least: lib/README.md has why it is more)
CASES = [
    ("lookup_hot", "--contexts 1", 0, 0),
    ("lookup_hot", "--contexts 4", 0, 0),
    ("lookup_hot", "--contexts 33", 0, 0),
    ("lookup_cold", RESIDENT, 0, 0),
    ("open_warm", RESIDENT, 2, 0),
    ("open_many", RESIDENT, 2, 0),
    ("open_zipf", RESIDENT, 2, 0),
    ("open_hot", "", 2, 0),
    ("open_cold", "", 3, 0),
    ("mixed", "", None, None),
    ("update_contended", "", None, None),
]


def command(program, workload, options, ops):
    return [program, workload, "streamctx", *options.split(), "--ops", str(ops)]


def run_counted(workload, options):
    """({count: per operation}, the reclaimer's RMW per operation)"""
    out = subprocess.run(command(f"{BUILD}/cost/sctx-bench", workload, options, OPS) + ["--json"],
                         capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    ops, own, everyone = result["count"], result["counts"], result["counts_all"]
    return ({k: own[k] / ops for k in ("rmw", "fences", "stores")},
            (everyone["rmw"] - own["rmw"]) / ops)


def run_callgrind(workload, options):
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--fair-sched=yes",
             f"--callgrind-out-file={folder}/out",
             f"--toggle-collect=run_{workload}",
             *command(f"{BUILD}/bench/sctx-bench", workload, options, OPS_CALLGRIND)],
            capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found or int(found.group(1)) == 0:
        sys.exit(f"cost.py: callgrind counted nothing in {workload}\n{run.stderr}")
    return int(found.group(1)) / OPS_CALLGRIND


def name_of(workload, options):
    return f"{workload} {options.replace('--', '').replace(' ', ':')}".strip()


def measure():
    """[(name, {count: per operation}, reclaimer's RMW, least RMW, least fences)]"""
    found = []
    for workload, options, rmw, fences in CASES:
        counts, others = run_counted(workload, options)
        counts["instructions"] = run_callgrind(workload, options)
        found.append((name_of(workload, options), counts, others, rmw, fences))
    return found


def at_least(value):
    return "-" if value is None else str(value)


def show(found):
    head = ["an operation of", "RMW", "least", "fences", "least", "stores", "reclaimer's RMW",
            "instructions"]
    rows = [[name, f"{c['rmw']:.2f}", at_least(rmw), f"{c['fences']:.2f}", at_least(fences),
             f"{c['stores']:.2f}", f"{others:.3f}", f"{c['instructions']:.0f}"]
            for name, c, others, rmw, fences in found]
    widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())
    print("\nBy one thread, of streamctx itself: liburcu's and malloc's are counted in the"
          "\ninstructions alone.  A batch's open, a warm open and a cold one come with a lookup"
          "\nand the close; update_contended inserts, looks up 8 times and removes.")


def tools():
    """What the number of instructions depends on."""
    cc = os.environ.get("CC", "gcc")
    version = subprocess.run([cc, "--version"], capture_output=True, text=True).stdout
    urcu = subprocess.run(["pkg-config", "--modversion", "liburcu", "jemalloc"],
                          capture_output=True, text=True).stdout.split()
    return " ".join([version.splitlines()[0], "liburcu/jemalloc", *urcu,
                     os.environ.get("RCU", "memb")])


def write_json(found):
    with open(f"{BUILD}/cost/cost.json", "w", encoding="utf-8") as f:
        json.dump({name: {**counts, "reclaimer_rmw": others} for name, counts, others, *_ in found},
                  f, indent=1)


def write_baseline(found):
    with open(BASELINE, "w", encoding="utf-8") as f:
        f.write("# SPDX-License-Identifier: LGPL-2.1-or-later\n"
                "# What an operation costs: make bench-cost-check fails if it comes to more.\n"
                "# Written by make bench-cost-baseline.\n"
                f"# tools: {tools()}\n# {'case':30} {' '.join(f'{k:>9}' for k in COUNTS)}\n")
        for name, counts, *_ in found:
            f.write(f"{name:32} {' '.join(f'{counts[k]:9.3f}' for k in COUNTS)}\n")


def read_baseline():
    """({name: {count: per operation}}, the tools it was made with)"""
    found, made_with = {}, ""
    with open(BASELINE, encoding="utf-8") as f:
        for line in f:
            if line.startswith("# tools: "):
                made_with = line[len("# tools: "):].strip()
            elif not line.startswith("#"):
                fields = line.split()
                found[" ".join(fields[:-4])] = dict(zip(COUNTS, map(float, fields[-4:])))
    return found, made_with


def slack(name, count, before):
    if count != "instructions":
        return SLACK[count]
    return before * (SLACK_RETIRING if name.split()[0] in RETIRING else SLACK_INSTRUCTIONS)


def check(found):
    """How many counts grew."""
    baseline, made_with = read_baseline()
    compared = [k for k in COUNTS if k != "instructions" or made_with == tools()]
    grown = 0
    for name, counts, *_ in found:
        if name not in baseline:
            print(f"NEW {name}: not in {BASELINE}")
            grown += 1
            continue
        for k in compared:
            before, now = baseline[name][k], counts[k]
            if now > before + slack(name, k, before):
                print(f"MORE {name}: {k} {before:.3f} -> {now:.3f}")
                grown += 1
            elif now < before - slack(name, k, before):
                print(f"less {name}: {k} {before:.3f} -> {now:.3f} (make bench-cost-baseline)")
    if "instructions" not in compared:
        print(f"Instructions are not compared: the baseline was made with {made_with}.")
    print(f"\n{grown} counts grew" if grown else "\nno count grew")
    return grown


def main():
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what not in ("cost", "cost-check", "cost-baseline"):
        sys.exit(__doc__)
    found = measure()
    show(found)
    write_json(found)
    if what == "cost-baseline":
        write_baseline(found)
    elif what == "cost-check":
        sys.exit(1 if check(found) else 0)


if __name__ == "__main__":
    main()
