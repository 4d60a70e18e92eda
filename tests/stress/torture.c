/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Torture: random operations by more threads than there are processors, on few
 * hot streams and many cold ones, for a time.
 *
 *   torture --seconds=60 --threads=8 --seed=7
 *   torture --signals=200      a signal to each thread every 200 us
 *   torture --list             the operations and their bits in --ops-mask
 *
 * Some threads are pinned to a processor, some sleep between operations, some
 * exit after a while and are replaced.  Limits of limbo, a registry and the
 * embedded streams change all the time.  At the end all is released and the
 * ledger must balance.  What goes wrong is printed with everybody's last
 * operations, and the program aborts: see wrong().
 */
#include "torture.h"

#include <argp.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

struct worker *workers[WORKERS_MAX + GUESTS_MAX];
unsigned int n_workers;
atomic_bool ending, nowait_used;
bool in_child;

static struct {
	unsigned int seconds;
	uint64_t seed, mask;
	unsigned int signals; /* microseconds between two */
	bool restart;
} options = { .mask = UINT64_MAX };

static const struct op *ops[OPS_MAX];
static uint64_t upto[OPS_MAX]; /* sums of the weights */
static unsigned int n_ops;
static atomic_bool stop;
static unsigned long threads_started;

/* --------------------------------------------------------------------- small */

uint64_t roll(struct worker *w, uint64_t n)
{
	return (test_random(&w->seed) >> 16) % n;
}

void trace(struct worker *w, const char *what, uint64_t place, long long result)
{
	w->trace[w->n_trace++ % TRACE] = (struct event){ what, w->number, result, place };
}

void nap_us(unsigned int us)
{
	struct timespec t = { .tv_nsec = (long)us * 1000 };

	sctx_thread_offline();
	nanosleep(&t, NULL);
}

static struct worker *worker_new(int number)
{
	struct worker *w = calloc(1, sizeof(*w));

	CHECK(w);
	w->number = number;
	w->seed = options.seed * 1000003 + (uint64_t)number;
	workers[number] = w;
	return w;
}

/* ------------------------------------------------------------------- guests */

static __thread struct worker *mine;
static pthread_key_t guest_key;

/* A thread that ran callbacks has ended: another goes on with what it holds. */
static void guest_left(void *w)
{
	atomic_store(&((struct worker *)w)->taken, false);
}

static void guests_make(void)
{
	CHECK_EQ(pthread_key_create(&guest_key, guest_left), 0);
	for (int i = 0; i < GUESTS_MAX; i++)
		worker_new(WORKERS_MAX + i);
}

struct worker *guest(void)
{
	/* In a child those of the parent's threads stay taken. */
	for (int i = 0; !mine; i = (i + 1) % GUESTS_MAX) {
		struct worker *w = workers[WORKERS_MAX + i];

		if (atomic_exchange(&w->taken, true) && !in_child)
			continue;
		mine = w;
		CHECK_EQ(pthread_setspecific(guest_key, w), 0);
	}
	return mine;
}

/* ------------------------------------------------------------------- workers */

static void ops_choose(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n_context_ops + n_world_ops; i++) {
		const struct op *op =
			i < n_context_ops ? &context_ops[i] : &world_ops[i - n_context_ops];

		CHECK(n_ops < OPS_MAX);
		sum += options.mask >> i & 1 ? op->weight : 0;
		upto[n_ops] = sum;
		ops[n_ops++] = op;
	}
	CHECK(sum > 0);
}

static void one_operation(struct worker *w)
{
	uint64_t dice = roll(w, upto[n_ops - 1]);
	unsigned int i = 0;

	while (dice >= upto[i])
		i++;
	w->now = ops[i]->name;
	w->count[i][ops[i]->fn(w)]++;
	w->now = NULL;
	atomic_fetch_add_explicit(&w->progress, 1, RELAXED);
}

static void pin(const struct worker *w)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned int)w->number % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set); /* or not */
}

/* ------------------------------------------------------------------- signals */

static atomic_ulong signals_taken;

static void take_signal(int number)
{
	(void)number;
	atomic_fetch_add_explicit(&signals_taken, 1, RELAXED);
}

static void signals_prepare(void)
{
	struct sigaction action = { .sa_handler = take_signal,
				    .sa_flags = options.restart ? SA_RESTART : 0 };

	CHECK_EQ(sigaction(SIGRTMIN, &action, NULL), 0);
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* To the calling thread, from now until it deletes the timer. */
static timer_t signals_begin(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN };
	const struct timespec every = { .tv_nsec = (long)options.signals * 1000 };
	const struct itimerspec when = { every, every };
	timer_t timer;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK_EQ(timer_settime(timer, 0, &when, NULL), 0);
	return timer;
}

