/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Set, get and delete, for each kind of context, and the objects they hang on.
 * Included by <streamctx/flt.h>.
 *
 * A context's key on an object is its filter's owner for the kind and, where
 * instances of a filter share the object, the instance.
 */
#ifndef STREAMCTX_FLT_CONTEXT_H
#define STREAMCTX_FLT_CONTEXT_H

#include <streamctx/flt.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------ any object */

/*
 * SetLock held.  Make @ctx hang on @stream.  The link's reference is a new
 * one.  @stream is tracked first, so that unregistering the filter finds it;
 * most often it is tracked already.
 */
static inline int sctx_flt_link(PFLT_FILTER filter, struct sctx_stream *stream,
				const void *instance, FLT_SET_CONTEXT_OPERATION operation,
				struct sctx_context *ctx, struct sctx_context **other)
{
	struct sctx_stream *there = *(struct sctx_stream *volatile *)&ctx->stream;
	int error;

	if (there && there != SCTX__IN_LIMBO)
		return -EBUSY;
	error = sctx_stream_track(filter->Registry, stream);
	if (error && error != -EALREADY && error != -EPERM)
		return error;
	ctx->instance = instance;
	sctx_ref(ctx);
	if (operation == FLT_SET_CONTEXT_KEEP_IF_EXISTS)
		error = sctx_insert_unique(stream, ctx, other);
	else
		error = sctx_replace(stream, ctx, other);
	if (error)
		sctx_put(ctx);
	return error;
}

static inline bool sctx_flt_is(PFLT_FILTER filter, enum sctx_flt_kind kind, PFLT_CONTEXT context)
{
	return context && filter->Owner[kind] &&
	       sctx_flt_context(context)->owner == filter->Owner[kind];
}

/*
 * @stream is the object's; NULL if it does not support contexts of this kind.
 * *@old is the context that was there: KEEP takes a reference on it, REPLACE hands
 * the link's reference over.
 */
static inline NTSTATUS sctx_flt_set(PFLT_FILTER filter, enum sctx_flt_kind kind,
				    struct sctx_stream *stream, const void *instance,
				    FLT_SET_CONTEXT_OPERATION operation, PFLT_CONTEXT context,
				    PFLT_CONTEXT_OUT old)
{
	struct sctx_context *ctx = sctx_flt_context(context), *other = NULL;
	int error;

	sctx_flt_give(old, NULL);
	if (!sctx_flt_is(filter, kind, context) || (operation != FLT_SET_CONTEXT_KEEP_IF_EXISTS &&
						    operation != FLT_SET_CONTEXT_REPLACE_IF_EXISTS))
		return STATUS_INVALID_PARAMETER;
	if (!stream)
		return STATUS_NOT_SUPPORTED;
	ExAcquireFastMutex(&sctx_flt_header(ctx)->SetLock);
	error = sctx_flt_link(filter, stream, instance, operation, ctx, old ? &other : NULL);
	if (!error)
		sctx_flt_header(ctx)->WasSet = TRUE;
	ExReleaseFastMutex(&sctx_flt_header(ctx)->SetLock);
	sctx_flt_give(old, other);
	return sctx_nt_status(error);
}

/* As sctx_flt_set(), on an object whose stream is made when first needed. */
static inline NTSTATUS sctx_flt_set_lazily(PFLT_INSTANCE instance, enum sctx_flt_kind kind,
					   struct sctx_stream **slot,
					   FLT_SET_CONTEXT_OPERATION operation,
					   PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	struct sctx_stream *stream = NULL;
	int error = 0;

	if (slot && sctx_flt_is(instance->Filter, kind, context))
		error = sctx_stream_create(slot, &stream);
	if (!error)
		return sctx_flt_set(instance->Filter, kind, stream, instance, operation, context,
				    old);
	sctx_flt_give(old, NULL);
	return sctx_nt_status(error);
}

