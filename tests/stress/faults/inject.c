/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inject.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/random.h>

__thread unsigned int fail_in, fail_all;
static __thread unsigned int failed;
atomic_uint no_threads, no_keys, no_hooks, no_mlocks;
int random_error;
bool random_zero;
__thread uintptr_t address_bits;

/* Blocks and pages that are allocated now, by all threads. */
static atomic_long live_blocks, live_maps;

/* ---------------------------------------------------------------- stand-ins */

static bool must_fail(void)
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
	errno = ENOMEM;
	return true;
}

void arm(unsigned int n, bool all)
{
	fail_in = n;
	fail_all = all;
	failed = 0;
}

unsigned int disarm(void)
{
	fail_in = 0;
	fail_all = 0;
	return failed;
}

#define STAND_IN(type, name, params) \
	type __real_##name params;   \
	type __wrap_##name params;   \
	type __wrap_##name params

static void *counted(void *p)
{
	if (p)
		atomic_fetch_add(&live_blocks, 1);
	return p ? (void *)((uintptr_t)p | address_bits) : NULL;
}

STAND_IN(void *, malloc, (size_t size))
{
	return must_fail() ? NULL : counted(__real_malloc(size));
}

STAND_IN(void *, calloc, (size_t n, size_t size))
{
	return must_fail() ? NULL : counted(__real_calloc(n, size));
}

STAND_IN(void *, realloc, (void *old, size_t size))
{
	void *p;

	if (must_fail())
		return NULL;
	p = __real_realloc(old, size);
	if (p && !old)
		atomic_fetch_add(&live_blocks, 1);
	return p;
}

STAND_IN(void *, aligned_alloc, (size_t align, size_t size))
{
	return must_fail() ? NULL : counted(__real_aligned_alloc(align, size));
}

STAND_IN(int, posix_memalign, (void **p, size_t align, size_t size))
{
	if (must_fail())
		return ENOMEM;
	if (__real_posix_memalign(p, align, size))
		return ENOMEM;
	counted(*p);
	return 0;
}

/* What is freed is overwritten: a reader who is still there does not miss it. */
STAND_IN(void, free, (void *p))
{
	p = (void *)((uintptr_t)p & ~address_bits);
	if (p) {
		atomic_fetch_sub(&live_blocks, 1);
		memset(p, 0xa5, malloc_usable_size(p));
	}
	__real_free(p);
}

STAND_IN(void *, mmap, (void *at, size_t size, int prot, int flags, int fd, off_t offset))
{
	void *p;

	if (must_fail())
		return MAP_FAILED;
	p = __real_mmap(at, size, prot, flags, fd, offset);
	if (p != MAP_FAILED)
		atomic_fetch_add(&live_maps, 1);
	return p;
}

STAND_IN(int, munmap, (void *p, size_t size))
{
	atomic_fetch_sub(&live_maps, 1);
	return __real_munmap(p, size);
}

static bool take(atomic_uint *n)
{
	unsigned int left = atomic_load(n);

	while (left)
		if (atomic_compare_exchange_weak(n, &left, left - 1))
			return true;
	return false;
}

STAND_IN(int, pthread_create,
	 (pthread_t * thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg))
{
	return take(&no_threads) ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

STAND_IN(int, pthread_key_create, (pthread_key_t * key, void (*hook)(void *)))
{
	return take(&no_keys) ? EAGAIN : __real_pthread_key_create(key, hook);
}

STAND_IN(int, pthread_setspecific, (pthread_key_t key, const void *value))
{
	return take(&no_hooks) ? ENOMEM : __real_pthread_setspecific(key, value);
}

STAND_IN(int, mlock, (const void *p, size_t size))
{
	if (take(&no_mlocks)) {
		errno = ENOMEM;
		return -1;
	}
	return __real_mlock(p, size);
}

STAND_IN(ssize_t, getrandom, (void *buffer, size_t size, unsigned int flags))
{
	if (random_error) {
		errno = random_error;
		return -1;
	}
	if (random_zero) {
		memset(buffer, 0, size);
		return (ssize_t)size;
	}
	return __real_getrandom(buffer, size, flags);
}

/* ------------------------------------------------------------------- books */

struct books books_now(void)
{
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_thread_detach(), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(sctx_thread_detach(), 0);
	return (struct books){ atomic_load(&live_blocks), atomic_load(&live_maps) };
}

void books_compare(struct books before)
{
	struct books now = books_now();

	CHECK_EQ(now.blocks, before.blocks);
	CHECK_EQ(now.maps, before.maps);
}

unsigned int until_it_succeeds(int (*call)(void *arg), void (*check)(void *arg), void *arg)
{
	unsigned int failures = 0;

	for (unsigned int n = 1;; n++) {
		struct books before = books_now();
		unsigned int hit;
		int rc;

		CHECK(n < 100);
		arm(n, n % 2);
		rc = call(arg);
		hit = disarm();
		if (rc == 0) {
			/* With fewer than N allocations: or it can do without. */
			if (hit == 0)
				return failures;
			continue;
		}
		CHECK_EQ(rc, -ENOMEM);
		CHECK(hit > 0);
		books_compare(before);
		check(arg);
		failures++;
	}
}
