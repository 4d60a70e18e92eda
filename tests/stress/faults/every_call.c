/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every public call with its Nth allocation failing, alone and with all after
 * it, for N = 1, 2, 3 ... until none is reached.  mixed.c does a whole program so.
 *
 * A call fails with -ENOMEM and changes nothing: the books are as before and
 * the world below is untouched; or it does without.  A call whose errors in
 * the header do not include -ENOMEM must do without.  What a call has made it
 * releases while memory still fails.
 *
 * tests/unit/fault_*.c have the cases that need preparing: chains, growing lists
 * and tables, the reclaimer's start.
 */
#include "inject.h"

#include <stdio.h>

/* -------------------------------------------------------------------- world */

#define STREAMS 4

static struct world {
	struct sctx_registry *registry;
	struct sctx_stream *open[STREAMS];
	struct item *item[STREAMS];
	struct sctx_stream full; /* no room: the next insert allocates */
	struct item *hanging[2];
	struct sctx_owner *owner;
	FILE *null;
} world;

static void world_make(void)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops),
					    .name = "faults",
					    .tag = SCTX_TAG('F', 'l', 't', ' ') };

	CHECK_EQ(sctx_registry_create(&world.registry), 0);
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct sctx_id id = id_of(i);

		CHECK_EQ(sctx_open(world.registry, &id, 0, &world.open[i]), 0);
		world.item[i] = item_insert(world.open[i], OWNER(1), INST(i));
	}
	CHECK_EQ(sctx_stream_init(&world.full), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(world.hanging); i++)
		world.hanging[i] = item_insert(&world.full, OWNER(2), INST(i));
	CHECK_EQ(sctx_owner_register(world.registry, &ops, &world.owner), 0);
	world.null = fopen("/dev/null", "w");
	CHECK(world.null);
	setvbuf(world.null, NULL, _IONBF, 0);
}

static int count(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	(*(unsigned int *)arg)++;
	return 0;
}

