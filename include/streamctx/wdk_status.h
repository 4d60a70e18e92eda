/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Status codes: names and values are those of the public documentation.
 * Included by <streamctx/wdk.h>.
 */
#ifndef STREAMCTX_WDK_STATUS_H
#define STREAMCTX_WDK_STATUS_H

#include <errno.h>
#include <stdint.h>

typedef int32_t NTSTATUS, *PNTSTATUS;

#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
#define NT_WARNING(status) ((uint32_t)(status) >> 30 == 2)
#define NT_ERROR(status)   ((uint32_t)(status) >> 30 == 3)

#define STATUS_SUCCESS                          ((NTSTATUS)0x00000000)
#define STATUS_PENDING                          ((NTSTATUS)0x00000103)
#define STATUS_BUFFER_OVERFLOW                  ((NTSTATUS)0x80000005)
#define STATUS_DEVICE_BUSY                      ((NTSTATUS)0x80000011)
#define STATUS_UNSUCCESSFUL                     ((NTSTATUS)0xC0000001)
#define STATUS_INVALID_PARAMETER                ((NTSTATUS)0xC000000D)
#define STATUS_INVALID_DEVICE_REQUEST           ((NTSTATUS)0xC0000010)
#define STATUS_NO_MEMORY                        ((NTSTATUS)0xC0000017)
#define STATUS_ACCESS_DENIED                    ((NTSTATUS)0xC0000022)
#define STATUS_BUFFER_TOO_SMALL                 ((NTSTATUS)0xC0000023)
#define STATUS_OBJECT_NAME_NOT_FOUND            ((NTSTATUS)0xC0000034)
#define STATUS_INSUFFICIENT_RESOURCES           ((NTSTATUS)0xC000009A)
#define STATUS_NOT_SUPPORTED                    ((NTSTATUS)0xC00000BB)
#define STATUS_NOT_FOUND                        ((NTSTATUS)0xC0000225)
#define STATUS_FLT_CONTEXT_ALREADY_DEFINED      ((NTSTATUS)0xC01C0002)
#define STATUS_FLT_DELETING_OBJECT              ((NTSTATUS)0xC01C000B)
#define STATUS_FLT_DO_NOT_ATTACH                ((NTSTATUS)0xC01C000F)
#define STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND ((NTSTATUS)0xC01C0016)
#define STATUS_FLT_INVALID_CONTEXT_REGISTRATION ((NTSTATUS)0xC01C0017)
#define STATUS_FLT_CONTEXT_ALREADY_LINKED       ((NTSTATUS)0xC01C001C)

/* The status that stands for an errno of the library. */
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

#endif /* STREAMCTX_WDK_STATUS_H */
