/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A minifilter's context code, as one would write it for Windows: nothing here
 * but the include knows another system.  Contexts for instances, files,
 * streams and handles; set-or-get at create; cleanup callbacks.
 */
#include <streamctx/fsrtl.h>

#include "mini_filter.h"

#define MINI_TAG        ((ULONG)'niM ')
#define MINI_STRING_TAG ((ULONG)'sniM')

typedef struct _MINI_INSTANCE_CONTEXT {
	PFLT_INSTANCE Instance;
} MINI_INSTANCE_CONTEXT, *PMINI_INSTANCE_CONTEXT;

typedef struct _MINI_FILE_CONTEXT {
	FAST_MUTEX Lock;
	ULONGLONG Bytes;
} MINI_FILE_CONTEXT, *PMINI_FILE_CONTEXT;

/* Of variable size: the name comes after it. */
typedef struct _MINI_STREAM_CONTEXT {
	FAST_MUTEX Lock;
	ULONGLONG Bytes;
	UNICODE_STRING FileName;
} MINI_STREAM_CONTEXT, *PMINI_STREAM_CONTEXT;

typedef struct _MINI_HANDLE_CONTEXT {
	UNICODE_STRING Reason; /* its own allocation */
	ULONG Writes;
} MINI_HANDLE_CONTEXT, *PMINI_HANDLE_CONTEXT;

static PFLT_FILTER MiniFilter;
static FAST_MUTEX CountsLock = { PTHREAD_MUTEX_INITIALIZER };
static MINI_COUNTS Counts;

static VOID CountAllocated(VOID)
{
	ExAcquireFastMutex(&CountsLock);
	Counts.Allocated++;
	ExReleaseFastMutex(&CountsLock);
}

MINI_COUNTS MiniCounts(VOID)
{
	MINI_COUNTS counts;

	ExAcquireFastMutex(&CountsLock);
	counts = Counts;
	ExReleaseFastMutex(&CountsLock);
	return counts;
}

static VOID MiniContextCleanup(_In_ PFLT_CONTEXT Context, _In_ FLT_CONTEXT_TYPE ContextType)
{
	PMINI_HANDLE_CONTEXT handle = Context;

	if (ContextType == FLT_STREAMHANDLE_CONTEXT && handle->Reason.Buffer)
		ExFreePoolWithTag(handle->Reason.Buffer, MINI_STRING_TAG);
	ExAcquireFastMutex(&CountsLock);
	Counts.Cleaned++;
	ExReleaseFastMutex(&CountsLock);
}

static const FLT_CONTEXT_REGISTRATION ContextRegistration[] = {
	{ FLT_INSTANCE_CONTEXT, 0, MiniContextCleanup, sizeof(MINI_INSTANCE_CONTEXT), MINI_TAG },
	{ FLT_FILE_CONTEXT, 0, MiniContextCleanup, sizeof(MINI_FILE_CONTEXT), MINI_TAG },
	{ FLT_STREAM_CONTEXT, 0, MiniContextCleanup, FLT_VARIABLE_SIZED_CONTEXTS, MINI_TAG },
	{ FLT_STREAMHANDLE_CONTEXT, 0, MiniContextCleanup, sizeof(MINI_HANDLE_CONTEXT), MINI_TAG },
	{ FLT_CONTEXT_END, 0, NULL, 0, 0 },
};

static const FLT_REGISTRATION FilterRegistration = {
	sizeof(FLT_REGISTRATION),
	FLT_REGISTRATION_VERSION,
	0,
	ContextRegistration,
};

NTSTATUS MiniEntry(PDRIVER_OBJECT DriverObject, PFLT_FILTER *Filter)
{
	NTSTATUS status = FltRegisterFilter(DriverObject, &FilterRegistration, &MiniFilter);

	if (NT_SUCCESS(status)) {
		status = FltStartFiltering(MiniFilter);
		if (!NT_SUCCESS(status))
			FltUnregisterFilter(MiniFilter);
	}
	*Filter = MiniFilter;
	return status;
}

NTSTATUS MiniUnload(VOID)
{
	return FltUnregisterFilter(MiniFilter);
}

NTSTATUS MiniInstanceSetup(PCFLT_RELATED_OBJECTS FltObjects)
{
	PMINI_INSTANCE_CONTEXT context;
	NTSTATUS status;

	status = FltAllocateContext(FltObjects->Filter, FLT_INSTANCE_CONTEXT,
				    sizeof(MINI_INSTANCE_CONTEXT), NonPagedPool, &context);
	if (!NT_SUCCESS(status))
		return status;
	CountAllocated();
	context->Instance = FltObjects->Instance;
	status = FltSetInstanceContext(FltObjects->Instance, FLT_SET_CONTEXT_KEEP_IF_EXISTS,
				       context, NULL);
	FltReleaseContext(context); /* the link has its own reference */
	return status;
}

