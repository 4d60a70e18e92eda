/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routines of mini_filter.c that the host calls. */
#ifndef MINI_FILTER_H
#define MINI_FILTER_H

#include <streamctx/fsrtl.h>

typedef struct _MINI_COUNTS {
	ULONG Allocated;
	ULONG Cleaned;
} MINI_COUNTS;

NTSTATUS MiniEntry(PDRIVER_OBJECT DriverObject, PFLT_FILTER *Filter);
NTSTATUS MiniInstanceSetup(PCFLT_RELATED_OBJECTS FltObjects);
NTSTATUS MiniPostCreate(PCFLT_RELATED_OBJECTS FltObjects);
VOID MiniPreWrite(PCFLT_RELATED_OBJECTS FltObjects, ULONG Length);
NTSTATUS MiniPreCleanup(PCFLT_RELATED_OBJECTS FltObjects, ULONGLONG *Bytes);
NTSTATUS MiniUnload(VOID);
MINI_COUNTS MiniCounts(VOID);

#endif /* MINI_FILTER_H */
