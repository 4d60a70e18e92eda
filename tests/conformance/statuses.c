/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The documented statuses of the minifilter manager's routines
 * (include/SEMANTICS.md, statuses), for each routine of each kind of context.
 */
#include "test.h"

#include <streamctx/fsrtl.h>

#define TAG SCTX_TAG('S', 't', 'a', 't')

struct file {
	FSRTL_ADVANCED_FCB_HEADER header;
	FAST_MUTEX mutex;
	PVOID per_file;
	FILE_OBJECT handle;
};

/* Everything that contexts hang on, and two filters that have contexts on it. */
static struct world {
	struct sctx_registry *registry;
	PFLT_FILTER filter;
	PFLT_FILTER other;
	FLT_VOLUME volume;
	FLT_INSTANCE instance;
	KTRANSACTION transaction;
	struct file file;
} here, there; /* there: other objects, of the same filters */

static atomic_uint cleaned;
static unsigned int allocated;

static void cleanup(PFLT_CONTEXT context, FLT_CONTEXT_TYPE type)
{
	CHECK(*(FLT_CONTEXT_TYPE *)context == type);
	atomic_fetch_add(&cleaned, 1);
}

#define SIZE(kind)                        \
	{                                 \
		kind, 0, cleanup, 16, TAG \
	}

static const FLT_CONTEXT_REGISTRATION all_kinds[] = {
	SIZE(FLT_VOLUME_CONTEXT),       SIZE(FLT_INSTANCE_CONTEXT),
	SIZE(FLT_FILE_CONTEXT),         SIZE(FLT_STREAM_CONTEXT),
	SIZE(FLT_STREAMHANDLE_CONTEXT), SIZE(FLT_TRANSACTION_CONTEXT),
	SIZE(FLT_SECTION_CONTEXT),      { FLT_CONTEXT_END },
};

static NTSTATUS try_register(const FLT_CONTEXT_REGISTRATION *sizes, PFLT_FILTER *filter)
{
	FLT_REGISTRATION registration = { sizeof(registration), FLT_REGISTRATION_VERSION, 0,
					  sizes };
	DRIVER_OBJECT driver = { "statuses", here.registry };

	return FltRegisterFilter(&driver, &registration, filter);
}

static void file_open(struct file *file)
{
	memset(file, 0, sizeof(*file));
	ExInitializeFastMutex(&file->mutex);
	FsRtlSetupAdvancedHeaderEx(&file->header, &file->mutex, &file->per_file);
	file->handle.FsContext = &file->header;
}

static void objects_create(struct world *w)
{
	FltCreateVolume(&w->volume);
	FltCreateInstance(here.filter, &w->instance);
	FltCreateTransaction(&w->transaction);
	file_open(&w->file);
}

static void objects_delete(struct world *w)
{
	FltCloseFileObject(&w->file.handle);
	FsRtlTeardownPerStreamContexts(&w->file.header);
	FsRtlTeardownPerFileContexts(&w->file.per_file);
	FltDeleteTransaction(&w->transaction);
	FltDeleteInstance(&w->instance);
	FltDeleteVolume(&w->volume);
}

static int setup(void **state)
{
	(void)state;
	atomic_store(&cleaned, 0);
	allocated = 0;
	assert_rc(sctx_registry_create(&here.registry), 0);
	assert_int_equal(try_register(all_kinds, &here.filter), STATUS_SUCCESS);
	assert_int_equal(try_register(all_kinds, &here.other), STATUS_SUCCESS);
	objects_create(&here);
	objects_create(&there);
	return 0;
}

/* Nothing is left, and each context was cleaned up once. */
static int end(void **state)
{
	(void)state;
	objects_delete(&here);
	objects_delete(&there);
	assert_int_equal(FltUnregisterFilter(here.filter), STATUS_SUCCESS);
	assert_int_equal(FltUnregisterFilter(here.other), STATUS_SUCCESS);
	assert_int_equal(atomic_load(&cleaned), allocated);
	assert_rc(sctx_registry_destroy(here.registry), 0);
	return 0;
}

static PFLT_CONTEXT allocate(PFLT_FILTER filter, FLT_CONTEXT_TYPE type)
{
	FLT_CONTEXT_TYPE *context;

	assert_int_equal(FltAllocateContext(filter, type, 16, PagedPool, &context), STATUS_SUCCESS);
	*context = type;
	allocated++;
	return context;
}

static uint32_t references(PFLT_CONTEXT context)
{
	return sctx_flt_context(context)->refs;
}

