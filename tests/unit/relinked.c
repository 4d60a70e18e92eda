/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context that is hung up again in the moment in which its last reference is
 * put: tests/model/list.pml found it (RELINKED_UNSEEN).  Two threads are stopped
 * between two steps of the library's by the page that they are about to write
 * to: the context lies across a border of pages.
 */
#include "test.h"

#include <signal.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)

enum half { FIRST, SECOND }; /* of the context: up to @stream, and from @next on */

static struct {
	char *pages;
	struct sctx_stream stream;
	struct sctx_context *ctx;
	struct item *blocker, *first;
	struct gate entered, leave; /* the blocker's callback */
	atomic_bool stopped[2], go[2];
	atomic_uint called;
	int inserted;
} s;

static void stop(int signal_number, siginfo_t *info, void *context)
{
	size_t half = (size_t)((char *)info->si_addr - s.pages) / PAGE;

	(void)context;
	if (half > SECOND) {
		signal(signal_number, SIG_DFL);
		return;
	}
	atomic_store(&s.stopped[half], true);
	while (!atomic_load(&s.go[half]))
		usleep(1000);
}

/* By each thread: thread_start() undoes what there was. */
static void catch_stops(void)
{
	struct sigaction action = { .sa_sigaction = stop, .sa_flags = SA_SIGINFO };

	CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

static void protect(enum half half, int protection)
{
	CHECK_EQ(mprotect(s.pages + half * PAGE, PAGE, protection), 0);
}

static void stop_writers(enum half half)
{
	protect(half, PROT_READ);
}

static void let_us_write(enum half half)
{
	protect(half, PROT_READ | PROT_WRITE);
}

static void let_go(enum half half)
{
	let_us_write(half);
	atomic_store(&s.go[half], true);
}

static void count_call(struct sctx_context *ctx)
{
	(void)ctx;
	atomic_fetch_add(&s.called, 1);
}

static void hold_the_reclaimer(struct item *item)
{
	(void)item;
	gate_open(&s.entered);
	gate_wait(&s.leave);
}

static void set_up(void)
{
	memset(&s, 0, sizeof(s));
	s.pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(s.pages != MAP_FAILED);
	s.ctx = (struct sctx_context *)(s.pages + PAGE - offsetof(struct sctx_context, next));
	gate_init(&s.entered);
	gate_init(&s.leave);
	assert_rc(sctx_stream_init(&s.stream), 0);
	assert_rc(sctx_context_init(s.ctx, OWNER(1), NULL, count_call), 0);
	assert_rc(sctx_insert(&s.stream, s.ctx), 0);
	s.blocker = item_insert(&s.stream, OWNER(2), NULL);
	s.first = item_insert(&s.stream, OWNER(3), NULL);
	s.blocker->hook = hold_the_reclaimer;
}

static void tear_down(void)
{
	assert_rc(sctx_teardown_sync(&s.stream), 0);
	item_free(s.blocker);
	item_free(s.first);
	munmap(s.pages, 2 * PAGE);
}

static void *put_the_last(void *unused)
{
	catch_stops();
	CHECK_EQ(sctx_put(s.ctx), 0);
	return unused;
}

/*
 * The blocker is called back before, if both go to limbo in one phase: so the
 * reclaimer is woken first, and turns it no more until this section ends.
 */
static void *put_behind_the_blocker(void *unused)
{
	catch_stops();
	sctx_read_lock();
	CHECK_EQ(sctx_delete(&s.stream, OWNER(3), NULL), 0);
	nap_ms(20);
	CHECK_EQ(sctx_delete(&s.stream, OWNER(2), NULL), 0);
	CHECK_EQ(sctx_put(s.ctx), 0);
	sctx_read_unlock();
	return unused;
}

static void *insert_again(void *unused)
{
	catch_stops();
	s.inserted = sctx_insert(&s.stream, s.ctx);
	return unused;
}

/* One puts what he takes for the last reference; another borrowed it, and inserts it. */
static void put_and_insert(void *(*putter)(void *))
{
	pthread_t put, insert;

	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s.stream, OWNER(1), NULL), s.ctx);
	assert_ptr_equal(sctx_remove(&s.stream, OWNER(1), NULL), s.ctx);
	stop_writers(SECOND);
	put = thread_start(putter, NULL);
	WAIT_FOR(atomic_load(&s.stopped[SECOND])); /* about to set in_limbo */
	let_us_write(SECOND);
	assert_ptr_equal(sctx_ref(s.ctx), s.ctx);
	sctx_read_unlock();

	stop_writers(FIRST);
	insert = thread_start(insert_again, NULL);
	WAIT_FOR(atomic_load(&s.stopped[FIRST])); /* has seen in_limbo clear */
	let_go(SECOND);
	thread_join(put);
	let_go(FIRST);
	thread_join(insert);
}

/* Limbo has the one reference, and waits for no reader who finds it now. */
static void not_called_back_under_a_later_reader(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip(); /* which have SIGSEGV to themselves */
	set_up();
	put_and_insert(put_behind_the_blocker);
	gate_wait(&s.entered); /* the grace period is over */
	if (s.inserted == 0) {
		sctx_read_lock();
		assert_ptr_equal(sctx_lookup(&s.stream, OWNER(1), NULL), s.ctx);
		assert_rc(sctx_delete(&s.stream, OWNER(1), NULL), 0);
		gate_open(&s.leave);
		nap_ms(50);
		assert_int_equal(atomic_load(&s.called), 0);
		sctx_read_unlock();
	} else {
		gate_open(&s.leave);
		assert_rc(sctx_put(s.ctx), 0);
	}
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&s.called), 1);
	tear_down();
}

/* Though it goes through limbo twice: the reclaimer is held until all is ready. */
static void a_barrier_waits_for_it(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	set_up();
	assert_rc(sctx_delete(&s.stream, OWNER(2), NULL), 0);
	gate_wait(&s.entered);
	put_and_insert(put_the_last);
	assert_rc(sctx_delete(&s.stream, OWNER(3), NULL), 0);
	if (s.inserted == 0)
		assert_rc(sctx_delete(&s.stream, OWNER(1), NULL), 0);
	else
		assert_rc(sctx_put(s.ctx), 0);
	gate_open(&s.leave);
	assert_rc(sctx_barrier(), 0);
	assert_int_equal(atomic_load(&s.called), 1);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_called_back_under_a_later_reader),
		cmocka_unit_test(a_barrier_waits_for_it),
	};

	return TEST_RUN(tests);
}