static void world_check(void)
{
	unsigned int n = 0;

	CHECK_EQ(sctx_registry_for_each(world.registry, count, &n), 0);
	CHECK_EQ(n, STREAMS);
	sctx_read_lock();
	for (unsigned int i = 0; i < STREAMS; i++) {
		struct sctx_id id = id_of(i);

		CHECK(sctx_find(world.registry, &id) == world.open[i]);
		CHECK(sctx_lookup(world.open[i], NULL, NULL) == &world.item[i]->ctx);
		item_check(world.item[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(world.hanging); i++)
		CHECK(sctx_lookup(&world.full, OWNER(2), INST(i)) == &world.hanging[i]->ctx);
	CHECK(sctx_lookup(&world.full, NULL, NULL) == &world.hanging[1]->ctx);
	sctx_read_unlock();
}

static void world_end(void)
{
	CHECK_EQ(sctx_owner_unregister(world.owner, NULL), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		CHECK_EQ(sctx_close(world.open[i]), 0);
	CHECK_EQ(sctx_teardown_sync(&world.full), 0);
	CHECK_EQ(sctx_registry_destroy(world.registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < STREAMS; i++) {
		CHECK_EQ(item_called(world.item[i]), 1);
		item_free(world.item[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(world.hanging); i++) {
		CHECK_EQ(item_called(world.hanging[i]), 1);
		item_free(world.hanging[i]);
	}
	fclose(world.null);
}

/* -------------------------------------------------------------------- calls */

static int call_section(void)
{
	struct sctx_id id = id_of(1);

	sctx_read_lock();
	CHECK(sctx_find(world.registry, &id) == world.open[1]);
	CHECK(sctx_stream_id(world.open[1]));
	CHECK(sctx_lookup(world.open[1], OWNER(1), NULL));
	sctx_read_unlock();
	return 0;
}

static int call_attach(void)
{
	int rc = sctx_thread_attach();

	sctx_thread_offline();
	return rc ? rc : sctx_thread_detach();
}

static int call_references(void)
{
	struct sctx_context *ctx = sctx_get(world.open[0], OWNER(1), NULL);

	CHECK(ctx && sctx_ref(ctx) == ctx);
	return sctx_put(ctx) || sctx_put(ctx);
}

static int call_many(void)
{
	const void *owner[2] = { OWNER(2), OWNER(3) };
	struct sctx_context *ctx[2];

	sctx_get_many(&world.full, 2, owner, ctx);
	CHECK(ctx[0] == &world.hanging[1]->ctx && !ctx[1]);
	return sctx_put_many(2, ctx);
}

static struct item *new_item(void)
{
	struct item *item;

	UNHARMED(item = item_churn(OWNER(3), NULL));
	return item;
}

static void free_item(struct item *item)
{
	UNHARMED(item_churn_free(item));
}

/* A stream without room: the next insert allocates. */
struct full {
	struct sctx_stream stream;
	struct sctx_context ctx[SCTX_INLINE_ENTRIES];
};

static struct sctx_stream *full_make(struct full *f)
{
	CHECK_EQ(sctx_stream_init(&f->stream), 0);
	for (unsigned int i = 0; i < SCTX_INLINE_ENTRIES; i++) {
		CHECK_EQ(sctx_context_init(&f->ctx[i], OWNER(2), INST(i), SCTX_NO_FREE), 0);
		CHECK_EQ(sctx_insert(&f->stream, &f->ctx[i]), 0);
	}
	return &f->stream;
}

static int full_end(struct full *f, int rc, struct item *item)
{
	for (unsigned int i = 0; i < SCTX_INLINE_ENTRIES; i++)
		CHECK(peek(&f->stream, OWNER(2), INST(i)) == &f->ctx[i]);
	CHECK((peek(&f->stream, OWNER(3), NULL) != NULL) == (rc == 0));
	if (rc && item)
		free_item(item);
	CHECK_EQ(sctx_teardown_sync(&f->stream), 0);
	return rc;
}

static int call_insert(void)
{
	struct item *item = new_item();
	struct full f;

	return full_end(&f, sctx_insert(full_make(&f), &item->ctx), item);
}

static int call_insert_unique(void)
{
	struct sctx_context *existing = (void *)1;
	struct item *item = new_item();
	struct full f;
	int rc = sctx_insert_unique(full_make(&f), &item->ctx, &existing);

	CHECK(!existing);
	return full_end(&f, rc, item);
}

static int call_replace(void)
{
	struct sctx_context *old = (void *)1;
	struct item *item = new_item();
	struct full f;
	int rc = sctx_replace(full_make(&f), &item->ctx, &old);

	CHECK(!old);
	return full_end(&f, rc, item);
}

static struct sctx_context *create(const void *owner, const void *instance, void *arg)
{
	struct sctx_context *ctx;

	UNHARMED(ctx = item_create(owner, instance, arg));
	return ctx;
}

static int call_get_or_create(void)
{
	struct sctx_context *ctx = (void *)1;
	struct full f;
	int rc = sctx_get_or_create(full_make(&f), OWNER(3), NULL, create, NULL, &ctx);

	CHECK((rc == 0) == (ctx != NULL));
	full_end(&f, rc, NULL);
	return rc ? rc : sctx_put(ctx);
}

static void host_free(struct sctx_stream *stream)
{
	free(stream);
}

static int call_stream(void)
{
	struct sctx_stream *s = malloc(sizeof(*s)), twin;
	struct item *item = new_item();
	struct sctx_context *ctx;
	int rc;

	if (!s) {
		free_item(item);
		return -ENOMEM;
	}
	CHECK_EQ(sctx_stream_init(s), 0);
	CHECK_EQ(sctx_stream_init(&twin), 0);
	rc = sctx_insert(s, &item->ctx); /* inline: needs nothing */
	CHECK_EQ(rc, 0);
	ctx = sctx_remove(s, OWNER(3), NULL);
	CHECK_EQ(sctx_insert(&twin, ctx), 0);
	CHECK_EQ(sctx_stream_disable(s), 0);
	CHECK(!sctx_stream_supports_contexts(s));
	CHECK_EQ(sctx_teardown(&twin), 0);
	CHECK_EQ(sctx_teardown_sync(&twin), 0);
	return sctx_stream_retire(s, host_free);
}

static int call_slot(void)
{
	struct sctx_stream *slot = NULL, *s = (void *)1;
	int rc = sctx_stream_create(&slot, &s);

	CHECK((rc == 0) == (s != NULL) && slot == s && sctx_stream_load(&slot) == s);
	return rc ? rc : sctx_stream_drop(&slot);
}

static int open_and_close(const struct sctx_id *id, unsigned int flags)
{
	struct sctx_stream *s = (void *)1;
	int rc = sctx_open(world.registry, id, flags, &s);

	CHECK((rc == 0) == (s != NULL));
	return rc ? rc : sctx_close(s);
}

static int call_open_new(void)
{
	struct sctx_id id = id_of(100);

	return open_and_close(&id, 0);
}

static int call_open_nowait(void)
{
	struct sctx_id id = id_of(101);

	return open_and_close(&id, SCTX_OPEN_NOWAIT);
}

static int call_open_existing(void)
{
	struct sctx_id id = id_of(2);

	return open_and_close(&id, SCTX_OPEN_EXISTING);
}

static int call_registry(void)
{
	struct sctx_registry *registry = (void *)1;
	int rc = sctx_registry_create(&registry);

	CHECK((rc == 0) == (registry != NULL));
	return rc ? rc : sctx_registry_destroy(registry);
}

static int call_for_each(void)
{
	unsigned int n = 0;
	int rc = sctx_registry_for_each(world.registry, count, &n);

	CHECK_EQ(n, STREAMS);
	return rc;
}

static int call_waiting(void)
{
	return sctx_barrier() || sctx_synchronize();
}

static int call_configure(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	set_limits(0, 0, 0);
	return sctx_stats_get(&stats);
}

static int attach_at_open(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			  struct sctx_context **ctx)
{
	(void)arg;
	(void)id;
	return sctx_context_alloc(owner, NULL, 16, ctx);
}

static int call_owner(void)
{
	const struct sctx_owner_ops ops = { .size = sizeof(ops),
					    .name = "guest",
					    .tag = SCTX_TAG('F', 'l', 't', '2'),
					    .flags = SCTX_OWNER_REQUIRED,
					    .attach = attach_at_open };
	struct sctx_owner *owner = (void *)1;
	struct sctx_id id = id_of(102);
	int rc = sctx_owner_register(world.registry, &ops, &owner), leave;

	CHECK((rc == 0) == (owner != NULL));
	if (rc)
		return rc;
	rc = open_and_close(&id, 0); /* fails if the attach does */
	leave = sctx_owner_unregister(owner, NULL);
	/* Where leaving needs memory it may be asked for again. */
	if (leave) {
		CHECK_EQ(leave, -ENOMEM);
		UNHARMED(CHECK_EQ(sctx_owner_unregister(owner, NULL), 0));
	}
	return rc ? rc : leave;
}

static int call_owner_context(void)
{
	struct sctx_context *ctx = (void *)1;
	int rc = sctx_context_alloc(world.owner, INST(1), 100, &ctx);

	CHECK((rc == 0) == (ctx != NULL));
	if (rc)
		return rc;
	CHECK_EQ(sctx_put(ctx), 0);
	return sctx_owner_drain(world.owner);
}

static int call_track(void)
{
	struct sctx_stream s;
	int rc;

	CHECK_EQ(sctx_stream_init(&s), 0);
	rc = sctx_stream_track(world.registry, &s);
	CHECK_EQ(sctx_teardown_sync(&s), 0);
	return rc;
}

static int call_pool(enum sctx_pool pool)
{
	void *memory = sctx_alloc(pool, 5000, SCTX_TAG('F', 'l', 't', '3'));

	if (!memory)
		return -errno;
	memset(memory, 1, 5000);
	return sctx_free(memory, SCTX_TAG('F', 'l', 't', '3'));
}

static int call_pool_paged(void)
{
	return call_pool(SCTX_POOL_PAGED);
}

static int call_pool_locked(void)
{
	return call_pool(SCTX_POOL_LOCKED);
}

static int call_tags(void)
{
	struct sctx_tag_stats stats[4];

	sctx_tag_stats_get(stats, sizeof(*stats), 4);
	return 0;
}

/* @free: the header has no -ENOMEM among its errors. */
static const struct call {
	const char *name;
	int (*fn)(void);
	bool free;
} calls[] = {
	{ "read section, find, lookup, id", call_section, true },
	{ "thread_attach, thread_detach", call_attach, false },
	{ "get, ref, put", call_references, true },
	{ "get_many, put_many", call_many, true },
	{ "insert", call_insert, false },
	{ "insert_unique", call_insert_unique, false },
	{ "replace", call_replace, false },
	{ "get_or_create", call_get_or_create, false },
	{ "init, remove, disable, teardown, retire", call_stream, false },
	{ "stream_create, stream_drop", call_slot, false },
	{ "open of a new stream, last close", call_open_new, false },
	{ "open, NOWAIT", call_open_nowait, false },
	{ "open, EXISTING", call_open_existing, true },
	{ "registry_create, destroy", call_registry, false },
	{ "for_each", call_for_each, true },
	{ "barrier, synchronize", call_waiting, true },
	{ "reclaim_configure, stats_get", call_configure, true },
	{ "owner_register, attach, unregister", call_owner, false },
	{ "context_alloc, owner_drain", call_owner_context, false },
	{ "stream_track", call_track, false },
	{ "alloc, free: paged", call_pool_paged, false },
	{ "alloc, free: locked", call_pool_locked, false },
	{ "tag_stats_get", call_tags, true },
};

/* What was made is gone again, the churn items' quarantine too. */
static void churn_ends(void)
{
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	items_reset();
}

/* Returns how often the call failed. */
static unsigned int fail_each(const struct call *call, bool all)
{
	for (unsigned int n = 1, failures = 0;; n++) {
		struct books before = books_now();
		unsigned int hit;
		int rc;

		CHECK(n < 200);
		arm(n, all);
		rc = call->fn();
		hit = disarm();
		churn_ends();
		if (rc) {
			if (rc != -ENOMEM || !hit || call->free)
				test_die(__FILE__, __LINE__, "%s: %d with %u failures", call->name,
					 rc, hit);
			books_compare(before);
			failures++;
		}
		world_check();
		if (!hit)
			return failures;
	}
}

static void every_call(void **state)
{
	unsigned int failed = 0;

	(void)state;
	world_make();
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned int one = fail_each(&calls[i], false), all = fail_each(&calls[i], true);

		printf("%-42s failed %u times with one allocation, %u with all\n", calls[i].name,
		       one, all);
		failed += all > 0;
		if (!calls[i].free && !strstr(calls[i].name, "attach"))
			CHECK(all > 0 || strstr(calls[i].name, "EXISTING"));
	}
	assert_true(failed >= 10);
	world_end();
	churn_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call),
	};

	return TEST_RUN(tests);
}