/* ------------------------------------------------------------------- threads */

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	timer_t timer = options.signals ? signals_begin() : NULL;
	uint64_t life = w->mortal ? 1000 + roll(w, 20000) : UINT64_MAX;

	mine = w;
	if (w->pinned)
		pin(w);
	while (!atomic_load_explicit(&stop, RELAXED) && life-- > 0) {
		registries_follow(w);
		one_operation(w);
		if (w->sleepy && one_in(w, 64))
			nap_us((unsigned int)roll(w, 300));
	}
	if (options.signals)
		timer_delete(timer);
	atomic_store(&w->exited, true);
	return NULL;
}

static void worker_start(struct worker *w)
{
	atomic_store(&w->exited, false);
	w->thread = thread_start(worker_main, w);
	threads_started++;
}

/* ---------------------------------------------------------------- supervisor */

#define STALL_S 60

/* No worker may stand still, whatever the others do. */
static void look_for_stalls(void)
{
	static unsigned long seen[WORKERS_MAX];
	static uint64_t since[WORKERS_MAX];

	for (unsigned int i = 0; i < n_workers; i++) {
		unsigned long progress = atomic_load(&workers[i]->progress);

		if (progress != seen[i] || !since[i]) {
			seen[i] = progress;
			since[i] = now_ns();
		} else if (now_ns() - since[i] > STALL_S * 1000000000ull) {
			wrong(workers[i], NULL, "no progress for %d s", STALL_S);
		}
	}
}

static void supervise(void)
{
	uint64_t end = now_ns() + options.seconds * 1000000000ull;
	struct worker *w = worker_new(WORKERS_MAX - 1); /* for its dice */

	while (!past(end)) {
		alarm(STALL_S + 10); /* if this thread stands still */
		nap_ms(5);
		for (unsigned int i = 0; i < n_workers; i++)
			if (atomic_load(&workers[i]->exited)) {
				thread_join(workers[i]->thread);
				worker_start(workers[i]);
			}
		registries_tick();
		look_for_stalls();
		if (one_in(w, 2))
			set_limits(0, 0, 0);
	}
	alarm(STALL_S);
	atomic_store(&stop, true);
	for (unsigned int i = 0; i < n_workers; i++)
		thread_join(workers[i]->thread);
}

/* ----------------------------------------------------------------- the end */

/* Limbo empties though callbacks retire more, as long as they make no more. */
static void settle(void)
{
	atomic_store(&ending, true);
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(sctx_barrier(), 0);
		for (unsigned int n = 0; n < ARRAY_SIZE(workers); n++)
			if (workers[n])
				holds_drop(workers[n]);
	}
}

static void release_all(void)
{
	struct worker *w = workers[0];

	mine = w;
	w->now = "release";
	alarm(90); /* nothing here takes long */
	set_limits(0, 0, 0);
	for (unsigned int i = 0; i < n_workers; i++) {
		while (workers[i]->n_handles)
			handle_close(workers[i], 0);
		holds_drop(workers[i]);
	}
	settle();
	hosts_stop(w);
	settle();
	for (unsigned int i = 0; i < n_workers; i++)
		if (workers[i]->module && !module_leave(workers[i]))
			wrong(workers[i], NULL, "all was put, and its module cannot leave");
	registries_stop();
	CHECK_EQ(sctx_barrier(), 0);
}

static void check_ledger(void)
{
	struct ledger l = ledger_now();
	struct hosts_ledger h = hosts_now();
	struct sctx_stats stats = stats_now();

	printf("contexts: %lu created = %lu called back + %lu handed back\n", l.created, l.called,
	       l.handed);
	printf("streams: %lu opened, %lu closed; embedded: %lu made, %lu ended; %" PRIu64
	       " registries, %lu modules\n",
	       streams_opened(), streams_closed(), h.made, h.freed, registries_made(),
	       modules_left());
	printf("threads: %lu started; %" PRIu64 " grace periods, %" PRIu64
	       " callbacks run; limbo %" PRIu64 " bytes\n",
	       threads_started, stats.grace_periods, stats.callbacks_run, stats.limbo_bytes);
	if (options.signals) {
		printf("signals: %lu\n", atomic_load(&signals_taken));
		CHECK(atomic_load(&signals_taken) > 0);
	}
	if (l.created != l.called + l.handed)
		wrong(NULL, NULL, "%ld contexts are lost", (long)(l.created - l.called - l.handed));
	if (streams_opened() != streams_closed() || h.made != h.freed)
		wrong(NULL, NULL, "streams are lost");
	if (stats.limbo_bytes || stats.limbo_callbacks)
		wrong(NULL, NULL, "limbo is empty, and its account says %" PRIu64 " callbacks",
		      stats.limbo_callbacks);
}

