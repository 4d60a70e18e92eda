/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance cases of include/SEMANTICS.md that need no race, each test named
 * after its case.  The races are in races.c, the known mistakes in mistakes.c.
 */
#include "test.h"

static void end_of(struct sctx_stream *stream)
{
	assert_rc(sctx_teardown_sync(stream), 0);
}

static void case_01_init_stores_the_three_fields(void **state)
{
	struct sctx_context ctx;

	(void)state;
	memset(&ctx, 0xa5, sizeof(ctx));
	assert_rc(sctx_context_init(&ctx, OWNER(1), INST(2), SCTX_NO_FREE), 0);
	assert_ptr_equal(ctx.owner, OWNER(1));
	assert_ptr_equal(ctx.instance, INST(2));
	assert_ptr_equal(ctx.free_callback, sctx_no_free);

	memset(&ctx, 0xa5, sizeof(ctx));
	assert_rc(sctx_context_init(&ctx, OWNER(3), NULL, SCTX_NO_FREE), 0);
	assert_ptr_equal(ctx.owner, OWNER(3));
	assert_null(ctx.instance);
}

static void case_02_set_up_is_supported_and_empty(void **state)
{
	struct sctx_stream s;

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	assert_rc(sctx_stream_init(&s), 0);
	assert_true(sctx_stream_supports_contexts(&s));
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	assert_null(sctx_remove(&s, NULL, NULL));
	end_of(&s);
}

static void case_03_null_stream(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)state;
	assert_false(sctx_stream_supports_contexts(NULL));
	assert_null(peek(NULL, NULL, NULL));
	assert_null(peek(NULL, OWNER(1), NULL));
	assert_null(sctx_get(NULL, OWNER(1), NULL));
	assert_null(sctx_remove(NULL, OWNER(1), NULL));
	assert_rc(sctx_insert(NULL, &a->ctx), -EINVAL);

	/* The refused context is still the caller's. */
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void case_04_disabled_stream(void **state)
{
	struct item *a = item_new(OWNER(1), NULL);
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_stream_disable(&s), 0);
	assert_false(sctx_stream_supports_contexts(&s));
	assert_rc(sctx_insert(&s, &a->ctx), -EOPNOTSUPP);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, NULL, NULL));
	end_of(&s);

	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static void case_05_lookup_on_an_empty_list(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	assert_null(sctx_get(&s, NULL, NULL));

	/* Empty again is empty too. */
	a = item_insert(&s, OWNER(1), INST(1));
	assert_ptr_equal(sctx_remove(&s, OWNER(1), INST(1)), &a->ctx);
	assert_null(peek(&s, NULL, NULL));
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(peek(&s, OWNER(1), INST(1)));
	end_of(&s);
	item_free(a);
}

static void case_06_null_null_is_the_newest(void **state)
{
	struct item *items[20];
	struct sctx_stream s;

	(void)state;
	sctx_stream_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i] = item_insert(&s, OWNER(i % 3), i % 2 ? INST(i) : NULL);
		assert_ptr_equal(peek(&s, NULL, NULL), &items[i]->ctx);
	}
	for (size_t i = ARRAY_SIZE(items); i-- > 0;) {
		assert_ptr_equal(peek(&s, NULL, NULL), &items[i]->ctx);
		assert_ptr_equal(sctx_remove(&s, NULL, NULL), &items[i]->ctx);
		item_free(items[i]);
	}
	assert_null(peek(&s, NULL, NULL));
	end_of(&s);
}

static void case_07_owner_null_skips_other_owners(void **state)
{
	struct sctx_stream s;
	struct item *a1, *a2, *b, *c;

	(void)state;
	sctx_stream_init(&s);
	a1 = item_insert(&s, OWNER(1), INST(1));
	a2 = item_insert(&s, OWNER(1), INST(2));
	b = item_insert(&s, OWNER(2), INST(2));
	c = item_insert(&s, OWNER(3), NULL);

	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a2->ctx);
	assert_ptr_equal(peek(&s, OWNER(2), NULL), &b->ctx);
	assert_ptr_equal(peek(&s, OWNER(3), NULL), &c->ctx);
	assert_null(peek(&s, OWNER(4), NULL));

	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a2->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &a1->ctx);
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a1->ctx);
	assert_null(peek(&s, OWNER(1), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &c->ctx);

	end_of(&s);
	assert_int_equal(item_called(a1) + item_called(a2), 0);
	assert_int_equal(item_called(b), 1);
	assert_int_equal(item_called(c), 1);
	item_free(a1);
	item_free(a2);
	item_free(b);
	item_free(c);
}

