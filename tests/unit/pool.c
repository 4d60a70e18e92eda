/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: sctx_alloc(), sctx_free(), what is counted by tag, and whether locked
 * memory is locked, as the kernel sees it.  Runs with libc's memory and, in
 * the jemalloc suite, with jemalloc's.
 */
#include "test.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define TAG(n) SCTX_TAG('T', 's', 't', n)

static const enum sctx_pool pools[] = { SCTX_POOL_PAGED, SCTX_POOL_LOCKED };

/* Without jemalloc each block of locked memory has pages of its own. */
static bool with_jemalloc(void)
{
	return strstr(sctx_version(), "jemalloc") != NULL;
}

static struct sctx_tag_stats tag_stats(uint32_t tag)
{
	static struct sctx_tag_stats all[SCTX_TAGS_MAX];
	size_t n = sctx_tag_stats_get(all, ARRAY_SIZE(all));

	CHECK(n <= ARRAY_SIZE(all));
	for (size_t i = 0; i < n; i++)
		if (all[i].tag == tag)
			return all[i];
	return (struct sctx_tag_stats){ .tag = tag };
}

#define assert_in_use(tag_, bytes_, objects_)                   \
	do {                                                    \
		struct sctx_tag_stats stats_ = tag_stats(tag_); \
		assert_u64(stats_.bytes, ==, (bytes_));         \
		assert_u64(stats_.objects, ==, (objects_));     \
		assert_u64(stats_.peak, >=, stats_.bytes);      \
	} while (0)

static void *must_alloc(enum sctx_pool pool, size_t size, uint32_t tag)
{
	void *memory = sctx_alloc(pool, size, tag);

	if (!memory)
		test_die(__FILE__, __LINE__, "%zu bytes of pool %d: errno %d", size, pool, errno);
	CHECK((uintptr_t)memory % 16 == 0);
	memset(memory, 0x5a, size);
	return memory;
}

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

/* ------------------------------------------------------------ alloc, free */

static void sizes_and_alignment(void **state)
{
	static unsigned char *p[2048];
	const size_t large[] = { 4096, 32768, 65536, 100000, 1 << 20, 3 << 20 };

	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(pools); k++) {
		unsigned int n = 0;

		for (size_t size = 0; size < 1000; size += 1 + size / 16)
			p[n++] = must_alloc(pools[k], size, TAG('a'));
		for (unsigned int i = 0; i < ARRAY_SIZE(large); i++)
			p[n++] = must_alloc(pools[k], large[i], TAG('a'));
		/* They do not overlap, and neither with what is in front. */
		for (unsigned int i = 0; i < n; i++)
			for (unsigned int j = 0; j < n; j++)
				assert_true(i == j || p[i] - p[j] >= 16 || p[j] - p[i] >= 16);
		for (unsigned int i = 0; i < n; i++)
			assert_rc(sctx_free(p[i], TAG('a')), 0);
		assert_in_use(TAG('a'), 0, 0);
	}
}

static void invalid_arguments(void **state)
{
	char *p = must_alloc(SCTX_POOL_PAGED, 100, TAG('i'));

	(void)state;
	errno = 0;
	assert_null(sctx_alloc((enum sctx_pool)2, 1, TAG('i')));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(sctx_alloc(SCTX_POOL_PAGED, 1, 0));
	assert_int_equal(errno, EINVAL);
	for (unsigned int k = 0; k < ARRAY_SIZE(pools); k++) {
		const size_t too_large[] = { SIZE_MAX, SIZE_MAX - 15, (size_t)PTRDIFF_MAX,
					     (size_t)PTRDIFF_MAX / 2 };

		/* The sanitizers' malloc dies of the last one. */
		for (unsigned int i = 0; i < 4u - (TEST_ASAN || TEST_TSAN); i++) {
			errno = 0;
			assert_null(sctx_alloc(pools[k], too_large[i], TAG('i')));
			assert_int_equal(errno, ENOMEM);
		}
	}
	assert_rc(sctx_free(NULL, TAG('i')), 0);
	assert_rc(sctx_free(p + 1, TAG('i')), -EINVAL);
	assert_rc(sctx_free(p + 8, TAG('i')), -EINVAL);
	assert_in_use(TAG('i'), 100, 1);
	assert_rc(sctx_free(p, TAG('i')), 0);
}

