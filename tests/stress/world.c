/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: the operations on streams, and all that is not about contexts:
 * waiting, limits, statistics, threads, forks.
 */
#include "torture.h"

#include <sys/wait.h>

/* ------------------------------------------------------------ open and close */

static enum outcome opened(struct worker *w, int rc, int also)
{
	trace(w, w->now, 0, rc);
	ALLOW(w, NULL, rc, 0, -EAGAIN, also, also);
	return rc ? REFUSED : DONE;
}

static enum outcome open_one(struct worker *w, bool cold, uint64_t id, unsigned int flags)
{
	struct sctx_stream *stream = (void *)1;
	bool section = one_in(w, 8);
	int rc;

	if (w->n_handles == HANDLES_MAX)
		return NOTHING;
	if (section)
		sctx_read_lock();
	rc = stream_open(w, cold, id, flags, &stream);
	if (section)
		sctx_read_unlock();
	if (rc == -EAGAIN && !section && !(flags & SCTX_OPEN_NOWAIT))
		MUST(w, NULL, atomic_load(&nowait_used));
	if (rc == 0)
		handle_add(w, stream, cold, id);
	return opened(w, rc, flags & SCTX_OPEN_EXISTING ? -ENOENT : 0);
}

static enum outcome op_open_hot(struct worker *w)
{
	return open_one(w, false, roll(w, HOT_IDS), 0);
}

static enum outcome op_open_cold(struct worker *w)
{
	enum outcome outcome = NOTHING;

	for (unsigned int i = 0; i < 16; i++)
		outcome = open_one(w, true, roll(w, COLD_IDS), 0);
	return outcome;
}

static enum outcome op_open_nowait(struct worker *w)
{
	return open_one(w, true, roll(w, COLD_IDS), SCTX_OPEN_NOWAIT);
}

static enum outcome op_open_existing(struct worker *w)
{
	const struct handle *h;
	struct sctx_stream *stream = (void *)1;
	int rc;

	if (w->n_handles == 0 || one_in(w, 2))
		return open_one(w, one_in(w, 2), roll(w, HOT_IDS), SCTX_OPEN_EXISTING);
	/* It is open, for we have it open. */
	h = &w->handle[roll(w, w->n_handles)];
	rc = stream_open(w, h->cold, h->id, SCTX_OPEN_EXISTING, &stream);
	if (rc || stream != h->stream)
		wrong(w, NULL, "id %llu is open at %p; opening it again is %d, %p",
		      (unsigned long long)h->id, (void *)h->stream, rc, (void *)stream);
	stream_close(w, stream);
	return DONE;
}

static enum outcome op_close(struct worker *w)
{
	if (w->n_handles == 0)
		return NOTHING;
	for (unsigned int i = 0; i < 6 && w->n_handles; i++)
		handle_close(w, (unsigned int)roll(w, w->n_handles));
	trace(w, w->now, 0, 0);
	return DONE;
}

static enum outcome op_close_most(struct worker *w)
{
	if (w->n_handles < HANDLES_MAX)
		return NOTHING;
	while (w->n_handles > HANDLES_MAX / 8)
		handle_close(w, w->n_handles - 1);
	return DONE;
}

static enum outcome op_find(struct worker *w)
{
	const struct handle *h;
	struct sctx_stream *stream;
	struct sctx_id id;

	if (w->n_handles == 0)
		return NOTHING;
	h = &w->handle[roll(w, w->n_handles)];
	id = id_of(h->id);
	sctx_read_lock();
	stream = sctx_find(h->cold ? w->cold : registry_hot(), &id);
	if (stream != h->stream)
		wrong(w, NULL, "id %llu is open at %p, but found at %p", (unsigned long long)h->id,
		      (void *)h->stream, (void *)stream);
	sctx_read_unlock();
	return DONE;
}

struct visits {
	struct worker *w;
	bool slow; /* so that the table grows meanwhile */
	uint8_t seen[COLD_IDS];
};

static int visit(struct sctx_stream *stream, void *arg)
{
	struct visits *v = arg;
	uint64_t id = id_number(sctx_stream_id(stream));

	MUST(v->w, NULL, id < COLD_IDS);
	v->seen[id] += v->seen[id] < 255;
	if (v->slow && one_in(v->w, 512))
		nap_us(100);
	return 0;
}

/* A stream that is open throughout is visited once. */
static enum outcome op_for_each(struct worker *w)
{
	struct visits *v = calloc(1, sizeof(*v));
	bool cold = !one_in(w, 8);

	CHECK(v);
	v->w = w;
	v->slow = one_in(w, 4);
	MUST(w, NULL, sctx_registry_for_each(cold ? w->cold : registry_hot(), visit, v) == 0);
	for (unsigned int i = 0; i < w->n_handles; i++)
		if (w->handle[i].cold == cold && v->seen[w->handle[i].id] != 1)
			wrong(w, NULL, "for_each visits %d times what is open",
			      v->seen[w->handle[i].id]);
	free(v);
	return DONE;
}

