/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

const char test_names[64];

/* ------------------------------------------------------------- assertions */

void test_die(const char *file, int line, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static const char *errno_name(int rc)
{
	const char *name = rc < 0 ? strerrorname_np(-rc) : NULL;

	return name ? name : "not an errno";
}

void test_rc(int got, int want, const char *expr, const char *file, int line)
{
	if (got == want)
		return;
	print_error("%s is %d (%s), not %d (%s)\n", expr, got, errno_name(got), want,
		    errno_name(want));
	_fail(file, line);
}

/* --------------------------------------------------------- running, timing */

static void readers_leave(void);

static const struct CMUnitTest *running; /* its setup may have changed the state */

static int set_up(void **state)
{
	running = *state;
	return running->setup_func ? running->setup_func(state) : 0;
}

/* After each test: its own teardown, and what one that failed has left behind. */
static int clean_up(void **state)
{
	readers_leave();
	for (unsigned int depth = 0; depth < 8 && sctx_synchronize() == -EDEADLK; depth++)
		sctx_read_unlock();
	set_mode(SCTX_RECLAIM_THREAD);
	return running->teardown_func ? running->teardown_func(state) : 0;
}

int test_run(const struct CMUnitTest *tests, size_t n)
{
	struct CMUnitTest copy[64];
	const char *flavour = getenv("SCTX_TEST_RCU"), *filter = getenv("SCTX_TEST_FILTER");

	/* Whatever was printed is in the log when a test hangs or dies. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (flavour && !strstr(sctx_version(), flavour))
		test_die(__FILE__, __LINE__, "%s is not the library of flavour %s", sctx_version(),
			 flavour);
	if (filter)
		cmocka_set_test_filter(filter);
	set_mode(SCTX_RECLAIM_THREAD);
	CHECK(n <= ARRAY_SIZE(copy));
	memcpy(copy, tests, n * sizeof(*tests));
	for (size_t i = 0; i < n; i++) {
		copy[i].setup_func = set_up;
		copy[i].teardown_func = clean_up;
		copy[i].initial_state = (void *)&tests[i];
	}
	return _cmocka_run_group_tests("tests", copy, n, NULL, NULL) ? 1 : 0;
}

static double scale(void)
{
	const char *text = getenv("SCTX_TEST_SCALE");
	double scale = text ? strtod(text, NULL) : 1;

	return scale > 0 && scale <= 1000000 ? scale : 1;
}

unsigned int test_scaled(unsigned int n)
{
	double scaled = n * scale();

	return scaled < 1 ? 1 : (unsigned int)scaled;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t test_deadline(unsigned int ms)
{
	return now_ns() + (uint64_t)test_scaled(ms) * 1000000u;
}

uint64_t loaded_ns(unsigned int ms)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double load = 0;

	if (getloadavg(&load, 1) != 1 || load < (double)cpus)
		load = (double)cpus;
	return (uint64_t)(ms * 1e6 * load / (double)cpus);
}

void nap_ms(unsigned int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	sctx_thread_offline();
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* SplitMix64. */
uint64_t test_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

size_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file);
	CHECK_EQ(fscanf(file, "%lu %lu", &size, &resident), 2);
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

unsigned int task_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned int n = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* ---------------------------------------------------------------- threads */

struct start {
	void *(*fn)(void *arg);
	void *arg;
};

/*
 * cmocka's handlers jump to the main thread's stack, from whatever thread.  A
 * fault on this one is to end the program instead.
 */
static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;

	free(arg);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
	signal(SIGILL, SIG_DFL);
	return start.fn(start.arg);
}

pthread_t thread_start(void *(*fn)(void *arg), void *arg)
{
	struct start *start = malloc(sizeof(*start));
	pthread_t thread;

	CHECK(start);
	start->fn = fn;
	start->arg = arg;
	CHECK_EQ(pthread_create(&thread, NULL, thread_main, start), 0);
	return thread;
}

void thread_join(pthread_t thread)
{
	sctx_thread_offline();
	CHECK_EQ(pthread_join(thread, NULL), 0);
}

struct member {
	void (*fn)(unsigned int index, void *arg);
	void *arg;
	unsigned int index;
	struct rendezvous *start;
};

