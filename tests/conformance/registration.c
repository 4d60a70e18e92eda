/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registering a minifilter and allocating its contexts: the status of each refusal,
 * and the registered size that serves a request (include/SEMANTICS.md).
 */
#include "test.h"

#include <streamctx/fsrtl.h>

#define TAG SCTX_TAG('R', 'e', 'g', ' ')

static struct sctx_registry *registry;

static int setup(void **state)
{
	(void)state;
	return sctx_registry_create(&registry);
}

static int end(void **state)
{
	(void)state;
	return sctx_registry_destroy(registry) || sctx_barrier();
}

static NTSTATUS try_register(const FLT_CONTEXT_REGISTRATION *sizes, PFLT_FILTER *filter)
{
	FLT_REGISTRATION registration = { sizeof(registration), FLT_REGISTRATION_VERSION, 0,
					  sizes };
	DRIVER_OBJECT driver = { "registration", registry };

	*filter = (PFLT_FILTER)1;
	return FltRegisterFilter(&driver, &registration, filter);
}

static PFLT_FILTER register_good(const FLT_CONTEXT_REGISTRATION *sizes)
{
	PFLT_FILTER filter;

	assert_int_equal(try_register(sizes, &filter), STATUS_SUCCESS);
	return filter;
}

static void check_refused(const FLT_CONTEXT_REGISTRATION *sizes)
{
	PFLT_FILTER filter;

	assert_int_equal(try_register(sizes, &filter), STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
	assert_null(filter);
}

#define FIXED(kind, size)                \
	{                                \
		kind, 0, NULL, size, TAG \
	}
#define VARIABLE(kind)                                          \
	{                                                       \
		kind, 0, NULL, FLT_VARIABLE_SIZED_CONTEXTS, TAG \
	}
#define END                     \
	{                       \
		FLT_CONTEXT_END \
	}

static void another_version_or_size_is_an_invalid_parameter(void **state)
{
	FLT_REGISTRATION registration = { sizeof(registration), FLT_REGISTRATION_VERSION };
	DRIVER_OBJECT driver = { "registration", registry };
	PFLT_FILTER filter = (PFLT_FILTER)1;

	(void)state;
	registration.Version = 0x0100;
	assert_int_equal(FltRegisterFilter(&driver, &registration, &filter),
			 STATUS_INVALID_PARAMETER);
	assert_null(filter);
	registration.Version = FLT_REGISTRATION_VERSION;
	registration.Size--;
	assert_int_equal(FltRegisterFilter(&driver, &registration, &filter),
			 STATUS_INVALID_PARAMETER);
	registration.Size++;
	assert_int_equal(FltRegisterFilter(&driver, &registration, &filter), STATUS_SUCCESS);
	assert_int_equal(FltStartFiltering(filter), STATUS_SUCCESS);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

static void every_kind_can_be_registered(void **state)
{
	for (FLT_CONTEXT_TYPE type = 1; type <= FLT_SECTION_CONTEXT; type <<= 1) {
		const FLT_CONTEXT_REGISTRATION one[] = { FIXED(type, 8), END };
		PFLT_FILTER filter = register_good(one);
		PFLT_CONTEXT context;

		(void)state;
		assert_int_equal(FltAllocateContext(filter, type, 8, PagedPool, &context),
				 STATUS_SUCCESS);
		FltReleaseContext(context);
		assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
	}
}

static void malformed_sizes_are_refused(void **state)
{
	const FLT_CONTEXT_REGISTRATION no_kind[] = { FIXED(0x77, 8), END };
	const FLT_CONTEXT_REGISTRATION two_kinds[] = { FIXED(3, 8), END };
	const FLT_CONTEXT_REGISTRATION no_tag[] = { { FLT_FILE_CONTEXT, 0, NULL, 8, 0 }, END };
	const FLT_CONTEXT_REGISTRATION four_fixed[] = {
		FIXED(FLT_FILE_CONTEXT, 8),
		FIXED(FLT_FILE_CONTEXT, 9),
		FIXED(FLT_FILE_CONTEXT, 10),
		FIXED(FLT_FILE_CONTEXT, 11),
		END,
	};
	const FLT_CONTEXT_REGISTRATION two_variable[] = {
		VARIABLE(FLT_FILE_CONTEXT),
		{ FLT_FILE_CONTEXT, 0, NULL, FLT_VARIABLE_SIZED_CONTEXTS, TAG + 1 },
		END,
	};

	(void)state;
	check_refused(no_kind);
	check_refused(two_kinds);
	check_refused(no_tag);
	check_refused(four_fixed);
	check_refused(two_variable);
}

static void of_equal_registrations_the_first_counts(void **state)
{
	const FLT_CONTEXT_REGISTRATION sizes[] = {
		FIXED(FLT_FILE_CONTEXT, 8),
		FIXED(FLT_FILE_CONTEXT, 8),
		FIXED(FLT_FILE_CONTEXT, 9),
		FIXED(FLT_FILE_CONTEXT, 10),
		VARIABLE(FLT_FILE_CONTEXT),
		VARIABLE(FLT_FILE_CONTEXT),
		END,
	};
	PFLT_FILTER filter = register_good(sizes);

	(void)state;
	assert_int_equal(filter->Sizes, 4);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

/* ------------------------------------------------------------- allocating */

static PFLT_CONTEXT seen_context;
static unsigned int seen[3]; /* cleanups of the small, the large, the variable size */

static VOID clean_small(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	UNREFERENCED_PARAMETER(context);
	UNREFERENCED_PARAMETER(type);
	seen[0]++;
}

static VOID clean_large(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	UNREFERENCED_PARAMETER(context);
	UNREFERENCED_PARAMETER(type);
	seen[1]++;
}

static VOID clean_variable(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	UNREFERENCED_PARAMETER(context);
	UNREFERENCED_PARAMETER(type);
	seen[2]++;
}

/* The registered size that serves a request for @size bytes; -1 for none. */
static int taken(PFLT_FILTER filter, SIZE_T size)
{
	PFLT_CONTEXT context = filter;
	NTSTATUS status = FltAllocateContext(filter, FLT_FILE_CONTEXT, size, PagedPool, &context);

	if (!NT_SUCCESS(status)) {
		assert_int_equal(status, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
		assert_null(context);
		return -1;
	}
	memset(context, 0xa5, size);
	memset(seen, 0, sizeof(seen));
	FltReleaseContext(context);
	assert_rc(sctx_barrier(), 0);
	for (int i = 0; i < 3; i++)
		if (seen[i])
			return i;
	fail();
	return -1;
}

static void a_fixed_size_is_exact_unless_registered_otherwise(void **state)
{
	FLT_CONTEXT_REGISTRATION sizes[] = {
		{ FLT_FILE_CONTEXT, 0, clean_large, 100, TAG },
		{ FLT_FILE_CONTEXT, 0, clean_small, 50, TAG },
		END,
	};
	PFLT_FILTER filter = register_good(sizes);

	(void)state;
	assert_int_equal(taken(filter, 50), 0);
	assert_int_equal(taken(filter, 100), 1);
	assert_int_equal(taken(filter, 49), -1);
	assert_int_equal(taken(filter, 99), -1);
	assert_int_equal(taken(filter, 101), -1);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);

	sizes[0].Flags = FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH;
	sizes[1].Flags = FLTFL_CONTEXT_REGISTRATION_NO_EXACT_SIZE_MATCH;
	filter = register_good(sizes);
	assert_int_equal(taken(filter, 1), 0);
	assert_int_equal(taken(filter, 50), 0);
	assert_int_equal(taken(filter, 51), 1);
	assert_int_equal(taken(filter, 100), 1);
	assert_int_equal(taken(filter, 101), -1);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

static void the_variable_size_is_the_last_resort(void **state)
{
	const FLT_CONTEXT_REGISTRATION sizes[] = {
		{ FLT_FILE_CONTEXT, 0, clean_variable, FLT_VARIABLE_SIZED_CONTEXTS, TAG },
		{ FLT_FILE_CONTEXT, 0, clean_small, 50, TAG },
		END,
	};
	PFLT_FILTER filter = register_good(sizes);

	(void)state;
	assert_int_equal(taken(filter, 50), 0);
	assert_int_equal(taken(filter, 49), 2);
	assert_int_equal(taken(filter, 51), 2);
	assert_int_equal(taken(filter, MAXUSHORT), 2);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

static void check_allocation(PFLT_FILTER filter, FLT_CONTEXT_TYPE type, SIZE_T size, NTSTATUS want)
{
	PFLT_CONTEXT context = filter;

	assert_int_equal(FltAllocateContext(filter, type, size, PagedPool, &context), want);
	assert_null(context);
}

static void no_kind_and_no_size_are_invalid_parameters(void **state)
{
	const FLT_CONTEXT_REGISTRATION sizes[] = { VARIABLE(FLT_FILE_CONTEXT), END };
	PFLT_FILTER filter = register_good(sizes);

	(void)state;
	check_allocation(filter, 0, 8, STATUS_INVALID_PARAMETER);
	check_allocation(filter, 3, 8, STATUS_INVALID_PARAMETER);
	check_allocation(filter, 0x80, 8, STATUS_INVALID_PARAMETER);
	check_allocation(filter, FLT_CONTEXT_END, 8, STATUS_INVALID_PARAMETER);
	check_allocation(filter, FLT_FILE_CONTEXT, 0, STATUS_INVALID_PARAMETER);
	check_allocation(filter, FLT_FILE_CONTEXT, MAXUSHORT + 1, STATUS_INVALID_PARAMETER);
	check_allocation(filter, FLT_FILE_CONTEXT, SIZE_MAX, STATUS_INVALID_PARAMETER);
	check_allocation(filter, FLT_STREAM_CONTEXT, 8, STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

/* The filter cannot leave while a context of it is held, but takes no new ones. */
static void a_filter_that_is_leaving_is_a_deleted_object(void **state)
{
	const FLT_CONTEXT_REGISTRATION sizes[] = { FIXED(FLT_FILE_CONTEXT, 8),
						   FIXED(FLT_STREAM_CONTEXT, 8), END };
	PFLT_FILTER filter = register_good(sizes);
	PFLT_CONTEXT held;

	(void)state;
	assert_int_equal(FltAllocateContext(filter, FLT_FILE_CONTEXT, 8, PagedPool, &held),
			 STATUS_SUCCESS);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_DEVICE_BUSY);
	check_allocation(filter, FLT_FILE_CONTEXT, 8, STATUS_FLT_DELETING_OBJECT);
	check_allocation(filter, FLT_STREAM_CONTEXT, 8, STATUS_FLT_DELETING_OBJECT);
	FltReleaseContext(held);
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);
}

/* ------------------------------------------------- memory of the filter's own */

static unsigned int own_allocated, own_freed;
static bool own_fails;

static PVOID own_allocate(POOL_TYPE pool, SIZE_T size, FLT_CONTEXT_TYPE type)
{
	assert_int_equal(pool, PagedPool);
	assert_int_equal(type, FLT_FILE_CONTEXT);
	if (own_fails)
		return NULL;
	own_allocated++;
	return malloc(size);
}

static VOID own_free(PVOID memory, FLT_CONTEXT_TYPE type)
{
	CHECK_EQ(type, FLT_FILE_CONTEXT);
	own_freed++;
	free(memory);
}

static VOID own_cleanup(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	UNREFERENCED_PARAMETER(type);
	CHECK(context == seen_context);
	CHECK_EQ(own_freed, 0);
}

/* Size and PoolTag are ignored then. */
static void a_filter_may_allocate_by_itself(void **state)
{
	FLT_CONTEXT_REGISTRATION sizes[] = {
		{ FLT_FILE_CONTEXT, 0, own_cleanup, 0, 0, own_allocate, own_free },
		END,
		END,
	};
	PFLT_FILTER filter = register_good(sizes);

	(void)state;
	own_allocated = own_freed = 0;
	assert_int_equal(FltAllocateContext(filter, FLT_FILE_CONTEXT, 77, PagedPool, &seen_context),
			 STATUS_SUCCESS);
	memset(seen_context, 0xa5, 77);
	assert_int_equal(own_allocated, 1);
	FltReleaseContext(seen_context);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(own_freed, 1);
	own_fails = true;
	check_allocation(filter, FLT_FILE_CONTEXT, 8, STATUS_INSUFFICIENT_RESOURCES);
	own_fails = false;
	assert_int_equal(FltUnregisterFilter(filter), STATUS_SUCCESS);

	sizes[1] = (FLT_CONTEXT_REGISTRATION)FIXED(FLT_FILE_CONTEXT, 8);
	check_refused(sizes); /* there can be no others of its kind */
	sizes[1] = (FLT_CONTEXT_REGISTRATION)END;
	sizes[0].ContextFreeCallback = NULL;
	check_refused(sizes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(another_version_or_size_is_an_invalid_parameter),
		T(every_kind_can_be_registered),
		T(malformed_sizes_are_refused),
		T(of_equal_registrations_the_first_counts),
		T(a_fixed_size_is_exact_unless_registered_otherwise),
		T(the_variable_size_is_the_last_resort),
		T(no_kind_and_no_size_are_invalid_parameters),
		T(a_filter_that_is_leaving_is_a_deleted_object),
		T(a_filter_may_allocate_by_itself),
	};

	return TEST_RUN(tests);
}