/* @stream may be NULL: nothing hangs there yet. */
static inline NTSTATUS sctx_flt_get(PFLT_FILTER filter, enum sctx_flt_kind kind,
				    const struct sctx_stream *stream, const void *instance,
				    PFLT_CONTEXT_OUT context)
{
	struct sctx_context *ctx = NULL;

	if (filter->Owner[kind])
		ctx = sctx_get(stream, filter->Owner[kind], instance);
	sctx_flt_give(context, ctx);
	return ctx ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* Unlink; the link's reference is dropped or handed to the caller. */
static inline NTSTATUS sctx_flt_delete(PFLT_FILTER filter, enum sctx_flt_kind kind,
				       struct sctx_stream *stream, const void *instance,
				       PFLT_CONTEXT_OUT old)
{
	struct sctx_context *ctx = NULL;

	if (filter->Owner[kind])
		ctx = sctx_remove(stream, filter->Owner[kind], instance);
	sctx_flt_give(old, ctx);
	if (ctx && !old)
		sctx_put(ctx);
	return ctx ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* Write NULL, and say why. */
static inline NTSTATUS sctx_flt_none(PFLT_CONTEXT_OUT out, NTSTATUS status)
{
	sctx_flt_give(out, NULL);
	return status;
}

static inline bool sctx_flt_is_leaving(PFLT_INSTANCE instance)
{
	return !sctx_stream_supports_contexts(&instance->Contexts);
}

/* ------------------------------------------------------------- open files */

/*
 * The streams that the contexts of an open file, and of its handle, hang on.  NULL if
 * the file system does not support them.
 */
static inline struct sctx_stream *sctx_flt_stream(PFILE_OBJECT file)
{
	return file ? sctx_nt_stream(FsRtlGetPerStreamContextPointer(file)) : NULL;
}

static inline struct sctx_stream **sctx_flt_file(PFILE_OBJECT file)
{
	return sctx_flt_stream(file)
		       ? (struct sctx_stream **)(void *)FsRtlGetPerFileContextPointer(file)
		       : NULL;
}

static inline struct sctx_stream **sctx_flt_handle(PFILE_OBJECT file)
{
	return sctx_flt_stream(file) ? sctx_nt_handle(file) : NULL;
}

static inline BOOLEAN FltSupportsStreamContexts(PFILE_OBJECT file)
{
	return sctx_flt_stream(file) != NULL;
}

static inline BOOLEAN FltSupportsFileContexts(PFILE_OBJECT file)
{
	return sctx_flt_file(file) != NULL;
}

static inline BOOLEAN FltSupportsFileContextsEx(PFILE_OBJECT file, PFLT_INSTANCE instance)
{
	UNREFERENCED_PARAMETER(instance);
	return FltSupportsFileContexts(file);
}

static inline BOOLEAN FltSupportsStreamHandleContexts(PFILE_OBJECT file)
{
	return sctx_flt_handle(file) != NULL;
}

static inline NTSTATUS FltSetStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					   FLT_SET_CONTEXT_OPERATION operation,
					   PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	return sctx_flt_set(instance->Filter, SCTX_FLT_STREAM, sctx_flt_stream(file), instance,
			    operation, context, old);
}

static inline NTSTATUS FltGetStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					   PFLT_CONTEXT_OUT context)
{
	if (!FltSupportsStreamContexts(file))
		return sctx_flt_none(context, STATUS_NOT_SUPPORTED);
	return sctx_flt_get(instance->Filter, SCTX_FLT_STREAM, sctx_flt_stream(file), instance,
			    context);
}

static inline NTSTATUS FltDeleteStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					      PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	if (!FltSupportsStreamContexts(file))
		return sctx_flt_none(old, STATUS_NOT_SUPPORTED);
	return sctx_flt_delete(instance->Filter, SCTX_FLT_STREAM, sctx_flt_stream(file), instance,
			       old);
}

