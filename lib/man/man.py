#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Manual pages, made from the comments of include/streamctx.h.

  man.py OUT      write OUT/man7/streamctx.7 and OUT/man3/*.3
  man.py --list   print the names that have a page in section 3

A page shows a family of functions and is named after the first of them.  The
other functions, and the types and macros that it shows, are links to it.
FAMILIES is all that is written here: which functions belong together, and a
sentence.  A name that the header has and no family, or the other way round, is
an error.
"""
import email.utils
import os
import re
import sys

HEADER, README = "include/streamctx.h", "README.md"
CHANGELOG = "lib/packaging/debian/changelog"
# A complete program of tests/examples/ for the page of the function.
EXAMPLES = {
    "sctx_context_init": "callbacks", "sctx_stream_init": "embed", "sctx_insert": "set_if_absent",
    "sctx_open": "open_many", "sctx_owner_register": "unload", "sctx_context_alloc": "attach",
    "sctx_reclaim_configure": "event_loop", "sctx_alloc": "locked_pool",
}

# (functions, types and macros and notes shown before them, one line, a paragraph)
FAMILIES = [
    ("sctx_read_lock sctx_read_unlock sctx_thread_attach sctx_thread_detach"
     " sctx_thread_offline sctx_threads_registered_by_host", "",
     "read sections and threads",
     "What is found inside a read section stays valid until its end. Entering and leaving one"
     " costs a few instructions and no write to shared memory."),
    ("sctx_context_init sctx_ref sctx_put sctx_put_many sctx_detach sctx_no_free"
     " sctx_context_stream",
     "struct:sctx_context sctx_free_fn",
     "a context and its references",
     "A context is a module's record, embedded in a structure of the module. Each reference"
     " has one holder. After the last one is put, the FreeCallback runs once."),
    ("sctx_stream_init sctx_stream_supports_contexts sctx_stream_disable sctx_teardown"
     " sctx_teardown_sync sctx_teardown_report sctx_stream_retire sctx_stream_for_each",
     "struct:sctx_stream struct:sctx_entry SCTX_INLINE_ENTRIES",
     "streams embedded in a daemon's own structures",
     "A stream is what contexts are attached to. It can be embedded in an inode, a handle or a"
     " volume."),
    ("sctx_stream_create sctx_stream_load sctx_stream_drop", "",
     "streams behind a pointer",
     "For structures most of which never get a context."),
    ("sctx_lookup sctx_get sctx_get_many", "note:Matching",
     "find contexts on a stream",
     "A lookup borrows a context and takes no lock; a get takes a reference."),
    ("sctx_insert sctx_insert_unique sctx_replace sctx_get_or_create sctx_remove sctx_delete",
     "note:Matching sctx_create_fn",
     "link contexts to a stream and unlink them",
     "Every change of a stream's list takes the spinlock of that stream and no other."),
    ("sctx_registry_create sctx_registry_destroy sctx_registry_close_all"
     " sctx_registry_for_each", "",
     "a table of streams by id", "A process may have several."),
    ("sctx_open sctx_open_arg sctx_open_many sctx_stream_ref sctx_close sctx_close_many"
     " sctx_close_flags sctx_find sctx_stream_id",
     "struct:sctx_id SCTX_OPEN_EXISTING SCTX_CLOSE_FORGET",
     "open, find and close streams by id",
     "The first open of an id creates the stream. The last close tears it down, or leaves it"
     " idle where the registry keeps idle streams."),
    ("sctx_registry_idle sctx_registry_trim sctx_forget sctx_stream_state",
     "struct:sctx_idle_options enum:sctx_stream_state",
     "streams that outlive their last close",
     "An idle stream has no open reference, and keeps its contexts until it is dropped."),
    ("sctx_owner_register sctx_owner_unregister sctx_owner_drain sctx_owner_name"
     " sctx_owner_tag sctx_owner_arg sctx_stream_track sctx_leaks_print",
     "struct:sctx_owner SCTX_TAG SCTX_OWNER_NAME_MAX SCTX_OWNER_REQUIRED"
     " struct:sctx_owner_ops SCTX_LEAKS_LISTED struct:sctx_leak struct:sctx_leaks",
     "modules that come and go",
     "A registered module can attach a context at each open, and can leave while streams are in"
     " use."),
    ("sctx_context_alloc sctx_owner_context_init sctx_context_data", "",
     "contexts of registered owners",
     "The only ways to create a context of a registered owner."),
    ("sctx_barrier sctx_synchronize", "",
     "wait for callbacks and for readers", "Neither may be called in a section or in a callback."),
    ("sctx_reclaim_configure sctx_reclaim_poll",
     "enum:sctx_reclaim_mode SCTX_RECLAIM_NOWAIT struct:sctx_reclaim_options"
     " SCTX_LIMIT_BYTES_DEFAULT",
     "who frees, and how much may wait to be freed",
     "Limbo is what was retired and is not freed yet."),
    ("sctx_alloc sctx_free sctx_tag_stats_get",
     "enum:sctx_pool SCTX_TAGS_MAX SCTX_TAG struct:sctx_tag_stats",
     "memory by tag, ordinary or never swapped out",
     "Bytes and objects in use are counted for each tag."),
    ("sctx_stats_get sctx_registry_stats_get sctx_registry_owners sctx_stats_print"
     " sctx_stats_print_all"
     " sctx_registry_print sctx_version sctx_version_number",
     "SCTX_LATENCY_BUCKETS struct:sctx_stats struct:sctx_registry_stats"
     " struct:sctx_owner_stats struct:sctx_named_registry enum:sctx_format SCTX_VERSION",
     "statistics, and their printers",
     "Lookups count nothing; whatever else is counted is a store to the thread's own memory."),
]

# Of the header, but for no page: include guards and what only compilers need.
UNSHOWN = {"SCTX_API", "SCTX__IN_LIMBO", "SCTX__EXTENSION", "SCTX_NO_FREE", "STREAMCTX_H", "struct:sctx_registry"}


def fail(message):
    sys.exit(f"man.py: {message}")


# ------------------------------------------------------------------- the header

def chunks(text):
    """(comment's lines, code's lines): what no blank line outside of braces divides."""
    comment, code, depth, inside = [], [], 0, False
    for line in text.split("\n") + [""]:
        if inside or (line.startswith("/*") and depth == 0 and not code):
            if not inside and comment:
                yield comment, []
                comment = []
            inside = "*/" not in line
            comment.append(line)
        elif line or depth:
            code.append(line)
            depth += line.count("{") - line.count("}")
        elif comment or code:
            yield comment, code
            comment, code = [], []


