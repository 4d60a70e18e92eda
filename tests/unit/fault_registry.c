/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Faults of the registry: creating it, opening streams, growing the table.
 */
#include "stress/faults/inject.h"

/* ------------------------------------------------------------ registry_create */

struct creation {
	struct sctx_registry *registry;
};

static int create_registry(void *arg)
{
	struct creation *c = arg;

	/* It may succeed though an allocation failed: then start over. */
	if (c->registry) {
		fail_in = 0;
		CHECK_EQ(sctx_registry_destroy(c->registry), 0);
		CHECK_EQ(sctx_barrier(), 0);
	}
	c->registry = (void *)1;
	return sctx_registry_create(&c->registry);
}

static void no_registry(void *arg)
{
	struct creation *c = arg;

	CHECK(c->registry == NULL);
}

static void registry_create_without_memory(void *unused)
{
	struct creation c = { NULL };
	struct books before = books_now();

	(void)unused;
	CHECK(until_it_succeeds(create_registry, no_registry, &c) >= 2);
	CHECK(c.registry);
	CHECK_EQ(sctx_registry_destroy(c.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(registry_create_without_memory)

static void registry_create_without_getrandom(void *unused)
{
	const int errors[] = { ENOSYS, EIO, EPERM };
	struct sctx_registry *registry;
	struct books before = books_now();

	(void)unused;
	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++) {
		registry = (void *)1;
		random_error = errors[i];
		CHECK_EQ(sctx_registry_create(&registry), -errors[i]);
		CHECK(registry == NULL);
		books_compare(before);
	}
	random_error = 0;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
}
IN_CHILD(registry_create_without_getrandom)

/* What no slot of the table can name is refused before it is touched. */
static void addresses_too_wide(void *unused)
{
	const struct sctx_id id = { 1, { 2, 3 }, 4 }, other = { 1, { 2, 3 }, 5 };
	struct sctx_registry *registry, *none = (void *)1;
	struct sctx_stream *stream, *refused = (void *)1;
	struct books before;

	(void)unused;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK_EQ(sctx_open(registry, &id, 0, &stream), 0);
	before = books_now();
	for (unsigned int bit = 48; bit < 64; bit++) {
		address_bits = (uintptr_t)1 << bit;
		CHECK_EQ(sctx_registry_create(&none), -EOVERFLOW);
		CHECK_EQ(sctx_open(registry, &other, 0, &refused), -ENOMEM);
		address_bits = 0;
		CHECK(none == NULL && refused == NULL);
		books_compare(before);
	}
	CHECK_EQ(sctx_open(registry, &other, 0, &refused), 0);
	CHECK_EQ(sctx_close(refused), 0);
	CHECK_EQ(sctx_close(stream), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
}
IN_CHILD(addresses_too_wide)

/* An array's, whose tag (arm64's are in the upper byte) would say that it is hidden. */
static void an_array_that_would_say_hidden(void *unused)
{
	struct item *item[SCTX_INLINE_ENTRIES + 1];
	struct sctx_stream stream;

	(void)unused;
	CHECK_EQ(sctx_stream_init(&stream), 0);
	for (unsigned int i = 0; i <= SCTX_INLINE_ENTRIES; i++)
		item[i] = item_new(OWNER(i), NULL);
	for (unsigned int i = 0; i < SCTX_INLINE_ENTRIES; i++)
		CHECK_EQ(sctx_insert(&stream, &item[i]->ctx), 0);
	address_bits = (uintptr_t)1 << 63;
	CHECK_EQ(sctx_insert(&stream, &item[SCTX_INLINE_ENTRIES]->ctx), -ENOMEM);
	address_bits = 0;
	CHECK_EQ(sctx_insert(&stream, &item[SCTX_INLINE_ENTRIES]->ctx), 0);
	stream_end(&stream);
	for (unsigned int i = 0; i <= SCTX_INLINE_ENTRIES; i++) {
		CHECK_EQ(item_called(item[i]), 1);
		item_free(item[i]);
	}
}
IN_CHILD(an_array_that_would_say_hidden)

/* --------------------------------------------------------------------- open */

/* All of one hash where the secret is nought: its first step multiplies by the volume. */
static struct sctx_id colliding_id(uint64_t n)
{
	return (struct sctx_id){ .volume = 0, .file = { n, 1 }, .stream = 2 };
}

struct opening {
	struct sctx_registry *registry;
	struct sctx_id id;
	struct sctx_stream *stream;
	unsigned int open;
	bool again; /* after a success that did without */
};

static int open_stream(void *arg)
{
	struct opening *o = arg;

	if (o->again) {
		unsigned int armed = fail_in;

		fail_in = 0;
		CHECK_EQ(sctx_close(o->stream), 0);
		fail_in = armed;
	}
	o->stream = (void *)1;
	o->again = sctx_open(o->registry, &o->id, 0, &o->stream) == 0;
	return o->again ? 0 : -ENOMEM;
}

static void no_stream(void *arg)
{
	struct opening *o = arg;
	struct sctx_stream *s = (void *)1;

	CHECK(o->stream == NULL);
	CHECK_EQ(sctx_open(o->registry, &o->id, SCTX_OPEN_EXISTING, &s), -ENOENT);
	CHECK(s == NULL);
	CHECK_EQ(streams_in(o->registry), o->open);
}

static int close_stream(struct sctx_stream *stream, void *arg)
{
	(void)arg;
	return sctx_close(stream);
}

/*
 * One after another with the same hash: the bucket fills, gets a chain, and
 * then the table grows, again and again, though it does not help.
 */
static void open_without_memory(void *unused)
{
	struct opening o = { .open = 0 };
	unsigned int failures = 0;

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&o.registry), 0);
	for (unsigned int i = 0; i < 500; i++) {
		o.id = colliding_id(i);
		o.again = false;
		/* When the first chains come, and when the table starts to grow. */
		if (i < 20 || (i >= 445 && i < 465))
			failures += until_it_succeeds(open_stream, no_stream, &o);
		else
			CHECK_EQ(open_stream(&o), 0);
		o.open++;
		for (unsigned int j = 0; j <= i; j++) {
			struct sctx_id id = colliding_id(j);

			sctx_read_lock();
			CHECK(sctx_find(o.registry, &id));
			sctx_read_unlock();
		}
	}
	CHECK(failures >= 20);
	CHECK_EQ(streams_in(o.registry), 500);
	CHECK_EQ(sctx_registry_for_each(o.registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(o.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(open_without_memory)

/* The secret is known: thousands of ids in one chain, slow and right. */
static void ids_that_collide_with_the_secret(void *unused)
{
	const unsigned int n = 1500;
	struct sctx_stream *s[1500];
	struct sctx_registry *registry;
	struct books before = books_now();

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = colliding_id(i);

		CHECK_EQ(sctx_open(registry, &id, 0, &s[i]), 0);
	}
	for (unsigned int i = 0; i < n; i += 2)
		CHECK_EQ(sctx_close(s[i]), 0);
	CHECK_EQ(streams_in(registry), n / 2);
	sctx_read_lock();
	for (unsigned int i = 0; i < n; i++) {
		struct sctx_id id = colliding_id(i);

		CHECK(sctx_find(registry, &id) == (i % 2 ? s[i] : NULL));
	}
	sctx_read_unlock();

	/* A walk that finds no memory for a long chain says so; a destroy does without. */
	arm(1, true);
	CHECK_EQ(sctx_registry_for_each(registry, close_stream, NULL), -ENOMEM);
	CHECK_EQ(sctx_registry_destroy(registry), -EBUSY);
	for (unsigned int i = 1; i < n; i += 2)
		CHECK_EQ(sctx_close(s[i]), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK(disarm() > 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(ids_that_collide_with_the_secret)

/*
 * Chains that come and go under readers: all ids in one bucket, opened and
 * closed by some threads and looked up by others.
 */
#define CHAIN_WRITERS 2
#define CHAIN_IDS     40

struct chain_race {
	struct sctx_registry *registry;
	struct sctx_stream *held[CHAIN_IDS]; /* even numbers, throughout */
	atomic_uint writing;
	atomic_ulong finds;
};

static void chain_writer(struct chain_race *c, uint64_t seed, unsigned int index)
{
	struct sctx_stream *s[CHAIN_IDS] = { NULL };

	for (uint64_t end = test_deadline(500); !past(end);) {
		for (unsigned int turn = 0; turn < 64; turn++) {
			unsigned int k = (unsigned int)test_random(&seed) % CHAIN_IDS;
			struct sctx_id id = colliding_id(1000 * (index + 1) + k);

			if (s[k])
				CHECK_EQ(sctx_close(s[k]), 0);
			s[k] = s[k] ? NULL : (void *)1;
			if (s[k])
				CHECK_EQ(sctx_open(c->registry, &id, 0, &s[k]), 0);
		}
		/* All at once, so that chains get short again. */
		for (unsigned int k = 0; k < CHAIN_IDS; k++)
			if (s[k])
				CHECK_EQ(sctx_close(s[k]), 0);
		memset(s, 0, sizeof(s));
	}
	atomic_fetch_sub(&c->writing, 1);
}

static void chain_thread(unsigned int index, void *arg)
{
	struct chain_race *c = arg;
	uint64_t seed = index + 5;

	if (index < CHAIN_WRITERS) {
		chain_writer(c, seed, index);
		return;
	}
	while (atomic_load(&c->writing)) {
		struct sctx_id missing = colliding_id(999);

		sctx_read_lock();
		for (unsigned int k = 0; k < CHAIN_IDS; k++) {
			struct sctx_id id = colliding_id(k);

			CHECK(sctx_find(c->registry, &id) == c->held[k]);
			CHECK(sctx_find(c->registry, &missing) == NULL);
		}
		sctx_read_unlock();
		atomic_fetch_add(&c->finds, CHAIN_IDS);
	}
}

static void chains_that_come_and_go_under_readers(void *unused)
{
	struct chain_race c = { .writing = CHAIN_WRITERS };

	(void)unused;
	random_zero = true;
	CHECK_EQ(sctx_registry_create(&c.registry), 0);
	for (unsigned int k = 0; k < CHAIN_IDS; k += 2) {
		struct sctx_id id = colliding_id(k);

		CHECK_EQ(sctx_open(c.registry, &id, 0, &c.held[k]), 0);
	}
	run_threads(CHAIN_WRITERS + 2, chain_thread, &c);
	CHECK(atomic_load(&c.finds) > 0);
	CHECK_EQ(sctx_registry_for_each(c.registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(c.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}
IN_CHILD(chains_that_come_and_go_under_readers)

/* The table cannot grow: opens go on, and it grows when there is memory again. */
static void growing_without_memory(void *unused)
{
	struct sctx_registry *registry;
	struct sctx_stream *s;
	struct sctx_registry_stats stats = { .size = sizeof(stats) };
	struct books before = books_now();

	(void)unused;
	CHECK_EQ(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < 12000; i++) {
		struct sctx_id id = id_of(i);
		int rc;

		/* Of what one open allocates, only the later ones fail: growing. */
		arm(2 + i % 3, true);
		rc = sctx_open(registry, &id, 0, &s);
		disarm();
		CHECK(rc == 0 || rc == -ENOMEM);
		if (rc)
			CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
	}
	for (unsigned int i = 0; i < 12000; i++) {
		struct sctx_id id = id_of(i);

		sctx_read_lock();
		CHECK(sctx_find(registry, &id));
		sctx_read_unlock();
	}
	CHECK_EQ(streams_in(registry), 12000);
	for (unsigned int i = 12000; i < 16000; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(registry, &id, 0, &s), 0);
	}
	CHECK_EQ(sctx_registry_stats_get(registry, &stats), 0);
	CHECK(stats.buckets >= 4096);
	CHECK_EQ(sctx_registry_for_each(registry, close_stream, NULL), 0);
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	books_compare(before);
}
IN_CHILD(growing_without_memory)

/* An id that occurs twice is found by its second open, which needs no memory. */
static void one_node_for_an_id_that_occurs_twice(void **state)
{
	struct sctx_registry *registry;
	struct sctx_stream *held[64], *both[2];
	struct sctx_id twice[2] = { id_of(1000), id_of(1000) };

	(void)state;
	assert_rc(sctx_registry_create(&registry), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++) {
		struct sctx_id id = id_of(i);

		assert_rc(sctx_open(registry, &id, 0, &held[i]), 0);
	}
	arm(2, true);
	assert_rc(sctx_open_many(registry, twice, 2, 0, both), 0);
	assert_int_equal(disarm(), 0);
	assert_ptr_equal(both[0], both[1]);
	assert_rc(sctx_close(both[0]), 0);
	assert_rc(sctx_close(both[1]), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(held); i++)
		assert_rc(sctx_close(held[i]), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
	assert_rc(sctx_barrier(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_child_registry_create_without_memory),
		cmocka_unit_test(in_child_registry_create_without_getrandom),
		cmocka_unit_test(in_child_addresses_too_wide),
		cmocka_unit_test(in_child_an_array_that_would_say_hidden),
		cmocka_unit_test(in_child_open_without_memory),
		cmocka_unit_test(in_child_ids_that_collide_with_the_secret),
		cmocka_unit_test(in_child_chains_that_come_and_go_under_readers),
		cmocka_unit_test(in_child_growing_without_memory),
		cmocka_unit_test(one_node_for_an_id_that_occurs_twice),
	};

	return TEST_RUN(tests);
}