static inline NTSTATUS FltSetStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						 FLT_SET_CONTEXT_OPERATION operation,
						 PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	return sctx_flt_set_lazily(instance, SCTX_FLT_STREAMHANDLE, sctx_flt_handle(file),
				   operation, context, old);
}

static inline NTSTATUS FltGetStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						 PFLT_CONTEXT_OUT context)
{
	if (!FltSupportsStreamHandleContexts(file))
		return sctx_flt_none(context, STATUS_NOT_SUPPORTED);
	return sctx_flt_get(instance->Filter, SCTX_FLT_STREAMHANDLE,
			    sctx_stream_load(sctx_flt_handle(file)), instance, context);
}

static inline NTSTATUS FltDeleteStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						    PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	if (!FltSupportsStreamHandleContexts(file))
		return sctx_flt_none(old, STATUS_NOT_SUPPORTED);
	return sctx_flt_delete(instance->Filter, SCTX_FLT_STREAMHANDLE,
			       sctx_stream_load(sctx_flt_handle(file)), instance, old);
}

static inline NTSTATUS FltSetFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					 FLT_SET_CONTEXT_OPERATION operation, PFLT_CONTEXT context,
					 PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	return sctx_flt_set_lazily(instance, SCTX_FLT_FILE, sctx_flt_file(file), operation, context,
				   old);
}

static inline NTSTATUS FltGetFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					 PFLT_CONTEXT_OUT context)
{
	if (!FltSupportsFileContexts(file))
		return sctx_flt_none(context, STATUS_NOT_SUPPORTED);
	return sctx_flt_get(instance->Filter, SCTX_FLT_FILE, sctx_stream_load(sctx_flt_file(file)),
			    instance, context);
}

static inline NTSTATUS FltDeleteFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					    PFLT_CONTEXT_OUT old)
{
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	if (!FltSupportsFileContexts(file))
		return sctx_flt_none(old, STATUS_NOT_SUPPORTED);
	return sctx_flt_delete(instance->Filter, SCTX_FLT_FILE,
			       sctx_stream_load(sctx_flt_file(file)), instance, old);
}

/* --------------------------------------------------------------- sections */

/*
 * The context's half of FltCreateSectionForDataScan(): one of an instance's
 * for each stream.  The host maps the file by itself.
 */
static inline NTSTATUS FltSetSectionContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					    PFLT_CONTEXT context)
{
	if (sctx_flt_is_leaving(instance))
		return STATUS_FLT_DELETING_OBJECT;
	return sctx_flt_set(instance->Filter, SCTX_FLT_SECTION, sctx_flt_stream(file), instance,
			    FLT_SET_CONTEXT_KEEP_IF_EXISTS, context, NULL);
}

static inline NTSTATUS FltGetSectionContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					    PFLT_CONTEXT_OUT context)
{
	if (!FltSupportsStreamContexts(file))
		return sctx_flt_none(context, STATUS_NOT_SUPPORTED);
	return sctx_flt_get(instance->Filter, SCTX_FLT_SECTION, sctx_flt_stream(file), instance,
			    context);
}

/* STATUS_INVALID_PARAMETER: it was never set; STATUS_NOT_FOUND: closed already. */
static inline NTSTATUS FltCloseSectionForDataScan(PFLT_CONTEXT context)
{
	struct sctx_context *ctx = sctx_flt_context(context);
	BOOLEAN was_set;

	if (!ctx || sctx_flt_header(ctx)->Registration->ContextType != FLT_SECTION_CONTEXT)
		return STATUS_INVALID_PARAMETER;
	ExAcquireFastMutex(&sctx_flt_header(ctx)->SetLock);
	was_set = sctx_flt_header(ctx)->WasSet;
	ExReleaseFastMutex(&sctx_flt_header(ctx)->SetLock);
	return was_set ? sctx_nt_status(sctx_detach(ctx)) : STATUS_INVALID_PARAMETER;
}

/* ------------------------------------- volumes, instances and transactions */

