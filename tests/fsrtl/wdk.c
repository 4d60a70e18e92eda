/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Resources, pools and the formats of DbgPrint().
 */
#define DBG 1
#include "test.h"

#include <streamctx/wdk.h>

/* --------------------------------------------------------------- resources */

static ERESOURCE resource;

static int setup(void **state)
{
	(void)state;
	return ExInitializeResourceLite(&resource);
}

static int end(void **state)
{
	(void)state;
	return ExDeleteResourceLite(&resource);
}

/* Whether another thread gets the resource without waiting. */
static void *try_exclusive(void *got)
{
	*(BOOLEAN *)got = ExAcquireResourceExclusiveLite(&resource, FALSE);
	CHECK_EQ(ExIsResourceAcquiredExclusiveLite(&resource), *(BOOLEAN *)got);
	if (*(BOOLEAN *)got)
		ExReleaseResourceLite(&resource);
	return NULL;
}

static void *try_shared(void *got)
{
	*(BOOLEAN *)got = ExAcquireResourceSharedLite(&resource, FALSE);
	CHECK_EQ(ExIsResourceAcquiredSharedLite(&resource), *(BOOLEAN *)got);
	if (*(BOOLEAN *)got)
		ExReleaseResourceLite(&resource);
	return NULL;
}

static bool another_gets(void *(*how)(void *))
{
	BOOLEAN got;

	thread_join(thread_start(how, &got));
	return got;
}

static void exclusive_excludes_others_and_is_recursive(void **state)
{
	(void)state;
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	assert_true(ExAcquireResourceExclusiveLite(&resource, TRUE));
	assert_true(ExAcquireResourceExclusiveLite(&resource, FALSE));
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE)); /* it is included */
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 4);
	for (int left = 3; left >= 0; left--) {
		assert_false(another_gets(try_exclusive));
		assert_false(another_gets(try_shared));
		assert_true(ExIsResourceAcquiredExclusiveLite(&resource));
		ExReleaseResourceLite(&resource);
		assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), left);
	}
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	assert_true(another_gets(try_exclusive));
}

static void shared_is_shared_and_recursive(void **state)
{
	(void)state;
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	assert_true(ExAcquireResourceSharedLite(&resource, TRUE));
	assert_true(another_gets(try_shared));
	assert_false(another_gets(try_exclusive));
	assert_false(ExAcquireResourceExclusiveLite(&resource, FALSE));
	assert_false(ExIsResourceAcquiredExclusiveLite(&resource));
	ExReleaseResourceLite(&resource);
	assert_int_equal(ExIsResourceAcquiredSharedLite(&resource), 1);
	assert_false(another_gets(try_exclusive));
	ExReleaseResourceLite(&resource);
	assert_true(another_gets(try_exclusive));
}

#define SHARERS 12 /* more than a resource has room for by itself */

static struct rendezvous all_in;

static void share(unsigned int index, void *arg)
{
	(void)index;
	(void)arg;
	FltAcquireResourceShared(&resource);
	rendezvous_wait(&all_in);
	CHECK_EQ(ExIsResourceAcquiredSharedLite(&resource), 1);
	CHECK(!ExIsResourceAcquiredExclusiveLite(&resource));
	rendezvous_wait(&all_in);
	FltReleaseResource(&resource);
	CHECK_EQ(ExIsResourceAcquiredSharedLite(&resource), 0);
}

static void each_of_many_sharers_is_known(void **state)
{
	(void)state;
	rendezvous_init(&all_in, SHARERS);
	run_threads(SHARERS, share, NULL);
	assert_true(another_gets(try_exclusive));
}

static unsigned int counted; /* under the resource */

static void count(unsigned int index, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int before;

		if ((i + index) % 4) {
			FltAcquireResourceShared(&resource);
			before = counted;
			CHECK_EQ(counted, before);
		} else {
			FltAcquireResourceExclusive(&resource);
			counted++;
		}
		FltReleaseResource(&resource);
	}
}

static void writers_and_readers_race(void **state)
{
	(void)state;
	counted = 0;
	run_threads(4, count, NULL);
	assert_int_equal(counted, 2000);
}

static void levels(void **state)
{
	(void)state;
	NT_ASSERT(KeGetCurrentIrql() <= APC_LEVEL);
	assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
	FsRtlEnterFileSystem();
	FsRtlExitFileSystem();
}

/* ------------------------------------------------------------------- pools */

static void check_zero(const unsigned char *memory, size_t size)
{
	assert_non_null(memory);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(memory[i], 0);
}

