/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A minifilter that keeps contexts of all kinds (watch_filter.c), called
 * through the callbacks of its registration by a host that this program plays.
 */
#include "test.h"

#include "watch_filter.h"

struct file {
	FSRTL_ADVANCED_FCB_HEADER header;
	FAST_MUTEX mutex;
	PVOID per_file;
	WCHAR name[8];
};

/* One open of a file, by one thread of the host. */
struct handle {
	FILE_OBJECT object;
	FLT_RELATED_OBJECTS objects;
	FLT_IO_PARAMETER_BLOCK iopb;
	FLT_CALLBACK_DATA data;
};

static struct sctx_registry *registry;
static FLT_VOLUME volume;
static FLT_INSTANCE instance;
static KTRANSACTION transaction;

static const FLT_REGISTRATION *registration(void)
{
	return &WatchGlobals.Filter->Registration;
}

static const FLT_OPERATION_REGISTRATION *operation(UCHAR major)
{
	const FLT_OPERATION_REGISTRATION *op = registration()->OperationRegistration;

	while (op->MajorFunction != major) {
		CHECK(op->MajorFunction != IRP_MJ_OPERATION_END);
		op++;
	}
	return op;
}

static void file_create(struct file *file)
{
	memset(file, 0, sizeof(*file));
	ExInitializeFastMutex(&file->mutex);
	FsRtlSetupAdvancedHeaderEx(&file->header, &file->mutex, &file->per_file);
	for (int i = 0; i < 8; i++)
		file->name[i] = (WCHAR)('a' + i);
}

static void file_drop(struct file *file)
{
	FsRtlTeardownPerStreamContexts(&file->header);
	FsRtlTeardownPerFileContexts(&file->per_file);
}

static void call(struct handle *h, UCHAR major)
{
	const FLT_OPERATION_REGISTRATION *op = operation(major);
	PVOID completion = NULL;

	h->iopb.MajorFunction = major;
	if (op->PreOperation(&h->data, &h->objects, &completion) == FLT_PREOP_SUCCESS_WITH_CALLBACK)
		CHECK_EQ(op->PostOperation(&h->data, &h->objects, completion, 0),
			 FLT_POSTOP_FINISHED_PROCESSING);
}

static void open_file(struct handle *h, struct file *file, PKTRANSACTION in)
{
	memset(h, 0, sizeof(*h));
	h->object.FsContext = &file->header;
	h->object.FileName = (UNICODE_STRING){ sizeof(file->name), sizeof(file->name), file->name };
	h->objects = (FLT_RELATED_OBJECTS){
		sizeof(h->objects), 0, WatchGlobals.Filter, &volume, &instance, &h->object, in
	};
	h->iopb.TargetFileObject = &h->object;
	h->iopb.TargetInstance = &instance;
	h->data.Iopb = &h->iopb;
	call(h, IRP_MJ_CREATE);
}

static void close_file(struct handle *h)
{
	call(h, IRP_MJ_CLEANUP);
	call(h, IRP_MJ_CLOSE);
	FltCloseFileObject(&h->object);
}

static FLT_RELATED_OBJECTS instance_objects(void)
{
	return (FLT_RELATED_OBJECTS){ .Size = sizeof(FLT_RELATED_OBJECTS),
				      .Filter = WatchGlobals.Filter,
				      .Volume = &volume,
				      .Instance = &instance };
}

static int load(void **state)
{
	DRIVER_OBJECT driver = { "watch", NULL };
	FLT_RELATED_OBJECTS objects;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	driver.Registry = registry;
	assert_int_equal(DriverEntry(&driver, NULL), STATUS_SUCCESS);
	FltCreateVolume(&volume);
	FltCreateInstance(WatchGlobals.Filter, &instance);
	FltCreateTransaction(&transaction);
	objects = instance_objects();
	assert_int_equal(registration()->InstanceSetupCallback(
				 &objects, FLTFL_INSTANCE_SETUP_AUTOMATIC_ATTACHMENT,
				 FILE_DEVICE_DISK_FILE_SYSTEM, FLT_FSTYPE_NTFS),
			 STATUS_SUCCESS);
	return 0;
}

/* Each context that was made is gone when the filter has left. */
static void filter_leaves(void)
{
	FLT_RELATED_OBJECTS objects = instance_objects();

	assert_int_equal(registration()->InstanceQueryTeardownCallback(&objects, 0), 0);
	registration()->InstanceTeardownCompleteCallback(&objects,
							 FLTFL_INSTANCE_TEARDOWN_FILTER_UNLOAD);
	assert_int_equal(registration()->FilterUnloadCallback(0), STATUS_SUCCESS);
	assert_null(WatchGlobals.Filter);
	for (int kind = 0; kind < SCTX_FLT_KINDS; kind++)
		assert_int_equal(WatchGlobals.Made[kind], WatchGlobals.Gone[kind]);
	assert_true(WatchGlobals.Made[SCTX_FLT_INSTANCE]);
	assert_true(WatchGlobals.Made[SCTX_FLT_VOLUME]);
	ExDeleteResourceLite(&WatchGlobals.Lock);
}

static int unload(void **state)
{
	(void)state;
	if (WatchGlobals.Filter)
		filter_leaves();
	FltDeleteTransaction(&transaction);
	FltDeleteInstance(&instance);
	FltDeleteVolume(&volume);
	return sctx_registry_destroy(registry) || sctx_barrier();
}

