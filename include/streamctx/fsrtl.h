/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Per-stream, per-file and per-file-object contexts under their WDK names, and
 * the minifilter manager's (<streamctx/flt.h>): for context code written for
 * Windows.  Header only.  Routines mean what they mean on Windows.  Its documentation
 * leaves some points open, and there streamctx.h's rules hold:
 *
 *   newest first; (NULL, instance) finds nothing; a torn-down stream refuses
 *   with STATUS_INVALID_DEVICE_REQUEST.
 *
 * Lookups take no reference, as on Windows.  A context that was found stays good as
 * long as the filter's own rules say: the file is open, and the filter does not
 * remove the context.  Inside a read section it stays good until sctx_read_unlock().  Teardown
 * calls back on the thread that calls it, before it returns, and waits for no other stream's
 * callbacks.  Inside a callback or read section it cannot wait: then its
 * callbacks run after it.
 */
#ifndef STREAMCTX_FSRTL_H
#define STREAMCTX_FSRTL_H

#include <streamctx/wdk.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef VOID (*PFREE_FUNCTION)(PVOID Buffer);

/* The context's own fields, under their WDK names. */
#define SCTX__WDK_CONTEXT                       \
	union {                                 \
		struct sctx_context Context;    \
		struct {                        \
			const void *OwnerId;    \
			const void *InstanceId; \
		};                              \
	}

/* ------------------------------------------------------- files and headers */

#define FSRTL_FLAG_ADVANCED_HEADER           0x40
#define FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS 0x02

/* The header that a file system puts before its stream's control block. */
typedef struct _FSRTL_ADVANCED_FCB_HEADER {
	CSHORT NodeTypeCode;
	CSHORT NodeByteSize;
	UCHAR Flags;
	UCHAR IsFastIoPossible;
	UCHAR Flags2; /* may be rewritten by the file system */
	UCHAR Reserved;
	LARGE_INTEGER AllocationSize;
	LARGE_INTEGER FileSize;
	LARGE_INTEGER ValidDataLength;
	PFAST_MUTEX FastMutex;
	struct sctx_stream FilterContexts;
	PVOID *FileContextSupportPointer; /* the file's, or NULL */
} FSRTL_ADVANCED_FCB_HEADER, *PFSRTL_ADVANCED_FCB_HEADER;

/* The members of an open file that context code uses. */
typedef struct _FILE_OBJECT {
	PVOID FsContext; /* a FSRTL_ADVANCED_FCB_HEADER */
	PVOID FsContext2;
	UNICODE_STRING FileName;
	PVOID FileObjectContexts; /* its own, made when needed */
} FILE_OBJECT, *PFILE_OBJECT;

#define FsRtlGetPerStreamContextPointer(FileObject) \
	((PFSRTL_ADVANCED_FCB_HEADER)(FileObject)->FsContext)

static inline VOID FsRtlSetupAdvancedHeaderEx(PFSRTL_ADVANCED_FCB_HEADER header, PFAST_MUTEX mutex,
					      PVOID *file_contexts)
{
	header->Flags |= FSRTL_FLAG_ADVANCED_HEADER;
	header->Flags2 |= FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS;
	header->FastMutex = mutex;
	header->FileContextSupportPointer = file_contexts;
	sctx_stream_init(&header->FilterContexts);
}

static inline VOID FsRtlSetupAdvancedHeader(PFSRTL_ADVANCED_FCB_HEADER header, PFAST_MUTEX mutex)
{
	FsRtlSetupAdvancedHeaderEx(header, mutex, NULL);
}

/* NULL if contexts are not supported: there is no header, or it is a paging file's. */
static inline struct sctx_stream *sctx_nt_stream(PFSRTL_ADVANCED_FCB_HEADER header)
{
	if (!header || !FlagOn(header->Flags, FSRTL_FLAG_ADVANCED_HEADER) ||
	    !FlagOn(header->Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS))
		return NULL;
	return &header->FilterContexts;
}

#define FsRtlSupportsPerStreamContexts(FileObject) \
	((BOOLEAN)(sctx_nt_stream(FsRtlGetPerStreamContextPointer(FileObject)) != NULL))

/* The filter's own rules keep the context after the section. */
static inline struct sctx_context *sctx_nt_lookup(const struct sctx_stream *stream,
						  const void *owner, const void *instance)
{
	struct sctx_context *found;

	sctx_read_lock();
	found = sctx_lookup(stream, owner, instance);
	sctx_read_unlock();
	return found;
}

