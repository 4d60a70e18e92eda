/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structs that carry their own size, of other releases than the library's: longer,
 * shorter, garbage.  tests/packaging/grown.sh runs this program and others with a
 * library whose structs have a member more, and the other way round.
 */
#include "module.h"

static struct sctx_registry *registry;

/* Bytes that the library's structs have and this program's lack; negative likewise. */
static int grown;

static int setup(void **state)
{
	(void)state;
	return sctx_registry_create(&registry);
}

static int end(void **state)
{
	(void)state;
	return sctx_registry_destroy(registry) || sctx_barrier();
}

#define ROOM 4096
#define MORE 64

/* A struct, and what a newer program has behind it. */
union sized {
	size_t size;
	char bytes[ROOM];
	struct sctx_reclaim_options reclaim;
	struct sctx_owner_ops ops;
	struct sctx_idle_options idle;
	struct sctx_leaks leaks;
	struct sctx_stats stats;
	struct sctx_registry_stats registry_stats;
	struct sctx_tag_stats tag_stats[2];
};

/* ------------------------------------------------------------------- options */

static int configure(union sized *u)
{
	return sctx_reclaim_configure(&u->reclaim);
}

static int register_owner(union sized *u)
{
	struct sctx_owner *owner;
	int error = sctx_owner_register(registry, &u->ops, &owner);

	assert_true(error ? owner == NULL : owner != NULL);
	if (!error)
		assert_rc(sctx_owner_unregister(owner, NULL), 0);
	return error;
}

static int keep_idle(union sized *u)
{
	return sctx_registry_idle(registry, &u->idle);
}

static int print_leaks(union sized *u)
{
	FILE *file = fopen("/dev/null", "w");
	int error = sctx_leaks_print(&u->leaks, file);

	fclose(file);
	return error;
}

/* @call reads what stands in @good, of @size bytes. */
static void check_options(int (*call)(union sized *u), const union sized *good, size_t size)
{
	union sized u = *good;

	assert_rc(call(&u), 0);
	assert_memory_equal(&u, good, sizeof(u));

	for (u.size = size; u.size <= size + MORE; u.size++)
		assert_rc(call(&u), 0);
	u.size = size + MORE;
	for (size_t i = size + (size_t)grown; i < size + MORE; i++) {
		u.bytes[i] = 1;
		assert_rc(call(&u), -E2BIG);
		u.bytes[i] = 0;
	}
	/* What is behind the size is not read. */
	u.bytes[size + MORE] = 1;
	assert_rc(call(&u), 0);

	u.size = 0;
	assert_rc(call(&u), -EINVAL);
	u.size = sizeof(u.size);
	assert_rc(call(&u), -EINVAL);
	u.size = SIZE_MAX;
	assert_rc(call(&u), -E2BIG);
	u.size = SIZE_MAX / 2;
	assert_rc(call(&u), -E2BIG);
}

static void options_of_any_release_are_read(void **state)
{
	union sized u = { .bytes = { 0 } };

	(void)state;
	u.reclaim = (struct sctx_reclaim_options){
		.size = sizeof(u.reclaim),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = SCTX_LIMIT_CALLBACKS_DEFAULT,
	};
	check_options(configure, &u, sizeof(u.reclaim));

	memset(&u, 0, sizeof(u));
	u.ops = (struct sctx_owner_ops){ .size = sizeof(u.ops), .name = "sized", .tag = 's' };
	check_options(register_owner, &u, sizeof(u.ops));

	memset(&u, 0, sizeof(u));
	u.idle = (struct sctx_idle_options){ .size = sizeof(u.idle), .limit_streams = 7 };
	check_options(keep_idle, &u, sizeof(u.idle));

	memset(&u, 0, sizeof(u));
	u.leaks = (struct sctx_leaks){ .size = sizeof(u.leaks), .name = "sized", .tag = 's' };
	check_options(print_leaks, &u, sizeof(u.leaks));
}

/* ------------------------------------------------------------------- results */

static struct module spy;

static int get_stats(union sized *u)
{
	return sctx_stats_get(&u->stats);
}

static int get_registry_stats(union sized *u)
{
	return sctx_registry_stats_get(registry, &u->registry_stats);
}

