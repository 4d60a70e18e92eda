# SPDX-License-Identifier: LGPL-2.1-or-later
"""Beyond the cores at hand, on paper.

An operation takes one thread's measured time, and more for each atomic read-modify-write
(RMW) on a line that other threads write then.  The price is published: a contended
increment on n CPUs of one Milan machine (perfbook, CodeSamples/count).  streamctx's RMW
are counted (cost.py); the peers' were read off their code.
"""
import math

from results import FLOOR, SUBJECT

CORES = (8, 32, 128)
PUBLISHED = ((1, 2.5), (8, 52), (32, 268), (64, 584), (128, 1605))  # CPUs, ns

ASSUMPTIONS = (
    "One thread's time is the measured one; memory bandwidth, TLBs, frequency and sockets cost "
    "nothing more with more cores, and reclaimers keep up.",
    "An RMW on a line that m CPUs write at a time costs what is published for m CPUs, "
    "interpolated in logarithms, less what it costs on 1. The line then serves one of them each "
    "cost/m.",
    "m follows from how much of an operation goes to such RMW, and over how many lines they are "
    "spread at random: one, a backend's shards, or the streams (of which Zipf's law leaves as "
    "many as 1/Σp²).",
    "A lock that all threads take passes no more operations than its holders' work and the "
    "passing on of its line allow; nobody sleeps. That flatters locks: to sleep and to be woken "
    "costs microseconds.",
    "Of the peers, RMW an operation and the share of the time that a lock is held (half, where "
    "a table is looked up under it) are read off their code, not measured.",
)

ZIPF_STREAMS, ZIPF_S = 1000000, 0.99
# Over how many streams a workload's threads are spread.
WAYS = {"lookup_hot": 1, "open_hot": 1, "update_contended": 1, "lookup_cold": 1e6,
        "open_warm": 1e6, "open_many": 1e6, "open_cold": 1e6, "mixed": 1e5,
        "open_zipf": (sum(k ** -ZIPF_S for k in range(1, ZIPF_STREAMS + 1)) ** 2 /
                      sum(k ** (-2 * ZIPF_S) for k in range(1, ZIPF_STREAMS + 1)))}
SHARDS = {"sharded": 256, "ck": 64, "cuckoo": 32768}


class Profile:
    """RMW of an operation: on lines of all, of a shard, of a stream; and the
    share of its time that it holds the lock there."""

    def __init__(self, everyone=0, shard=0, stream=0, held=0, held_stream=0):
        self.rmw = {"all": everyone, "shard": shard, "stream": stream}
        self.held = {"all": held, "shard": held, "stream": held_stream}
        if shard:
            self.held["all"] = 0
        elif everyone:
            self.held["shard"] = 0

    def text(self):
        parts = [f"{n:.3g} {where}" for where, n in self.rmw.items() if n]
        return ", ".join(parts) or "0"


P = Profile
WARM_MUTEX = P(everyone=4, stream=2, held=0.5)
WARM_RWLOCK = P(everyone=2, stream=4)
WARM_SHARDED = P(shard=4, stream=1, held=0.5)
WARM_TWO = P(stream=2)
WARM_TBB = P(stream=7)
WARM_CUCKOO = P(shard=2, stream=3)
WARM_GLIB = P(everyone=2, stream=6, held=0.4)
WARM_GLUSTER = P(everyone=4, stream=2, held=0.6)


def like(profile, cold):
    """The workloads that open what is there already; @cold what open_cold does."""
    return {"open_warm": profile, "open_many": profile, "open_zipf": profile, "open_hot": profile,
            "open_cold": cold}


