/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A minifilter's context code in the layout and with the annotations that such
 * code has: nothing here but the include knows another system, and no call has
 * a cast.  It keeps a context of each of the seven kinds.
 */
#include <streamctx/fsrtl.h>

#include "watch_filter.h"

#pragma prefast(disable:28159, "a pragma for another compiler")

#ifdef ALLOC_PRAGMA
#pragma alloc_text(INIT, DriverEntry)
#endif

WATCH_GLOBALS WatchGlobals;

/* ------------------------------------------------------------- allocations */

static
VOID
WatchCount(
	_Inout_updates_(7) PULONG Counts,
	_In_ FLT_CONTEXT_TYPE ContextType
	)
{
	ULONG kind = 0;

	while (!FlagOn(ContextType, 1 << kind)) {
		kind++;
	}
	WatchAcquireExclusive(&WatchGlobals.Lock);
	Counts[kind]++;
	WatchRelease(&WatchGlobals.Lock);
}

_Must_inspect_result_
_Success_(return != NULL)
static
PERESOURCE
WatchAllocateResource(
	VOID
	)
{
	PERESOURCE resource = ExAllocatePoolZero(PagedPool, sizeof(ERESOURCE), WATCH_RESOURCE_TAG);

	if (resource != NULL) {
		ExInitializeResourceLite(resource);
	}
	return resource;
}

static
VOID
WatchFreeResource(
	_Inout_ _Pre_maybenull_ _Post_ptr_invalid_ PERESOURCE Resource
	)
{
	if (Resource != NULL) {
		ExDeleteResourceLite(Resource);
		ExFreePoolWithTag(Resource, WATCH_RESOURCE_TAG);
	}
}

_When_(return == 0, _Post_satisfies_(String->Buffer != NULL))
static
NTSTATUS
WatchDuplicateString(
	_Out_ PUNICODE_STRING String,
	_In_ PCUNICODE_STRING From
	)
{
	String->Buffer = ExAllocatePoolWithTag(PagedPool, From->Length, WATCH_STRING_TAG);
	if (String->Buffer == NULL) {
		DebugTrace(TRACE_ERROR, ("[Watch]: no memory for the name %wZ\n", From));
		return STATUS_INSUFFICIENT_RESOURCES;
	}
	String->MaximumLength = From->Length;
	RtlCopyUnicodeString(String, From);
	return STATUS_SUCCESS;
}

static
VOID
WatchFreeString(
	_Inout_ PUNICODE_STRING String
	)
{
	if (String->Buffer != NULL) {
		ExFreePoolWithTag(String->Buffer, WATCH_STRING_TAG);
	}
	RtlInitEmptyUnicodeString(String, NULL, 0);
}

/* Of any kind, zeroed. */
_When_(NT_SUCCESS(return), _At_(*Context, _Post_notnull_))
static
NTSTATUS
WatchAllocateContext(
	_In_ FLT_CONTEXT_TYPE ContextType,
	_In_ SIZE_T Size,
	_Outptr_result_maybenull_ PFLT_CONTEXT *Context
	)
{
	NTSTATUS status;

	status = FltAllocateContext(WatchGlobals.Filter, ContextType, Size, PagedPool, Context);
	if (!NT_SUCCESS(status)) {
		DebugTrace(TRACE_ERROR, ("[Watch]: context of kind %x: status 0x%08x\n",
					 ContextType, status));
		return status;
	}
	RtlZeroMemory(*Context, Size);
	WatchCount(WatchGlobals.Made, ContextType);
	return STATUS_SUCCESS;
}

/* ----------------------------------------------------------------- cleanup */

