# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands for gdb, on a running process or a core file:

  streamctx registry EXPRESSION   owners, streams, and the contexts on them
  streamctx stream EXPRESSION     one stream, embedded or a registry's
  streamctx limbo                 what is retired and not freed yet

Installed where gdb loads it together with libstreamctx.so.  They read the
library's structures as its debugging information describes them, and run
nothing in the process.
"""
import struct

import gdb

SLOTS, SLOT_BITS = 7, 48  # lib/registry/table.h
MOVED, CHAIN_FLAGS = 2, 63
HIDDEN, ARRAY = 1 << 63, 64  # streamctx/inline.h
STATES = {1: "locked", 2: "takes contexts", 4: "torn down", 8: "retired",
          16: "a registry's", 32: "tracked", 64: "told of"}  # lib/stream/context.h
DEAD, FORGOTTEN, OPENS = 1 << 31, 1 << 30, (1 << 29) - 1  # lib/registry/opens.h
OWNED = 1  # lib/owner/owned.h
LISTED = 20  # of a stack in limbo


def struct_type(name):
    try:
        return gdb.lookup_type("struct " + name)
    except gdb.error:
        raise gdb.GdbError("no debugging information for libstreamctx"
                           " (build it with -g, or install libstreamctx0-dbgsym)")


def at(name, address):
    return gdb.Value(int(address)).cast(struct_type(name).pointer())


def around(name, field, address):
    """The struct NAME whose FIELD is at ADDRESS."""
    offset = next(f.bitpos for f in struct_type(name).fields() if f.name == field)
    return at(name, int(address) - offset // 8)


def static(file, name):
    """A static variable of lib/FILE's."""
    for symbol in gdb.lookup_static_symbols(name):
        if symbol.symtab.filename.endswith("lib/" + file):
            return symbol.value()
    struct_type("sctx__thread")
    raise gdb.GdbError(f"no {name} in lib/{file}")


def chain(first, field="next"):
    while int(first):
        yield first
        first = first[field]


def pointer(value):
    """An address, with the symbol that it is of."""
    return str(value.cast(gdb.lookup_type("void").pointer())).split(") ")[-1]


# ------------------------------------------------------------------- saying

def id_text(value):
    return (f"{int(value['volume']):016x}:{int(value['file'][1]):016x}"
            f"{int(value['file'][0]):016x}:{int(value['stream']):x}")


def owner_text(owner):
    tag = int(owner["ops"]["tag"]).to_bytes(4, "little")
    return '"%s"[%s]' % (owner["name"].string(),
                         "".join(chr(c) if 0x20 <= c < 0x7f else "." for c in tag))


def context_text(context):
    owner = pointer(context["owner"])
    if int(context["flags"]) & OWNED:
        owner = owner_text(at("sctx_owner", context["owner"]))
    instance = f" instance {pointer(context['instance'])}" if int(context["instance"]) else ""
    return (f"context {int(context):#x} owner {owner}{instance} references {int(context['refs'])}"
            f" free {pointer(context['free_callback'])}")


def contexts(stream):
    """Newest first."""
    word = int(stream["list"]) & ~HIDDEN
    if word >= ARRAY:
        array = at("sctx__array", word)
        count = int(array["count"])
        entry = at("sctx_entry", int(array + 1) + int(array["capacity"]))
    else:
        count, entry = word, stream["inline_entry"][0].address
    for i in reversed(range(count)):
        if int(entry[i]["context"]):
            yield entry[i]["context"]


def opens_text(opens):
    """A registry's stream: lib/registry/opens.h."""
    if opens & DEAD:
        return "closed"
    if not opens & OPENS:
        return "idle"
    return ("forgotten, " if opens & FORGOTTEN else "") + f"opens {opens & OPENS}"


def stream_text(stream):
    state = int(stream["state"])
    text = f"stream {int(stream):#x}"
    if state & 16:
        node = around("sctx__node", "stream", stream)
        text += f" id {id_text(node['id'])} " + opens_text(int(stream["opens"]))
    hidden = ["disabled"] if int(stream["list"]) & HIDDEN else []
    return f"{text} ({', '.join([s for bit, s in STATES.items() if state & bit] + hidden)})"


def say_stream(stream, indent=""):
    print(indent + stream_text(stream))
    for context in contexts(stream):
        print(indent + "  " + context_text(context))


# ------------------------------------------------------------------ registry

def words(address, buckets):
    memory = gdb.selected_inferior().read_memory(int(address), 64 * buckets)
    return struct.iter_unpack("=8Q", memory)


def nodes(table):
    """The nodes of one table and, while it grows, of its successor."""
    for bucket in words(table["bucket"], int(table["mask"]) + 1):
        if bucket[SLOTS] & MOVED:
            continue
        while True:
            for slot in bucket[:SLOTS]:
                if slot:
                    yield at("sctx__node", slot & ((1 << SLOT_BITS) - 1))
            overflow = bucket[SLOTS] & ~CHAIN_FLAGS
            if not overflow:
                break
            bucket = next(words(overflow, 1))


