/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests share.
 *
 * Two kinds of assertion: cmocka's and assert_rc() fail the test that runs, on
 * the thread that cmocka runs it on; CHECK() and CHECK_EQ() print both sides
 * and abort the program, and are the only ones allowed on other threads, in
 * callbacks and in forked children.
 *
 * A thread that blocks under the qsbr flavour must say so, or every grace
 * period waits for it: whatever sleeps, joins or polls goes through the
 * helpers here, which do.  The same sources then run on every flavour.
 */
#ifndef TEST_H
#define TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <cmocka.h>

#include <streamctx.h>

#define ARRAY_SIZE(a)                  (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, field) ((type *)((char *)(ptr)-offsetof(type, field)))

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

/* Threads and memory of the process are the program's: no sanitizer's, no emulator's. */
#define TEST_EMULATED (getenv("SCTX_TEST_EMULATOR") != NULL)
#define TEST_ALONE    (!TEST_ASAN && !TEST_TSAN && !TEST_EMULATED)

/* ------------------------------------------------------------- assertions */

#define CHECK(cond)                                                         \
	do {                                                                \
		if (!(cond))                                                \
			test_die(__FILE__, __LINE__, "%s is false", #cond); \
	} while (0)

#define CHECK_EQ(a, b)                                                                          \
	do {                                                                                    \
		long long a_ = (long long)(a), b_ = (long long)(b);                             \
		if (a_ != b_)                                                                   \
			test_die(__FILE__, __LINE__, "%s is %lld, %s is %lld", #a, a_, #b, b_); \
	} while (0)

__attribute__((noreturn, format(printf, 3, 4))) void test_die(const char *file, int line,
							      const char *format, ...);

/* An errno result, named on failure. */
#define assert_rc(expr, want) test_rc((expr), (want), #expr, __FILE__, __LINE__)
void test_rc(int got, int want, const char *expr, const char *file, int line);

#define assert_u64(a, op, b)                                                                   \
	do {                                                                                   \
		unsigned long long a_ = (a), b_ = (b);                                         \
		if (!(a_ op b_))                                                               \
			fail_msg("%s is %llu, not %s %s, which is %llu", #a, a_, #op, #b, b_); \
	} while (0)

/* --------------------------------------------------------- running, timing */

/*
 * As cmocka_run_group_tests(), with 0 or 1 as the exit status.  Only the tests
 * that match SCTX_TEST_FILTER, if set; and only if the library's version names
 * the flavour SCTX_TEST_RCU, if set.
 */
#define TEST_RUN(tests) test_run(tests, ARRAY_SIZE(tests))
int test_run(const struct CMUnitTest *tests, size_t n);

#define EXIT_SKIP 77

/*
 * @n times SCTX_TEST_SCALE (1 if unset; 0.5 is half), 1 at least: races run that many times
 * as long.
 */
unsigned int test_scaled(unsigned int n);

uint64_t now_ns(void);

/* What takes @ms on an idle machine may take so many nanoseconds under the present load. */
uint64_t loaded_ns(unsigned int ms);

/* Between two grace periods, where limbo is far from its limits. */
#define PACE_MS 2

/* A race's time: for (uint64_t end = test_deadline(300); !past(end);) */
uint64_t test_deadline(unsigned int ms);
static inline bool past(uint64_t deadline)
{
	return now_ns() >= deadline;
}

/* Sleep, with qsbr told. */
void nap_ms(unsigned int ms);

/* Poll for @cond, with qsbr told; the program dies if it takes 20 seconds, or longer under load. */
#define WAIT_FOR(cond)                                                                        \
	do {                                                                                  \
		uint64_t end_ = now_ns() + loaded_ns(20000);                                  \
		while (!(cond)) {                                                             \
			if (past(end_))                                                       \
				test_die(__FILE__, __LINE__, "%s did not come about", #cond); \
			nap_ms(1);                                                            \
		}                                                                             \
	} while (0)

uint64_t test_random(uint64_t *state);

/* Resident memory of the process in bytes, and its number of threads. */
size_t resident_bytes(void);
unsigned int task_count(void);

/* ---------------------------------------------------------------- threads */

pthread_t thread_start(void *(*fn)(void *arg), void *arg);
void thread_join(pthread_t thread);

/* Run @fn(0 .. n-1, arg) on @n threads that start together; join them. */
void run_threads(unsigned int n, void (*fn)(unsigned int index, void *arg), void *arg);

/* All of @n threads meet here, again and again. */
struct rendezvous {
	unsigned int n;
	atomic_uint arrived;
	atomic_uint round;
};
void rendezvous_init(struct rendezvous *r, unsigned int n);
void rendezvous_wait(struct rendezvous *r);

/* A gate that opens once. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool open;
};
void gate_init(struct gate *gate);
void gate_open(struct gate *gate);
void gate_wait(struct gate *gate);
bool gate_is_open(struct gate *gate);

/* Fork; in the child run @fn(arg) and exit 0.  The child dies after 30 s, or later under load. */
pid_t child_start(void (*fn)(void *arg), void *arg);
/* Its wait status, 0 if all is well. */
int child_wait(pid_t pid);
#define assert_child_ok(pid) assert_int_equal(child_wait(pid), 0)
/* What a child may run: a context goes through limbo, and readers are waited for. */
void child_reclaims(void *unused);

/* ------------------------------------------------------------------ items */

extern const char test_names[64];
#define OWNER(n) ((const void *)&test_names[n])
#define INST(n)  ((const void *)&test_names[32 + (n)])

#define ITEM_ALIVE 0xa11fe5edu
#define ITEM_DEAD  0xdeadbeefu

/*
 * An owner's structure around a context.
 *
 * item_new(): the callback counts and calls the hook; the memory stays for the
 * test to look at, until item_free().
 *
 * item_churn(): for races.  The callback overwrites the memory and frees it a
 * little later, so that a reader who comes late sees the canary dead, and
 * items_created() and items_freed() count.
 */
struct item {
	uint32_t canary;
	unsigned int number;
	struct sctx_context ctx;
	atomic_uint called; /* times that the callback ran */
	atomic_uint handed; /* times that someone got it without a callback */
	void (*hook)(struct item *item);
	void *arg;
};

#define item_of(c) container_of(c, struct item, ctx)

struct item *item_new(const void *owner, const void *instance);
void item_free(struct item *item);
struct item *item_churn(const void *owner, const void *instance);
/* Free a churn item that came back without a callback. */
void item_churn_free(struct item *item);
/* Dies unless the item is alive. */
void item_check(const struct item *item);

unsigned int item_called(const struct item *item);
unsigned long items_created(void);
unsigned long items_freed(void);
/* Start counting from 0; free what waits in quarantine. */
void items_reset(void);

/* sctx_create_fn: a churn item; *arg counts the calls if not NULL (atomic_ulong). */
struct sctx_context *item_create(const void *owner, const void *instance, void *arg);

/* Put @n new churn items. */
void put_churn(unsigned int n);
/* The same in one section, where nothing is reclaimed in any mode. */
void fill_limbo(unsigned int n);
/* After a barrier limbo is empty, and all churn items have been freed. */
void all_freed(void);
/* Put @n new items, numbered, with this hook; later check that each was called back, and free them.
 */
struct item **put_items(unsigned int n, void (*hook)(struct item *item), void *arg);
void called_once_each(struct item **items, unsigned int n);

/* A hook that opens the gate and waits for the lock; gate_init() it first. */
extern pthread_mutex_t callback_lock;
extern struct gate callback_begun;
void callback_takes_lock(struct item *item);

/* A new item on @stream. */
struct item *item_insert(struct sctx_stream *stream, const void *owner, const void *instance);

/* sctx_lookup() in a section of its own, for comparing only. */
struct sctx_context *peek(const struct sctx_stream *stream, const void *owner,
			  const void *instance);

/* ---------------------------------------------------------------- readers */

/*
 * A thread parked in a read section, with what a lookup found (if @stream is
 * not NULL) borrowed.  Leaving dies if the item is dead by then.  Those that a
 * test that failed has left parked leave after it.
 */
struct reader {
	pthread_t thread;
	const struct sctx_stream *stream;
	const void *owner;
	const void *instance;
	struct sctx_context *borrowed;
	struct gate entered;
	struct gate leave;
	struct reader *next;
};
struct reader *reader_park(const struct sctx_stream *stream, const void *owner,
			   const void *instance);
void reader_leave(struct reader *reader);

/* ------------------------------------------------------------------- ids */

struct sctx_id id_of(uint64_t n);
uint64_t id_number(const struct sctx_id *id);

/* ---------------------------------------------------------- streams, registries */

struct sctx_registry *registry_new(void);
/* Destroy it, with no stream open. */
void registry_end(struct sctx_registry *registry);
/* sctx_find() in a section of its own, for comparing only. */
struct sctx_stream *seek(struct sctx_registry *registry, const struct sctx_id *id);
/* Open what is there, and close it again. */
struct sctx_stream *reopen(struct sctx_registry *registry, const struct sctx_id *id);
unsigned long streams_in(struct sctx_registry *registry);
/* Tear @stream down and wait for all callbacks. */
void stream_end(struct sctx_stream *stream);

/*
 * The counts of references and of opens, which no test can bring to their limit
 * by calls.  No other private field is a test's business.
 */
#define REFS_MOST  (UINT32_C(1) << 31)
#define OPENS_MOST (UINT32_C(1) << 28)
uint32_t *refs_of(struct sctx_context *ctx);
uint32_t *opens_of(struct sctx_stream *stream);

/* ------------------------------------------------------- reclaim mode, limits */

/*
 * The reclaim mode and its limits, of which 0 is the default.  reclaim_configure()
 * returns what the library says; set_limits() leaves the mode as it is.  After
 * each test both are the suite's again.
 */
extern const enum sctx_reclaim_mode modes[2];
int reclaim_configure(enum sctx_reclaim_mode mode, size_t bytes, size_t callbacks,
		      unsigned int flags);
void set_mode(enum sctx_reclaim_mode mode);
void set_limits(size_t bytes, size_t callbacks, unsigned int flags);
struct sctx_stats stats_now(void);
#define RECLAIM_BATCH 256 /* callbacks, under the default limits */

#endif /* TEST_H */