static inline NTSTATUS sctx_nt_inserted(int error)
{
	/* Windows has one status for both. */
	if (error == -EOPNOTSUPP || error == -ESHUTDOWN)
		return STATUS_INVALID_DEVICE_REQUEST;
	return sctx_nt_status(error);
}

/* Waits for the callbacks, except inside a callback or a read section. */
static inline VOID sctx_nt_teardown(struct sctx_stream *stream)
{
	if (sctx_teardown_sync(stream))
		sctx_teardown(stream);
}

/* -------------------------------------------------------------- per stream */

typedef struct _FSRTL_PER_STREAM_CONTEXT {
	SCTX__WDK_CONTEXT;
	PFREE_FUNCTION FreeCallback;
} FSRTL_PER_STREAM_CONTEXT, *PFSRTL_PER_STREAM_CONTEXT;

static inline void sctx_nt_free_stream_context(struct sctx_context *ctx)
{
	((PFSRTL_PER_STREAM_CONTEXT)(void *)ctx)->FreeCallback(ctx);
}

static inline VOID FsRtlInitPerStreamContext(PFSRTL_PER_STREAM_CONTEXT context, const void *owner,
					     const void *instance, PFREE_FUNCTION free_callback)
{
	sctx_context_init(&context->Context, owner, instance, sctx_nt_free_stream_context);
	context->FreeCallback = free_callback;
}

static inline NTSTATUS FsRtlInsertPerStreamContext(PFSRTL_ADVANCED_FCB_HEADER header,
						   PFSRTL_PER_STREAM_CONTEXT context)
{
	struct sctx_stream *stream = sctx_nt_stream(header);

	if (!stream)
		return STATUS_INVALID_DEVICE_REQUEST;
	if (!context->FreeCallback)
		return STATUS_INVALID_PARAMETER;
	return sctx_nt_inserted(sctx_insert(stream, &context->Context));
}

static inline PFSRTL_PER_STREAM_CONTEXT
FsRtlLookupPerStreamContext(PFSRTL_ADVANCED_FCB_HEADER header, const void *owner,
			    const void *instance)
{
	struct sctx_stream *stream = sctx_nt_stream(header);

	return (PFSRTL_PER_STREAM_CONTEXT)(void *)sctx_nt_lookup(stream, owner, instance);
}

static inline PFSRTL_PER_STREAM_CONTEXT
FsRtlRemovePerStreamContext(PFSRTL_ADVANCED_FCB_HEADER header, const void *owner,
			    const void *instance)
{
	struct sctx_stream *stream = sctx_nt_stream(header);

	return (PFSRTL_PER_STREAM_CONTEXT)(void *)sctx_remove(stream, owner, instance);
}

/* Contexts go even if the file system has cleared the flag since they were inserted. */
static inline VOID FsRtlTeardownPerStreamContexts(PFSRTL_ADVANCED_FCB_HEADER header)
{
	if (FlagOn(header->Flags, FSRTL_FLAG_ADVANCED_HEADER))
		sctx_nt_teardown(&header->FilterContexts);
}

/* ---------------------------------------------------------------- per file */

typedef struct _FSRTL_PER_FILE_CONTEXT {
	SCTX__WDK_CONTEXT;
	PFREE_FUNCTION FreeCallback;
} FSRTL_PER_FILE_CONTEXT, *PFSRTL_PER_FILE_CONTEXT;

#define FsRtlGetPerFileContextPointer(FileObject) \
	(FsRtlGetPerStreamContextPointer(FileObject)->FileContextSupportPointer)
#define FsRtlSupportsPerFileContexts(FileObject)                          \
	((BOOLEAN)(FsRtlGetPerStreamContextPointer(FileObject) != NULL && \
		   FsRtlGetPerFileContextPointer(FileObject) != NULL))

static inline void sctx_nt_free_file_context(struct sctx_context *ctx)
{
	((PFSRTL_PER_FILE_CONTEXT)(void *)ctx)->FreeCallback(ctx);
}

static inline VOID FsRtlInitPerFileContext(PFSRTL_PER_FILE_CONTEXT context, const void *owner,
					   const void *instance, PFREE_FUNCTION free_callback)
{
	sctx_context_init(&context->Context, owner, instance, sctx_nt_free_file_context);
	context->FreeCallback = free_callback;
}