/* Memory that was used before comes back dirty from a routine that does not zero it. */
static void zeroed_pools_are_zeroed(void **state)
{
	volatile SIZE_T too_much = SIZE_MAX / 2;
	PVOID memory = NULL;

	(void)state;
	for (int i = 0; i < 64; i++) {
		memory = ExAllocatePoolUninitialized(PagedPool, 200, 'looP');
		assert_non_null(memory);
		RtlFillMemory(memory, 200, 0xa5);
		ExFreePoolWithTag(memory, 'looP');
		memory = ExAllocatePoolZero(PagedPool, 200, 'looP');
		check_zero(memory, 200);
		RtlFillMemory(memory, 200, 0xa5);
		ExFreePool(memory);
		memory = ExAllocatePool2(POOL_FLAG_PAGED, 200, 'looP');
		check_zero(memory, 200);
		RtlFillMemory(memory, 200, 0xa5);
		ExFreePoolWithTag(memory, 0);
	}
	memory = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, 8, 'looP');
	assert_non_null(memory);
	ExFreePoolWithTag(memory, 'looP');
	assert_null(ExAllocatePoolZero(PagedPool, too_much, 'looP'));
}

/* ---------------------------------------------------------------- printing */

/* DbgPrint(), into a string. */
static const char *printed(const char *format, ...)
{
	static char text[256];
	struct sctx_nt_args args;
	FILE *to = fmemopen(text, sizeof(text), "w");

	assert_non_null(to);
	va_start(args.list, format);
	sctx_nt_print(to, format, &args);
	va_end(args.list);
	fclose(to);
	return text;
}

static WCHAR wide[] = { 'n', 0xe4, 0x20ac, 0xd83d, 0xde00, 0xd800, 'x', 0 };
#define WIDE "n\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbdx"

static void integers_have_the_kernels_sizes(void **state)
{
	const LONG minus = -5;
	const ULONG most = 0xffffffff;

	(void)state;
	assert_string_equal(printed("%d %i %u %x", minus, minus, most, most),
			    "-5 -5 4294967295 ffffffff");
	assert_string_equal(printed("%ld %lu %lx|%d", minus, most, most, 7),
			    "-5 4294967295 ffffffff|7");
	assert_string_equal(printed("%lld %I64d %I64x %I32u", INT64_MIN, INT64_MIN, UINT64_MAX, 1),
			    "-9223372036854775808 -9223372036854775808 ffffffffffffffff 1");
	assert_string_equal(printed("%hd %hu %hhx", 0x18000, 0x1ffff, 0x1ff), "-32768 65535 ff");
	assert_string_equal(printed("%zu %Iu", SIZE_MAX, SIZE_MAX),
			    "18446744073709551615 18446744073709551615");
	assert_string_equal(printed("[%08x] [%-5d] [%*d] [%+.3d]", 0xabc, 42, 5, 42, 7),
			    "[00000abc] [42   ] [   42] [+007]");
	assert_string_equal(printed("100%% %c %p", 'c', NULL), "100% c (nil)");
}

static void strings_narrow_wide_and_counted(void **state)
{
	const UNICODE_STRING name = { 6, sizeof(wide), wide }, none = { 0, 0, NULL };
	const ANSI_STRING ansi = { 3, 4, (char[]){ "abcd" } };

	(void)state;
	assert_string_equal(printed("%s|%.2s|%6s", "abc", "abc", "abc"), "abc|ab|   abc");
	assert_string_equal(printed("%S %ws %ls %hS", wide, wide, wide, "narrow"),
			    WIDE " " WIDE " " WIDE " narrow");
	assert_string_equal(printed("%.2S|%.*ws", wide, 1, wide), "n\xc3\xa4|n");
	assert_string_equal(printed("%wZ %Z %d", &name, &ansi, 3), "n\xc3\xa4\xe2\x82\xac abc 3");
	assert_string_equal(printed("%wZ %wZ %s %S", &none, NULL, NULL, NULL),
			    "(null) (null) (null) (null)");
}

static void half_a_directive_ends_the_format(void **state)
{
	(void)state;
	assert_string_equal(printed("a%"), "a");
	assert_string_equal(printed("a%-08l"), "a");
	assert_string_equal(printed("a%y"), "ay");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(exclusive_excludes_others_and_is_recursive),
		T(shared_is_shared_and_recursive),
		T(each_of_many_sharers_is_known),
		T(writers_and_readers_race),
		T(levels),
		cmocka_unit_test(zeroed_pools_are_zeroed),
		cmocka_unit_test(integers_have_the_kernels_sizes),
		cmocka_unit_test(strings_narrow_wide_and_counted),
		cmocka_unit_test(half_a_directive_ends_the_format),
	};

	return TEST_RUN(tests);
}