/* ----------------------------------------------------------- kinds, alike */

static NTSTATUS set(struct world *w, FLT_CONTEXT_TYPE type, FLT_SET_CONTEXT_OPERATION operation,
		    PFLT_CONTEXT context, PFLT_CONTEXT *old)
{
	switch (type) {
	case FLT_VOLUME_CONTEXT:
		return FltSetVolumeContext(&w->volume, operation, context, old);
	case FLT_INSTANCE_CONTEXT:
		return FltSetInstanceContext(&w->instance, operation, context, old);
	case FLT_FILE_CONTEXT:
		return FltSetFileContext(&w->instance, &w->file.handle, operation, context, old);
	case FLT_STREAM_CONTEXT:
		return FltSetStreamContext(&w->instance, &w->file.handle, operation, context, old);
	case FLT_STREAMHANDLE_CONTEXT:
		return FltSetStreamHandleContext(&w->instance, &w->file.handle, operation, context,
						 old);
	case FLT_TRANSACTION_CONTEXT:
		return FltSetTransactionContext(&w->instance, &w->transaction, operation, context,
						old);
	default:
		return FltSetSectionContext(&w->instance, &w->file.handle, context);
	}
}

static NTSTATUS get(struct world *w, FLT_CONTEXT_TYPE type, PFLT_CONTEXT *context)
{
	*context = w;
	switch (type) {
	case FLT_VOLUME_CONTEXT:
		return FltGetVolumeContext(here.filter, &w->volume, context);
	case FLT_INSTANCE_CONTEXT:
		return FltGetInstanceContext(&w->instance, context);
	case FLT_FILE_CONTEXT:
		return FltGetFileContext(&w->instance, &w->file.handle, context);
	case FLT_STREAM_CONTEXT:
		return FltGetStreamContext(&w->instance, &w->file.handle, context);
	case FLT_STREAMHANDLE_CONTEXT:
		return FltGetStreamHandleContext(&w->instance, &w->file.handle, context);
	case FLT_TRANSACTION_CONTEXT:
		return FltGetTransactionContext(&w->instance, &w->transaction, context);
	default:
		return FltGetSectionContext(&w->instance, &w->file.handle, context);
	}
}

static NTSTATUS unset(struct world *w, FLT_CONTEXT_TYPE type, PFLT_CONTEXT *old)
{
	if (old)
		*old = w;
	switch (type) {
	case FLT_VOLUME_CONTEXT:
		return FltDeleteVolumeContext(here.filter, &w->volume, old);
	case FLT_INSTANCE_CONTEXT:
		return FltDeleteInstanceContext(&w->instance, old);
	case FLT_FILE_CONTEXT:
		return FltDeleteFileContext(&w->instance, &w->file.handle, old);
	case FLT_STREAM_CONTEXT:
		return FltDeleteStreamContext(&w->instance, &w->file.handle, old);
	case FLT_STREAMHANDLE_CONTEXT:
		return FltDeleteStreamHandleContext(&w->instance, &w->file.handle, old);
	default:
		return FltDeleteTransactionContext(&w->instance, &w->transaction, old);
	}
}

#define KEEP    FLT_SET_CONTEXT_KEEP_IF_EXISTS
#define REPLACE FLT_SET_CONTEXT_REPLACE_IF_EXISTS

/* For each kind that a routine sets, replaces and deletes: all but sections. */
#define FOR_EACH_KIND(type) \
	for (FLT_CONTEXT_TYPE type = FLT_VOLUME_CONTEXT; type < FLT_SECTION_CONTEXT; type <<= 1)

#define FOR_EACH_KIND_AND_SECTIONS(type) \
	for (FLT_CONTEXT_TYPE type = FLT_VOLUME_CONTEXT; type <= FLT_SECTION_CONTEXT; type <<= 1)

static void nothing_there_is_not_found(void **state)
{
	PFLT_CONTEXT context;

	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	{
		assert_int_equal(get(&here, type, &context), STATUS_NOT_FOUND);
		assert_null(context);
	}
	FOR_EACH_KIND(type)
	{
		assert_int_equal(unset(&here, type, &context), STATUS_NOT_FOUND);
		assert_null(context);
		assert_int_equal(unset(&here, type, NULL), STATUS_NOT_FOUND);
	}
}

