/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Static probes (USDT), for bpftrace, perf, gdb and SystemTap.  Each is one
 * nop and an ELF note.  lib/man/streamctx-probes.7 documents them.
 *
 * Arguments are constants or values that are already in registers, so a probe
 * costs open and close no load.  A context's owner is therefore not an
 * argument; it is the context's first word.
 *
 * Without <sys/sdt.h> (systemtap-sdt-dev) the probes compile to nothing.
 */
#ifndef SCTX_PROBE_H
#define SCTX_PROBE_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#if defined(SCTX_EXPLORE)
#include "explore_probe.h" /* tests/model/explore */
#elif defined(DTRACE_PROBE)
#define sctx__probe0(name)          DTRACE_PROBE(streamctx, name)
#define sctx__probe1(name, a)       DTRACE_PROBE1(streamctx, name, a)
#define sctx__probe2(name, a, b)    DTRACE_PROBE2(streamctx, name, a, b)
#define sctx__probe3(name, a, b, c) DTRACE_PROBE3(streamctx, name, a, b, c)
#else
#define sctx__probe0(name)          ((void)0)
#define sctx__probe1(name, a)       ((void)(a))
#define sctx__probe2(name, a, b)    ((void)(a), (void)(b))
#define sctx__probe3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

/* The second argument of retire. */
#define SCTX__KIND_CONTEXT 1
#define SCTX__KIND_STREAM  2 /* an embedded one */
#define SCTX__KIND_NODE    3 /* a registry's stream */
#define SCTX__KIND_BLOCK   4 /* the library's own: arrays, tables */

#endif /* SCTX_PROBE_H */