/* Borrowed no longer than the file is open. */
static PWATCH_STREAM_CONTEXT stream_context(struct handle *h)
{
	PWATCH_STREAM_CONTEXT context;

	assert_int_equal(FltGetStreamContext(&instance, &h->object, &context), STATUS_SUCCESS);
	FltReleaseContext(context);
	return context;
}

static void a_file_is_watched_from_create_to_close(void **state)
{
	struct handle first, second;
	struct file file;

	(void)state;
	file_create(&file);
	open_file(&first, &file, NULL);
	open_file(&second, &file, NULL);
	assert_int_equal(stream_context(&first)->CreateCount, 2);
	assert_memory_equal(stream_context(&first)->FileName.Buffer, file.name, sizeof(file.name));
	assert_int_equal(WatchGlobals.Made[SCTX_FLT_STREAM], 1);
	assert_int_equal(WatchGlobals.Made[SCTX_FLT_FILE], 1);
	assert_int_equal(WatchGlobals.Made[SCTX_FLT_STREAMHANDLE], 2);
	close_file(&second);
	assert_int_equal(stream_context(&first)->CleanupCount, 1);
	assert_int_equal(stream_context(&first)->CloseCount, 1);
	close_file(&first);
	file_drop(&file);
}

static void a_transaction_counts_its_opens(void **state)
{
	PWATCH_TRANSACTION_CONTEXT context;
	struct handle h[3];
	struct file file;

	(void)state;
	file_create(&file);
	for (int i = 0; i < 3; i++)
		open_file(&h[i], &file, i ? &transaction : NULL);
	assert_int_equal(FltGetTransactionContext(&instance, &transaction, &context),
			 STATUS_SUCCESS);
	assert_int_equal(context->Opened, 2);
	FltReleaseContext(context);
	for (int i = 0; i < 3; i++)
		close_file(&h[i]);
	file_drop(&file);
}

static void a_section_is_opened_once_at_a_time(void **state)
{
	FLT_RELATED_CONTEXTS_EX contexts;
	PWATCH_SECTION_CONTEXT section;
	struct handle h;
	struct file file;

	(void)state;
	file_create(&file);
	open_file(&h, &file, NULL);
	assert_int_equal(WatchSectionClose(&h.objects), STATUS_NOT_FOUND);
	assert_int_equal(WatchSectionOpen(&h.objects, 4096), STATUS_SUCCESS);
	assert_int_equal(WatchSectionOpen(&h.objects, 1), STATUS_FLT_CONTEXT_ALREADY_DEFINED);
	FltGetContextsEx(&h.objects, FLT_ALL_CONTEXTS, sizeof(contexts), &contexts);
	section = contexts.SectionContext;
	assert_u64(section->FileSize.QuadPart, ==, 4096);
	assert_non_null(contexts.VolumeContext);
	assert_non_null(contexts.StreamHandleContext);
	assert_null(contexts.TransactionContext);
	FltReleaseContextsEx(sizeof(contexts), &contexts);
	assert_int_equal(WatchSectionClose(&h.objects), STATUS_SUCCESS);
	assert_int_equal(WatchSectionOpen(&h.objects, 1), STATUS_SUCCESS);
	close_file(&h);
	file_drop(&file);
}

/* The filter leaves while files are open and a transaction is under way. */
static void what_is_still_set_goes_with_the_filter(void **state)
{
	static struct handle h[20];
	static struct file file[20];

	(void)state;
	for (int i = 0; i < 20; i++) {
		file_create(&file[i]);
		open_file(&h[i], &file[i], i % 2 ? &transaction : NULL);
		assert_int_equal(WatchSectionOpen(&h[i].objects, 1), STATUS_SUCCESS);
	}
	filter_leaves();
	for (int i = 0; i < 20; i++) {
		FltCloseFileObject(&h[i].object);
		file_drop(&file[i]);
	}
}

static void opens_and_closes(unsigned int index, void *file)
{
	(void)index;
	for (unsigned int i = 0; i < test_scaled(200); i++) {
		struct handle h;

		open_file(&h, file, i % 2 ? &transaction : NULL);
		close_file(&h);
	}
}

static void creates_and_closes_race(void **state)
{
	struct handle h;
	struct file file;

	(void)state;
	file_create(&file);
	run_threads(4, opens_and_closes, &file);
	open_file(&h, &file, NULL);
	assert_int_equal(stream_context(&h)->CreateCount, 4 * test_scaled(200) + 1);
	assert_int_equal(stream_context(&h)->CloseCount, 4 * test_scaled(200));
	close_file(&h);
	file_drop(&file);
}

static void a_volume_that_is_not_wanted(void **state)
{
	FLT_RELATED_OBJECTS objects = instance_objects();

	(void)state;
	assert_int_equal(registration()->InstanceSetupCallback(
				 &objects, 0, FILE_DEVICE_NETWORK_FILE_SYSTEM, FLT_FSTYPE_UNKNOWN),
			 STATUS_FLT_DO_NOT_ATTACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, load, unload)
		T(a_file_is_watched_from_create_to_close),
		T(a_transaction_counts_its_opens),
		T(a_section_is_opened_once_at_a_time),
		T(what_is_still_set_goes_with_the_filter),
		T(creates_and_closes_race),
		T(a_volume_that_is_not_wanted),
	};

	return TEST_RUN(tests);
}