static void what_is_set_is_got_and_deleted(void **state)
{
	PFLT_CONTEXT a, found;

	(void)state;
	FOR_EACH_KIND(type)
	{
		a = allocate(here.filter, type);
		assert_int_equal(set(&here, type, KEEP, a, &found), STATUS_SUCCESS);
		assert_null(found);
		assert_int_equal(references(a), 2);
		assert_int_equal(get(&here, type, &found), STATUS_SUCCESS);
		assert_ptr_equal(found, a);
		assert_int_equal(references(a), 3);
		FltReleaseContext(found);
		assert_int_equal(unset(&here, type, &found), STATUS_SUCCESS);
		assert_ptr_equal(found, a);
		assert_int_equal(references(a), 2); /* the link's is ours now */
		FltReleaseContext(found);
		assert_int_equal(get(&here, type, &found), STATUS_NOT_FOUND);

		assert_int_equal(set(&here, type, KEEP, a, NULL), STATUS_SUCCESS);
		FltDeleteContext(a);
		assert_int_equal(get(&here, type, &found), STATUS_NOT_FOUND);
		assert_int_equal(references(a), 1);
		FltReleaseContext(a);
	}
}

static void a_context_of_another_kind_is_an_invalid_parameter(void **state)
{
	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	FOR_EACH_KIND_AND_SECTIONS(wrong)
	{
		PFLT_CONTEXT a, old = &a;

		if (type == wrong)
			continue;
		a = allocate(here.filter, wrong);
		assert_int_equal(set(&here, type, KEEP, a, &old), STATUS_INVALID_PARAMETER);
		assert_int_equal(set(&here, type, REPLACE, a, NULL), STATUS_INVALID_PARAMETER);
		if (type != FLT_SECTION_CONTEXT)
			assert_null(old);
		assert_int_equal(references(a), 1);
		FltReleaseContext(a);
	}
}

/* An instance's filter and a context's are one; a volume's contexts bring their own. */
static void another_filters_context_is_an_invalid_parameter(void **state)
{
	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	{
		PFLT_CONTEXT a = allocate(here.other, type);

		assert_int_equal(set(&here, type, KEEP, a, NULL),
				 type == FLT_VOLUME_CONTEXT ? STATUS_SUCCESS
							    : STATUS_INVALID_PARAMETER);
		FltReleaseContext(a);
	}
}

static void neither_keep_nor_replace_is_an_invalid_parameter(void **state)
{
	(void)state;
	FOR_EACH_KIND(type)
	{
		PFLT_CONTEXT a = allocate(here.filter, type), old = &a;

		assert_int_equal(set(&here, type, (FLT_SET_CONTEXT_OPERATION)2, a, &old),
				 STATUS_INVALID_PARAMETER);
		assert_null(old);
		FltReleaseContext(a);
	}
}

static void no_context_is_an_invalid_parameter(void **state)
{
	PFLT_CONTEXT a, old = &a;

	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	assert_int_equal(set(&here, type, KEEP, NULL, &old), STATUS_INVALID_PARAMETER);
	assert_null(old);
	a = allocate(here.filter, FLT_TRANSACTION_CONTEXT);
	old = &a;
	assert_int_equal(FltSetTransactionContext(&here.instance, NULL, KEEP, a, &old),
			 STATUS_INVALID_PARAMETER);
	assert_null(old);
	assert_int_equal(FltGetTransactionContext(&here.instance, NULL, &old), STATUS_NOT_FOUND);
	assert_int_equal(FltDeleteTransactionContext(&here.instance, NULL, &old), STATUS_NOT_FOUND);
	FltReleaseContext(a);
	FltReleaseContext(NULL);
	FltReferenceContext(NULL);
	FltDeleteContext(NULL);
}

static void what_is_set_somewhere_is_already_linked(void **state)
{
	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	{
		PFLT_CONTEXT a = allocate(here.filter, type), old;

		assert_int_equal(set(&here, type, KEEP, a, NULL), STATUS_SUCCESS);
		assert_int_equal(set(&here, type, KEEP, a, &old),
				 STATUS_FLT_CONTEXT_ALREADY_LINKED);
		assert_int_equal(set(&there, type, REPLACE, a, &old),
				 STATUS_FLT_CONTEXT_ALREADY_LINKED);
		assert_int_equal(references(a), 2);
		assert_int_equal(get(&there, type, &old), STATUS_NOT_FOUND);
		FltReleaseContext(a);
	}
}

