/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As much of cmocka's interface as the tests use, for libcs that no cmocka is
 * packaged for.  A test that fails ends the program.
 */
#ifndef MUSL_CMOCKA_H
#define MUSL_CMOCKA_H

#include <fnmatch.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state);
	int (*teardown_func)(void **state);
	void *initial_state;
};

#define cmocka_unit_test(f)                              cmocka_unit_test_setup_teardown(f, NULL, NULL)
#define cmocka_unit_test_setup(f, setup)                 cmocka_unit_test_setup_teardown(f, setup, NULL)
#define cmocka_unit_test_setup_teardown(f, setup, after) { #f, f, setup, after, NULL }

#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   printf(__VA_ARGS__)

static const char *cmocka_filter = "*";
static jmp_buf cmocka_skipped;

static inline void cmocka_set_test_filter(const char *pattern)
{
	cmocka_filter = pattern;
}

__attribute__((noreturn)) static inline void _fail(const char *file, int line)
{
	printf("%s:%d: error: Failure!\n", file, line);
	exit(1);
}

#define fail() _fail(__FILE__, __LINE__)
#define fail_msg(...) (printf(__VA_ARGS__), putchar('\n'), fail())
#define skip() longjmp(cmocka_skipped, 1)

#define cmocka_assert(c) ((c) ? (void)0 : (printf("%s is false\n", #c), fail()))

#define assert_true(c)             cmocka_assert(c)
#define assert_false(c)            cmocka_assert(!(c))
#define assert_null(p)             cmocka_assert(!(p))
#define assert_non_null(p)         cmocka_assert(p)
#define assert_ptr_equal(a, b)     cmocka_assert((const void *)(a) == (const void *)(b))
#define assert_ptr_not_equal(a, b) cmocka_assert((const void *)(a) != (const void *)(b))
#define assert_int_equal(a, b)     cmocka_assert((long long)(a) == (long long)(b))
#define assert_int_not_equal(a, b) cmocka_assert((long long)(a) != (long long)(b))
#define assert_string_equal(a, b)  cmocka_assert(strcmp((a), (b)) == 0)
#define assert_memory_equal(a, b, n) cmocka_assert(memcmp((a), (b), (n)) == 0)
#define assert_in_range(a, least, most) \
	cmocka_assert((uintmax_t)(a) >= (uintmax_t)(least) && (uintmax_t)(a) <= (uintmax_t)(most))

static inline int _cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t n,
					  int (*setup)(void **), int (*teardown)(void **))
{
	(void)name;
	(void)setup;
	(void)teardown;
	for (size_t i = 0; i < n; i++) {
		void *state = tests[i].initial_state;

		if (fnmatch(cmocka_filter, tests[i].name, 0))
			continue;
		printf("[ RUN      ] %s\n", tests[i].name);
		if (tests[i].setup_func && tests[i].setup_func(&state))
			fail();
		if (setjmp(cmocka_skipped)) {
			printf("[  SKIPPED ] %s\n", tests[i].name);
			continue;
		}
		tests[i].test_func(&state);
		if (tests[i].teardown_func && tests[i].teardown_func(&state))
			fail();
		printf("[       OK ] %s\n", tests[i].name);
	}
	return 0;
}

#endif /* MUSL_CMOCKA_H */
