/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store that most daemons have: a hash table under one mutex, and on each
 * stream a mutex and a list of contexts.  Modules are called with the stream's
 * mutex held; contexts are freed as they are unlinked.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "store.h"
#include "table.h"

struct context {
	struct loaded *module;
	struct context *next;
	max_align_t data[];
};

struct stream {
	struct sctx_id id;
	unsigned long opens;  /* the table's lock */
	pthread_mutex_t lock; /* taken inside the table's: */
	struct context *contexts;
	UT_hash_handle hh;
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *table;
static unsigned long long opens, closes, streams;
static atomic_ullong made, freed; /* contexts */

static int mutex_create(void)
{
	return 0;
}

static int mutex_thread_start(void)
{
	return 0;
}

/* The stream's lock is held. */
static struct context *context_of(struct stream *stream, struct loaded *module,
				  const struct spy_file *file)
{
	struct context *ctx = stream->contexts;

	while (ctx && ctx->module != module)
		ctx = ctx->next;
	if (ctx || !file)
		return ctx;
	ctx = calloc(1, sizeof(*ctx) + module->ops->context_size);
	if (!ctx)
		return NULL;
	ctx->module = module;
	module->contexts++;
	made++;
	if (module->ops->attach)
		module->ops->attach(ctx->data, file);
	ctx->next = stream->contexts;
	stream->contexts = ctx;
	return ctx;
}

/* @ctx is on no list. */
static void context_free(struct context *ctx)
{
	struct loaded *module = ctx->module;

	if (module->ops->detached)
		module->ops->detached(ctx->data);
	if (module->ops->free)
		module->ops->free(ctx->data);
	free(ctx);
	freed++;
	module->contexts--; /* last: unload waits for it */
}

static struct stream *stream_add(const struct spy_file *file)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->id = file->id;
	pthread_mutex_init(&stream->lock, NULL);
	HASH_ADD(hh, table, id, sizeof(stream->id), stream);
	if (!TABLE_HAS(stream)) {
		pthread_mutex_destroy(&stream->lock);
		free(stream);
		return NULL;
	}
	streams++;
	return stream;
}

static int mutex_open(const struct spy_file *file, struct spy_stream **opened)
{
	struct stream *stream;

	pthread_mutex_lock(&table_lock);
	HASH_FIND(hh, table, &file->id, sizeof(file->id), stream);
	if (!stream)
		stream = stream_add(file);
	if (!stream) {
		pthread_mutex_unlock(&table_lock);
		return -ENOMEM;
	}
	opens++;
	if (stream->opens++ == 0)
		pthread_mutex_lock(&stream->lock);
	else
		file = NULL;
	pthread_mutex_unlock(&table_lock);
	*opened = (struct spy_stream *)stream;
	if (!file)
		return 0;
	for (int i = 0; i < MODULES_MAX; i++) {
		struct loaded *module = modules[i];

		if (module)
			context_of(stream, module, file);
	}
	pthread_mutex_unlock(&stream->lock);
	return 0;
}

static void mutex_close(struct spy_stream *closed)
{
	struct stream *stream = (struct stream *)closed;
	struct context *next;
	bool last;

	pthread_mutex_lock(&table_lock);
	closes++;
	last = --stream->opens == 0;
	if (last)
		HASH_DEL(table, stream);
	pthread_mutex_unlock(&table_lock);
	if (!last)
		return;
	for (struct context *ctx = stream->contexts; ctx; ctx = next) {
		next = ctx->next;
		context_free(ctx);
	}
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

static int mutex_event(struct spy_stream *told, const struct spy_event *event)
{
	struct stream *stream = (struct stream *)told;
	int error = 0;

	pthread_mutex_lock(&stream->lock);
	for (int i = 0; i < MODULES_MAX && !error; i++) {
		struct loaded *module = modules[i];
		struct context *ctx = module ? context_of(stream, module, event->file) : NULL;

		if (ctx)
			error = module->ops->event(ctx->data, event);
	}
	pthread_mutex_unlock(&stream->lock);
	return error;
}

static int mutex_load(struct loaded *module)
{
	(void)module;
	return 0;
}

static struct context *take_off(struct stream *stream, struct loaded *module)
{
	struct context **link = &stream->contexts, *ctx;

	while (*link && (*link)->module != module)
		link = &(*link)->next;
	ctx = *link;
	if (ctx)
		*link = ctx->next;
	return ctx;
}

static int mutex_unload(struct loaded *module, FILE *file)
{
	struct stream *stream, *next;

	(void)file;
	pthread_mutex_lock(&table_lock);
	HASH_ITER(hh, table, stream, next)
	{
		struct context *ctx;

		pthread_mutex_lock(&stream->lock);
		ctx = take_off(stream, module);
		pthread_mutex_unlock(&stream->lock);
		if (ctx)
			context_free(ctx);
	}
	pthread_mutex_unlock(&table_lock);
	while (module->contexts) /* of streams that are being closed */
		usleep(1000);
	return 0;
}

static void mutex_for_each(void (*fn)(const struct spy_row *row, void *arg), void *arg)
{
	struct stream *stream, *next;

	pthread_mutex_lock(&table_lock);
	HASH_ITER(hh, table, stream, next)
	{
		struct spy_row row = { 0 };

		row_name(&row, &stream->id);
		pthread_mutex_lock(&stream->lock);
		for (struct context *ctx = stream->contexts; ctx; ctx = ctx->next)
			if (ctx->module->ops->row)
				ctx->module->ops->row(ctx->data, &row);
		pthread_mutex_unlock(&stream->lock);
		fn(&row, arg);
	}
	pthread_mutex_unlock(&table_lock);
}

static void mutex_summary(FILE *file)
{
	pthread_mutex_lock(&table_lock);
	fprintf(file, "mutex\nstreams %u  contexts %llu  opens %llu  closes %llu\n",
		HASH_COUNT(table), made - freed, opens, closes);
	pthread_mutex_unlock(&table_lock);
}

static void mutex_metrics(FILE *file)
{
	pthread_mutex_lock(&table_lock);
	fprintf(file,
		"# HELP spyfs_streams Streams that are open.\n# TYPE spyfs_streams gauge\n"
		"spyfs_streams %u\n"
		"# HELP spyfs_opens_total Opens.\n# TYPE spyfs_opens_total counter\n"
		"spyfs_opens_total %llu\n",
		HASH_COUNT(table), opens);
	pthread_mutex_unlock(&table_lock);
}

static int mutex_destroy(FILE *file)
{
	bool leaked = table || made != freed;

	fprintf(file,
		"spyfs: %s: %llu opens, %llu closes; %llu streams; %llu contexts hung up,"
		" %llu taken off\n",
		leaked ? "leaked" : "nothing left", opens, closes, streams, made, freed);
	return leaked ? -EBUSY : 0;
}

const struct store store_mutex = {
	.name = "mutex",
	.create = mutex_create,
	.thread_start = mutex_thread_start,
	.open = mutex_open,
	.close = mutex_close,
	.event = mutex_event,
	.load = mutex_load,
	.unload = mutex_unload,
	.for_each = mutex_for_each,
	.summary = mutex_summary,
	.metrics = mutex_metrics,
	.destroy = mutex_destroy,
};