def say_registry(registry):
    owners = [o for o in chain(static("owner/owner.c", "owners")) if o["registry"] == registry]
    tables = list(chain(registry["table"]))
    # Between two steps of growing, a bucket's streams can be in both tables.
    found = {int(node): node for table in tables for node in nodes(table)}
    buckets = " + ".join(str(int(table["mask"]) + 1) for table in tables)
    print(f"registry {int(registry):#x}: {len(found)} streams in {buckets} buckets,"
          f" {len(owners)} owners, {int(registry['tracked_count'])} embedded streams")
    for owner in owners:
        print(f"  owner {int(owner):#x} {owner_text(owner)}" + (" leaving" if owner["owned"]["leaving"] else ""))
    for node in sorted(found.values(), key=lambda node: id_text(node["id"])):
        say_stream(node["stream"].address, "  ")
    for tracked in chain(registry["tracked"]):
        if int(tracked["stream"]):
            say_stream(tracked["stream"], "  ")


# -------------------------------------------------------------------- limbo

def threads():
    """{address of a thread's record: what gdb calls the thread}."""
    known, selected = {}, gdb.selected_thread()
    for thread in gdb.selected_inferior().threads() if selected else []:
        thread.switch()
        try:
            known[int(gdb.parse_and_eval("(unsigned long)&sctx__self"))] = f"thread {thread.num}"
        except gdb.error:
            pass  # the thread has not used the library, or gdb cannot debug threads
    if selected:
        selected.switch()
    return known


def say_stack(items, text):
    items = iter(items)
    for n, item in enumerate(items):
        if n == LISTED:
            print(f"    ... and {1 + sum(1 for _ in items)} more")
            return
        print("    " + text(item))


def linked(limbo, kind, name):
    """The objects on a list of @limbo's, which links them by their field @next."""
    head = limbo["list"][int(gdb.parse_and_eval(kind))]["head"]
    return (around(name, "next", link) for link in chain(head))


def say_limbo(where, limbo):
    kinds = [(linked(limbo, "SCTX__CONTEXTS", "sctx_context"), context_text),
             (linked(limbo, "SCTX__STREAMS", "sctx_stream"),
              lambda s: f"stream {int(s):#x} free {pointer(s['free_fn'])}"),
             (linked(limbo, "SCTX__HOME_CONTEXTS", "sctx_context"), context_text),
             (linked(limbo, "SCTX__NODES", "sctx_stream"), stream_text),
             (linked(limbo, "SCTX__HOME_BLOCKS", "sctx__block"),
              lambda b: f"block {int(b):#x} of {int(b['size'])} bytes"),
             (linked(limbo, "SCTX__BLOCKS", "sctx__block"),
              lambda b: f"block {int(b):#x} free {pointer(b['free_fn'])}")]
    kinds = [(list(items), text) for items, text in kinds]
    total = sum(len(items) for items, _ in kinds)
    if total:
        print(f"  {where}: {total} retired")
        for items, text in kinds:
            say_stack(items, text)
    return total


def say_all_limbo():
    struct_type("sctx__thread")
    account = gdb.parse_and_eval("sctx__account")
    phase = int(gdb.parse_and_eval("sctx__shared.phase"))
    records = list(chain(gdb.parse_and_eval("sctx__threads")))
    callbacks = int(account["callbacks"]) + sum(int(t["pending_callbacks"]) for t in records)
    size = int(account["bytes"]) + sum(int(t["pending_bytes"]) for t in records)
    print(f"limbo: {callbacks} callbacks, {size} bytes")
    total, known = 0, threads()
    for thread in records:
        name = known.get(int(thread), f"thread's record {int(thread):#x}")
        for i in (phase, 1 - phase):
            total += say_limbo(f"{name}, {'open' if i == phase else 'closed'} set", thread["limbo"][i])
        waiting = int(thread["magazine"]["waiting_count"])
        if waiting:
            print(f"  {name}: {waiting} streams that wait to be used again")
    for which in ("closed", "ripe"):
        total += say_limbo(f"reclaimer, {which} set", static("reclaim/callbacks.c", which))
    print(f"  {total} in all")


# ------------------------------------------------------------------ commands

class Streamctx(gdb.Command):
    __doc__ = "Registries, streams and limbo of libstreamctx.\n\n" + __doc__

    def __init__(self):
        super().__init__("streamctx", gdb.COMMAND_DATA, prefix=True)


def command(name, usage, say, kind=None):
    class Command(gdb.Command):
        __doc__ = usage

        def invoke(self, argument, from_tty):
            if not kind:
                say()
                return
            if not argument:
                raise gdb.GdbError(usage)
            value = gdb.parse_and_eval(argument)
            if value.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT:
                value = value.address
            say(at(kind, value))

    Command("streamctx " + name, gdb.COMMAND_DATA)


Streamctx()
command("registry", "Owners, streams, and the contexts on them.\nUsage: streamctx registry EXPRESSION",
        say_registry, "sctx_registry")
command("stream", "One stream and its contexts, newest first.\nUsage: streamctx stream EXPRESSION",
        say_stream, "sctx_stream")
command("limbo", "What is retired and not freed yet, by thread.\nUsage: streamctx limbo", say_all_limbo)
