/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics: each figure against what was done.  The printers' output is
 * looked at here for what it says, and by real parsers in tests/stats.sh, for
 * which `stats print FORMAT` prints.
 */
#include "module.h"

static struct sctx_registry *registry;

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

static struct sctx_registry_stats of_registry(void)
{
	struct sctx_registry_stats stats = { .size = sizeof(stats) };

	assert_rc(sctx_registry_stats_get(registry, &stats), 0);
	return stats;
}

/* ------------------------------------------------------------------- process */

static void events_thread(unsigned int index, void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 100; i++) {
		struct sctx_stream *a = stream_open(registry, 1000 * index + i);
		struct sctx_stream *b = stream_open(registry, 1000 * index + i);
		struct item *item = item_churn(OWNER(1), NULL);

		CHECK_EQ(sctx_insert(a, &item->ctx), 0);
		CHECK_EQ(sctx_replace(a, &item_churn(OWNER(1), NULL)->ctx, NULL), 0);
		CHECK_EQ(sctx_insert(a, &item_churn(OWNER(2), NULL)->ctx), 0);
		CHECK_EQ(sctx_delete(a, OWNER(2), NULL), 0);
		CHECK_EQ(sctx_close(a), 0);
		CHECK_EQ(sctx_close(b), 0);
	}
}

static void every_event_is_counted_once(void **state)
{
	struct sctx_stats before, after;

	(void)state;
	before = stats_now();
	run_threads(4, events_thread, NULL); /* they exit: their counts must stay */
	assert_rc(sctx_barrier(), 0);
	after = stats_now();
	assert_u64(after.opens - before.opens, ==, 800);
	assert_u64(after.creates - before.creates, ==, 400);
	assert_u64(after.closes - before.closes, ==, 800);
	assert_u64(after.last_closes - before.last_closes, ==, 400);
	assert_u64(after.inserts - before.inserts, ==, 1200);
	assert_u64(after.removes - before.removes, ==, 1200);
	/* 1200 contexts and 400 streams, and what the table retired. */
	assert_u64(after.callbacks_run - before.callbacks_run, >=, 1200);
	assert_u64(after.limbo_callbacks, ==, 0);
	assert_u64(after.limbo_age_ns, ==, 0);
	items_reset();
}

static void failures_are_not_counted(void **state)
{
	struct sctx_stats before, after;
	struct sctx_stream *s;
	struct sctx_id id = id_of(5);
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	before = stats_now();
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &s), -ENOENT);
	s = stream_open(registry, 1);
	assert_rc(sctx_insert(s, &item->ctx), 0);
	assert_rc(sctx_insert(s, &item->ctx), -EBUSY);
	assert_rc(sctx_delete(s, OWNER(3), NULL), -ENOENT);
	assert_rc(sctx_close(s), 0);
	after = stats_now();
	assert_u64(after.opens - before.opens, ==, 1);
	assert_u64(after.inserts - before.inserts, ==, 1);
	assert_u64(after.removes - before.removes, ==, 1);
	assert_rc(sctx_barrier(), 0);
	item_free(item);
}

static void limbo_has_an_age(void **state)
{
	struct reader *reader;
	struct item *item = item_new(OWNER(1), NULL);
	struct sctx_stats stats;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_age_ns, ==, 0);
	reader = reader_park(NULL, NULL, NULL);
	assert_rc(sctx_put(&item->ctx), 0);
	nap_ms(60);
	stats = stats_now();
	assert_u64(stats.limbo_callbacks, ==, 1);
	assert_u64(stats.limbo_age_ns, >=, 40000000);
	assert_u64(stats.limbo_age_ns, <, 20000000000);
	nap_ms(60);
	assert_u64(stats_now().limbo_age_ns, >=, 100000000);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_age_ns, ==, 0);
	item_free(item);
}

