/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Static probes (USDT), for bpftrace, perf, gdb and SystemTap: one nop each,
 * and a note that says where it is and where its arguments are.  What each one
 * means, and what may be relied on, is in lib/man/streamctx-probes.7.
 *
 * Arguments are what is in a register already, or a constant: on the paths of
 * open and close nothing is loaded for the sake of a probe.  So a context's
 * owner is not passed; it is the context's first word.
 *
 * Without <sys/sdt.h> (systemtap-sdt-dev) there are none.
 */
#ifndef SCTX_PROBE_H
#define SCTX_PROBE_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif

#if defined(SCTX_EXPLORE)
#include "explore_probe.h" /* tests/explore */
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
