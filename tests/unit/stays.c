/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shared library stays in the process after dlclose(3): a thread may be inside
 * it, and the static TLS that it takes is not given back.
 *
 * SCTX_TEST_SO names the library.  The program links none.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
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

#define ROUNDS 12

static pthread_barrier_t inside, closed;
static void (*lock)(void), (*unlock)(void);

/* Never detaches, and is in a section while the library is closed. */
static void *reader(void *unused)
{
	lock();
	pthread_barrier_wait(&inside);
	pthread_barrier_wait(&closed);
	unlock();
	lock();
	unlock();
	return unused;
}

static void *find(void *handle, const char *name)
{
	void *symbol = dlsym(handle, name);

	CHECK(symbol);
	return symbol;
}

/* Load and close it; between these, something else takes the static TLS behind it. */
static void load_and_close(const char *path, const char *folder, int round)
{
	static void *first;
	char other[4096];
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	pthread_t thread;

	CHECK(handle);
	*(void **)&lock = find(handle, "sctx_read_lock");
	*(void **)&unlock = find(handle, "sctx_read_unlock");
	CHECK(!first || first == *(void **)&lock);
	first = *(void **)&lock;
	CHECK(pthread_create(&thread, NULL, reader, NULL) == 0);
	pthread_barrier_wait(&inside);
	snprintf(other, sizeof(other), "%s/tls%d.so", folder, round);
	CHECK(dlopen(other, RTLD_NOW));
	CHECK(dlclose(handle) == 0);
	CHECK(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
	pthread_barrier_wait(&closed);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* Libraries with 16 bytes of static TLS. */
static void build_others(const char *folder)
{
	const char *cc = getenv("SCTX_TEST_CC");
	char command[8192];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(command, sizeof(command),
			 "echo '__thread __attribute__((tls_model(\"initial-exec\"))) char t[16];"
			 " char *at(void) { return t; }' |"
			 " %s -shared -fPIC -x c - -o %s/tls%d.so",
			 cc ? cc : "cc", folder, i);
		CHECK(system(command) == 0);
	}
}

static void remove_others(const char *folder)
{
	char other[4096];

	for (int i = 0; i < ROUNDS; i++) {
		snprintf(other, sizeof(other), "%s/tls%d.so", folder, i);
		unlink(other);
	}
	rmdir(folder);
}

int main(void)
{
	const char *path = getenv("SCTX_TEST_SO");
	char folder[] = "/tmp/sctx-stays-XXXXXX";

	if (!path) {
		puts("skip: SCTX_TEST_SO does not name a library");
		return 77;
	}
	CHECK(pthread_barrier_init(&inside, NULL, 2) == 0);
	CHECK(pthread_barrier_init(&closed, NULL, 2) == 0);
	CHECK(mkdtemp(folder));
	build_others(folder);
	for (int round = 0; round < ROUNDS; round++)
		load_and_close(path, folder, round);
	remove_others(folder);
	return 0;
}