static
VOID
WatchContextCleanup(
	_In_ PFLT_CONTEXT Context,
	_In_ FLT_CONTEXT_TYPE ContextType
	)
{
	PWATCH_FILE_CONTEXT fileContext;
	PWATCH_STREAM_CONTEXT streamContext;
	PWATCH_STREAMHANDLE_CONTEXT streamHandleContext;
	PWATCH_TRANSACTION_CONTEXT transactionContext;

	PAGED_CODE();

	switch (ContextType) {
	case FLT_FILE_CONTEXT:
		fileContext = Context;
		DebugTrace(TRACE_CONTEXT, ("[Watch]: the file %wZ goes\n", &fileContext->FileName));
		WatchFreeString(&fileContext->FileName);
		break;
	case FLT_STREAM_CONTEXT:
		streamContext = (PWATCH_STREAM_CONTEXT)Context;
		WatchFreeString(&streamContext->FileName);
		WatchFreeResource(streamContext->Resource);
		break;
	case FLT_STREAMHANDLE_CONTEXT:
		streamHandleContext = (PWATCH_STREAMHANDLE_CONTEXT)Context;
		WatchFreeString(&streamHandleContext->FileName);
		WatchFreeResource(streamHandleContext->Resource);
		break;
	case FLT_TRANSACTION_CONTEXT:
		transactionContext = (PWATCH_TRANSACTION_CONTEXT)Context;
		WatchFreeResource(transactionContext->Resource);
		__fallthrough;
	default:
		break;
	}
	WatchCount(WatchGlobals.Gone, ContextType);
}

/* ----------------------------------------------------- find, or make and set */

static
NTSTATUS
WatchFindOrCreateFileContext(
	_In_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCUNICODE_STRING FileName,
	_Outptr_ PWATCH_FILE_CONTEXT *FileContext
	)
{
	PWATCH_FILE_CONTEXT fileContext;
	PWATCH_FILE_CONTEXT oldContext;
	NTSTATUS status;

	*FileContext = NULL;
	status = FltGetFileContext(Cbd->Iopb->TargetInstance, Cbd->Iopb->TargetFileObject,
				   &fileContext);
	if (status == STATUS_NOT_FOUND) {
		status = FltAllocateContext(WatchGlobals.Filter, FLT_FILE_CONTEXT,
					    sizeof(WATCH_FILE_CONTEXT), PagedPool, &fileContext);
		if (!NT_SUCCESS(status)) {
			return status;
		}
		RtlZeroMemory(fileContext, sizeof(WATCH_FILE_CONTEXT));
		WatchCount(WatchGlobals.Made, FLT_FILE_CONTEXT);
		status = WatchDuplicateString(&fileContext->FileName, FileName);
		if (!NT_SUCCESS(status)) {
			FltReleaseContext(fileContext);
			return status;
		}
		status = FltSetFileContext(Cbd->Iopb->TargetInstance, Cbd->Iopb->TargetFileObject,
					   FLT_SET_CONTEXT_KEEP_IF_EXISTS, fileContext,
					   &oldContext);
		if (!NT_SUCCESS(status)) {
			FltReleaseContext(fileContext);
			if (status != STATUS_FLT_CONTEXT_ALREADY_DEFINED) {
				return status;
			}
			/* Another create was faster: its context is the file's. */
			fileContext = oldContext;
			status = STATUS_SUCCESS;
		}
	}
	*FileContext = fileContext;
	return status;
}

static
NTSTATUS
WatchCreateStreamContext(
	_In_ PCUNICODE_STRING FileName,
	_Outptr_ PWATCH_STREAM_CONTEXT *StreamContext
	)
{
	PWATCH_STREAM_CONTEXT streamContext;
	PFLT_CONTEXT context;
	NTSTATUS status;

	status = WatchAllocateContext(FLT_STREAM_CONTEXT, sizeof(WATCH_STREAM_CONTEXT), &context);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	streamContext = context;
	streamContext->Resource = WatchAllocateResource();
	status = streamContext->Resource ? WatchDuplicateString(&streamContext->FileName, FileName)
					 : STATUS_INSUFFICIENT_RESOURCES;
	if (!NT_SUCCESS(status)) {
		FltReleaseContext(streamContext);
		return status;
	}
	*StreamContext = streamContext;
	return STATUS_SUCCESS;
}

