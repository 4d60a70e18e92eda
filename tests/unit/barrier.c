/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sctx_barrier() and sctx_synchronize(): what they wait for, what they do not,
 * and where waiting is refused.
 */
#include "test.h"

/* ------------------------------------------------------- barrier, synchronize */

static void barrier_waits_for_callbacks(void **state)
{
	struct item **items;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	items = put_items(20, NULL, NULL);
	assert_rc(sctx_barrier(), 0);
	called_once_each(items, 20);
}

static void sleep_then_count(struct item *item)
{
	nap_ms(100);
	atomic_fetch_add((atomic_uint *)item->arg, 1);
}

static void barrier_waits_until_a_slow_callback_has_returned(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	atomic_uint finished = 0;

	(void)state;
	a->hook = sleep_then_count;
	a->arg = &finished;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&finished), 1);
	item_free(a);
}

/* What other threads retired, few things that fill no batch, while they idle. */
struct idler {
	struct item *items[7];
	struct gate retired, leave;
};

static void *idler_main(void *arg)
{
	struct idler *idler = arg;

	for (unsigned int i = 0; i < ARRAY_SIZE(idler->items); i++)
		CHECK_EQ(sctx_put(&idler->items[i]->ctx), 0);
	gate_open(&idler->retired);
	gate_wait(&idler->leave);
	return NULL;
}

static pthread_t idler_start(struct idler *idler)
{
	pthread_t thread;

	gate_init(&idler->retired);
	gate_init(&idler->leave);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler->items); i++)
		idler->items[i] = item_new(OWNER(1), NULL);
	thread = thread_start(idler_main, idler);
	gate_wait(&idler->retired);
	return thread;
}

static void barrier_covers_what_other_threads_retired(void **state)
{
	struct idler idler;
	pthread_t thread = idler_start(&idler);

	(void)state;
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++) {
		assert_int_equal(item_called(idler.items[i]), 1);
		item_free(idler.items[i]);
	}
	gate_open(&idler.leave);
	thread_join(thread);
}

/*
 * What is retired while a grace period is waited for is collected by the cycle
 * after it, and called back by the one after that.
 */
static void *barrier_main(void *arg)
{
	struct item *item = arg;

	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(item_called(item), 1);
	return NULL;
}

static void barrier_covers_what_came_during_a_grace_period(void **state)
{
	struct item *before = item_new(OWNER(1), NULL), *during = item_new(OWNER(1), NULL);
	struct reader *reader;
	pthread_t waiter;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	reader = reader_park(NULL, NULL, NULL);
	assert_rc(sctx_put(&before->ctx), 0);
	nap_ms(50);
	assert_rc(sctx_put(&during->ctx), 0);
	waiter = thread_start(barrier_main, during);
	nap_ms(50);
	reader_leave(reader);
	thread_join(waiter);
	assert_rc(sctx_barrier(), 0);
	item_free(before);
	item_free(during);
}

/* Nobody asks: the callbacks come all the same. */
static void callbacks_come_without_a_barrier(void **state)
{
	struct idler idler;
	pthread_t thread = idler_start(&idler);
	struct item *own = item_new(OWNER(1), NULL);

	(void)state;
	assert_rc(sctx_put(&own->ctx), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++)
		WAIT_FOR(item_called(idler.items[i]) == 1);
	WAIT_FOR(item_called(own) == 1);
	gate_open(&idler.leave);
	thread_join(thread);
	assert_rc(sctx_barrier(), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(idler.items); i++)
		item_free(idler.items[i]);
	item_free(own);
}

static void barrier_thread(unsigned int index, void *arg)
{
	(void)index;
	(void)arg;
	for (unsigned int i = 0; i < 5; i++) {
		struct item *a = item_new(OWNER(1), NULL);

		CHECK_EQ(sctx_put(&a->ctx), 0);
		CHECK_EQ(sctx_barrier(), 0);
		CHECK_EQ(item_called(a), 1);
		item_free(a);
	}
}

static void barriers_of_several_threads(void **state)
{
	(void)state;
	run_threads(4, barrier_thread, NULL);
}

/* Readers come and go, so that some are always inside: no grace period starves. */
static void overlap_thread(unsigned int index, void *arg)
{
	atomic_bool *stop = arg;

	if (index == 0) {
		for (unsigned int i = 0; i < 5; i++) {
			CHECK_EQ(sctx_barrier(), 0);
			CHECK_EQ(sctx_synchronize(), 0);
		}
		atomic_store(stop, true);
		return;
	}
	while (!atomic_load(stop)) {
		sctx_read_lock();
		sched_yield();
		sctx_read_unlock();
	}
}

static void overlapping_readers_starve_nobody(void **state)
{
	atomic_bool stop = false;

	(void)state;
	run_threads(4, overlap_thread, &stop);
}

