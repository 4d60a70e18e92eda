/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routines of spy_filter.c that the host calls. */
#ifndef SPY_FILTER_H
#define SPY_FILTER_H

#include <streamctx/fsrtl.h>

NTSTATUS SpyCreate(PFILE_OBJECT FileObject);
VOID SpyWrite(PFILE_OBJECT FileObject, ULONG Length);
ULONGLONG SpyBytes(PFILE_OBJECT FileObject);
NTSTATUS SpySetHandle(PFILE_OBJECT FileObject, PFSRTL_PER_FILEOBJECT_CONTEXT Context);
VOID SpyForget(PFILE_OBJECT FileObject);
/* Contexts not freed, and whether the last name freed was a good one. */
LONG SpyOutstanding(VOID);

#endif /* SPY_FILTER_H */
