/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contexts of the minifilter manager under their WDK names, over
 * registered owners: one for each kind of context that a filter registers.
 * Included by <streamctx/fsrtl.h>.
 *
 * A PFLT_CONTEXT is the filter's part of a context (sctx_context_data()).
 * Allocate gives one reference; set adds the link's; get adds one; release of
 * the last runs the cleanup callback after a grace period.
 *
 * What the manager does by itself on Windows the host does here:
 * DRIVER_OBJECT names the registry, FltCreateInstance() attaches a filter to a
 * volume, FltCloseFileObject() is the close of a handle.
 */
#ifndef STREAMCTX_FLT_H
#define STREAMCTX_FLT_H

#include <streamctx/fsrtl.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef PVOID PFLT_CONTEXT;
typedef USHORT FLT_CONTEXT_TYPE;
typedef USHORT FLT_CONTEXT_REGISTRATION_FLAGS;
typedef ULONG FLT_REGISTRATION_FLAGS;

#define FLT_VOLUME_CONTEXT       ((FLT_CONTEXT_TYPE)0x0001)
#define FLT_INSTANCE_CONTEXT     ((FLT_CONTEXT_TYPE)0x0002)
#define FLT_FILE_CONTEXT         ((FLT_CONTEXT_TYPE)0x0004)
#define FLT_STREAM_CONTEXT       ((FLT_CONTEXT_TYPE)0x0008)
#define FLT_STREAMHANDLE_CONTEXT ((FLT_CONTEXT_TYPE)0x0010)
#define FLT_CONTEXT_END          ((FLT_CONTEXT_TYPE)0xffff)

#define FLT_VARIABLE_SIZED_CONTEXTS ((SIZE_T)-1)
#define FLT_REGISTRATION_VERSION    ((USHORT)0x0203)

typedef VOID (*PFLT_CONTEXT_CLEANUP_CALLBACK)(PFLT_CONTEXT Context, FLT_CONTEXT_TYPE ContextType);

typedef struct _FLT_CONTEXT_REGISTRATION {
	FLT_CONTEXT_TYPE ContextType;
	FLT_CONTEXT_REGISTRATION_FLAGS Flags;
	PFLT_CONTEXT_CLEANUP_CALLBACK ContextCleanupCallback; /* or NULL */
	SIZE_T Size;                                          /* or FLT_VARIABLE_SIZED_CONTEXTS */
	ULONG PoolTag;
} FLT_CONTEXT_REGISTRATION, *PFLT_CONTEXT_REGISTRATION;

typedef struct _FLT_REGISTRATION {
	USHORT Size;
	USHORT Version;
	FLT_REGISTRATION_FLAGS Flags;
	const FLT_CONTEXT_REGISTRATION *ContextRegistration;
} FLT_REGISTRATION, *PFLT_REGISTRATION;

/* Whose module it is, and the registry of the host's streams. */
typedef struct _DRIVER_OBJECT {
	const char *Name;
	struct sctx_registry *Registry;
} DRIVER_OBJECT, *PDRIVER_OBJECT;

#define SCTX_FLT_KINDS 5  /* volume, instance, file, stream, handle */
#define SCTX_FLT_SIZES 20 /* of each kind up to three fixed sizes and one variable */

/* One owner for each kind of context. */
typedef struct _FLT_FILTER {
	struct sctx_registry *Registry;
	struct sctx_owner *Owner[SCTX_FLT_KINDS];
	ULONG Sizes;
	FLT_CONTEXT_REGISTRATION Size[SCTX_FLT_SIZES];
} FLT_FILTER, *PFLT_FILTER;

/* What a filter's part of a context comes after. */
typedef struct _FLT_CONTEXT_HEADER {
	const FLT_CONTEXT_REGISTRATION *Registration;
	PVOID Reserved;
	struct sctx_context Context;
} FLT_CONTEXT_HEADER;

/* A filter on a volume. */
typedef struct _FLT_INSTANCE {
	PFLT_FILTER Filter;
	struct sctx_stream Contexts;
} FLT_INSTANCE, *PFLT_INSTANCE;