/* What never happened has not been tested. */
static void check_counts(void)
{
	bool missing = false;

	printf("%-16s %10s %10s %10s\n", "operation", "done", "refused", "nothing");
	for (unsigned int i = 0; i < n_ops; i++) {
		unsigned long sum[3] = { 0 };

		for (unsigned int n = 0; n < n_workers; n++)
			for (unsigned int o = DONE; o <= NOTHING; o++)
				sum[o] += workers[n]->count[i][o];
		printf("%-16s %10lu %10lu %10lu\n", ops[i]->name, sum[DONE], sum[REFUSED],
		       sum[NOTHING]);
		if (options.mask >> i & 1 && !sum[DONE] && !ops[i]->seldom) {
			printf("%s: never done\n", ops[i]->name);
			missing = true;
		}
	}
	if (missing && options.mask == UINT64_MAX && options.seconds >= 5)
		wrong(NULL, NULL, "an operation was never done");
}

/* ------------------------------------------------------------------- options */

enum { LIST = 'l', MASK = 'm', SIGNALS = 'i', RESTART = 'a' };

static error_t parse(int key, char *text, struct argp_state *state)
{
	char *rest = NULL;
	uint64_t n = text ? strtoull(text, &rest, 0) : 0;

	if (rest && *rest)
		argp_error(state, "%s is not a number", text);
	switch (key) {
	case 't':
		if (n < 1 || n >= WORKERS_MAX)
			argp_error(state, "threads: 1 to %d", WORKERS_MAX - 1);
		n_workers = (unsigned int)n;
		return 0;
	case 's':
		options.seconds = (unsigned int)n;
		return 0;
	case 'r':
		options.seed = n;
		return 0;
	case MASK:
		options.mask = n;
		return 0;
	case SIGNALS:
		options.signals = (unsigned int)n;
		return 0;
	case RESTART:
		options.restart = true;
		return 0;
	case LIST:
		for (unsigned int i = 0; i < n_context_ops + n_world_ops; i++)
			printf("%#14" PRIx64 " %s\n", (uint64_t)1 << i,
			       i < n_context_ops ? context_ops[i].name
						 : world_ops[i - n_context_ops].name);
		exit(0);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct argp_option list[] = {
		{ "threads", 't', "N", 0, "worker threads; 4 a processor, 8 at least", 0 },
		{ "seconds", 's', "N", 0, "how long; 6 times SCTX_TEST_SCALE", 0 },
		{ "seed", 'r', "N", 0, "of the dice; by the clock", 0 },
		{ "ops-mask", MASK, "BITS", 0, "only these operations", 0 },
		{ "signals", SIGNALS, "US", 0, "a signal to each worker so often", 0 },
		{ "restart", RESTART, NULL, 0, "its handler has SA_RESTART", 0 },
		{ "list", LIST, NULL, 0, "the operations and their bits", 0 },
		{ 0 },
	};
	static const struct argp argp = { list, parse, NULL, "Torture the library.", 0, 0, 0 };
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

	n_workers = cpus <= 2 ? 8 : cpus >= 8 ? 32 : 4 * cpus;
	options.seconds = test_scaled(6);
	options.seed = now_ns() / 1000 % 1000000;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
}

int main(int argc, char **argv)
{
	const char *flavour = getenv("SCTX_TEST_RCU");

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse_options(argc, argv);
	CHECK(!flavour || strstr(sctx_version(), flavour));
	printf("%s: %u threads, %u s, --seed=%" PRIu64 " --ops-mask=%#" PRIx64 "\n", sctx_version(),
	       n_workers, options.seconds, options.seed, options.mask);
	ops_choose();
	guests_make();
	signals_prepare();
	registries_start();
	for (unsigned int i = 0; i < n_workers; i++) {
		struct worker *w = worker_new((int)i);

		w->pinned = i % 4 == 0;
		w->sleepy = i % 4 == 1;
		w->mortal = i % 4 >= 2;
	}
	for (unsigned int i = 0; i < n_workers; i++)
		worker_start(workers[i]);
	supervise();
	release_all();
	check_counts();
	check_ledger();
	alarm(0);
	quarantine_empty();
	puts("ok");
	return 0;
}
