/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pools: sctx_alloc(), sctx_free() and what is counted by tag.  Runs with
 * libc's memory and, in the jemalloc suite, with jemalloc's, as unit/locked.c.
 */
#include "unit/pool.h"

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
	size_t before = sctx_tag_stats_get(NULL, 0, 0), n;
	void *p[3];

	(void)state;
	for (unsigned int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < 3; i++)
			assert_rc(sctx_free(must_alloc(SCTX_POOL_PAGED, 1, TAG('0' + i)),
					    TAG('0' + i)),
				  0);
	for (unsigned int i = 0; i < 3; i++)
		p[i] = must_alloc(pools[i % 2], 10 + i, TAG('0' + i));
	assert_u64(sctx_tag_stats_get(NULL, 0, 5), ==, before + 3);
	all[before + 2].tag = 4711;
	assert_u64(sctx_tag_stats_get(all, sizeof(*all), before + 2), ==, before + 3);
	assert_int_equal(all[before + 2].tag, 4711);
	n = sctx_tag_stats_get(all, sizeof(*all), SCTX_TAGS_MAX);
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
	CHECK_EQ(sctx_tag_stats_get(NULL, 0, 0), SCTX_TAGS_MAX);
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

static atomic_uintptr_t to_free;
static pthread_t freer;

static void *freer_main(void *unused)
{
	uintptr_t memory;

	(void)unused;
	for (;;) {
		WAIT_FOR((memory = atomic_load(&to_free)) != 0);
		if (memory == 1)
			return NULL;
		CHECK_EQ(sctx_free((void *)memory, 0), 0);
		atomic_store(&to_free, 0);
	}
}

static void free_elsewhere(void *memory)
{
	atomic_store(&to_free, (uintptr_t)memory);
	while (atomic_load(&to_free))
		sched_yield();
}

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

	/* What one thread allocates and another frees does not pile up. */
	freer = thread_start(freer_main, NULL);
	for (unsigned int i = 0; i < 30; i++)
		free_elsewhere(must_alloc(SCTX_POOL_PAGED, SHARE, TAG('s')));
	atomic_store(&to_free, 1);
	thread_join(freer);
	atomic_store(&to_free, 0);
	assert_u64(tag_stats(TAG('s')).peak, <=, 3 * SHARE);

	/* And none when someone asks. */
	p[0] = must_alloc(SCTX_POOL_PAGED, 20, TAG('r'));
	assert_u64(tag_stats(TAG('r')).peak, ==, 20);
	assert_rc(sctx_free(p[0], TAG('r')), 0);
	assert_u64(tag_stats(TAG('r')).peak, ==, 20);
}

#define EXITING 30

static char exiting_tag;

static void *alloc_and_exit(void *memory)
{
	for (unsigned int i = 0; i < 4; i++)
		((void **)memory)[i] = must_alloc(pools[i % 2], 5000 * i + 7, TAG(exiting_tag));
	return NULL;
}

static void threads_that_exit(void **state)
{
	void *memory[EXITING][4];

	(void)state;
	exiting_tag = 'e';
	for (unsigned int i = 0; i < EXITING; i++)
		thread_join(thread_start(alloc_and_exit, memory[i]));
	assert_in_use(TAG('e'), EXITING * 30028, EXITING * 4);
	for (unsigned int i = 0; i < EXITING * 4; i++)
		assert_rc(sctx_free(memory[i / 4][i % 4], TAG('e')), 0);
	assert_in_use(TAG('e'), 0, 0);

	/* Each less than a share, and nobody looks meanwhile. */
	exiting_tag = 'E';
	for (unsigned int i = 0; i < EXITING; i++)
		thread_join(thread_start(alloc_and_exit, memory[i]));
	for (unsigned int i = 0; i < EXITING * 4; i++)
		assert_rc(sctx_free(memory[i / 4][i % 4], TAG('E')), 0);
	assert_u64(tag_stats(TAG('E')).peak, ==, EXITING * 30028);
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
static void blocks_passed_between_threads(void **state)
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
	size_t before = sctx_tag_stats_get(NULL, 0, 0);

	(void)unused;
	run_threads(4, new_tags, NULL);
	CHECK_EQ(sctx_tag_stats_get(NULL, 0, 0), before + 50);
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

/* --------------------------------------------------------------- fork, exit */

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
	for (unsigned int i = 0; i < test_scaled(16); i++) {
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
	for (unsigned int i = 0; i < test_scaled(5); i++)
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
		cmocka_unit_test(blocks_passed_between_threads),
		cmocka_unit_test(the_same_new_tags),
		cmocka_unit_test(forks_and_exits_of_a_busy_process),
		cmocka_unit_test(exits_of_a_busy_process),
	};

	return TEST_RUN(tests);
}