struct sync_call {
	int (*fn)(void);
	struct gate started;
	atomic_bool done;
};

static void *sync_main(void *arg)
{
	struct sync_call *call = arg;

	gate_open(&call->started);
	CHECK_EQ(call->fn(), 0);
	atomic_store(&call->done, true);
	return NULL;
}

static void synchronize_waits_for_readers(void **state)
{
	struct sync_call call = { .fn = sctx_synchronize };
	struct reader *reader;
	pthread_t thread;

	(void)state;
	gate_init(&call.started);
	reader = reader_park(NULL, NULL, NULL);
	thread = thread_start(sync_main, &call);
	gate_wait(&call.started);
	nap_ms(100);
	assert_false(atomic_load(&call.done));
	reader_leave(reader);
	thread_join(thread);
	assert_true(atomic_load(&call.done));
	assert_rc(sctx_synchronize(), 0);
}

static void barrier_waits_for_readers(void **state)
{
	struct sync_call call = { .fn = sctx_barrier };
	struct item *a = item_new(OWNER(1), NULL);
	struct reader *reader;
	pthread_t thread;

	(void)state;
	gate_init(&call.started);
	reader = reader_park(NULL, NULL, NULL);
	assert_rc(sctx_put(&a->ctx), 0);
	thread = thread_start(sync_main, &call);
	gate_wait(&call.started);
	nap_ms(100);
	assert_false(atomic_load(&call.done));
	assert_int_equal(item_called(a), 0);
	reader_leave(reader);
	thread_join(thread);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* thread_offline() inside a section does not end it. */
static void *offline_main(void *arg)
{
	struct reader *r = arg;

	sctx_read_lock();
	r->borrowed = sctx_lookup(r->stream, OWNER(1), NULL);
	CHECK(r->borrowed);
	sctx_thread_offline();
	sctx_read_lock();
	sctx_read_unlock();
	sctx_thread_offline();
	gate_open(&r->entered);
	gate_wait(&r->leave);
	item_check(item_of(r->borrowed));
	CHECK_EQ(item_called(item_of(r->borrowed)), 0);
	sctx_read_unlock();
	sctx_thread_offline();
	sctx_thread_offline();
	/* It comes back by itself. */
	sctx_read_lock();
	CHECK(sctx_lookup(r->stream, OWNER(1), NULL) == NULL);
	sctx_read_unlock();
	return NULL;
}

static void offline_in_a_section_does_not_end_it(void **state)
{
	struct reader reader = { .borrowed = NULL };
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	reader.stream = &s;
	gate_init(&reader.entered);
	gate_init(&reader.leave);
	reader.thread = thread_start(offline_main, &reader);
	gate_wait(&reader.entered);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	nap_ms(100);
	assert_int_equal(item_called(a), 0);
	gate_open(&reader.leave);
	thread_join(reader.thread);
	stream_end(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

/* ------------------------------------------------------- where waiting is not */

static void all_that_waits(struct sctx_stream *s)
{
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	CHECK_EQ(sctx_synchronize(), -EDEADLK);
	CHECK_EQ(sctx_teardown_sync(s), -EDEADLK);
	CHECK_EQ(sctx_thread_detach(), -EDEADLK);
	CHECK(sctx_stream_supports_contexts(s));
	/* What does not wait may be called. */
	CHECK_EQ(sctx_thread_attach(), 0);
	sctx_thread_offline();
	set_limits(0, 0, 0);
	(void)stats_now();
}

static void wait_in_callback(struct item *item)
{
	all_that_waits(item->arg);
}

static void waiting_in_a_section_or_callback_is_refused(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	sctx_read_lock();
	all_that_waits(&s);
	sctx_read_lock();
	all_that_waits(&s);
	sctx_read_unlock();
	all_that_waits(&s);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);

	a->hook = wait_in_callback;
	a->arg = &s;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_synchronize(), 0);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(barrier_waits_for_callbacks),
		cmocka_unit_test(barrier_waits_until_a_slow_callback_has_returned),
		cmocka_unit_test(barrier_covers_what_other_threads_retired),
		cmocka_unit_test(barrier_covers_what_came_during_a_grace_period),
		cmocka_unit_test(callbacks_come_without_a_barrier),
		cmocka_unit_test(barriers_of_several_threads),
		cmocka_unit_test(overlapping_readers_starve_nobody),
		cmocka_unit_test(synchronize_waits_for_readers),
		cmocka_unit_test(barrier_waits_for_readers),
		cmocka_unit_test(offline_in_a_section_does_not_end_it),
		cmocka_unit_test(waiting_in_a_section_or_callback_is_refused),
	};

	return TEST_RUN(tests);
}
