/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that open, insert, delete and close as fast as they can, in whatever
 * mode: unit/mode_rules, unit/mode_changes, unit/fork_busy.
 */
#ifndef LOAD_H
#define LOAD_H

#include "test.h"

struct load {
	struct sctx_registry *registry;
	struct sctx_stream stream;
	enum sctx_reclaim_mode mode;
	atomic_bool stop;
	atomic_ulong refused; /* at the limit */
};

/* In @mode, with nothing in limbo; @limit of callbacks. */
static inline void load_begin(struct load *load, enum sctx_reclaim_mode mode, size_t limit)
{
	memset(load, 0, sizeof(*load));
	load->mode = mode;
	CHECK_EQ(sctx_barrier(), 0);
	items_reset();
	set_mode(mode);
	set_limits(0, limit, 0);
	CHECK_EQ(sctx_registry_create(&load->registry), 0);
	CHECK_EQ(sctx_stream_init(&load->stream), 0);
}

static inline void load_end(struct load *load)
{
	CHECK_EQ(sctx_teardown_sync(&load->stream), 0);
	CHECK_EQ(sctx_registry_destroy(load->registry), 0);
	all_freed();
}

/* Whether to try again: refused at the limit, room has been made. */
static inline bool load_again(struct load *load, int rc)
{
	if (rc != -EAGAIN) {
		CHECK_EQ(rc, 0);
		return false;
	}
	atomic_fetch_add(&load->refused, 1);
	rc = sctx_reclaim_poll(0);
	CHECK(rc >= 0 || rc == -EOPNOTSUPP);
	return true;
}

static inline void load_insert(struct load *load, struct sctx_stream *stream)
{
	struct item *item = item_churn(OWNER(1), NULL);

	while (load_again(load, sctx_insert(stream, &item->ctx)))
		;
}

/*
 * Delete before inserting: a stream that somebody keeps open has few contexts
 * then, and its close retires few, which no limit could keep it from.
 */
static inline void load_turn(struct load *load, uint64_t *seed)
{
	struct sctx_id id = id_of(test_random(seed) % 12);
	struct sctx_context *ctx;
	struct sctx_stream *s;

	while (load_again(load, sctx_open(load->registry, &id, 0, &s)))
		;
	CHECK(sctx_delete(s, OWNER(1), NULL) <= 0);
	load_insert(load, s);
	load_insert(load, &load->stream);
	sctx_read_lock();
	ctx = sctx_lookup(&load->stream, NULL, NULL);
	if (ctx)
		item_check(item_of(ctx));
	sctx_read_unlock();
	CHECK(sctx_delete(&load->stream, OWNER(1), NULL) <= 0);
	CHECK_EQ(sctx_close(s), 0);
}

static inline void load_run(struct load *load, unsigned int index)
{
	uint64_t seed = index;

	while (!atomic_load(&load->stop))
		load_turn(load, &seed);
}

#endif /* LOAD_H */
