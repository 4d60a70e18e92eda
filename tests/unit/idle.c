/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Idle streams: kept after their last close, found again, dropped at a limit.
 */
#include "idle.h"

/* ------------------------------------------------------------- idle, revived */

static void a_stream_is_found_again_with_its_contexts(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stats before = stats_now(), after;
	struct sctx_stream *s = stream_open(registry, 1), *again;
	struct item *a = item_insert(s, OWNER(1), NULL);

	(void)state;
	assert_int_equal(sctx_stream_state(s), SCTX_STREAM_OPEN);
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_u64(stats_of(registry).idle, ==, 1);
	sctx_read_lock();
	assert_int_equal(sctx_stream_state(s), SCTX_STREAM_IDLE);
	assert_ptr_equal(sctx_context_stream(&a->ctx), s);
	sctx_read_unlock();

	again = stream_open(registry, 1);
	assert_ptr_equal(again, s);
	assert_ptr_equal(peek(again, OWNER(1), NULL), &a->ctx);
	assert_u64(stats_of(registry).idle, ==, 0);
	after = stats_now();
	assert_u64(after.revivals - before.revivals, ==, 1);
	assert_u64(after.creates - before.creates, ==, 1);
	assert_u64(after.last_closes - before.last_closes, ==, 1);

	/* In limbo a context is on no stream. */
	sctx_read_lock();
	assert_rc(sctx_close_flags(again, SCTX_CLOSE_FORGET), 1);
	assert_null(sctx_context_stream(&a->ctx));
	sctx_read_unlock();
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void without_a_limit_the_last_close_ends_a_stream(void **state)
{
	struct sctx_registry *registry = registry_of(0);
	struct item *a;
	struct sctx_stream *s = stream_open(registry, 1);

	(void)state;
	a = item_insert(s, OWNER(1), NULL);
	assert_rc(sctx_close(s), 0);
	assert_false(is_there(registry, 1));
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	registry_end(registry);
}

static void an_idle_stream_counts_its_references_anew(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);

	(void)state;
	assert_rc(sctx_stream_ref(s), 0);
	assert_rc(sctx_stream_ref(s), 0);
	assert_rc(sctx_close_many(s, 2), 0);
	assert_rc(sctx_close_many(s, 1), 1);
	assert_int_equal(stats_of(registry).idle, 1);

	/* By pointer, borrowed. */
	sctx_read_lock();
	assert_rc(sctx_stream_ref(s), 0);
	sctx_read_unlock();
	assert_int_equal(stats_of(registry).idle, 0);
	assert_rc(sctx_close_flags(s, 0), 1);
	registry_end(registry);
}

/* ------------------------------------------------------------------ the limit */

static void no_more_than_the_limit_are_kept(void **state)
{
	enum { LIMIT = 1000, OPENS = 20000 };
	struct sctx_registry *registry = registry_of(LIMIT);
	struct sctx_registry_stats stats;
	struct sctx_stats before = stats_now(), after;

	(void)state;
	for (uint64_t i = 0; i < OPENS; i++) {
		touch(registry, i);
		if (i % 1000 == 999)
			assert_u64(stats_of(registry).idle, <=, LIMIT + 16 + 32);
	}
	stats = stats_of(registry);
	after = stats_now();
	assert_u64(stats.idle, >=, LIMIT - 32);
	assert_u64(stats.streams, ==, stats.idle);
	assert_u64(stats.idle_limit, ==, LIMIT);
	assert_u64(stats.laps, >, 0);
	assert_u64(after.evictions - before.evictions, ==, OPENS - stats.idle);
	registry_end(registry);
}

/* One open looks at half of the smallest table: the oldest may be in the other half. */
static void a_small_limit_is_kept(void **state)
{
	struct sctx_registry *registry = registry_of(3);

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		touch(registry, i);
		assert_u64(stats_of(registry).idle, <=, 3 + 5);
	}
	registry_end(registry);
}

