/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "harness.h"

#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "plan.h"

/*
 * Threads take their operations from a common pool, a chunk at a time: with a
 * fixed share each, one that a lock is unfair to would do most of its own
 * after the others have gone, uncontended.
 */
#define CHUNK	     1024	/* where time is the limit */
#define CHUNK_MAX    16384
#define CHUNKS_EACH  128

static const struct workload_info workloads[WORKLOADS] = {
	[WORKLOAD_lookup_hot] = {
		.name = "lookup_hot",
		.what = "one stream; look up the oldest of its contexts",
		.param = PARAM_CONTEXTS, .streams = 1,
	},
	[WORKLOAD_lookup_cold] = {
		.name = "lookup_cold",
		.what = "many streams; find one at random by id, look up",
		.param = PARAM_STREAMS, .contexts = 1,
	},
	[WORKLOAD_open_warm] = {
		.name = "open_warm",
		.what = "many resident streams; open one at random, look up, close",
		.param = PARAM_STREAMS, .contexts = 1, .opens = true,
	},
	[WORKLOAD_open_hot] = {
		.name = "open_hot",
		.what = "one resident stream; open, look up, close",
		.streams = 1, .contexts = 1, .opens = true,
	},
	[WORKLOAD_open_cold] = {
		.name = "open_cold",
		.what = "a new stream each time; open, create a context, look up, close; drained",
		.retires = true, .opens = true,
	},
	[WORKLOAD_update_contended] = {
		.name = "update_contended",
		.what = "all on one stream; insert a context, look up 8 times, remove it; drained",
		.streams = 1, .contexts = 2, .retires = true,
	},
	[WORKLOAD_replay] = {
		.name = "replay",
		.what = "recorded opens and closes; two modules count each open; drained",
		.param = PARAM_TRACE, .retires = true,
	},
	[WORKLOAD_known_cost] = {
		.name = "known_cost",
		.what = "wait 1000 ns by the clock: checks the measurement itself",
		.param = PARAM_NS,
	},
};

const char bench_owner[BENCH_OWNERS];

/* For messages: the case that is being run. */
static char current[256] = "bench";

void bench_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s: ", current);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

/* ---------------------------------------------------------------- tallies */

/*
 * All tallies in use, under the lock.  A worker's is folded into the totals
 * of its backend when it has ended; a callback thread's stays.
 */
static pthread_mutex_t tallies_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tally *tallies;
static struct tally *totals;

__thread struct tally *bench_tally_self;

static void tally_link(struct tally **list, struct tally *tally)
{
	pthread_mutex_lock(&tallies_lock);
	tally->next = *list;
	*list = tally;
	pthread_mutex_unlock(&tallies_lock);
}

void bench_tally_attach(const struct backend_ops *ops)
{
	struct tally *tally = bench_alloc_lines(sizeof(*tally));

	tally->ops = ops;
	tally_link(&tallies, tally);
	bench_tally_self = tally;
}

static void tally_add(struct tally *sum, const struct tally *tally)
{
	sum->created += __atomic_load_n(&tally->created, __ATOMIC_RELAXED);
	sum->freed += __atomic_load_n(&tally->freed, __ATOMIC_RELAXED);
	sum->words_in += __atomic_load_n(&tally->words_in, __ATOMIC_RELAXED);
	sum->words_out += __atomic_load_n(&tally->words_out, __ATOMIC_RELAXED);
}

/* The calling thread is the tally's, or its thread has ended. */
static void tally_fold(struct tally *tally)
{
	struct tally **link = &tallies;
	struct tally *total;

	pthread_mutex_lock(&tallies_lock);
	while (*link != tally)
		link = &(*link)->next;
	*link = tally->next;
	for (total = totals; total && total->ops != tally->ops; total = total->next)
		continue;
	if (total)
		tally_add(total, tally);
	pthread_mutex_unlock(&tallies_lock);
	if (total) {
		free(tally);
	} else {
		tally_link(&totals, tally);
	}
}

