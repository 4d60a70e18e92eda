/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The minifilter manager's structures and callback types, with the members
 * that the public documentation gives them.  Included by <streamctx/flt.h>.
 *
 * Objects that are opaque on Windows (filter, volume, instance, transaction)
 * are the host's to allocate here, except for the filter.
 */
#ifndef STREAMCTX_FLT_TYPES_H
#define STREAMCTX_FLT_TYPES_H

#include <streamctx/fsrtl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------- kinds of contexts */

typedef PVOID PFLT_CONTEXT;
#define NULL_CONTEXT ((PFLT_CONTEXT)NULL)

/*
 * The documentation has PFLT_CONTEXT * here.  Filters pass the address of a pointer
 * to a structure of their own, without a cast.
 */
typedef PVOID PFLT_CONTEXT_OUT;

typedef USHORT FLT_CONTEXT_TYPE;

#define FLT_VOLUME_CONTEXT       ((FLT_CONTEXT_TYPE)0x0001)
#define FLT_INSTANCE_CONTEXT     ((FLT_CONTEXT_TYPE)0x0002)
#define FLT_FILE_CONTEXT         ((FLT_CONTEXT_TYPE)0x0004)
#define FLT_STREAM_CONTEXT       ((FLT_CONTEXT_TYPE)0x0008)
#define FLT_STREAMHANDLE_CONTEXT ((FLT_CONTEXT_TYPE)0x0010)
#define FLT_TRANSACTION_CONTEXT  ((FLT_CONTEXT_TYPE)0x0020)
#define FLT_SECTION_CONTEXT      ((FLT_CONTEXT_TYPE)0x0040)
#define FLT_ALL_CONTEXTS         ((FLT_CONTEXT_TYPE)0x007f)
#define FLT_CONTEXT_END          ((FLT_CONTEXT_TYPE)0xffff)

/* The bit of each kind. */
enum sctx_flt_kind {
	SCTX_FLT_VOLUME,
	SCTX_FLT_INSTANCE,
	SCTX_FLT_FILE,
	SCTX_FLT_STREAM,
	SCTX_FLT_STREAMHANDLE,
	SCTX_FLT_TRANSACTION,
	SCTX_FLT_SECTION,
	SCTX_FLT_KINDS
};

typedef enum _FLT_SET_CONTEXT_OPERATION {
	FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
	FLT_SET_CONTEXT_KEEP_IF_EXISTS
} FLT_SET_CONTEXT_OPERATION;

typedef VOID (*PFLT_CONTEXT_CLEANUP_CALLBACK)(PFLT_CONTEXT Context, FLT_CONTEXT_TYPE ContextType);
typedef PVOID (*PFLT_CONTEXT_ALLOCATE_CALLBACK)(POOL_TYPE PoolType, SIZE_T Size,
						FLT_CONTEXT_TYPE ContextType);
typedef VOID (*PFLT_CONTEXT_FREE_CALLBACK)(PVOID Pool, FLT_CONTEXT_TYPE ContextType);

typedef USHORT FLT_CONTEXT_REGISTRATION_FLAGS;
#define FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH 0x0001
#define FLT_VARIABLE_SIZED_CONTEXTS                    ((SIZE_T)-1)

typedef struct _FLT_CONTEXT_REGISTRATION {
	FLT_CONTEXT_TYPE ContextType;
	FLT_CONTEXT_REGISTRATION_FLAGS Flags;
	PFLT_CONTEXT_CLEANUP_CALLBACK ContextCleanupCallback; /* or NULL */
	SIZE_T Size;                                          /* or FLT_VARIABLE_SIZED_CONTEXTS */
	ULONG PoolTag;
	PFLT_CONTEXT_ALLOCATE_CALLBACK ContextAllocateCallback; /* or NULL */
	PFLT_CONTEXT_FREE_CALLBACK ContextFreeCallback;         /* or NULL */
	PVOID Reserved1;
} FLT_CONTEXT_REGISTRATION, *PFLT_CONTEXT_REGISTRATION;

/* ----------------------------------------------------------------- objects */

/* The module's name, and the registry of the host's streams. */
typedef struct _DRIVER_OBJECT {
	const char *Name;
	struct sctx_registry *Registry;
} DRIVER_OBJECT, *PDRIVER_OBJECT;

