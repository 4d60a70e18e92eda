/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The minifilter manager's names: a minifilter (mini_filter.c) on files of a
 * host that this program plays, and what each routine answers.
 */
#include "test.h"

#include "mini_filter.h"

struct file {
	FSRTL_ADVANCED_FCB_HEADER header;
	FAST_MUTEX mutex;
	PVOID per_file;
	FILE_OBJECT handle;
	WCHAR name[8];
};

static struct sctx_registry *registry;
static FLT_INSTANCE volume;
static PFLT_FILTER filter;
static ULONG uncounted; /* contexts that the filter did not allocate itself */

static void file_open(struct file *file)
{
	memset(file, 0, sizeof(*file));
	ExInitializeFastMutex(&file->mutex);
	FsRtlSetupAdvancedHeaderEx(&file->header, &file->mutex, &file->per_file);
	file->handle.FsContext = &file->header;
	file->handle.FileName =
		(UNICODE_STRING){ sizeof(file->name), sizeof(file->name), file->name };
}

static void file_close(struct file *file)
{
	FltCloseFileObject(&file->handle);
	FsRtlTeardownPerStreamContexts(&file->header);
	FsRtlTeardownPerFileContexts(&file->per_file);
}

static FLT_RELATED_OBJECTS objects_of(struct file *file)
{
	return (FLT_RELATED_OBJECTS){
		.Size = sizeof(FLT_RELATED_OBJECTS),
		.Filter = filter,
		.Instance = &volume,
		.FileObject = file ? &file->handle : NULL,
	};
}

static int load(void **state)
{
	DRIVER_OBJECT driver = { "mini", NULL };
	FLT_RELATED_OBJECTS none;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	driver.Registry = registry;
	assert_int_equal(MiniEntry(&driver, &filter), STATUS_SUCCESS);
	FltCreateInstance(filter, &volume);
	none = objects_of(NULL);
	assert_int_equal(MiniInstanceSetup(&none), STATUS_SUCCESS);
	return 0;
}

/* Whatever is still set goes with the filter; nothing is left. */
static int unload(void **state)
{
	(void)state;
	assert_int_equal(MiniUnload(), STATUS_SUCCESS);
	assert_int_equal(MiniCounts().Allocated + uncounted, MiniCounts().Cleaned);
	FltDeleteInstance(&volume);
	assert_rc(sctx_registry_destroy(registry), 0);
	return sctx_barrier();
}

static void a_minifilter_works(void **state)
{
	FLT_RELATED_OBJECTS objects;
	struct file file;
	ULONGLONG bytes;
	ULONG before = MiniCounts().Allocated;

	(void)state;
	file_open(&file);
	objects = objects_of(&file);
	assert_int_equal(MiniPostCreate(&objects), STATUS_SUCCESS);
	assert_int_equal(MiniCounts().Allocated - before, 3);
	MiniPreWrite(&objects, 40);
	assert_int_equal(MiniPostCreate(&objects), STATUS_SUCCESS); /* again: same stream */
	MiniPreWrite(&objects, 2);
	assert_int_equal(MiniPreCleanup(&objects, &bytes), STATUS_SUCCESS);
	assert_u64(bytes, ==, 42);
	file_close(&file);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(MiniPreCleanup(&objects, &bytes), STATUS_NOT_FOUND);
}

static void unloading_frees_the_filters_contexts(void **state)
{
	static struct file file[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		FLT_RELATED_OBJECTS objects;

		file_open(&file[i]);
		objects = objects_of(&file[i]);
		assert_int_equal(MiniPostCreate(&objects), STATUS_SUCCESS);
	}
	assert_int_equal(MiniUnload(), STATUS_SUCCESS);
	assert_int_equal(MiniCounts().Allocated + uncounted, MiniCounts().Cleaned);
	for (int i = 0; i < 20; i++)
		file_close(&file[i]);
	FltDeleteInstance(&volume);
	assert_rc(sctx_registry_destroy(registry), 0);
	load(NULL);
}

static void create_thread(unsigned int index, void *arg)
{
	struct file *file = arg;
	FLT_RELATED_OBJECTS objects = objects_of(file);

	(void)index;
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(MiniPostCreate(&objects), STATUS_SUCCESS);
		MiniPreWrite(&objects, 1);
	}
}

static void creates_race(void **state)
{
	FLT_RELATED_OBJECTS objects;
	struct file file;
	ULONGLONG bytes;

	(void)state;
	file_open(&file);
	objects = objects_of(&file);
	run_threads(4, create_thread, &file);
	assert_int_equal(MiniPreCleanup(&objects, &bytes), STATUS_SUCCESS);
	assert_u64(bytes, ==, 400);
	file_close(&file);
}

static PFLT_CONTEXT instance_context(void)
{
	PFLT_CONTEXT context;

	assert_int_equal(FltAllocateContext(filter, FLT_INSTANCE_CONTEXT, 8, PagedPool, &context),
			 STATUS_SUCCESS);
	uncounted++;
	return context;
}

