/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules that leave: sctx_owner_unregister() alone, with holders, and against
 * everything else.  A module's callback that comes after it has left kills the
 * program (module.c).
 */
#include "module.h"

static struct sctx_registry *registry;

static int setup(void **state)
{
	(void)state;
	return sctx_registry_create(&registry);
}

static int end(void **state)
{
	(void)state;
	return sctx_registry_destroy(registry) || sctx_barrier();
}

static struct sctx_leaks leaks;

static int leave(struct module *m)
{
	leaks = (struct sctx_leaks){ .size = sizeof(leaks) };
	return module_leave(m, &leaks);
}

/* ------------------------------------------------------------------- alone */

#define STREAMS 3000

static void its_contexts_go_from_all_streams(void **state)
{
	static struct sctx_stream *stream[STREAMS];
	struct module a, b;

	(void)state;
	module_init(&a);
	module_init(&b);
	a.ops.attach = b.ops.attach = module_attach;
	module_enter(&a, registry);
	module_enter(&b, registry);
	for (unsigned int i = 0; i < STREAMS; i++) {
		stream[i] = stream_open(registry, i);
		if (i % 5 == 0) /* more than one on a stream */
			module_insert(&a, stream[i]);
	}
	assert_rc(leave(&a), 0);
	assert_u64(atomic_load(&a.detached), ==, STREAMS + STREAMS / 5);
	assert_u64(atomic_load(&a.freed), ==, STREAMS + STREAMS / 5);
	assert_u64(atomic_load(&b.detached), ==, 0);
	for (unsigned int i = 0; i < STREAMS; i++) {
		assert_null(peek(stream[i], a.owner, NULL));
		assert_non_null(peek(stream[i], b.owner, NULL));
	}
	/* It is forgotten, and asked no more. */
	assert_rc(sctx_owner_unregister(a.owner, NULL), -ENOENT);
	assert_rc(sctx_close(stream_open(registry, STREAMS)), 0);
	for (unsigned int i = 0; i < STREAMS; i++)
		assert_rc(sctx_close(stream[i]), 0);
	assert_rc(leave(&b), 0);
}

static void refuses_what_is_malformed_or_cannot_wait(void **state)
{
	struct module m;

	(void)state;
	assert_rc(sctx_owner_unregister(NULL, NULL), -EINVAL);
	assert_rc(sctx_owner_drain(NULL), -EINVAL);
	module_init(&m);
	module_enter(&m, registry);
	leaks.size = sizeof(leaks) - 1;
	assert_rc(sctx_owner_unregister(m.owner, &leaks), -EINVAL);
	sctx_read_lock();
	assert_rc(sctx_owner_unregister(m.owner, NULL), -EDEADLK);
	assert_rc(sctx_owner_drain(m.owner), -EDEADLK);
	sctx_read_unlock();
	/* Nothing has changed. */
	assert_rc(sctx_put(module_context(&m, NULL)), 0);
	assert_rc(leave(&m), 0);
}

static void leave_in_callback(struct item *item)
{
	CHECK_EQ(sctx_owner_unregister(item->arg, NULL), -EDEADLK);
	CHECK_EQ(sctx_owner_drain(item->arg), -EDEADLK);
}

static void not_from_a_callback(void **state)
{
	struct module m;
	struct item *item = item_new(OWNER(1), NULL);

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	item->hook = leave_in_callback;
	item->arg = m.owner;
	assert_rc(sctx_put(&item->ctx), 0);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(item_called(item), 1);
	item_free(item);
	assert_rc(leave(&m), 0);
}

static void drain_waits_for_the_owners_callbacks(void **state)
{
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	for (unsigned int i = 1; i <= 100; i++) {
		assert_rc(sctx_put(module_context(&m, NULL)), 0);
		assert_rc(sctx_owner_drain(m.owner), 0);
		assert_u64(atomic_load(&m.freed), ==, i);
	}
	assert_rc(leave(&m), 0);
}

