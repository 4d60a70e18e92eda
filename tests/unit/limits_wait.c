/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * At limbo's limit creators wait until there is room, and limbo stays bounded.
 */
#include "test.h"

/* ----------------------------------------------------------- those that wait */

struct creator {
	struct sctx_registry *registry;
	struct sctx_stream stream;
	unsigned int turns;
	bool opens;
	atomic_uint done;
};

static void *creator_main(void *arg)
{
	struct creator *c = arg;

	for (unsigned int i = 0; i < c->turns; i++) {
		struct sctx_id id = id_of(i);
		struct sctx_stream *s;

		if (c->opens) {
			CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
			CHECK_EQ(sctx_close(s), 0);
		} else {
			CHECK_EQ(sctx_insert(&c->stream, &item_churn(OWNER(1), NULL)->ctx), 0);
			CHECK_EQ(sctx_delete(&c->stream, OWNER(1), NULL), 0);
		}
		atomic_fetch_add(&c->done, 1);
	}
	return NULL;
}

/* Wait until @c no longer advances; how far it has come. */
static unsigned int stalled_at(struct creator *c)
{
	unsigned int before;

	do {
		before = atomic_load(&c->done);
		nap_ms(150);
	} while (atomic_load(&c->done) != before);
	return before;
}

static void creators_wait(bool opens, bool raise)
{
	const unsigned int limit = 16384;
	struct creator *c = calloc(1, sizeof(*c));
	struct reader *reader;
	pthread_t thread;
	unsigned int at;

	assert_non_null(c);
	c->turns = 4 * limit;
	c->opens = opens;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	assert_rc(sctx_registry_create(&c->registry), 0);
	sctx_stream_init(&c->stream);
	set_limits(0, limit, 0);
	reader = reader_park(NULL, NULL, NULL);
	thread = thread_start(creator_main, c);
	at = stalled_at(c);
	/* Every retired array of the stream counts as well. */
	assert_in_range(at, limit * 3 / 4, limit * 5 / 4);

	/* Off again when there is room: limbo empties, or the limit is raised. */
	if (raise) {
		set_limits(0, 2 * limit, 0);
		WAIT_FOR(atomic_load(&c->done) > at);
		at = stalled_at(c);
		assert_in_range(at, limit * 3 / 2, limit * 5 / 2);
	}
	reader_leave(reader);
	thread_join(thread);
	assert_int_equal(atomic_load(&c->done), c->turns);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	stream_end(&c->stream);
	assert_rc(sctx_registry_destroy(c->registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
	free(c);
}

static void inserts_wait_at_the_limit(void **state)
{
	(void)state;
	creators_wait(false, false);
}

static void opens_wait_at_the_limit(void **state)
{
	(void)state;
	creators_wait(true, false);
}

static void a_raised_limit_lets_them_go_on(void **state)
{
	(void)state;
	creators_wait(false, true);
}

/* Several creators at full speed: limbo stays near its limit all the time. */
struct flood {
	struct sctx_registry *registry;
	atomic_uint running;
	atomic_ulong peak;
};

#define FLOODERS    4
#define FLOOD_LIMIT 4096

static void flood_thread(unsigned int index, void *arg)
{
	struct flood *f = arg;

	if (index == FLOODERS) {
		while (atomic_load(&f->running)) {
			unsigned long limbo = (unsigned long)stats_now().limbo_callbacks;

			if (limbo > atomic_load(&f->peak))
				atomic_store(&f->peak, limbo);
			nap_ms(1);
		}
		return;
	}
	/* However slow the machine is, or the sanitizer. */
	for (uint64_t end = test_deadline(600);
	     !past(end) || items_created() <= 10 * FLOOD_LIMIT;) {
		for (unsigned int i = 0; i < 64; i++) {
			struct sctx_id id = id_of(i + 64 * index);
			struct sctx_stream *s;

			CHECK_EQ(sctx_open(f->registry, &id, 0, &s), 0);
			CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
			CHECK_EQ(sctx_close(s), 0);
		}
	}
	atomic_fetch_sub(&f->running, 1);
}

static void limbo_stays_bounded_under_a_flood(void **state)
{
	struct flood f = { .running = FLOODERS };

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items_reset();
	assert_rc(sctx_registry_create(&f.registry), 0);
	set_limits(0, FLOOD_LIMIT, 0);
	run_threads(FLOODERS + 1, flood_thread, &f);
	print_message("           peak %lu of %d, %lu contexts\n", atomic_load(&f.peak),
		      FLOOD_LIMIT, items_created());
	/* A batch for each thread, and the sum is read while it moves. */
	assert_u64(atomic_load(&f.peak), <=, FLOOD_LIMIT * 3 / 2);
	assert_u64(items_created(), >, 10 * FLOOD_LIMIT);
	assert_rc(sctx_registry_destroy(f.registry), 0);
	assert_rc(sctx_barrier(), 0);
	set_limits(0, 0, 0);
	assert_u64(items_freed(), ==, items_created());
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
}

/* A limit of one of each: slow, and everything still works. */
static void the_smallest_limit(void **state)
{
	struct creator c = { .turns = 20 };

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	sctx_stream_init(&c.stream);
	set_limits(1, 1, 0);
	creator_main(&c);
	c.opens = true;
	creator_main(&c);
	set_limits(0, 0, 0);
	stream_end(&c.stream);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(items_freed(), ==, items_created());
}

/* A callback may need a lock under which somebody creates: neither waits for ever. */
static pthread_mutex_t owners_lock = PTHREAD_MUTEX_INITIALIZER;

static void take_the_lock(struct item *item)
{
	(void)item;
	pthread_mutex_lock(&owners_lock);
	pthread_mutex_unlock(&owners_lock);
}

static void a_creator_whose_lock_a_callback_needs_is_told(void **state)
{
	struct item *a = item_new(OWNER(1), NULL), *b = item_new(OWNER(2), NULL);
	struct sctx_stream s;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	assert_rc(sctx_stream_init(&s), 0);
	set_limits(0, 100, 0);
	a->hook = take_the_lock;
	pthread_mutex_lock(&owners_lock);
	assert_rc(sctx_put(&a->ctx), 0);
	for (int i = 0; i < 200; i++)
		assert_rc(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
	assert_rc(sctx_insert(&s, &b->ctx), -EAGAIN);
	pthread_mutex_unlock(&owners_lock);
	set_limits(0, 0, 0);
	assert_rc(sctx_put(&b->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	item_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inserts_wait_at_the_limit),
		cmocka_unit_test(opens_wait_at_the_limit),
		cmocka_unit_test(a_raised_limit_lets_them_go_on),
		cmocka_unit_test(limbo_stays_bounded_under_a_flood),
		cmocka_unit_test(the_smallest_limit),
		cmocka_unit_test(a_creator_whose_lock_a_callback_needs_is_told),
	};

	return TEST_RUN(tests);
}
