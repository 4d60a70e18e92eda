/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md about teardown and callbacks that
 * need no race.  teardown_races.c has the races.
 */
#include "test.h"

static struct sctx_context *called_with[64];
static atomic_uint called_number;

static void note_call(struct sctx_context *ctx)
{
	unsigned int i = atomic_fetch_add(&called_number, 1);

	CHECK(i < ARRAY_SIZE(called_with));
	called_with[i] = ctx;
}

static void case_12_teardown_calls_back_each_once_with_the_right_pointer(void **state)
{
	struct sctx_context ctx[40];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	atomic_store(&called_number, 0);
	for (size_t i = 0; i < ARRAY_SIZE(ctx); i++) {
		sctx_context_init(&ctx[i], OWNER(i % 4), i % 3 ? INST(1) : NULL, note_call);
		assert_rc(sctx_insert(&s, &ctx[i]), 0);
	}
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&called_number), ARRAY_SIZE(ctx));
	for (size_t i = 0; i < ARRAY_SIZE(ctx); i++) {
		unsigned int n = 0;

		for (size_t j = 0; j < ARRAY_SIZE(ctx); j++)
			n += called_with[j] == &ctx[i];
		assert_int_equal(n, 1);
	}

	/* Twice is no error, and calls nobody back a second time. */
	assert_rc(sctx_teardown(&s), 0);
	stream_end(&s);
	assert_int_equal(atomic_load(&called_number), ARRAY_SIZE(ctx));
}

static void find_self(struct item *item)
{
	const struct sctx_stream *s = item->arg;
	const void *owner = item->ctx.owner, *instance = item->ctx.instance;
	struct sctx_context *found;

	sctx_read_lock();
	CHECK(sctx_lookup(s, owner, instance) == NULL);
	CHECK(sctx_lookup(s, owner, NULL) == NULL);
	CHECK(sctx_lookup(s, NULL, NULL) != &item->ctx);
	sctx_read_unlock();
	CHECK(sctx_get(s, owner, instance) == NULL);
	found = sctx_get(s, NULL, NULL);
	CHECK(found != &item->ctx);
	if (found)
		CHECK_EQ(sctx_put(found), 0);
	CHECK(sctx_remove((struct sctx_stream *)(uintptr_t)s, owner, instance) == NULL);
}

static void case_13_in_its_callback_a_context_cannot_be_found(void **state)
{
	struct item *items[6];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item_insert(&s, OWNER(i), INST(i));
		items[i]->hook = find_self;
		items[i]->arg = &s;
	}
	assert_rc(sctx_delete(&s, OWNER(3), INST(3)), 0);
	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s, OWNER(5), NULL), &items[5]->ctx);
	assert_rc(sctx_detach(&items[5]->ctx), 0);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(items[3]), 1);
	assert_int_equal(item_called(items[5]), 1);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_barrier(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		assert_int_equal(item_called(items[i]), 1);
		item_free(items[i]);
	}
	stream_end(&s);
}

static pthread_mutex_t owner_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gate in_callback;

static void block_on_owner_lock(struct item *item)
{
	(void)item;
	gate_open(&in_callback);
	pthread_mutex_lock(&owner_lock);
	pthread_mutex_unlock(&owner_lock);
}

static void case_14_a_callback_may_block_on_a_lock_held_inside_remove(void **state)
{
	struct sctx_stream s, other;
	struct item *a, *b, *c, *d;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);
	a->hook = block_on_owner_lock;
	b = item_insert(&s, OWNER(2), NULL);
	c = item_insert(&other, OWNER(3), NULL);
	d = item_new(OWNER(4), NULL);
	gate_init(&in_callback);

	/* The callback of a deleted context waits for the lock that we hold ... */
	pthread_mutex_lock(&owner_lock);
	assert_rc(sctx_delete(&s, OWNER(1), NULL), 0);
	gate_wait(&in_callback);

	/* ... while every list can be used, the one it came from first of all. */
	assert_ptr_equal(sctx_remove(&s, OWNER(2), NULL), &b->ctx);
	assert_rc(sctx_insert(&s, &d->ctx), 0);
	assert_ptr_equal(peek(&s, NULL, NULL), &d->ctx);
	assert_ptr_equal(sctx_remove(&other, OWNER(3), NULL), &c->ctx);
	assert_rc(sctx_teardown(&s), 0);
	assert_int_equal(item_called(d), 0);
	pthread_mutex_unlock(&owner_lock);

	stream_end(&s);
	stream_end(&other);
	assert_int_equal(item_called(a), 1);
	assert_int_equal(item_called(b) + item_called(c), 0);
	assert_int_equal(item_called(d), 1);
	item_free(a);
	item_free(b);
	item_free(c);
	item_free(d);
}

static void sleep_then_count(struct item *item)
{
	nap_ms(20);
	atomic_fetch_add((atomic_uint *)item->arg, 1);
}

static void case_15_teardown_sync_returns_only_after_all_callbacks(void **state)
{
	struct item *items[5];
	struct sctx_stream *s = malloc(sizeof(*s));
	atomic_uint finished = 0;

	(void)state;
	assert_non_null(s);
	sctx_stream_init(s);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item_insert(s, OWNER(1), INST(i));
		items[i]->hook = sleep_then_count;
		items[i]->arg = &finished;
	}
	assert_rc(sctx_teardown_sync(s), 0);
	assert_int_equal(atomic_load(&finished), ARRAY_SIZE(items));
	memset(s, 0xdd, sizeof(*s));
	free(s);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		item_free(items[i]);
}

struct sync_call {
	struct sctx_stream *stream;
	atomic_bool done;
};

static void *teardown_sync_main(void *arg)
{
	struct sync_call *call = arg;

	CHECK_EQ(sctx_teardown_sync(call->stream), 0);
	atomic_store(&call->done, true);
	return NULL;
}

static void case_15_teardown_sync_waits_for_readers_of_an_empty_stream(void **state)
{
	struct sctx_stream s;
	struct sync_call call = { .stream = &s };
	struct reader *reader;
	pthread_t thread;

	(void)state;
	sctx_stream_init(&s);
	reader = reader_park(&s, NULL, NULL);
	thread = thread_start(teardown_sync_main, &call);
	nap_ms(100);
	assert_false(atomic_load(&call.done));
	reader_leave(reader);
	thread_join(thread);
	assert_true(atomic_load(&call.done));
}

static struct gate slow_entered, slow_leave;

static void block_at_gate(struct item *item)
{
	(void)item;
	gate_open(&slow_entered);
	gate_wait(&slow_leave);
}

static void case_15_teardown_sync_waits_for_no_others(void **state)
{
	struct sctx_stream s, other;
	struct item *a, *slow;

	(void)state;
	gate_init(&slow_entered);
	gate_init(&slow_leave);
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);
	slow = item_insert(&other, OWNER(2), NULL);
	slow->hook = block_at_gate;
	assert_rc(sctx_teardown(&other), 0);
	gate_wait(&slow_entered);
	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 1);
	gate_open(&slow_leave);
	stream_end(&other);
	item_free(a);
	item_free(slow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_12_teardown_calls_back_each_once_with_the_right_pointer),
		cmocka_unit_test(case_13_in_its_callback_a_context_cannot_be_found),
		cmocka_unit_test(case_14_a_callback_may_block_on_a_lock_held_inside_remove),
		cmocka_unit_test(case_15_teardown_sync_returns_only_after_all_callbacks),
		cmocka_unit_test(case_15_teardown_sync_waits_for_readers_of_an_empty_stream),
		cmocka_unit_test(case_15_teardown_sync_waits_for_no_others),
	};

	return TEST_RUN(tests);
}
