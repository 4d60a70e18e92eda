/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine's part: clocks, the allocator, memory in use, processors. */
#include <jemalloc/jemalloc.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "internal.h"

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

uint64_t bench_create_ticks;

void bench_spin(uint64_t ticks)
{
	const uint64_t begin = bench_ticks();

	while (bench_ticks() - begin < ticks)
		continue;
}

const char *bench_tick_name(void)
{
#ifdef __x86_64__
	return "rdtsc between lfences";
#else
	return "clock_gettime";
#endif
}

/* malloc() must be jemalloc's, for all backends. */
void bench_check_allocator(void)
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

uint64_t bench_resident_kb(void)
{
	unsigned long size;
	unsigned long resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%lu %lu", &size, &resident) != 2)
			resident = 0;
		fclose(f);
	}
	return resident * ((unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

unsigned int bench_cpus(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) ? 1
							       : (unsigned int)CPU_COUNT(&allowed);
}

void bench_bind_to_cpu(unsigned int index)
{
	cpu_set_t allowed, one;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (unsigned int seen = 0; seen <= index; seen += CPU_ISSET(cpu, &allowed) != 0)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
		bench_die("cannot bind a thread to CPU %d", cpu);
}