static void keep_leaves_what_is_already_defined(void **state)
{
	(void)state;
	FOR_EACH_KIND(type)
	{
		PFLT_CONTEXT a = allocate(here.filter, type), b = allocate(here.filter, type), old;

		assert_int_equal(set(&here, type, KEEP, a, NULL), STATUS_SUCCESS);
		assert_int_equal(set(&here, type, KEEP, b, &old),
				 STATUS_FLT_CONTEXT_ALREADY_DEFINED);
		assert_ptr_equal(old, a);
		assert_int_equal(references(a), 3);
		assert_int_equal(references(b), 1);
		FltReleaseContext(old);
		assert_int_equal(set(&here, type, KEEP, b, NULL),
				 STATUS_FLT_CONTEXT_ALREADY_DEFINED);
		assert_int_equal(references(a), 2);
		FltReleaseContext(a);
		FltReleaseContext(b);
	}
}

static void replace_gives_the_old_one_back(void **state)
{
	(void)state;
	FOR_EACH_KIND(type)
	{
		PFLT_CONTEXT a = allocate(here.filter, type), b = allocate(here.filter, type), old;

		assert_int_equal(set(&here, type, REPLACE, a, &old), STATUS_SUCCESS);
		assert_null(old);
		assert_int_equal(set(&here, type, REPLACE, b, &old), STATUS_SUCCESS);
		assert_ptr_equal(old, a);
		assert_int_equal(references(a), 2); /* the link's is ours now */
		FltReleaseContext(old);
		assert_int_equal(set(&here, type, REPLACE, a, NULL), STATUS_SUCCESS);
		assert_int_equal(references(b), 1);
		FltReleaseContext(a);
		FltReleaseContext(b);
	}
}

/* --------------------------------------------------------- not supported */

#define FOR_EACH_KIND_OF_FILES(type)                                                \
	for (FLT_CONTEXT_TYPE type = FLT_FILE_CONTEXT; type <= FLT_SECTION_CONTEXT; \
	     type <<= type == FLT_STREAMHANDLE_CONTEXT ? 2 : 1)

static void check_not_supported(FLT_CONTEXT_TYPE type)
{
	PFLT_CONTEXT a = allocate(here.filter, type), out = &a;

	assert_int_equal(set(&here, type, KEEP, a, &out), STATUS_NOT_SUPPORTED);
	if (type != FLT_SECTION_CONTEXT)
		assert_null(out);
	assert_int_equal(references(a), 1);
	assert_int_equal(get(&here, type, &out), STATUS_NOT_SUPPORTED);
	assert_null(out);
	if (type != FLT_SECTION_CONTEXT) {
		assert_int_equal(unset(&here, type, &out), STATUS_NOT_SUPPORTED);
		assert_null(out);
		assert_int_equal(unset(&here, type, NULL), STATUS_NOT_SUPPORTED);
	}
	FltReleaseContext(a);
}

static void a_paging_file_is_not_supported(void **state)
{
	(void)state;
	ClearFlag(here.file.header.Flags2, FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS);
	assert_false(FltSupportsStreamContexts(&here.file.handle));
	assert_false(FltSupportsFileContexts(&here.file.handle));
	assert_false(FltSupportsFileContextsEx(&here.file.handle, &here.instance));
	assert_false(FltSupportsStreamHandleContexts(&here.file.handle));
	FOR_EACH_KIND_OF_FILES(type)
	check_not_supported(type);
}

static void a_file_without_a_header_is_not_supported(void **state)
{
	(void)state;
	here.file.handle.FsContext = NULL;
	assert_false(FltSupportsStreamContexts(&here.file.handle));
	assert_false(FltSupportsFileContexts(&here.file.handle));
	FOR_EACH_KIND_OF_FILES(type)
	check_not_supported(type);
	assert_false(FltSupportsStreamContexts(NULL));
	assert_false(FltSupportsFileContexts(NULL));
	assert_false(FltSupportsStreamHandleContexts(NULL));
}

static void only_file_contexts_need_the_files_pointer(void **state)
{
	PFLT_CONTEXT out;

	(void)state;
	here.file.header.FileContextSupportPointer = NULL;
	assert_false(FltSupportsFileContexts(&here.file.handle));
	assert_true(FltSupportsStreamContexts(&here.file.handle));
	check_not_supported(FLT_FILE_CONTEXT);
	assert_int_equal(get(&here, FLT_STREAM_CONTEXT, &out), STATUS_NOT_FOUND);
	assert_int_equal(get(&here, FLT_STREAMHANDLE_CONTEXT, &out), STATUS_NOT_FOUND);
}