PEERS = {
    "mutex": {"lookup_hot": P(stream=2, held_stream=0.5),
              "lookup_cold": P(everyone=2, stream=2, held=0.5),
              **like(WARM_MUTEX, P(everyone=4, stream=6, held=0.5)),
              "mixed": P(everyone=4, stream=2, held=0.4),
              "update_contended": P(stream=20, held_stream=0.6)},
    "rwlock": {"lookup_hot": P(stream=2), "lookup_cold": P(everyone=2, stream=2),
               **like(WARM_RWLOCK, P(everyone=6, stream=6, held=0.5)),
               "mixed": P(everyone=2.2, stream=4),
               "update_contended": P(stream=20, held_stream=0.3)},
    "sharded": {"lookup_hot": P(stream=1, held_stream=0.5),
                "lookup_cold": P(shard=2, stream=1, held=0.5),
                **like(WARM_SHARDED, P(shard=4, stream=3, held=0.5)),
                "mixed": P(shard=4, stream=1, held=0.4),
                "update_contended": P(stream=10, held_stream=0.6)},
    "urcu": {"lookup_hot": P(), "lookup_cold": P(), **like(WARM_TWO, P(stream=10)),
             "mixed": P(stream=2.4), "update_contended": P(stream=4, held_stream=0.3)},
    "ck": {"lookup_hot": P(), "lookup_cold": P(),
           **like(WARM_TWO, P(shard=2, stream=3, held=0.3)),
           "mixed": P(shard=0.1, stream=2.1, held=0.05),
           "update_contended": P(stream=2, held_stream=0.3)},
    "tbb": {"lookup_hot": P(stream=1, held_stream=0.5), "lookup_cold": P(stream=5),
            **like(WARM_TBB, P(everyone=2, stream=12)),
            "mixed": P(everyone=0.1, stream=7), "update_contended": P(stream=10, held_stream=0.6)},
    "cuckoo": {"lookup_hot": P(stream=1, held_stream=0.5), "lookup_cold": P(shard=2, stream=1),
               **like(WARM_CUCKOO, P(shard=6, stream=4)),
               "mixed": P(shard=2.2, stream=3),
               "update_contended": P(stream=10, held_stream=0.6)},
    "cds": {"lookup_hot": P(), "lookup_cold": P(), **like(WARM_TWO, P(everyone=2, stream=6)),
            "mixed": P(everyone=0.1, stream=2.3),
            "update_contended": P(stream=2, held_stream=0.3)},
    "glib": {"lookup_hot": P(stream=4, held_stream=0.4),
             "lookup_cold": P(everyone=2, stream=6, held=0.4),
             **like(WARM_GLIB, P(everyone=4, stream=8, held=0.5)),
             "mixed": P(everyone=2.1, stream=18, held=0.3),
             "update_contended": P(stream=40, held_stream=0.4)},
    "gluster": {"lookup_hot": P(stream=2, held_stream=0.5),
                "lookup_cold": P(everyone=4, stream=2, held=0.5),
                **like(WARM_GLUSTER, P(everyone=8, stream=4, held=0.6)),
                "mixed": P(everyone=4.2, stream=2, held=0.5),
                "update_contended": P(stream=20, held_stream=0.6)},
    "openssl": {"lookup_hot": P()},
    "atomic": {"open_hot": P(stream=2)},
    FLOOR: {w: P() for w in WAYS},
}

# Of streamctx's: the share of an operation's RMW that is on a line of all, and
# how long the stream's lock is held.
BATCHED = {"open_cold": 0.016, "mixed": 0.005}
HELD = {"update_contended": 0.3}


def counted_profile(workload, costs):
    """streamctx's, from what cost.py counted: the case of that workload."""
    for name, cost in costs.items():
        if name.split(" ")[0] == workload:
            batched = BATCHED.get(workload, 0)
            return P(everyone=batched, stream=cost["rmw"] - batched,
                     held_stream=HELD.get(workload, 0))
    return None


def profile_of(backend, workload, costs):
    if backend == SUBJECT:
        return counted_profile(workload, costs)
    return PEERS.get(backend, {}).get(workload)


def contended(cpus):
    """ns that an increment takes when @cpus write the line."""
    for (n0, c0), (n1, c1) in zip(PUBLISHED, PUBLISHED[1:]):
        if cpus <= n1 or n1 == PUBLISHED[-1][0]:
            share = math.log(max(cpus, 1) / n0) / math.log(n1 / n0)
            return c0 * (c1 / c0) ** share
    return None


def at_a_time(rmw, alone_ns, cpus, ways):
    """(how many of @cpus write one line at a time, ns that it adds to an operation)"""
    low, high = 1.0, 1 + (cpus - 1) / ways
    for _ in range(50):
        m = (low + high) / 2
        total = alone_ns + rmw * (contended(m) - contended(1))
        busy = min(1, rmw * contended(m) / total)
        if 1 + (cpus - 1) / ways * busy > m:
            low = m
        else:
            high = m
    return low, rmw * (contended(low) - contended(1))


def predict(profile, backend, workload, alone_ns, cpus):
    """Operations a second of @cpus threads, one on each CPU."""
    total, most = alone_ns, math.inf
    for where, rmw in profile.rmw.items():
        if not rmw:
            continue
        streams = WAYS[workload]
        ways = {"all": 1, "shard": min(SHARDS.get(backend, 1), streams), "stream": streams}[where]
        m, added = at_a_time(rmw, alone_ns, cpus, ways)
        total += added
        if profile.held[where] and cpus > 1:
            # With other lines to go to, those that wait here are fewer.
            most = min(most, ways / (profile.held[where] * alone_ns + rmw * contended(m) / m))
    return 1e9 * min(cpus / total, most)


def tabulate(groups, costs):
    """[(workload, params, backend, RMW, measured at 1, at 2, model at 2, at CORES...)]

    Of a workload with parameters, the first: fewest owners."""
    found, seen = [], set()
    by_threads = {}
    for g in groups:
        by_threads.setdefault((g.workload, g.params), {})[g.threads] = g
    for (workload, params), group in by_threads.items():
        if workload not in WAYS or workload in seen or not {1, 2} <= group.keys():
            continue
        seen.add(workload)
        for backend in group[1].ops:
            profile = profile_of(backend, workload, costs)
            if not profile or backend not in group[2].ops:
                continue
            one, two = group[1].median(backend), group[2].median(backend)
            model = [predict(profile, backend, workload, 1e9 / one, n) for n in (2, *CORES)]
            found.append((workload, params, backend, profile.text(), one, two, *model))
    return found


def error(rows):
    """What the model is off at 2 cores: (median, worst), as factors."""
    off = sorted(max(r[6] / r[5], r[5] / r[6]) for r in rows)
    return (off[len(off) // 2], off[-1]) if off else (None, None)