/* A registry of one's own, from create to destroy. */
static enum outcome op_registry(struct worker *w)
{
	struct sctx_registry *registry;
	struct sctx_stream *s[20];
	unsigned int n = 0;

	MUST(w, NULL, sctx_registry_create(&registry) == 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(s); i++) {
		struct sctx_id id = id_of(i);

		if (opened(w, sctx_open(registry, &id, 0, &s[n]), 0) == DONE)
			n++;
	}
	while (n > 0) {
		MUST(w, NULL, sctx_registry_destroy(registry) == -EBUSY);
		MUST(w, NULL, sctx_close(s[--n]) == 0);
	}
	MUST(w, NULL, sctx_registry_destroy(registry) == 0);
	return DONE;
}

/* --------------------------------------------------------- embedded streams */

static enum outcome op_host_make(struct worker *w)
{
	return host_make(w) ? DONE : NOTHING;
}

static enum outcome op_host_end(struct worker *w)
{
	return host_end(w) ? DONE : NOTHING;
}

/* Hosts, and the streams that are soon made anew. */
static bool may_be_spoilt(const struct place *p)
{
	return p->host || (p->least != UNIQUE && p->id >= HOT_IDS);
}

/* @refused: how a registry refuses it for its own streams, or 0. */
static enum outcome spoil(struct worker *w, int (*how)(struct sctx_stream *stream), int refused)
{
	enum outcome outcome = NOTHING;
	struct place p;

	if (!place_enter(w, &p))
		return NOTHING;
	if (may_be_spoilt(&p)) {
		int rc = how(p.stream);

		trace(w, w->now, p.number, rc);
		if (!p.host && refused)
			MUST(w, NULL, rc == refused);
		else
			MUST(w, NULL, rc == 0 && !sctx_stream_supports_contexts(p.stream));
		outcome = DONE;
	}
	place_leave(w, &p);
	return outcome;
}

static enum outcome op_disable(struct worker *w)
{
	return spoil(w, sctx_stream_disable, 0);
}

static enum outcome op_teardown(struct worker *w)
{
	return spoil(w, sctx_teardown, -EPERM);
}

static int teardown_sync(struct sctx_stream *stream)
{
	int rc = sctx_teardown_sync(stream);

	/* In a section nothing has changed. */
	return rc == -EDEADLK ? sctx_teardown(stream) : rc;
}

static enum outcome op_teardown_sync(struct worker *w)
{
	return spoil(w, teardown_sync, -EPERM);
}

/* --------------------------------------------------------- waiting, and such */

/* What was put before is called back when the barrier returns. */
static enum outcome op_barrier(struct worker *w)
{
	struct record *r = record_new(w, COUNTED, NULL, 0);
	atomic_bool told = false;
	int rc;

	r->told = &told;
	MUST(w, NULL, sctx_put(&r->ctx) == 0);
	rc = sctx_barrier();
	MUST(w, NULL, rc == 0);
	if (!atomic_load(&told))
		wrong(w, NULL, "record %p was put before the barrier and not called back",
		      (void *)r);
	return DONE;
}

static enum outcome op_synchronize(struct worker *w)
{
	MUST(w, NULL, sctx_synchronize() == 0);
	return DONE;
}

/* Who frees changes with the limits. */
void limits_change(struct worker *w, bool usual)
{
	const size_t callbacks[] = { 1, 16, 300, 5000 };
	const size_t bytes[] = { 1, 4096, 65536, 1 << 20 };
	struct sctx_reclaim_options o = {
		.size = sizeof(o),
		.limit_bytes = bytes[roll(w, ARRAY_SIZE(bytes))],
		.limit_callbacks = callbacks[roll(w, ARRAY_SIZE(callbacks))],
		.flags = one_in(w, 2) ? SCTX_RECLAIM_NOWAIT : 0,
		.mode = (enum sctx_reclaim_mode)roll(w, 2),
	};

	if (usual) {
		set_limits(0, 0, 0);
		return;
	}
	if (o.flags || o.mode == SCTX_RECLAIM_POLL)
		atomic_store(&nowait_used, true);
	MUST(w, NULL, sctx_reclaim_configure(&o) == 0);
}

static enum outcome op_poll(struct worker *w)
{
	int rc = sctx_reclaim_poll((unsigned int)roll(w, 100));

	if (rc < 0)
		ALLOW(w, NULL, rc, -EOPNOTSUPP, -EOPNOTSUPP, -EOPNOTSUPP, -EOPNOTSUPP);
	return rc < 0 ? REFUSED : rc > 0 ? DONE : NOTHING;
}