def plain(comment):
    """A comment's text without its frame."""
    lines = [re.sub(r"^/?\*+/?$|^(/\*| \*)( |$)|^ \*/$", "", line) for line in comment]
    lines = [re.sub(r"\s*\*/\s*$", "", line) for line in lines]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def split_arguments(text):
    arguments, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += c
    return [" ".join(a.split()) for a in arguments]


def functions(code):
    """{name: (type, [argument])} of the prototypes in a chunk."""
    text, found = re.sub(r"/\*.*?\*/", "", "\n".join(code), flags=re.S), {}
    for m in re.finditer(r"^(?:SCTX_API|static inline)\s+([\w\s]*?[\s*]+)(sctx_\w+)\(", text, re.M):
        depth, end = 1, m.end()
        while depth:
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        found[m.group(2)] = (" ".join(m.group(1).split()), split_arguments(text[m.end():end - 1]))
    return found


def names(comment, code):
    """What a chunk can be asked for by."""
    text = "\n".join(code)
    found = list(functions(code))
    found += [f"{k}:{n}" for k, n in re.findall(r"^(struct|enum) (\w+)(?: \{|;)", text, re.M)]
    found += re.findall(r"^typedef .*?\(?\*?(sctx_\w+_fn)\)", text, re.M)
    found += [n for n in re.findall(r"^#define (\w+)", text, re.M)]
    lines = plain(comment)
    if not code and lines and not re.match(r"-{5}", lines[0]):
        found.append("note:" + re.match(r"\W*(\w+)", lines[0]).group(1))
    return found


