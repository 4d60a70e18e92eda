/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * sctx_teardown_sync(): it calls back its stream's contexts by itself and waits
 * for nobody else's callbacks; barriers, owners that leave and other teardowns
 * know of it all the same.  Forks are in teardown_fork.c.
 */
#include "module.h"

/* ---------------------------------------------------------- blocking callbacks */

static struct gate entered, leave;

static void block(struct item *item)
{
	(void)item;
	gate_open(&entered);
	gate_wait(&leave);
}

static int setup(void **state)
{
	(void)state;
	gate_init(&entered);
	gate_init(&leave);
	return 0;
}

/* A call on a thread of its own. */
struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
	atomic_bool done;
	pthread_t thread;
};

static void *call_main(void *arg)
{
	struct call *call = arg;

	call->result = call->fn(call->arg);
	atomic_store(&call->done, true);
	return NULL;
}

static void call_start(struct call *call, int (*fn)(void *arg), void *arg)
{
	*call = (struct call){ .fn = fn, .arg = arg };
	call->thread = thread_start(call_main, call);
}

static int call_wait(struct call *call)
{
	thread_join(call->thread);
	return call->result;
}

static void check_waits(struct call *call)
{
	nap_ms(50);
	assert_false(atomic_load(&call->done));
}

static int teardown_sync(void *stream)
{
	return sctx_teardown_sync(stream);
}

static int barrier(void *unused)
{
	(void)unused;
	return sctx_barrier();
}

static void others_callbacks_are_not_waited_for(void **state)
{
	struct sctx_stream s, other;
	struct item *a, *busy;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	busy = item_insert(&other, OWNER(1), NULL);
	busy->hook = block;
	assert_rc(sctx_delete(&other, OWNER(1), NULL), 0);
	gate_wait(&entered);

	/* Its thread is busy, and will be until we say so. */
	for (int i = 0; i < 10; i++) {
		assert_rc(sctx_stream_init(&s), 0);
		a = item_insert(&s, OWNER(2), NULL);
		assert_rc(sctx_teardown_sync(&s), 0);
		assert_int_equal(item_called(a), 1);
		item_free(a);
	}
	gate_open(&leave);
	stream_end(&other);
	assert_int_equal(item_called(busy), 1);
	item_free(busy);
}

/* A teardown whose callback blocks. */
struct blocked {
	struct sctx_stream stream;
	struct item *item;
	struct call teardown;
};

static void blocked_start(struct blocked *b)
{
	sctx_stream_init(&b->stream);
	b->item = item_insert(&b->stream, OWNER(1), NULL);
	b->item->hook = block;
	call_start(&b->teardown, teardown_sync, &b->stream);
	gate_wait(&entered);
}

static void blocked_end(struct blocked *b)
{
	assert_rc(call_wait(&b->teardown), 0);
	assert_int_equal(item_called(b->item), 1);
	item_free(b->item);
}

static void a_barrier_waits_for_it(void **state)
{
	struct blocked b;
	struct call wait;

	(void)state;
	blocked_start(&b);
	call_start(&wait, barrier, NULL);
	check_waits(&wait);
	gate_open(&leave);
	assert_rc(call_wait(&wait), 0);
	blocked_end(&b);
}

static void a_second_one_of_the_stream_waits_for_it(void **state)
{
	struct blocked b;
	struct call wait;

	(void)state;
	blocked_start(&b);
	call_start(&wait, teardown_sync, &b.stream);
	check_waits(&wait);
	gate_open(&leave);
	assert_rc(call_wait(&wait), 0);
	blocked_end(&b);
}