/* Get it, or make one and set it; another's may be there first. */
static NTSTATUS MiniFindOrCreateStreamContext(PCFLT_RELATED_OBJECTS FltObjects,
					      PMINI_STREAM_CONTEXT *StreamContext)
{
	PCUNICODE_STRING name = &FltObjects->FileObject->FileName;
	PMINI_STREAM_CONTEXT context, old;
	NTSTATUS status;

	status = FltGetStreamContext(FltObjects->Instance, FltObjects->FileObject, StreamContext);
	if (status != STATUS_NOT_FOUND)
		return status;
	status = FltAllocateContext(FltObjects->Filter, FLT_STREAM_CONTEXT,
				    sizeof(*context) + name->Length, PagedPool, &context);
	if (!NT_SUCCESS(status))
		return status;
	CountAllocated();
	RtlZeroMemory(context, sizeof(*context));
	ExInitializeFastMutex(&context->Lock);
	RtlInitEmptyUnicodeString(&context->FileName, (PWCHAR)(context + 1), name->Length);
	RtlCopyUnicodeString(&context->FileName, name);

	status = FltSetStreamContext(FltObjects->Instance, FltObjects->FileObject,
				     FLT_SET_CONTEXT_KEEP_IF_EXISTS, context, &old);
	if (NT_SUCCESS(status)) {
		*StreamContext = context;
		return status;
	}
	FltReleaseContext(context);
	if (status != STATUS_FLT_CONTEXT_ALREADY_DEFINED)
		return status;
	*StreamContext = old;
	return STATUS_SUCCESS;
}

static NTSTATUS MiniCreateFileContext(PCFLT_RELATED_OBJECTS FltObjects)
{
	PMINI_FILE_CONTEXT context;
	NTSTATUS status;

	status = FltAllocateContext(FltObjects->Filter, FLT_FILE_CONTEXT, sizeof(*context),
				    PagedPool, &context);
	if (!NT_SUCCESS(status))
		return status;
	CountAllocated();
	RtlZeroMemory(context, sizeof(*context));
	ExInitializeFastMutex(&context->Lock);
	status = FltSetFileContext(FltObjects->Instance, FltObjects->FileObject,
				   FLT_SET_CONTEXT_KEEP_IF_EXISTS, context, NULL);
	FltReleaseContext(context);
	return status == STATUS_FLT_CONTEXT_ALREADY_DEFINED ? STATUS_SUCCESS : status;
}

/* Each open replaces the handle's context by a new one. */
static NTSTATUS MiniCreateHandleContext(PCFLT_RELATED_OBJECTS FltObjects)
{
	PMINI_HANDLE_CONTEXT context;
	NTSTATUS status;

	status = FltAllocateContext(FltObjects->Filter, FLT_STREAMHANDLE_CONTEXT, sizeof(*context),
				    PagedPool, &context);
	if (!NT_SUCCESS(status))
		return status;
	CountAllocated();
	RtlZeroMemory(context, sizeof(*context));
	context->Reason.Buffer = ExAllocatePoolWithTag(PagedPool, 20, MINI_STRING_TAG);
	status = FltSetStreamHandleContext(FltObjects->Instance, FltObjects->FileObject,
					   FLT_SET_CONTEXT_REPLACE_IF_EXISTS, context, NULL);
	FltReleaseContext(context);
	return status;
}

NTSTATUS MiniPostCreate(PCFLT_RELATED_OBJECTS FltObjects)
{
	PMINI_STREAM_CONTEXT context;
	NTSTATUS status = MiniFindOrCreateStreamContext(FltObjects, &context);

	if (!NT_SUCCESS(status))
		return status;
	FltReleaseContext(context);
	status = MiniCreateHandleContext(FltObjects);
	if (NT_SUCCESS(status) && FltSupportsFileContexts(FltObjects->FileObject))
		status = MiniCreateFileContext(FltObjects);
	return status;
}

static VOID Add(PFAST_MUTEX Lock, ULONGLONG *Bytes, ULONG Length)
{
	ExAcquireFastMutex(Lock);
	*Bytes += Length;
	ExReleaseFastMutex(Lock);
}

VOID MiniPreWrite(PCFLT_RELATED_OBJECTS FltObjects, ULONG Length)
{
	FLT_RELATED_CONTEXTS contexts;
	PMINI_STREAM_CONTEXT stream;
	PMINI_FILE_CONTEXT file;

	FltGetContexts(FltObjects, FLT_FILE_CONTEXT | FLT_STREAM_CONTEXT, &contexts);
	stream = contexts.StreamContext;
	file = contexts.FileContext;
	if (stream)
		Add(&stream->Lock, &stream->Bytes, Length);
	if (file)
		Add(&file->Lock, &file->Bytes, Length);
	FltReleaseContexts(&contexts);
}

/* Returns the bytes written to the stream; deletes the handle's context. */
NTSTATUS MiniPreCleanup(PCFLT_RELATED_OBJECTS FltObjects, ULONGLONG *Bytes)
{
	PMINI_STREAM_CONTEXT stream;
	PMINI_HANDLE_CONTEXT handle;
	NTSTATUS status;

	*Bytes = 0;
	status = FltGetStreamContext(FltObjects->Instance, FltObjects->FileObject, &stream);
	if (!NT_SUCCESS(status))
		return status;
	*Bytes = stream->Bytes;
	FltReleaseContext(stream);
	status = FltGetStreamHandleContext(FltObjects->Instance, FltObjects->FileObject, &handle);
	if (NT_SUCCESS(status)) {
		FltDeleteContext(handle);
		FltReleaseContext(handle);
	}
	return STATUS_SUCCESS;
}