static void grace_periods_have_a_histogram(void **state)
{
	struct sctx_stats before = stats_now(), after;
	struct reader *reader = reader_park(NULL, NULL, NULL);
	uint64_t sum = 0, slow = 0, least = 0, most = 0, ns;

	(void)state;
	assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	nap_ms(200);
	reader_leave(reader);
	assert_rc(sctx_barrier(), 0);
	after = stats_now();
	for (int i = 0; i < SCTX_LATENCY_BUCKETS; i++) {
		uint64_t n = after.grace_period_latency[i] - before.grace_period_latency[i];

		sum += n;
		slow += i >= 16 ? n : 0; /* 32 ms or more */
		least += i ? n * 1000 << (i - 1) : 0;
		most += n * 1000 << i;
	}
	assert_u64(sum, ==, after.grace_periods - before.grace_periods);
	assert_u64(sum, >=, 2);
	assert_u64(slow, >=, 1);
	ns = after.grace_period_ns - before.grace_period_ns;
	assert_u64(ns, >=, 50000000);
	assert_u64(ns, >=, least);
	assert_u64(ns, <, most);
	items_reset();
}

static void invalid_arguments_are_refused(void **state)
{
	struct sctx_stats stats = { .size = sizeof(stats.size) };
	struct sctx_registry_stats of = { .size = sizeof(of.size) };
	struct sctx_leaks leaks = { .size = 3 };

	(void)state;
	assert_rc(sctx_stats_get(NULL), -EINVAL);
	assert_rc(sctx_stats_get(&stats), -EINVAL);
	assert_rc(sctx_registry_stats_get(registry, &of), -EINVAL);
	assert_rc(sctx_registry_stats_get(registry, NULL), -EINVAL);
	of.size = sizeof(of);
	assert_rc(sctx_registry_stats_get(NULL, &of), -EINVAL);
	assert_rc(sctx_stats_print(registry, SCTX_TEXT, NULL), -EINVAL);
	assert_rc(sctx_stats_print(registry, (enum sctx_format)3, stdout), -EINVAL);
	assert_rc(sctx_registry_print(NULL, stdout), -EINVAL);
	assert_rc(sctx_registry_print(registry, NULL), -EINVAL);
	assert_rc(sctx_leaks_print(&leaks, stdout), -EINVAL);
	assert_rc(sctx_leaks_print(NULL, stdout), -EINVAL);
	leaks = (struct sctx_leaks){ .size = sizeof(leaks), .listed = SCTX_LEAKS_LISTED + 1 };
	assert_rc(sctx_leaks_print(&leaks, stdout), -EINVAL);
	assert_rc(sctx_registry_owners(NULL, NULL, NULL), -EINVAL);
}

/* ------------------------------------------------------------------ registry */

static void the_table_is_described_at_any_size(void **state)
{
	static struct sctx_stream *s[30000];
	struct sctx_registry_stats stats;
	uint64_t buckets = of_registry().buckets;

	(void)state;
	for (unsigned int i = 0; i < 30000; i++) {
		s[i] = stream_open(registry, i);
		if (i % 1000 == 0) /* while it grows, too */
			assert_u64(of_registry().streams, ==, i + 1);
	}
	stats = of_registry();
	assert_u64(stats.streams, ==, 30000);
	assert_u64(stats.buckets, >, buckets);
	assert_u64((stats.buckets + stats.overflows) * 7, >=, 30000);
	assert_u64(stats.longest_chain, >=, 1);
	assert_u64(stats.longest_chain, <=, stats.overflows + 1);
	for (unsigned int i = 0; i < 30000; i++)
		assert_rc(sctx_close(s[i]), 0);
	assert_u64(of_registry().streams, ==, 0);
}

struct owners_seen {
	int count;
	struct sctx_owner_stats stats[4];
};

static int see_owner(const struct sctx_owner_stats *stats, void *arg)
{
	struct owners_seen *seen = arg;

	seen->stats[seen->count++] = *stats;
	return seen->count == 4 ? 7 : 0;
}

