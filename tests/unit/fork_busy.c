/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fork(2) out of a process whose other threads are in the library: the child
 * finds everything whole.
 *
 * The others run up to the fork and stand still while the child does, so that
 * a round costs what it does and not what the others do meanwhile.
 */
#include "load.h"

#define BUSY 3

struct busy {
	struct load load;
	void (*turn)(struct load *load, uint64_t *seed);
	atomic_uint forkers; /* that do not wait for a child */
};

/* The limit keeps small what a fork copies, and what it waits for. */
static void busy_begin(struct busy *b, enum sctx_reclaim_mode mode,
		       void (*turn)(struct load *load, uint64_t *seed), unsigned int forkers)
{
	/* ASan's allocator takes no part in fork: its locks stay held in the child. */
	if (TEST_ASAN || TEST_TSAN)
		skip();
	load_begin(&b->load, mode, 4096);
	b->turn = turn;
	atomic_store(&b->forkers, forkers);
}

/*
 * Updates in sections of the caller's, which may have begun after the fork
 * asked for its grace period: it must not find one of them under way.
 */
static void update_in_a_section(struct load *load, uint64_t *seed)
{
	bool full = false;

	sctx_read_lock();
	for (unsigned int i = 0; i < 4 && !full; i++) {
		struct sctx_id id = id_of(test_random(seed) % 12);
		struct sctx_context *ctx = &item_churn(OWNER(2), NULL)->ctx;
		struct sctx_stream *s;
		int rc = sctx_insert(&load->stream, ctx);

		full = rc == -EAGAIN;
		CHECK_EQ(full ? sctx_put(ctx) : rc, 0);
		CHECK(sctx_delete(&load->stream, OWNER(2), NULL) <= 0);
		rc = sctx_open(load->registry, &id, 0, &s);
		full |= rc == -EAGAIN;
		CHECK(rc == 0 || rc == -EAGAIN);
		if (rc == 0)
			CHECK_EQ(sctx_close(s), 0);
	}
	sctx_read_unlock();
	if (full) /* in the section nothing waited */
		CHECK_EQ(sctx_barrier(), 0);
}

static void busy_thread(unsigned int index, struct busy *b)
{
	uint64_t seed = index;

	while (!atomic_load(&b->load.stop)) {
		if (atomic_load(&b->forkers))
			b->turn(&b->load, &seed);
		else
			nap_ms(1);
	}
}

/* The same ids and the same stream that the others were at. */
static void child_goes_on(void *arg)
{
	struct load *load = &((struct busy *)arg)->load;
	uint64_t seed = 4711;

	CHECK_EQ(sctx_reclaim_poll(10) == -EOPNOTSUPP, load->mode != SCTX_RECLAIM_POLL);
	for (unsigned int i = 0; i < 300; i++)
		load_turn(load, &seed);
	CHECK_EQ(sctx_barrier(), 0);
	for (unsigned int i = 0; i < 12; i++) {
		struct sctx_id id = id_of(i);
		struct sctx_stream *s;

		CHECK_EQ(sctx_open(load->registry, &id, 0, &s), 0);
		CHECK_EQ(sctx_close(s), 0);
	}
	stream_end(&load->stream);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(stats_now().limbo_callbacks, 0);
}

/* Fork, with the others busy until then. */
static void fork_once(struct busy *b, void (*child)(void *arg))
{
	pid_t pid = child_start(child, b);

	atomic_fetch_sub(&b->forkers, 1);
	CHECK_EQ(child_wait(pid), 0);
	atomic_fetch_add(&b->forkers, 1);
}

static void one_forks(unsigned int index, void *arg)
{
	struct busy *b = arg;

	if (index) {
		busy_thread(index, b);
		return;
	}
	for (unsigned int i = 0; i < test_scaled(40); i++) {
		nap_ms(i % 4);
		fork_once(b, child_goes_on);
	}
	atomic_store(&b->load.stop, true);
}

static void forks_while_other_threads_open_and_close(void **state)
{
	struct busy b;

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++) {
		busy_begin(&b, modes[i], load_turn, 1);
		run_threads(1 + BUSY, one_forks, &b);
		load_end(&b.load);
	}
}

static void forks_while_others_update_in_sections(void **state)
{
	struct busy b;

	(void)state;
	busy_begin(&b, SCTX_RECLAIM_THREAD, update_in_a_section, 1);
	run_threads(1 + BUSY, one_forks, &b);
	load_end(&b.load);
}

/* system(3) and popen(3) in a daemon's modules do. */
static void two_fork(unsigned int index, void *arg)
{
	struct busy *b = arg;
	uint64_t seed = index;

	if (index >= 2) {
		busy_thread(index, b);
		return;
	}
	for (unsigned int i = 0; i < test_scaled(40); i++) {
		for (unsigned int j = 0; j < 20; j++)
			load_turn(&b->load, &seed);
		fork_once(b, child_reclaims);
	}
	atomic_store(&b->load.stop, true);
}

static void several_threads_fork(void **state)
{
	struct busy b;

	(void)state;
	busy_begin(&b, SCTX_RECLAIM_THREAD, load_turn, 2);
	run_threads(2 + BUSY, two_fork, &b);
	load_end(&b.load);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forks_while_other_threads_open_and_close),
		cmocka_unit_test(forks_while_others_update_in_sections),
		cmocka_unit_test(several_threads_fork),
	};

	return TEST_RUN(tests);
}