typedef struct _FLT_RELATED_OBJECTS {
	PFLT_FILTER Filter;
	PFLT_INSTANCE Instance;
	PFILE_OBJECT FileObject;
} FLT_RELATED_OBJECTS, *PFLT_RELATED_OBJECTS;
typedef const FLT_RELATED_OBJECTS *PCFLT_RELATED_OBJECTS;

typedef struct _FLT_RELATED_CONTEXTS {
	PFLT_CONTEXT VolumeContext;
	PFLT_CONTEXT InstanceContext;
	PFLT_CONTEXT FileContext;
	PFLT_CONTEXT StreamContext;
	PFLT_CONTEXT StreamHandleContext;
} FLT_RELATED_CONTEXTS, *PFLT_RELATED_CONTEXTS;

typedef enum _FLT_SET_CONTEXT_OPERATION {
	FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
	FLT_SET_CONTEXT_KEEP_IF_EXISTS
} FLT_SET_CONTEXT_OPERATION;

/* ---------------------------------------------------------------- contexts */

static inline struct sctx_context *sctx_flt_context(PFLT_CONTEXT context)
{
	return (struct sctx_context *)context - 1;
}

static inline PFLT_CONTEXT sctx_flt_data(struct sctx_context *ctx)
{
	return ctx ? ctx + 1 : NULL;
}

static inline void sctx_flt_free(struct sctx_context *ctx)
{
	FLT_CONTEXT_HEADER *header = CONTAINING_RECORD(ctx, FLT_CONTEXT_HEADER, Context);
	const FLT_CONTEXT_REGISTRATION *registration = header->Registration;

	if (registration->ContextCleanupCallback)
		registration->ContextCleanupCallback(sctx_flt_data(ctx), registration->ContextType);
	sctx_free(header, registration->PoolTag);
}

static inline VOID FltReferenceContext(PFLT_CONTEXT context)
{
	sctx_ref(sctx_flt_context(context));
}

static inline VOID FltReleaseContext(PFLT_CONTEXT context)
{
	sctx_put(sctx_flt_context(context));
}

static inline VOID FltDeleteContext(PFLT_CONTEXT context)
{
	sctx_detach(sctx_flt_context(context));
}

/* ------------------------------------------------------------------ filters */

static inline int sctx_flt_kind(FLT_CONTEXT_TYPE type)
{
	for (int kind = 0; kind < SCTX_FLT_KINDS; kind++)
		if (type == 1 << kind)
			return kind;
	return -1;
}

/* What does not leave is reported; the filter stays, to be unregistered again. */
static inline NTSTATUS FltUnregisterFilter(PFLT_FILTER filter)
{
	NTSTATUS status = STATUS_SUCCESS;

	for (int kind = 0; kind < SCTX_FLT_KINDS; kind++) {
		struct sctx_leaks leaks;
		int error = 0;

		leaks.size = sizeof(leaks);
		if (filter->Owner[kind])
			error = sctx_owner_unregister(filter->Owner[kind], &leaks);
		if (!error) {
			filter->Owner[kind] = NULL;
			continue;
		}
		status = error == -EBUSY ? STATUS_DEVICE_BUSY : sctx_nt_status(error);
		if (error == -EBUSY)
			sctx_leaks_print(&leaks, stderr);
	}
	if (NT_SUCCESS(status))
		sctx_free(filter, SCTX_TAG('F', 'L', 'T', 'f'));
	return status;
}

static inline int sctx_flt_register_size(PFLT_FILTER filter, const char *name,
					 const FLT_CONTEXT_REGISTRATION *size)
{
	int kind = sctx_flt_kind(size->ContextType);
	struct sctx_owner_ops ops;

	if (kind < 0 || !size->PoolTag || filter->Sizes == SCTX_FLT_SIZES)
		return -EINVAL;
	filter->Size[filter->Sizes++] = *size;
	if (filter->Owner[kind])
		return 0;
	memset(&ops, 0, sizeof(ops));
	ops.size = sizeof(ops);
	ops.name = name;
	ops.tag = size->PoolTag;
	ops.free = sctx_flt_free;
	ops.arg = filter;
	return sctx_owner_register(filter->Registry, &ops, &filter->Owner[kind]);
}

