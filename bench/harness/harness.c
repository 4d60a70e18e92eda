/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a case: sets it up, has it run, adds up and checks what was done. */
#include "harness.h"

#include <time.h>

#include "plan.h"
#include "run.h"

#define CHUNK	    1024	/* where time is the limit */
#define CHUNK_MAX   16384
#define CHUNKS_EACH 128

/* The run under way, for bench_watch(). */
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;
static struct run *run_now;

/* ---------------------------------------------------------------- workers */

static struct samples *samples_make(struct histogram *to)
{
	struct samples *samples = bench_alloc_lines(sizeof(*samples));

	samples->to = to;
	return samples;
}

static void worker_init(struct run *run, const struct bench_case *c,
			const struct bench_probe *probe, unsigned int index)
{
	static uint64_t batch;
	struct run_thread *t = &run->thread[index];
	const unsigned int table = run->ops->private_tables ? index : 0;

	batch++;
	t->run = run;
	t->worker = (struct worker){
		.table = run->site->table[table],
		.stream = run->site->first[table],
		.streams = run->site->streams,
		.index = index,
		.random = batch * 0x2545f4914f6cdd1d,
		.serial = batch << 40,
	};
	t->ops_each = 1;
	if (c->trace) {
		t->worker.replay = plan_get(c->trace, c->threads, index);
		t->ops_each = t->worker.replay->events;
	}
	if (probe->bare)
		t->worker.bare = bench_alloc_lines(sizeof(struct histogram));
	if (probe->stall) {
		t->worker.phase = &run->phase;
		t->worker.closes = bench_alloc(PHASES * sizeof(*t->worker.closes));
		for (int p = 0; p < PHASES; p++)
			t->worker.closes[p] = bench_alloc_lines(sizeof(struct histogram));
	}
	if (run->info->zipf) {
		t->worker.zipf = zipf_streams(run->info->zipf_ids ? run->info->zipf_ids
								   : run->site->streams);
		t->worker.zipf_at = bench_random(&t->worker.random, ZIPF_DRAWS);
	}
	if (probe->opens)
		t->worker.latency = bench_alloc_lines(sizeof(struct histogram));
	if (probe->paced)
		t->paced = bench_alloc_lines(sizeof(struct histogram));
	if (probe->frees && run->info->samples)
		t->worker.samples = samples_make(probe->frees);
}

/* All that was sampled is freed by now: the drain is part of the run. */
static void worker_free(struct run_thread *t)
{
	free(t->worker.latency);
	free(t->worker.samples);
	free(t->worker.bare);
	for (int p = 0; t->worker.closes && p < PHASES; p++)
		free(t->worker.closes[p]);
	free(t->worker.closes);
	free(t->paced);
}

/* ---------------------------------------------------------------- results */

static void histogram_merge(struct histogram *sum, const struct histogram *h)
{
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum->count[i] += h->count[i];
	if (h->max > sum->max)
		sum->max = h->max;
}

static void collect(struct run *run, const struct bench_probe *probe, struct bench_result *result)
{
	uint64_t begin = UINT64_MAX;
	uint64_t end = 0;

	for (unsigned int i = 0; i < run->threads; i++) {
		struct run_thread *t = &run->thread[i];

		begin = t->begin < begin ? t->begin : begin;
		end = t->end > end ? t->end : end;
		if (!run->info->unloads)
			result->ops += t->done * t->ops_each;
		result->due += run->due;
		bench_counts_add(&result->counts, &t->counts);
		if (probe->opens)
			histogram_merge(probe->opens, t->worker.latency);
		if (probe->paced)
			histogram_merge(probe->paced, t->paced);
		if (probe->bare)
			histogram_merge(probe->bare, t->worker.bare);
		for (int p = 0; probe->stall && p < PHASES; p++)
			histogram_merge(probe->stall->closes[p], t->worker.closes[p]);
		worker_free(t);
	}
	if (!run->info->unloads)
		result->seconds = (double)(end - begin) / 1e9;
}

/* At rest, the shared table holds its residents and no more. */
static void *check_table_main(void *arg)
{
	struct run *run = arg;

	bench_thread_begin(run->ops);
	if (run->ops->table_count(run->site->table[0]) != run->site->streams)
		bench_die("open references are left");
	bench_thread_end(run->ops);
	return NULL;
}

/* The workload made the contexts that it should have, and counted in them. */
static void check_work(struct run *run, const struct tally *before, struct bench_result *result)
{
	const struct tally now = bench_tally_sum(run->ops);
	const uint64_t counted = now.words_in - before->words_in;
	const struct replay_share *replay = run->thread[0].worker.replay;
	uint64_t bumps = 0;

	result->created = now.created - before->created;
	if (run->info->creates && result->created != run->info->creates * result->ops)
		bench_die("%lu contexts created in %lu operations", result->created, result->ops);
	if (!replay && !run->info->bumps)
		return;
	for (unsigned int i = 0; i < run->threads; i++) {
		const struct run_thread *t = &run->thread[i];

		bumps += (t->done + run->warm) *
			 (replay ? t->worker.replay->opens * REPLAY_OWNERS : run->info->bumps);
	}
	if (counted != bumps)
		bench_die("the modules counted %lu opens, not %lu", counted, bumps);
}

static void check(struct run *run, const struct tally *before, struct bench_result *result)
{
	if (!result->ops)
		bench_die("nothing was done");
	check_work(run, before, result);
	if ((run->info->retires || run->info->unloads) && !run->ops->private_tables)
		bench_thread_run(check_table_main, run);
	bench_check_contexts(run->ops);
}