/* The volume names no filter: the context does. */
static inline NTSTATUS FltSetVolumeContext(PFLT_VOLUME volume, FLT_SET_CONTEXT_OPERATION operation,
					   PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	struct sctx_context *ctx = sctx_flt_context(context);
	const struct sctx_owner *owner;

	if (!ctx)
		return sctx_flt_none(old, STATUS_INVALID_PARAMETER);
	owner = (const struct sctx_owner *)ctx->owner;
	return sctx_flt_set((PFLT_FILTER)sctx_owner_arg(owner), SCTX_FLT_VOLUME, &volume->Contexts,
			    NULL, operation, context, old);
}

static inline NTSTATUS FltGetVolumeContext(PFLT_FILTER filter, PFLT_VOLUME volume,
					   PFLT_CONTEXT_OUT context)
{
	return sctx_flt_get(filter, SCTX_FLT_VOLUME, &volume->Contexts, NULL, context);
}

static inline NTSTATUS FltDeleteVolumeContext(PFLT_FILTER filter, PFLT_VOLUME volume,
					      PFLT_CONTEXT_OUT old)
{
	return sctx_flt_delete(filter, SCTX_FLT_VOLUME, &volume->Contexts, NULL, old);
}

static inline NTSTATUS FltSetInstanceContext(PFLT_INSTANCE instance,
					     FLT_SET_CONTEXT_OPERATION operation,
					     PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	return sctx_flt_set(instance->Filter, SCTX_FLT_INSTANCE, &instance->Contexts, NULL,
			    operation, context, old);
}

static inline NTSTATUS FltGetInstanceContext(PFLT_INSTANCE instance, PFLT_CONTEXT_OUT context)
{
	return sctx_flt_get(instance->Filter, SCTX_FLT_INSTANCE, &instance->Contexts, NULL,
			    context);
}

static inline NTSTATUS FltDeleteInstanceContext(PFLT_INSTANCE instance, PFLT_CONTEXT_OUT old)
{
	return sctx_flt_delete(instance->Filter, SCTX_FLT_INSTANCE, &instance->Contexts, NULL, old);
}

static inline NTSTATUS FltSetTransactionContext(PFLT_INSTANCE instance, PKTRANSACTION transaction,
						FLT_SET_CONTEXT_OPERATION operation,
						PFLT_CONTEXT context, PFLT_CONTEXT_OUT old)
{
	if (!transaction)
		return sctx_flt_none(old, STATUS_INVALID_PARAMETER);
	if (sctx_flt_is_leaving(instance))
		return sctx_flt_none(old, STATUS_FLT_DELETING_OBJECT);
	return sctx_flt_set(instance->Filter, SCTX_FLT_TRANSACTION, &transaction->Contexts,
			    instance, operation, context, old);
}

static inline NTSTATUS FltGetTransactionContext(PFLT_INSTANCE instance, PKTRANSACTION transaction,
						PFLT_CONTEXT_OUT context)
{
	return sctx_flt_get(instance->Filter, SCTX_FLT_TRANSACTION,
			    transaction ? &transaction->Contexts : NULL, instance, context);
}

static inline NTSTATUS FltDeleteTransactionContext(PFLT_INSTANCE instance,
						   PKTRANSACTION transaction, PFLT_CONTEXT_OUT old)
{
	return sctx_flt_delete(instance->Filter, SCTX_FLT_TRANSACTION,
			       transaction ? &transaction->Contexts : NULL, instance, old);
}

/* -------------------------------------------------------- several at once */

