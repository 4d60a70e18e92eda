/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a cache line takes from one CPU to another: contended figures depend on it.
 */
#include "internal.h"

#define BATCHES 9
#define TURNS   200 /* of each thread, in a batch */
#define END     (BATCHES * TURNS * 2)

struct ball {
	uint32_t turn; /* even: the first thread's */
} __attribute__((aligned(128)));

static void play(struct ball *ball, uint32_t turn)
{
	while (__atomic_load_n(&ball->turn, __ATOMIC_ACQUIRE) != turn)
		continue;
	__atomic_store_n(&ball->turn, turn + 1, __ATOMIC_RELEASE);
}

static void *second_player(void *ball)
{
	bench_bind_to_cpu(1);
	for (uint32_t turn = 1; turn < END; turn += 2)
		play(ball, turn);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Nanoseconds of a turn: the median of the batches. */
static double first_player(struct ball *ball)
{
	double ns[BATCHES];
	uint32_t turn = 0;

	for (int i = 0; i < BATCHES; i++) {
		uint64_t begin = bench_now_ns();

		for (int n = 0; n < TURNS; n++, turn += 2)
			play(ball, turn);
		ns[i] = (double)(bench_now_ns() - begin) / (2 * TURNS);
	}
	qsort(ns, BATCHES, sizeof(ns[0]), by_size);
	return ns[BATCHES / 2];
}

static void *both_players(void *result)
{
	struct ball ball = { .turn = 0 };
	pthread_t second;

	/* Before the binding, which it would inherit. */
	if (pthread_create(&second, NULL, second_player, &ball))
		bench_die("cannot create a thread");
	bench_bind_to_cpu(0);
	*(double *)result = first_player(&ball);
	pthread_join(second, NULL);
	return NULL;
}

double bench_handover_ns(void)
{
	double ns = 0;
	pthread_t first;

	if (bench_cpus() < 2)
		return 0;
	/* On a thread of its own, so that no other thread inherits the binding. */
	if (pthread_create(&first, NULL, both_players, &ns))
		bench_die("cannot create a thread");
	pthread_join(first, NULL);
	return ns;
}
