/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A legacy filter's context code, as one would write it for Windows: nothing
 * here but the include knows another system.  It keeps a context on each
 * stream, with the file's name after the structure, and one on each file.
 */
#include <streamctx/fsrtl.h>

#include "spy_filter.h"

#define SPY_TAG ((ULONG)'YPS ')

typedef struct _SPY_STREAM_CONTEXT {
	FSRTL_PER_STREAM_CONTEXT ContextCtrl;
	FAST_MUTEX Lock;
	ULONGLONG Bytes;
	UNICODE_STRING FileName; /* the characters follow this structure */
} SPY_STREAM_CONTEXT, *PSPY_STREAM_CONTEXT;

typedef struct _SPY_FILE_CONTEXT {
	FSRTL_PER_FILE_CONTEXT ContextCtrl;
	ULONG Creates;
} SPY_FILE_CONTEXT, *PSPY_FILE_CONTEXT;

/* The address of anything in the driver serves as its owner id. */
static FAST_MUTEX SpyLock = { PTHREAD_MUTEX_INITIALIZER };
static LONG SpyContexts;

static VOID SpyCount(LONG Delta)
{
	ExAcquireFastMutex(&SpyLock);
	SpyContexts += Delta;
	ExReleaseFastMutex(&SpyLock);
}

LONG SpyOutstanding(VOID)
{
	LONG contexts;

	ExAcquireFastMutex(&SpyLock);
	contexts = SpyContexts;
	ExReleaseFastMutex(&SpyLock);
	return contexts;
}

static VOID SpyDeleteStreamContext(_In_ PVOID Buffer)
{
	PSPY_STREAM_CONTEXT context = CONTAINING_RECORD(Buffer, SPY_STREAM_CONTEXT, ContextCtrl);

	PAGED_CODE();
	if (context->FileName.Buffer != (PWCHAR)(context + 1))
		DbgPrint("spy: a context was spoilt\n");
	SpyCount(-1);
	ExFreePoolWithTag(context, SPY_TAG);
}

static VOID SpyDeleteFileContext(_In_ PVOID Buffer)
{
	SpyCount(-1);
	ExFreePoolWithTag(CONTAINING_RECORD(Buffer, SPY_FILE_CONTEXT, ContextCtrl), SPY_TAG);
}

static PSPY_STREAM_CONTEXT SpyFindStreamContext(PFILE_OBJECT FileObject)
{
	PFSRTL_PER_STREAM_CONTEXT ctrl;

	ctrl = FsRtlLookupPerStreamContext(FsRtlGetPerStreamContextPointer(FileObject), &SpyLock,
					   NULL);
	return ctrl ? CONTAINING_RECORD(ctrl, SPY_STREAM_CONTEXT, ContextCtrl) : NULL;
}

static NTSTATUS SpyAllocateStreamContext(PFILE_OBJECT FileObject, PSPY_STREAM_CONTEXT *Context)
{
	SIZE_T size = sizeof(SPY_STREAM_CONTEXT) + FileObject->FileName.Length;
	PSPY_STREAM_CONTEXT context = ExAllocatePoolWithTag(PagedPool, size, SPY_TAG);

	*Context = context;
	if (!context)
		return STATUS_INSUFFICIENT_RESOURCES;
	RtlZeroMemory(context, sizeof(*context));
	ExInitializeFastMutex(&context->Lock);
	RtlInitEmptyUnicodeString(&context->FileName, (PWCHAR)(context + 1),
				  FileObject->FileName.Length);
	RtlCopyUnicodeString(&context->FileName, &FileObject->FileName);
	FsRtlInitPerStreamContext(&context->ContextCtrl, &SpyLock, NULL, SpyDeleteStreamContext);
	SpyCount(1);
	return STATUS_SUCCESS;
}

/*
 * Allocate outside the lock, look again under it, throw the duplicate away:
 * the way a filter makes lookup and insert one.
 */
