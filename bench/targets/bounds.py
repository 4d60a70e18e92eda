#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bounds two targets: measured with changed copies of the tree, not for use.

  - The library frees contexts and streams where they are retired: a grace period that
    costs nothing and protects no reader.  No reclamation can do better.
  - floor, which synchronises nothing, gets the two atomic operations of an open count;
    then our two, of which the close must not drop the last reference; then our two
    sections as well.
  - streamctx counts opens without atomic operations (right on one thread only), or does
    not read what a lookup found, or both.

Each line has medians of interleaved runs, in million operations a second.  open_warm
has two columns: how far ahead the processor looked (window.c) before and after the run,
its whole window or the half that a busy neighbour on the core's other hardware thread
leaves.

  bounds.py         as `make bench-bounds` runs it, with B the build directory
  bounds.py check   only whether the copies can be changed
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

BUILD = os.environ.get("B", "build")
TREE = BUILD + "/bounds"
ROUNDS, SECONDS = 7, "0.4"
WINDOW_ROUNDS = 11
HALF = 1.5  # window.c's ratio: near 1, or near 2
TRACES = ("build", "git", "search")

# What floor gets: its backend's name, what the line says, how it closes, whether in sections.
FLOORS = (
    ("floor_atomic", "floor, adds and takes off atomically", "sub", False),
    ("floor_counts", "floor, counts as ours", "cas", False),
    ("floor_sections", "the same, in sections", "cas", True),
)


def change(tree, path, *pairs):
    """Each old text is there once, and replaced."""
    with open("%s/%s" % (tree, path)) as file:
        text = file.read()
    for old, new in pairs:
        if text.count(old) != 1:
            sys.exit("bounds: %s has not once: %s" % (path, old))
        text = text.replace(old, new)
    with open("%s/%s" % (tree, path), "w") as file:
        file.write(text)


def free_at_once(tree):
    change(tree, "lib/reclaim/reclaim.h",
           ("	sctx__list_push(list, sctx__link_of(&ctx->next));\n",
            "	if (1) {\n"
            "		sctx__self.in_callback = true;\n"
            "		sctx__store(&ctx->stream, NULL);\n"
            "		ctx->free_callback(ctx);\n"
            "		sctx__self.in_callback = false;\n"
            "		return;\n"
            "	}\n"
            "	sctx__list_push(list, sctx__link_of(&ctx->next));\n"),
           ("	sctx__list_push(&limbo->list[SCTX__NODES], sctx__link_of(&stream->next));\n",
            "	if (1) {\n"
            "		sctx__link_of(&stream->next)->next = sctx__self.magazine.loaded;\n"
            "		sctx__self.magazine.loaded = sctx__link_of(&stream->next);\n"
            "		return;\n"
            "	}\n"
            "	sctx__list_push(&limbo->list[SCTX__NODES], sctx__link_of(&stream->next));\n"))


CLOSES = {
    "sub": ("	if (--stream->opens > 0)",
            "	if (__atomic_sub_fetch(&stream->opens, 1, __ATOMIC_ACQ_REL) > 0)"),
    "cas": ("	if (--stream->opens > 0)",
            "	uint32_t opens = __atomic_load_n(&stream->opens, __ATOMIC_RELAXED);\n\n"
            "	while (opens > 1 && !__atomic_compare_exchange_n(&stream->opens, &opens, opens - 1,\n"
            "			false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))\n"
            "		;\n"
            "	if (opens > 1)"),
}

SECTIONS = (
    ("#include \"compact.h\"", "#define SCTX_INLINE\n#include \"compact.h\""),
    ("	struct bench_stream *stream = buckets_find(&table->buckets, hash, id);\n",
     "	struct bench_stream *stream;\n\n"
     "	sctx_read_lock();\n"
     "	stream = buckets_find(&table->buckets, hash, id);\n"
     "	sctx_read_unlock();\n"),
    ("static inline void no_section(struct bench_stream *stream)\n{\n	(void)stream;\n}",
     "static inline void lock(struct bench_stream *stream)\n"
     "{\n	(void)stream;\n	sctx_read_lock();\n}\n\n"
     "static inline void unlock(struct bench_stream *stream)\n"
     "{\n	(void)stream;\n	sctx_read_unlock();\n}"),
    ("	.enter = no_section,", "	.enter = lock,"),
    ("	.leave = no_section,", "	.leave = unlock,"),
)


def floors(tree):
    for name, _, close, sections in FLOORS:
        backend = "bench/backends/%s.c" % name
        shutil.copy("bench/backends/floor.c", "%s/%s" % (tree, backend))
        change(tree, backend, ('.name = "floor"', '.name = "%s"' % name), CLOSES[close],
               ("	stream->opens++;",
                "	__atomic_fetch_add(&stream->opens, 1, __ATOMIC_ACQUIRE);"),
               *(SECTIONS if sections else ()))


def plain_counts(tree):
    change(tree, "lib/registry/opens.h",
           ("	return sctx__add_acquire(&stream->opens, 1);", "	return stream->opens++;"))
    change(tree, "lib/registry/close.c",
           ("	if (!sctx__cas_acq_rel(&stream->opens, opens, *opens - n))\n		return false;\n",
            "	stream->opens = *opens - n;\n"))


