/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contexts of the minifilter manager under their WDK names, over
 * registered owners: one for each kind of context that a filter registers.
 * This file has filters and the life of a context, <streamctx/flt_context.h>
 * setting and getting, <streamctx/flt_types.h> the structures.  Included by
 * <streamctx/fsrtl.h>.
 *
 * A PFLT_CONTEXT is the filter's part of a context (sctx_context_data()).
 * Allocate gives one reference; set adds the link's; get adds one; release of
 * the last runs the cleanup callback after a grace period.
 *
 * The host has a part of the manager's job: DRIVER_OBJECT names the registry; FltCreateVolume(),
 * FltCreateInstance() and FltCreateTransaction() set up objects that the host allocates;
 * FltCloseFileObject() is the close of a handle.  The host also calls the
 * callbacks of the registration; a copy of it is in the filter.
 */
#ifndef STREAMCTX_FLT_H
#define STREAMCTX_FLT_H

#include <streamctx/flt_types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SCTX_FLT_TAG SCTX_TAG('F', 'L', 'T', 'f')

/* ---------------------------------------------------------------- contexts */

/* The filter's part of a context follows this. */
typedef struct _FLT_CONTEXT_HEADER {
	const FLT_CONTEXT_REGISTRATION *Registration;
	FAST_MUTEX SetLock; /* held by a set: its instance becomes the context's */
	BOOLEAN WasSet;     /* at least once; covered by SetLock */
	struct sctx_context Context __attribute__((aligned(16)));
} FLT_CONTEXT_HEADER;

static inline struct sctx_context *sctx_flt_context(PFLT_CONTEXT context)
{
	return context ? (struct sctx_context *)context - 1 : NULL;
}

static inline FLT_CONTEXT_HEADER *sctx_flt_header(struct sctx_context *ctx)
{
	return CONTAINING_RECORD(ctx, FLT_CONTEXT_HEADER, Context);
}

static inline PFLT_CONTEXT sctx_flt_data(struct sctx_context *ctx)
{
	return ctx ? ctx + 1 : NULL;
}

static inline VOID sctx_flt_give(PFLT_CONTEXT_OUT out, struct sctx_context *ctx)
{
	PFLT_CONTEXT context = sctx_flt_data(ctx);

	if (out)
		memcpy(out, &context, sizeof(context));
}

static inline VOID sctx_flt_memory_free(FLT_CONTEXT_HEADER *header)
{
	const FLT_CONTEXT_REGISTRATION *registration = header->Registration;

	pthread_mutex_destroy(&header->SetLock.Mutex);
	if (registration->ContextFreeCallback)
		registration->ContextFreeCallback(header, registration->ContextType);
	else
		sctx_free(header, registration->PoolTag);
}

static inline void sctx_flt_free(struct sctx_context *ctx)
{
	FLT_CONTEXT_HEADER *header = sctx_flt_header(ctx);
	const FLT_CONTEXT_REGISTRATION *registration = header->Registration;

	if (registration->ContextCleanupCallback)
		registration->ContextCleanupCallback(sctx_flt_data(ctx), registration->ContextType);
	sctx_flt_memory_free(header);
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

/* -1: not one kind. */
static inline int sctx_flt_kind(FLT_CONTEXT_TYPE type)
{
	for (int kind = 0; kind < SCTX_FLT_KINDS; kind++)
		if (type == 1 << kind)
			return kind;
	return -1;
}

/* Reports contexts that someone holds; the filter stays and can be unregistered again. */
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
		sctx_free(filter, SCTX_FLT_TAG);
	return status;
}

static inline bool sctx_flt_same_size(const FLT_CONTEXT_REGISTRATION *a,
				      const FLT_CONTEXT_REGISTRATION *b)
{
	return a->Flags == b->Flags && a->ContextCleanupCallback == b->ContextCleanupCallback &&
	       a->Size == b->Size && a->PoolTag == b->PoolTag &&
	       a->ContextAllocateCallback == b->ContextAllocateCallback &&
	       a->ContextFreeCallback == b->ContextFreeCallback;
}

/*
 * Note a size of a kind.  Of equal registrations the first counts.  A kind has
 * up to three fixed sizes and one variable one, or allocates by itself and has
 * no others.
 */
static inline int sctx_flt_add_size(PFLT_FILTER filter, const FLT_CONTEXT_REGISTRATION *size)
{
	bool variable = size->Size == FLT_VARIABLE_SIZED_CONTEXTS;
	ULONG alike = 0;

	for (ULONG i = 0; i < filter->Sizes; i++) {
		const FLT_CONTEXT_REGISTRATION *other = &filter->Size[i];

		if (other->ContextType != size->ContextType)
			continue;
		if (sctx_flt_same_size(other, size))
			return 0;
		if (other->ContextAllocateCallback || size->ContextAllocateCallback)
			return -EINVAL;
		alike += variable == (other->Size == FLT_VARIABLE_SIZED_CONTEXTS);
	}
	if (alike == (variable ? 1 : SCTX_FLT_FIXED_SIZES))
		return -EINVAL;
	filter->Size[filter->Sizes++] = *size;
	return 0;
}