typedef NTSTATUS DRIVER_INITIALIZE(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

typedef struct _FLT_FILTER FLT_FILTER, *PFLT_FILTER;

typedef struct _FLT_VOLUME {
	struct sctx_stream Contexts;
} FLT_VOLUME, *PFLT_VOLUME;

/* A filter on a volume. */
typedef struct _FLT_INSTANCE {
	PFLT_FILTER Filter;
	struct sctx_stream Contexts;
} FLT_INSTANCE, *PFLT_INSTANCE;

typedef struct _KTRANSACTION {
	struct sctx_stream Contexts;
} KTRANSACTION, *PKTRANSACTION;

typedef struct _FLT_RELATED_OBJECTS {
	USHORT Size;
	USHORT TransactionContext;
	PFLT_FILTER Filter;
	PFLT_VOLUME Volume;
	PFLT_INSTANCE Instance;
	PFILE_OBJECT FileObject;
	PKTRANSACTION Transaction;
} FLT_RELATED_OBJECTS, *PFLT_RELATED_OBJECTS;
typedef const FLT_RELATED_OBJECTS *PCFLT_RELATED_OBJECTS;

typedef struct _FLT_RELATED_CONTEXTS {
	PFLT_CONTEXT VolumeContext;
	PFLT_CONTEXT InstanceContext;
	PFLT_CONTEXT FileContext;
	PFLT_CONTEXT StreamContext;
	PFLT_CONTEXT StreamHandleContext;
	PFLT_CONTEXT TransactionContext;
} FLT_RELATED_CONTEXTS, *PFLT_RELATED_CONTEXTS;

typedef struct _FLT_RELATED_CONTEXTS_EX {
	PFLT_CONTEXT VolumeContext;
	PFLT_CONTEXT InstanceContext;
	PFLT_CONTEXT FileContext;
	PFLT_CONTEXT StreamContext;
	PFLT_CONTEXT StreamHandleContext;
	PFLT_CONTEXT TransactionContext;
	PFLT_CONTEXT SectionContext;
} FLT_RELATED_CONTEXTS_EX, *PFLT_RELATED_CONTEXTS_EX;

/* -------------------------------------------------------------- operations */

#define IRP_MJ_CREATE              0x00
#define IRP_MJ_CLOSE               0x02
#define IRP_MJ_READ                0x03
#define IRP_MJ_WRITE               0x04
#define IRP_MJ_QUERY_INFORMATION   0x05
#define IRP_MJ_SET_INFORMATION     0x06
#define IRP_MJ_FLUSH_BUFFERS       0x09
#define IRP_MJ_DIRECTORY_CONTROL   0x0c
#define IRP_MJ_FILE_SYSTEM_CONTROL 0x0d
#define IRP_MJ_SHUTDOWN            0x10
#define IRP_MJ_CLEANUP             0x12
#define IRP_MJ_OPERATION_END       ((UCHAR)0x80)

typedef enum _FLT_PREOP_CALLBACK_STATUS {
	FLT_PREOP_SUCCESS_WITH_CALLBACK,
	FLT_PREOP_SUCCESS_NO_CALLBACK,
	FLT_PREOP_PENDING,
	FLT_PREOP_DISALLOW_FASTIO,
	FLT_PREOP_COMPLETE,
	FLT_PREOP_SYNCHRONIZE,
	FLT_PREOP_DISALLOW_FSFILTER_IO
} FLT_PREOP_CALLBACK_STATUS,
	*PFLT_PREOP_CALLBACK_STATUS;

typedef enum _FLT_POSTOP_CALLBACK_STATUS {
	FLT_POSTOP_FINISHED_PROCESSING,
	FLT_POSTOP_MORE_PROCESSING_REQUIRED,
	FLT_POSTOP_DISALLOW_FSFILTER_IO
} FLT_POSTOP_CALLBACK_STATUS,
	*PFLT_POSTOP_CALLBACK_STATUS;

typedef ULONG FLT_CALLBACK_DATA_FLAGS;
typedef ULONG FLT_POST_OPERATION_FLAGS;
typedef ULONG FLT_OPERATION_REGISTRATION_FLAGS;

#define FLTFL_POST_OPERATION_DRAINING               0x00000001
#define FLTFL_OPERATION_REGISTRATION_SKIP_PAGING_IO 0x00000001
#define FLTFL_OPERATION_REGISTRATION_SKIP_CACHED_IO 0x00000002

typedef struct _IO_STATUS_BLOCK {
	union {
		NTSTATUS Status;
		PVOID Pointer;
	};
	ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;

/* The members of an operation that context code uses. */
typedef struct _FLT_IO_PARAMETER_BLOCK {
	ULONG IrpFlags;
	UCHAR MajorFunction;
	UCHAR MinorFunction;
	UCHAR OperationFlags;
	UCHAR Reserved;
	PFILE_OBJECT TargetFileObject;
	PFLT_INSTANCE TargetInstance;
} FLT_IO_PARAMETER_BLOCK, *PFLT_IO_PARAMETER_BLOCK;

typedef struct _FLT_CALLBACK_DATA {
	FLT_CALLBACK_DATA_FLAGS Flags;
	PFLT_IO_PARAMETER_BLOCK Iopb;
	IO_STATUS_BLOCK IoStatus;
	KPROCESSOR_MODE RequestorMode;
} FLT_CALLBACK_DATA, *PFLT_CALLBACK_DATA;

typedef FLT_PREOP_CALLBACK_STATUS (*PFLT_PRE_OPERATION_CALLBACK)(PFLT_CALLBACK_DATA Data,
								 PCFLT_RELATED_OBJECTS FltObjects,
								 PVOID *CompletionContext);
typedef FLT_POSTOP_CALLBACK_STATUS (*PFLT_POST_OPERATION_CALLBACK)(PFLT_CALLBACK_DATA Data,
								   PCFLT_RELATED_OBJECTS FltObjects,
								   PVOID CompletionContext,
								   FLT_POST_OPERATION_FLAGS Flags);

typedef struct _FLT_OPERATION_REGISTRATION {
	UCHAR MajorFunction;
	FLT_OPERATION_REGISTRATION_FLAGS Flags;
	PFLT_PRE_OPERATION_CALLBACK PreOperation;
	PFLT_POST_OPERATION_CALLBACK PostOperation;
	PVOID Reserved1;
} FLT_OPERATION_REGISTRATION, *PFLT_OPERATION_REGISTRATION;

/* ------------------------------------------------- instances, names, sections */

typedef ULONG FLT_REGISTRATION_FLAGS;
typedef ULONG FLT_FILTER_UNLOAD_FLAGS;
typedef ULONG FLT_INSTANCE_SETUP_FLAGS;
typedef ULONG FLT_INSTANCE_QUERY_TEARDOWN_FLAGS;
typedef ULONG FLT_INSTANCE_TEARDOWN_FLAGS;
typedef ULONG FLT_FILE_NAME_OPTIONS;
typedef ULONG FLT_NORMALIZE_NAME_FLAGS;

#define FLTFL_FILTER_UNLOAD_MANDATORY             0x00000001
#define FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT 0x00000001
#define FLTFL_INSTANCE_SETUP_MANUAL_ATTACHMENT    0x00000002
#define FLTFL_INSTANCE_SETUP_NEWLY_MOUNTED_VOLUME 0x00000004
#define FLTFL_INSTANCE_TEARDOWN_MANUAL            0x00000001
#define FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD     0x00000002
#define FLTFL_INSTANCE_TEARDOWN_VOLUME_DISMOUNT   0x00000008

#define FILE_DEVICE_DISK_FILE_SYSTEM    0x00000008
#define FILE_DEVICE_NETWORK_FILE_SYSTEM 0x00000014

typedef enum _FLT_FILESYSTEM_TYPE {
	FLT_FSTYPE_UNKNOWN,
	FLT_FSTYPE_RAW,
	FLT_FSTYPE_NTFS,
	FLT_FSTYPE_FAT
} FLT_FILESYSTEM_TYPE,
	*PFLT_FILESYSTEM_TYPE;

typedef struct _FLT_NAME_CONTROL *PFLT_NAME_CONTROL;
typedef struct _FILE_NAMES_INFORMATION *PFILE_NAMES_INFORMATION;

typedef NTSTATUS (*PFLT_FILTER_UNLOAD_CALLBACK)(FLT_FILTER_UNLOAD_FLAGS Flags);
typedef NTSTATUS (*PFLT_INSTANCE_SETUP_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects,
						 FLT_INSTANCE_SETUP_FLAGS Flags,
						 DEVICE_TYPE VolumeDeviceType,
						 FLT_FILESYSTEM_TYPE VolumeFilesystemType);
typedef NTSTATUS (*PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects,
							  FLT_INSTANCE_QUERY_TEARDOWN_FLAGS Flags);
typedef VOID (*PFLT_INSTANCE_TEARDOWN_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects,
						FLT_INSTANCE_TEARDOWN_FLAGS Reason);
typedef NTSTATUS (*PFLT_GENERATE_FILE_NAME)(PFLT_INSTANCE Instance, PFILE_OBJECT FileObject,
					    PFLT_CALLBACK_DATA CallbackData,
					    FLT_FILE_NAME_OPTIONS NameOptions,
					    PBOOLEAN CacheFileNameInformation,
					    PFLT_NAME_CONTROL FileName);
typedef NTSTATUS (*PFLT_NORMALIZE_NAME_COMPONENT)(
	PFLT_INSTANCE Instance, PCUNICODE_STRING ParentDirectory, USHORT VolumeNameLength,
	PCUNICODE_STRING Component, PFILE_NAMES_INFORMATION ExpandComponentName,
	ULONG ExpandComponentNameLength, FLT_NORMALIZE_NAME_FLAGS Flags,
	PVOID *NormalizationContext);
typedef NTSTATUS (*PFLT_NORMALIZE_NAME_COMPONENT_EX)(
	PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PCUNICODE_STRING ParentDirectory,
	USHORT VolumeNameLength, PCUNICODE_STRING Component,
	PFILE_NAMES_INFORMATION ExpandComponentName, ULONG ExpandComponentNameLength,
	FLT_NORMALIZE_NAME_FLAGS Flags, PVOID *NormalizationContext);
typedef VOID (*PFLT_NORMALIZE_CONTEXT_CLEANUP)(PVOID *NormalizationContext);
typedef NTSTATUS (*PFLT_TRANSACTION_NOTIFICATION_CALLBACK)(PCFLT_RELATED_OBJECTS FltObjects,
							   PFLT_CONTEXT TransactionContext,
							   ULONG NotificationMask);
typedef NTSTATUS (*PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK)(PFLT_INSTANCE Instance,
								PFLT_CONTEXT SectionContext,
								PFLT_CALLBACK_DATA Data);

/* ------------------------------------------------------------ registration */

#define FLT_REGISTRATION_VERSION ((USHORT)0x0203)

/* The filter has a copy of it, from which the host takes the callbacks. */
typedef struct _FLT_REGISTRATION {
	USHORT Size;
	USHORT Version;
	FLT_REGISTRATION_FLAGS Flags;
	const FLT_CONTEXT_REGISTRATION *ContextRegistration;
	const FLT_OPERATION_REGISTRATION *OperationRegistration;
	PFLT_FILTER_UNLOAD_CALLBACK FilterUnloadCallback;
	PFLT_INSTANCE_SETUP_CALLBACK InstanceSetupCallback;
	PFLT_INSTANCE_QUERY_TEARDOWN_CALLBACK InstanceQueryTeardownCallback;
	PFLT_INSTANCE_TEARDOWN_CALLBACK InstanceTeardownStartCallback;
	PFLT_INSTANCE_TEARDOWN_CALLBACK InstanceTeardownCompleteCallback;
	PFLT_GENERATE_FILE_NAME GenerateFileNameCallback;
	PFLT_NORMALIZE_NAME_COMPONENT NormalizeNameComponentCallback;
	PFLT_NORMALIZE_CONTEXT_CLEANUP NormalizeContextCleanupCallback;
	PFLT_TRANSACTION_NOTIFICATION_CALLBACK TransactionNotificationCallback;
	PFLT_NORMALIZE_NAME_COMPONENT_EX NormalizeNameComponentExCallback;
	PFLT_SECTION_CONFLICT_NOTIFICATION_CALLBACK SectionNotificationCallback;
} FLT_REGISTRATION, *PFLT_REGISTRATION;

#define SCTX_FLT_FIXED_SIZES 3 /* of each kind, and one variable size */
#define SCTX_FLT_SIZES       (SCTX_FLT_KINDS * (SCTX_FLT_FIXED_SIZES + 1))

/* One owner for each kind of context that the filter registers. */
struct _FLT_FILTER {
	FLT_REGISTRATION Registration;
	struct sctx_registry *Registry;
	struct sctx_owner *Owner[SCTX_FLT_KINDS];
	ULONG Sizes;
	FLT_CONTEXT_REGISTRATION Size[SCTX_FLT_SIZES];
};

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_FLT_TYPES_H */