static enum outcome op_configure(struct worker *w)
{
	limits_change(w, !one_in(w, 8));
	return DONE;
}

static enum outcome op_stats(struct worker *w)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	MUST(w, NULL, sctx_stats_get(&stats) == 0);
	return DONE;
}

static enum outcome op_detach_thread(struct worker *w)
{
	MUST(w, NULL, sctx_thread_detach() == 0);
	if (one_in(w, 2))
		MUST(w, NULL, sctx_thread_attach() == 0);
	return DONE;
}

/* In a section nothing waits; outside, a thread sleeps. */
static enum outcome op_idle(struct worker *w)
{
	if (one_in(w, 4)) {
		sctx_read_lock();
		MUST(w, NULL, sctx_barrier() == -EDEADLK);
		MUST(w, NULL, sctx_synchronize() == -EDEADLK);
		MUST(w, NULL, sctx_thread_detach() == -EDEADLK);
		nap_us((unsigned int)roll(w, 1500));
		sctx_read_unlock();
	} else {
		nap_us((unsigned int)roll(w, 5000));
	}
	return DONE;
}

/* --------------------------------------------------------------------- fork */

/* No lock is held in the child, of a bucket or of a stream. */
static int lock_it(struct sctx_stream *stream, void *arg)
{
	struct worker *w = arg;

	MUST(w, NULL, sctx_delete(stream, w, NULL) == -ENOENT);
	return 0;
}

/* The child has one thread and what the parent had open. */
static void child_work(struct worker *w)
{
	struct sctx_stream own;
	struct record *r;
	int rc;

	in_child = true;
	w->n_holds = 0; /* the parent's counts are of a moment that never was */
	w->now = "child";
	set_limits(0, 0, 0);
	atomic_store(&ending, true);
	for (unsigned int i = 0; i < 20; i++) {
		op_brief(w);
		holds_drop(w);
	}
	MUST(w, NULL, sctx_registry_for_each(registry_hot(), lock_it, w) == 0);
	MUST(w, NULL, sctx_registry_for_each(w->cold, lock_it, w) == 0);
	CHECK_EQ(sctx_stream_init(&own), 0);
	r = record_new(w, COUNTED, NULL, 0);
	rc = sctx_insert(&own, &r->ctx);
	if (rc)
		wrong(w, r, "insert in the child is %d", rc);
	rc = sctx_teardown_sync(&own);
	if (rc)
		wrong(w, NULL, "teardown_sync in the child is %d", rc);
	op_barrier(w);
}

static enum outcome op_fork(struct worker *w)
{
	static _Atomic uint64_t next_at;
	uint64_t at = atomic_load(&next_at), now = now_ns();
	int status = -1;
	pid_t pid;

	/* Sanitizers lose a forked child's threads or their own locks. */
	if (TEST_ASAN || TEST_TSAN || now < at ||
	    !atomic_compare_exchange_strong(&next_at, &at, now + 50000000))
		return NOTHING;
	sctx_thread_offline();
	fflush(stdout);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		alarm(60);
		child_work(w);
		_exit(0);
	}
	sctx_thread_offline();
	while (waitpid(pid, &status, 0) < 0)
		CHECK_EQ(errno, EINTR);
	if (status)
		wrong(w, NULL, "the child's status is %#x%s", status,
		      WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	return DONE;
}

const struct op world_ops[] = {
	{ "open_hot", op_open_hot, 30000, false },
	{ "open_cold", op_open_cold, 30000, false },
	{ "open_existing", op_open_existing, 20000, false },
	{ "open_nowait", op_open_nowait, 20000, false },
	{ "open_and_close", op_brief, 80000, false },
	{ "close", op_close, 60000, false },
	{ "close_most", op_close_most, 20, true },
	{ "find", op_find, 50000, false },
	{ "for_each", op_for_each, 60, true },
	{ "registry", op_registry, 100, false },
	{ "host_make", op_host_make, 6000, false },
	{ "host_end", op_host_end, 2000, false },
	{ "disable", op_disable, 200, false },
	{ "teardown", op_teardown, 600, false },
	{ "teardown_sync", op_teardown_sync, 400, false },
	{ "barrier", op_barrier, 150, false },
	{ "synchronize", op_synchronize, 300, false },
	{ "configure", op_configure, 100, true },
	{ "poll", op_poll, 1000, true },
	{ "stats", op_stats, 1000, false },
	{ "thread_detach", op_detach_thread, 300, false },
	{ "idle", op_idle, 400, false },
	{ "module_enter", op_module_enter, 2000, false },
	{ "module_use", op_module_use, 30000, false },
	{ "module_leave", op_module_leave, 400, true },
	{ "fork", op_fork, 1000, true },
};
const size_t n_world_ops = ARRAY_SIZE(world_ops);