static
NTSTATUS
WatchFindOrCreateStreamContext(
	_In_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCUNICODE_STRING FileName,
	_Outptr_ PWATCH_STREAM_CONTEXT *StreamContext,
	_Out_opt_ PBOOLEAN ContextCreated
	)
{
	PWATCH_STREAM_CONTEXT streamContext;
	PWATCH_STREAM_CONTEXT oldContext;
	NTSTATUS status;

	*StreamContext = NULL;
	if (ContextCreated != NULL) {
		*ContextCreated = FALSE;
	}
	status = FltGetStreamContext(Cbd->Iopb->TargetInstance, Cbd->Iopb->TargetFileObject,
				     &streamContext);
	if (status == STATUS_NOT_FOUND) {
		status = WatchCreateStreamContext(FileName, &streamContext);
		if (!NT_SUCCESS(status)) {
			return status;
		}
		status = FltSetStreamContext(Cbd->Iopb->TargetInstance, Cbd->Iopb->TargetFileObject,
					     FLT_SET_CONTEXT_KEEP_IF_EXISTS, streamContext,
					     &oldContext);
		if (NT_SUCCESS(status)) {
			if (ContextCreated != NULL) {
				*ContextCreated = TRUE;
			}
		} else {
			FltReleaseContext(streamContext);
			if (status != STATUS_FLT_CONTEXT_ALREADY_DEFINED) {
				return status;
			}
			streamContext = oldContext;
			status = STATUS_SUCCESS;
		}
	}
	*StreamContext = streamContext;
	return status;
}

/* Each open replaces the handle's context by a new one. */
static
NTSTATUS
WatchReplaceStreamHandleContext(
	_In_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCUNICODE_STRING FileName
	)
{
	PWATCH_STREAMHANDLE_CONTEXT streamHandleContext;
	PWATCH_STREAMHANDLE_CONTEXT replacedContext;
	NTSTATUS status;

	status = FltAllocateContext(WatchGlobals.Filter, FLT_STREAMHANDLE_CONTEXT,
				    sizeof(WATCH_STREAMHANDLE_CONTEXT), PagedPool,
				    &streamHandleContext);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	RtlZeroMemory(streamHandleContext, sizeof(WATCH_STREAMHANDLE_CONTEXT));
	WatchCount(WatchGlobals.Made, FLT_STREAMHANDLE_CONTEXT);
	streamHandleContext->Resource = WatchAllocateResource();
	status = WatchDuplicateString(&streamHandleContext->FileName, FileName);
	if (NT_SUCCESS(status)) {
		status = FltSetStreamHandleContext(Cbd->Iopb->TargetInstance,
						   Cbd->Iopb->TargetFileObject,
						   FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
						   streamHandleContext, &replacedContext);
		if (NT_SUCCESS(status) && replacedContext != NULL) {
			FltReleaseContext(replacedContext);
		}
	}
	FltReleaseContext(streamHandleContext);
	return status;
}

static
NTSTATUS
WatchFindOrCreateTransactionContext(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_Outptr_ PWATCH_TRANSACTION_CONTEXT *TransactionContext
	)
{
	PWATCH_TRANSACTION_CONTEXT oldContext;
	PFLT_CONTEXT context;
	NTSTATUS status;

	status = FltGetTransactionContext(FltObjects->Instance, FltObjects->Transaction,
					  TransactionContext);
	if (status != STATUS_NOT_FOUND) {
		return status;
	}
	status = WatchAllocateContext(FLT_TRANSACTION_CONTEXT, sizeof(WATCH_TRANSACTION_CONTEXT),
				      &context);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	*TransactionContext = context;
	(*TransactionContext)->Resource = WatchAllocateResource();
	status = FltSetTransactionContext(FltObjects->Instance, FltObjects->Transaction,
					  FLT_SET_CONTEXT_KEEP_IF_EXISTS, *TransactionContext,
					  &oldContext);
	if (status == STATUS_FLT_CONTEXT_ALREADY_DEFINED) {
		FltReleaseContext(*TransactionContext);
		*TransactionContext = oldContext;
		status = STATUS_SUCCESS;
	} else if (!NT_SUCCESS(status)) {
		FltReleaseContext(*TransactionContext);
		*TransactionContext = NULL;
	}
	return status;
}

