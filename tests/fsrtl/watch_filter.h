/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The declarations of watch_filter.c, which the host includes as well.
 */
#ifndef WATCH_FILTER_H
#define WATCH_FILTER_H

#include <streamctx/fsrtl.h>

#define WATCH_CONTEXT_TAG  'xtCW'
#define WATCH_RESOURCE_TAG 'sRCW'
#define WATCH_STRING_TAG   'rtSW'

#define TRACE_ERROR   0x00000001
#define TRACE_CONTEXT 0x00000002

#if DBG
#define DebugTrace(level, message) (FlagOn(WatchGlobals.DebugLevel, (level)) ? DbgPrint message : 0)
#else
#define DebugTrace(level, message) { NOTHING; }
#endif
#ifndef NOTHING
#define NOTHING
#endif

typedef struct _WATCH_GLOBALS {
	PFLT_FILTER Filter;
#if DBG
	ULONG DebugLevel;
#endif
	ERESOURCE Lock;
	_Guarded_by_(Lock) ULONG Made[7]; /* contexts, by the bit of their kind */
	_Guarded_by_(Lock) ULONG Gone[7];
} WATCH_GLOBALS, *PWATCH_GLOBALS;

extern WATCH_GLOBALS WatchGlobals;

typedef struct _WATCH_VOLUME_CONTEXT {
	PFLT_VOLUME Volume;
	ULONG SectorSize;
} WATCH_VOLUME_CONTEXT, *PWATCH_VOLUME_CONTEXT;

typedef struct _WATCH_INSTANCE_CONTEXT {
	PFLT_INSTANCE Instance;
	PFLT_VOLUME Volume;
} WATCH_INSTANCE_CONTEXT, *PWATCH_INSTANCE_CONTEXT;

typedef struct _WATCH_FILE_CONTEXT {
	UNICODE_STRING FileName;
} WATCH_FILE_CONTEXT, *PWATCH_FILE_CONTEXT;

typedef struct _WATCH_STREAM_CONTEXT {
	UNICODE_STRING FileName;
	ULONG CreateCount;
	ULONG CleanupCount;
	ULONG CloseCount;
	PERESOURCE Resource; /* of the counts */
} WATCH_STREAM_CONTEXT, *PWATCH_STREAM_CONTEXT;

typedef struct _WATCH_STREAMHANDLE_CONTEXT {
	UNICODE_STRING FileName;
	PERESOURCE Resource;
} WATCH_STREAMHANDLE_CONTEXT, *PWATCH_STREAMHANDLE_CONTEXT;

typedef struct _WATCH_TRANSACTION_CONTEXT {
	ULONG Opened;
	PERESOURCE Resource;
} WATCH_TRANSACTION_CONTEXT, *PWATCH_TRANSACTION_CONTEXT;

typedef struct _WATCH_SECTION_CONTEXT {
	LARGE_INTEGER FileSize;
	HANDLE SectionHandle;
} WATCH_SECTION_CONTEXT, *PWATCH_SECTION_CONTEXT;

DRIVER_INITIALIZE DriverEntry;

NTSTATUS
WatchSectionOpen(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_range_(0, MAXUSHORT) ULONG Size
	);

NTSTATUS
WatchSectionClose(
	_In_ PCFLT_RELATED_OBJECTS FltObjects
	);

FORCEINLINE
VOID
WatchAcquireExclusive(
	_Inout_ _Acquires_exclusive_lock_(*Resource) PERESOURCE Resource
	)
{
	FLT_ASSERT(KeGetCurrentIrql() <= APC_LEVEL);
	FLT_ASSERT(ExIsResourceAcquiredExclusiveLite(Resource) ||
		   !ExIsResourceAcquiredSharedLite(Resource));

	KeEnterCriticalRegion();
	(VOID)ExAcquireResourceExclusiveLite(Resource, TRUE);
}

FORCEINLINE
VOID
WatchAcquireShared(
	_Inout_ _Acquires_shared_lock_(*Resource) PERESOURCE Resource
	)
{
	FLT_ASSERT(KeGetCurrentIrql() <= APC_LEVEL);

	KeEnterCriticalRegion();
	(VOID)ExAcquireResourceSharedLite(Resource, TRUE);
}

FORCEINLINE
VOID
WatchRelease(
	_Inout_ _Requires_lock_held_(*Resource) _Releases_lock_(*Resource) PERESOURCE Resource
	)
{
	FLT_ASSERT(KeGetCurrentIrql() <= APC_LEVEL);
	FLT_ASSERT(ExIsResourceAcquiredExclusiveLite(Resource) ||
		   ExIsResourceAcquiredSharedLite(Resource));

	ExReleaseResourceLite(Resource);
	KeLeaveCriticalRegion();
}

#endif /* WATCH_FILTER_H */