static void owners_are_listed_with_their_contexts(void **state)
{
	struct owners_seen seen = { 0 };
	struct module a, b;
	struct sctx_stream *s, tracked;
	struct sctx_context *held;
	struct sctx_id id = id_of(9);

	(void)state;
	module_init(&a);
	module_init(&b);
	a.ops.name = "first";
	b.ops.name = "second";
	a.ops.attach = b.ops.attach = module_attach;
	b.ops.flags = SCTX_OWNER_REQUIRED;
	module_enter(&a, registry);
	module_enter(&b, registry);
	s = stream_open(registry, 1);
	module_insert(&a, s);
	held = sctx_get(s, a.owner, NULL);
	atomic_store(&b.attach, -EPERM);
	assert_rc(sctx_open(registry, &id, 0, &s), -EPERM);
	assert_rc(sctx_barrier(), 0);
	sctx_stream_init(&tracked);
	assert_rc(sctx_stream_track(registry, &tracked), 0);

	assert_rc(sctx_registry_owners(registry, see_owner, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_string_equal(seen.stats[0].name, "first");
	assert_string_equal(seen.stats[1].name, "second");
	assert_int_equal(seen.stats[0].tag, MODULE_TAG);
	assert_u64(seen.stats[0].contexts, ==, 2);
	assert_u64(seen.stats[0].attached, ==, 2);
	assert_u64(seen.stats[0].attach_failures, ==, 0);
	assert_false(seen.stats[0].leaving);
	assert_u64(seen.stats[1].contexts, ==, 1);
	assert_u64(seen.stats[1].attached, ==, 1);
	assert_u64(seen.stats[1].attach_failures, ==, 1);
	assert_u64(of_registry().owners, ==, 2);
	assert_u64(of_registry().tracked, ==, 1);

	assert_rc(module_leave(&a, NULL), -EBUSY);
	seen.count = 0;
	assert_rc(sctx_registry_owners(registry, see_owner, &seen), 0);
	assert_true(seen.stats[0].leaving);
	assert_u64(seen.stats[0].contexts, ==, 1);
	seen.count = 3;
	assert_rc(sctx_registry_owners(registry, see_owner, &seen), 7);

	assert_rc(sctx_put(held), 0);
	id = id_of(1);
	sctx_read_lock();
	s = sctx_find(registry, &id);
	sctx_read_unlock();
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_teardown_sync(&tracked), 0);
	assert_rc(module_leave(&a, NULL), 0);
	assert_rc(module_leave(&b, NULL), 0);
}

/* ------------------------------------------------------------------- printers */

static char *printed(int (*print)(FILE *file))
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_rc(print(file), 0);
	fclose(file);
	return text;
}

static int print_text(FILE *file)
{
	return sctx_stats_print(registry, SCTX_TEXT, file);
}

static int print_streams(FILE *file)
{
	return sctx_registry_print(registry, file);
}

static struct sctx_leaks leaks;

static int print_leaks(FILE *file)
{
	return sctx_leaks_print(&leaks, file);
}

static void assert_says(char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
}

static void printers_print_all_values(void **state)
{
	struct module m;
	struct sctx_stream *s;
	struct sctx_context *held;
	struct item *plain;
	char *text, address[40];

	(void)state;
	module_init(&m);
	m.ops.name = "audit";
	m.ops.attach = module_attach;
	module_enter(&m, registry);
	s = stream_open(registry, 0xabc);
	plain = item_insert(s, OWNER(1), INST(1));
	text = printed(print_text);
	assert_says(text, "  streams              1\n");
	assert_says(text, "owner \"audit\"");
	assert_says(text, "contexts 1");
	assert_says(text, "tag \"Test\"");
	free(text);

	text = printed(print_streams);
	assert_says(text, "0000000000000007:00000000000000000000000000000abc:1 opens 1");
	assert_says(text, " \"audit\"[Test]");
	snprintf(address, sizeof(address), " %p/%p", OWNER(1), INST(1));
	assert_says(text, address);
	free(text);

	held = sctx_get(s, m.owner, NULL);
	leaks.size = sizeof(leaks);
	assert_rc(module_leave(&m, &leaks), -EBUSY);
	text = printed(print_leaks);
	assert_says(text, "owner \"audit\"[Test]: 1 contexts held\n");
	snprintf(address, sizeof(address), "context %p", (void *)held);
	assert_says(text, address);
	assert_says(text, "of stream 0000000000000007:00000000000000000000000000000abc:1");
	free(text);
	assert_rc(sctx_put(held), 0);
	assert_rc(module_leave(&m, NULL), 0);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_barrier(), 0);
	item_free(plain);
}