static NTSTATUS SpyCreateStreamContext(PFILE_OBJECT FileObject)
{
	PFSRTL_ADVANCED_FCB_HEADER header = FsRtlGetPerStreamContextPointer(FileObject);
	PSPY_STREAM_CONTEXT context;
	NTSTATUS status = SpyAllocateStreamContext(FileObject, &context);

	if (!NT_SUCCESS(status))
		return status;
	ExAcquireFastMutex(header->FastMutex);
	if (SpyFindStreamContext(FileObject))
		status = STATUS_FLT_CONTEXT_ALREADY_DEFINED;
	else
		status = FsRtlInsertPerStreamContext(header, &context->ContextCtrl);
	ExReleaseFastMutex(header->FastMutex);
	if (status == STATUS_SUCCESS)
		return status;
	SpyDeleteStreamContext(context);
	return status == STATUS_FLT_CONTEXT_ALREADY_DEFINED ? STATUS_SUCCESS : status;
}

static NTSTATUS SpyCountCreate(PFILE_OBJECT FileObject)
{
	PVOID *pointer = FsRtlGetPerFileContextPointer(FileObject);
	PFSRTL_PER_FILE_CONTEXT ctrl = FsRtlLookupPerFileContext(pointer, &SpyLock, NULL);
	PSPY_FILE_CONTEXT context;
	NTSTATUS status;

	if (ctrl) {
		ExAcquireFastMutex(&SpyLock);
		CONTAINING_RECORD(ctrl, SPY_FILE_CONTEXT, ContextCtrl)->Creates++;
		ExReleaseFastMutex(&SpyLock);
		return STATUS_SUCCESS;
	}
	context = ExAllocatePoolWithTag(PagedPool, sizeof(*context), SPY_TAG);
	if (!context)
		return STATUS_INSUFFICIENT_RESOURCES;
	context->Creates = 1;
	FsRtlInitPerFileContext(&context->ContextCtrl, &SpyLock, NULL, SpyDeleteFileContext);
	SpyCount(1);
	status = FsRtlInsertPerFileContext(pointer, &context->ContextCtrl);
	if (!NT_SUCCESS(status))
		SpyDeleteFileContext(context);
	return status;
}

NTSTATUS SpyCreate(PFILE_OBJECT FileObject)
{
	NTSTATUS status = STATUS_SUCCESS;

	if (!FsRtlSupportsPerStreamContexts(FileObject))
		return STATUS_SUCCESS; /* a paging file: not watched */
	if (!SpyFindStreamContext(FileObject))
		status = SpyCreateStreamContext(FileObject);
	if (NT_SUCCESS(status) && FsRtlSupportsPerFileContexts(FileObject))
		status = SpyCountCreate(FileObject);
	return status;
}

VOID SpyWrite(PFILE_OBJECT FileObject, ULONG Length)
{
	PSPY_STREAM_CONTEXT context = SpyFindStreamContext(FileObject);

	if (!context)
		return;
	ExAcquireFastMutex(&context->Lock);
	context->Bytes += Length;
	ExReleaseFastMutex(&context->Lock);
}

ULONGLONG SpyBytes(PFILE_OBJECT FileObject)
{
	PSPY_STREAM_CONTEXT context = SpyFindStreamContext(FileObject);

	return context ? context->Bytes : 0;
}

NTSTATUS SpySetHandle(PFILE_OBJECT FileObject, PFSRTL_PER_FILEOBJECT_CONTEXT Context)
{
	FsRtlInitPerFileObjectContext(Context, &SpyLock, NULL);
	return FsRtlInsertPerFileObjectContext(FileObject, Context);
}

/* The driver unloads: it takes its context off, and frees it itself. */
VOID SpyForget(PFILE_OBJECT FileObject)
{
	PFSRTL_PER_STREAM_CONTEXT ctrl;

	ctrl = FsRtlRemovePerStreamContext(FsRtlGetPerStreamContextPointer(FileObject), &SpyLock,
					   NULL);
	if (ctrl)
		SpyDeleteStreamContext(ctrl);
}