static void the_wrong_tag(void **state)
{
	(void)state;
	for (unsigned int k = 0; k < ARRAY_SIZE(pools); k++) {
		unsigned char *p = must_alloc(pools[k], 100, TAG('w'));

		assert_rc(sctx_free(p, TAG('x')), -EINVAL);
		assert_in_use(TAG('w'), 100, 1);
		assert_in_use(TAG('x'), 0, 0);
		for (unsigned int i = 0; i < 100; i++)
			assert_int_equal(p[i], 0x5a);
		assert_rc(sctx_free(p, TAG('w')), 0);
		assert_in_use(TAG('w'), 0, 0);
		/* 0 is whatever it was allocated with. */
		assert_rc(sctx_free(must_alloc(pools[k], 7, TAG('w')), 0), 0);
		assert_in_use(TAG('w'), 0, 0);
	}
}

static void freed_twice(void **state)
{
	(void)state;
	/* They see the read of freed memory, and stop. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	for (size_t size = 0; size < 2000; size += 1 + size / 2) {
		char *p = must_alloc(SCTX_POOL_PAGED, size, TAG('d'));

		assert_rc(sctx_free(p, TAG('d')), 0);
		assert_rc(sctx_free(p, TAG('d')), -EBADF);
		if (!with_jemalloc())
			continue; /* unmapped */
		p = must_alloc(SCTX_POOL_LOCKED, size, TAG('d'));
		assert_rc(sctx_free(p, TAG('d')), 0);
		assert_rc(sctx_free(p, TAG('d')), -EBADF);
	}
	assert_in_use(TAG('d'), 0, 0);
}

/* ------------------------------------------------------------------- stats */

static void tags_in_order_of_first_use(void **state)
{
	static struct sctx_tag_stats all[SCTX_TAGS_MAX];
	size_t before = sctx_tag_stats_get(NULL, 0), n;
	void *p[3];

	(void)state;
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < 3; i++)
			assert_rc(sctx_free(must_alloc(SCTX_POOL_PAGED, 1, TAG('0' + i)),
					    TAG('0' + i)),
				  0);
	for (unsigned int i = 0; i < 3; i++)
		p[i] = must_alloc(pools[i % 2], 10 + i, TAG('0' + i));
	assert_u64(sctx_tag_stats_get(NULL, 5), ==, before + 3);
	all[before + 2].tag = 4711;
	assert_u64(sctx_tag_stats_get(all, before + 2), ==, before + 3);
	assert_int_equal(all[before + 2].tag, 4711);
	n = sctx_tag_stats_get(all, SCTX_TAGS_MAX);
	assert_u64(n, ==, before + 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(all[before + i].tag, TAG('0' + i));
		assert_u64(all[before + i].bytes, ==, 10 + i);
		assert_u64(all[before + i].objects, ==, 1);
		assert_rc(sctx_free(p[i], TAG('0' + i)), 0);
	}
}

static void more_tags_than_there_can_be(void *unused)
{
	uint32_t tag = 1;
	void *p;

	(void)unused;
	while ((p = sctx_alloc(SCTX_POOL_PAGED, 1, tag))) {
		CHECK_EQ(sctx_free(p, tag), 0);
		CHECK(tag++ <= SCTX_TAGS_MAX);
	}
	CHECK_EQ(errno, ENOSPC);
	CHECK_EQ(sctx_tag_stats_get(NULL, 0), SCTX_TAGS_MAX);
	/* Those that there are go on. */
	for (uint32_t i = 1; i < tag; i++) {
		p = must_alloc(SCTX_POOL_PAGED, i, i);
		CHECK_EQ(tag_stats(i).bytes, i);
		CHECK_EQ(sctx_free(p, i), 0);
	}
}

static void the_last_tag(void **state)
{
	(void)state;
	assert_child_ok(child_start(more_tags_than_there_can_be, NULL));
}

#define SHARE 65536

