/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SCTX_POOL_LOCKED: whether it is locked, as the kernel sees it, the limit,
 * and forks.
 */
#include "unit/pool.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---------------------------------------------------- what the kernel says */

/* They make mlock() do nothing. */
#define NO_LOCKS (TEST_ASAN || TEST_TSAN)

/* Whether the mapping around @p is locked: flag "lo" of smaps. */
static bool is_locked(const void *p)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long from, to, at = (unsigned long)p;
	bool inside = false, locked = false;
	char line[512];

	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= at && at < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			locked = strstr(line, " lo") != NULL;
	}
	fclose(file);
	return locked || NO_LOCKS;
}

static size_t locked_bytes(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %lu", &kib) == 1)
			break;
	fclose(file);
	return (size_t)kib * 1024;
}

static long faults(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_minflt + usage.ru_majflt;
}

/* From now on this process is held to RLIMIT_MEMLOCK. */
static void obey_limits(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK_EQ(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}

static void may_lock(size_t bytes)
{
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = bytes;
	CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

/* ------------------------------------------------------------ locked memory */

static void locked_memory_is_locked(void **state)
{
	const size_t sizes[] = { 0, 1, 100, 5000, 100000, 3 << 20 };
	void *p[ARRAY_SIZE(sizes)];

	(void)state;
	if (NO_LOCKS)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[i] = must_alloc(SCTX_POOL_LOCKED, sizes[i], TAG('l'));
		assert_true(is_locked(p[i]));
		assert_true(is_locked((char *)p[i] + sizes[i] - 1));
	}
	assert_u64(locked_bytes(), >=, 3 << 20);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_rc(sctx_free(p[i], TAG('l')), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[i] = must_alloc(SCTX_POOL_PAGED, sizes[i], TAG('l'));
		assert_false(is_locked(p[i]));
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_rc(sctx_free(p[i], TAG('l')), 0);
}

static void locked_memory_does_not_fault(void **state)
{
	const size_t size = 1 << 20;
	char *p;
	long before, paged;

	(void)state;
	if (!TEST_ALONE)
		skip(); /* sanitizers' shadows and emulated code fault */
	/* The first test: after a fork, what was there before would be copied. */
	p = sctx_alloc(SCTX_POOL_LOCKED, size, TAG('l'));
	assert_non_null(p);
	before = faults();
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	assert_int_equal(faults() - before, 0);
	assert_rc(sctx_free(p, TAG('l')), 0);

	/* faults() sees them: fresh pages of ordinary memory do. */
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	before = faults();
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	paged = faults() - before;
	assert_true(paged > 0);
	munmap(p, size);
}

static void *fill_a_cache(void *unused)
{
	void *p[100];

	(void)unused;
	for (unsigned int i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = must_alloc(SCTX_POOL_LOCKED, 8000, TAG('c'));
	for (unsigned int i = 0; i < ARRAY_SIZE(p); i++)
		CHECK_EQ(sctx_free(p[i], TAG('c')), 0);
	return NULL;
}

/* Their caches are taken apart. */
static void threads_that_exit_keep_no_locked_memory(void **state)
{
	size_t before;

	(void)state;
	if (NO_LOCKS)
		skip();
	thread_join(thread_start(fill_a_cache, NULL));
	before = locked_bytes();
	for (unsigned int i = 0; i < 50; i++)
		thread_join(thread_start(fill_a_cache, NULL));
	assert_u64(locked_bytes(), <=, before + (1 << 20));
}

#define MANY 60000

/* Allocates until there is no more; how many. */
static unsigned int use_up(void **p, size_t size)
{
	unsigned int n = 0;

	errno = 0;
	while (n < MANY && (p[n] = sctx_alloc(SCTX_POOL_LOCKED, size, TAG('m'))))
		memset(p[n++], 1, size);
	CHECK(n < MANY);
	CHECK_EQ(errno, ENOMEM);
	return n;
}

static void free_all(void **p, unsigned int n)
{
	while (n--)
		CHECK_EQ(sctx_free(p[n], TAG('m')), 0);
}

static void reach_the_limit(void *arg)
{
	static void *p[MANY], *q[MANY];
	const size_t size = *(size_t *)arg, limit = (size_t)3 << 20;
	unsigned int n, again;

	obey_limits();
	may_lock(0);
	CHECK_EQ(use_up(p, size), 0);
	CHECK_EQ(sctx_free(must_alloc(SCTX_POOL_PAGED, size, TAG('m')), TAG('m')), 0);

	may_lock(limit);
	n = use_up(p, size);
	CHECK(n > 0);
	CHECK(locked_bytes() <= limit);
	/* Not much of it is lost, but for single pages of single blocks. */
	if (with_jemalloc())
		CHECK(n * size > limit / 2);
	CHECK_EQ(use_up(q, size), 0);
	CHECK_EQ(tag_stats(TAG('m')).bytes, n * size);
	CHECK_EQ(tag_stats(TAG('m')).objects, n);

	/* What is freed can be had again, also in other sizes, */
	free_all(p, n);
	again = use_up(p, size);
	CHECK(again >= n - n / 10);
	free_all(p, again);
	again = use_up(p, 2 * size + 1000);
	CHECK(again > 0);
	free_all(p, again);
	/* and more when the limit is raised. */
	may_lock(2 * limit);
	again = use_up(p, size);
	CHECK(again > n + n / 2);
	free_all(p, again);
	CHECK_EQ(tag_stats(TAG('m')).bytes, 0);

	/* Before an allocation fails, what is unused is given back, but for some. */
	CHECK(sctx_alloc(SCTX_POOL_LOCKED, 2 * limit, TAG('m')) == NULL);
	CHECK(locked_bytes() <= limit / 16 + 4 * size);
}

static void the_limit_is_reached(void **state)
{
	size_t sizes[] = { 100, 5000, 60000, 200000 };

	(void)state;
	if (NO_LOCKS)
		skip();
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		assert_child_ok(child_start(reach_the_limit, &sizes[i]));
}

/* -------------------------------------------------------------------- fork */

static void use_inherited(void *arg)
{
	void **p = arg, *fresh[64];

	CHECK_EQ(tag_stats(TAG('f')).bytes, 64 * 300);
	for (unsigned int i = 0; i < 32; i++) {
		CHECK(*(char *)p[i] == 0x5a);
		CHECK_EQ(sctx_free(p[i], TAG('f')), 0);
	}
	/* Nothing of that is taken for locked memory. */
	for (unsigned int i = 0; i < 64; i++) {
		fresh[i] = must_alloc(SCTX_POOL_LOCKED, 300, TAG('f'));
		CHECK(is_locked(fresh[i]));
	}
	for (unsigned int i = 32; i < 64; i++)
		CHECK_EQ(sctx_free(p[i], TAG('f')), 0);
	for (unsigned int i = 0; i < 64; i++)
		CHECK_EQ(sctx_free(fresh[i], TAG('f')), 0);
	CHECK_EQ(tag_stats(TAG('f')).bytes, 0);
	CHECK_EQ(tag_stats(TAG('f')).objects, 0);
}

static void daemonise(void *arg)
{
	CHECK_EQ(child_wait(child_start(use_inherited, arg)), 0);
	use_inherited(arg);
}

static void locked_memory_and_fork(void **state)
{
	void *p[64];

	(void)state;
	if (TEST_TSAN)
		skip(); /* it does not follow locks into a child */
	for (unsigned int i = 0; i < 64; i++)
		p[i] = must_alloc(SCTX_POOL_LOCKED, 300, TAG('f'));
	assert_child_ok(child_start(daemonise, p));
	for (unsigned int i = 0; i < 64; i++) {
		assert_true(is_locked(p[i]));
		assert_rc(sctx_free(p[i], TAG('f')), 0);
	}
	assert_in_use(TAG('f'), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locked_memory_does_not_fault),
		cmocka_unit_test(locked_memory_is_locked),
		cmocka_unit_test(threads_that_exit_keep_no_locked_memory),
		cmocka_unit_test(the_limit_is_reached),
		cmocka_unit_test(locked_memory_and_fork),
	};

	return TEST_RUN(tests);
}
