#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many opens of a recorded trace find their stream still there, by eviction policy.

  hitrate.py [--limits N,N...] [--policies P,P...] [--json FILE] [TRACE...]

A stream is open while it has handles.  After its last close it is idle, and stays until
it is evicted; at most N idle streams are kept.  An open hits if its stream is open or
idle.  Without TRACE, the traces of this folder and one chain of them.  A+B is A, then B.

Policies see every open of a resident stream as one access.  Open streams are never
evicted and do not count towards N.

  LRU      the idle stream closed longest ago
  Belady   the idle stream opened again last, or never: no policy can do better
  CLOCK    a ring in order of creation, one bit, set by an access; the hand clears bits
  SIEVE    the same, but a new stream goes to the head, not behind the hand
  S3-FIFO  a small queue before a main one, and the names of those it dropped lately
  table 0  CLOCK over a hash table, where a new stream lands anywhere in the hand's way; it
  table 1  begins with its bit clear, or set
  sample K the hand looks at the next K streams of a hash table and evicts the idle one that
           was closed longest ago, by a clock that counts creations in steps of N / 16

Steps are streams that the hand looked at for one eviction: the mean, and the most.
"""
import argparse
import collections
import heapq
import json
import os
import random
import sys

LIMITS = (256, 1024, 4096, 16384)
CHAIN = "build+search+build+git"
NEVER = 1 << 60


# --------------------------------------------------------------------- traces

class Trace:
    """events: (number of a file, whether it is an open), in recorded order"""

    def __init__(self, paths):
        self.name = "+".join(os.path.basename(p).removesuffix(".trace") for p in paths)
        self.events = []
        numbers = {}
        for path in paths:
            self.read(path, numbers)
        self.files = len(numbers)
        self.opens = sum(is_open for _, is_open in self.events)

    def read(self, path, numbers):
        files, held = [], {}
        with open(path) as f:
            for line in f:
                kind, *words = line.split()
                if kind == "f":
                    files.append(numbers.setdefault(tuple(words), len(numbers)))
                elif kind == "o":
                    process, handle, file = words
                    held[process, handle] = files[int(file)]
                    self.events.append((files[int(file)], True))
                elif kind == "c":
                    self.events.append((held.pop(tuple(words)), False))

    def next_opens(self):
        """For each event, the place of the same file's next open after it."""
        following, found = [NEVER] * self.files, [0] * len(self.events)
        for i in range(len(self.events) - 1, -1, -1):
            file, is_open = self.events[i]
            found[i] = following[file]
            if is_open:
                following[file] = i
        return found


# ------------------------------------------------------------------- policies

class Policy:
    """create, access, idle: what happened to a stream; evict: an idle one to drop."""
    steps = 0

    def __init__(self, trace, limit, handles):
        self.handles = handles  # of each file; 0: idle, if it is resident

    def create(self, file):
        pass

    def access(self, file):
        pass

    def idle(self, file, at):
        pass


class Lru(Policy):
    def __init__(self, *args):
        super().__init__(*args)
        self.order = collections.OrderedDict()

    def access(self, file):
        self.order.pop(file, None)

    def idle(self, file, at):
        self.order[file] = True

    def evict(self):
        return self.order.popitem(last=False)[0]


class Belady(Policy):
    def __init__(self, trace, *args):
        super().__init__(trace, *args)
        self.next_open = trace.next_opens()
        self.heap, self.due = [], {}

    def access(self, file):
        self.due.pop(file, None)

    def idle(self, file, at):
        self.due[file] = self.next_open[at]
        heapq.heappush(self.heap, (-self.due[file], file))

    def evict(self):
        while True:
            due, file = heapq.heappop(self.heap)
            if self.due.get(file) == -due:
                del self.due[file]
                return file


