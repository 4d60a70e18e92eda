/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fuzzers found, or pointed at: one test for each, kept so that it
 * stays mended.  tests/fuzz/ has the fuzzers.
 */
#include "test.h"

static const struct sctx_id name = { 1, { 2, 3 }, 4 };

static struct sctx_registry *create(void)
{
	struct sctx_registry *registry;

	assert_rc(sctx_registry_create(&registry), 0);
	return registry;
}

static struct sctx_stream *open_one(struct sctx_registry *registry)
{
	struct sctx_stream *stream;

	assert_rc(sctx_open(registry, &name, 0, &stream), 0);
	return stream;
}

/* Borrowed, its last reference put, and referenced again in the same section. */
static struct item *revived(struct sctx_stream *stream)
{
	struct item *item = item_insert(stream, OWNER(1), NULL);
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(stream, OWNER(1), NULL);
	assert_ptr_equal(ctx, &item->ctx);
	assert_rc(sctx_delete(stream, OWNER(1), NULL), 0);
	assert_ptr_equal(sctx_ref(ctx), ctx);
	sctx_read_unlock();
	return item;
}

/*
 * Limbo's reference on such a context ends with a grace period that has begun
 * already and waits for no later borrower: until then it can hang nowhere.
 */
static void a_context_in_limbo_is_not_inserted(void **state)
{
	struct sctx_registry *registry = create();
	struct sctx_stream *stream = open_one(registry);
	struct item *item;

	(void)state;
	sctx_read_lock();
	item = revived(stream);
	assert_rc(sctx_insert(stream, &item->ctx), -EBADF);
	sctx_read_unlock();
	assert_rc(sctx_barrier(), 0); /* limbo has dropped its own by now */
	assert_int_equal(item_called(item), 0);

	assert_rc(sctx_insert(stream, &item->ctx), 0);
	assert_rc(sctx_close(stream), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
	assert_rc(sctx_registry_destroy(registry), 0);
}

struct hold {
	struct gate entered, leave;
};

static void hold_the_reclaimer(struct item *item)
{
	struct hold *hold = item->arg;

	gate_open(&hold->entered);
	gate_wait(&hold->leave);
}

/*
 * The same with the grace period held at its end: a callback before it blocks
 * while a reader borrows what limbo is about to drop.
 */
static void a_revived_context_is_not_called_back_under_a_reader(void **state)
{
	struct sctx_registry *registry = create();
	struct sctx_stream *stream = open_one(registry);
	struct item *blocker = item_insert(stream, OWNER(2), NULL), *item;
	struct hold hold;

	(void)state;
	gate_init(&hold.entered);
	gate_init(&hold.leave);
	blocker->hook = hold_the_reclaimer;
	blocker->arg = &hold;
	sctx_read_lock();
	assert_rc(sctx_delete(stream, OWNER(2), NULL), 0);
	item = revived(stream);
	sctx_read_unlock();
	gate_wait(&hold.entered);

	if (sctx_insert(stream, &item->ctx) == 0) {
		sctx_read_lock();
		assert_ptr_equal(sctx_lookup(stream, OWNER(1), NULL), &item->ctx);
		assert_rc(sctx_delete(stream, OWNER(1), NULL), 0);
		gate_open(&hold.leave);
		nap_ms(50);
		assert_int_equal(item_called(item), 0);
		sctx_read_unlock();
	} else {
		gate_open(&hold.leave);
		assert_rc(sctx_put(&item->ctx), 0);
	}
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
	item_free(blocker);
	assert_rc(sctx_close(stream), 0);
	assert_rc(sctx_registry_destroy(registry), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_context_in_limbo_is_not_inserted),
		cmocka_unit_test(a_revived_context_is_not_called_back_under_a_reader),
	};

	return TEST_RUN(tests);
}