static void the_peak(void **state)
{
	void *p[40];

	(void)state;
	/* Those that are as large as a share are seen at once. */
	p[0] = must_alloc(SCTX_POOL_PAGED, 10 * SHARE, TAG('p'));
	p[1] = must_alloc(SCTX_POOL_PAGED, 100, TAG('p'));
	p[2] = must_alloc(SCTX_POOL_PAGED, SHARE, TAG('p'));
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_free(p[i], TAG('p')), 0);
	assert_in_use(TAG('p'), 0, 0);
	assert_u64(tag_stats(TAG('p')).peak, ==, 11 * SHARE + 100);

	/* Of smaller ones less than a share is missed. */
	for (unsigned int i = 0; i < 40; i++)
		p[i] = must_alloc(SCTX_POOL_PAGED, 10000, TAG('q'));
	for (unsigned int i = 0; i < 40; i++)
		assert_rc(sctx_free(p[i], TAG('q')), 0);
	assert_u64(tag_stats(TAG('q')).peak, <=, 400000);
	assert_u64(tag_stats(TAG('q')).peak, >, 400000 - SHARE);

	/* And none when someone asks. */
	p[0] = must_alloc(SCTX_POOL_PAGED, 20, TAG('r'));
	assert_u64(tag_stats(TAG('r')).peak, ==, 20);
	assert_rc(sctx_free(p[0], TAG('r')), 0);
	assert_u64(tag_stats(TAG('r')).peak, ==, 20);
}

#define EXITING 30

static void *alloc_and_exit(void *memory)
{
	for (unsigned int i = 0; i < 4; i++)
		((void **)memory)[i] = must_alloc(pools[i % 2], 5000 * i + 7, TAG('e'));
	return NULL;
}

static void threads_that_exit(void **state)
{
	void *memory[EXITING][4];

	(void)state;
	for (unsigned int i = 0; i < EXITING; i++)
		thread_join(thread_start(alloc_and_exit, memory[i]));
	assert_in_use(TAG('e'), EXITING * 30028, EXITING * 4);
	for (unsigned int i = 0; i < EXITING * 4; i++)
		assert_rc(sctx_free(memory[i / 4][i % 4], TAG('e')), 0);
	assert_in_use(TAG('e'), 0, 0);

	/* Each less than a share, and nobody looks meanwhile. */
	for (unsigned int i = 0; i < EXITING; i++)
		thread_join(thread_start(alloc_and_exit, memory[i]));
	for (unsigned int i = 0; i < EXITING * 4; i++)
		assert_rc(sctx_free(memory[i / 4][i % 4], TAG('e')), 0);
	assert_u64(tag_stats(TAG('e')).peak, ==, EXITING * 30028);
}

#define SLOTS 256

struct exchange {
	void *_Atomic slot[SLOTS];
	uint64_t deadline;
};

/* A block of random size: 4 bytes of its size, then its tag's last letter. */
static void *random_block(uint64_t *seed)
{
	uint64_t r = test_random(seed);
	uint32_t size = 8 + (uint32_t)(r >> 8) % ((r & 63) ? 500 : 40000);
	char letter = 'A' + (r >> 40) % 5;
	char *p = must_alloc(pools[r >> 50 & 1], size, TAG(letter));

	memcpy(p, &size, sizeof(size));
	memset(p + 4, letter, size - 4);
	return p;
}

static void block_check_and_free(char *p)
{
	uint32_t size;

	if (!p)
		return;
	memcpy(&size, p, sizeof(size));
	for (uint32_t i = 5; i < size; i++)
		CHECK(p[i] == p[4]);
	CHECK_EQ(sctx_free(p, TAG(p[4])), 0);
}

static void exchanger(unsigned int index, void *arg)
{
	struct exchange *x = arg;
	uint64_t seed = index;

	while (!past(x->deadline))
		for (unsigned int i = 0; i < 20; i++)
			block_check_and_free(atomic_exchange(&x->slot[test_random(&seed) % SLOTS],
							     random_block(&seed)));
}

/* What one allocates another frees, under five tags, in both pools. */
static void threads_that_pass_blocks_on(void **state)
{
	static struct exchange x;

	(void)state;
	x.deadline = test_deadline(300);
	run_threads(4, exchanger, &x);
	for (unsigned int i = 0; i < SLOTS; i++)
		block_check_and_free(atomic_exchange(&x.slot[i], NULL));
	for (char letter = 'A'; letter < 'F'; letter++) {
		assert_in_use(TAG(letter), 0, 0);
		assert_u64(tag_stats(TAG(letter)).peak, >, 0);
	}
}

