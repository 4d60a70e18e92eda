/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzz target: sequences of calls with hostile arguments, against the model.
 * Each byte of input chooses an operation or an argument.  Here: sections,
 * waiting, threads, limits, NULL arguments; contexts and streams are in
 * ops_context.c and ops_stream.c.
 */
#include <stdlib.h>
#include <unistd.h>

#include "world.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define DEPTH_MAX 6

static void op_lock(struct actor *a)
{
	if (a->depth < DEPTH_MAX)
		section_begin(a);
}

static void op_unlock(struct actor *a)
{
	if (a->depth > a->floor)
		section_end(a);
}

static void op_barrier(struct actor *a)
{
	if (may_wait(a))
		barrier();
	else
		EXPECT(sctx_barrier(), -EDEADLK);
}

static void op_synchronize(struct actor *a)
{
	int error;

	if (!may_wait(a)) {
		EXPECT(sctx_synchronize(), -EDEADLK);
		return;
	}
	world_unlock();
	error = sctx_synchronize();
	world_lock();
	EXPECT(error, 0);
}

/* In a section: time for the callbacks that it should hold up. */
static void op_pause(struct actor *a)
{
	if (a->in_callback || !a->depth || !m_due)
		return;
	world_unlock();
	usleep(10000);
	world_lock();
}

static void op_thread(struct actor *a)
{
	switch (take(a, 4)) {
	case 0:
		EXPECT(sctx_thread_attach(), 0);
		break;
	case 1:
		EXPECT(sctx_thread_detach(), may_wait(a) ? 0 : -EDEADLK);
		break;
	case 2:
		sctx_thread_offline();
		break;
	case 3:
		EXPECT(sctx_threads_registered_by_host(), -EBUSY);
		break;
	}
}

/* ------------------------------------------------------------------- limits */

static void op_limits(struct actor *a)
{
	static const size_t sizes[] = { 0, 1, 4, 500, 8192, SIZE_MAX };
	struct sctx_reclaim_options o = { .size = sizeof(o) };
	bool bad;

	o.limit_callbacks = sizes[take(a, COUNT(sizes))];
	o.limit_bytes = sizes[take(a, COUNT(sizes))];
	o.flags = take(a, 4);
	o.mode = world.mode;
	if (take(a, 8) == 7)
		o.size = 1;
	bad = !o.limit_callbacks || !o.limit_bytes || o.flags > 1 || o.size != sizeof(o);
	EXPECT(sctx_reclaim_configure(&o), bad ? -EINVAL : 0);
	if (bad)
		return;
	world.tight = true;
	world.nowait = o.flags;
}

static void op_no_limits(struct actor *a)
{
	(void)a;
	limits_reset();
}

static void op_stats(struct actor *a)
{
	static uint64_t callbacks_run, grace_periods;
	struct sctx_stats stats = { .size = sizeof(stats) };

	EXPECT(sctx_stats_get(&stats), 0);
	CHECK(stats.callbacks_run >= callbacks_run && stats.grace_periods >= grace_periods);
	callbacks_run = stats.callbacks_run;
	grace_periods = stats.grace_periods;
	stats.size = take(a, 32);
	EXPECT(sctx_stats_get(&stats), -EINVAL);
}

static void op_fail(struct actor *a)
{
	a->fail = take(a, 4) + 1;
}

/* -------------------------------------------------------------- NULL and bad */

static struct sctx_context *make_none(const void *owner, const void *instance, void *arg)
{
	(void)owner;
	(void)instance;
	(void)arg;
	return NULL;
}

static int visit_none(struct sctx_stream *stream, void *arg)
{
	(void)stream;
	(void)arg;
	return 0;
}

