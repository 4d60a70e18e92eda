/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules that leave while others open, close, insert and leave.
 */
#include "module.h"

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
		module_enter(&r.m, home);
		assert_rc(sctx_close(stream_open(home, 1)), 0);
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
		struct sctx_stream *s = stream_open(home, test_random(&seed) % IDS);

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
		module_enter(m, home);
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
		CHECK_EQ(sctx_stream_track(home, &s), 0);
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
		assert_rc(sctx_stream_track(home, &race.embedded[i]), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, home_setup, home_teardown)
		T(one_of_several_unregisters_wins),
		T(modules_come_and_go_among_users),
	};

	return TEST_RUN(tests);
}