/* ----------------------------------------------------------------- tracked */

static void tracked_streams_are_swept(void **state)
{
	static struct sctx_stream s[100];
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	for (int i = 0; i < 100; i++) {
		sctx_stream_init(&s[i]);
		assert_rc(sctx_stream_track(registry, &s[i]), 0);
		module_insert(&m, &s[i]);
	}
	assert_rc(sctx_stream_track(registry, &s[0]), -EALREADY);
	assert_rc(sctx_registry_destroy(registry), -EBUSY);
	/* A disabled stream's contexts hang there still. */
	assert_rc(sctx_stream_disable(&s[7]), 0);
	for (int i = 0; i < 50; i++)
		assert_rc(sctx_teardown(&s[i * 2]), 0);
	assert_u64(atomic_load(&m.detached), ==, 50);
	assert_rc(leave(&m), 0);
	assert_u64(atomic_load(&m.detached), ==, 100);
	assert_u64(atomic_load(&m.freed), ==, 100);
	/* They go on as before. */
	module_enter(&m, registry);
	module_insert(&m, &s[1]);
	assert_rc(leave(&m), 0);
	for (int i = 0; i < 100; i++)
		assert_rc(sctx_teardown_sync(&s[i]), 0);
}

static void track_refuses(void **state)
{
	struct sctx_stream s, zero = { 0 };
	struct sctx_stream *managed = stream_open(registry, 1);

	(void)state;
	sctx_stream_init(&s);
	assert_rc(sctx_stream_track(NULL, &s), -EINVAL);
	assert_rc(sctx_stream_track(registry, NULL), -EINVAL);
	assert_rc(sctx_stream_track(registry, managed), -EPERM);
	assert_rc(sctx_stream_track(registry, &zero), -EOPNOTSUPP);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(sctx_stream_track(registry, &s), -ESHUTDOWN);
	sctx_stream_init(&s);
	assert_rc(sctx_stream_disable(&s), 0);
	assert_rc(sctx_stream_track(registry, &s), -EOPNOTSUPP);
	assert_rc(sctx_close(managed), 0);
}

static void retire_free(struct sctx_stream *stream)
{
	free(stream);
}

static void a_tracked_stream_can_be_retired(void **state)
{
	struct sctx_stream *s = malloc(sizeof(*s));

	(void)state;
	sctx_stream_init(s);
	assert_rc(sctx_stream_track(registry, s), 0);
	assert_rc(sctx_stream_retire(s, retire_free), 0);
	assert_rc(sctx_barrier(), 0);
	/* registry_destroy() in the teardown shows that it is off the list. */
}

/* An embedded stream that nobody told of: its context cannot be found. */
static void what_was_not_told_of_is_counted(void **state)
{
	struct sctx_stream s;
	struct module m;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	sctx_stream_init(&s);
	module_insert(&m, &s);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 1);
	assert_rc(sctx_teardown(&s), 0);
	assert_rc(leave(&m), 0);
}

/* ----------------------------------------------------------------- holders */

static const struct sctx_leak *leak_of(const struct sctx_context *ctx)
{
	for (unsigned int i = 0; i < leaks.listed; i++)
		if (leaks.leak[i].ctx == ctx)
			return &leaks.leak[i];
	fail_msg("%p is not in the report", (const void *)ctx);
	return NULL;
}

