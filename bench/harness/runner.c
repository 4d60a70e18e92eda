/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of a run.
 *
 * They take operations from a common pool in chunks.  With a fixed share each, a
 * thread that a lock is unfair to would do most of its own uncontended, after the
 * others have finished.
 */
#include <sched.h>
#include <time.h>

#include "run.h"

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
 * Each thread passes through its share of a trace equally often.  Shares differ.  A
 * thread that stopped first would leave the others the machine to themselves, so to
 * measure a rate it goes on.
 */
static bool take_pass(struct run *run, const struct run_thread *t)
{
	if (t->done < run->iterations)
		return true;
	if (!run->onward)
		return false;
	if (t->done == run->iterations)
		__atomic_sub_fetch(&run->behind, 1, __ATOMIC_RELAXED);
	return __atomic_load_n(&run->behind, __ATOMIC_RELAXED) > 0;
}

/* How many iterations to do next; 0 ends. */
static uint64_t take(struct run *run, const struct run_thread *t)
{
	uint64_t left;

	if (!run->iterations)
		return __atomic_load_n(&run->stop, __ATOMIC_RELAXED) ? 0 : run->chunk;
	if (t->worker.replay)
		return take_pass(run, t);
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

/*
 * An operation each period, timed from when it was due to its end.  An operation that
 * starts late behind slow ones has waited, as a client's request would have.  What is
 * still due at the end is left undone.  With more threads than CPUs, waiting yields.
 */
static void work_paced(struct run *run, struct run_thread *t)
{
	const uint64_t begin = bench_ticks();
	const double phase = run->period * t->worker.index / run->threads;
	const uint64_t end = begin + (uint64_t)(phase + run->period * (double)run->due);

	for (uint64_t i = 0; i < run->due; i++) {
		const uint64_t due = begin + (uint64_t)(phase + run->period * (double)i);
		uint64_t now = bench_ticks();

		if (now > end)
			break;
		while (now < due) {
			if (run->crowded)
				sched_yield();
			now = bench_ticks();
		}
		run->work(&t->worker, 1);
		histogram_add(t->paced, bench_ticks() - due);
		__atomic_store_n(&t->done, i + 1, __ATOMIC_RELAXED);
	}
}

static void thread_idle(const struct backend_ops *ops)
{
	if (ops->thread_idle)
		ops->thread_idle();
}

/* The last thread to finish waits for all that was retired. */
static void finish(struct run *run)
{
	thread_idle(run->ops);
	if (__atomic_sub_fetch(&run->running, 1, __ATOMIC_ACQ_REL) == 0 && run->info->retires)
		bench_drain(run->ops);
}

static void check_worker(struct run *run, struct run_thread *t)
{
	if (t->worker.seen != t->worker.expected)
		bench_die("lookups found %lu in all, not %lu", t->worker.seen, t->worker.expected);
	if (run->info->retires && run->ops->private_tables && !run->resident &&
	    run->ops->table_count(t->worker.table) != run->site->streams)
		bench_die("open references are left");
}

static void *run_main(void *arg)
{
	struct run_thread *t = arg;
	struct run *run = t->run;

	if (!run->crowded)
		bench_bind_to_cpu(t->worker.index);
	bench_thread_begin(run->ops);
	if (run->warm)
		run->warm_up(&t->worker, run->warm);
	thread_idle(run->ops);
	wait_for_all(run);
	t->counts = bench_counts_self();
	t->begin = bench_now_ns();
	if (run->period > 0)
		work_paced(run, t);
	else
		work(run, t);
	t->counts = bench_counts_since(&t->counts);
	finish(run);
	t->end = bench_now_ns();
	check_worker(run, t);
	bench_thread_end(run->ops);
	return NULL;
}

void run_start(struct run *run)
{
	for (unsigned int i = 0; i < run->threads; i++)
		run->thread[i].thread = bench_thread_start(run_main, &run->thread[i]);
	while (__atomic_load_n(&run->arrived, __ATOMIC_RELAXED) < run->threads)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

void run_stop(struct run *run)
{
	__atomic_store_n(&run->stop, true, __ATOMIC_RELAXED);
}

void run_join(struct run *run)
{
	for (unsigned int i = 0; i < run->threads; i++)
		pthread_join(run->thread[i].thread, NULL);
}