/* Contexts of the @desired kinds that are there; the others are NULL. */
static inline VOID FltGetContexts(PCFLT_RELATED_OBJECTS objects, FLT_CONTEXT_TYPE desired,
				  PFLT_RELATED_CONTEXTS contexts)
{
	memset(contexts, 0, sizeof(*contexts));
	if (FlagOn(desired, FLT_VOLUME_CONTEXT) && objects->Volume)
		FltGetVolumeContext(objects->Filter, objects->Volume, &contexts->VolumeContext);
	if (FlagOn(desired, FLT_INSTANCE_CONTEXT))
		FltGetInstanceContext(objects->Instance, &contexts->InstanceContext);
	if (FlagOn(desired, FLT_FILE_CONTEXT))
		FltGetFileContext(objects->Instance, objects->FileObject, &contexts->FileContext);
	if (FlagOn(desired, FLT_STREAM_CONTEXT))
		FltGetStreamContext(objects->Instance, objects->FileObject,
				    &contexts->StreamContext);
	if (FlagOn(desired, FLT_STREAMHANDLE_CONTEXT))
		FltGetStreamHandleContext(objects->Instance, objects->FileObject,
					  &contexts->StreamHandleContext);
	if (FlagOn(desired, FLT_TRANSACTION_CONTEXT))
		FltGetTransactionContext(objects->Instance, objects->Transaction,
					 &contexts->TransactionContext);
}

static inline VOID FltReleaseContexts(PFLT_RELATED_CONTEXTS contexts)
{
	FltReleaseContext(contexts->VolumeContext);
	FltReleaseContext(contexts->InstanceContext);
	FltReleaseContext(contexts->FileContext);
	FltReleaseContext(contexts->StreamContext);
	FltReleaseContext(contexts->StreamHandleContext);
	FltReleaseContext(contexts->TransactionContext);
}

/* With section contexts.  Writes no more than @size bytes. */
static inline VOID FltGetContextsEx(PCFLT_RELATED_OBJECTS objects, FLT_CONTEXT_TYPE desired,
				    SIZE_T size, PFLT_RELATED_CONTEXTS_EX contexts)
{
	FLT_RELATED_CONTEXTS found;

	memset(contexts, 0, size);
	if (size < sizeof(*contexts))
		return;
	FltGetContexts(objects, desired, &found);
	memcpy(contexts, &found, sizeof(found));
	if (FlagOn(desired, FLT_SECTION_CONTEXT))
		FltGetSectionContext(objects->Instance, objects->FileObject,
				     &contexts->SectionContext);
}

static inline VOID FltReleaseContextsEx(SIZE_T size, PFLT_RELATED_CONTEXTS_EX contexts)
{
	FLT_RELATED_CONTEXTS found;

	if (size < sizeof(*contexts))
		return;
	memcpy(&found, contexts, sizeof(found));
	FltReleaseContexts(&found);
	FltReleaseContext(contexts->SectionContext);
}

/* ---------------------------------------------------------------- the host */

static inline VOID FltCreateVolume(PFLT_VOLUME volume)
{
	sctx_stream_init(&volume->Contexts);
}

/* The volume is dismounted: its contexts go. */
static inline VOID FltDeleteVolume(PFLT_VOLUME volume)
{
	sctx_nt_teardown(&volume->Contexts);
}

static inline VOID FltCreateInstance(PFLT_FILTER filter, PFLT_INSTANCE instance)
{
	instance->Filter = filter;
	sctx_stream_init(&instance->Contexts);
}

/*
 * The filter leaves the volume: its instance context goes, and no more can be
 * set for the instance.  Contexts that it has set on streams go with their streams,
 * or when the filter is unregistered.
 */
static inline VOID FltDeleteInstance(PFLT_INSTANCE instance)
{
	sctx_nt_teardown(&instance->Contexts);
}

static inline VOID FltCreateTransaction(PKTRANSACTION transaction)
{
	sctx_stream_init(&transaction->Contexts);
}

/* The transaction was committed or rolled back: its contexts go. */
static inline VOID FltDeleteTransaction(PKTRANSACTION transaction)
{
	sctx_nt_teardown(&transaction->Contexts);
}

/* The close of a handle: its contexts go. */
static inline VOID FltCloseFileObject(PFILE_OBJECT file)
{
	sctx_stream_drop(sctx_nt_handle(file));
}

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_FLT_CONTEXT_H */