static void new_tags(unsigned int index, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 50; i++) {
		uint32_t tag = SCTX_TAG('N', 'e', 'w', i + 1);

		CHECK_EQ(sctx_free(must_alloc(SCTX_POOL_PAGED, index, tag), tag), 0);
		must_alloc(SCTX_POOL_PAGED, 1, tag);
	}
}

/* They are added once, whoever comes first.  (The memory is left behind.) */
static void threads_with_the_same_new_tags(void *unused)
{
	size_t before = sctx_tag_stats_get(NULL, 0);

	(void)unused;
	run_threads(4, new_tags, NULL);
	CHECK_EQ(sctx_tag_stats_get(NULL, 0), before + 50);
	for (unsigned int i = 0; i < 50; i++) {
		CHECK_EQ(tag_stats(SCTX_TAG('N', 'e', 'w', i + 1)).bytes, 4);
		CHECK_EQ(tag_stats(SCTX_TAG('N', 'e', 'w', i + 1)).objects, 4);
	}
}

static void the_same_new_tags(void **state)
{
	(void)state;
	if (TEST_TSAN)
		skip(); /* it does not follow threads into a child */
	for (unsigned int i = 0; i < 10; i++)
		assert_child_ok(child_start(threads_with_the_same_new_tags, NULL));
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
	if (TEST_ASAN || TEST_TSAN)
		skip(); /* their shadow faults */
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

/* --------------------------------------------------------------- fork, exit */

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

static void *exchange_forever(void *arg)
{
	exchanger(1, arg);
	return NULL;
}

static void exchange_in_the_child(void *arg)
{
	struct exchange *x = arg;

	x->deadline = now_ns() + 10000000;
	run_threads(2, exchanger, x);
	new_tags(1, NULL);
	CHECK_EQ(sctx_barrier(), 0);
}

static void forks_and_exits_of_a_busy_process(void **state)
{
	static struct exchange x;
	pthread_t threads[3];

	(void)state;
	/* ASan's allocator takes no part in fork. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	x.deadline = UINT64_MAX;
	for (unsigned int i = 0; i < 3; i++)
		threads[i] = thread_start(exchange_forever, &x);
	for (unsigned int i = 0; i < 16 * test_scale(); i++) {
		nap_ms(3);
		assert_child_ok(child_start(exchange_in_the_child, &x));
	}
	x.deadline = 0;
	for (unsigned int i = 0; i < 3; i++)
		thread_join(threads[i]);
	for (unsigned int i = 0; i < SLOTS; i++)
		block_check_and_free(atomic_exchange(&x.slot[i], NULL));
	for (char letter = 'A'; letter < 'F'; letter++)
		assert_in_use(TAG(letter), 0, 0);
}

static void exit_among_busy_threads(void *arg)
{
	struct exchange *x = arg;

	x->deadline = UINT64_MAX;
	for (unsigned int i = 0; i < 3; i++)
		thread_start(exchange_forever, x);
	nap_ms(20);
	exit(0);
}

static void exits_of_a_busy_process(void **state)
{
	static struct exchange x;

	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip(); /* what lives on at exit would be a leak */
	for (unsigned int i = 0; i < 5 * test_scale(); i++)
		assert_child_ok(child_start(exit_among_busy_threads, &x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_and_alignment),
		cmocka_unit_test(invalid_arguments),
		cmocka_unit_test(the_wrong_tag),
		cmocka_unit_test(freed_twice),
		cmocka_unit_test(tags_in_order_of_first_use),
		cmocka_unit_test(the_last_tag),
		cmocka_unit_test(the_peak),
		cmocka_unit_test(threads_that_exit),
		cmocka_unit_test(threads_that_pass_blocks_on),
		cmocka_unit_test(the_same_new_tags),
		cmocka_unit_test(locked_memory_is_locked),
		cmocka_unit_test(locked_memory_does_not_fault),
		cmocka_unit_test(the_limit_is_reached),
		cmocka_unit_test(locked_memory_and_fork),
		cmocka_unit_test(forks_and_exits_of_a_busy_process),
		cmocka_unit_test(exits_of_a_busy_process),
	};

	return TEST_RUN(tests);
}