static void null_contexts(struct sctx_stream *s)
{
	struct sctx_context blank = { .refs = 0 }, *out = (void *)1;

	EXPECT(sctx_context_init(NULL, &blank, NULL, SCTX_NO_FREE), -EINVAL);
	EXPECT(sctx_context_init(&blank, &blank, NULL, NULL), -EINVAL);
	CHECK(!sctx_ref(NULL));
	EXPECT(sctx_put(NULL), -EINVAL);
	EXPECT(sctx_put(&blank), -EBADF);
	EXPECT(sctx_detach(NULL), -EINVAL);
	EXPECT(sctx_detach(&blank), -ENOENT);
	EXPECT(sctx_insert(s, NULL), -EINVAL);
	EXPECT(sctx_insert(s, &blank), -EINVAL);
	EXPECT(sctx_insert(NULL, &blank), -EINVAL);
	EXPECT(sctx_insert_unique(s, &blank, &out), -EINVAL);
	CHECK(!out);
	out = (void *)1;
	EXPECT(sctx_replace(s, &blank, &out), -EINVAL);
	CHECK(!out);
	EXPECT(sctx_replace(NULL, NULL, NULL), -EINVAL);
	out = (void *)1;
	EXPECT(sctx_get_or_create(s, NULL, s, make_none, NULL, &out), -EINVAL);
	CHECK(!out);
	EXPECT(sctx_get_or_create(s, s, NULL, NULL, NULL, &out), -EINVAL);
	EXPECT(sctx_get_or_create(s, s, NULL, make_none, NULL, NULL), -EINVAL);
	EXPECT(sctx_get_or_create(NULL, s, NULL, make_none, NULL, &out), -EINVAL);
}

static void null_streams(struct actor *a, struct sctx_stream *s, struct sctx_registry *r)
{
	struct sctx_stream *out = (void *)1;
	const struct sctx_id id = { 0, { 0, 0 }, 0 };

	section_begin(a);
	CHECK(!sctx_lookup(NULL, s, NULL) && !sctx_lookup(s, NULL, s));
	CHECK(!sctx_find(NULL, &id) && !sctx_find(r, NULL));
	section_end(a);
	CHECK(!sctx_get(NULL, NULL, NULL) && !sctx_get(s, NULL, s));
	CHECK(!sctx_remove(NULL, NULL, NULL) && !sctx_remove(s, NULL, s));
	EXPECT(sctx_delete(NULL, NULL, NULL), -EINVAL);
	EXPECT(sctx_delete(s, NULL, s), -ENOENT);
	CHECK(!sctx_stream_supports_contexts(NULL) && !sctx_stream_id(NULL));
	EXPECT(sctx_stream_init(NULL), -EINVAL);
	EXPECT(sctx_stream_disable(NULL), -EINVAL);
	EXPECT(sctx_stream_retire(NULL, list_free), -EINVAL);
	EXPECT(sctx_stream_retire(s, NULL), -EINVAL);
	EXPECT(sctx_teardown(NULL), -EINVAL);
	EXPECT(sctx_teardown_sync(NULL), -EINVAL);
	EXPECT(sctx_close(NULL), -EINVAL);
	EXPECT(sctx_open(NULL, &id, 0, &out), -EINVAL);
	CHECK(!out);
	EXPECT(sctx_open(r, NULL, 0, &out), -EINVAL);
	EXPECT(sctx_open(r, &id, 0, NULL), -EINVAL);
	EXPECT(sctx_registry_create(NULL), -EINVAL);
	EXPECT(sctx_registry_destroy(NULL), -EINVAL);
	EXPECT(sctx_registry_for_each(NULL, visit_none, NULL), -EINVAL);
	EXPECT(sctx_registry_for_each(r, NULL, NULL), -EINVAL);
	EXPECT(sctx_reclaim_configure(NULL), -EINVAL);
	EXPECT(sctx_stats_get(NULL), -EINVAL);
}

static void op_null(struct actor *a)
{
	struct slot *slot = take_slot(a);

	if (!slot)
		return;
	null_contexts(slot->stream);
	null_streams(a, slot->stream, world.registries[0]);
}

static const op_fn ops[] = {
	op_lock,   op_lock,      op_unlock, op_unlock, op_barrier, op_synchronize, op_thread,
	op_limits, op_no_limits, op_stats,  op_fail,   op_null,    op_pause,
};
const struct ops other_ops = { ops, COUNT(ops) };

/* -------------------------------------------------------------------- libFuzzer */

/* Sizes that cannot be had are asked for. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CHECK(sctx_thread_attach() == 0);
	world_begin(data, size);
	while (step(&world.main))
		continue;
	world_end();
	return 0;
}
