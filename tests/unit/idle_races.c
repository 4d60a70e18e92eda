/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Idle streams as their owners see them, and races of all that ends one.
 */
#include "idle.h"

/* --------------------------------------------------------------------- owners */

struct told {
	struct module m;
	atomic_uint idle, revived;
	atomic_int now; /* 1 idle, 0 open */
	atomic_uint wrong;
};

static void was_idle(struct sctx_context *ctx)
{
	struct told *t = (struct told *)module_of(ctx);

	atomic_fetch_add(&t->idle, 1);
	if (atomic_exchange(&t->now, 1) != 0)
		atomic_fetch_add(&t->wrong, 1);
}

static void was_revived(struct sctx_context *ctx)
{
	struct told *t = (struct told *)module_of(ctx);

	atomic_fetch_add(&t->revived, 1);
	if (atomic_exchange(&t->now, 0) != 1)
		atomic_fetch_add(&t->wrong, 1);
}

static void told_enter(struct told *t, struct sctx_registry *registry)
{
	*t = (struct told){ 0 };
	module_init(&t->m);
	t->m.ops.idle = was_idle;
	t->m.ops.revived = was_revived;
	module_enter(&t->m, registry);
}

static void owners_hear_of_idle_and_revived(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);
	struct told t;

	(void)state;
	told_enter(&t, registry);
	module_insert(&t.m, s);
	assert_rc(sctx_stream_ref(s), 0);
	assert_rc(sctx_close(s), 0);
	assert_int_equal(t.idle, 0);
	assert_rc(sctx_close(s), 0);
	assert_int_equal(t.idle, 1);
	assert_int_equal(t.revived, 0);
	s = stream_open(registry, 1);
	assert_int_equal(t.revived, 1);
	assert_rc(sctx_close(s), 0);
	assert_int_equal(t.idle, 2);
	/* Dropped: detached and freed, and not revived. */
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 1);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(t.revived, 1);
	assert_int_equal(t.m.detached, 1);
	assert_int_equal(t.m.freed, 1);
	assert_int_equal(t.wrong, 0);
	assert_rc(module_leave(&t.m, NULL), 0);
	registry_end(registry);
}

static void an_owner_that_leaves_finds_its_idle_contexts(void **state)
{
	struct sctx_registry *registry = registry_of(1000);
	struct sctx_id id = id_of(0);
	struct sctx_stream *forgotten;
	struct told t;

	(void)state;
	told_enter(&t, registry);
	for (uint64_t i = 1; i < 500; i++) {
		struct sctx_stream *s = stream_open(registry, i);

		module_insert(&t.m, s);
		atomic_store(&t.now, 0);
		assert_rc(sctx_close(s), 0);
	}
	forgotten = stream_open(registry, 0);
	module_insert(&t.m, forgotten);
	assert_rc(sctx_forget(registry, &id), 0);
	assert_rc(module_leave(&t.m, NULL), 0);
	assert_int_equal(t.m.freed, 500);
	assert_u64(stats_of(registry).idle, ==, 499);
	assert_rc(sctx_close(forgotten), 0);
	registry_end(registry);
}

/* ---------------------------------------------------------------------- races */

struct race {
	struct sctx_registry *registry;
	unsigned int rounds;
	uint64_t ids;
	atomic_ulong opens;
};

/* Open, look, close; now and then forget, trim, or change the limit. */
static void race(unsigned int index, void *arg)
{
	struct race *r = arg;
	uint64_t random = index + 1;

	for (unsigned int i = 0; i < r->rounds; i++) {
		struct sctx_id id = id_of(test_random(&random) % r->ids);
		uint64_t dice = test_random(&random) % 1000;
		struct sctx_stream *s;

		CHECK_EQ(sctx_open(r->registry, &id, 0, &s), 0);
		CHECK(memcmp(sctx_stream_id(s), &id, sizeof(id)) == 0);
		CHECK(sctx_stream_state(s) == SCTX_STREAM_OPEN ||
		      sctx_stream_state(s) == SCTX_STREAM_FORGOTTEN);
		atomic_fetch_add(&r->opens, 1);
		if (dice < 20)
			CHECK(sctx_close_flags(s, SCTX_CLOSE_FORGET) >= 0);
		else
			CHECK_EQ(sctx_close(s), 0);
		if (dice == 21)
			CHECK(sctx_registry_trim(r->registry, 5, 0) >= 0);
		if (dice > 998) {
			struct sctx_idle_options options = { .size = sizeof(options),
							     .limit_streams = dice % 4 * 10 };

			CHECK_EQ(sctx_registry_idle(r->registry, &options), 0);
		}
		if (dice > 30 && dice < 50)
			sctx_forget(r->registry, &id);
	}
}

static void opens_closes_drops_and_limits_race(void **state)
{
	struct race r = { .registry = registry_of(20), .ids = 60 };
	struct sctx_idle_options none = { .size = sizeof(none) };
	struct sctx_stats before = stats_now(), after;
	struct sctx_registry_stats stats;

	(void)state;
	r.rounds = test_scaled(100000);
	run_threads(4, race, &r);
	stats = stats_of(r.registry);
	assert_u64(stats.streams, ==, stats.idle);
	after = stats_now();
	assert_u64(after.opens - before.opens, ==, atomic_load(&r.opens));
	assert_u64(after.closes - before.closes, ==, atomic_load(&r.opens));
	assert_rc(sctx_registry_idle(r.registry, &none), 0);
	stats = stats_of(r.registry);
	assert_u64(stats.streams, ==, 0);
	assert_u64(stats.idle, ==, 0);
	registry_end(r.registry);
}

static void tell_race(unsigned int index, void *arg)
{
	struct race *r = arg;
	struct sctx_id id = id_of(1);

	(void)index;
	for (unsigned int i = 0; i < r->rounds; i++) {
		struct sctx_stream *s;

		CHECK_EQ(sctx_open(r->registry, &id, 0, &s), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
}

static void idle_and_revived_alternate_whatever_races(void **state)
{
	struct race r = { .registry = registry_of(20) };
	struct sctx_stream *s = stream_open(r.registry, 1);
	struct told t;

	(void)state;
	told_enter(&t, r.registry);
	module_insert(&t.m, s);
	assert_rc(sctx_close(s), 0);
	r.rounds = test_scaled(100000);
	run_threads(4, tell_race, &r);
	assert_int_equal(t.wrong, 0);
	assert_u64(t.revived, >, 0);
	assert_int_equal(t.idle, t.revived + 1);
	assert_int_equal(t.now, 1);
	assert_rc(module_leave(&t.m, NULL), 0);
	registry_end(r.registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owners_hear_of_idle_and_revived),
		cmocka_unit_test(an_owner_that_leaves_finds_its_idle_contexts),
		cmocka_unit_test(opens_closes_drops_and_limits_race),
		cmocka_unit_test(idle_and_revived_alternate_whatever_races),
	};

	return TEST_RUN(tests);
}
