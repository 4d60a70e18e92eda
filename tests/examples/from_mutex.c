/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A quota of bytes for each open file: as a daemon keeps it in a table under a
 * mutex, and as a module on streamctx.  Threads do the same with both, and the
 * sums are compared.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <streamctx.h>

#define FILES   8
#define THREADS 4
#define TURNS   20000

static atomic_ulong charged_before, charged_after; /* by files that were closed */

/* ---------------------------------------------------------------- before */

struct file {
	uint64_t ino;
	unsigned int opens;
	unsigned long bytes;
	struct file *next;
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *table;

static struct file *find(uint64_t ino)
{
	struct file *file = table;

	while (file && file->ino != ino)
		file = file->next;
	return file;
}

static int old_open(uint64_t ino)
{
	struct file *file;

	pthread_mutex_lock(&table_lock);
	file = find(ino);
	if (!file) {
		file = calloc(1, sizeof(*file));
		if (file) {
			file->ino = ino;
			file->next = table;
			table = file;
		}
	}
	if (file)
		file->opens++;
	pthread_mutex_unlock(&table_lock);
	return file ? 0 : -1;
}

static void old_charge(uint64_t ino, unsigned long bytes)
{
	pthread_mutex_lock(&table_lock);
	find(ino)->bytes += bytes;
	pthread_mutex_unlock(&table_lock);
}

static void old_close(uint64_t ino)
{
	struct file **place = &table, *file;

	pthread_mutex_lock(&table_lock);
	file = find(ino);
	if (--file->opens == 0) {
		while (*place != file)
			place = &(*place)->next;
		*place = file->next;
		charged_before += file->bytes;
		free(file);
	}
	pthread_mutex_unlock(&table_lock);
}

/* ----------------------------------------------------------------- after */

struct quota {
	struct sctx_context ctx;
	atomic_ulong bytes; /* threads share the record: it guards itself */
};

static struct sctx_registry *registry;
static const char quota_owner;

static void quota_free(struct sctx_context *ctx)
{
	struct quota *quota = (struct quota *)ctx;

	charged_after += quota->bytes;
	free(quota);
}

static struct sctx_context *quota_create(const void *owner, const void *instance, void *arg)
{
	struct quota *quota = calloc(1, sizeof(*quota));

	(void)arg;
	if (!quota || sctx_context_init(&quota->ctx, owner, instance, quota_free))
		return NULL;
	return &quota->ctx;
}

/* Most opens find the record: a lookup takes no reference that must be put. */
static bool has_quota(struct sctx_stream *stream)
{
	bool found;

	sctx_read_lock();
	found = sctx_lookup(stream, &quota_owner, NULL) != NULL;
	sctx_read_unlock();
	return found;
}

static struct sctx_stream *file_open(uint64_t ino)
{
	const struct sctx_id id = { .volume = 1, .file = { ino, 0 } };
	struct sctx_stream *stream;
	struct sctx_context *ctx;

	if (sctx_open(registry, &id, 0, &stream))
		return NULL;
	if (has_quota(stream))
		return stream;
	if (sctx_get_or_create(stream, &quota_owner, NULL, quota_create, NULL, &ctx)) {
		sctx_close(stream);
		return NULL;
	}
	sctx_put(ctx); /* the stream has its own reference */
	return stream;
}

static void file_charge(struct sctx_stream *stream, unsigned long bytes)
{
	struct quota *quota;

	sctx_read_lock();
	quota = (struct quota *)sctx_lookup(stream, &quota_owner, NULL);
	if (quota)
		atomic_fetch_add(&quota->bytes, bytes);
	sctx_read_unlock();
}

/* ------------------------------------------------------------------- both */

static void *work(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < TURNS; i++) {
		uint64_t ino = (uint64_t)rand_r(&seed) % FILES;
		unsigned long bytes = (unsigned long)rand_r(&seed) % 4096;
		struct sctx_stream *stream = file_open(ino);

		if (old_open(ino) || !stream)
			abort();
		old_charge(ino, bytes);
		file_charge(stream, bytes);
		old_close(ino);
		if (sctx_close(stream)) /* the last one frees, after a grace period */
			abort();
	}
	return NULL;
}

int main(void)
{
	pthread_t thread[THREADS];

	if (sctx_registry_create(&registry))
		return 1;
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, work, (void *)(i + 1)))
			return 1;
	sctx_thread_offline(); /* for qsbr: this thread waits */
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	if (sctx_registry_destroy(registry) || sctx_barrier())
		return 1;
	printf("before %lu, after %lu bytes\n", charged_before, charged_after);
	return charged_before != charged_after || !charged_after;
}
