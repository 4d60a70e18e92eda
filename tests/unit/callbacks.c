/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * FreeCallbacks: the thread that they run on, what they may do, and how many
 * run at a time.
 */
#include "test.h"

#include <signal.h>

/* ---------------------------------------------------------------- callbacks */

static pthread_t main_thread;

static void look_around(struct item *item)
{
	sigset_t blocked;

	(void)item;
	CHECK(!pthread_equal(pthread_self(), main_thread));
	/* The daemon's signals are for the daemon's threads. */
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	CHECK(sigismember(&blocked, SIGTERM) == 1);
	CHECK(sigismember(&blocked, SIGHUP) == 1);
	CHECK(sigismember(&blocked, SIGUSR1) == 1);
	CHECK(sigismember(&blocked, SIGCHLD) == 1);
	/* A section of its own may be had. */
	sctx_read_lock();
	CHECK_EQ(sctx_barrier(), -EDEADLK);
	sctx_read_unlock();
	CHECK_EQ(sctx_barrier(), -EDEADLK);
}

static void callbacks_run_on_the_reclaimers_thread(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	sigset_t blocked;

	(void)state;
	main_thread = pthread_self();
	a->hook = look_around;
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	/* Starting that thread left the signals of this one as they were. */
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
	assert_int_equal(sigismember(&blocked, SIGTERM), 0);
	assert_int_equal(sigismember(&blocked, SIGUSR1), 0);
}

static void callbacks_in_quantity(void **state)
{
	enum { N = 4000 };

	(void)state;
	main_thread = pthread_self();
	for (unsigned int round = 0; round < 3; round++) {
		struct item **items = put_items(N, look_around, NULL);

		assert_rc(sctx_barrier(), 0);
		called_once_each(items, N);
	}
}

static void block_in_the_middle(struct item *item)
{
	if (item->number == 1000)
		callback_takes_lock(item);
}

/* One of many blocks; the barrier waits for it, and it for nobody. */
static void a_callback_of_many_that_blocks(void **state)
{
	enum { N = 2000 };
	struct item **items;

	(void)state;
	gate_init(&callback_begun);
	pthread_mutex_lock(&callback_lock);
	items = put_items(N, block_in_the_middle, NULL);
	gate_wait(&callback_begun);
	assert_rc(sctx_synchronize(), 0);
	pthread_mutex_unlock(&callback_lock);
	assert_rc(sctx_barrier(), 0);
	called_once_each(items, N);
}

struct chain {
	struct sctx_registry *registry;
	struct sctx_stream stream, other;
	atomic_uint left;
};

static void chain_step(struct item *item)
{
	struct chain *c = item->arg;
	unsigned int left = atomic_fetch_sub(&c->left, 1);
	struct sctx_id id = id_of(left);
	struct sctx_stream *s;
	struct item *next;

	/* Insert elsewhere, remove a sibling, put, open, close, tear down. */
	CHECK_EQ(sctx_insert(&c->other, &item_churn(OWNER(2), INST(left % 8))->ctx), 0);
	CHECK_EQ(sctx_delete(&c->other, OWNER(2), INST(left % 8)), 0);
	CHECK_EQ(sctx_open(c->registry, &id, 0, &s), 0);
	CHECK_EQ(sctx_insert(s, &item_churn(OWNER(1), NULL)->ctx), 0);
	CHECK_EQ(sctx_close(s), 0);
	if (left == 1) {
		CHECK_EQ(sctx_teardown(&c->stream), 0);
		item_free(item);
		return;
	}
	/* And retire the next, whose callback goes on. */
	next = item_new(OWNER(1), NULL);
	next->hook = chain_step;
	next->arg = c;
	CHECK_EQ(sctx_insert(&c->stream, &next->ctx), 0);
	CHECK_EQ(sctx_delete(&c->stream, OWNER(1), NULL), 0);
	item_free(item);
}

static void callbacks_may_retire_more(void **state)
{
	struct chain c = { .left = 12 };
	struct item *first = item_new(OWNER(1), NULL);
	struct item *stays;

	(void)state;
	items_reset();
	assert_rc(sctx_registry_create(&c.registry), 0);
	sctx_stream_init(&c.stream);
	sctx_stream_init(&c.other);
	stays = item_insert(&c.stream, OWNER(3), NULL);
	first->hook = chain_step;
	first->arg = &c;
	assert_rc(sctx_put(&first->ctx), 0);
	WAIT_FOR(atomic_load(&c.left) == 0);
	assert_rc(sctx_barrier(), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(stays), 1);
	assert_u64(items_created(), ==, 24);
	assert_u64(items_freed(), ==, 24);
	assert_rc(sctx_teardown_sync(&c.other), 0);
	assert_rc(sctx_registry_destroy(c.registry), 0);
	assert_rc(sctx_barrier(), 0);
	item_free(stays);
}

/* A callback that blocks holds up other callbacks, not grace periods. */
static void synchronize_does_not_wait_for_callbacks(void **state)
{
	struct item **items;

	(void)state;
	gate_init(&callback_begun);
	pthread_mutex_lock(&callback_lock);
	items = put_items(1, callback_takes_lock, NULL);
	gate_wait(&callback_begun);
	assert_rc(sctx_synchronize(), 0);
	pthread_mutex_unlock(&callback_lock);
	assert_rc(sctx_barrier(), 0);
	called_once_each(items, 1);
}

/* A callback comes only when every reader that could have it has left. */
static void a_callback_waits_for_each_reader(void **state)
{
	struct reader *readers[3];
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	for (unsigned int i = 0; i < 3; i++) {
		readers[i] = reader_park(&s, OWNER(1), NULL);
		assert_ptr_equal(readers[i]->borrowed, &a->ctx);
	}
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);
	assert_rc(sctx_put(&a->ctx), 0);
	for (unsigned int i = 0; i < 3; i++) {
		nap_ms(40);
		assert_int_equal(item_called(a), 0);
		reader_leave(readers[i]);
	}
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	assert_rc(sctx_teardown_sync(&s), 0);
	item_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callbacks_run_on_the_reclaimers_thread),
		cmocka_unit_test(callbacks_in_quantity),
		cmocka_unit_test(a_callback_of_many_that_blocks),
		cmocka_unit_test(callbacks_may_retire_more),
		cmocka_unit_test(synchronize_does_not_wait_for_callbacks),
		cmocka_unit_test(a_callback_waits_for_each_reader),
	};

	return TEST_RUN(tests);
}
