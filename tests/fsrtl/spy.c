/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The WDK names: a legacy filter (spy_filter.c) on files of a file system that
 * this program plays, and what each routine answers.
 */
#include "test.h"

#include "spy_filter.h"

/* A file with one stream, and an open handle on it. */
struct file {
	FSRTL_ADVANCED_FCB_HEADER header;
	FAST_MUTEX mutex;
	PVOID per_file;
	FILE_OBJECT handle;
	WCHAR name[16];
};

static void file_open(struct file *file)
{
	memset(file, 0, sizeof(*file));
	ExInitializeFastMutex(&file->mutex);
	FsRtlSetupAdvancedHeaderEx(&file->header, &file->mutex, &file->per_file);
	for (USHORT i = 0; i < 16; i++)
		file->name[i] = (WCHAR)('a' + i);
	file->handle.FsContext = &file->header;
	file->handle.FileName =
		(UNICODE_STRING){ sizeof(file->name), sizeof(file->name), file->name };
}

static void file_close(struct file *file)
{
	FsRtlTeardownPerStreamContexts(&file->header);
	FsRtlTeardownPerFileContexts(&file->per_file);
}

static void a_legacy_filter_works(void **state)
{
	struct file file;

	(void)state;
	file_open(&file);
	assert_int_equal(SpyCreate(&file.handle), STATUS_SUCCESS);
	assert_int_equal(SpyOutstanding(), 2);
	assert_int_equal(SpyCreate(&file.handle), STATUS_SUCCESS);
	assert_int_equal(SpyOutstanding(), 2);
	SpyWrite(&file.handle, 100);
	SpyWrite(&file.handle, 23);
	assert_u64(SpyBytes(&file.handle), ==, 123);
	file_close(&file); /* returns when the callbacks are done */
	assert_int_equal(SpyOutstanding(), 0);
	assert_null(file.per_file);
	assert_u64(SpyBytes(&file.handle), ==, 0);
}

static void the_filter_can_take_its_context_back(void **state)
{
	struct file file;

	(void)state;
	file_open(&file);
	assert_int_equal(SpyCreate(&file.handle), STATUS_SUCCESS);
	SpyForget(&file.handle);
	assert_int_equal(SpyOutstanding(), 1); /* the file's */
	SpyForget(&file.handle);
	file_close(&file);
	assert_int_equal(SpyOutstanding(), 0);
}

static void create_thread(unsigned int index, void *arg)
{
	struct file *file = arg;

	(void)index;
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(SpyCreate(&file->handle), STATUS_SUCCESS);
		SpyWrite(&file->handle, 1);
	}
}

static void creates_race(void **state)
{
	struct file file;

	(void)state;
	file_open(&file);
	run_threads(4, create_thread, &file);
	assert_u64(SpyBytes(&file.handle), ==, 800);
	file_close(&file);
	assert_int_equal(SpyOutstanding(), 0);
}

/* A known mistake: support is derived from set-up and not from the flag. */
static void support_is_the_flag(void **state)
{
	FILE_OBJECT nothing = { 0 };
	struct file file;

	(void)state;
	assert_false(FsRtlSupportsPerStreamContexts(&nothing));
	assert_false(FsRtlSupportsPerFileContexts(&nothing));
	file_open(&file);
	assert_true(FsRtlSupportsPerStreamContexts(&file.handle));
	assert_true(FsRtlSupportsPerFileContexts(&file.handle));
	assert_int_equal(SpyCreate(&file.handle), STATUS_SUCCESS);

	ClearFlag(file.header.Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS); /* a paging file */
	assert_false(FsRtlSupportsPerStreamContexts(&file.handle));
	assert_u64(SpyBytes(&file.handle), ==, 0);
	SetFlag(file.header.Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS);
	assert_true(FsRtlSupportsPerStreamContexts(&file.handle));
	ClearFlag(file.header.Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS);
	file_close(&file); /* nothing is left behind all the same */
	assert_int_equal(SpyOutstanding(), 0);
}

static VOID no_callback(PVOID Buffer)
{
	(void)Buffer;
}

