/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The types, codes and annotations of the Windows driver kit that context
 * code uses, as far as <streamctx/fsrtl.h> needs them.  Names and meanings are
 * the public documentation's; values of status codes too.
 */
#ifndef STREAMCTX_WDK_H
#define STREAMCTX_WDK_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <streamctx.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------- types */

#ifndef VOID
#define VOID void
#endif
typedef void *PVOID;
typedef char CHAR, *PCHAR;
typedef unsigned char UCHAR, *PUCHAR, BOOLEAN, *PBOOLEAN;
typedef int16_t CSHORT;
typedef uint16_t USHORT, *PUSHORT, WCHAR, *PWCHAR, *PWSTR;
typedef const WCHAR *PCWSTR;
typedef int32_t LONG, *PLONG, NTSTATUS;
typedef uint32_t ULONG, *PULONG;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef uintptr_t ULONG_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef union _LARGE_INTEGER {
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct _UNICODE_STRING {
	USHORT Length;        /* bytes */
	USHORT MaximumLength; /* bytes */
	PWCHAR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

#ifndef TRUE
#define TRUE  1
#define FALSE 0
#endif

/* ------------------------------------------------------------- annotations */

#define NTAPI
#define FLTAPI
#define FASTCALL
#define IN
#define OUT
#define OPTIONAL
#define _In_
#define _In_opt_
#define _Inout_
#define _Inout_opt_
#define _Out_
#define _Out_opt_
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_opt_result_maybenull_
#define _Flt_CompletionContext_Outptr_
#define _Must_inspect_result_
#define _Success_(condition)
#define _When_(condition, annotation)
#define _At_(target, annotation)
#define _IRQL_requires_max_(level)
#define _IRQL_requires_(level)
#define _IRQL_requires_same_
#define _Function_class_(name)
#define _Requires_lock_held_(lock)
#define _Requires_lock_not_held_(lock)
#define _Acquires_lock_(lock)
#define _Releases_lock_(lock)
#define PAGED_CODE()               ((void)0)
#define UNREFERENCED_PARAMETER(p)  ((void)(p))
#define NT_ASSERT(condition)       ((void)0)
#define FLT_ASSERT(condition)      ((void)0)
#define FlagOn(flags, flag)        ((flags) & (flag))
#define BooleanFlagOn(flags, flag) ((BOOLEAN)(((flags) & (flag)) != 0))
#define SetFlag(flags, flag)       ((flags) |= (flag))
#define ClearFlag(flags, flag)     ((flags) &= ~(flag))
#define FIELD_OFFSET(type, field)  ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) \
	((type *)(void *)((char *)(address)-offsetof(type, field)))

/* ------------------------------------------------------------ status codes */

#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)

#define STATUS_SUCCESS                          ((NTSTATUS)0x00000000)
#define STATUS_INVALID_PARAMETER                ((NTSTATUS)0xC000000D)
#define STATUS_INVALID_DEVICE_REQUEST           ((NTSTATUS)0xC0000010)
#define STATUS_NO_MEMORY                        ((NTSTATUS)0xC0000017)
#define STATUS_INSUFFICIENT_RESOURCES           ((NTSTATUS)0xC000009A)
#define STATUS_NOT_SUPPORTED                    ((NTSTATUS)0xC00000BB)
#define STATUS_NOT_FOUND                        ((NTSTATUS)0xC0000225)
#define STATUS_DEVICE_BUSY                      ((NTSTATUS)0x80000011)
#define STATUS_UNSUCCESSFUL                     ((NTSTATUS)0xC0000001)
#define STATUS_FLT_CONTEXT_ALREADY_DEFINED      ((NTSTATUS)0xC01C0002)
#define STATUS_FLT_DELETING_OBJECT              ((NTSTATUS)0xC01C000B)
#define STATUS_FLT_CONTEXT_ALREADY_LINKED       ((NTSTATUS)0xC01C001C)
#define STATUS_FLT_INVALID_CONTEXT_REGISTRATION ((NTSTATUS)0xC01C0017)
#define STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND ((NTSTATUS)0xC01C0016)

/* An errno of the library's as the status that the WDK routine would return. */
static inline NTSTATUS sctx_nt_status(int error)
{
	switch (error) {
	case 0:
		return STATUS_SUCCESS;
	case -EINVAL:
		return STATUS_INVALID_PARAMETER;
	case -EEXIST:
		return STATUS_FLT_CONTEXT_ALREADY_DEFINED;
	case -EBUSY:
		return STATUS_FLT_CONTEXT_ALREADY_LINKED;
	case -ESHUTDOWN:
		return STATUS_FLT_DELETING_OBJECT;
	case -EOPNOTSUPP:
		return STATUS_NOT_SUPPORTED;
	case -ENOENT:
		return STATUS_NOT_FOUND;
	case -ENOMEM:
	case -EAGAIN:
		return STATUS_INSUFFICIENT_RESOURCES;
	default:
		return STATUS_UNSUCCESSFUL;
	}
}

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

/* A tag of 0, as with the kernel's routine, is whatever it was allocated with. */
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

/* ------------------------------------------------------------------- locks */

/* The fast mutex: an ordinary one. */
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

/* ------------------------------------------------------------------- debug */

__attribute__((format(printf, 1, 2))) static inline ULONG DbgPrint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	return 0;
}

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_WDK_H */