/* Streams used over and over stay, though many more pass by. */
static void what_is_used_stays(void **state)
{
	enum { LIMIT = 1000, HOT = 300 };
	struct sctx_registry *registry = registry_of(LIMIT);
	unsigned int kept = 0;

	(void)state;
	for (uint64_t i = 0; i < 30000; i++) {
		touch(registry, i % HOT);
		if (i >= 10000)
			touch(registry, 1000 + i);
	}
	for (uint64_t i = 0; i < HOT; i++)
		kept += is_there(registry, i);
	assert_u64(kept, >=, HOT - HOT / 20);
	registry_end(registry);
}

static void a_lower_limit_drops_at_once(void **state)
{
	struct sctx_registry *registry = registry_of(SIZE_MAX);
	struct sctx_idle_options options = { .size = sizeof(options), .limit_streams = 10 };
	struct sctx_stream *s = stream_open(registry, 1000);

	(void)state;
	for (uint64_t i = 0; i < 500; i++)
		touch(registry, i);
	assert_u64(stats_of(registry).idle, ==, 500);
	assert_rc(sctx_registry_idle(registry, &options), 0);
	assert_u64(stats_of(registry).idle, ==, 10);
	options.limit_streams = 0;
	assert_rc(sctx_registry_idle(registry, &options), 0);
	assert_u64(stats_of(registry).idle, ==, 0);
	assert_u64(stats_of(registry).streams, ==, 1);
	assert_rc(sctx_close(s), 0);
	assert_u64(stats_of(registry).streams, ==, 0);
	registry_end(registry);
}

static void bytes_are_limited(void **state)
{
	enum { EACH = 4000, STREAMS = 2000, BYTES = 1 << 20 };
	struct sctx_idle_options options = { .size = sizeof(options),
					     .limit_streams = SIZE_MAX,
					     .limit_bytes = BYTES };
	struct sctx_registry_stats stats;
	struct sctx_registry *registry;
	struct module m;

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_registry_idle(registry, &options), 0);
	module_init(&m);
	m.ops.context_size = EACH;
	module_enter(&m, registry);
	for (uint64_t i = 0; i < STREAMS; i++) {
		struct sctx_stream *s = stream_open(registry, i);

		module_insert(&m, s);
		assert_rc(sctx_close(s), 0);
	}
	stats = stats_of(registry);
	assert_u64(stats.idle, <, BYTES / EACH * 5 / 4 + 64);
	assert_u64(stats.idle, >, BYTES / EACH / 2);
	assert_u64(stats.idle_bytes, >, BYTES / 2);
	assert_u64(stats.idle_bytes, <, BYTES * 3 / 2);
	assert_rc(module_leave(&m, NULL), 0);
	registry_end(registry);
}

/* ------------------------------------------------------------------- may_drop */

struct keeper {
	struct sctx_registry *registry;
	unsigned int asked;
	bool keep;
	bool reopen;
};

static int may_drop(struct sctx_stream *stream, void *arg)
{
	struct keeper *k = arg;

	k->asked++;
	assert_int_equal(sctx_stream_state(stream), SCTX_STREAM_IDLE);
	if (k->reopen) {
		/* Opened and closed while it is asked for: the answer is an old one. */
		assert_rc(sctx_stream_ref(stream), 0);
		assert_rc(sctx_close(stream), 0);
	}
	return k->keep ? -EAGAIN : 0;
}

static struct sctx_registry *registry_kept(struct keeper *k, size_t limit)
{
	struct sctx_idle_options options = {
		.size = sizeof(options), .limit_streams = limit, .may_drop = may_drop, .arg = k
	};
	struct sctx_registry *registry = registry_of(limit);

	assert_rc(sctx_registry_idle(registry, &options), 0);
	k->registry = registry;
	return registry;
}

static void the_user_can_keep_what_is_idle(void **state)
{
	struct keeper k = { .keep = true };
	struct sctx_registry *registry = registry_kept(&k, 10);
	struct sctx_stats before = stats_now();

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		touch(registry, i);
	assert_u64(stats_of(registry).idle, ==, 100);
	assert_u64(k.asked, >, 0);
	assert_u64(stats_now().refusals - before.refusals, ==, k.asked);
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 0);
	assert_u64(stats_of(registry).idle, ==, 100);
	k.keep = false;
	assert_rc((int)sctx_registry_trim(registry, 20, 0), 80);
	assert_u64(stats_of(registry).idle, ==, 20);
	registry_end(registry);
}

