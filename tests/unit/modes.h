/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of reclaim modes share: who_reclaims.c, mode_changes.c.
 */
#ifndef TEST_MODES_H
#define TEST_MODES_H

#include "test.h"

#define BATCH 256 /* callbacks, under the default limits */

__attribute__((unused)) static const enum sctx_reclaim_mode modes[] = { SCTX_RECLAIM_THREAD,
									SCTX_RECLAIM_INLINE,
									SCTX_RECLAIM_POLL };

static inline int configure(enum sctx_reclaim_mode mode, size_t callbacks, unsigned int flags)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = callbacks ? callbacks : SCTX_LIMIT_CALLBACKS_DEFAULT,
		.flags = flags,
		.mode = mode,
	};

	return sctx_reclaim_configure(&options);
}

static inline int change_mode(enum sctx_reclaim_mode mode)
{
	return configure(mode, 0, 0);
}

/* The mode of the test that runs; afterwards test.c sets its own again. */
static enum sctx_reclaim_mode mode_now;

static inline void set_limit(size_t callbacks, unsigned int flags)
{
	CHECK_EQ(configure(mode_now, callbacks, flags), 0);
}

static inline void set_mode(enum sctx_reclaim_mode mode)
{
	mode_now = mode;
	set_limit(0, 0);
}

static inline void put_churn(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
}

/* Begin with nothing in limbo, in @mode. */
static inline void begin(enum sctx_reclaim_mode mode)
{
	CHECK_EQ(sctx_barrier(), 0);
	items_reset();
	set_mode(mode);
}

static inline void all_freed(void)
{
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	CHECK_EQ(stats_now().limbo_bytes, 0);
}

struct load {
	struct sctx_registry *registry;
	struct sctx_stream stream;
	enum sctx_reclaim_mode mode;
	atomic_bool stop;
	atomic_ulong refused, peak;
};

static inline void load_begin(struct load *load, enum sctx_reclaim_mode mode)
{
	memset(load, 0, sizeof(*load));
	load->mode = mode;
	begin(mode);
	CHECK_EQ(sctx_registry_create(&load->registry), 0);
	sctx_stream_init(&load->stream);
}

static inline void load_end(struct load *load)
{
	CHECK_EQ(sctx_teardown_sync(&load->stream), 0);
	CHECK_EQ(sctx_registry_destroy(load->registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
	all_freed();
}

/* Insert a churn item on @s; make room and try again if refused. */
static inline void insert_some(struct load *load, struct sctx_stream *s)
{
	struct item *a = item_churn(OWNER(1), NULL);
	int rc;

	while ((rc = sctx_insert(s, &a->ctx)) == -EAGAIN) {
		atomic_fetch_add(&load->refused, 1);
		rc = sctx_reclaim_poll(0);
		CHECK(rc >= 0 || rc == -EOPNOTSUPP);
	}
	CHECK_EQ(rc, 0);
}

static inline void load_turn(struct load *load, uint64_t *seed)
{
	struct sctx_id id = id_of(test_random(seed) % 16);
	struct sctx_stream *s;
	int rc;

	while ((rc = sctx_open(load->registry, &id, 0, &s)) == -EAGAIN) {
		atomic_fetch_add(&load->refused, 1);
		rc = sctx_reclaim_poll(0);
		CHECK(rc >= 0 || rc == -EOPNOTSUPP);
	}
	CHECK_EQ(rc, 0);
	/*
	 * A stream that somebody keeps open has a few contexts only: limits are
	 * for what is created, and closing it may retire all that it has.
	 */
	CHECK(sctx_delete(s, OWNER(1), NULL) <= 0);
	insert_some(load, s);
	insert_some(load, &load->stream);
	CHECK(sctx_delete(&load->stream, OWNER(1), NULL) <= 0);
	CHECK_EQ(sctx_close(s), 0);
}

static inline void load_thread(struct load *load, unsigned int index)
{
	uint64_t seed = index;

	while (!atomic_load(&load->stop)) {
		unsigned long limbo;

		for (unsigned int i = 0; i < 64; i++)
			load_turn(load, &seed);
		limbo = (unsigned long)stats_now().limbo_callbacks;
		if (limbo > atomic_load(&load->peak))
			atomic_store(&load->peak, limbo);
	}
}

/* In one section, so that nobody reclaims. */
static inline unsigned int fill(unsigned int n)
{
	sctx_read_lock();
	put_churn(n);
	sctx_read_unlock();
	return n;
}

static inline struct item **put_items(unsigned int n, void (*hook)(struct item *item), void *arg)
{
	struct item **items = calloc(n, sizeof(*items));

	CHECK(items);
	for (unsigned int i = 0; i < n; i++) {
		items[i] = item_new(OWNER(1), NULL);
		items[i]->number = i;
		items[i]->hook = hook;
		items[i]->arg = arg;
	}
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(sctx_put(&items[i]->ctx), 0);
	return items;
}

static inline void called_once_each(struct item **items, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		CHECK_EQ(item_called(items[i]), 1);
		item_free(items[i]);
	}
	free(items);
}

#endif /* TEST_MODES_H */