static inline NTSTATUS FltRegisterFilter(PDRIVER_OBJECT driver,
					 const FLT_REGISTRATION *registration, PFLT_FILTER *out)
{
	const FLT_CONTEXT_REGISTRATION *size = registration->ContextRegistration;
	PFLT_FILTER filter;
	int error = 0;

	*out = NULL;
	filter = (PFLT_FILTER)sctx_alloc(SCTX_POOL_PAGED, sizeof(*filter),
					 SCTX_TAG('F', 'L', 'T', 'f'));
	if (!filter)
		return STATUS_INSUFFICIENT_RESOURCES;
	memset(filter, 0, sizeof(*filter));
	filter->Registry = driver->Registry;
	for (; size && size->ContextType != FLT_CONTEXT_END && !error; size++)
		error = sctx_flt_register_size(filter, driver->Name, size);
	if (!error) {
		*out = filter;
		return STATUS_SUCCESS;
	}
	FltUnregisterFilter(filter);
	return error == -EINVAL ? STATUS_FLT_INVALID_CONTEXT_REGISTRATION : sctx_nt_status(error);
}

static inline NTSTATUS FltStartFiltering(PFLT_FILTER filter)
{
	UNREFERENCED_PARAMETER(filter);
	return STATUS_SUCCESS;
}

/* The smallest registered size that @size fits into; the variable one is the largest. */
static inline const FLT_CONTEXT_REGISTRATION *sctx_flt_fit(PFLT_FILTER filter,
							   FLT_CONTEXT_TYPE type, SIZE_T size)
{
	const FLT_CONTEXT_REGISTRATION *best = NULL;

	for (ULONG i = 0; i < filter->Sizes; i++) {
		const FLT_CONTEXT_REGISTRATION *one = &filter->Size[i];

		if (one->ContextType == type && one->Size >= size &&
		    (!best || one->Size < best->Size))
			best = one;
	}
	return best;
}

static inline NTSTATUS FltAllocateContext(PFLT_FILTER filter, FLT_CONTEXT_TYPE type, SIZE_T size,
					  POOL_TYPE pool, PFLT_CONTEXT *context)
{
	const FLT_CONTEXT_REGISTRATION *fit = sctx_flt_fit(filter, type, size);
	FLT_CONTEXT_HEADER *header;
	int error;

	*context = NULL;
	if (!fit)
		return STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND;
	if (size > SIZE_MAX - sizeof(*header))
		return STATUS_INSUFFICIENT_RESOURCES;
	header = (FLT_CONTEXT_HEADER *)sctx_alloc(sctx_nt_pool(pool), sizeof(*header) + size,
						  fit->PoolTag);
	if (!header)
		return STATUS_INSUFFICIENT_RESOURCES;
	header->Registration = fit;
	error = sctx_owner_context_init(filter->Owner[sctx_flt_kind(type)], &header->Context, NULL);
	if (error)
		sctx_free(header, fit->PoolTag);
	else
		*context = sctx_flt_data(&header->Context);
	return sctx_nt_status(error);
}

/* --------------------------------------------------------------- set and get */

/*
 * @stream: where it goes; @instance: its key beside the filter.  The link's
 * reference is a new one.  What was there comes back in *@old: with KEEP a
 * reference to it, with REPLACE the link's.
 */