static void an_old_answer_drops_nothing(void **state)
{
	struct keeper k = { .reopen = true };
	struct sctx_registry *registry = registry_kept(&k, 100);

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		touch(registry, i);
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 0);
	assert_u64(k.asked, >=, 10);
	assert_u64(stats_of(registry).idle, ==, 10);
	k.reopen = false;
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 10);
	registry_end(registry);
}

/* ------------------------------------------------------------------ bad input */

static void in_callback(struct item *item)
{
	struct sctx_registry *registry = item->arg;
	struct sctx_idle_options options = { .size = sizeof(options), .limit_streams = 1 };

	assert_rc(sctx_registry_idle(registry, &options), -EDEADLK);
	assert_true(sctx_registry_trim(registry, 0, 0) >= 0);
}

static void arguments_are_checked(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_idle_options options = { .size = sizeof(options), .limit_streams = SIZE_MAX };
	struct sctx_id id = id_of(1);
	struct sctx_stream embedded, *s = stream_open(registry, 1);
	struct item *a = item_insert(s, OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_registry_idle(NULL, &options), -EINVAL);
	assert_rc(sctx_registry_idle(registry, NULL), -EINVAL);
	assert_rc(sctx_registry_idle(registry, &options), 0);
	options.size = 3;
	assert_rc(sctx_registry_idle(registry, &options), -EINVAL);
	sctx_read_lock();
	options.size = sizeof(options);
	assert_rc(sctx_registry_idle(registry, &options), -EDEADLK);
	sctx_read_unlock();
	assert_rc(sctx_forget(NULL, &id), -EINVAL);
	assert_rc(sctx_forget(registry, NULL), -EINVAL);
	assert_rc((int)sctx_registry_trim(NULL, 0, 0), -EINVAL);
	assert_rc(sctx_registry_close_all(NULL, NULL, NULL), -EINVAL);
	assert_rc(sctx_close_many(NULL, 1), -EINVAL);
	assert_rc(sctx_close_many(s, 0), -EINVAL);
	assert_rc(sctx_close_flags(NULL, 0), -EINVAL);
	assert_rc(sctx_close_flags(s, 2), -EINVAL);
	assert_rc(sctx_stream_ref(NULL), -EINVAL);
	assert_int_equal(sctx_stream_state(NULL), SCTX_STREAM_DEAD);
	assert_null(sctx_context_stream(NULL));

	assert_rc(sctx_stream_init(&embedded), 0);
	assert_rc(sctx_close_many(&embedded, 1), -EPERM);
	assert_rc(sctx_close_flags(&embedded, 0), -EPERM);
	assert_rc(sctx_stream_ref(&embedded), -EPERM);
	assert_int_equal(sctx_stream_state(&embedded), SCTX_STREAM_OPEN);
	assert_rc(sctx_teardown(&embedded), 0);
	assert_int_equal(sctx_stream_state(&embedded), SCTX_STREAM_DEAD);
	assert_rc(sctx_teardown(s), -EPERM);
	assert_rc(sctx_teardown_sync(s), -EPERM);
	assert_rc(sctx_teardown_report(s, NULL, NULL), -EPERM);

	a->hook = in_callback;
	a->arg = registry;
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 1);
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_found_again_with_its_contexts),
		cmocka_unit_test(without_a_limit_the_last_close_ends_a_stream),
		cmocka_unit_test(an_idle_stream_counts_its_references_anew),
		cmocka_unit_test(no_more_than_the_limit_are_kept),
		cmocka_unit_test(a_small_limit_is_kept),
		cmocka_unit_test(what_is_used_stays),
		cmocka_unit_test(a_lower_limit_drops_at_once),
		cmocka_unit_test(bytes_are_limited),
		cmocka_unit_test(the_user_can_keep_what_is_idle),
		cmocka_unit_test(an_old_answer_drops_nothing),
		cmocka_unit_test(arguments_are_checked),
	};

	return TEST_RUN(tests);
}
