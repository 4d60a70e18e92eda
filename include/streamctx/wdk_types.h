/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The basic types of driver code.  Included by <streamctx/wdk.h>.
 */
#ifndef STREAMCTX_WDK_TYPES_H
#define STREAMCTX_WDK_TYPES_H

/* pthread_rwlock_t is POSIX, which -std=c11 alone hides. */
#if defined(__STRICT_ANSI__) && !defined(_POSIX_C_SOURCE) && !defined(_GNU_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <streamctx.h>
#include <streamctx/sal.h>
#include <streamctx/wdk_status.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef VOID
#define VOID void
#endif
#ifndef TRUE
#define TRUE  1
#define FALSE 0
#endif
#define MAXUSHORT 0xffff

#ifndef FORCEINLINE
#define FORCEINLINE static inline __attribute__((__always_inline__, __unused__))
#endif

typedef void *PVOID, *HANDLE, **PHANDLE;
typedef char CHAR, *PCHAR, CCHAR, *PSTR;
typedef const char *PCSTR;
typedef unsigned char UCHAR, *PUCHAR, BOOLEAN, *PBOOLEAN, KIRQL, *PKIRQL;
typedef int16_t SHORT, CSHORT;
typedef uint16_t USHORT, *PUSHORT, WCHAR, *PWCHAR, *PWSTR;
typedef const WCHAR *PCWSTR;
typedef int32_t LONG, *PLONG;
typedef uint32_t ULONG, *PULONG, ACCESS_MASK, DEVICE_TYPE;
typedef int64_t LONGLONG, *PLONGLONG, LONG64;
typedef uint64_t ULONGLONG, *PULONGLONG, ULONG64;
typedef intptr_t LONG_PTR;
typedef uintptr_t ULONG_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef CCHAR KPROCESSOR_MODE;

typedef union _LARGE_INTEGER {
	LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct _UNICODE_STRING {
	USHORT Length;        /* bytes */
	USHORT MaximumLength; /* bytes */
	PWCHAR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

typedef struct _STRING {
	USHORT Length;
	USHORT MaximumLength;
	PCHAR Buffer;
} STRING, ANSI_STRING, *PANSI_STRING;

#define FlagOn(flags, flag)        ((flags) & (flag))
#define BooleanFlagOn(flags, flag) ((BOOLEAN)(((flags) & (flag)) != 0))
#define SetFlag(flags, flag)       ((flags) |= (flag))
#define ClearFlag(flags, flag)     ((flags) &= ~(flag))
#define UNREFERENCED_PARAMETER(p)  ((void)(p))
#define FIELD_OFFSET(type, field)  ((LONG)offsetof(type, field))
#define CONTAINING_RECORD(address, type, field) \
	((type *)(void *)((char *)(address)-offsetof(type, field)))

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_WDK_TYPES_H */