/* ------------------------------------------------------------------- runs */

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

/* In threads of their own, which the backend can register. */
static void *begin_idle_main(void *arg)
{
	struct run *run = arg;

	bench_thread_begin(run->ops);
	for (unsigned int t = 0; t < run->site->tables; t++)
		run->ops->keep_idle(run->site->table[t], run->resident);
	bench_thread_end(run->ops);
	return NULL;
}

static void *end_idle_main(void *arg)
{
	struct run *run = arg;

	bench_thread_begin(run->ops);
	for (unsigned int t = 0; t < run->site->tables; t++)
		run->ops->keep_idle(run->site->table[t], 0);
	bench_drain(run->ops);
	for (unsigned int t = 0; t < run->site->tables; t++)
		if (run->ops->table_count(run->site->table[t]) != run->site->streams)
			bench_die("idle streams are left");
	bench_thread_end(run->ops);
	return NULL;
}

/* Enough opens to fill the idle streams. */
static uint64_t warm_iterations(const struct bench_case *c, const struct bench_limit *limit)
{
	if (!c->resident || limit->cold)
		return 0;
	return c->trace ? 1 : 4 * c->resident / c->threads + 1;
}

static struct site *case_site(const struct bench_case *c)
{
	const struct workload_info *info = c->workload;

	if (info->grows)
		return growth_site(c->backend->ops, c->threads);
	return bench_site(c->backend->ops,
			  info->param == PARAM_STREAMS ? c->streams : info->streams,
			  info->param == PARAM_CONTEXTS ? c->contexts : info->contexts, c->threads);
}

static void set_pace(struct run *run, const struct bench_limit *limit)
{
	const double each = limit->rate / run->threads;

	run->period = 1e9 / bench_tick_ns() / each;
	run->due = (uint64_t)(each * limit->seconds);
}

/* Until the threads have done their share, or the time is over. */
static void run_plain(struct run *run, const struct bench_limit *limit)
{
	run_start(run);
	if (!run->iterations && run->period == 0) {
		sleep_seconds(limit->seconds);
		run_stop(run);
	}
	run_join(run);
}

static struct run run_make(const struct bench_case *c, const struct bench_limit *limit,
			   const struct bench_probe *probe)
{
	const ptrdiff_t number = c->workload - bench_workload_list;
	struct run run = {
		.info = c->workload,
		.ops = c->backend->ops,
		.work = probe->opens ? c->backend->workload[number].run_timed
				     : c->backend->workload[number].run,
		.warm_up = c->backend->workload[number].run,
		.warm = warm_iterations(c, limit),
		.resident = c->resident,
		.iterations = limit->iterations,
		.chunk = c->trace ? 1 : CHUNK,
		.pool = limit->iterations * c->threads,
		.threads = c->threads,
		.running = c->threads,
		.behind = c->threads,
		.onward = limit->onward,
		.crowded = c->threads > bench_cpus(),
	};

	if (c->workload->grows) {
		run.iterations = (c->streams + c->threads - 1) / c->threads;
		run.pool = c->streams;
	}
	if (limit->iterations) {
		run.chunk = limit->iterations / CHUNKS_EACH;
		run.chunk = run.chunk < CHUNK_MAX ? run.chunk + 1 : CHUNK_MAX;
	}
	if (probe->paced)
		set_pace(&run, limit);
	return run;
}

void bench_run(const struct bench_case *c, const struct bench_limit *limit,
	       const struct bench_probe *probe, struct bench_result *result)
{
	static const struct bench_probe none;
	struct bench_counts all;
	uint64_t resident;
	struct tally before;
	struct run run;

	probe = probe ? probe : &none;
	*result = (struct bench_result){ 0 };
	bench_case_name(c, bench_current, sizeof(bench_current));
	if (!bench_supports(c->backend, c->workload) ||
	    (c->resident && !bench_keeps_idle(c->backend)))
		bench_die("the backend cannot do this");
	run = run_make(c, limit, probe);
	resident = bench_resident_kb();
	run.site = case_site(c);
	result->site_kb = bench_resident_kb() - resident;
	run.thread = bench_alloc_lines(c->threads * sizeof(*run.thread));
	before = bench_tally_sum(run.ops);
	for (unsigned int i = 0; i < c->threads; i++)
		worker_init(&run, c, probe, i);
	if (run.resident)
		bench_thread_run(begin_idle_main, &run);
	bench_create_ticks = (uint64_t)((double)c->create_ns / bench_tick_ns());
	all = bench_counts_all();
	set_run_now(&run);
	result->before_kb = bench_resident_kb();
	if (run.info->unloads)
		run_unload(&run, limit, result);
	else if (run.info->stalls)
		run_stall(&run, limit, probe->stall);
	else
		run_plain(&run, limit);
	set_run_now(NULL);
	bench_create_ticks = 0;
	if (run.resident)
		bench_thread_run(end_idle_main, &run);
	result->counts_all = bench_counts_all();
	bench_counts_sub(&result->counts_all, &all);

	collect(&run, probe, result);
	check(&run, &before, result);
	if (run.info->grows)
		growth_end(&run);
	free(run.thread);
}

void bench_watch(struct bench_progress *progress)
{
	*progress = (struct bench_progress){ 0 };
	pthread_mutex_lock(&run_lock);
	if (run_now) {
		struct tally sum = bench_tally_sum(run_now->ops);

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

void bench_init(void)
{
	bench_catalogue_init();
	bench_check_allocator();
}

void bench_finish(void)
{
	bench_sites_close();
	plan_free_all();
	zipf_free_all();
}