/* sctx_teardown_sync() waits for the callbacks of an earlier sctx_teardown(). */
static void callbacks_of_an_earlier_teardown_are_waited_for(void **state)
{
	struct sctx_stream s;
	struct call wait;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = block;
	assert_rc(sctx_teardown(&s), 0);
	call_start(&wait, teardown_sync, &s);
	gate_wait(&entered);
	check_waits(&wait);
	gate_open(&leave);
	assert_rc(call_wait(&wait), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static struct gate later_entered, later_leave;

static void block_later(struct item *item)
{
	(void)item;
	gate_open(&later_entered);
	gate_wait(&later_leave);
}

/* A barrier waits for a teardown that came before it, and not for one that came after. */
static void a_barrier_waits_for_no_later_ones(void **state)
{
	struct sctx_stream s;
	struct blocked b;
	struct call wait, later;
	struct item *a;

	(void)state;
	gate_init(&later_entered);
	gate_init(&later_leave);
	blocked_start(&b);
	call_start(&wait, barrier, NULL);
	check_waits(&wait);
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = block_later;
	call_start(&later, teardown_sync, &s);
	gate_wait(&later_entered);
	gate_open(&leave);
	assert_rc(call_wait(&wait), 0);
	blocked_end(&b);
	assert_false(atomic_load(&later.done));
	gate_open(&later_leave);
	assert_rc(call_wait(&later), 0);
	item_free(a);
}

static struct sctx_owner *leaving;

static void owned_free(struct sctx_context *ctx)
{
	(void)ctx;
	gate_open(&entered);
	gate_wait(&leave);
}

static int unregister(void *leaks)
{
	return sctx_owner_unregister(leaving, leaks);
}

/* Its context is nobody's: no leak. */
static void an_owner_that_leaves_waits_for_it(void **state)
{
	struct sctx_owner_ops ops = { .size = sizeof(ops), .name = "leaving", .tag = 1 };
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	struct sctx_registry *registry;
	struct sctx_context *ctx;
	struct sctx_stream s;
	struct call teardown, wait;

	(void)state;
	ops.free = owned_free;
	sctx_stream_init(&s);
	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_owner_register(registry, &ops, &leaving), 0);
	assert_rc(sctx_context_alloc(leaving, NULL, 0, &ctx), 0);
	assert_rc(sctx_insert(&s, ctx), 0);
	call_start(&teardown, teardown_sync, &s);
	gate_wait(&entered);
	call_start(&wait, unregister, &leaks);
	check_waits(&wait);
	gate_open(&leave);
	assert_rc(call_wait(&wait), 0);
	assert_u64(leaks.held, ==, 0);
	assert_rc(call_wait(&teardown), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

/* In its callbacks nothing may wait, as in all others. */
static int waits_in_callback[3];

static void try_to_wait(struct item *item)
{
	(void)item;
	waits_in_callback[0] = sctx_barrier();
	waits_in_callback[1] = sctx_synchronize();
	waits_in_callback[2] = sctx_teardown_sync(item->arg);
}

static void its_callbacks_cannot_wait(void **state)
{
	struct sctx_stream s, other;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = try_to_wait;
	a->arg = &other;
	assert_rc(sctx_teardown_sync(&s), 0);
	for (int i = 0; i < 3; i++)
		assert_rc(waits_in_callback[i], -EDEADLK);
	assert_rc(sctx_teardown_sync(&other), 0);
	item_free(a);
}

/* Its count is part of limbo's while it waits. */
static void it_is_counted(void **state)
{
	uint64_t before = stats_now().callbacks_run;
	struct reader *reader;
	struct item *a[20];
	struct sctx_stream s;
	struct call teardown;

	(void)state;
	assert_rc(sctx_barrier(), 0);
	before = stats_now().callbacks_run;
	sctx_stream_init(&s);
	for (int i = 0; i < 20; i++)
		a[i] = item_insert(&s, OWNER(1), INST(i));
	reader = reader_park(NULL, NULL, NULL);
	call_start(&teardown, teardown_sync, &s);
	WAIT_FOR(stats_now().limbo_callbacks >= 20);
	assert_u64(stats_now().limbo_bytes, >=, 20 * sizeof(struct sctx_context));
	reader_leave(reader);
	assert_rc(call_wait(&teardown), 0);
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	assert_u64(stats_now().limbo_bytes, ==, 0);
	assert_u64(stats_now().callbacks_run, >=, before + 20);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(item_called(a[i]), 1);
		item_free(a[i]);
	}
}

/* ------------------------------------------------------------------ borrowers */

struct borrowers {
	struct sctx_stream *_Atomic stream;
	atomic_bool stop;
};

static struct sctx_stream *stream_new(void)
{
	struct sctx_stream *stream = malloc(sizeof(*stream));

	CHECK(stream);
	CHECK_EQ(sctx_stream_init(stream), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(sctx_insert(stream, &item_churn(OWNER(1), NULL)->ctx), 0);
	return stream;
}

/* Take a reference on a context that is about to go, and put it: some puts are the last. */
static void borrow(struct borrowers *b)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_get(atomic_load(&b->stream), OWNER(1), NULL);
	sctx_read_unlock();
	if (!ctx)
		return;
	item_check(item_of(ctx));
	CHECK_EQ(sctx_put(ctx), 0);
}

static void borrow_thread(unsigned int index, void *arg)
{
	struct borrowers *b = arg;

	if (index) {
		while (!atomic_load(&b->stop))
			borrow(b);
		return;
	}
	for (uint64_t end = test_deadline(400); !past(end);) {
		struct sctx_stream *old = atomic_exchange(&b->stream, stream_new());

		CHECK_EQ(sctx_teardown_sync(old), 0);
		memset(old, 0xdd, sizeof(*old));
		free(old);
	}
	atomic_store(&b->stop, true);
}

/* No reader is left in the stream either: its memory may go. */
static void borrowers_race(void **state)
{
	struct borrowers b = { .stop = false };

	(void)state;
	items_reset();
	b.stream = stream_new();
	run_threads(3, borrow_thread, &b);
	stream_end(b.stream);
	free(b.stream);
	assert_u64(items_freed(), ==, items_created());
}

/* -------------------------------------------------------------- pthread_exit */

static void exit_thread(struct item *item)
{
	(void)item;
	pthread_exit(NULL);
}

static void *teardown_main(void *stream)
{
	sctx_teardown_sync(stream);
	CHECK(!"reached");
	return NULL;
}

/* A callback that ends the thread ends its teardown; the others' callbacks run. */
static void a_callback_ends_the_thread(void **state)
{
	struct item *a[5];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (int i = 0; i < 5; i++)
		a[i] = item_insert(&s, OWNER(1), INST(i));
	a[2]->hook = exit_thread;
	thread_join(thread_start(teardown_main, &s));
	assert_rc(sctx_barrier(), 0);
	assert_u64(stats_now().limbo_callbacks, ==, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(item_called(a[i]), 1);
		item_free(a[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup(fn, setup)
		T(others_callbacks_are_not_waited_for),
		T(a_barrier_waits_for_it),
		T(a_second_one_of_the_stream_waits_for_it),
		T(callbacks_of_an_earlier_teardown_are_waited_for),
		T(a_barrier_waits_for_no_later_ones),
		T(an_owner_that_leaves_waits_for_it),
		T(its_callbacks_cannot_wait),
		T(it_is_counted),
		T(borrowers_race),
		T(a_callback_ends_the_thread),
	};

	return TEST_RUN(tests);
}
