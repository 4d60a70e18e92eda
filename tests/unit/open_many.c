/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sctx_open_many(): as so many calls of sctx_open(), each by itself.
 */
#include "test.h"

#define MANY 100 /* several batches, the last one short */

struct many {
	struct sctx_registry *registry;
	struct sctx_id id[MANY];
	struct sctx_stream *stream[MANY];
};

static int setup(void **state)
{
	struct many *m = calloc(1, sizeof(*m));

	CHECK(m);
	for (unsigned int i = 0; i < MANY; i++) {
		m->id[i] = id_of(i);
		m->stream[i] = (void *)1;
	}
	*state = m;
	return sctx_registry_create(&m->registry);
}

static int teardown(void **state)
{
	struct many *m = *state;
	int rc = sctx_registry_destroy(m->registry);

	free(m);
	return rc ? rc : sctx_barrier();
}

static void close_all(struct many *m)
{
	for (unsigned int i = 0; i < MANY; i++)
		if (m->stream[i])
			assert_rc(sctx_close(m->stream[i]), 0);
}

static void open_many_of_existing_and_missing_ids(void **state)
{
	struct sctx_stream *even[MANY / 2];
	struct many *m = *state;

	for (unsigned int i = 0; i < MANY / 2; i++)
		assert_rc(sctx_open(m->registry, &m->id[2 * i], 0, &even[i]), 0);
	assert_rc(sctx_open_many(m->registry, m->id, MANY, 0, m->stream), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		assert_non_null(m->stream[i]);
		assert_memory_equal(sctx_stream_id(m->stream[i]), &m->id[i], sizeof(m->id[i]));
	}
	for (unsigned int i = 0; i < MANY / 2; i++) {
		assert_ptr_equal(m->stream[2 * i], even[i]);
		assert_rc(sctx_close(even[i]), 0);
	}
	/* Each has a reference of its own left, and no more. */
	sctx_read_lock();
	for (unsigned int i = 0; i < MANY; i++)
		assert_ptr_equal(sctx_find(m->registry, &m->id[i]), m->stream[i]);
	close_all(m);
	for (unsigned int i = 0; i < MANY; i++)
		assert_null(sctx_find(m->registry, &m->id[i]));
	sctx_read_unlock();
}

static void an_id_may_occur_twice(void **state)
{
	struct many *m = *state;

	for (unsigned int i = 0; i < MANY; i++)
		m->id[i] = id_of(i % 3);
	assert_rc(sctx_open_many(m->registry, m->id, MANY, 0, m->stream), 0);
	for (unsigned int i = 3; i < MANY; i++)
		assert_ptr_equal(m->stream[i], m->stream[i % 3]);
	close_all(m);
}

static void open_many_opens_existing_streams_beside_missing_ones(void **state)
{
	struct sctx_stream *there[2];
	struct many *m = *state;

	assert_rc(sctx_open(m->registry, &m->id[3], 0, &there[0]), 0);
	assert_rc(sctx_open(m->registry, &m->id[MANY - 1], 0, &there[1]), 0);
	assert_rc(sctx_open_many(m->registry, m->id, MANY, SCTX_OPEN_EXISTING, m->stream), -ENOENT);
	for (unsigned int i = 0; i < MANY; i++)
		assert_ptr_equal(m->stream[i], i == 3 ? there[0] : i == MANY - 1 ? there[1] : NULL);
	assert_rc(sctx_open_many(m->registry, &m->id[3], 1, SCTX_OPEN_EXISTING, &there[1]), 0);
	assert_ptr_equal(there[1], there[0]);
	assert_rc(sctx_close(there[0]), 0);
	assert_rc(sctx_close(there[1]), 0);
	assert_rc(sctx_close(m->stream[MANY - 1]), 0);
	close_all(m);
}