class Ring(Policy):
    """A list of the resident, with one bit each and a hand that goes through it."""
    AT_HEAD = False  # a new stream goes to the head, otherwise just behind the hand

    def __init__(self, *args):
        super().__init__(*args)
        self.next, self.previous, self.visited = {}, {}, {}
        self.hand = None  # looks at this one next; the newest is before the oldest
        self.head = None

    def create(self, file):
        self.visited[file] = False
        if self.hand is None:
            self.next[file] = self.previous[file] = self.hand = self.head = file
            return
        # The hand goes by `next`, from old to new; the oldest follows the head.
        before = self.head if self.AT_HEAD else self.previous[self.hand]
        after = self.next[before]
        self.next[before] = self.previous[after] = file
        self.previous[file], self.next[file] = before, after
        self.head = file

    def access(self, file):
        self.visited[file] = True

    def remove(self, file):
        before, after = self.previous.pop(file), self.next.pop(file)
        del self.visited[file]
        self.hand = after if after != file else None
        self.head = before if self.head == file else self.head
        if self.hand is not None:
            self.next[before], self.previous[after] = after, before

    def evict(self):
        while True:
            file = self.hand
            self.steps += 1
            if not self.handles[file] and not self.visited[file]:
                self.remove(file)
                return file
            if not self.handles[file]:
                self.visited[file] = False
            self.hand = self.next[file]


class Clock(Ring):
    pass


class Sieve(Ring):
    AT_HEAD = True


class S3Fifo(Policy):
    SMALL = 0.1  # of the limit
    MOST = 3     # accesses that are counted

    def __init__(self, trace, limit, handles):
        super().__init__(trace, limit, handles)
        self.small, self.main = collections.deque(), collections.deque()
        self.ghost = collections.OrderedDict()
        self.small_limit = max(1, int(limit * self.SMALL))
        self.ghost_limit = limit - self.small_limit
        self.count = {}

    def create(self, file):
        self.count[file] = 0
        if self.ghost.pop(file, None):
            self.main.append(file)
        else:
            self.small.append(file)

    def access(self, file):
        self.count[file] = min(self.count[file] + 1, self.MOST)

    def evict_small(self):
        file = self.small.popleft()
        if self.handles[file] or self.count[file] > 1:
            self.main.append(file)
            self.count[file] = 0
            return None
        self.ghost[file] = True
        if len(self.ghost) > self.ghost_limit:
            self.ghost.popitem(last=False)
        return file

    def evict_main(self):
        file = self.main.popleft()
        if not self.handles[file] and self.count[file] == 0:
            return file
        if not self.handles[file]:
            self.count[file] -= 1
        self.main.append(file)
        return None

    def evict(self):
        file = None
        while file is None:
            self.steps += 1
            if len(self.small) > self.small_limit or not self.main:
                file = self.evict_small()
            else:
                file = self.evict_main()
        return file


class Table(Policy):
    """The resident by their place in a hash table, and a hand that goes through it."""

    def __init__(self, trace, limit, handles):
        super().__init__(trace, limit, handles)
        self.file = list(range(trace.files))
        random.Random(1).shuffle(self.file)  # by the hash of the id
        self.resident = [False] * trace.files
        self.hand = 0

    def create(self, file):
        self.resident[file] = True

    def look(self):
        """The resident stream that the hand comes to next."""
        while True:
            file = self.file[self.hand]
            self.hand = (self.hand + 1) % len(self.file)
            if self.resident[file]:
                self.steps += 1
                return file


class TableClock(Table):
    NEW = False

    def __init__(self, trace, limit, handles):
        super().__init__(trace, limit, handles)
        self.visited = [False] * trace.files

    def create(self, file):
        super().create(file)
        self.visited[file] = self.NEW

    def access(self, file):
        self.visited[file] = True

    def evict(self):
        while True:
            file = self.look()
            if self.handles[file]:
                continue
            if not self.visited[file]:
                self.resident[file] = False
                return file
            self.visited[file] = False


class TableClockNew(TableClock):
    NEW = True


