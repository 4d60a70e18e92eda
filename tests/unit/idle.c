/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Idle streams: kept after their last close, found again, dropped, forgotten. */
#include "module.h"

static struct sctx_registry *registry_of(size_t limit)
{
	struct sctx_idle_options options = { .size = sizeof(options), .limit_streams = limit };
	struct sctx_registry *registry;

	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_registry_idle(registry, &options), 0);
	return registry;
}

static struct sctx_registry_stats stats_of(struct sctx_registry *registry)
{
	struct sctx_registry_stats stats = { .size = sizeof(stats) };

	assert_rc(sctx_registry_stats_get(registry, &stats), 0);
	return stats;
}

static void touch(struct sctx_registry *registry, uint64_t n)
{
	assert_rc(sctx_close(stream_open(registry, n)), 0);
}

static bool is_there(struct sctx_registry *registry, uint64_t n)
{
	struct sctx_id id = id_of(n);

	return seek(registry, &id) != NULL;
}

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

	assert_rc(sctx_close(again), 0);
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

/* --------------------------------------------------------------- forget, trim */

static void an_idle_stream_is_forgotten_at_once(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);
	struct item *a = item_insert(s, OWNER(1), NULL);
	struct sctx_id id = id_of(1);

	(void)state;
	assert_rc(sctx_close(s), 0);
	assert_rc(sctx_forget(registry, &id), 0);
	assert_false(is_there(registry, 1));
	assert_u64(stats_of(registry).idle, ==, 0);
	assert_rc(sctx_forget(registry, &id), -ENOENT);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	registry_end(registry);
}

static int count_stream(struct sctx_stream *stream, void *arg)
{
	unsigned int *count = arg;

	count[sctx_stream_state(stream)]++;
	return 0;
}

static void a_forgotten_stream_lives_until_its_last_close(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *old = stream_open(registry, 1), *new;
	struct item *a = item_insert(old, OWNER(1), NULL), *b;
	unsigned int count[4] = { 0 };
	struct sctx_id id = id_of(1);

	(void)state;
	assert_rc(sctx_forget(registry, &id), 0);
	assert_int_equal(sctx_stream_state(old), SCTX_STREAM_FORGOTTEN);
	assert_false(is_there(registry, 1));
	assert_rc(sctx_forget(registry, &id), -ENOENT);
	assert_ptr_equal(peek(old, OWNER(1), NULL), &a->ctx);

	new = stream_open(registry, 1);
	assert_ptr_not_equal(new, old);
	b = item_insert(new, OWNER(1), NULL);
	assert_memory_equal(sctx_stream_id(old), sctx_stream_id(new), sizeof(id));
	assert_rc(sctx_registry_for_each(registry, count_stream, count), 0);
	assert_int_equal(count[SCTX_STREAM_FORGOTTEN], 1);
	assert_int_equal(count[SCTX_STREAM_OPEN], 1);

	/* By its pointer it can still be opened, and is not kept. */
	assert_rc(sctx_stream_ref(old), 0);
	assert_rc(sctx_close(old), 0);
	assert_rc(sctx_close_flags(old, 0), 1);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b), 0);
	assert_rc(sctx_close(new), 0);
	assert_true(is_there(registry, 1));
	registry_end(registry);
	assert_int_equal(item_called(b), 1);
	item_free(a);
	item_free(b);
}

static void a_close_can_forget(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);

	(void)state;
	assert_rc(sctx_stream_ref(s), 0);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 0);
	assert_int_equal(sctx_stream_state(s), SCTX_STREAM_FORGOTTEN);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 1);
	s = stream_open(registry, 2);
	assert_rc(sctx_close_flags(s, SCTX_CLOSE_FORGET), 1);
	assert_u64(stats_of(registry).streams, ==, 0);
	registry_end(registry);
}

/* The table moves forgotten streams along, beside new ones of the same ids. */
static void forgotten_streams_survive_growth(void **state)
{
	enum { N = 300, MORE = 40000 };
	static struct sctx_stream *old[N], *new[MORE];
	struct sctx_registry *registry = registry_of(10);
	uint64_t buckets = stats_of(registry).buckets;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		struct sctx_id id = id_of(i);

		old[i] = stream_open(registry, i);
		assert_rc(sctx_forget(registry, &id), 0);
	}
	for (uint64_t i = 0; i < MORE; i++)
		new[i] = stream_open(registry, i);
	assert_u64(stats_of(registry).buckets, >, buckets);
	assert_u64(stats_of(registry).streams, ==, N + MORE);
	for (uint64_t i = 0; i < N; i++)
		assert_rc(sctx_close_flags(old[i], 0), 1);
	assert_u64(stats_of(registry).streams, ==, MORE);
	for (uint64_t i = 0; i < MORE; i++)
		assert_rc(sctx_close(new[i]), 0);
	registry_end(registry);
}