/* -------------------------------------------------------------- operations */

static
FLT_PREOP_CALLBACK_STATUS
WatchPreCreate(
	_Inout_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_Flt_CompletionContext_Outptr_ PVOID *CompletionContext
	)
{
	UNREFERENCED_PARAMETER(Cbd);
	UNREFERENCED_PARAMETER(FltObjects);

	*CompletionContext = NULL;
	return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

static
FLT_POSTOP_CALLBACK_STATUS
WatchPostCreate(
	_Inout_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_opt_ PVOID CompletionContext,
	_In_ FLT_POST_OPERATION_FLAGS Flags
	)
{
	PCUNICODE_STRING name = &FltObjects->FileObject->FileName;
	PWATCH_TRANSACTION_CONTEXT transactionContext;
	PWATCH_STREAM_CONTEXT streamContext;
	PWATCH_FILE_CONTEXT fileContext;
	BOOLEAN created;
	NTSTATUS status;

	UNREFERENCED_PARAMETER(CompletionContext);

	if (FlagOn(Flags, FLTFL_POST_OPERATION_DRAINING) || !NT_SUCCESS(Cbd->IoStatus.Status)) {
		return FLT_POSTOP_FINISHED_PROCESSING;
	}
	status = WatchFindOrCreateStreamContext(Cbd, name, &streamContext, &created);
	if (!NT_SUCCESS(status)) {
		DebugTrace(TRACE_ERROR, ("[Watch]: %s: no stream context (File = %p, status = 0x%x)\n",
					 __func__, FltObjects->FileObject, status));
		return FLT_POSTOP_FINISHED_PROCESSING;
	}
	WatchAcquireExclusive(streamContext->Resource);
	streamContext->CreateCount++;
	WatchRelease(streamContext->Resource);
	FltReleaseContext(streamContext);

	if (FltSupportsFileContextsEx(FltObjects->FileObject, FltObjects->Instance)) {
		status = WatchFindOrCreateFileContext(Cbd, name, &fileContext);
		if (NT_SUCCESS(status)) {
			FltReleaseContext(fileContext);
		}
	}
	status = WatchReplaceStreamHandleContext(Cbd, name);
	if (NT_SUCCESS(status) && FltObjects->Transaction != NULL) {
		status = WatchFindOrCreateTransactionContext(FltObjects, &transactionContext);
		if (NT_SUCCESS(status)) {
			WatchAcquireExclusive(transactionContext->Resource);
			transactionContext->Opened++;
			WatchRelease(transactionContext->Resource);
			FltReleaseContext(transactionContext);
		}
	}
	return FLT_POSTOP_FINISHED_PROCESSING;
}

static
FLT_PREOP_CALLBACK_STATUS
WatchPreCleanup(
	_Inout_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_Flt_CompletionContext_Outptr_ PVOID *CompletionContext
	)
{
	FLT_RELATED_CONTEXTS contexts;
	PWATCH_STREAM_CONTEXT streamContext;

	UNREFERENCED_PARAMETER(Cbd);
	UNREFERENCED_PARAMETER(CompletionContext);

	FltGetContexts(FltObjects, FLT_STREAM_CONTEXT | FLT_STREAMHANDLE_CONTEXT, &contexts);
	streamContext = contexts.StreamContext;
	if (streamContext != NULL) {
		WatchAcquireExclusive(streamContext->Resource);
		streamContext->CleanupCount++;
		WatchRelease(streamContext->Resource);
	}
	FltReleaseContexts(&contexts);
	return FLT_PREOP_SUCCESS_NO_CALLBACK;
}

static
FLT_PREOP_CALLBACK_STATUS
WatchPreClose(
	_Inout_ PFLT_CALLBACK_DATA Cbd,
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_Flt_CompletionContext_Outptr_ PVOID *CompletionContext
	)
{
	PWATCH_STREAM_CONTEXT streamContext;

	UNREFERENCED_PARAMETER(FltObjects);
	UNREFERENCED_PARAMETER(CompletionContext);

	if (NT_SUCCESS(FltGetStreamContext(Cbd->Iopb->TargetInstance, Cbd->Iopb->TargetFileObject,
					   &streamContext))) {
		WatchAcquireExclusive(streamContext->Resource);
		streamContext->CloseCount++;
		WatchRelease(streamContext->Resource);
		FltReleaseContext(streamContext);
	}
	return FLT_PREOP_SUCCESS_NO_CALLBACK;
}

/* ---------------------------------------------------------------- sections */

NTSTATUS
WatchSectionOpen(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_range_(0, MAXUSHORT) ULONG Size
	)
{
	PWATCH_SECTION_CONTEXT sectionContext;
	NTSTATUS status;

	status = FltAllocateContext(FltObjects->Filter, FLT_SECTION_CONTEXT,
				    sizeof(WATCH_SECTION_CONTEXT), PagedPool, &sectionContext);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	RtlZeroMemory(sectionContext, sizeof(WATCH_SECTION_CONTEXT));
	WatchCount(WatchGlobals.Made, FLT_SECTION_CONTEXT);
	sectionContext->FileSize.QuadPart = Size;
	status = FltSetSectionContext(FltObjects->Instance, FltObjects->FileObject, sectionContext);
	FltReleaseContext(sectionContext);
	return status;
}

NTSTATUS
WatchSectionClose(
	_In_ PCFLT_RELATED_OBJECTS FltObjects
	)
{
	PWATCH_SECTION_CONTEXT sectionContext;
	NTSTATUS status;

	status = FltGetSectionContext(FltObjects->Instance, FltObjects->FileObject,
				      &sectionContext);
	if (NT_SUCCESS(status)) {
		status = FltCloseSectionForDataScan(sectionContext);
		FltReleaseContext(sectionContext);
	}
	return status;
}

/* --------------------------------------------------- instances, unload, entry */

static
NTSTATUS
WatchInstanceSetup(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_ FLT_INSTANCE_SETUP_FLAGS Flags,
	_In_ DEVICE_TYPE VolumeDeviceType,
	_In_ FLT_FILESYSTEM_TYPE VolumeFilesystemType
	)
{
	PWATCH_INSTANCE_CONTEXT instanceContext;
	PWATCH_VOLUME_CONTEXT volumeContext;
	NTSTATUS status;

	UNREFERENCED_PARAMETER(Flags);
	UNREFERENCED_PARAMETER(VolumeFilesystemType);
	PAGED_CODE();

	if (VolumeDeviceType == FILE_DEVICE_NETWORK_FILE_SYSTEM) {
		return STATUS_FLT_DO_NOT_ATTACH;
	}
	status = FltAllocateContext(FltObjects->Filter, FLT_INSTANCE_CONTEXT,
				    sizeof(WATCH_INSTANCE_CONTEXT), PagedPool, &instanceContext);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	WatchCount(WatchGlobals.Made, FLT_INSTANCE_CONTEXT);
	instanceContext->Instance = FltObjects->Instance;
	instanceContext->Volume = FltObjects->Volume;
	status = FltSetInstanceContext(FltObjects->Instance, FLT_SET_CONTEXT_KEEP_IF_EXISTS,
				       instanceContext, NULL);
	FltReleaseContext(instanceContext);
	if (!NT_SUCCESS(status)) {
		return status;
	}

	status = FltAllocateContext(FltObjects->Filter, FLT_VOLUME_CONTEXT,
				    sizeof(WATCH_VOLUME_CONTEXT), NonPagedPool, &volumeContext);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	WatchCount(WatchGlobals.Made, FLT_VOLUME_CONTEXT);
	volumeContext->Volume = FltObjects->Volume;
	volumeContext->SectorSize = 512;
	status = FltSetVolumeContext(FltObjects->Volume, FLT_SET_CONTEXT_KEEP_IF_EXISTS,
				     volumeContext, NULL);
	FltReleaseContext(volumeContext);
	return status == STATUS_FLT_CONTEXT_ALREADY_DEFINED ? STATUS_SUCCESS : status;
}

static
NTSTATUS
WatchInstanceQueryTeardown(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_ FLT_INSTANCE_QUERY_TEARDOWN_FLAGS Flags
	)
{
	UNREFERENCED_PARAMETER(FltObjects);
	UNREFERENCED_PARAMETER(Flags);
	return STATUS_SUCCESS;
}

static
VOID
WatchInstanceTeardownComplete(
	_In_ PCFLT_RELATED_OBJECTS FltObjects,
	_In_ FLT_INSTANCE_TEARDOWN_FLAGS Flags
	)
{
	PWATCH_INSTANCE_CONTEXT instanceContext;

	UNREFERENCED_PARAMETER(Flags);

	if (NT_SUCCESS(FltGetInstanceContext(FltObjects->Instance, &instanceContext))) {
		DebugTrace(TRACE_CONTEXT, ("[Watch]: instance %p leaves\n",
					   instanceContext->Instance));
		FltReleaseContext(instanceContext);
	}
}

static
NTSTATUS
WatchUnload(
	_In_ FLT_FILTER_UNLOAD_FLAGS Flags
	)
{
	UNREFERENCED_PARAMETER(Flags);
	PAGED_CODE();

	FltUnregisterFilter(WatchGlobals.Filter);
	WatchGlobals.Filter = NULL;
	return STATUS_SUCCESS;
}

static const FLT_OPERATION_REGISTRATION Callbacks[] = {

	{ IRP_MJ_CREATE,
	  FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO,
	  WatchPreCreate,
	  WatchPostCreate },

	{ IRP_MJ_CLEANUP,
	  0,
	  WatchPreCleanup,
	  NULL },

	{ IRP_MJ_CLOSE,
	  0,
	  WatchPreClose,
	  NULL },

	{ IRP_MJ_OPERATION_END }
};

static const FLT_CONTEXT_REGISTRATION ContextRegistration[] = {

	{ FLT_VOLUME_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_VOLUME_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_INSTANCE_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_INSTANCE_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_FILE_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_FILE_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_STREAM_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_STREAM_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_STREAMHANDLE_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_STREAMHANDLE_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_TRANSACTION_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_TRANSACTION_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_SECTION_CONTEXT,
	  0,
	  WatchContextCleanup,
	  sizeof(WATCH_SECTION_CONTEXT),
	  WATCH_CONTEXT_TAG },

	{ FLT_CONTEXT_END }
};

static const FLT_REGISTRATION FilterRegistration = {
	sizeof(FLT_REGISTRATION),	/* Size */
	FLT_REGISTRATION_VERSION,	/* Version */
	0,				/* Flags */
	ContextRegistration,		/* Contexts */
	Callbacks,			/* Operations */
	WatchUnload,			/* FilterUnload */
	WatchInstanceSetup,		/* InstanceSetup */
	WatchInstanceQueryTeardown,	/* InstanceQueryTeardown */
	NULL,				/* InstanceTeardownStart */
	WatchInstanceTeardownComplete,	/* InstanceTeardownComplete */
	NULL,				/* GenerateFileName */
	NULL,				/* NormalizeNameComponent */
	NULL				/* NormalizeContextCleanup */
};

NTSTATUS
DriverEntry(
	_In_ PDRIVER_OBJECT DriverObject,
	_In_ PUNICODE_STRING RegistryPath
	)
{
	NTSTATUS status;

	UNREFERENCED_PARAMETER(RegistryPath);

	RtlZeroMemory(&WatchGlobals, sizeof(WatchGlobals));
	ExInitializeResourceLite(&WatchGlobals.Lock);
	status = FltRegisterFilter(DriverObject, &FilterRegistration, &WatchGlobals.Filter);
	if (!NT_SUCCESS(status)) {
		return status;
	}
	status = FltStartFiltering(WatchGlobals.Filter);
	if (!NT_SUCCESS(status)) {
		FltUnregisterFilter(WatchGlobals.Filter);
	}
	return status;
}
