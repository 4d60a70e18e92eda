/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plugin: a program that does not link the library loads it with dlopen(3),
 * uses it through dlsym(3) and lets it go, again and again.  No thread and no
 * callback is left behind.  Plain C and libc, so that nothing else could have
 * brought in what the library needs.
 *
 * SCTX_TEST_UNLOADABLE names a library that can be unloaded, as a plugin with the
 * archive in it can.  The one that is installed stays: tests/unit/stays.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <streamctx.h>

#define CHECK(cond)                                                                             \
	do {                                                                                    \
		if (!(cond)) {                                                                  \
			fprintf(stderr, "%s:%d: %s is false (%s)\n", __FILE__, __LINE__, #cond, \
				dlerror());                                                     \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* Every function of the header that is used here, by its own type. */
/* clang-format off */
#define FUNCTIONS(X)                                                             \
	X(sctx_version) X(sctx_read_lock) X(sctx_read_unlock)                    \
	X(sctx_thread_attach) X(sctx_thread_detach) X(sctx_context_init)         \
	X(sctx_put) X(sctx_stream_init) X(sctx_teardown_sync) X(sctx_lookup)     \
	X(sctx_insert) X(sctx_delete) X(sctx_registry_create)                    \
	X(sctx_registry_destroy) X(sctx_open) X(sctx_close) X(sctx_find)         \
	X(sctx_barrier) X(sctx_stats_get)
/* clang-format on */

static struct library {
	void *handle;
#define MEMBER(f) __typeof__(f) *f;
	FUNCTIONS(MEMBER)
} lib;

static void library_open(const char *path)
{
	lib.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CHECK(lib.handle);
#define RESOLVE(f)                                \
	*(void **)&lib.f = dlsym(lib.handle, #f); \
	CHECK(lib.f);
	FUNCTIONS(RESOLVE)
}

static int names_library(struct dl_phdr_info *info, size_t size, void *found)
{
	(void)size;
	if (strstr(info->dlpi_name, "libstreamctx"))
		*(int *)found = 1;
	return 0;
}

static int library_is_loaded(void)
{
	int found = 0;

	dl_iterate_phdr(names_library, &found);
	return found;
}

static void library_close(void)
{
	CHECK(dlclose(lib.handle) == 0);
	memset(&lib, 0, sizeof(lib));
	CHECK(!library_is_loaded());
}

static unsigned int task_count(void)
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

/* A thread that was joined may stand in /proc for a moment more. */
static void only_the_main_thread_is_left(void)
{
	for (unsigned int i = 0; i < 1000 && task_count() != 1; i++)
		usleep(1000);
	CHECK(task_count() == 1);
}

/* ---------------------------------------------------------------- contexts */

struct record {
	struct sctx_context ctx;
	int alive;
};

static const char owner;
static atomic_uint made, freed;

static void record_free(struct sctx_context *ctx)
{
	struct record *r = (struct record *)ctx;

	CHECK(r->alive == 1);
	r->alive = 0;
	free(r);
	atomic_fetch_add(&freed, 1);
}

static struct sctx_context *record_new(void)
{
	struct record *r = calloc(1, sizeof(*r));

	CHECK(r);
	r->alive = 1;
	CHECK(lib.sctx_context_init(&r->ctx, &owner, NULL, record_free) == 0);
	atomic_fetch_add(&made, 1);
	return &r->ctx;
}

static void use(struct sctx_registry *registry, uint64_t n)
{
	struct sctx_id id = { .volume = 1, .file = { n, 0 }, .stream = 0 };
	struct sctx_stream *s, own;

	CHECK(lib.sctx_open(registry, &id, 0, &s) == 0);
	CHECK(lib.sctx_insert(s, record_new()) == 0);
	lib.sctx_read_lock();
	CHECK(lib.sctx_find(registry, &id) == s);
	CHECK(lib.sctx_lookup(s, &owner, NULL) != NULL);
	lib.sctx_read_unlock();
	CHECK(lib.sctx_close(s) == 0);

	CHECK(lib.sctx_stream_init(&own) == 0);
	CHECK(lib.sctx_insert(&own, record_new()) == 0);
	CHECK(lib.sctx_delete(&own, &owner, NULL) == 0);
	CHECK(lib.sctx_put(record_new()) == 0);
	if (n % 64 == 0)
		CHECK(lib.sctx_teardown_sync(&own) == 0);
}

/* ------------------------------------------------------------------ threads */

static void *thread_that_exits(void *registry)
{
	for (uint64_t n = 100; n < 110; n++)
		use(registry, n);
	return NULL;
}

/* Lives on past the dlclose(), as the header allows after a detach. */
static pthread_barrier_t detached, closed;

static void *thread_that_detaches(void *registry)
{
	for (uint64_t n = 200; n < 210; n++)
		use(registry, n);
	CHECK(lib.sctx_thread_detach() == 0);
	pthread_barrier_wait(&detached);
	pthread_barrier_wait(&closed);
	return NULL;
}

static void load_use_and_unload(const char *path, unsigned int round)
{
	struct sctx_registry *registry = NULL;
	pthread_t exits, detaches;

	library_open(path);
	printf("%u: %s\n", round, lib.sctx_version());
	CHECK(lib.sctx_registry_create(&registry) == 0);
	for (uint64_t n = 0; n < 100; n++)
		use(registry, n);
	CHECK(pthread_create(&exits, NULL, thread_that_exits, registry) == 0);
	CHECK(pthread_join(exits, NULL) == 0);
	CHECK(pthread_create(&detaches, NULL, thread_that_detaches, registry) == 0);
	pthread_barrier_wait(&detached);
	CHECK(lib.sctx_registry_destroy(registry) == 0);
	/* In every other round dlclose() finds the callbacks still to be run. */
	if (round % 2) {
		CHECK(lib.sctx_barrier() == 0);
		CHECK(atomic_load(&freed) == atomic_load(&made));
	}
	library_close();
	CHECK(atomic_load(&freed) == atomic_load(&made));
	pthread_barrier_wait(&closed);
	CHECK(pthread_join(detaches, NULL) == 0);
	only_the_main_thread_is_left();
}

/* Loaded and not used; used, but for nothing that needs a thread. */
static void load_and_unload(const char *path)
{
	struct sctx_registry *registry;

	library_open(path);
	library_close();
	library_open(path);
	lib.sctx_read_lock();
	lib.sctx_read_unlock();
	CHECK(lib.sctx_registry_create(&registry) == 0);
	only_the_main_thread_is_left();
	CHECK(lib.sctx_registry_destroy(registry) == 0);
	library_close();
	only_the_main_thread_is_left();
}

/*
 * So often that a key, a thread, a mapping or memory left behind each time
 * would be felt: a process has 1024 keys.
 */
#define TIMES 1200

static size_t resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file);
	CHECK(fscanf(file, "%lu %lu", &size, &resident) == 2);
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void again_and_again(const char *path)
{
	size_t before = 0;

	for (unsigned int i = 0; i < TIMES; i++) {
		struct sctx_registry *registry;

		library_open(path);
		CHECK(lib.sctx_registry_create(&registry) == 0);
		use(registry, i);
		CHECK(lib.sctx_registry_destroy(registry) == 0);
		library_close();
		if (i == TIMES / 4)
			before = resident_bytes();
	}
	only_the_main_thread_is_left();
	CHECK(atomic_load(&freed) == atomic_load(&made));
	printf("%u times: %zu kB more\n", TIMES, (resident_bytes() - before) / 1024);
	CHECK(resident_bytes() < before + (1u << 20));
}

/*
 * The library's waits call this one (the program is linked with -rdynamic).
 * Who is woken comes late, as on a crowded machine.
 */
static atomic_bool late_wakes;

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	int (*wait)(pthread_cond_t *, pthread_mutex_t *);
	int error;

	*(void **)&wait = dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
	if (!wait)
		*(void **)&wait = dlsym(RTLD_NEXT, "pthread_cond_wait");
	CHECK(wait);
	error = wait(cond, mutex);
	if (atomic_load(&late_wakes)) {
		pthread_mutex_unlock(mutex);
		usleep(20000);
		pthread_mutex_lock(mutex);
	}
	return error;
}

/*
 * The reclaimer sleeps, is woken by the last thing that is retired, and finds
 * when it comes that the library is being unloaded.
 */
static void unloaded_right_after_a_wake(const char *path)
{
	for (unsigned int i = 0; i < 10; i++) {
		library_open(path);
		CHECK(lib.sctx_barrier() == 0);
		usleep(20000);
		atomic_store(&late_wakes, true);
		CHECK(lib.sctx_put(record_new()) == 0);
		library_close();
		atomic_store(&late_wakes, false);
		CHECK(atomic_load(&freed) == atomic_load(&made));
	}
}

int main(void)
{
	const char *path = getenv("SCTX_TEST_UNLOADABLE");

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!path) {
		puts("skip: SCTX_TEST_UNLOADABLE does not name a library");
		return 77;
	}
	CHECK(!library_is_loaded());
	CHECK(task_count() == 1);
	CHECK(pthread_barrier_init(&detached, NULL, 2) == 0);
	CHECK(pthread_barrier_init(&closed, NULL, 2) == 0);
	load_and_unload(path);
	for (unsigned int round = 0; round < 10; round++)
		load_use_and_unload(path, round);
	load_and_unload(path);
	again_and_again(path);
	unloaded_right_after_a_wake(path);
	CHECK(atomic_load(&made) != 0);
	printf("%u contexts\n", atomic_load(&made));
	return 0;
}