static void case_08_a_missing_instance_is_null_though_the_owner_is_there(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	b = item_insert(&s, OWNER(1), NULL);

	assert_null(peek(&s, OWNER(1), INST(2)));
	assert_null(sctx_get(&s, OWNER(1), INST(2)));
	assert_null(sctx_remove(&s, OWNER(1), INST(2)));
	assert_rc(sctx_delete(&s, OWNER(1), INST(2)), -ENOENT);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	assert_ptr_equal(peek(&s, OWNER(1), NULL), &b->ctx);

	end_of(&s);
	item_free(a);
	item_free(b);
}

static void case_09_null_owner_with_an_instance_is_null(void **state)
{
	struct sctx_stream s;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), INST(1));
	assert_null(peek(&s, NULL, INST(1)));
	assert_null(sctx_get(&s, NULL, INST(1)));
	assert_null(sctx_remove(&s, NULL, INST(1)));
	assert_rc(sctx_delete(&s, NULL, INST(1)), -ENOENT);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &a->ctx);
	end_of(&s);
	item_free(a);
}

static void case_10_remove_never_calls_back(void **state)
{
	struct item *items[10];
	struct sctx_stream s, other;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = item_insert(&s, OWNER(i), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_ptr_equal(sctx_remove(&s, OWNER(i), NULL), &items[i]->ctx);
	end_of(&s);
	assert_rc(sctx_barrier(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		assert_int_equal(item_called(items[i]), 0);

	/* The reference is the caller's: it may hang the context elsewhere. */
	assert_rc(sctx_insert(&other, &items[0]->ctx), 0);
	assert_ptr_equal(peek(&other, OWNER(0), NULL), &items[0]->ctx);
	end_of(&other);
	assert_int_equal(item_called(items[0]), 1);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		item_free(items[i]);
}

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
	end_of(&s);
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
	end_of(&s);
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

	end_of(&s);
	end_of(&other);
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

static void case_22_replace_with_no_out_parameter(void **state)
{
	struct sctx_stream s;
	struct item *old, *new, *last;

	(void)state;
	sctx_stream_init(&s);
	old = item_insert(&s, OWNER(1), INST(1));
	new = item_new(OWNER(1), INST(1));
	last = item_new(OWNER(1), INST(1));

	assert_rc(sctx_replace(&s, &new->ctx, NULL), 0);
	assert_ptr_equal(peek(&s, OWNER(1), INST(1)), &new->ctx);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(old), 1);
	assert_int_equal(item_called(new), 0);

	assert_rc(sctx_replace(&s, &last->ctx, NULL), 0);
	end_of(&s);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(old), 1);
	assert_int_equal(item_called(new), 1);
	assert_int_equal(item_called(last), 1);
	item_free(old);
	item_free(new);
	item_free(last);
}

static struct sctx_context *give(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	return arg;
}

static void case_23_the_same_context_on_two_streams(void **state)
{
	struct sctx_context *out = (void *)1;
	struct sctx_stream s, other;
	struct item *a;

	(void)state;
	sctx_stream_init(&s);
	sctx_stream_init(&other);
	a = item_insert(&s, OWNER(1), NULL);

	assert_rc(sctx_insert(&other, &a->ctx), -EBUSY);
	assert_rc(sctx_insert(&s, &a->ctx), -EBUSY);
	assert_rc(sctx_insert_unique(&other, &a->ctx, &out), -EBUSY);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&other, &a->ctx, &out), -EBUSY);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&other, OWNER(1), NULL, give, &a->ctx, &out), -EBUSY);
	assert_null(out);

	/* Still on the first, once, and not on the second. */
	assert_null(peek(&other, NULL, NULL));
	assert_ptr_equal(sctx_remove(&s, OWNER(1), NULL), &a->ctx);
	assert_null(peek(&s, NULL, NULL));
	/* Handed back, it may hang on the second. */
	assert_rc(sctx_insert(&other, &a->ctx), 0);
	end_of(&other);
	end_of(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
}

static struct sctx_context *create_nothing(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	(void)arg;
	return NULL;
}

