/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults of locked memory: the Nth mmap, mlock or munmap of the library fails,
 * for N = 1, 2, 3 ...  An allocation then fails with ENOMEM or does without,
 * nothing is mapped or locked for good, and the next one succeeds.
 *
 * Linked twice, with --wrap as unit/fault_*.c are: without jemalloc and with it.
 */
#include "test.h"

#include <sys/mman.h>

#define TAG SCTX_TAG('F', 'l', 't', ' ')

/* Calls to go until one fails; 0: disarmed. */
static unsigned int fail_in;
static bool fail_all; /* and all after it */
static unsigned int failed;
static bool no_locks;              /* every mlock fails, and nothing else */
static atomic_long mapped, locked; /* bytes, by the library */

static bool must_fail(int error)
{
	if (!fail_in)
		return false;
	if (fail_in > 1) {
		fail_in--;
		return false;
	}
	if (!fail_all)
		fail_in = 0;
	failed++;
	errno = error;
	return true;
}

static void arm(unsigned int n, bool all)
{
	fail_in = n;
	fail_all = all;
	failed = 0;
}

void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t size);
int __wrap_munmap(void *p, size_t size);
int __real_mlock(const void *p, size_t size);
int __wrap_mlock(const void *p, size_t size);

void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *p;

	if (must_fail(ENOMEM))
		return MAP_FAILED;
	p = __real_mmap(at, size, prot, flags, fd, offset);
	if (p != MAP_FAILED)
		atomic_fetch_add(&mapped, (long)size);
	return p;
}

int __wrap_munmap(void *p, size_t size)
{
	/* The kernel refuses when there are too many mappings. */
	if (must_fail(ENOMEM))
		return -1;
	atomic_fetch_sub(&mapped, (long)size);
	return __real_munmap(p, size);
}

int __wrap_mlock(const void *p, size_t size)
{
	if (no_locks || must_fail(failed % 2 ? EAGAIN : EPERM))
		return -1;
	atomic_fetch_add(&locked, (long)size);
	return __real_mlock(p, size);
}

static void *alloc(size_t size)
{
	return sctx_alloc(SCTX_POOL_LOCKED, size, TAG);
}

static struct sctx_tag_stats stats(void)
{
	struct sctx_tag_stats all[1];

	CHECK_EQ(sctx_tag_stats_get(all, sizeof(*all), 1), 1);
	return all[0];
}

static void one_size(size_t size)
{
	unsigned int failures = 0;

	for (unsigned int n = 1; n < 50; n++) {
		struct sctx_tag_stats before = stats();
		long maps = atomic_load(&mapped);
		void *p;

		/* All fail from the Nth on: there is no doing without. */
		arm(n, true);
		errno = 0;
		p = alloc(size);
		arm(0, false);
		if (p) {
			memset(p, 1, size);
			CHECK_EQ(sctx_free(p, TAG), 0);
			break;
		}
		failures++;
		assert_int_equal(errno, ENOMEM);
		assert_u64(stats().bytes, ==, before.bytes);
		assert_u64(stats().objects, ==, before.objects);
		/* What could not be unmapped stays, unlocked, where munmap failed as well. */
		assert_true(atomic_load(&mapped) - maps <= (long)size + (4 << 20));
	}
	assert_true(failures > 0);
}

static void no_memory_at_all(void **state)
{
	(void)state;
	assert_rc(sctx_free(alloc(1), TAG), 0);
	/* Larger than what the first extent left. */
	for (size_t size = 3 << 20; size <= 12 << 20; size += 3 << 20)
		one_size(size);
}

static void a_single_call_fails(void **state)
{
	(void)state;
	for (unsigned int n = 1; n < 20; n++) {
		size_t size = (size_t)(4 + n) << 20;
		void *p, *q;

		arm(n, false);
		errno = 0;
		p = alloc(size);
		if (!p)
			assert_int_equal(errno, ENOMEM);
		else
			memset(p, 1, size);
		q = alloc(size);
		arm(0, false);
		assert_true(p || q);
		assert_rc(sctx_free(p, TAG), 0);
		assert_rc(sctx_free(q, TAG), 0);
		assert_u64(stats().bytes, ==, 0);
		assert_u64(stats().objects, ==, 0);
	}
	assert_true(atomic_load(&locked) > 0);
}

static void no_memory_can_be_locked(void **state)
{
	void *p = alloc(1);
	long before = atomic_load(&mapped);

	(void)state;
	no_locks = true;
	/* Larger than what others have left unused. */
	for (size_t size = 64 << 20; size <= 512 << 20; size *= 2) {
		assert_null(alloc(size));
		/* Less, where something unused was given back. */
		assert_true(atomic_load(&mapped) <= before);
	}
	no_locks = false;
	assert_rc(sctx_free(p, TAG), 0);
}

/* Ordinary memory needs none of it, nor does freeing. */
static void the_other_pool(void **state)
{
	void *p = alloc(100), *q;

	(void)state;
	assert_non_null(p);
	arm(1, true);
	q = sctx_alloc(SCTX_POOL_PAGED, 100, TAG);
	assert_non_null(q);
	assert_rc(sctx_free(q, TAG), 0);
	assert_rc(sctx_free(p, TAG), 0);
	arm(0, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_at_all),
		cmocka_unit_test(a_single_call_fails),
		cmocka_unit_test(no_memory_can_be_locked),
		cmocka_unit_test(the_other_pool),
	};

	CHECK_EQ(argc, 1);
	CHECK_EQ(strstr(argv[0], "jemalloc") != NULL, strstr(sctx_version(), "jemalloc") != NULL);
	return TEST_RUN(tests);
}