static void status_codes(void **state)
{
	FSRTL_PER_STREAM_CONTEXT a, b, none;
	FSRTL_PER_FILE_CONTEXT f;
	struct file file;

	(void)state;
	file_open(&file);
	FsRtlInitPerStreamContext(&a, OWNER(1), INST(1), no_callback);
	assert_ptr_equal(a.OwnerId, OWNER(1));
	assert_ptr_equal(a.InstanceId, INST(1));
	assert_ptr_equal(a.FreeCallback, no_callback);
	FsRtlInitPerStreamContext(&b, OWNER(1), INST(2), no_callback);
	FsRtlInitPerStreamContext(&none, OWNER(1), NULL, NULL);

	assert_int_equal(FsRtlInsertPerStreamContext(NULL, &a), STATUS_INVALID_DEVICE_REQUEST);
	assert_int_equal(FsRtlInsertPerStreamContext(&file.header, &none),
			 STATUS_INVALID_PARAMETER);
	assert_int_equal(FsRtlInsertPerStreamContext(&file.header, &a), STATUS_SUCCESS);
	assert_int_equal(FsRtlInsertPerStreamContext(&file.header, &a),
			 STATUS_FLT_CONTEXT_ALREADY_LINKED);
	assert_int_equal(FsRtlInsertPerStreamContext(&file.header, &b), STATUS_SUCCESS);
	assert_ptr_equal(FsRtlLookupPerStreamContext(&file.header, NULL, NULL), &b);
	assert_ptr_equal(FsRtlLookupPerStreamContext(&file.header, OWNER(1), INST(1)), &a);
	assert_null(FsRtlLookupPerStreamContext(&file.header, NULL, INST(1)));
	assert_null(FsRtlLookupPerStreamContext(NULL, OWNER(1), NULL));
	assert_null(FsRtlRemovePerStreamContext(NULL, OWNER(1), NULL));
	assert_ptr_equal(FsRtlRemovePerStreamContext(&file.header, OWNER(1), NULL), &b);
	FsRtlTeardownPerStreamContexts(&file.header);
	FsRtlInitPerStreamContext(&b, OWNER(1), NULL, no_callback);
	assert_int_equal(FsRtlInsertPerStreamContext(&file.header, &b),
			 STATUS_INVALID_DEVICE_REQUEST);

	FsRtlInitPerFileContext(&f, OWNER(2), NULL, no_callback);
	assert_int_equal(FsRtlInsertPerFileContext(NULL, &f), STATUS_INVALID_DEVICE_REQUEST);
	assert_null(FsRtlLookupPerFileContext(&file.per_file, OWNER(2), NULL));
	assert_null(FsRtlRemovePerFileContext(NULL, OWNER(2), NULL));
	assert_int_equal(FsRtlInsertPerFileContext(&file.per_file, &f), STATUS_SUCCESS);
	assert_ptr_equal(FsRtlLookupPerFileContext(&file.per_file, OWNER(2), NULL), &f);
	assert_ptr_equal(FsRtlRemovePerFileContext(&file.per_file, OWNER(2), NULL), &f);
	file_close(&file);
}

/* Case 20. */
static void a_handle_that_is_closed_reports_what_was_left(void **state)
{
	FSRTL_PER_FILEOBJECT_CONTEXT a, b;
	struct file file;

	(void)state;
	file_open(&file);
	assert_int_equal(SpySetHandle(NULL, &a), STATUS_INVALID_PARAMETER);
	assert_null(FsRtlLookupPerFileObjectContext(NULL, OWNER(1), NULL));
	assert_null(FsRtlLookupPerFileObjectContext(&file.handle, OWNER(1), NULL));
	assert_int_equal(SpySetHandle(&file.handle, &a), STATUS_SUCCESS);
	FsRtlInitPerFileObjectContext(&b, OWNER(1), NULL);
	assert_int_equal(FsRtlInsertPerFileObjectContext(&file.handle, &b), STATUS_SUCCESS);
	assert_ptr_equal(FsRtlLookupPerFileObjectContext(&file.handle, OWNER(1), NULL), &b);
	assert_ptr_equal(FsRtlRemovePerFileObjectContext(&file.handle, OWNER(1), NULL), &b);
	assert_int_equal(FsRtlTeardownPerFileObjectContexts(&file.handle), 1);
	assert_null(FsRtlLookupPerFileObjectContext(&file.handle, NULL, NULL));
	assert_int_equal(FsRtlTeardownPerFileObjectContexts(&file.handle), 0);
	file_close(&file);
	assert_rc(sctx_barrier(), 0);
}

static struct gate slow_entered, slow_leave;

static VOID slow_callback(PVOID Buffer)
{
	(void)Buffer;
	gate_open(&slow_entered);
	gate_wait(&slow_leave);
}

static void *teardown_main(void *header)
{
	FsRtlTeardownPerStreamContexts(header);
	return NULL;
}

/* One file's slow callback holds up its own close and no other's. */
static void a_slow_callback_is_its_own_files_matter(void **state)
{
	FSRTL_PER_STREAM_CONTEXT slow;
	struct file file, other;
	pthread_t thread;

	(void)state;
	gate_init(&slow_entered);
	gate_init(&slow_leave);
	file_open(&other);
	FsRtlInitPerStreamContext(&slow, OWNER(1), NULL, slow_callback);
	assert_int_equal(FsRtlInsertPerStreamContext(&other.header, &slow), STATUS_SUCCESS);
	thread = thread_start(teardown_main, &other.header);
	gate_wait(&slow_entered);
	for (int i = 0; i < 10; i++) {
		file_open(&file);
		assert_int_equal(SpyCreate(&file.handle), STATUS_SUCCESS);
		FsRtlTeardownPerStreamContexts(&file.header);
		assert_int_equal(SpyOutstanding(), 1); /* the file's; the stream's is gone */
		FsRtlTeardownPerFileContexts(&file.per_file);
		assert_int_equal(SpyOutstanding(), 0);
	}
	gate_open(&slow_leave);
	thread_join(thread);
	file_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_legacy_filter_works),
		cmocka_unit_test(the_filter_can_take_its_context_back),
		cmocka_unit_test(creates_race),
		cmocka_unit_test(support_is_the_flag),
		cmocka_unit_test(status_codes),
		cmocka_unit_test(a_handle_that_is_closed_reports_what_was_left),
		cmocka_unit_test(a_slow_callback_is_its_own_files_matter),
	};

	return TEST_RUN(tests);
}