static struct tally tally_sum(const struct backend_ops *ops)
{
	struct tally sum = { .ops = ops };

	pthread_mutex_lock(&tallies_lock);
	for (const struct tally *t = tallies; t; t = t->next)
		if (t->ops == ops)
			tally_add(&sum, t);
	for (const struct tally *t = totals; t; t = t->next)
		if (t->ops == ops)
			tally_add(&sum, t);
	pthread_mutex_unlock(&tallies_lock);
	return sum;
}

/* ------------------------------------------------- threads for one backend */

static void thread_begin(const struct backend_ops *ops)
{
	bench_tally_attach(ops);
	if (ops->thread_enter)
		ops->thread_enter();
}

static void thread_end(const struct backend_ops *ops)
{
	if (ops->thread_exit)
		ops->thread_exit();
	tally_fold(bench_tally_self);
}

static void thread_idle(const struct backend_ops *ops)
{
	if (ops->thread_idle)
		ops->thread_idle();
}

static void drain(const struct backend_ops *ops)
{
	if (ops->drain)
		ops->drain();
}

static pthread_t thread_start(void *(*main)(void *), void *arg)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, main, arg);

	if (error)
		bench_die("pthread_create: %s", strerror(error));
	return thread;
}

/* ------------------------------------------------------------------ sites */

/*
 * A table with streams 0 .. streams-1 held open, each with contexts of owners
 * 0 .. contexts-1.  One table for all threads, or where the backend cannot
 * share, one each.
 */
struct site {
	const struct backend_ops *ops;
	uint64_t streams;
	unsigned int contexts;
	unsigned int tables;
	struct bench_table **table;
	struct bench_stream **first;	/* stream 0 of each table */
	uint64_t words;			/* sum over all contexts */
	struct site *next;
};

static struct site *sites;

static void site_fill(struct site *site, unsigned int t)
{
	const struct backend_ops *ops = site->ops;
	struct bench_table *table = ops->table_create(site->streams);

	site->table[t] = table;
	for (uint64_t n = 0; n < site->streams; n++) {
		struct sctx_id id = bench_id(n);
		struct bench_stream *stream = ops->open(table, &id);

		if (n == 0)
			site->first[t] = stream;
		for (unsigned int owner = 0; owner < site->contexts; owner++) {
			ops->insert(stream, &bench_owner[owner], NULL, bench_word(n, owner));
			site->words += bench_word(n, owner);
		}
	}
}

/*
 * One stream through its whole life.  A reclaimer that a backend starts at
 * its first use is so started here, by a thread that is bound to no CPU.
 */
static void warm_up(const struct backend_ops *ops, struct bench_table *table)
{
	struct sctx_id id = bench_id(UINT64_MAX);
	struct bench_stream *stream = ops->open(table, &id);

	ops->insert(stream, &bench_owner[0], NULL, 0);
	ops->close(table, stream);
	drain(ops);
}

static void *site_fill_main(void *arg)
{
	struct site *site = arg;

	thread_begin(site->ops);
	site_fill(site, site->tables);
	warm_up(site->ops, site->table[site->tables]);
	thread_end(site->ops);
	return NULL;
}

static void site_grow(struct site *site)
{
	unsigned int t = site->tables;

	site->table = realloc(site->table, (t + 1) * sizeof(*site->table));
	site->first = realloc(site->first, (t + 1) * sizeof(*site->first));
	if (!site->table || !site->first)
		bench_die("out of memory");
	site->first[t] = NULL;
	pthread_join(thread_start(site_fill_main, site), NULL);
	site->tables++;
}

static struct site *site_get(const struct backend_ops *ops, uint64_t streams, unsigned int contexts,
			     unsigned int threads)
{
	struct site *site = sites;

	while (site && (site->ops != ops || site->streams != streams || site->contexts != contexts))
		site = site->next;
	if (!site) {
		site = bench_alloc(sizeof(*site));
		*site = (struct site){
			.ops = ops, .streams = streams, .contexts = contexts, .next = sites,
		};
		sites = site;
	}
	while (site->tables < (ops->private_tables ? threads : 1))
		site_grow(site);
	return site;
}

