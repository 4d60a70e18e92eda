# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the page and the table conclude, computed from results.

A verdict needs a difference that matters (EVEN), an interval that says the same, and a
machine that was not busy while it was measured; else it is withheld.  Of several traces or
parameters the worst counts.
"""
import collections
import re

import targets
from markup import E, table
from results import (BASELINE, BUSY, CLOCK, FLOOR, MEANWHILE, SUBJECT, backend_order, behind,
                     free_latencies, interval, lacks_of, microseconds, number,
                     ratio_interval, stream_bytes)

# What a daemon may do most, as a question and in the one sentence; the workload like it.
Need = collections.namedtuple("Need", "question phrase workload threads params",
                              defaults=("",))
NEEDS = (
    Need("open and close as recorded builds, git and searches did, idle files kept",
         "open and close as recorded programs did", "replay", (1, 2), r"resident:\d+$"),
    Need("the same, where a context takes 1 µs to build", "", "replay", (1, 2),
         r"resident:\d+ create_ns"),
    Need("the same, each file forgotten at its last close", "open and close files that are forgotten at once", "replay",
         (1, 2), r"^trace:\w+$"),
    Need("open more files than are kept, by Zipf's law", "open more files than they keep",
         "open_cached", (1, 2)),
    Need("look up a context at each read and write of an open file", "look up contexts",
         "lookup_hot", (1, 2)),
    Need("find the context of a file by its id, among a million", "find files by id",
         "lookup_cold", (1, 2)),
    Need("open what is open already, at random among a million files", "open files that are open "
         "already", "open_warm", (1, 2)),
    Need("the same, sixteen at a time", "", "open_many", (1, 2)),
    Need("the same, a few files most of the time", "", "open_zipf", (1, 2)),
    Need("the same, one file by all threads", "", "open_hot", (1, 2)),
    Need("open and close new files, each with a context", "open and close new files", "open_cold",
         (1, 2)),
    Need("both, as a file server might", "mix the two", "mixed", (1, 2)),
    Need("both, with more threads than processors", "", "mixed", (16,)),
    Need("change the contexts of one file that others read", "change contexts that others read",
         "update_contended", (1, 2)),
    Need("unload a module whose contexts hang on a million files", "unload modules", "unload",
         (2,)),
    Need("keep opening files while that goes on", "", MEANWHILE, (2,)),
)
EVEN = 1.2  # less is no difference to choose by
YES, EVEN_WORD, NO, WITHHELD, UNCLEAR = "yes", "even", "no", "withheld", "unclear"
MARKED = {YES: "<span class=good>yes</span>", NO: "<span class=bad>no</span>"}


class Case:
    """A need at a number of threads: the worst group, and streamctx against the best other."""

    def __init__(self, groups):
        self.group = min(groups, key=lambda g: g.ratio(SUBJECT, g.best_other()))
        self.best = self.group.best_other()
        self.ratios = self.group.ratios(SUBJECT, self.best)
        self.several = len({g.params for g in groups}) > 1
        self.busy = any(g.is_busy() for g in groups)

    def ratio(self):
        return self.group.ratio(SUBJECT, self.best)

    def word(self):
        if self.busy:
            return WITHHELD
        low, high = interval(self.ratios)
        if self.ratio() >= EVEN:
            return YES if low > 1 else UNCLEAR
        if self.ratio() <= 1 / EVEN:
            return NO if high < 1 else UNCLEAR
        return EVEN_WORD

    def params(self):
        what, _, value = self.group.params.split(" ")[0].partition(":")
        return "" if not self.several else value if what == "trace" else f"{value} {what}"

    def text(self):
        return f"{ratio_interval(self.ratios)} {self.best}" + (
            f", {self.params()}" if self.params() else "")


def cases_of(groups):
    """[(need, {threads: Case})], of what was measured"""
    found = []
    for need in NEEDS:
        cases = {}
        for t in need.threads:
            mine = [g for g in groups if (g.workload, g.threads) == (need.workload, t) and
                    re.search(need.params, g.params) and SUBJECT in g.ops and g.best_other()]
            if mine:
                cases[t] = Case(mine)
        if cases:
            found.append((need, cases))
    return found


def threads(n):
    return f"{n} thread" + "s" * (n > 1)


def verdict(cases, mark=MARKED):
    words = {t: c.word() for t, c in cases.items()}
    if len(set(words.values())) == 1:
        word = next(iter(words.values()))
        return mark.get(word, word)
    return ", ".join(f"{threads(t)}: {mark.get(w, w)}" for t, w in words.items())


# ------------------------------------------------------------ the one sentence

def joined(words, last="or"):
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" {last} {words[-1]}"


def phrases(found, word, at):
    """Of the needs whose verdict is @word on @at threads: the phrase, the ratio."""
    named = [(n, c[at]) for n, c in found if n.phrase and at in c]
    return [(n.phrase, c.ratio()) for n, c in named if c.word() == word]


def span(ratios):
    low, high = number(min(ratios)), number(max(ratios))
    return low if low == high else f"{low} to {high}"


def sentence(groups):
    """Should I use it, for what, and when not."""
    found = cases_of(groups)
    withheld = [n for n, c in found if any(case.word() == WITHHELD for case in c.values())]
    if not found or 2 * len(withheld) > len(found):
        return ("Nothing can be concluded from this run: the machine was too busy. "
                "Measure again on a quiet one.")
    at = max(t for _, c in found for t in c if t <= 2)
    yes, even, no = (phrases(found, w, at) for w in (YES, EVEN_WORD, NO))
    alone = [p for p in phrases(found, NO, 1) if p[0] not in dict(no)]
    parts = []
    if yes:
        parts.append(f"Use it if several modules keep state of their own for each open file and "
                     f"mostly {joined([p for p, _ in yes])}: on {threads(at)} it does "
                     f"{span([r for _, r in yes])} times as much as the best of the others")
    if even:
        parts.append(f"it makes no difference if they {joined([p for p, _ in even])}")
    if no:
        parts.append(f"do not if they mostly {joined([p for p, _ in no])}, where the best of the "
                     f"others does {span([1 / r for _, r in no])} times as much")
    if alone and at > 1:
        parts.append(f"on one thread, do not if they mostly {joined([p for p, _ in alone])}")
    parts.append("do not if a context must be gone when its last close returns: a lock does that, "
                 "a grace period does not")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


# ---------------------------------------------------------------- should I use it

def speed_rows(groups):
    for need, cases in cases_of(groups):
        most = cases[max(cases)]
        group = most.group
        yield [f"{E(need.question)} <small>{E(need.workload)}</small>", verdict(cases),
               E(cases[1].text()) if 1 in cases else "-", E(most.text()) + (
                   f", {threads(max(cases))}" if max(cases) > 2 else ""),
               ratio_interval(group.ratios(SUBJECT, BASELINE))]


def least(values):
    """The other backend with the least of something, and how much."""
    others = {b: v for b, v in values.items() if b not in (SUBJECT, FLOOR, CLOCK)}
    best = min(others, key=others.get, default=None)
    return best, others.get(best)


def other_rows(paced, store):
    """[what one needs, verdict, streamctx's figure, the best other's]"""
    sizes = stream_bytes(paced)
    best, size = least(sizes)
    if SUBJECT in sizes and best:
        ratio = size / sizes[SUBJECT]
        word = YES if ratio >= EVEN else NO if ratio <= 1 / EVEN else EVEN_WORD
        yield ["have little memory", MARKED.get(word, word),
               f"{sizes[SUBJECT]:,.0f} bytes for a resident stream with one context",
               f"{size:,.0f}, {E(best)}"]
    frees = free_latencies(paced)
    if SUBJECT in frees:
        yield ["need a context gone when its last close returns", MARKED[NO],
               f"{microseconds(frees[SUBJECT]['p99'])} µs from a close to the free, 99 %",
               "0, any lock"]
    share = targets.limbo_share(store)
    if share is not None:
        yield ["have readers that stall, and memory that must not grow",
               MARKED[YES if share <= 1 + 2 / 64 else NO],
               f"{number(share)} of the limit was in limbo at most", "-"]


def use_section(groups, paced, store):
    head = ["you mostly&hellip;", "use it?", "times the best other,<br>1 thread",
            "times the best other,<br>2 threads", "times mutex,<br>2 threads"]
    speed = table(head, list(speed_rows(groups)),
                  "Ratios with the interval that covers the median. Of several traces or numbers "
                  "of contexts, the worst is shown.", (0, 1), wrap=(0, 1), cards=True)
    others = list(other_rows(paced, store))
    return speed + (table(["or you&hellip;", "use it?", "streamctx", "best other"], others, "",
                          (0, 1, 2, 3), wrap=(0, 2), cards=True) if others else "")


# ------------------------------------------------------------ where others win

EDGE = 1.06  # a histogram's bucket, or a rerun, makes as much difference


def wins(groups, paced):
    """(backend, by what factor, where)"""
    for g in groups:
        for b in g.ops:
            times = g.ratio(b, SUBJECT)
            if b in (SUBJECT, FLOOR) or times is None or times <= EDGE or g.is_busy():
                continue
            if interval(g.ratios(b, SUBJECT))[0] > 1:
                yield b, times, f"{g.name()}, {threads(g.threads)}: {number(times)} × as fast"
    for (workload, n), results in paced.items():
        mine = results[SUBJECT]["paced_ns"]["p99.9"]
        for b, r in results.items():
            theirs = r["paced_ns"]["p99.9"]
            if b not in (SUBJECT, FLOOR, CLOCK) and theirs * EDGE < mine and not behind(r):
                yield (b, mine / theirs, f"{workload}, {threads(n)}, 99.9 % of latencies: "
                       f"{theirs:,.0f} ns, not {mine:,.0f}")
    sizes = stream_bytes(paced)
    for b, size in sizes.items():
        if b not in (SUBJECT, FLOOR) and size * EDGE < sizes.get(SUBJECT, 0):
            yield (b, sizes[SUBJECT] / size,
                   f"{size:,.0f} bytes for a resident stream, not {sizes[SUBJECT]:,.0f}")


def others_section(context, groups, paced):
    lacks, found = lacks_of(context), {}
    for b, times, where in wins(groups, paced):
        found.setdefault(b, []).append((-times, where))
    frees = free_latencies(paced)
    soon = [b for b in backend_order(frees) if b not in (SUBJECT, FLOOR) and
            frees[b]["p99"] * EDGE < frees[SUBJECT]["p99"]]
    note = (f"<p>{', '.join(soon)} free a context sooner than "
            f"{microseconds(frees[SUBJECT]['p99'])} µs after the close (99 %).</p>" if soon else "")
    if any(g.is_busy() for g in groups):
        note += (f"<p class=note>Left out: throughput measured while a known cost was missed by "
                 f"more than {BUSY} %.</p>")
    if not found:
        return "<p>Nowhere else, in this run.</p>" + note
    rows = [[E(b), E(lacks.get(b, "")), "<br>".join(E(w) for _, w in sorted(found[b]))]
            for b in backend_order(found)]
    return note + table(["backend", "leaves out", "wins"], rows, "", (0, 1, 2), wrap=(1, 2),
                        cards=True)
