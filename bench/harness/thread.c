/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that call into one backend. */
#include "internal.h"

void bench_thread_begin(const struct backend_ops *ops)
{
	bench_tally_attach(ops);
	if (ops->thread_enter)
		ops->thread_enter();
}

void bench_thread_end(const struct backend_ops *ops)
{
	if (ops->thread_exit)
		ops->thread_exit();
	bench_tally_fold(bench_tally_self);
}

void bench_drain(const struct backend_ops *ops)
{
	if (ops->drain)
		ops->drain();
}

pthread_t bench_thread_start(void *(*main)(void *), void *arg)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, main, arg);

	if (error)
		bench_die("pthread_create: %s", strerror(error));
	return thread;
}

void bench_thread_run(void *(*main)(void *), void *arg)
{
	pthread_join(bench_thread_start(main, arg), NULL);
}
