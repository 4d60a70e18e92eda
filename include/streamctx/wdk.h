/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The types, codes, memory, strings and locks of the Windows driver kit that
 * context code uses, as far as <streamctx/fsrtl.h> needs them.  Names and
 * meanings are the public documentation's.
 *
 * Driver code may contain three things that gcc warns about.  The warnings stay off in
 * the file that includes this: pool tags of four characters, pragmas for another
 * compiler, and initialisers that end early.
 */
#ifndef STREAMCTX_WDK_H
#define STREAMCTX_WDK_H

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wmultichar"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif

#include <streamctx/wdk_types.h>
#include <streamctx/wdk_lock.h>
#include <streamctx/wdk_print.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PAGED_CODE() ((void)0)

/* ------------------------------------------------------------------ memory */

#define RtlZeroMemory(to, n)       memset((to), 0, (n))
#define RtlFillMemory(to, n, byte) memset((to), (byte), (n))
#define RtlCopyMemory(to, from, n) memcpy((to), (from), (n))
#define RtlMoveMemory(to, from, n) memmove((to), (from), (n))

typedef enum _POOL_TYPE { NonPagedPool = 0, PagedPool = 1, NonPagedPoolNx = 512 } POOL_TYPE;

static inline enum sctx_pool sctx_nt_pool(POOL_TYPE type)
{
	return type == PagedPool ? SCTX_POOL_PAGED : SCTX_POOL_LOCKED;
}

/* Nonpaged memory is locked memory: within RLIMIT_MEMLOCK. */
static inline PVOID ExAllocatePoolWithTag(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	return sctx_alloc(sctx_nt_pool(type), size, tag);
}

#define ExAllocatePoolUninitialized ExAllocatePoolWithTag

static inline PVOID ExAllocatePoolZero(POOL_TYPE type, SIZE_T size, ULONG tag)
{
	PVOID memory = ExAllocatePoolWithTag(type, size, tag);

	return memory ? memset(memory, 0, size) : NULL;
}

#define POOL_FLAG_UNINITIALIZED 0x02ull
#define POOL_FLAG_NON_PAGED     0x40ull
#define POOL_FLAG_PAGED         0x100ull

static inline PVOID ExAllocatePool2(ULONG64 flags, SIZE_T size, ULONG tag)
{
	POOL_TYPE type = FlagOn(flags, POOL_FLAG_PAGED) ? PagedPool : NonPagedPoolNx;

	return FlagOn(flags, POOL_FLAG_UNINITIALIZED) ? ExAllocatePoolWithTag(type, size, tag)
						      : ExAllocatePoolZero(type, size, tag);
}

/* As with the kernel's routine, a tag of 0 frees memory of any tag. */
static inline VOID ExFreePoolWithTag(PVOID memory, ULONG tag)
{
	sctx_free(memory, tag);
}

static inline VOID ExFreePool(PVOID memory)
{
	sctx_free(memory, 0);
}

/* ----------------------------------------------------------------- strings */

static inline VOID RtlInitEmptyUnicodeString(PUNICODE_STRING string, PWCHAR buffer, USHORT size)
{
	string->Length = 0;
	string->MaximumLength = size;
	string->Buffer = buffer;
}

/* As much as fits. */
static inline VOID RtlCopyUnicodeString(PUNICODE_STRING to, PCUNICODE_STRING from)
{
	USHORT length = from ? from->Length : 0;

	if (length > to->MaximumLength)
		length = to->MaximumLength;
	if (length)
		memmove(to->Buffer, from->Buffer, length);
	to->Length = length;
}

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_WDK_H */