static void trim_drops_as_many_as_it_is_told(void **state)
{
	struct sctx_registry *registry = registry_of(SIZE_MAX);
	struct sctx_stream *open = stream_open(registry, 100000);

	(void)state;
	for (uint64_t i = 0; i < 3000; i++)
		touch(registry, i);
	assert_rc((int)sctx_registry_trim(registry, 0, 7), 7);
	assert_rc((int)sctx_registry_trim(registry, 2900, 0), 93);
	assert_rc((int)sctx_registry_trim(registry, 2900, 0), 0);
	/* In a section: it does not wait. */
	sctx_read_lock();
	assert_rc((int)sctx_registry_trim(registry, 100, 0), 2800);
	sctx_read_unlock();
	assert_rc((int)sctx_registry_trim(registry, 0, 0), 100);
	assert_u64(stats_of(registry).streams, ==, 1);
	assert_rc(sctx_close(open), 0);
	registry_end(registry);
}

/* --------------------------------------------------------- the end of all streams */

static void close_all_of_them(struct sctx_stream *stream, void *arg)
{
	assert_int_not_equal(sctx_stream_state(stream), SCTX_STREAM_IDLE);
	++*(unsigned int *)arg;
}

static void close_all_ends_open_and_forgotten_streams(void **state)
{
	struct sctx_registry *registry = registry_of(10);
	struct sctx_stream *s = stream_open(registry, 1);
	struct item *a = item_insert(s, OWNER(1), NULL);
	struct sctx_id id = id_of(2);
	unsigned int closed = 0;

	(void)state;
	assert_rc(sctx_stream_ref(s), 0);
	stream_open(registry, 2);
	assert_rc(sctx_forget(registry, &id), 0);
	touch(registry, 3);
	assert_rc(sctx_registry_destroy(registry), -EBUSY);
	assert_u64(stats_of(registry).idle, ==, 1);
	assert_rc(sctx_registry_close_all(registry, close_all_of_them, &closed), 2);
	assert_int_equal(closed, 2);
	assert_u64(stats_of(registry).idle, ==, 1);
	registry_end(registry);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static int open_and_close_within(struct sctx_stream *stream, void *registry)
{
	struct sctx_stream *same, *other;
	struct sctx_id id = *sctx_stream_id(stream), next = id_of(1000 + id_number(&id));

	assert_rc(sctx_open(registry, &id, 0, &same), 0);
	assert_ptr_equal(same, stream);
	assert_rc(sctx_open(registry, &next, 0, &other), 0);
	assert_rc(sctx_close_flags(other, SCTX_CLOSE_FORGET), 1);
	assert_rc(sctx_close(same), 0);
	if (id_number(&id) % 2)
		assert_rc(sctx_forget(registry, &id), 0);
	return 0;
}

static void a_walk_may_open_close_and_forget(void **state)
{
	struct sctx_registry *registry = registry_of(100);

	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		touch(registry, i);
	assert_rc(sctx_registry_for_each(registry, open_and_close_within, registry), 0);
	assert_u64(stats_of(registry).idle, ==, 25);
	registry_end(registry);
}

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
		cmocka_unit_test(an_idle_stream_is_forgotten_at_once),
		cmocka_unit_test(a_forgotten_stream_lives_until_its_last_close),
		cmocka_unit_test(a_close_can_forget),
		cmocka_unit_test(forgotten_streams_survive_growth),
		cmocka_unit_test(trim_drops_as_many_as_it_is_told),
		cmocka_unit_test(close_all_ends_open_and_forgotten_streams),
		cmocka_unit_test(a_walk_may_open_close_and_forget),
		cmocka_unit_test(owners_hear_of_idle_and_revived),
		cmocka_unit_test(an_owner_that_leaves_finds_its_idle_contexts),
		cmocka_unit_test(opens_closes_drops_and_limits_race),
		cmocka_unit_test(idle_and_revived_alternate_whatever_races),
		cmocka_unit_test(arguments_are_checked),
	};

	return TEST_RUN(tests);
}
