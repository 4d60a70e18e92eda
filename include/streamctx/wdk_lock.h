/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fast mutexes, resources and interrupt levels.  Included by
 * <streamctx/wdk.h>.
 *
 * A thread here is always at PASSIVE_LEVEL, and has no APCs to disable.
 *
 * A resource is a pthread_rwlock_t with a list of its owners, which makes it
 * recursive and lets a thread ask whether it is one.  The list is covered by
 * OwnersLock.  While one thread owns the resource exclusively, it is the only
 * entry.
 */
#ifndef STREAMCTX_WDK_LOCK_H
#define STREAMCTX_WDK_LOCK_H

#include <stdlib.h>
#include <streamctx/wdk_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ levels */

#define PASSIVE_LEVEL  0
#define APC_LEVEL      1
#define DISPATCH_LEVEL 2

static inline KIRQL KeGetCurrentIrql(VOID)
{
	return PASSIVE_LEVEL;
}

static inline VOID KeEnterCriticalRegion(VOID)
{
}

static inline VOID KeLeaveCriticalRegion(VOID)
{
}

#define FsRtlEnterFileSystem KeEnterCriticalRegion
#define FsRtlExitFileSystem  KeLeaveCriticalRegion

/* ------------------------------------------------------------ fast mutexes */

typedef struct _FAST_MUTEX {
	pthread_mutex_t Mutex;
} FAST_MUTEX, *PFAST_MUTEX;

static inline VOID ExInitializeFastMutex(PFAST_MUTEX mutex)
{
	pthread_mutex_init(&mutex->Mutex, NULL);
}

static inline VOID ExAcquireFastMutex(PFAST_MUTEX mutex)
{
	pthread_mutex_lock(&mutex->Mutex);
}

static inline VOID ExReleaseFastMutex(PFAST_MUTEX mutex)
{
	pthread_mutex_unlock(&mutex->Mutex);
}

/* --------------------------------------------------------------- resources */

#define SCTX_NT_OWNERS 4 /* in the resource itself */

struct sctx_nt_owner {
	pthread_t Thread;
	ULONG Count;
};

/* Not to be moved once it is initialised, as on Windows. */
typedef struct _ERESOURCE {
	pthread_rwlock_t Lock;
	pthread_mutex_t OwnersLock;
	BOOLEAN Exclusive;
	ULONG Owners;
	ULONG Capacity;
	struct sctx_nt_owner *Owner; /* First, or a longer allocated array */
	struct sctx_nt_owner First[SCTX_NT_OWNERS];
} ERESOURCE, *PERESOURCE;

static inline NTSTATUS ExInitializeResourceLite(PERESOURCE resource)
{
	pthread_rwlock_init(&resource->Lock, NULL);
	pthread_mutex_init(&resource->OwnersLock, NULL);
	resource->Exclusive = FALSE;
	resource->Owners = 0;
	resource->Capacity = SCTX_NT_OWNERS;
	resource->Owner = resource->First;
	return STATUS_SUCCESS;
}

static inline NTSTATUS ExDeleteResourceLite(PERESOURCE resource)
{
	pthread_rwlock_destroy(&resource->Lock);
	pthread_mutex_destroy(&resource->OwnersLock);
	if (resource->Owner != resource->First)
		free(resource->Owner);
	return STATUS_SUCCESS;
}

/* OwnersLock held: the calling thread's entry. */
static inline struct sctx_nt_owner *sctx_nt_my_entry(PERESOURCE resource)
{
	for (ULONG i = 0; i < resource->Owners; i++)
		if (pthread_equal(resource->Owner[i].Thread, pthread_self()))
			return &resource->Owner[i];
	return NULL;
}

/* OwnersLock held. */
static inline BOOLEAN sctx_nt_owners_grow(PERESOURCE resource)
{
	ULONG capacity = 2 * resource->Capacity;
	struct sctx_nt_owner *owner;

	owner = (struct sctx_nt_owner *)malloc(capacity * sizeof(*owner));
	if (!owner)
		return FALSE;
	memcpy(owner, resource->Owner, resource->Owners * sizeof(*owner));
	if (resource->Owner != resource->First)
		free(resource->Owner);
	resource->Owner = owner;
	resource->Capacity = capacity;
	return TRUE;
}