/* ------------------------------------------------------------ torn down */

static void an_instance_that_is_torn_down_is_a_deleted_object(void **state)
{
	PFLT_CONTEXT out;

	(void)state;
	FltDeleteInstance(&here.instance);
	FOR_EACH_KIND_AND_SECTIONS(type)
	{
		PFLT_CONTEXT a;

		if (type == FLT_VOLUME_CONTEXT)
			continue;
		a = allocate(here.filter, type);
		out = &a;
		assert_int_equal(set(&here, type, KEEP, a, &out), STATUS_FLT_DELETING_OBJECT);
		if (type != FLT_SECTION_CONTEXT)
			assert_null(out);
		assert_int_equal(references(a), 1);
		FltReleaseContext(a);
	}
	for (FLT_CONTEXT_TYPE type = FLT_FILE_CONTEXT; type <= FLT_STREAMHANDLE_CONTEXT; type <<= 1)
		assert_int_equal(unset(&here, type, &out), STATUS_FLT_DELETING_OBJECT);
}

static void a_volume_that_is_torn_down_is_a_deleted_object(void **state)
{
	PFLT_CONTEXT a = allocate(here.filter, FLT_VOLUME_CONTEXT);

	(void)state;
	FltDeleteVolume(&here.volume);
	assert_int_equal(set(&here, FLT_VOLUME_CONTEXT, KEEP, a, NULL), STATUS_FLT_DELETING_OBJECT);
	FltReleaseContext(a);
}

/* ----------------------------------------------------------- several kinds */

static void get_contexts_gives_what_is_wanted_and_there(void **state)
{
	FLT_RELATED_OBJECTS objects = { sizeof(objects),  0,
					here.filter,      &here.volume,
					&here.instance,   &here.file.handle,
					&here.transaction };
	FLT_RELATED_CONTEXTS_EX ex;
	FLT_RELATED_CONTEXTS contexts;
	PFLT_CONTEXT context[7];
	size_t n = 0;

	(void)state;
	FOR_EACH_KIND_AND_SECTIONS(type)
	{
		context[n] = allocate(here.filter, type);
		assert_int_equal(set(&here, type, KEEP, context[n], NULL), STATUS_SUCCESS);
		FltReleaseContext(context[n++]);
	}
	FltGetContexts(&objects, FLT_ALL_CONTEXTS, &contexts);
	assert_memory_equal(&contexts, context, sizeof(contexts));
	FltReleaseContexts(&contexts);
	FltGetContextsEx(&objects, FLT_ALL_CONTEXTS, sizeof(ex), &ex);
	assert_memory_equal(&ex, context, sizeof(ex));
	FltReleaseContextsEx(sizeof(ex), &ex);
	for (n = 0; n < 7; n++)
		assert_int_equal(references(context[n]), 1);

	FltGetContextsEx(&objects, FLT_SECTION_CONTEXT | FLT_VOLUME_CONTEXT, sizeof(ex), &ex);
	assert_ptr_equal(ex.SectionContext, context[6]);
	assert_ptr_equal(ex.VolumeContext, context[0]);
	assert_null(ex.StreamContext);
	FltReleaseContextsEx(sizeof(ex), &ex);

	objects.FileObject = NULL;
	objects.Transaction = NULL;
	objects.Volume = NULL;
	FltGetContexts(&objects, FLT_ALL_CONTEXTS, &contexts);
	assert_ptr_equal(contexts.InstanceContext, context[1]);
	assert_null(contexts.VolumeContext);
	assert_null(contexts.StreamContext);
	assert_null(contexts.TransactionContext);
	FltReleaseContexts(&contexts);
}

/* A filter that registered no volume contexts does not get another's. */
static void an_unregistered_kind_is_never_found(void **state)
{
	static const FLT_CONTEXT_REGISTRATION streams[] = { SIZE(FLT_STREAM_CONTEXT),
							    { FLT_CONTEXT_END } };
	PFLT_CONTEXT a = allocate(here.filter, FLT_VOLUME_CONTEXT), out = &a;
	PFLT_FILTER narrow;

	(void)state;
	assert_int_equal(try_register(streams, &narrow), STATUS_SUCCESS);
	assert_int_equal(set(&here, FLT_VOLUME_CONTEXT, KEEP, a, NULL), STATUS_SUCCESS);
	FltReleaseContext(a);
	assert_int_equal(FltGetVolumeContext(narrow, &here.volume, &out), STATUS_NOT_FOUND);
	assert_null(out);
	assert_int_equal(FltDeleteVolumeContext(narrow, &here.volume, &out), STATUS_NOT_FOUND);
	assert_null(out);
	assert_int_equal(FltUnregisterFilter(narrow), STATUS_SUCCESS);
}