static void holders_are_reported_and_keep_what_they_hold(void **state)
{
	struct module m;
	struct sctx_stream *s[3];
	struct sctx_context *held[3], *refused = (void *)1;

	(void)state;
	module_init(&m);
	m.ops.name = "holder";
	m.ops.attach = module_attach;
	module_enter(&m, registry);
	for (unsigned int i = 0; i < 3; i++)
		s[i] = stream_open(registry, 100 + i);
	held[0] = sctx_get(s[0], m.owner, NULL);    /* beside the stream's, swept */
	held[1] = sctx_remove(s[1], m.owner, NULL); /* handed out */
	held[2] = sctx_get(s[2], m.owner, NULL);
	assert_rc(sctx_close(s[2]), 0); /* torn down before */

	assert_rc(leave(&m), -EBUSY);
	assert_string_equal(leaks.name, "holder");
	assert_int_equal(leaks.tag, MODULE_TAG);
	assert_u64(leaks.held, ==, 3);
	assert_int_equal(leaks.listed, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct sctx_leak *leak = leak_of(held[i]);

		assert_true(leak->has_id);
		assert_u64(id_number(&leak->id), ==, 100 + i);
		assert_int_equal(module_data(held[i])->canary, ITEM_ALIVE);
	}
	/* No way back, and no way in. */
	assert_rc(sctx_context_alloc(m.owner, NULL, 0, &refused), -ESHUTDOWN);
	assert_null(refused);
	assert_rc(sctx_insert(s[0], held[0]), -ESHUTDOWN);
	assert_rc(sctx_insert_unique(s[0], held[0], NULL), -ESHUTDOWN);
	assert_rc(sctx_replace(s[0], held[0], NULL), -ESHUTDOWN);
	assert_rc(sctx_close(stream_open(registry, 200)), 0);
	assert_u64(atomic_load(&m.made), ==, 3);

	assert_rc(sctx_put(held[0]), 0);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 2);
	assert_int_equal(leaks.listed, 2);
	assert_rc(sctx_put(held[1]), 0);
	assert_rc(sctx_put(held[2]), 0);
	assert_rc(leave(&m), 0);
	assert_u64(atomic_load(&m.freed), ==, 3);
	assert_rc(sctx_close(s[0]), 0);
	assert_rc(sctx_close(s[1]), 0);
}

static void more_holders_than_the_report_lists(void **state)
{
	enum { N = SCTX_LEAKS_LISTED + 5 };
	struct sctx_context *held[N];
	struct module m;

	(void)state;
	module_init(&m);
	m.ops.attach = module_attach;
	module_enter(&m, registry);
	for (unsigned int i = 0; i < N; i++) {
		struct sctx_stream *s = stream_open(registry, i);

		held[i] = sctx_get(s, m.owner, NULL);
		assert_rc(sctx_close(s), 0);
	}
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, N);
	assert_int_equal(leaks.listed, SCTX_LEAKS_LISTED);
	for (unsigned int i = 0; i < N; i++)
		assert_rc(sctx_put(held[i]), 0);
	assert_rc(leave(&m), 0);
}

/* A note of who held something goes with the last put, and with an insert. */
static void notes_do_not_pile_up(void **state)
{
	struct module m;
	struct sctx_stream *s = stream_open(registry, 1);
	struct sctx_context *last = NULL;

	(void)state;
	module_init(&m);
	module_enter(&m, registry);
	for (int i = 0; i < 5 * SCTX_LEAKS_LISTED; i++) {
		struct sctx_context *ctx = module_insert(&m, s);

		assert_ptr_equal(sctx_remove(s, m.owner, NULL), ctx);
		if (i % 2) {
			assert_rc(sctx_put(ctx), 0);
			continue;
		}
		assert_rc(sctx_insert(s, ctx), 0);
		assert_rc(sctx_delete(s, m.owner, NULL), 0);
	}
	/* Noted once, though there are two who hold it. */
	assert_non_null(sctx_ref(module_insert(&m, s)));
	last = sctx_remove(s, m.owner, NULL);
	assert_rc(leave(&m), -EBUSY);
	assert_u64(leaks.held, ==, 1);
	assert_int_equal(leaks.listed, 1);
	leak_of(last);
	assert_rc(sctx_put(last), 0);
	assert_rc(sctx_put(last), 0);
	assert_rc(leave(&m), 0);
	assert_rc(sctx_close(s), 0);
}

/* ------------------------------------------------------ against each other */

struct rivals {
	struct module m;
	struct rendezvous start;
	atomic_uint won;
};