static void set_get_and_delete(void **state)
{
	PFLT_CONTEXT a = instance_context(), b = instance_context(), old;
	FLT_INSTANCE second;
	ULONG cleaned;

	(void)state;
	FltCreateInstance(filter, &second);
	assert_int_equal(FltGetInstanceContext(&second, &old), STATUS_NOT_FOUND);
	assert_null(old);
	assert_int_equal(FltSetInstanceContext(&second, FLT_SET_CONTEXT_KEEP_IF_EXISTS, a, &old),
			 STATUS_SUCCESS);
	assert_null(old);
	assert_int_equal(FltSetInstanceContext(&volume, FLT_SET_CONTEXT_KEEP_IF_EXISTS, a, &old),
			 STATUS_FLT_CONTEXT_ALREADY_LINKED);
	assert_null(old);
	assert_int_equal(FltSetInstanceContext(&second, FLT_SET_CONTEXT_KEEP_IF_EXISTS, b, &old),
			 STATUS_FLT_CONTEXT_ALREADY_DEFINED);
	assert_ptr_equal(old, a);
	FltReleaseContext(old);
	assert_int_equal(FltSetInstanceContext(&second, FLT_SET_CONTEXT_REPLACE_IF_EXISTS, b, &old),
			 STATUS_SUCCESS);
	assert_ptr_equal(old, a);
	FltReleaseContext(old); /* the link's */
	cleaned = MiniCounts().Cleaned;
	FltReferenceContext(a);
	FltReleaseContext(a);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(MiniCounts().Cleaned, cleaned);
	FltReleaseContext(a);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(MiniCounts().Cleaned, cleaned + 1);

	assert_int_equal(FltGetInstanceContext(&second, &old), STATUS_SUCCESS);
	assert_ptr_equal(old, b);
	FltReleaseContext(old);
	assert_int_equal(FltDeleteInstanceContext(&second, &old), STATUS_SUCCESS);
	assert_ptr_equal(old, b);
	assert_int_equal(FltDeleteInstanceContext(&second, NULL), STATUS_NOT_FOUND);
	FltReleaseContext(old);
	FltReleaseContext(b);
	FltDeleteInstance(&second);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(MiniCounts().Cleaned, cleaned + 2);
}

static void unsupported_files_and_sizes(void **state)
{
	FLT_RELATED_CONTEXTS contexts;
	FLT_RELATED_OBJECTS objects;
	struct file file;
	PFLT_CONTEXT context = &file, made;

	(void)state;
	file_open(&file);
	objects = objects_of(&file);
	assert_int_equal(
		FltAllocateContext(filter, FLT_INSTANCE_CONTEXT, 1000, PagedPool, &context),
		STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);
	assert_null(context);
	assert_int_equal(FltAllocateContext(filter, FLT_VOLUME_CONTEXT, 1, PagedPool, &context),
			 STATUS_FLT_CONTEXT_ALLOCATION_NOT_FOUND);

	ClearFlag(file.header.Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS);
	assert_false(FltSupportsStreamContexts(&file.handle));
	assert_false(FltSupportsFileContexts(&file.handle));
	assert_false(FltSupportsStreamHandleContexts(&file.handle));
	assert_int_equal(FltAllocateContext(filter, FLT_STREAM_CONTEXT, 10, PagedPool, &made),
			 STATUS_SUCCESS);
	uncounted++;
	context = &file;
	assert_int_equal(FltSetStreamContext(&volume, &file.handle, FLT_SET_CONTEXT_KEEP_IF_EXISTS,
					     made, &context),
			 STATUS_NOT_SUPPORTED);
	assert_null(context);
	FltGetContexts(&objects, FLT_STREAM_CONTEXT | FLT_FILE_CONTEXT | FLT_INSTANCE_CONTEXT,
		       &contexts);
	assert_null(contexts.StreamContext);
	assert_null(contexts.FileContext);
	assert_non_null(contexts.InstanceContext);
	FltReleaseContexts(&contexts);
	FltReleaseContext(made);
	assert_rc(sctx_barrier(), 0);
	file_close(&file);
}

static void a_filter_with_a_holder_stays(void **state)
{
	PFLT_CONTEXT held;

	(void)state;
	assert_int_equal(FltGetInstanceContext(&volume, &held), STATUS_SUCCESS);
	assert_int_equal(MiniUnload(), STATUS_DEVICE_BUSY);
	FltReleaseContext(held);
	/* unload() does it, now that nobody holds anything. */
}

static void malformed_registrations(void **state)
{
	FLT_CONTEXT_REGISTRATION bad[] = {
		{ FLT_STREAM_CONTEXT, 0, NULL, 10, SCTX_TAG('a', 'b', 'c', 'd') },
		{ 0x77, 0, NULL, 10, SCTX_TAG('a', 'b', 'c', 'd') },
		{ FLT_CONTEXT_END, 0, NULL, 0, 0 },
	};
	FLT_REGISTRATION registration = { sizeof(registration), FLT_REGISTRATION_VERSION, 0, bad };
	DRIVER_OBJECT driver = { "bad", registry };
	PFLT_FILTER bad_filter = filter;

	(void)state;
	assert_int_equal(FltRegisterFilter(&driver, &registration, &bad_filter),
			 STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
	assert_null(bad_filter);
	bad[1] = bad[2];
	bad[0].PoolTag = 0;
	assert_int_equal(FltRegisterFilter(&driver, &registration, &bad_filter),
			 STATUS_FLT_INVALID_CONTEXT_REGISTRATION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, load, unload)
		T(a_minifilter_works),
		T(unloading_frees_the_filters_contexts),
		T(creates_race),
		T(set_get_and_delete),
		T(unsupported_files_and_sizes),
		T(a_filter_with_a_holder_stays),
		T(malformed_registrations),
	};

	return TEST_RUN(tests);
}