static void a_section_is_closed_once(void **state)
{
	PFLT_CONTEXT a = allocate(here.filter, FLT_SECTION_CONTEXT);
	PFLT_CONTEXT b = allocate(here.filter, FLT_SECTION_CONTEXT);
	PFLT_CONTEXT stream = allocate(here.filter, FLT_STREAM_CONTEXT);

	(void)state;
	assert_int_equal(FltCloseSectionForDataScan(NULL), STATUS_INVALID_PARAMETER);
	assert_int_equal(FltCloseSectionForDataScan(stream), STATUS_INVALID_PARAMETER);
	assert_int_equal(FltCloseSectionForDataScan(a), STATUS_INVALID_PARAMETER);
	assert_int_equal(FltSetSectionContext(&here.instance, &here.file.handle, a),
			 STATUS_SUCCESS);
	assert_int_equal(FltSetSectionContext(&here.instance, &here.file.handle, b),
			 STATUS_FLT_CONTEXT_ALREADY_DEFINED);
	assert_int_equal(FltCloseSectionForDataScan(b), STATUS_INVALID_PARAMETER);
	assert_int_equal(FltCloseSectionForDataScan(a), STATUS_SUCCESS);
	assert_int_equal(FltCloseSectionForDataScan(a), STATUS_NOT_FOUND);
	assert_int_equal(references(a), 1);
	FltReleaseContext(a);
	FltReleaseContext(b);
	FltReleaseContext(stream);
}

/* --------------------------------------------------------------- one winner */

struct same_context {
	struct rendezvous start;
	struct world *world[2];
	PFLT_CONTEXT context;
	NTSTATUS status[2];
};

static void set_thread(unsigned int index, void *arg)
{
	struct same_context *same = arg;

	rendezvous_wait(&same->start);
	same->status[index] =
		set(same->world[index], FLT_STREAM_CONTEXT, KEEP, same->context, NULL);
}

/* The winner's instance finds the context on the winner's stream. */
static void a_context_that_two_set_is_linked_once(void **state)
{
	struct same_context same = { .world = { &here, &there } };
	unsigned int rounds = test_scaled(2000);
	PFLT_CONTEXT found;

	(void)state;
	rendezvous_init(&same.start, 2);
	while (rounds-- > 0) {
		struct world *winner, *loser;

		same.context = allocate(here.filter, FLT_STREAM_CONTEXT);
		run_threads(2, set_thread, &same);
		assert_true((same.status[0] == STATUS_SUCCESS) ^
			    (same.status[1] == STATUS_SUCCESS));
		winner = same.status[0] == STATUS_SUCCESS ? &here : &there;
		loser = winner == &here ? &there : &here;
		assert_int_equal(same.status[winner == &here], STATUS_FLT_CONTEXT_ALREADY_LINKED);
		assert_int_equal(get(winner, FLT_STREAM_CONTEXT, &found), STATUS_SUCCESS);
		assert_ptr_equal(found, same.context);
		FltReleaseContext(found);
		assert_int_equal(get(loser, FLT_STREAM_CONTEXT, &found), STATUS_NOT_FOUND);
		FltDeleteContext(same.context);
		FltReleaseContext(same.context);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(nothing_there_is_not_found),
		T(what_is_set_is_got_and_deleted),
		T(a_context_of_another_kind_is_an_invalid_parameter),
		T(another_filters_context_is_an_invalid_parameter),
		T(neither_keep_nor_replace_is_an_invalid_parameter),
		T(no_context_is_an_invalid_parameter),
		T(what_is_set_somewhere_is_already_linked),
		T(keep_leaves_what_is_already_defined),
		T(replace_gives_the_old_one_back),
		T(a_paging_file_is_not_supported),
		T(a_file_without_a_header_is_not_supported),
		T(only_file_contexts_need_the_files_pointer),
		T(an_instance_that_is_torn_down_is_a_deleted_object),
		T(a_volume_that_is_torn_down_is_a_deleted_object),
		T(get_contexts_gives_what_is_wanted_and_there),
		T(an_unregistered_kind_is_never_found),
		T(a_section_is_closed_once),
		T(a_context_that_two_set_is_linked_once),
	};

	return TEST_RUN(tests);
}
