/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A context that is linked again in the moment in which its last reference is put.
 * Two threads are stopped between two steps of the library's by the pages that they
 * are about to write to: the context lies across a border of pages.
 */
#include "test.h"

#include <signal.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)

/* A thread that stops at its first write to the context, until it may go on. */
struct stopper {
	atomic_bool stopped, go;
};

static __thread struct stopper *self;

static struct {
	char *pages;
	struct sctx_stream stream, other;
	struct sctx_context *ctx;
	struct item *blocker, *first;
	struct gate entered, leave; /* the blocker's callback */
	struct stopper putter, inserter;
	atomic_uint called;
	int inserted;
} s;

static void stop(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (!self || (size_t)((char *)info->si_addr - s.pages) >= 2 * PAGE) {
		signal(signal_number, SIG_DFL);
		return;
	}
	atomic_store(&self->stopped, true);
	while (!atomic_load(&self->go))
		usleep(1000);
}

/* By each thread: thread_start() undoes what there was. */
static void stop_at_a_write(struct stopper *stopper)
{
	struct sigaction action = { .sa_sigaction = stop, .sa_flags = SA_SIGINFO };

	self = stopper;
	CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

static void protect(int protection)
{
	CHECK_EQ(mprotect(s.pages, 2 * PAGE, protection), 0);
}

/* Starts a thread, and waits until it is about to write to the context. */
static pthread_t start_and_stop(void *(*fn)(void *), struct stopper *stopper)
{
	pthread_t thread;

	protect(PROT_READ);
	thread = thread_start(fn, NULL);
	WAIT_FOR(atomic_load(&stopper->stopped));
	protect(PROT_READ | PROT_WRITE);
	return thread;
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
	assert_rc(sctx_stream_init(&s.other), 0);
	assert_rc(sctx_context_init(s.ctx, OWNER(1), NULL, count_call), 0);
	assert_rc(sctx_insert(&s.stream, s.ctx), 0);
	s.blocker = item_insert(&s.stream, OWNER(2), NULL);
	s.first = item_insert(&s.stream, OWNER(3), NULL);
	s.blocker->hook = hold_the_reclaimer;
}

static void tear_down(void)
{
	assert_rc(sctx_teardown_sync(&s.stream), 0);
	assert_rc(sctx_teardown_sync(&s.other), 0);
	item_free(s.blocker);
	item_free(s.first);
	munmap(s.pages, 2 * PAGE);
}

static void *put_the_last(void *unused)
{
	stop_at_a_write(&s.putter);
	CHECK_EQ(sctx_put(s.ctx), 0);
	return unused;
}

/*
 * The blocker is called back before, if both go to limbo in one phase: so the
 * reclaimer is woken first, and turns it no more until this section ends.
 */
static void *put_behind_the_blocker(void *unused)
{
	stop_at_a_write(&s.putter);
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
	stop_at_a_write(&s.inserter);
	s.inserted = sctx_insert(&s.stream, s.ctx);
	return unused;
}

/*
 * One thread puts what it takes for the last reference.  Another one borrowed the context
 * before, links it @times and takes it back, and inserts it once more.
 */
static void put_and_insert(void *(*putter)(void *), int times)
{
	pthread_t put, insert;

	sctx_read_lock();
	assert_ptr_equal(sctx_lookup(&s.stream, OWNER(1), NULL), s.ctx);
	assert_ptr_equal(sctx_remove(&s.stream, OWNER(1), NULL), s.ctx);
	put = start_and_stop(putter, &s.putter);
	assert_ptr_equal(sctx_ref(s.ctx), s.ctx);
	sctx_read_unlock();
	for (int i = 0; i < times; i++) {
		assert_rc(sctx_insert(&s.other, s.ctx), 0);
		assert_ptr_equal(sctx_remove(&s.other, OWNER(1), NULL), s.ctx);
	}

	insert = start_and_stop(insert_again, &s.inserter);
	atomic_store(&s.putter.go, true);
	thread_join(put);
	atomic_store(&s.inserter.go, true);
	thread_join(insert);
}

/* Limbo may have a reference, and waits for no reader who finds the context now. */
static void called_back_under_a_later_reader(int times)
{
	set_up();
	put_and_insert(put_behind_the_blocker, times);
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

static void a_context_is_not_called_back_under_a_later_reader(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip(); /* which have SIGSEGV to themselves */
	called_back_under_a_later_reader(0);
}

/* No count of how often it was linked may come round to what it was. */
static void however_often_it_was_linked(void **state)
{
	(void)state;
	if (TEST_ASAN || TEST_TSAN)
		skip();
	for (int times = 250; times < 260; times++)
		called_back_under_a_later_reader(times);
	called_back_under_a_later_reader((1 << 16) - 1);
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
	put_and_insert(put_the_last, 0);
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
		cmocka_unit_test(a_context_is_not_called_back_under_a_later_reader),
		cmocka_unit_test(however_often_it_was_linked),
		cmocka_unit_test(a_barrier_waits_for_it),
	};

	return TEST_RUN(tests);
}