static void *member_main(void *arg)
{
	const struct member *m = arg;

	rendezvous_wait(m->start);
	m->fn(m->index, m->arg);
	return NULL;
}

void run_threads(unsigned int n, void (*fn)(unsigned int index, void *arg), void *arg)
{
	struct member *members = calloc(n, sizeof(*members));
	pthread_t *threads = calloc(n, sizeof(*threads));
	struct rendezvous start;

	CHECK(members && threads);
	rendezvous_init(&start, n);
	for (unsigned int i = 0; i < n; i++) {
		members[i] = (struct member){ fn, arg, i, &start };
		threads[i] = thread_start(member_main, &members[i]);
	}
	for (unsigned int i = 0; i < n; i++)
		thread_join(threads[i]);
	free(threads);
	free(members);
}

void rendezvous_init(struct rendezvous *r, unsigned int n)
{
	r->n = n;
	atomic_init(&r->arrived, 0);
	atomic_init(&r->round, 0);
}

void rendezvous_wait(struct rendezvous *r)
{
	unsigned int round = atomic_load(&r->round);

	if (atomic_fetch_add(&r->arrived, 1) + 1 == r->n) {
		atomic_store(&r->arrived, 0);
		atomic_store(&r->round, round + 1);
		return;
	}
	while (atomic_load(&r->round) == round) {
		sctx_thread_offline();
		sched_yield();
	}
}

void gate_init(struct gate *gate)
{
	CHECK_EQ(pthread_mutex_init(&gate->lock, NULL), 0);
	CHECK_EQ(pthread_cond_init(&gate->cond, NULL), 0);
	gate->open = false;
}

void gate_open(struct gate *gate)
{
	sctx_thread_offline();
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->cond);
	pthread_mutex_unlock(&gate->lock);
}