/*
 * The calling thread has got the lock.  Without memory for an entry it is an
 * owner that ExIsResourceAcquiredSharedLite() does not know.  An exclusive
 * owner is alone and always has room.
 */
static inline VOID sctx_nt_owner_add(PERESOURCE resource, BOOLEAN exclusive)
{
	pthread_mutex_lock(&resource->OwnersLock);
	resource->Exclusive = exclusive;
	if (resource->Owners < resource->Capacity || sctx_nt_owners_grow(resource)) {
		resource->Owner[resource->Owners].Thread = pthread_self();
		resource->Owner[resource->Owners++].Count = 1;
	}
	pthread_mutex_unlock(&resource->OwnersLock);
}

/* Once more, by a thread that owns the resource in a way that includes this one. */
static inline BOOLEAN sctx_nt_owned_again(PERESOURCE resource, BOOLEAN exclusive)
{
	struct sctx_nt_owner *owner;
	BOOLEAN again = FALSE;

	pthread_mutex_lock(&resource->OwnersLock);
	owner = sctx_nt_my_entry(resource);
	if (owner && (resource->Exclusive || !exclusive)) {
		owner->Count++;
		again = TRUE;
	}
	pthread_mutex_unlock(&resource->OwnersLock);
	return again;
}

static inline BOOLEAN ExAcquireResourceExclusiveLite(PERESOURCE resource, BOOLEAN wait)
{
	if (sctx_nt_owned_again(resource, TRUE))
		return TRUE;
	if (wait ? pthread_rwlock_wrlock(&resource->Lock)
		 : pthread_rwlock_trywrlock(&resource->Lock))
		return FALSE;
	sctx_nt_owner_add(resource, TRUE);
	return TRUE;
}

static inline BOOLEAN ExAcquireResourceSharedLite(PERESOURCE resource, BOOLEAN wait)
{
	if (sctx_nt_owned_again(resource, FALSE))
		return TRUE;
	if (wait ? pthread_rwlock_rdlock(&resource->Lock)
		 : pthread_rwlock_tryrdlock(&resource->Lock))
		return FALSE;
	sctx_nt_owner_add(resource, FALSE);
	return TRUE;
}

static inline VOID ExReleaseResourceLite(PERESOURCE resource)
{
	struct sctx_nt_owner *owner;
	BOOLEAN last = TRUE;

	pthread_mutex_lock(&resource->OwnersLock);
	owner = sctx_nt_my_entry(resource);
	if (owner) {
		last = --owner->Count == 0;
		if (last) {
			*owner = resource->Owner[--resource->Owners];
			resource->Exclusive = FALSE;
		}
	}
	pthread_mutex_unlock(&resource->OwnersLock);
	if (last)
		pthread_rwlock_unlock(&resource->Lock);
}

/* How often the calling thread has acquired it, in either way. */
static inline ULONG ExIsResourceAcquiredSharedLite(PERESOURCE resource)
{
	struct sctx_nt_owner *owner;
	ULONG count;

	pthread_mutex_lock(&resource->OwnersLock);
	owner = sctx_nt_my_entry(resource);
	count = owner ? owner->Count : 0;
	pthread_mutex_unlock(&resource->OwnersLock);
	return count;
}

static inline BOOLEAN ExIsResourceAcquiredExclusiveLite(PERESOURCE resource)
{
	BOOLEAN exclusive;

	pthread_mutex_lock(&resource->OwnersLock);
	exclusive = resource->Exclusive && sctx_nt_my_entry(resource);
	pthread_mutex_unlock(&resource->OwnersLock);
	return exclusive;
}

static inline VOID FltAcquireResourceExclusive(PERESOURCE resource)
{
	KeEnterCriticalRegion();
	ExAcquireResourceExclusiveLite(resource, TRUE);
}

static inline VOID FltAcquireResourceShared(PERESOURCE resource)
{
	KeEnterCriticalRegion();
	ExAcquireResourceSharedLite(resource, TRUE);
}

static inline VOID FltReleaseResource(PERESOURCE resource)
{
	ExReleaseResourceLite(resource);
	KeLeaveCriticalRegion();
}

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_WDK_LOCK_H */
