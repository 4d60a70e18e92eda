/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Orderings that the library promises, each by itself: threads that share
 * nothing else but relaxed flags, so that ThreadSanitizer (make tsan)
 * reports a race where the library's own acquire or release is missing.
 * Without it little can fail here.
 */
#include "test.h"

/* How far the threads are.  Relaxed: it orders nothing. */
static atomic_int stage;

static void say(int n)
{
	atomic_store_explicit(&stage, n, memory_order_relaxed);
}

static void await(int n)
{
	while (atomic_load_explicit(&stage, memory_order_relaxed) != n) {
		sctx_thread_offline();
		sched_yield();
	}
}

static struct sctx_registry *registry;
static const struct sctx_id name = { 1, { 2, 3 }, 4 };
static struct item *shared;
static int plain;

/* ------------------------------------------------- a put ends the putter's use */

static void *use_and_put(void *arg)
{
	(void)arg;
	item_check(shared);
	CHECK_EQ(sctx_put(&shared->ctx), 0);
	say(1);
	return NULL;
}

static void a_put_ends_the_use(void **state)
{
	pthread_t user;

	(void)state;
	items_reset();
	say(0);
	shared = item_churn(OWNER(1), NULL);
	assert_ptr_equal(sctx_ref(&shared->ctx), &shared->ctx);
	user = thread_start(use_and_put, NULL);
	await(1);
	assert_rc(sctx_put(&shared->ctx), 0);
	WAIT_FOR(items_freed() == 1);
	thread_join(user);
}

/* The reference was taken when limbo had the only one. */
static void *use_late_and_put(void *stream)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(stream, OWNER(1), NULL);
	CHECK(ctx);
	say(1);
	while (atomic_load_explicit(&stage, memory_order_relaxed) != 2)
		sched_yield();
	CHECK(sctx_ref(ctx) == ctx);
	sctx_read_unlock();
	item_check(item_of(ctx));
	CHECK_EQ(sctx_put(ctx), 0);
	say(3);
	await(4);
	return NULL;
}

static void a_late_put_ends_the_use(void **state)
{
	struct sctx_stream stream;
	pthread_t user;

	(void)state;
	items_reset();
	say(0);
	sctx_stream_init(&stream);
	assert_rc(sctx_insert(&stream, &item_churn(OWNER(1), NULL)->ctx), 0);
	user = thread_start(use_late_and_put, &stream);
	await(1);
	assert_rc(sctx_delete(&stream, OWNER(1), NULL), 0);
	say(2);
	await(3);
	WAIT_FOR(items_freed() == 1);
	say(4);
	thread_join(user);
}

/* --------------------------------------------------------- opens and closes */

/* What hangs on an open stream stays, where only closes drop contexts. */
static void *use_and_close(void *arg)
{
	struct sctx_stream *stream = arg;
	struct item *item;

	sctx_read_lock();
	item = item_of(sctx_lookup(stream, OWNER(1), NULL));
	sctx_read_unlock();
	item_check(item);
	CHECK_EQ(sctx_close(stream), 0);
	say(1);
	await(2);
	return NULL;
}

static void a_close_ends_the_use(void **state)
{
	struct sctx_stream *stream;
	pthread_t user;

	(void)state;
	items_reset();
	say(0);
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	assert_rc(sctx_insert(stream, &item_churn(OWNER(1), NULL)->ctx), 0);
	user = thread_start(use_and_close, stream);
	await(1);
	assert_rc(sctx_close(stream), 0);
	WAIT_FOR(items_freed() == 1);
	say(2);
	thread_join(user);
	assert_rc(sctx_registry_destroy(registry), 0);
}

/* By one who has no open reference, and so gives none back. */
static void *insert_where_it_was_found(void *arg)
{
	struct item *item = item_churn(OWNER(1), NULL);

	(void)arg;
	sctx_read_lock();
	CHECK_EQ(sctx_insert(sctx_find(registry, &name), &item->ctx), 0);
	sctx_read_unlock();
	say(1);
	await(2);
	return NULL;
}

static void a_last_close_sees_what_was_inserted(void **state)
{
	struct sctx_stream *stream;
	pthread_t user;

	(void)state;
	items_reset();
	say(0);
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	user = thread_start(insert_where_it_was_found, NULL);
	await(1);
	assert_rc(sctx_close(stream), 0);
	WAIT_FOR(items_freed() == 1);
	say(2);
	thread_join(user);
	assert_rc(sctx_registry_destroy(registry), 0);
}

static void *write_under_an_open(void *arg)
{
	struct sctx_stream *stream;

	(void)arg;
	CHECK_EQ(sctx_open(registry, &name, 0, &stream), 0);
	plain = 1;
	CHECK_EQ(sctx_close(stream), 0);
	say(1);
	await(2);
	return NULL;
}

static void an_open_sees_what_earlier_ones_did(void **state)
{
	struct sctx_stream *stream;
	pthread_t writer;

	(void)state;
	say(0);
	plain = 0;
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	writer = thread_start(write_under_an_open, NULL);
	await(1);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	assert_int_equal(plain, 1);
	say(2);
	thread_join(writer);
	assert_rc(sctx_close(stream), 0);
	assert_rc(sctx_close(stream), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

/* Of a stream that was made while the section lasted. */
static void *find_what_is_opened_meanwhile(void *arg)
{
	struct sctx_stream *stream;

	(void)arg;
	sctx_read_lock();
	say(1);
	while (atomic_load_explicit(&stage, memory_order_relaxed) != 2)
		sched_yield();
	stream = sctx_find(registry, &name);
	CHECK(memcmp(sctx_stream_id(stream), &name, sizeof(name)) == 0);
	CHECK(sctx_stream_supports_contexts(stream));
	sctx_read_unlock();
	say(3);
	return NULL;
}

static void a_find_sees_the_whole_stream(void **state)
{
	struct sctx_stream *stream;
	pthread_t finder;

	(void)state;
	say(0);
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_thread_attach(), 0);
	finder = thread_start(find_what_is_opened_meanwhile, NULL);
	await(1);
	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	say(2);
	await(3);
	assert_rc(sctx_close(stream), 0);
	thread_join(finder);
	assert_rc(sctx_registry_destroy(registry), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_put_ends_the_use),
		cmocka_unit_test(a_late_put_ends_the_use),
		cmocka_unit_test(a_close_ends_the_use),
		cmocka_unit_test(a_last_close_sees_what_was_inserted),
		cmocka_unit_test(an_open_sees_what_earlier_ones_did),
		cmocka_unit_test(a_find_sees_the_whole_stream),
	};

	return TEST_RUN(tests);
}