static void rival_thread(unsigned int index, void *arg)
{
	struct rivals *r = arg;
	int error;

	(void)index;
	rendezvous_wait(&r->start);
	error = sctx_owner_unregister(r->m.owner, NULL);
	if (error == 0)
		atomic_fetch_add(&r->won, 1);
	else
		CHECK(error == -EALREADY || error == -ENOENT);
}

static void one_of_several_unregisters_wins(void **state)
{
	(void)state;
	for (int round = 0; round < 50; round++) {
		static struct rivals r;

		atomic_store(&r.won, 0);
		module_init(&r.m);
		r.m.ops.attach = module_attach;
		module_enter(&r.m, registry);
		assert_rc(sctx_close(stream_open(registry, 1)), 0);
		rendezvous_init(&r.start, 3);
		run_threads(3, rival_thread, &r);
		assert_int_equal(atomic_load(&r.won), 1);
	}
}

/* ------------------------------------------------- against everything else */

enum { MODULES = 3, EMBEDDED = 8, IDS = 50 };

/*
 * A module comes and goes among threads that open, close and use its contexts.
 * Who uses an owner needs it to be registered: here under a lock that keeps
 * the last unregister off, while a first one, which a guard context makes
 * fail, races with everything.
 */
static struct race {
	struct module m[MODULES];
	pthread_rwlock_t lock[MODULES];
	bool usable[MODULES];
	struct sctx_stream embedded[EMBEDDED];
	atomic_bool stop;
	atomic_ulong left, used;
} race;

static void use_stream(struct sctx_stream *s, uint64_t *seed, struct module *m)
{
	struct sctx_context *ctx = NULL, *other;

	switch (test_random(seed) % 6) {
	case 0:
		if (sctx_context_alloc(m->owner, NULL, 0, &ctx) == 0) {
			module_data(ctx)->canary = ITEM_ALIVE;
			if (sctx_insert(s, ctx))
				CHECK_EQ(sctx_put(ctx), 0);
		}
		break;
	case 1:
		if (sctx_context_alloc(m->owner, NULL, 0, &ctx) == 0) {
			module_data(ctx)->canary = ITEM_ALIVE;
			if (sctx_replace(s, ctx, &other))
				CHECK_EQ(sctx_put(ctx), 0);
			else if (other)
				CHECK_EQ(sctx_put(other), 0);
		}
		break;
	case 2:
		ctx = sctx_remove(s, m->owner, NULL);
		if (ctx)
			CHECK_EQ(sctx_put(ctx), 0);
		break;
	case 3:
		sctx_delete(s, m->owner, NULL);
		break;
	case 4:
		ctx = sctx_get(s, m->owner, NULL);
		if (ctx) {
			CHECK_EQ(module_data(ctx)->canary, ITEM_ALIVE);
			sctx_detach(ctx);
			CHECK_EQ(sctx_put(ctx), 0);
		}
		break;
	case 5:
		sctx_read_lock();
		ctx = sctx_lookup(s, m->owner, NULL);
		if (ctx)
			CHECK_EQ(module_data(ctx)->canary, ITEM_ALIVE);
		sctx_read_unlock();
		break;
	}
}

static void user_thread(uint64_t seed)
{
	while (!atomic_load(&race.stop)) {
		unsigned int which = (unsigned int)(test_random(&seed) % MODULES);
		struct sctx_stream *s = stream_open(registry, test_random(&seed) % IDS);

		pthread_rwlock_rdlock(&race.lock[which]);
		if (race.usable[which]) {
			use_stream(s, &seed, &race.m[which]);
			use_stream(&race.embedded[seed % EMBEDDED], &seed, &race.m[which]);
			atomic_fetch_add(&race.used, 1);
		}
		pthread_rwlock_unlock(&race.lock[which]);
		CHECK_EQ(sctx_close(s), 0);
	}
}

