#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Mutants: small breakages of the source (mutants.txt), each of which a test must
notice.

  MUTANTS="[--jobs=N] [--quick] [--way=WAY] [PATTERN...]" tests/meta/mutants.py

Each is applied to a copy of the tree below $B/mutants, which is built and
tried with the tests that the list names, then, if they pass, with all others;
until one fails.  Then each of the tools that the list says must notice it is
tried.  A table is printed; a mutant that survives, that a tool misses, that
does not apply at exactly one place any more, or does not build, fails the run.
First the named tests are run on a copy that is as it was: they must pass.
--quick runs the first test of each and nothing else; --way=WAY, the tools of
that way alone, on the mutants that they must notice.  A model is no test of the
source: where none can notice, a model that breaks the same rule must have a
counterexample.

From the environment: B, the build directory, and MAKE, the command to build
with.  MUTANTS_LIMIT is how many seconds a test may take (20).
"""
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

B = os.environ.get("B", "build")
MAKE = shlex.split(os.environ.get("MAKE", "make"))
LIMIT = os.environ.get("MUTANTS_LIMIT", "20")
# What a killer's first word may be, and what it needs of the build directory.
WAYS = {"default": [], "script": ["debug"], "jemalloc": [], "asan": ["asan"], "tsan": ["tsan/c11"],
        "qsbr": ["qsbr"], "bp": ["bp"], "c11": ["c11"], "linear": ["linear-jitter"], "jitter": ["linear-jitter"],
        "explore": ["explore"], "model": ["model"], "torture": ["asan"], "fuzz": ["fuzz"], "tsan-memb": ["tsan/memb"]}
# Tried in this order, with all of their programs, if those that are named pass.
WIDER = ["default", "asan", "qsbr", "c11", "bp", "jemalloc", "linear", "explore", "tsan"]
LEFT_OUT = shutil.ignore_patterns("log", "stage")


class Bad(Exception):
    pass


class Mutant:
    def __init__(self, number, line):
        self.line = number
        self.name, self.file, *function = line.split()
        self.function = " ".join(function)
        self.hunks, self.killers, self.musts, self.argument = [], [], [], []
        self.last = None

    def add(self, mark, text):
        if mark in ">=":
            way, _, words = text.partition(" ")
            (self.killers if mark == ">" else self.musts).append((way, words) if way in WAYS else ("default", text))
        elif mark == "!":
            self.argument.append(text)
        else:
            if mark == "-" and self.last != "-":
                self.hunks.append(([], []))
            self.hunks[-1]["-+".index(mark)].append(text)
        self.last = mark

    def mutated(self, text):
        """The file's text with the changes; lines are compared without their indentation."""
        new = text
        for old, replacement in self.hunks:
            new = self.changed(new, old, replacement)
        if new == text:
            raise Bad("changes nothing")
        return new

    def changed(self, text, old, new):
        begin, end = 0, len(text)
        if self.function:
            found = list(re.finditer(r"^\S.*\b%s\(.*\n\{|^\S.*\b%s\((?:.*\n\s+)*.*\)\n\{" %
                                     (2 * (re.escape(self.function),)), text, re.M))
            if len(found) != 1:
                raise Bad("%s() is there %d times" % (self.function, len(found)))
            begin = found[0].start()
            end = text.index("\n}", begin)
        places = list(re.finditer(r"\s*\n\s*".join(map(re.escape, old)), text[begin:end]))
        if not old or len(places) != 1:
            raise Bad("applies at %d places" % len(places))
        at = places[0]
        return text[:begin + at.start()] + "\n".join(new) + text[begin + at.end():]


def read_list(path):
    mutants, mutant = [], None
    for number, line in enumerate(open(path), 1):
        line = line.rstrip("\n")
        if line.startswith("#"):
            continue
        if not line.strip():
            mutant = None
        elif line[0] in "-+>=!" and mutant:
            mutant.add(line[0], line[1:].strip())
        elif line[0].isalpha() and not mutant:
            mutant = Mutant(number, line)
            mutants.append(mutant)
        else:
            raise SystemExit("%s:%d: %s" % (path, number, line))
    names = [m.name for m in mutants]
    for name in set(names):
        if names.count(name) != 1:
            raise SystemExit("%s: %s is there twice" % (path, name))
    return mutants


