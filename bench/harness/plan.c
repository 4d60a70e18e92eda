/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan.h"

#include <stdlib.h>

#include "internal.h"
#include "../traces/trace.h"

struct plan {
	const struct trace *trace;
	unsigned int threads;
	struct replay_share *share;	/* of each thread */
	struct plan *next;
};

static struct plan *plans;

/* A process's events, its thread, and where its handles begin. */
struct process {
	uint32_t number;
	size_t events;
	size_t handles;
	unsigned int thread;
	size_t first_slot;
};

static int busiest_first(const void *a, const void *b)
{
	const struct process *x = a;
	const struct process *y = b;

	if (x->events != y->events)
		return x->events < y->events ? 1 : -1;
	return x->number < y->number ? -1 : 1;
}

static int by_number(const void *a, const void *b)
{
	const struct process *x = a;
	const struct process *y = b;

	return x->number < y->number ? -1 : 1;
}

static struct process *count_events(const struct trace *trace)
{
	struct process *process = bench_alloc_lines(trace->processes * sizeof(*process));

	for (uint32_t i = 0; i < trace->processes; i++)
		process[i].number = i;
	for (size_t i = 0; i < trace->events; i++) {
		const struct trace_event *e = &trace->event[i];
		struct process *p = &process[e->process];

		p->events++;
		if (e->handle >= p->handles)
			p->handles = e->handle + 1;
	}
	return process;
}

static struct replay_share *least_busy(struct plan *plan)
{
	struct replay_share *least = &plan->share[0];

	for (unsigned int i = 1; i < plan->threads; i++)
		if (plan->share[i].events < least->events)
			least = &plan->share[i];
	return least;
}

static void deal(struct plan *plan, struct process *process)
{
	const uint32_t processes = plan->trace->processes;

	qsort(process, processes, sizeof(*process), busiest_first);
	for (uint32_t i = 0; i < processes; i++) {
		struct replay_share *share = least_busy(plan);

		process[i].thread = (unsigned int)(share - plan->share);
		process[i].first_slot = share->slots;
		share->events += process[i].events;
		share->slots += process[i].handles;
	}
	qsort(process, processes, sizeof(*process), by_number);
}

static void fill(struct plan *plan, const struct process *process)
{
	const struct trace *trace = plan->trace;

	for (unsigned int i = 0; i < plan->threads; i++) {
		struct replay_share *share = &plan->share[i];

		share->event = bench_alloc_lines(share->events * sizeof(*share->event) + 1);
		share->slot = bench_alloc_lines(share->slots * sizeof(*share->slot) + 1);
		share->events = 0;
	}
	for (size_t i = 0; i < trace->events; i++) {
		const struct trace_event *e = &trace->event[i];
		const struct process *p = &process[e->process];
		struct replay_share *share = &plan->share[p->thread];
		struct replay_event *event = &share->event[share->events++];

		event->slot = (uint32_t)(p->first_slot + e->handle);
		event->close = e->type == TRACE_CLOSE;
		share->opens += !event->close;
		if (!event->close) {
			const struct trace_file *file = &trace->file[e->file];

			event->id = (struct sctx_id){ file->dev, { file->ino, 0 }, 0 };
		}
	}
}

static struct plan *plan_make(const struct trace *trace, unsigned int threads)
{
	struct plan *plan = bench_alloc(sizeof(*plan));
	struct process *process = count_events(trace);

	*plan = (struct plan){ .trace = trace, .threads = threads, .next = plans };
	plan->share = bench_alloc_lines(threads * sizeof(*plan->share));
	deal(plan, process);
	fill(plan, process);
	free(process);
	plans = plan;
	return plan;
}

struct replay_share *plan_get(const struct trace *trace, unsigned int threads, unsigned int index)
{
	struct plan *plan = plans;

	while (plan && (plan->trace != trace || plan->threads != threads))
		plan = plan->next;
	if (!plan)
		plan = plan_make(trace, threads);
	return &plan->share[index];
}

void plan_free_all(void)
{
	for (struct plan *next; plans; plans = next) {
		next = plans->next;
		for (unsigned int i = 0; i < plans->threads; i++) {
			free(plans->share[i].event);
			free(plans->share[i].slot);
		}
		free(plans->share);
		free(plans);
	}
}