static void *site_close_main(void *arg)
{
	struct site *site = arg;
	const struct backend_ops *ops = site->ops;

	thread_begin(ops);
	for (unsigned int t = 0; t < site->tables; t++) {
		for (uint64_t n = 0; n < site->streams; n++) {
			struct sctx_id id = bench_id(n);
			struct bench_stream *stream = ops->open(site->table[t], &id);

			ops->close(site->table[t], stream);
			ops->close(site->table[t], stream);
		}
		drain(ops);
		if (ops->table_count(site->table[t]) != 0)
			bench_die("streams are left open at the end");
		ops->table_destroy(site->table[t]);
	}
	drain(ops);
	thread_end(ops);
	return NULL;
}

/* ----------------------------------------------------------------- checks */

/* At rest, what is not freed is what the sites hold: no more, no less. */
static void check_contexts(const struct backend_ops *ops)
{
	struct tally sum = tally_sum(ops);
	uint64_t contexts = 0;
	uint64_t words = 0;

	for (struct site *site = sites; site; site = site->next) {
		if (site->ops != ops)
			continue;
		contexts += site->tables * site->streams * site->contexts;
		words += site->words;
	}
	if (sum.created - sum.freed != contexts)
		bench_die("%lu contexts created, %lu freed, %lu resident", sum.created, sum.freed,
			  contexts);
	if (sum.words_in - sum.words_out != words)
		bench_die("contexts were freed with %lu in their words, not %lu", sum.words_out,
			  sum.words_in - words);
}

void bench_finish(void)
{
	for (struct site *site = sites, *next; site; site = next) {
		next = site->next;
		snprintf(current, sizeof(current), "%s, closing %lu streams", site->ops->name,
			 site->streams);
		pthread_join(thread_start(site_close_main, site), NULL);
		sites = next;
		check_contexts(site->ops);
		free(site->table);
		free(site->first);
		free(site);
	}
	plan_free_all();
}

/* ------------------------------------------------------------------- runs */

struct run {
	const struct workload_info *info;
	const struct backend_ops *ops;
	workload_fn work;
	struct site *site;
	uint64_t iterations;	/* of each thread, on average; 0: until stopped */
	uint64_t chunk;
	uint64_t pool;		/* iterations not yet taken */
	unsigned int threads;
	unsigned int arrived;	/* at the start */
	unsigned int running;
	bool stop;
	struct run_thread *thread;
};

struct run_thread {
	struct worker worker;
	struct run *run;
	pthread_t thread;
	uint64_t begin, end;	/* ns */
	uint64_t done;		/* iterations */
	uint64_t ops_each;	/* operations an iteration */
} __attribute__((aligned(64)));

/* The run under way, for bench_watch(). */
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;
static struct run *run_now;

/* Spins, so that all begin at once; yields, since there may be few CPUs. */
static void wait_for_all(struct run *run)
{
	__atomic_add_fetch(&run->arrived, 1, __ATOMIC_ACQ_REL);
	for (unsigned int spins = 1;
	     __atomic_load_n(&run->arrived, __ATOMIC_ACQUIRE) < run->threads; spins++)
		if (spins % 128 == 0)
			sched_yield();
}

/*
 * Thread @index to a CPU of its own, where there are enough: the scheduler
 * takes milliseconds to move one of two new threads away from the other.
 */
static void bind_to_cpu(unsigned int index, unsigned int threads)
{
	cpu_set_t allowed, one;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) ||
	    threads > (unsigned int)CPU_COUNT(&allowed))
		return;
	for (unsigned int seen = 0; seen <= index; seen += CPU_ISSET(cpu, &allowed) != 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
		bench_die("cannot bind a thread to CPU %d", cpu);
}