static inline NTSTATUS sctx_flt_set(PFLT_FILTER filter, struct sctx_stream *stream,
				    const void *instance, FLT_SET_CONTEXT_OPERATION operation,
				    PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	struct sctx_context *ctx = sctx_flt_context(context), *other = NULL;
	int error;

	if (old)
		*old = NULL;
	if (ctx->stream)
		return STATUS_FLT_CONTEXT_ALREADY_LINKED;
	ctx->instance = instance;
	/* So that unregistering the filter finds it; most often it does already. */
	error = sctx_stream_track(filter->Registry, stream);
	if (error && error != -EALREADY && error != -EPERM)
		return sctx_nt_status(error);
	sctx_ref(ctx);
	if (operation == FLT_SET_CONTEXT_KEEP_IF_EXISTS)
		error = sctx_insert_unique(stream, ctx, old ? &other : NULL);
	else
		error = sctx_replace(stream, ctx, old ? &other : NULL);
	if (error)
		sctx_put(ctx);
	if (old)
		*old = sctx_flt_data(other);
	return sctx_nt_status(error);
}

static inline NTSTATUS sctx_flt_found(struct sctx_context *ctx, PFLT_CONTEXT *context)
{
	*context = sctx_flt_data(ctx);
	return ctx ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* Unlink; the link's reference is dropped or handed to the caller. */
static inline NTSTATUS sctx_flt_delete(struct sctx_stream *stream, struct sctx_owner *owner,
				       const void *instance, PFLT_CONTEXT *old)
{
	struct sctx_context *ctx = sctx_remove(stream, owner, instance);

	if (old)
		*old = sctx_flt_data(ctx);
	else if (ctx)
		sctx_put(ctx);
	return ctx ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

/* Where an open file's contexts of each kind hang; NULL: unsupported, or nothing yet. */
static inline struct sctx_stream *sctx_flt_stream(PFILE_OBJECT file)
{
	return sctx_nt_stream(FsRtlGetPerStreamContextPointer(file));
}

static inline struct sctx_stream **sctx_flt_file(PFILE_OBJECT file)
{
	return sctx_flt_stream(file)
		       ? (struct sctx_stream **)(void *)FsRtlGetPerFileContextPointer(file)
		       : NULL;
}

/* Set on a stream that is made when first needed. */
static inline NTSTATUS sctx_flt_set_lazily(PFLT_INSTANCE instance, struct sctx_stream **slot,
					   FLT_SET_CONTEXT_OPERATION operation,
					   PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	struct sctx_stream *stream;
	int error;

	if (old)
		*old = NULL;
	if (!slot)
		return STATUS_NOT_SUPPORTED;
	error = sctx_stream_create(slot, &stream);
	if (error)
		return sctx_nt_status(error);
	return sctx_flt_set(instance->Filter, stream, instance, operation, context, old);
}

static inline BOOLEAN FltSupportsStreamContexts(PFILE_OBJECT file)
{
	return sctx_flt_stream(file) != NULL;
}

static inline BOOLEAN FltSupportsFileContexts(PFILE_OBJECT file)
{
	return sctx_flt_file(file) != NULL;
}

static inline BOOLEAN FltSupportsStreamHandleContexts(PFILE_OBJECT file)
{
	return sctx_flt_stream(file) != NULL;
}

static inline NTSTATUS FltSetStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					   FLT_SET_CONTEXT_OPERATION operation,
					   PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	struct sctx_stream *stream = sctx_flt_stream(file);

	if (stream)
		return sctx_flt_set(instance->Filter, stream, instance, operation, context, old);
	if (old)
		*old = NULL;
	return STATUS_NOT_SUPPORTED;
}

static inline NTSTATUS FltGetStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					   PFLT_CONTEXT *context)
{
	return sctx_flt_found(sctx_get(sctx_flt_stream(file), instance->Filter->Owner[3], instance),
			      context);
}

static inline NTSTATUS FltDeleteStreamContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					      PFLT_CONTEXT *old)
{
	return sctx_flt_delete(sctx_flt_stream(file), instance->Filter->Owner[3], instance, old);
}

static inline NTSTATUS FltSetStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						 FLT_SET_CONTEXT_OPERATION operation,
						 PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	return sctx_flt_set_lazily(instance, sctx_nt_handle(file), operation, context, old);
}

static inline NTSTATUS FltGetStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						 PFLT_CONTEXT *context)
{
	return sctx_flt_found(sctx_get(sctx_stream_load(sctx_nt_handle(file)),
				       instance->Filter->Owner[4], instance),
			      context);
}