/* In a section, where it refuses, and reports nobody. */
static int unregister(union sized *u)
{
	int error;

	sctx_read_lock();
	error = sctx_owner_unregister(spy.owner, &u->leaks);
	sctx_read_unlock();
	return error == -EDEADLK ? 0 : error;
}

/*
 * @call fills a struct that is @size bytes long in this program, and may be longer or
 * shorter in the library.
 */
static void check_results(int (*call)(union sized *u), size_t size)
{
	union sized u, exact;

	memset(&exact, 0xa5, sizeof(exact));
	exact.size = size;
	assert_rc(call(&exact), 0);
	assert_u64(exact.size, <=, size);
	for (size_t i = size; i < sizeof(exact); i++)
		assert_int_equal((unsigned char)exact.bytes[i], 0xa5);

	/* Of a newer program: what the library does not know is 0. */
	for (size_t more = 1; more <= MORE; more++) {
		memset(&u, 0xa5, sizeof(u));
		u.size = size + more;
		assert_rc(call(&u), 0);
		assert_u64(u.size, >=, exact.size);
		assert_u64(u.size, <=, size + more);
		for (size_t i = u.size; i < size + more; i++)
			assert_int_equal(u.bytes[i], 0);
		for (size_t i = size + more; i < sizeof(u); i++)
			assert_int_equal((unsigned char)u.bytes[i], 0xa5);
	}

	/* Refused, and nothing written. */
	memset(&u, 0xa5, sizeof(u));
	exact = u;
	exact.size = u.size = 0;
	assert_rc(call(&u), -EINVAL);
	assert_memory_equal(&u, &exact, sizeof(u));
	exact.size = u.size = sizeof(u.size);
	assert_rc(call(&u), -EINVAL);
	exact.size = u.size = SIZE_MAX;
	assert_rc(call(&u), -E2BIG);
	assert_memory_equal(&u, &exact, sizeof(u));
}

static void results_are_cut_to_the_programs_size(void **state)
{
	union sized u;

	(void)state;
	check_results(get_stats, sizeof(u.stats));
	check_results(get_registry_stats, sizeof(u.registry_stats));

	module_init(&spy);
	module_enter(&spy, registry);
	check_results(unregister, sizeof(u.leaks));
	assert_rc(module_leave(&spy, NULL), 0);
}

/* Elements as far apart as the program says. */
static void tags_are_cut_to_the_programs_size(void **state)
{
	union sized u;
	void *p;

	(void)state;
	p = sctx_alloc(SCTX_POOL_PAGED, 100, 'a');
	assert_non_null(p);
	assert_rc(sctx_free(sctx_alloc(SCTX_POOL_PAGED, 1, 'b'), 'b'), 0);
	for (size_t size = sizeof(u.tag_stats[0]); size < 1000; size += 8) {
		const struct sctx_tag_stats *second = (const void *)(u.bytes + size);

		memset(&u, 0xa5, sizeof(u));
		assert_int_equal(sctx_tag_stats_get(u.tag_stats, size, 2), 2);
		assert_u64(u.tag_stats[0].tag, ==, 'a');
		assert_u64(u.tag_stats[0].bytes, ==, 100);
		assert_u64(second->tag, ==, 'b');
		assert_u64(second->bytes, ==, 0);
		assert_int_equal((unsigned char)u.bytes[2 * size], 0xa5);
	}
	assert_int_equal(sctx_tag_stats_get(u.tag_stats, 8, 2), -EINVAL);
	assert_int_equal(sctx_tag_stats_get(u.tag_stats, SIZE_MAX, 2), -E2BIG);
	assert_int_equal(sctx_tag_stats_get(NULL, 8, 2), 2);
	assert_rc(sctx_free(p, 'a'), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(options_of_any_release_are_read, setup, end),
		cmocka_unit_test_setup_teardown(results_are_cut_to_the_programs_size, setup, end),
		cmocka_unit_test(tags_are_cut_to_the_programs_size),
	};

	if (getenv("SCTX_TEST_GROWN"))
		grown = atoi(getenv("SCTX_TEST_GROWN"));
	return TEST_RUN(tests);
}