class Sample(Table):
    LOOKS = 8

    def __init__(self, trace, limit, handles):
        super().__init__(trace, limit, handles)
        self.closed = [0] * trace.files
        self.creations, self.unit = 0, max(1, limit // 16)

    def create(self, file):
        super().create(file)
        self.creations += 1

    def idle(self, file, at):
        self.closed[file] = self.creations // self.unit

    def evict(self):
        oldest, looks = None, 0
        while looks < self.LOOKS or oldest is None:
            file = self.look()
            looks += 1
            if not self.handles[file] and (
                    oldest is None or self.closed[file] < self.closed[oldest]):
                oldest = file
        self.resident[oldest] = False
        return oldest


def sample(looks):
    return type(f"Sample{looks}", (Sample,), {"LOOKS": looks})


POLICIES = {
    "LRU": Lru, "Belady": Belady, "CLOCK": Clock, "SIEVE": Sieve, "S3-FIFO": S3Fifo,
    "table 0": TableClock, "table 1": TableClockNew,
    "sample 5": sample(5), "sample 8": sample(8), "sample 16": sample(16),
}


# ----------------------------------------------------------------- simulation

class Result:
    def __init__(self, trace, limit, policy):
        self.trace, self.limit, self.policy = trace.name, limit, policy
        self.opens, self.hits = trace.opens, 0
        self.evictions, self.steps, self.most_steps = 0, 0, 0

    def rate(self):
        return 100 * self.hits / self.opens


def simulate(trace, limit, name):
    handles = [0] * trace.files
    resident = [False] * trace.files
    policy, result = POLICIES[name](trace, limit, handles), Result(trace, limit, name)
    idle = 0
    for at, (file, is_open) in enumerate(trace.events):
        if is_open:
            handles[file] += 1
            if resident[file]:
                result.hits += 1
                idle -= handles[file] == 1
                policy.access(file)
            else:
                resident[file] = True
                policy.create(file)
            continue
        handles[file] -= 1
        if handles[file]:
            continue
        idle += 1
        policy.idle(file, at)
        while idle > limit:
            before = policy.steps
            victim = policy.evict()
            assert resident[victim] and not handles[victim]
            resident[victim] = False
            idle -= 1
            result.evictions += 1
            result.most_steps = max(result.most_steps, policy.steps - before)
    result.steps = policy.steps
    return result


# ------------------------------------------------------------------- printing

def print_table(trace, limits, policies):
    """The results, printed as they come."""
    print(f"{trace.name}: {trace.opens} opens of {trace.files} files", flush=True)
    print(f"  {'% of opens that hit':20}" + "".join(f"{n:>10}" for n in limits))
    found = []
    for name in policies:
        row = [simulate(trace, n, name) for n in limits]
        steps = "".join(f"{r.steps / r.evictions:8.1f}, {r.most_steps:<6}"
                        if r.steps and r.evictions else " " * 16 for r in row)
        line = f"  {name:20}" + "".join(f"{r.rate():10.1f}" for r in row)
        print((line + ("   steps" + steps if steps.strip() else "")).rstrip(), flush=True)
        found += row
    return found


def numbers(text):
    return [int(word) for word in text.split(",")]


def default_traces(here):
    names = [n.removesuffix(".trace") for n in sorted(os.listdir(here)) if n.endswith(".trace")]
    return [os.path.join(here, n + ".trace") for n in names] + [
        "+".join(os.path.join(here, n + ".trace") for n in CHAIN.split("+"))]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--limits", type=numbers, default=LIMITS)
    parser.add_argument("--policies", type=lambda text: text.split(","), default=POLICIES)
    parser.add_argument("--json")
    parser.add_argument("trace", nargs="*")
    args = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    found = []
    for paths in args.trace or default_traces(here):
        found += print_table(Trace(paths.split("+")), args.limits, args.policies)
    if args.json:
        with open(args.json, "w") as f:
            json.dump([dict(vars(r), rate=r.rate()) for r in found], f, indent=1)


if __name__ == "__main__":
    sys.exit(main())