static inline NTSTATUS FltDeleteStreamHandleContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
						    PFLT_CONTEXT *old)
{
	return sctx_flt_delete(sctx_stream_load(sctx_nt_handle(file)), instance->Filter->Owner[4],
			       instance, old);
}

static inline NTSTATUS FltSetFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					 FLT_SET_CONTEXT_OPERATION operation, PFLT_CONTEXT context,
					 PFLT_CONTEXT *old)
{
	return sctx_flt_set_lazily(instance, sctx_flt_file(file), operation, context, old);
}

static inline NTSTATUS FltGetFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					 PFLT_CONTEXT *context)
{
	return sctx_flt_found(sctx_get(sctx_stream_load(sctx_flt_file(file)),
				       instance->Filter->Owner[2], instance),
			      context);
}

static inline NTSTATUS FltDeleteFileContext(PFLT_INSTANCE instance, PFILE_OBJECT file,
					    PFLT_CONTEXT *old)
{
	return sctx_flt_delete(sctx_stream_load(sctx_flt_file(file)), instance->Filter->Owner[2],
			       instance, old);
}

static inline NTSTATUS FltSetInstanceContext(PFLT_INSTANCE instance,
					     FLT_SET_CONTEXT_OPERATION operation,
					     PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	return sctx_flt_set(instance->Filter, &instance->Contexts, NULL, operation, context, old);
}

static inline NTSTATUS FltGetInstanceContext(PFLT_INSTANCE instance, PFLT_CONTEXT *context)
{
	return sctx_flt_found(sctx_get(&instance->Contexts, instance->Filter->Owner[1], NULL),
			      context);
}

static inline NTSTATUS FltDeleteInstanceContext(PFLT_INSTANCE instance, PFLT_CONTEXT *old)
{
	return sctx_flt_delete(&instance->Contexts, instance->Filter->Owner[1], NULL, old);
}

/* Those of the @desired kinds that are there; the others are NULL. */
static inline VOID FltGetContexts(PCFLT_RELATED_OBJECTS objects, FLT_CONTEXT_TYPE desired,
				  PFLT_RELATED_CONTEXTS contexts)
{
	memset(contexts, 0, sizeof(*contexts));
	if (FlagOn(desired, FLT_INSTANCE_CONTEXT))
		FltGetInstanceContext(objects->Instance, &contexts->InstanceContext);
	if (!objects->FileObject)
		return;
	if (FlagOn(desired, FLT_FILE_CONTEXT))
		FltGetFileContext(objects->Instance, objects->FileObject, &contexts->FileContext);
	if (FlagOn(desired, FLT_STREAM_CONTEXT))
		FltGetStreamContext(objects->Instance, objects->FileObject,
				    &contexts->StreamContext);
	if (FlagOn(desired, FLT_STREAMHANDLE_CONTEXT))
		FltGetStreamHandleContext(objects->Instance, objects->FileObject,
					  &contexts->StreamHandleContext);
}

static inline VOID FltReleaseContexts(PFLT_RELATED_CONTEXTS contexts)
{
	PFLT_CONTEXT all[] = { contexts->VolumeContext, contexts->InstanceContext,
			       contexts->FileContext, contexts->StreamContext,
			       contexts->StreamHandleContext };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i])
			FltReleaseContext(all[i]);
}

/* ------------------------------------------------------------------ the host */

static inline VOID FltCreateInstance(PFLT_FILTER filter, PFLT_INSTANCE instance)
{
	instance->Filter = filter;
	sctx_stream_init(&instance->Contexts);
}

/* The filter leaves the volume: its instance context goes. */
static inline VOID FltDeleteInstance(PFLT_INSTANCE instance)
{
	sctx_nt_teardown(&instance->Contexts);
}

/* The close of a handle: its contexts go. */
static inline VOID FltCloseFileObject(PFILE_OBJECT file)
{
	sctx_stream_drop(sctx_nt_handle(file));
}

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_FLT_H */