static inline int sctx_flt_register_size(PFLT_FILTER filter, const char *name,
					 const FLT_CONTEXT_REGISTRATION *size)
{
	int kind = sctx_flt_kind(size->ContextType);
	struct sctx_owner_ops ops;
	int error;

	if (kind < 0 || (!size->PoolTag && !size->ContextAllocateCallback) ||
	    !size->ContextAllocateCallback != !size->ContextFreeCallback)
		return -EINVAL;
	error = sctx_flt_add_size(filter, size);
	if (error || filter->Owner[kind])
		return error;
	memset(&ops, 0, sizeof(ops));
	ops.size = sizeof(ops);
	ops.name = name;
	ops.tag = size->PoolTag ? size->PoolTag : SCTX_FLT_TAG;
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
	if (registration->Size != sizeof(*registration) ||
	    registration->Version != FLT_REGISTRATION_VERSION)
		return STATUS_INVALID_PARAMETER;
	filter = (PFLT_FILTER)sctx_alloc(SCTX_POOL_PAGED, sizeof(*filter), SCTX_FLT_TAG);
	if (!filter)
		return STATUS_INSUFFICIENT_RESOURCES;
	memset(filter, 0, sizeof(*filter));
	filter->Registration = *registration;
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

/* The host calls the filter when it wants to. */
static inline NTSTATUS FltStartFiltering(PFLT_FILTER filter)
{
	return filter ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/* -------------------------------------------------------------- allocating */

static inline bool sctx_flt_fits(const FLT_CONTEXT_REGISTRATION *registered, SIZE_T size)
{
	if (registered->ContextAllocateCallback || registered->Size == size)
		return true;
	return registered->Size > size &&
	       (registered->Size == FLT_VARIABLE_SIZED_CONTEXTS ||
		FlagOn(registered->Flags, FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH));
}

/* The smallest registered size that @size fits into; the variable one is the largest. */
static inline const FLT_CONTEXT_REGISTRATION *sctx_flt_fit(PFLT_FILTER filter,
							   FLT_CONTEXT_TYPE type, SIZE_T size)
{
	const FLT_CONTEXT_REGISTRATION *best = NULL;

	for (ULONG i = 0; i < filter->Sizes; i++) {
		const FLT_CONTEXT_REGISTRATION *one = &filter->Size[i];

		if (one->ContextType == type && sctx_flt_fits(one, size) &&
		    (!best || one->Size < best->Size))
			best = one;
	}
	return best;
}

static inline FLT_CONTEXT_HEADER *sctx_flt_memory(const FLT_CONTEXT_REGISTRATION *fit, SIZE_T size,
						  POOL_TYPE pool)
{
	FLT_CONTEXT_HEADER *header;

	size += sizeof(*header);
	if (fit->ContextAllocateCallback)
		header = (FLT_CONTEXT_HEADER *)fit->ContextAllocateCallback(pool, size,
									    fit->ContextType);
	else
		header = (FLT_CONTEXT_HEADER *)sctx_alloc(sctx_nt_pool(pool), size, fit->PoolTag);
	if (header) {
		header->Registration = fit;
		header->WasSet = FALSE;
		ExInitializeFastMutex(&header->SetLock);
	}
	return header;
}

static inline NTSTATUS FltAllocateContext(PFLT_FILTER filter, FLT_CONTEXT_TYPE type, SIZE_T size,
					  POOL_TYPE pool, PFLT_CONTEXT_OUT context)
{
	int kind = sctx_flt_kind(type), error;
	const FLT_CONTEXT_REGISTRATION *fit;
	FLT_CONTEXT_HEADER *header;

	sctx_flt_give(context, NULL);
	if (kind < 0 || size == 0 || size > MAXUSHORT)
		return STATUS_INVALID_PARAMETER;
	fit = sctx_flt_fit(filter, type, size);
	if (!fit)
		return STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND;
	if (!filter->Owner[kind])
		return STATUS_FLT_DELETING_OBJECT;
	header = sctx_flt_memory(fit, size, pool);
	if (!header)
		return STATUS_INSUFFICIENT_RESOURCES;
	error = sctx_owner_context_init(filter->Owner[kind], &header->Context, NULL);
	if (error)
		sctx_flt_memory_free(header);
	else
		sctx_flt_give(context, &header->Context);
	return sctx_nt_status(error);
}

#ifdef __cplusplus
}
#endif

#include <streamctx/flt_context.h>

#endif /* STREAMCTX_FLT_H */