static void set_usable(unsigned int index, bool usable)
{
	pthread_rwlock_wrlock(&race.lock[index]);
	race.usable[index] = usable;
	pthread_rwlock_unlock(&race.lock[index]);
}

static void module_thread(unsigned int index)
{
	struct module *m = &race.m[index];

	for (uint64_t stop = test_deadline(1200); !past(stop);) {
		struct sctx_context *guard;

		module_init(m);
		m->ops.attach = module_attach;
		module_enter(m, registry);
		guard = module_context(m, NULL);
		set_usable(index, true);
		nap_ms(2);
		CHECK_EQ(module_leave(m, NULL), -EBUSY);
		set_usable(index, false);
		CHECK_EQ(sctx_put(guard), 0);
		CHECK_EQ(module_leave(m, NULL), 0);
		atomic_fetch_add(&race.left, 1);
	}
	if (index == 0)
		atomic_store(&race.stop, true);
}

/* One embedded stream after the other is torn down and begins anew. */
static void embedded_thread(void)
{
	uint64_t seed = 99;

	for (unsigned int n = 0; !atomic_load(&race.stop); n = (n + 1) % MODULES) {
		struct sctx_stream s;

		sctx_stream_init(&s);
		CHECK_EQ(sctx_stream_track(registry, &s), 0);
		pthread_rwlock_rdlock(&race.lock[n]);
		if (race.usable[n])
			use_stream(&s, &seed, &race.m[n]);
		pthread_rwlock_unlock(&race.lock[n]);
		CHECK_EQ(sctx_teardown_sync(&s), 0);
	}
}

static void race_thread(unsigned int index, void *arg)
{
	(void)arg;
	if (index < MODULES)
		module_thread(index);
	else if (index == MODULES)
		embedded_thread();
	else
		user_thread(index);
}

static void modules_come_and_go_among_users(void **state)
{
	pthread_rwlockattr_t fair; /* glibc's default starves who writes */

	(void)state;
	atomic_store(&race.stop, false);
	pthread_rwlockattr_init(&fair);
	pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	for (int i = 0; i < MODULES; i++)
		pthread_rwlock_init(&race.lock[i], &fair);
	for (int i = 0; i < EMBEDDED; i++) {
		sctx_stream_init(&race.embedded[i]);
		assert_rc(sctx_stream_track(registry, &race.embedded[i]), 0);
	}
	run_threads(MODULES + 4, race_thread, NULL);
	for (int i = 0; i < EMBEDDED; i++)
		assert_rc(sctx_teardown(&race.embedded[i]), 0);
	assert_rc(sctx_barrier(), 0);
	for (int i = 0; i < EMBEDDED; i++)
		race.embedded[i] = (struct sctx_stream){ 0 };
	assert_u64(atomic_load(&race.left), >, 2);
	assert_u64(atomic_load(&race.used), >, 100);
}

/* ------------------------------------------------------------ slow modules */

static struct gate in_attach, leave_attach;

static int attach_at_gate(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			  struct sctx_context **ctx)
{
	int error;

	gate_open(&in_attach);
	gate_wait(&leave_attach);
	/* It is leaving, soon or by now, and this open goes on without it. */
	while ((error = module_attach(owner, id, arg, ctx)) == 0) {
		CHECK_EQ(sctx_put(*ctx), 0);
		*ctx = NULL;
		nap_ms(1);
	}
	CHECK_EQ(error, -ESHUTDOWN);
	return error;
}

static void *open_thread(void *stream)
{
	*(struct sctx_stream **)stream = stream_open(registry, 1);
	return NULL;
}

static void *leave_thread(void *m)
{
	CHECK_EQ(module_leave(m, NULL), 0);
	return NULL;
}