class Tree:
    """A copy of the sources, with what is built of them already."""

    def __init__(self, at, of="lib/"):
        self.at = at
        self.ways = {"default"}
        shutil.rmtree(at, ignore_errors=True)
        os.makedirs(at + "/build")
        copied = ["lib", "include"] + (["bench"] if of.startswith("bench/") else [])
        for part in ("lib", "include", "bench", "tests", "Makefile"):
            if part in copied:
                shutil.copytree(part, at + "/" + part)
            else:
                os.symlink(os.path.abspath(part), at + "/" + part)
        for part in os.listdir(B):
            if os.path.isfile(B + "/" + part):
                shutil.copy2(B + "/" + part, at + "/build", follow_symlinks=False)
        for part in ("lib", "tests"):
            self.copy(part)

    def copy(self, part):
        to = self.at + "/build/" + part
        if os.path.isdir(B + "/" + part) and not os.path.isdir(to): # two ways may share one
            shutil.copytree(B + "/" + part, to, symlinks=True, ignore=LEFT_OUT)

    def want(self, way):
        if way not in self.ways:
            self.ways.add(way)
            for part in WAYS[way]:
                self.copy(part)

    def make(self, target, **variables):
        env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        env.update(SCTX_TEST_TIMEOUT=LIMIT, MUTANTS="")
        env.setdefault("SCTX_TEST_SCALE", "1")
        for name in ("SCTX_TEST_FILTER", "EXPLORE_ARGS"):
            if variables.get(name):
                env[name] = variables[name]
            variables.pop(name, None)
        words = ["%s=%s" % v for v in variables.items()]
        done = subprocess.run(MAKE + ["-s", "--no-print-directory", "-C", self.at, "B=build", target] + words,
                              env=env, stdin=subprocess.DEVNULL, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def run(self, way, programs="", case=None):
        """None if all pass, or who failed and how."""
        if way == "model":
            return model(programs)
        self.want(way)
        explore = None
        if way == "explore":
            options = [word for word in programs.split() if word.startswith("--")]
            text = " ".join(word for word in programs.split() if not word.startswith("--"))
            explore, programs = " ".join(map(shlex.quote, options + [text] if text else options)), ""
        status, out = self.make("mutant-build-" + way, PROGRAMS=programs)
        if status:
            raise Bad("does not build for %s:\n%s" % (way, out[-2000:]))
        status, out = self.make("mutant-run-" + way, PROGRAMS=programs, SCTX_TEST_FILTER=case, EXPLORE_ARGS=explore)
        lines = [line.split(None, 2) for line in out.splitlines()]
        failed = [line for line in lines if line and line[0] == "FAIL"]
        passed = [line for line in lines if line and line[0] == "ok"]
        if not failed and (status or not passed):
            raise Bad("nothing ran as %s %s:\n%s" % (way, programs, out[-2000:]))
        if not failed:
            return None
        return failed[0][1] + self.failed_case(failed[0][1]) + \
            (" (hung)" if "timed out" in failed[0][2] else "")

    def failed_case(self, name):
        """The case of a program that failed, from its log."""
        try:
            log = open("%s/build/tests/log/%s.log" % (self.at, name), errors="replace").read()
        except OSError:
            return ""
        failed = re.findall(r"^\[  FAILED  \] (\w+)$", log, re.M)
        if not failed:
            begun = re.findall(r"^\[ RUN      \] (\w+)$", log, re.M)
            failed = begun[-1:]
        found = re.findall(r"^FAILED (.*)", log, re.M) or failed
        return ":" + found[0] if found else ""


def model(variant):
    """Whether the model that breaks the same rule has a counterexample."""
    out = subprocess.run(["tests/model/run.sh", "one", B + "/mutants/log", B + "/model", variant],
                         stdout=subprocess.PIPE, text=True).stdout
    if not re.match(r"(ok|FAIL) ", out):
        raise Bad("nothing ran as model %s:\n%s" % (variant, out))
    return "model/" + variant if out.startswith("ok") and "counterexample" in out else None


def killer_run(tree, killer):
    way, words = killer
    if way in ("explore", "model"):
        return tree.run(way, words)
    program, _, case = words.partition(":")
    return tree.run(way, program, case)


def show(*columns):
    with lock:
        print("%-9s %-31s %-22s %s" % columns, flush=True)


lock = threading.Lock()
quick, only = False, None


def killed(tree, mutant):
    """The first test that notices it, or None."""
    for killer in mutant.killers[:1] if quick else mutant.killers:
        how = killer_run(tree, killer)
        if how:
            return how
    for way in [] if quick else WIDER:
        if os.path.isdir("%s/%s" % (B, (WAYS[way] + ["lib"])[0])):
            how = tree.run(way)
            if how:
                return how + ", which the list does not name"
    return None


def musts_of(mutant):
    """The tools that must notice it, of the way that is asked for."""
    return [must for must in mutant.musts if not only or must[0] == only]


def try_mutant(mutant):
    """Its row: what became of it, and how."""
    begin = time.time()
    at = "%s/mutants/%s" % (B, mutant.name)
    verdict, how = "killed", None
    try:
        text = mutant.mutated(open(mutant.file).read())
        if mutant.argument:
            return "argued", " ".join(mutant.argument)
        tree = Tree(at, mutant.file)
        os.unlink(tree.at + "/" + mutant.file)
        with open(tree.at + "/" + mutant.file, "w") as file:
            file.write(text)
        musts = [] if quick and mutant.killers else musts_of(mutant)[:1 if quick else None]
        how = None if only or not mutant.killers and musts else killed(tree, mutant)
        misses = [must for must in musts if not killer_run(tree, must)]
        if misses:
            verdict, how = "MISSED", "mutants.txt:%d: by %s" % (mutant.line, "; ".join(map(" ".join, misses)))
        elif not how and musts:
            how = "; ".join(map(" ".join, musts))
        elif not how:
            verdict, how = "SURVIVED", "mutants.txt:%d" % mutant.line
    except Bad as error:
        verdict, how = "BAD", "mutants.txt:%d: %s" % (mutant.line, error)
    if verdict == "killed":
        shutil.rmtree(at, ignore_errors=True)
    return verdict, "%s, %.0f s" % (how, time.time() - begin)


def applied(mutants):
    """Each can be made, whichever are tried: a change of the source is to take its mutants along."""
    bad = 0
    for mutant in mutants:
        try:
            mutant.mutated(open(mutant.file).read())
        except Bad as error:
            bad += 1
            show("BAD", mutant.name, mutant.file, "mutants.txt:%d: %s" % (mutant.line, error))
    if bad:
        raise SystemExit("%d of %d mutants cannot be made" % (bad, len(mutants)))


def sound(killers):
    """The tests must pass without a mutant."""
    tree = Tree(B + "/mutants/sound")
    for killer in sorted(killers):
        if killer[0] == "model":
            continue
        how = killer_run(tree, killer)
        if how:
            raise SystemExit("without a mutant: %s" % how)
    shutil.rmtree(tree.at)
    print("%d tests pass without a mutant" % len(killers), flush=True)


def main():
    global quick, only
    words = os.environ.get("MUTANTS", "").split()
    options = [word for word in words if word.startswith("--")]
    patterns = [word for word in words if not word.startswith("--")]
    quick = "--quick" in options
    only = next((word[6:] for word in options if word.startswith("--way=")), None)
    jobs = next((int(word[7:]) for word in options if word.startswith("--jobs=")), os.cpu_count())
    mutants = read_list(os.path.dirname(os.path.abspath(__file__)) + "/mutants.txt")
    applied(mutants)
    mutants = [m for m in mutants if not patterns or any(fnmatch.fnmatch(m.name, p) for p in patterns)]
    mutants = [m for m in mutants if not only or musts_of(m)]
    if not mutants:
        raise SystemExit("no such mutant")
    if not quick:
        sound({killer for m in mutants for killer in ([] if only else m.killers) + musts_of(m)})
    count = {}

    def one(mutant):
        verdict, how = try_mutant(mutant)
        count[verdict] = count.get(verdict, 0) + 1
        show(verdict, mutant.name, mutant.file.replace("include/streamctx/", ""), how)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, mutants))
    print("%d mutants: %s" % (len(mutants), ", ".join("%d %s" % (n, v) for v, n in sorted(count.items()))))
    sys.exit(1 if any(count.get(verdict) for verdict in ("SURVIVED", "MISSED", "BAD")) else 0)


main()
