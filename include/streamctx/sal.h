/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source annotations (SAL) of driver code.  They are for another
 * compiler's analysis and mean nothing here: each expands to nothing.
 */
#ifndef STREAMCTX_SAL_H
#define STREAMCTX_SAL_H

#define NTAPI
#define FLTAPI
#define FASTCALL
#define IN
#define OUT
#define OPTIONAL

/* ------------------------------------------------------------- parameters */

#define _In_
#define _In_opt_
#define _In_z_
#define _In_opt_z_
#define _In_range_(low, high)
#define _In_reads_(n)
#define _In_reads_opt_(n)
#define _In_reads_bytes_(n)
#define _In_reads_bytes_opt_(n)
#define _Inout_
#define _Inout_opt_
#define _Inout_updates_(n)
#define _Inout_updates_bytes_(n)
#define _Out_
#define _Out_opt_
#define _Out_range_(low, high)
#define _Out_writes_(n)
#define _Out_writes_opt_(n)
#define _Out_writes_bytes_(n)
#define _Out_writes_bytes_opt_(n)
#define _Out_writes_bytes_to_(n, count)
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_opt_result_maybenull_
#define _Outptr_result_bytebuffer_(n)
#define _Flt_CompletionContext_Outptr_
#define _Reserved_
#define _Unreferenced_parameter_
#define _Points_to_data_
#define _Interlocked_operand_

/* ------------------------------------------------- before and after a call */

#define _Pre_notnull_
#define _Pre_maybenull_
#define _Pre_null_
#define _Pre_valid_
#define _Pre_invalid_
#define _Pre_opt_valid_
#define _Pre_satisfies_(condition)
#define _Post_notnull_
#define _Post_maybenull_
#define _Post_null_
#define _Post_valid_
#define _Post_invalid_
#define _Post_ptr_invalid_
#define _Post_satisfies_(condition)
#define _Post_writable_byte_size_(n)
#define _Post_equal_to_(value)
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Ret_range_(low, high)
#define _Check_return_
#define _Must_inspect_result_
#define _Success_(condition)
#define _Return_type_success_(condition)
#define _When_(condition, annotation)
#define _At_(target, annotation)
#define _On_failure_(annotation)
#define _Always_(annotation)
#define _Group_(annotation)
#define _Use_decl_annotations_
#define _Function_class_(name)
#define _Dispatch_type_(major)
#define _Kernel_entry_
#define _Kernel_clear_do_init_(answer)
#define _Analysis_assume_(condition)
#define _Analysis_assume_lock_held_(lock)
#define _Analysis_assume_lock_not_held_(lock)
#define __analysis_assume(condition)
#define __fallthrough __attribute__((__fallthrough__))

/* ----------------------------------------------------------------- members */

#define _Field_size_(n)
#define _Field_size_opt_(n)
#define _Field_size_bytes_(n)
#define _Field_size_bytes_opt_(n)
#define _Field_range_(low, high)
#define _Field_z_
#define _Struct_size_bytes_(n)
#define _Guarded_by_(lock)
#define _Write_guarded_by_(lock)

/* --------------------------------------------------------- locks and levels */

#define _Acquires_lock_(lock)
#define _Acquires_exclusive_lock_(lock)
#define _Acquires_shared_lock_(lock)
#define _Acquires_nonreentrant_lock_(lock)
#define _Releases_lock_(lock)
#define _Releases_exclusive_lock_(lock)
#define _Releases_shared_lock_(lock)
#define _Releases_nonreentrant_lock_(lock)
#define _Requires_lock_held_(lock)
#define _Requires_lock_not_held_(lock)
#define _Requires_exclusive_lock_held_(lock)
#define _Requires_shared_lock_held_(lock)
#define _Requires_no_locks_held_
#define _Has_lock_kind_(kind)
#define _Has_lock_level_(level)
#define _Create_lock_level_(level)
#define _Lock_level_order_(first, second)
#define _IRQL_requires_(level)
#define _IRQL_requires_max_(level)
#define _IRQL_requires_min_(level)
#define _IRQL_requires_same_
#define _IRQL_raises_(level)
#define _IRQL_saves_
#define _IRQL_restores_
#define _IRQL_always_function_max_(level)
#define _IRQL_always_function_min_(level)

#endif /* STREAMCTX_SAL_H */