/* The first failure is what is returned; what can be opened is. */
static void the_first_error_is_returned(void **state)
{
	struct sctx_stream *full;
	struct many *m = *state;

	assert_rc(sctx_open(m->registry, &m->id[40], 0, &full), 0);
	*opens_of(full) = OPENS_MOST;
	assert_rc(sctx_open_many(m->registry, m->id, MANY, 0, m->stream), -EOVERFLOW);
	for (unsigned int i = 0; i < MANY; i++)
		assert_true(i == 40 ? !m->stream[i] : !!m->stream[i]);
	m->stream[40] = full;
	assert_true(*opens_of(full) == OPENS_MOST);
	*opens_of(full) = 1;
	close_all(m);
	assert_rc(sctx_open(m->registry, &m->id[40], 0, &full), 0);
	*opens_of(full) = OPENS_MOST;
	assert_rc(sctx_open_many(m->registry, m->id, MANY, SCTX_OPEN_EXISTING, m->stream), -ENOENT);
	*opens_of(full) = 1;
	assert_rc(sctx_close(full), 0);
}

/* With limbo at its limit new streams are refused, and present ones are opened. */
static void at_the_limbo_limit(void **state)
{
	struct many *m = *state;
	struct sctx_stream *there;
	struct reader *reader;
	struct item *item = NULL;

	assert_rc(sctx_open(m->registry, &m->id[1], 0, &there), 0);
	set_limits(0, 1, 0);
	reader = reader_park(NULL, NULL, NULL);
	item = item_new(OWNER(1), NULL);
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_open_many(m->registry, m->id, 3, SCTX_OPEN_NOWAIT, m->stream), -EAGAIN);
	assert_null(m->stream[0]);
	assert_ptr_equal(m->stream[1], there);
	assert_null(m->stream[2]);
	/* In a section nothing waits. */
	sctx_read_lock();
	assert_rc(sctx_open_many(m->registry, m->id, 3, 0, m->stream), -EAGAIN);
	sctx_read_unlock();
	assert_ptr_equal(m->stream[1], there);
	reader_leave(reader);
	set_limits(0, 0, 0);
	assert_rc(sctx_barrier(), 0);
	item_free(item);
	for (unsigned int i = 0; i < 3; i++)
		assert_rc(sctx_close(there), 0);
}

static void arguments_are_checked(void **state)
{
	struct many *m = *state;

	assert_rc(sctx_open_many(NULL, m->id, 2, 0, m->stream), -EINVAL);
	assert_null(m->stream[0]);
	assert_null(m->stream[1]);
	assert_ptr_equal(m->stream[2], (void *)1);
	assert_rc(sctx_open_many(m->registry, NULL, 3, 0, m->stream), -EINVAL);
	assert_null(m->stream[2]);
	assert_rc(sctx_open_many(m->registry, m->id, 4, 0x80, m->stream), -EINVAL);
	assert_null(m->stream[3]);
	assert_rc(sctx_open_many(m->registry, m->id, 1, 0, NULL), -EINVAL);
	assert_rc(sctx_open_many(m->registry, NULL, 0, 0, NULL), 0);
	assert_rc(sctx_open_many(m->registry, NULL, 0, 0x80, NULL), -EINVAL);
}

/* Few ids, so that opens meet last closes, and last closes opens. */
static void racer(unsigned int index, void *arg)
{
	struct many *m = arg;
	uint64_t seed = index + 1;

	for (uint64_t end = test_deadline(300); !past(end);) {
		struct sctx_stream *stream[20];
		struct sctx_id id[20];

		for (unsigned int i = 0; i < 20; i++)
			id[i] = id_of(test_random(&seed) % 8);
		CHECK_EQ(sctx_open_many(m->registry, id, 20, 0, stream), 0);
		for (unsigned int i = 0; i < 20; i++) {
			CHECK(memcmp(sctx_stream_id(stream[i]), &id[i], sizeof(id[i])) == 0);
			CHECK_EQ(sctx_close(stream[i]), 0);
		}
	}
}

static void opens_race_with_last_closes(void **state)
{
	run_threads(4, racer, *state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(open_many_of_existing_and_missing_ids),
		TEST(an_id_may_occur_twice),
		TEST(open_many_opens_existing_streams_beside_missing_ones),
		TEST(the_first_error_is_returned),
		TEST(at_the_limbo_limit),
		TEST(arguments_are_checked),
		TEST(opens_race_with_last_closes),
	};

	return TEST_RUN(tests);
}