class Header:
    def __init__(self, text):
        body = text[text.index("#define SCTX_VERSION"):text.index("#ifdef __cplusplus\n}")]
        self.version = re.search(r'SCTX_VERSION "(.*?)"', body).group(1)
        start = text.index("/*\n * streamctx:")
        self.about = plain(text[start:text.index("*/", start) + 2].split("\n"))
        self.chunk, self.of = [], {}
        for comment, code in chunks(body):
            for name in names(comment, code):
                self.of.setdefault(name, len(self.chunk))
            self.chunk.append((comment, code))
        self.functions = {}
        for _, code in self.chunk:
            self.functions.update(functions(code))

    def get(self, name):
        if name not in self.of:
            fail(f"{HEADER} has no {name}")
        return self.of[name]


# ------------------------------------------------------------------------ mdoc

def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def marked_up(line):
    line = escaped(line)
    line = re.sub(r"(\*?)@(\w+)", r"\1\\fI\2\\fR", line)
    line = re.sub(r"\b(sctx_\w+)\(\)", r"\\fB\1\\fR()", line)
    line = re.sub(r"\\-(E[A-Z]{3,})\b", r"\\-\\fB\1\\fR", line)
    return re.sub(r"^(Errors|Progress|Mirrors|In section|In callback)\b", r"\\fI\1\\fR", line)


LABELS = ("Errors:", "Mirrors ", "Progress:", "Progress,")


def literal(lines):
    return ([".Bd -literal -offset indent"] +
            [escaped(line.expandtabs(8)) or "\\&" for line in lines] + [".Ed"])


def paragraphs(lines):
    """mdoc for a comment: what is indented stays as it is."""
    out, i, begun = [], 0, True
    while i < len(lines):
        if lines[i][:1] in (" ", "\t"):
            j = i
            while j < len(lines) and (lines[j][:1] in (" ", "\t") or
                                      (not lines[j] and lines[j + 1:j + 2] and lines[j + 1][:1] == " ")):
                j += 1
            out += literal(lines[i:j])
            i, begun = j, False
            continue
        if not lines[i]:
            begun = False
        else:
            if not begun or lines[i].startswith(LABELS):
                if out and out[-1] != ".Pp":
                    out.append(".Pp")
                begun = True
            out += [marked_up(part) for part in re.split(r"(?<=[.!?)])  +", lines[i])]
        i += 1
    return out


def release_date():
    """Of the changelog's newest entry."""
    trailer = re.search(r"^ -- .*>  (.*)$", open(CHANGELOG, encoding="utf-8").read(), re.M)
    day = email.utils.parsedate_to_datetime(trailer.group(1))
    return f"{day:%B} {day.day}, {day.year}"


def top(page, section, nm, line):
    return [".\\\" SPDX-License-Identifier: LGPL-2.1-or-later",
            ".\\\" Made from include/streamctx.h by lib/man/man.py.",
            f".Dd {release_date()}", f".Dt {page.upper()} {section}", f".Os streamctx {header.version}",
            ".Sh NAME", *nm, f".Nd {line}"]


def prototype(name):
    kind, arguments = header.functions[name]
    out = [f".Ft {kind}", f".Fo {name}"]
    return out + [f'.Fa "{a}"' for a in arguments] + [".Fc"]


def see_also(pages):
    refs = sorted(set(pages))
    return [".Sh SEE ALSO"] + [f".Xr {name} {section}" + (" ," if i < len(refs) - 1 else "")
                               for i, (section, name) in enumerate((s, n) for s, n in refs)]


def code_of(chunk):
    return [line for line in header.chunk[chunk][1] if not re.match(r"#(ifndef|endif)\b", line)]


def shown(chunk):
    """A type, macro or note, with what is said of it."""
    comment, _ = header.chunk[chunk]
    lines = plain(comment)
    if lines and re.match(r"-{5}", lines[0]):
        lines = []
    code = code_of(chunk)
    return ([".Pp"] + paragraphs(lines) if lines else []) + (literal(code) if code else [])


def explained(chunk, own):
    """Functions that share a comment."""
    comment, code = header.chunk[chunk]
    together = [f for f in functions(code) if f in own]
    lines = plain(comment)
    if lines and re.match(r"-{5}", lines[0]):
        lines = []
    return [f".Ss {' , '.join(f + '()' for f in together)}"] + paragraphs(lines)