void gate_wait(struct gate *gate)
{
	sctx_thread_offline();
	pthread_mutex_lock(&gate->lock);
	while (!gate->open)
		pthread_cond_wait(&gate->cond, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

bool gate_is_open(struct gate *gate)
{
	bool open;

	sctx_thread_offline();
	pthread_mutex_lock(&gate->lock);
	open = gate->open;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

pid_t child_start(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		return pid;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	alarm((unsigned int)(loaded_ns(30000) / 1000000000u));
	fn(arg);
	_exit(0);
}

int child_wait(pid_t pid)
{
	int status = -1;

	sctx_thread_offline();
	while (waitpid(pid, &status, 0) < 0)
		CHECK_EQ(errno, EINTR);
	if (WIFSIGNALED(status))
		print_error("child %ld: %s%s\n", (long)pid, strsignal(WTERMSIG(status)),
			    WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
	return status;
}

/* ------------------------------------------------------------------ items */

static atomic_ulong churn_created;
static atomic_ulong churn_freed;

/* The callback's dead memory waits here for a while before it is freed. */
#define QUARANTINE 512
static pthread_mutex_t quarantine_lock = PTHREAD_MUTEX_INITIALIZER;
static struct item *quarantine[QUARANTINE];
static unsigned int quarantine_next;

void item_check(const struct item *item)
{
	if (item->canary != ITEM_ALIVE)
		test_die(__FILE__, __LINE__, "item %p is dead (%#x)", (const void *)item,
			 item->canary);
}

static void item_callback(struct sctx_context *ctx)
{
	struct item *item = item_of(ctx);

	item_check(item);
	/* Outside any section, on a thread where nothing may wait. */
	CHECK_EQ(sctx_synchronize(), -EDEADLK);
	atomic_fetch_add(&item->called, 1);
	if (item->hook)
		item->hook(item);
}

pthread_mutex_t callback_lock = PTHREAD_MUTEX_INITIALIZER;
struct gate callback_begun;

void callback_takes_lock(struct item *item)
{
	(void)item;
	gate_open(&callback_begun);
	pthread_mutex_lock(&callback_lock);
	pthread_mutex_unlock(&callback_lock);
}

static void churn_callback(struct sctx_context *ctx)
{
	item_churn_free(item_of(ctx));
}

static struct item *item_make(const void *owner, const void *instance, sctx_free_fn callback)
{
	struct item *item = calloc(1, sizeof(*item));

	CHECK(item);
	item->canary = ITEM_ALIVE;
	CHECK_EQ(sctx_context_init(&item->ctx, owner, instance, callback), 0);
	return item;
}

struct item *item_new(const void *owner, const void *instance)
{
	return item_make(owner, instance, item_callback);
}

void item_free(struct item *item)
{
	item_check(item);
	memset(item, 0xdd, sizeof(*item));
	free(item);
}

struct item *item_churn(const void *owner, const void *instance)
{
	struct item *item = item_make(owner, instance, churn_callback);

	atomic_fetch_add(&churn_created, 1);
	return item;
}

void item_churn_free(struct item *item)
{
	struct item *oldest;

	item_check(item);
	memset(item, 0xdd, sizeof(*item));
	item->canary = ITEM_DEAD;
	atomic_fetch_add(&churn_freed, 1);

	/* ASan has a quarantine of its own, and sees every access. */
	if (TEST_ASAN) {
		free(item);
		return;
	}
	pthread_mutex_lock(&quarantine_lock);
	oldest = quarantine[quarantine_next];
	quarantine[quarantine_next] = item;
	quarantine_next = (quarantine_next + 1) % QUARANTINE;
	pthread_mutex_unlock(&quarantine_lock);
	free(oldest);
}

unsigned int item_called(const struct item *item)
{
	return atomic_load(&item->called);
}

unsigned long items_created(void)
{
	return atomic_load(&churn_created);
}

unsigned long items_freed(void)
{
	return atomic_load(&churn_freed);
}

void items_reset(void)
{
	pthread_mutex_lock(&quarantine_lock);
	for (unsigned int i = 0; i < QUARANTINE; i++) {
		free(quarantine[i]);
		quarantine[i] = NULL;
	}
	pthread_mutex_unlock(&quarantine_lock);
	atomic_store(&churn_created, 0);
	atomic_store(&churn_freed, 0);
}

struct sctx_context *item_create(const void *owner, const void *instance, void *arg)
{
	atomic_ulong *calls = arg;

	if (calls)
		atomic_fetch_add(calls, 1);
	return &item_churn(owner, instance)->ctx;
}

void put_churn(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		CHECK_EQ(sctx_put(&item_churn(OWNER(1), NULL)->ctx), 0);
}

void fill_limbo(unsigned int n)
{
	sctx_read_lock();
	put_churn(n);
	sctx_read_unlock();
}

void all_freed(void)
{
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(items_freed(), items_created());
	CHECK_EQ(stats_now().limbo_callbacks, 0);
	CHECK_EQ(stats_now().limbo_bytes, 0);
}

struct item **put_items(unsigned int n, void (*hook)(struct item *item), void *arg)
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

void called_once_each(struct item **items, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		CHECK_EQ(item_called(items[i]), 1);
		item_free(items[i]);
	}
	free(items);
}

struct item *item_insert(struct sctx_stream *stream, const void *owner, const void *instance)
{
	struct item *item = item_new(owner, instance);

	CHECK_EQ(sctx_insert(stream, &item->ctx), 0);
	return item;
}

struct sctx_context *peek(const struct sctx_stream *stream, const void *owner, const void *instance)
{
	struct sctx_context *ctx;

	sctx_read_lock();
	ctx = sctx_lookup(stream, owner, instance);
	sctx_read_unlock();
	return ctx;
}

/* ---------------------------------------------------------------- readers */

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	sctx_read_lock();
	if (r->stream)
		r->borrowed = sctx_lookup(r->stream, r->owner, r->instance);
	gate_open(&r->entered);
	gate_wait(&r->leave);
	if (r->borrowed)
		item_check(item_of(r->borrowed));
	sctx_read_unlock();
	return NULL;
}

static struct reader *parked;

struct reader *reader_park(const struct sctx_stream *stream, const void *owner,
			   const void *instance)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	CHECK(reader);
	reader->stream = stream;
	reader->owner = owner;
	reader->instance = instance;
	gate_init(&reader->entered);
	gate_init(&reader->leave);
	reader->thread = thread_start(reader_main, reader);
	gate_wait(&reader->entered);
	reader->next = parked;
	parked = reader;
	return reader;
}

void reader_leave(struct reader *reader)
{
	struct reader **link = &parked;

	while (*link != reader)
		link = &(*link)->next;
	*link = reader->next;
	gate_open(&reader->leave);
	thread_join(reader->thread);
	free(reader);
}

static void readers_leave(void)
{
	while (parked)
		reader_leave(parked);
}

void child_reclaims(void *unused)
{
	struct item *a = item_new(OWNER(1), NULL);

	(void)unused;
	CHECK_EQ(sctx_put(&a->ctx), 0);
	CHECK_EQ(sctx_barrier(), 0);
	CHECK_EQ(item_called(a), 1);
	item_free(a);
	CHECK_EQ(sctx_synchronize(), 0);
}

/* ------------------------------------------------------------------- ids */

struct sctx_id id_of(uint64_t n)
{
	return (struct sctx_id){ .volume = 7, .file = { n, 0 }, .stream = 1 };
}

uint64_t id_number(const struct sctx_id *id)
{
	return id->file[0];
}

/* ---------------------------------------------------------- streams, registries */

struct sctx_registry *registry_new(void)
{
	struct sctx_registry *registry = (void *)1;

	CHECK_EQ(sctx_registry_create(&registry), 0);
	CHECK(registry);
	return registry;
}

void registry_end(struct sctx_registry *registry)
{
	CHECK_EQ(sctx_registry_destroy(registry), 0);
	CHECK_EQ(sctx_barrier(), 0);
}

struct sctx_stream *seek(struct sctx_registry *registry, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	sctx_read_lock();
	stream = sctx_find(registry, id);
	sctx_read_unlock();
	return stream;
}

struct sctx_stream *reopen(struct sctx_registry *registry, const struct sctx_id *id)
{
	struct sctx_stream *stream;

	CHECK_EQ(sctx_open(registry, id, SCTX_OPEN_EXISTING, &stream), 0);
	CHECK_EQ(sctx_close(stream), 0);
	return stream;
}

static int count_stream(struct sctx_stream *stream, void *arg)
{
	CHECK(sctx_stream_id(stream));
	(*(unsigned long *)arg)++;
	return 0;
}

unsigned long streams_in(struct sctx_registry *registry)
{
	unsigned long n = 0;

	CHECK_EQ(sctx_registry_for_each(registry, count_stream, &n), 0);
	return n;
}

void stream_end(struct sctx_stream *stream)
{
	CHECK_EQ(sctx_teardown_sync(stream), 0);
	CHECK_EQ(sctx_barrier(), 0);
}

uint32_t *refs_of(struct sctx_context *ctx)
{
	return &ctx->refs;
}

uint32_t *opens_of(struct sctx_stream *stream)
{
	return &stream->opens;
}

/* ------------------------------------------------------- reclaim mode, limits */

int reclaim_configure(enum sctx_reclaim_mode mode, size_t bytes, size_t callbacks,
		      unsigned int flags)
{
	const struct sctx_reclaim_options options = {
		.size = sizeof(options),
		.limit_bytes = bytes ? bytes : SCTX_LIMIT_BYTES_DEFAULT,
		.limit_callbacks = callbacks ? callbacks : SCTX_LIMIT_CALLBACKS_DEFAULT,
		.flags = flags,
		.mode = mode,
	};

	return sctx_reclaim_configure(&options);
}

const enum sctx_reclaim_mode modes[2] = { SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL };

static enum sctx_reclaim_mode mode_now;

void set_limits(size_t bytes, size_t callbacks, unsigned int flags)
{
	CHECK_EQ(reclaim_configure(mode_now, bytes, callbacks, flags), 0);
}

void set_mode(enum sctx_reclaim_mode mode)
{
	mode_now = mode;
	set_limits(0, 0, 0);
}

struct sctx_stats stats_now(void)
{
	struct sctx_stats stats = { .size = sizeof(stats) };

	CHECK_EQ(sctx_stats_get(&stats), 0);
	return stats;
}
