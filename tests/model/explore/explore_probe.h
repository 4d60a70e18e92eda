/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lib/base/probe.h as the schedule explorer has it: nothing, but for the one in the
 * midst of a retirement, which has no step of its own between the load of the
 * phase and the last of what it writes into the set.  That nobody takes the set
 * away meanwhile is what the section is for.
 */
#ifndef EXPLORE_PROBE_H
#define EXPLORE_PROBE_H

#define sctx__probe0(name)       ((void)0)
#define sctx__probe1(name, a)    ((void)(a))
#define sctx__probe2(name, a, b) ((void)(a), (void)(b))
#define sctx__probe3(name, a, b, c) \
	((void)(a), (void)(b), (void)(c), (void)sctx__load(&sctx__shared.phase))

#endif /* EXPLORE_PROBE_H */