def family_page(family):
    own, also, line, intro = family[0].split(), family[1].split(), family[2], family[3]
    nm = [f".Nm {f}" + (" ," if f != own[-1] else "") for f in own]
    out = top(own[0], 3, nm, line) + [".Sh LIBRARY", "libstreamctx (pkg\\-config streamctx)",
                                      ".Sh SYNOPSIS", ".In streamctx.h"]
    for name in own:
        header.get(name)
        out += prototype(name)
    out += [".Sh DESCRIPTION", *[s if s.endswith(".") else s + "." for s in intro.split(". ")]]
    for chunk in dict.fromkeys(header.get(name) for name in also):
        out += shown(chunk)
    for chunk in dict.fromkeys(header.get(name) for name in own):
        out += explained(chunk, own)
    out += [".Sh RETURN VALUES",
            "A function of type int returns 0, or what is said above, or a negative errno value;",
            "\\-\\fBEINVAL\\fR for a NULL or malformed argument."]
    if own[0] in EXAMPLES:
        source = open(f"tests/examples/{EXAMPLES[own[0]]}.c", encoding="utf-8").read()
        source = re.sub(r"^/\*.*?\*/\n", "", source)
        out += [".Sh EXAMPLES"] + literal(source.strip("\n").split("\n"))
    others = [(3, f[0].split()[0]) for f in FAMILIES if f is not family]
    return out + see_also(others + [(7, "streamctx"), (7, "streamctx-probes")])


def overview():
    example = re.search(r"```c\n(.*?)```", open(README, encoding="utf-8").read(), re.S).group(1)
    out = top("streamctx", 7, [".Nm streamctx"], "per-stream contexts for storage daemons")
    out += [".Sh SYNOPSIS", ".In streamctx.h", ".Pp", "$ cc daemon.c $(pkg\\-config \\-\\-cflags \\-\\-libs streamctx)",
            ".Sh DESCRIPTION"] + paragraphs(header.about[2:])
    out += [".Sh PAGES", ".Bl -tag -width Ds"]
    for own, _, line, _ in FAMILIES:
        out += [f".It Xr {own.split()[0]} 3", f"{line[0].upper()}{line[1:]}:"]
        out += [f".Fn {f}" + (" ," if f != own.split()[-1] else " .") for f in own.split()]
    out += [".It Xr streamctx-probes 7", "What can be watched in a running daemon.", ".El"]
    out += [".Sh EXAMPLES"] + literal(example.rstrip("\n").split("\n"))
    return out + see_also([(3, f[0].split()[0]) for f in FAMILIES] + [(7, "streamctx-probes")])


def check():
    wanted = [n for own, also, _, _ in FAMILIES for n in own.split() + also.split()]
    covered = {header.get(n) for n in wanted}
    for name, chunk in header.of.items():
        if chunk not in covered and name not in UNSHOWN:
            fail(f"{name} of {HEADER} is on no page: say where in FAMILIES")
    own = [n for f in FAMILIES for n in f[0].split()]
    for name in header.functions:
        if own.count(name) != 1:
            fail(f"{name}() is on {own.count(name)} pages: say where in FAMILIES")


def aliases():
    """{name: page} of the functions, types and macros that have no page of their own."""
    found = {}
    for own, also, _, _ in FAMILIES:
        first, *functions_of = own.split()
        shown_here = {header.get(name) for name in also.split()}
        for name in functions_of + [n for n, chunk in header.of.items() if chunk in shown_here]:
            if not name.startswith("note:") and name != first:
                found.setdefault(name.split(":")[-1], first)
    return found


def main(out):
    check()
    for folder in ("man3", "man7"):
        os.makedirs(f"{out}/{folder}", exist_ok=True)
        for old in os.listdir(f"{out}/{folder}"):
            os.unlink(f"{out}/{folder}/{old}")
    for family in FAMILIES:
        first = family[0].split()[0]
        with open(f"{out}/man3/{first}.3", "w", encoding="utf-8") as page:
            page.write("\n".join(family_page(family)) + "\n")
    for name, page in aliases().items():
        os.symlink(f"{page}.3", f"{out}/man3/{name}.3")
    with open(f"{out}/man7/streamctx.7", "w", encoding="utf-8") as page:
        page.write("\n".join(overview()) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    header = Header(open(HEADER, encoding="utf-8").read())
    if sys.argv[1] == "--list":
        print(*[f[0].split()[0] for f in FAMILIES], *aliases(), sep="\n")
    else:
        main(sys.argv[1])