static void a_full_device_is_an_error(void **state)
{
	FILE *full = fopen("/dev/full", "w");
	struct sctx_leaks none = { .size = sizeof(none) };

	(void)state;
	assert_non_null(full);
	assert_rc(sctx_stats_print(registry, SCTX_JSON, full), -EIO);
	assert_rc(sctx_stats_print(registry, SCTX_PROMETHEUS, full), -EIO);
	assert_rc(sctx_stats_print(registry, SCTX_TEXT, full), -EIO);
	assert_rc(sctx_leaks_print(&none, full), -EIO);
	fclose(full);
}

/* For stats.sh: figures that it knows, and names that need escaping. */
static int print_for_parser(const char *format)
{
	struct module m[2];
	struct sctx_stream *s;
	int error;

	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (int i = 0; i < 2; i++) {
		module_init(&m[i]);
		m[i].ops.name = i ? "caf\xc3\xa9 \xff\x01\xc3"
				    "A"
				  : "a \"quoted\" \\ name\nof two lines";
		m[i].ops.tag = i ? SCTX_TAG('"', '\\', '{', 1) : MODULE_TAG;
		m[i].ops.attach = module_attach;
		module_enter(&m[i], registry);
	}
	s = stream_open(registry, 1);
	CHECK_EQ(sctx_barrier(), 0);
	error = sctx_stats_print(registry,
				 strcmp(format, "json") == 0 ? SCTX_JSON : SCTX_PROMETHEUS, stdout);
	CHECK_EQ(sctx_close(s), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(module_leave(&m[i], NULL), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	return error ? 1 : 0;
}

static void stats_refuse_invalid_arguments(void **state)
{
	struct sctx_stats stats;

	(void)state;
	assert_rc(sctx_stats_get(NULL), -EINVAL);
	memset(&stats, 0, sizeof(stats));
	assert_rc(sctx_stats_get(&stats), -EINVAL);
	stats.size = sizeof(stats.size);
	assert_rc(sctx_stats_get(&stats), -EINVAL);
	stats.size = sizeof(stats);
	assert_rc(sctx_stats_get(&stats), 0);
}

static void stats_count_limbo_and_callbacks(void **state)
{
	struct sctx_stats before, during, after;
	struct reader *reader;

	(void)state;
	items_reset();
	assert_rc(sctx_barrier(), 0);
	before = stats_now();
	assert_u64(before.limbo_callbacks, ==, 0);
	assert_u64(before.limbo_bytes, ==, 0);

	reader = reader_park(NULL, NULL, NULL);
	for (unsigned int i = 0; i < 1000; i++)
		assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	during = stats_now();
	assert_u64(during.limbo_callbacks, ==, 1000);
	assert_u64(during.limbo_bytes, ==, 1000 * sizeof(struct sctx_context));
	assert_u64(during.callbacks_run, ==, before.callbacks_run);
	reader_leave(reader);

	assert_rc(sctx_barrier(), 0);
	after = stats_now();
	assert_u64(after.limbo_callbacks, ==, 0);
	assert_u64(after.limbo_bytes, ==, 0);
	assert_u64(after.callbacks_run, ==, before.callbacks_run + 1000);
	assert_u64(after.grace_periods, >, before.grace_periods);
	/* One grace period serves many. */
	assert_u64(after.grace_periods, <, before.grace_periods + 500);
	assert_u64(items_freed(), ==, 1000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stats_refuse_invalid_arguments),
		cmocka_unit_test(stats_count_limbo_and_callbacks),
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(every_event_is_counted_once),
		T(failures_are_not_counted),
		T(limbo_has_an_age),
		T(grace_periods_have_a_histogram),
		T(invalid_arguments_are_refused),
		T(the_table_is_described_at_any_size),
		T(owners_are_listed_with_their_contexts),
		T(printers_print_all_values),
		T(a_full_device_is_an_error),
	};

	if (argc == 3 && strcmp(argv[1], "print") == 0)
		return print_for_parser(argv[2]);
	return TEST_RUN(tests);
}