def contexts_unread(tree):
    change(tree, "bench/workloads/open.h",
           ("	seen = bench_touch(b->lookup(stream, &bench_owner[0], NULL));",
            "	seen = b->lookup(stream, &bench_owner[0], NULL) != NULL;"),
           ("		uint64_t which = bench_random(&random, w->streams);\n\n"
            "		seen += open_resident(b, w, which, timed);\n"
            "		expected += bench_word(which, 0);",
            "		uint64_t which = bench_random(&random, w->streams);\n\n"
            "		seen += open_resident(b, w, which, timed);\n"
            "		expected++;"))


TREES = {
    "changed": (free_at_once, floors),
    "plain": (plain_counts,),
    "unread": (contexts_unread,),
    "both": (plain_counts, contexts_unread),
}


def program(name):
    return "%s/%s/build/bench/sctx-bench" % (TREE, name)


def make_tree(name, changes):
    tree = "%s/%s" % (TREE, name)
    for part in ("lib", "include", "bench", "tests"):
        shutil.copytree(part, "%s/%s" % (tree, part))
    shutil.copy("Makefile", tree)
    for change_it in changes:
        change_it(tree)


def build(name):
    subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", "-s", "-C",
                    "%s/%s" % (TREE, name), "-j%d" % os.cpu_count(), "B=build",
                    "build/bench/sctx-bench"], check=True)


def run(program, workload, backend, options):
    """Operations a second, or None if the run's check failed: without grace periods it may."""
    result = subprocess.run([program, workload, backend, "--json", "--seconds", SECONDS, *options],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(result.stdout)["ops"] if result.returncode == 0 else None


def window():
    """Whether it is half, of the CPU that a run's first thread is bound to."""
    cpu = min(os.sched_getaffinity(0))
    return float(subprocess.check_output([BUILD + "/bench/window"],
                                         preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))) > HALF


def compare_by_window(title, workload, options, columns):
    """As compare(), without a base; runs in which the window changed are left out."""
    seen = {(half, heading): [] for half in (False, True) for heading, _, _ in columns}
    before = window()
    for _ in range(WINDOW_ROUNDS):
        for heading, program, backend in columns:
            ops = run(program, workload, backend, options)
            after = window()
            if ops and after == before:
                seen[after, heading].append(ops)
            before = after
    print("%-26s %-36s %8s %16s" % (title, "", "window", "half of it"))
    for heading, _, _ in columns:
        cells = ["%.2f (%d)" % (statistics.median(ops) / 1e6, len(ops)) if ops else "-"
                 for ops in (seen[False, heading], seen[True, heading])]
        print("%-26s %-36s %8s %16s" % ("", heading, *cells), flush=True)


def compare(title, workload, options, columns):
    """columns: (heading, program, backend).  The last one is what the others are compared to."""
    seen = {heading: [] for heading, _, _ in columns}
    for _ in range(ROUNDS):
        for heading, program, backend in columns:
            seen[heading].append(run(program, workload, backend, options))
    base = columns[-1][0]
    for heading, _, _ in columns:
        ops = [n for n in seen[heading] if n]
        ratios = [a / b for a, b in zip(seen[heading], seen[base]) if a and b]
        failed = seen[heading].count(None)
        print("%-26s %-36s %8s  %s%s" % (
            title, heading, "%.2f" % (statistics.median(ops) / 1e6) if ops else "-",
            "%.2f x %s" % (statistics.median(ratios), base) if ratios and heading != base else "",
            "  (%d of %d runs used freed memory)" % (failed, ROUNDS) if failed else ""), flush=True)
        title = ""


def main():
    ours, changed = BUILD + "/bench/sctx-bench", program("changed")
    shutil.rmtree(TREE, ignore_errors=True)
    for name, changes in TREES.items():
        make_tree(name, changes)
    if sys.argv[1:] == ["check"]:
        return
    for name in TREES:
        build(name)
    for trace in TRACES:
        compare("replay, %s, 2 threads" % trace, "replay",
                ["--trace", "bench/traces/%s.trace" % trace, "--threads", "2"],
                [("streamctx", ours, "streamctx"),
                 ("the same, freeing at once", changed, "streamctx"),
                 ("sharded, freeing at once", ours, "sharded"),
                 ("mutex", ours, "mutex")])
    compare_by_window("open_warm, 1 thread (runs)", "open_warm", ["--threads", "1"],
                      [("streamctx", ours, "streamctx"),
                       ("the same, counts not atomic", program("plain"), "streamctx"),
                       ("the same, contexts unread", program("unread"), "streamctx"),
                       ("both", program("both"), "streamctx"),
                       ("floor", ours, "floor"),
                       ("floor, contexts unread", program("unread"), "floor")] +
                      [(line, changed, name) for name, line, _, _ in FLOORS] +
                      [("urcu", ours, "urcu"), ("mutex", ours, "mutex")])


if __name__ == "__main__":
    main()