static inline NTSTATUS FsRtlInsertPerFileContext(PVOID *pointer, PFSRTL_PER_FILE_CONTEXT context)
{
	struct sctx_stream *stream;
	int error;

	if (!pointer)
		return STATUS_INVALID_DEVICE_REQUEST;
	if (!context->FreeCallback)
		return STATUS_INVALID_PARAMETER;
	error = sctx_stream_create((struct sctx_stream **)pointer, &stream);
	return error ? sctx_nt_status(error)
		     : sctx_nt_inserted(sctx_insert(stream, &context->Context));
}

static inline PFSRTL_PER_FILE_CONTEXT FsRtlLookupPerFileContext(PVOID *pointer, const void *owner,
								const void *instance)
{
	struct sctx_stream *stream = sctx_stream_load((struct sctx_stream **)pointer);

	return (PFSRTL_PER_FILE_CONTEXT)(void *)sctx_nt_lookup(stream, owner, instance);
}

static inline PFSRTL_PER_FILE_CONTEXT FsRtlRemovePerFileContext(PVOID *pointer, const void *owner,
								const void *instance)
{
	struct sctx_stream *stream = sctx_stream_load((struct sctx_stream **)pointer);

	return (PFSRTL_PER_FILE_CONTEXT)(void *)sctx_remove(stream, owner, instance);
}

static inline VOID FsRtlTeardownPerFileContexts(PVOID *pointer)
{
	struct sctx_stream *stream = sctx_stream_load((struct sctx_stream **)pointer);

	if (!stream)
		return;
	sctx_nt_teardown(stream);
	sctx_stream_drop((struct sctx_stream **)pointer);
}

/* --------------------------------------------------------- per file object */

/* No FreeCallback: its owner removes it before the handle is closed. */
typedef struct _FSRTL_PER_FILEOBJECT_CONTEXT {
	SCTX__WDK_CONTEXT;
} FSRTL_PER_FILEOBJECT_CONTEXT, *PFSRTL_PER_FILEOBJECT_CONTEXT;

#define FsRtlInitPerFileObjectContext(context, owner, instance) \
	((VOID)sctx_context_init(&(context)->Context, (owner), (instance), SCTX_NO_FREE))

static inline struct sctx_stream **sctx_nt_handle(PFILE_OBJECT file)
{
	return file ? (struct sctx_stream **)(void *)&file->FileObjectContexts : NULL;
}

static inline NTSTATUS FsRtlInsertPerFileObjectContext(PFILE_OBJECT file,
						       PFSRTL_PER_FILEOBJECT_CONTEXT context)
{
	struct sctx_stream *stream;
	int error;

	if (!file)
		return STATUS_INVALID_PARAMETER;
	error = sctx_stream_create(sctx_nt_handle(file), &stream);
	return error ? sctx_nt_status(error)
		     : sctx_nt_inserted(sctx_insert(stream, &context->Context));
}

static inline PFSRTL_PER_FILEOBJECT_CONTEXT
FsRtlLookupPerFileObjectContext(PFILE_OBJECT file, const void *owner, const void *instance)
{
	struct sctx_stream *stream = sctx_stream_load(sctx_nt_handle(file));

	return (PFSRTL_PER_FILEOBJECT_CONTEXT)(void *)sctx_nt_lookup(stream, owner, instance);
}

static inline PFSRTL_PER_FILEOBJECT_CONTEXT
FsRtlRemovePerFileObjectContext(PFILE_OBJECT file, const void *owner, const void *instance)
{
	struct sctx_stream *stream = sctx_stream_load(sctx_nt_handle(file));

	return (PFSRTL_PER_FILEOBJECT_CONTEXT)(void *)sctx_remove(stream, owner, instance);
}

static inline void sctx_nt_left(struct sctx_context *ctx, void *file)
{
	DbgPrint("streamctx: file object %p closed with a context of owner %p left on it\n", file,
		 ctx->owner);
}

/*
 * The file system calls this at the close of a handle.  It reports each context
 * that its owner left there; Windows leaks them.  Returns their number.
 */
static inline ULONG FsRtlTeardownPerFileObjectContexts(PFILE_OBJECT file)
{
	struct sctx_stream *stream = sctx_stream_load(sctx_nt_handle(file));
	ULONG left;

	if (!stream)
		return 0;
	left = (ULONG)sctx_teardown_report(stream, sctx_nt_left, file);
	sctx_stream_drop(sctx_nt_handle(file));
	return left;
}

#ifdef __cplusplus
}
#endif

#include <streamctx/flt.h>

#endif /* STREAMCTX_FSRTL_H */
