# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scripts, on figures made up: repetitions made while the processors were near; hit rates."""
import json
import os
import sys
import tempfile

import hitrate
from results import load_groups, threads_of
from results import interval
from targets import Store
from verdicts import cases_of, sentence

bad = 0


def expect(what, got, wanted):
    global bad
    bad += got != wanted
    print(f"{'ok ' if got == wanted else 'BAD'} {what}: {got}, should be {wanted}")


def results(*runs):
    """Of replay on two threads: (backend, million operations a second, ns of a handover)."""
    seen = {}
    found = []
    for backend, ops, ns in runs:
        seen[backend] = seen.get(backend, -1) + 1
        found.append({"run_type": "iteration", "name": f"replay/{backend}/trace:git/threads:2",
                      "repetition_index": seen[backend], "ops": ops * 1e6, "handover_ns": ns})
    return {"benchmarks": found}


def rows(*runs):
    return [(threads_of(g), g.ratio("streamctx", "mutex")) for g in load_groups(results(*runs))]


def target(*runs):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "one.json")
        with open(path, "w") as f:
            json.dump(results(*runs), f)
        return Store([path], None, None).times_as_fast("replay/streamctx/trace:git/threads:2",
                                                       "replay/mutex/trace:git/threads:2")


MIXED = (("mutex", 5, 80), ("streamctx", 15, 75), ("mutex", 12, 22), ("streamctx", 12, 22),
         ("mutex", 5, 85), ("streamctx", 15, 90))
ALL_NEAR = [(b, ops, 22) for b, ops, _ in MIXED]
ONE_NEAR = [(b, ops, 22 if b == "mutex" else 80) for b, ops, _ in MIXED[:2]] + [("urcu", 8, 80)]

expect("a row for each", rows(*MIXED), [("2", 3.0), ("2*", 1.0)])
expect("a target is for the first", target(*MIXED), 3.0)
expect("where they always are, they are not near", rows(*ALL_NEAR), [("2", 3.0)])
expect("no row without mutex", rows(*ONE_NEAR), [("2*", 3.0)])
expect("nor a target", target(*ONE_NEAR), 3.0)


def replay_run(backend, trace, ops, k):
    return {"run_type": "iteration", "name": f"replay/{backend}/trace:{trace}/threads:2",
            "repetition_index": k, "ops": ops * 1e6}


def known(ops):
    return [{"run_type": "iteration", "name": "known_cost/floor/ns:1000/threads:1",
             "repetition_index": k, "ops": ops * 1e6} for k in range(5)]


def replays(before, after):
    """git is lost and build won, between two measurements of the known cost."""
    return load_groups({"benchmarks": known(before) + [
        replay_run(b, t, ops + k / 100, k) for t, b, ops in (
            ("build", "streamctx", 20), ("build", "mutex", 10), ("git", "streamctx", 10),
            ("git", "mutex", 20)) for k in range(5)] + known(after)})


def replay_case(*around):
    return dict((n.workload, c) for n, c in cases_of(replays(*around)))["replay"][2]


expect("the interval of 5 is all of them", interval([3, 1, 2, 5, 4]), (1, 5))
expect("of 9, all but one at each end", interval(range(9)), (1, 7))
expect("of two traces, the worse", replay_case(1, 1).params(), "git")
expect("it is lost", replay_case(1, 1).word(), "no")
for around in ((0.9, 1), (1, 0.9)):
    expect(f"known costs of {around} withhold it", replay_case(*around).word(), "withheld")
expect("and the sentence", sentence(replays(0.9, 1)).split(":")[0],
       "Nothing can be concluded from this run")


def trace_of(files):
    """Each of @files opened and closed in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "one.trace")
        with open(path, "w") as f:
            f.writelines(f"f 1 {n}\n" for n in range(max(files) + 1))
            f.writelines(f"o 0 0 {n}\nc 0 0\n" for n in files)
        return hitrate.Trace([path])


def hits(policy, files, limit):
    return hitrate.simulate(trace_of(files), limit, policy).hits


LOOP = [0, 1, 2] * 4       # one more than is kept: LRU always drops the next one
MIXED_OPENS = [n * n % 23 for n in range(500)]
expect("LRU, a loop that does not fit", hits("LRU", LOOP, 2), 0)
expect("Belady, the same", hits("Belady", LOOP, 2), 6)
for policy in hitrate.POLICIES:
    expect(f"{policy}, a loop that fits", hits(policy, LOOP, 3), 9)
    expect(f"{policy}, nothing is kept", hits(policy, LOOP, 0), 0)
    expect(f"{policy} is not above Belady",
           hits(policy, MIXED_OPENS, 5) <= hits("Belady", MIXED_OPENS, 5), True)
sys.exit(bad != 0)