static void case_24_what_fails_writes_null(void **state)
{
	struct sctx_id id = id_of(1);
	struct sctx_context *out = (void *)1;
	struct sctx_stream *stream = (void *)1;
	struct sctx_registry *registry;
	struct sctx_stream s;
	struct item *a = item_new(OWNER(1), NULL), *b;

	(void)state;
	sctx_stream_init(&s);
	assert_null(sctx_get(&s, OWNER(1), NULL));

	assert_rc(sctx_get_or_create(&s, OWNER(1), NULL, create_nothing, NULL, &out), -ENOMEM);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&s, NULL, NULL, item_create, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_get_or_create(NULL, OWNER(1), NULL, item_create, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_insert_unique(NULL, &a->ctx, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_insert_unique(&s, NULL, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(NULL, &a->ctx, &out), -EINVAL);
	assert_null(out);
	out = (void *)1;
	assert_rc(sctx_replace(&s, NULL, &out), -EINVAL);
	assert_null(out);

	/* Success with nothing to hand out writes NULL too. */
	out = (void *)1;
	assert_rc(sctx_replace(&s, &a->ctx, &out), 0);
	assert_null(out);
	out = (void *)1;
	b = item_new(OWNER(2), NULL);
	assert_rc(sctx_insert_unique(&s, &b->ctx, &out), 0);
	assert_null(out);

	end_of(&s);
	out = (void *)1;
	assert_rc(sctx_get_or_create(&s, OWNER(1), NULL, item_create, NULL, &out), -ESHUTDOWN);
	assert_null(out);

	assert_rc(sctx_registry_create(&registry), 0);
	assert_rc(sctx_open(registry, &id, SCTX_OPEN_EXISTING, &stream), -ENOENT);
	assert_null(stream);
	stream = (void *)1;
	assert_rc(sctx_open(NULL, &id, 0, &stream), -EINVAL);
	assert_null(stream);
	stream = (void *)1;
	assert_rc(sctx_open(registry, NULL, 0, &stream), -EINVAL);
	assert_null(stream);
	assert_rc(sctx_registry_destroy(registry), 0);
	item_free(a);
	item_free(b);
}

static void case_25_delete_by_pointer(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);

	assert_rc(sctx_detach(&a->ctx), 0);
	assert_null(peek(&s, OWNER(1), NULL));
	assert_null(sctx_get(&s, OWNER(1), NULL));
	assert_null(sctx_remove(&s, OWNER(1), NULL));
	assert_ptr_equal(peek(&s, NULL, NULL), &b->ctx);
	assert_rc(sctx_detach(&a->ctx), -ENOENT);

	/* Ours until we put it. */
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	item_check(a);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);

	end_of(&s);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	item_free(b);
}

static void case_26_cleanup_on_the_last_put_after_teardown(void **state)
{
	struct sctx_stream s;
	struct item *a, *b;

	(void)state;
	sctx_stream_init(&s);
	a = item_insert(&s, OWNER(1), NULL);
	b = item_insert(&s, OWNER(2), NULL);
	assert_ptr_equal(sctx_get(&s, OWNER(1), NULL), &a->ctx);
	assert_ptr_equal(sctx_ref(&a->ctx), &a->ctx);

	assert_rc(sctx_teardown_sync(&s), 0);
	assert_int_equal(item_called(a), 0);
	assert_int_equal(item_called(b), 1);

	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 0);
	assert_rc(sctx_put(&a->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(a), 1);
	item_free(a);
	item_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(case_01_init_stores_the_three_fields),
		cmocka_unit_test(case_02_set_up_is_supported_and_empty),
		cmocka_unit_test(case_03_null_stream),
		cmocka_unit_test(case_04_disabled_stream),
		cmocka_unit_test(case_05_lookup_on_an_empty_list),
		cmocka_unit_test(case_06_null_null_is_the_newest),
		cmocka_unit_test(case_07_owner_null_skips_other_owners),
		cmocka_unit_test(case_08_a_missing_instance_is_null_though_the_owner_is_there),
		cmocka_unit_test(case_09_null_owner_with_an_instance_is_null),
		cmocka_unit_test(case_10_remove_never_calls_back),
		cmocka_unit_test(case_12_teardown_calls_back_each_once_with_the_right_pointer),
		cmocka_unit_test(case_13_in_its_callback_a_context_cannot_be_found),
		cmocka_unit_test(case_14_a_callback_may_block_on_a_lock_held_inside_remove),
		cmocka_unit_test(case_15_teardown_sync_returns_only_after_all_callbacks),
		cmocka_unit_test(case_15_teardown_sync_waits_for_readers_of_an_empty_stream),
		cmocka_unit_test(case_22_replace_with_no_out_parameter),
		cmocka_unit_test(case_23_the_same_context_on_two_streams),
		cmocka_unit_test(case_24_what_fails_writes_null),
		cmocka_unit_test(case_25_delete_by_pointer),
		cmocka_unit_test(case_26_cleanup_on_the_last_put_after_teardown),
	};

	return TEST_RUN(tests);
}