static void an_attach_under_way_is_waited_for(void **state)
{
	struct module m;
	struct sctx_stream *stream = NULL;
	pthread_t opener, leaver;

	(void)state;
	gate_init(&in_attach);
	gate_init(&leave_attach);
	module_init(&m);
	m.ops.attach = attach_at_gate;
	m.ops.flags = SCTX_OWNER_REQUIRED;
	module_enter(&m, registry);
	opener = thread_start(open_thread, &stream);
	gate_wait(&in_attach);
	leaver = thread_start(leave_thread, &m);
	nap_ms(50);
	assert_true(atomic_load(&m.there));
	gate_open(&leave_attach);
	thread_join(leaver);
	thread_join(opener);
	assert_non_null(stream);
	assert_rc(sctx_close(stream), 0);
}

static struct gate in_free, leave_free;

static void free_at_gate(struct sctx_context *ctx)
{
	gate_open(&in_free);
	gate_wait(&leave_free);
	CHECK(atomic_load(&module_of(ctx)->there));
}

static void a_callback_under_way_is_waited_for(void **state)
{
	struct module m;
	pthread_t leaver;

	(void)state;
	gate_init(&in_free);
	gate_init(&leave_free);
	module_init(&m);
	m.ops.free = free_at_gate;
	module_enter(&m, registry);
	assert_rc(sctx_put(module_context(&m, NULL)), 0);
	gate_wait(&in_free);
	leaver = thread_start(leave_thread, &m);
	nap_ms(50);
	assert_true(atomic_load(&m.there));
	gate_open(&leave_free);
	thread_join(leaver);
}

/* -------------------------------------------------------------------- fork */

static void child_leaves(void *arg)
{
	CHECK_EQ(module_leave(arg, NULL), 0);
}

/* Each process has its own owners; in the child the module can leave by itself. */
static void parent_and_child_each_leave(void **state)
{
	struct module m;
	struct sctx_stream *s;
	pid_t pid;

	(void)state;
	if (TEST_TSAN) /* follows no thread into a child */
		skip();
	s = stream_open(registry, 1);
	module_init(&m);
	module_enter(&m, registry);
	module_insert(&m, s);
	pid = child_start(child_leaves, &m);
	assert_child_ok(pid);
	assert_non_null(peek(s, m.owner, NULL));
	assert_rc(leave(&m), 0);
	assert_rc(sctx_close(s), 0);
}

/* The thread that was unregistering is not in the child. */
static void a_child_can_finish_what_another_thread_began(void **state)
{
	struct module m;
	struct sctx_stream *stream = NULL;
	pthread_t leaver;
	pid_t pid;

	(void)state;
	if (TEST_TSAN)
		skip();
	gate_init(&in_free);
	gate_init(&leave_free);
	module_init(&m);
	m.ops.free = free_at_gate;
	module_enter(&m, registry);
	stream = stream_open(registry, 1);
	module_insert(&m, stream);
	leaver = thread_start(leave_thread, &m);
	gate_wait(&in_free);
	/* The callback under way in the parent is lost to the child: still held. */
	pid = fork();
	if (pid == 0) {
		alarm(20);
		_exit(sctx_owner_unregister(m.owner, NULL) == -EBUSY ? 0 : 1);
	}
	gate_open(&leave_free);
	thread_join(leaver);
	assert_child_ok(pid);
	assert_rc(sctx_close(stream), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, end)
		T(its_contexts_go_from_all_streams),
		T(refuses_what_is_malformed_or_cannot_wait),
		T(not_from_a_callback),
		T(drain_waits_for_the_owners_callbacks),
		T(tracked_streams_are_swept),
		T(track_refuses),
		T(a_tracked_stream_can_be_retired),
		T(what_was_not_told_of_is_counted),
		T(holders_are_reported_and_keep_what_they_hold),
		T(more_holders_than_the_report_lists),
		T(notes_do_not_pile_up),
		T(one_of_several_unregisters_wins),
		T(modules_come_and_go_among_users),
		T(an_attach_under_way_is_waited_for),
		T(a_callback_under_way_is_waited_for),
		T(parent_and_child_each_leave),
		T(a_child_can_finish_what_another_thread_began),
	};

	return TEST_RUN(tests);
}