/* How many iterations to do next; 0 ends. */
static uint64_t take(struct run *run, const struct run_thread *t)
{
	uint64_t left;

	if (!run->iterations)
		return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) ? 0 : run->chunk;
	/* A trace's shares differ: each thread passes through its own as often. */
	if (t->worker.replay)
		return t->done < run->iterations;
	left = __atomic_load_n(&run->pool, __ATOMIC_RELAXED);
	while (left && !__atomic_compare_exchange_n(&run->pool, &left,
						    left - (left < run->chunk ? left : run->chunk),
						    true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		continue;
	return left < run->chunk ? left : run->chunk;
}

static void work(struct run *run, struct run_thread *t)
{
	uint64_t n;

	while ((n = take(run, t)) > 0) {
		run->work(&t->worker, n);
		__atomic_store_n(&t->done, t->done + n, __ATOMIC_RELAXED);
	}
}

/* The last thread to finish waits for all that was retired. */
static void finish(struct run *run)
{
	thread_idle(run->ops);
	if (__atomic_sub_fetch(&run->running, 1, __ATOMIC_ACQ_REL) == 0 && run->info->retires)
		drain(run->ops);
}

static void check_worker(struct run *run, struct run_thread *t)
{
	if (t->worker.seen != t->worker.expected)
		bench_die("lookups found %lu in all, not %lu", t->worker.seen, t->worker.expected);
	if (run->info->retires && run->ops->private_tables &&
	    run->ops->table_count(t->worker.table) != run->site->streams)
		bench_die("open references are left");
}

static void *run_main(void *arg)
{
	struct run_thread *t = arg;
	struct run *run = t->run;

	bind_to_cpu(t->worker.index, run->threads);
	thread_begin(run->ops);
	thread_idle(run->ops);
	wait_for_all(run);
	t->begin = bench_now_ns();
	work(run, t);
	finish(run);
	t->end = bench_now_ns();
	check_worker(run, t);
	thread_end(run->ops);
	return NULL;
}

/* Nobody else is running: the shared table holds its residents and no more. */
static void *check_table_main(void *arg)
{
	struct run *run = arg;

	thread_begin(run->ops);
	if (run->ops->table_count(run->site->table[0]) != run->site->streams)
		bench_die("open references are left");
	thread_end(run->ops);
	return NULL;
}

static void worker_init(struct run_thread *t, const struct bench_case *c, struct site *site,
			unsigned int index)
{
	static uint64_t batch;
	const unsigned int table = site->ops->private_tables ? index : 0;

	batch++;
	t->worker = (struct worker){
		.table = site->table[table],
		.stream = site->first[table],
		.streams = site->streams,
		.index = index,
		.random = batch * 0x2545f4914f6cdd1d,
		.serial = batch << 40,
	};
	t->ops_each = 1;
	if (c->trace) {
		t->worker.replay = plan_get(c->trace, c->threads, index);
		t->ops_each = t->worker.replay->events;
	}
	if (c->workload->opens)
		t->worker.latency = bench_alloc_lines(sizeof(struct histogram));
}

static void histogram_merge(struct histogram *sum, const struct histogram *h)
{
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum->count[i] += h->count[i];
	if (h->max > sum->max)
		sum->max = h->max;
}

static void collect(struct run *run, struct histogram *latency, struct bench_result *result)
{
	uint64_t begin = UINT64_MAX;
	uint64_t end = 0;

	result->ops = 0;
	for (unsigned int i = 0; i < run->threads; i++) {
		struct run_thread *t = &run->thread[i];

		begin = t->begin < begin ? t->begin : begin;
		end = t->end > end ? t->end : end;
		result->ops += t->done * t->ops_each;
		if (latency)
			histogram_merge(latency, t->worker.latency);
		free(t->worker.latency);
	}
	result->seconds = (double)(end - begin) / 1e9;
}

static void sleep_seconds(double seconds)
{
	struct timespec ts = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

	while (nanosleep(&ts, &ts) != 0)
		continue;
}

static void set_run_now(struct run *run)
{
	pthread_mutex_lock(&run_lock);
	run_now = run;
	pthread_mutex_unlock(&run_lock);
}

static struct site *case_site(const struct bench_case *c)
{
	const struct workload_info *info = c->workload;

	return site_get(c->backend->ops, info->param == PARAM_STREAMS ? c->streams : info->streams,
			info->param == PARAM_CONTEXTS ? c->contexts : info->contexts, c->threads);
}

void bench_run(const struct bench_case *c, const struct bench_limit *limit,
	       struct histogram *latency, struct bench_result *result)
{
	const ptrdiff_t number = c->workload - workloads;
	struct run run = {
		.info = c->workload,
		.ops = c->backend->ops,
		.work = latency ? c->backend->workload[number].run_timed
				: c->backend->workload[number].run,
		.iterations = limit->iterations,
		.chunk = c->trace ? 1 : CHUNK,
		.pool = limit->iterations * c->threads,
		.threads = c->threads,
		.running = c->threads,
	};
	struct tally before;

	if (limit->iterations) {
		run.chunk = limit->iterations / CHUNKS_EACH;
		run.chunk = run.chunk < CHUNK_MAX ? run.chunk + 1 : CHUNK_MAX;
	}
	bench_case_name(c, current, sizeof(current));
	run.site = case_site(c);
	run.thread = bench_alloc_lines(c->threads * sizeof(*run.thread));
	before = tally_sum(run.ops);
	for (unsigned int i = 0; i < c->threads; i++) {
		run.thread[i].run = &run;
		worker_init(&run.thread[i], c, run.site, i);
	}
	set_run_now(&run);
	for (unsigned int i = 0; i < c->threads; i++)
		run.thread[i].thread = thread_start(run_main, &run.thread[i]);
	if (!limit->iterations) {
		while (__atomic_load_n(&run.arrived, __ATOMIC_RELAXED) < c->threads)
			sleep_seconds(0.001);
		sleep_seconds(limit->seconds);
		__atomic_store_n(&run.stop, true, __ATOMIC_RELAXED);
	}
	for (unsigned int i = 0; i < c->threads; i++)
		pthread_join(run.thread[i].thread, NULL);
	set_run_now(NULL);

	collect(&run, latency, result);
	if (!result->ops)
		bench_die("nothing was done");
	if (run.info->retires && !run.ops->private_tables)
		pthread_join(thread_start(check_table_main, &run), NULL);
	check_contexts(run.ops);
	result->created = tally_sum(run.ops).created - before.created;
	free(run.thread);
}

void bench_watch(struct bench_progress *progress)
{
	*progress = (struct bench_progress){ 0 };
	pthread_mutex_lock(&run_lock);
	if (run_now) {
		struct tally sum = tally_sum(run_now->ops);

		for (unsigned int i = 0; i < run_now->threads; i++) {
			struct run_thread *t = &run_now->thread[i];

			progress->ops += __atomic_load_n(&t->done, __ATOMIC_RELAXED) * t->ops_each;
		}
		/* Read at different moments: it may come out below zero. */
		if (sum.created > sum.freed)
			progress->unfreed = sum.created - sum.freed;
		if (run_now->ops->limbo_bytes)
			progress->limbo_bytes = run_now->ops->limbo_bytes();
	}
	pthread_mutex_unlock(&run_lock);
}

/* ------------------------------------------------------------------ names */

/* The linker's names for the bounds of the section that backends register in. */
extern const struct backend *const __start_bench_backends[];
extern const struct backend *const __stop_bench_backends[];

static const struct backend **backends;
static size_t backend_count;

/* streamctx first, then by name. */
static int backend_order(const void *a, const void *b)
{
	const char *x = bench_backend_name(*(const struct backend *const *)a);
	const char *y = bench_backend_name(*(const struct backend *const *)b);
	int subject = (strcmp(y, "streamctx") == 0) - (strcmp(x, "streamctx") == 0);

	return subject ? subject : strcmp(x, y);
}

const struct backend *const *bench_backends(size_t *count)
{
	*count = backend_count;
	return backends;
}

const struct backend *bench_backend_find(const char *name)
{
	for (size_t i = 0; i < backend_count; i++)
		if (strcmp(bench_backend_name(backends[i]), name) == 0)
			return backends[i];
	return NULL;
}

const char *bench_backend_name(const struct backend *backend)
{
	return backend->ops->name;
}

const char *bench_backend_lacks(const struct backend *backend)
{
	return backend->ops->lacks;
}

const struct workload_info *bench_workloads(size_t *count)
{
	*count = WORKLOADS;
	return workloads;
}

const struct workload_info *bench_workload_find(const char *name)
{
	for (size_t i = 0; i < WORKLOADS; i++)
		if (strcmp(workloads[i].name, name) == 0)
			return &workloads[i];
	return NULL;
}

void bench_case_name(const struct bench_case *c, char *name, size_t size)
{
	char param[128] = "";

	switch (c->workload->param) {
	case PARAM_NONE:
		break;
	case PARAM_CONTEXTS:
		snprintf(param, sizeof(param), "/contexts:%u", c->contexts);
		break;
	case PARAM_STREAMS:
		snprintf(param, sizeof(param), "/streams:%lu", c->streams);
		break;
	case PARAM_TRACE:
		snprintf(param, sizeof(param), "/trace:%s", c->trace_name);
		break;
	case PARAM_NS:
		snprintf(param, sizeof(param), "/ns:%d", KNOWN_COST_NS);
		break;
	}
	snprintf(name, size, "%s%s%s%s/threads:%u", c->workload->name, c->backend ? "/" : "",
		 c->backend ? bench_backend_name(c->backend) : "", param, c->threads);
}

/* ------------------------------------------------------- the machine's part */

static double tick_ns;
static uint64_t tick_cost;

/* Against the system's clock, over 20 ms. */
static void calibrate_ticks(void)
{
	uint64_t ns = bench_now_ns();
	uint64_t ticks = bench_ticks();
	uint64_t least = UINT64_MAX;

	while (bench_now_ns() - ns < 20000000)
		continue;
	tick_ns = (double)(bench_now_ns() - ns) / (double)(bench_ticks() - ticks);
	for (int i = 0; i < 1000; i++) {
		uint64_t begin = bench_ticks();
		uint64_t cost = bench_ticks() - begin;

		least = cost < least ? cost : least;
	}
	tick_cost = least;
}

double bench_tick_ns(void)
{
	if (tick_ns == 0)
		calibrate_ticks();
	return tick_ns;
}

uint64_t bench_tick_cost(void)
{
	if (tick_ns == 0)
		calibrate_ticks();
	return tick_cost;
}

const char *bench_tick_name(void)
{
#ifdef __x86_64__
	return "rdtsc between lfences";
#else
	return "clock_gettime";
#endif
}

/* malloc() must be jemalloc's, for all backends alike. */
static void check_allocator(void)
{
	uint64_t before = 0;
	uint64_t after = 0;
	size_t size = sizeof(before);
	void *volatile p;

	mallctl("thread.allocated", &before, &size, NULL, 0);
	p = malloc(BENCH_CONTEXT_SIZE);
	mallctl("thread.allocated", &after, &size, NULL, 0);
	free(p);
	if (after != before + BENCH_CONTEXT_SIZE)
		bench_die("malloc() is not jemalloc's here");
}

const char *bench_allocator(void)
{
	static char name[64];
	const char *version = "";
	size_t size = sizeof(version);

	mallctl("version", &version, &size, NULL, 0);
	snprintf(name, sizeof(name), "jemalloc %.*s", (int)strcspn(version, "-"), version);
	return name;
}

void bench_init(void)
{
	backend_count = (size_t)(__stop_bench_backends - __start_bench_backends);
	backends = bench_alloc(backend_count * sizeof(*backends));
	memcpy(backends, __start_bench_backends, backend_count * sizeof(*backends));
	qsort(backends, backend_count, sizeof(*backends), backend_order);
	check_allocator();
}
