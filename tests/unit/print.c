/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Printing: never to a file inside a section, and always what parsers take. */
#include "module.h"
#include "test.h"

/* What @registry prints, in a string to be freed. */
static char *printed(struct sctx_registry *registry, enum sctx_format format)
{
	char *text;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	assert_rc(sctx_stats_print(registry, format, file), 0);
	fclose(file);
	return text;
}

static unsigned int occurs(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* ------------------------------------------------------------------ sections */

static atomic_uint writes;

/* A file whose reader is slow: while it is written to, everything else goes on. */
static ssize_t write_slowly(void *unused, const char *bytes, size_t n)
{
	(void)unused;
	(void)bytes;
	CHECK_EQ(sctx_barrier(), 0); /* -EDEADLK in a section */
	atomic_fetch_add(&writes, 1);
	return (ssize_t)n;
}

static void no_file_is_written_in_a_section(void **state)
{
	enum { STREAMS = 2000 };
	cookie_io_functions_t functions = { .write = write_slowly };
	static struct sctx_stream *stream[STREAMS];
	struct sctx_registry *registry = registry_new();
	FILE *file = fopencookie(NULL, "w", functions);

	(void)state;
	assert_non_null(file);
	for (uint64_t i = 0; i < STREAMS; i++)
		stream[i] = stream_open(registry, i);
	setvbuf(file, NULL, _IOFBF, 4096);
	assert_rc(sctx_registry_print(registry, file), 0);
	assert_rc(sctx_stats_print(registry, SCTX_JSON, file), 0);
	assert_int_equal(fclose(file), 0);
	assert_true(atomic_load(&writes) > STREAMS * 20 / 4096);
	for (uint64_t i = 0; i < STREAMS; i++)
		assert_rc(sctx_close(stream[i]), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

static void every_stream_is_printed_once(void **state)
{
	enum { STREAMS = 3000 };
	static struct sctx_stream *stream[STREAMS];
	struct sctx_registry *registry = registry_new();
	char *text;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	for (uint64_t i = 0; i < STREAMS; i++)
		stream[i] = stream_open(registry, i);
	assert_rc(sctx_registry_print(registry, file), 0);
	fclose(file);
	assert_int_equal(occurs(text, "\n"), STREAMS);
	assert_int_equal(occurs(text, " opens 1\n"), STREAMS);
	free(text);
	for (uint64_t i = 0; i < STREAMS; i++)
		assert_rc(sctx_close(stream[i]), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

/* ---------------------------------------------------------------------- names */

static void what_is_no_utf8_is_not_printed(void **state)
{
	static const char *const bad[] = {
		"\xe0\x80\xaf",     /* overlong */
		"\xf0\x80\x80\xaf", /* overlong */
		"\xed\xa0\x80",     /* a surrogate */
		"\xf4\x90\x80\x80", /* beyond the last code point */
		"\xc2\x9b",         /* a C1 control: CSI */
		"\xff",
		"\xe2\x82",
	};
	struct sctx_registry *registry = registry_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		for (int format = SCTX_TEXT; format <= SCTX_PROMETHEUS; format++) {
			struct module m;
			char *text;

			module_init(&m);
			m.ops.name = bad[i];
			module_enter(&m, registry);
			text = printed(registry, (enum sctx_format)format);
			assert_int_equal(occurs(text, bad[i]), 0);
			assert_true(occurs(text, "\"?") > 0);
			free(text);
			assert_rc(module_leave(&m, NULL), 0);
		}
	}
	assert_rc(sctx_registry_destroy(registry), 0);
}

static void two_owners_of_one_name_are_told_apart(void **state)
{
	struct sctx_registry *registry = registry_new();
	struct module m[2];
	char *text, *first, *second;

	(void)state;
	for (int i = 0; i < 2; i++) {
		module_init(&m[i]);
		module_enter(&m[i], registry);
	}
	text = printed(registry, SCTX_PROMETHEUS);
	first = strstr(text, "streamctx_owner_contexts{");
	assert_non_null(first);
	second = strstr(first + 1, "streamctx_owner_contexts{");
	assert_non_null(second);
	assert_true(strncmp(first, second, strcspn(first, "}")) != 0);
	free(text);
	for (int i = 0; i < 2; i++)
		assert_rc(module_leave(&m[i], NULL), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

static void every_tag_is_printed_and_no_two_alike(void **state)
{
	enum { TAGS = 400 };
	struct sctx_tag_stats stats[1];
	int before = sctx_tag_stats_get(stats, sizeof(stats[0]), 1);
	char *text;

	(void)state;
	/* All of them unprintable. */
	for (uint32_t i = 0; i < TAGS; i++)
		assert_rc(sctx_free(sctx_alloc(SCTX_POOL_PAGED, 8, 0x01010000 + i), 0), 0);
	text = printed(NULL, SCTX_PROMETHEUS);
	assert_int_equal(occurs(text, "streamctx_tag_bytes{"), (unsigned int)before + TAGS);
	for (uint32_t i = 0; i < TAGS; i++) {
		char label[32];

		snprintf(label, sizeof(label), "tag_bytes{tag=\"0x%08x\"}", 0x01010000 + i);
		assert_int_equal(occurs(text, label), 1);
	}
	free(text);
}

/* ------------------------------------------------------------- several registries */

static void several_registries_make_one_scrape(void **state)
{
	struct sctx_named_registry two[] = { { registry_new(), "data" }, { registry_new(), "meta" } };
	struct sctx_stream *s = stream_open(two[1].registry, 1);
	struct module m;
	char *text;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	module_init(&m);
	module_enter(&m, two[0].registry);
	assert_rc(sctx_stats_print_all(two, 2, SCTX_PROMETHEUS, file), 0);
	fflush(file);
	assert_int_equal(occurs(text, "streamctx_streams{registry=\"data\"} 0\n"), 1);
	assert_int_equal(occurs(text, "streamctx_streams{registry=\"meta\"} 1\n"), 1);
	assert_int_equal(occurs(text, "# HELP streamctx_streams "), 1);
	assert_int_equal(occurs(text, "streamctx_owner_contexts{registry=\"data\","), 1);
	assert_int_equal(occurs(text, "streamctx_build_info{version="), 1);
	assert_rc(sctx_stats_print_all(two, 2, SCTX_JSON, file), 0);
	assert_rc(sctx_stats_print_all(two, 2, SCTX_TEXT, file), 0);

	two[1].name = "data";
	assert_rc(sctx_stats_print_all(two, 2, SCTX_TEXT, file), -EEXIST);
	two[1].name = NULL;
	assert_rc(sctx_stats_print_all(two, 2, SCTX_TEXT, file), -EINVAL);
	assert_rc(sctx_stats_print_all(NULL, 1, SCTX_TEXT, file), -EINVAL);
	assert_rc(sctx_stats_print_all(NULL, 0, SCTX_TEXT, file), 0);
	fclose(file);
	free(text);
	assert_rc(module_leave(&m, NULL), 0);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_registry_destroy(two[0].registry), 0);
	assert_rc(sctx_registry_destroy(two[1].registry), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_file_is_written_in_a_section),
		cmocka_unit_test(every_stream_is_printed_once),
		cmocka_unit_test(what_is_no_utf8_is_not_printed),
		cmocka_unit_test(two_owners_of_one_name_are_told_apart),
		cmocka_unit_test(every_tag_is_printed_and_no_two_alike),
		cmocka_unit_test(several_registries_make_one_scrape),
	};

	return TEST_RUN(tests);
}
