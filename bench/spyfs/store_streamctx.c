/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store on streamctx.  A module is a registered owner: the library makes
 * its contexts at open, frees them after a grace period, and takes them off
 * every stream when the module leaves.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store.h"

static struct sctx_registry *registry;

/*
 * Between requests a thread sleeps in the kernel, where the qsbr flavour would
 * wait for it: each call here ends with sctx_thread_offline(), which does
 * nothing in the other flavours.
 */

/* The file that this thread opens, for owner_attach(). */
static _Thread_local const struct spy_file *opening;

static struct loaded *loaded_of(const struct sctx_context *ctx)
{
	return sctx_owner_arg((struct sctx_owner *)ctx->owner);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The figures of the last summary: rates are since then. */
static struct sctx_stats before;
static double then;

/*
 * The reclaimer's thread, and the allocator's state of each thread, are set up
 * while there is memory.
 */
static int streamctx_create(void)
{
	int error = sctx_registry_create(&registry);

	if (!error)
		error = sctx_barrier();
	then = seconds();
	sctx_thread_offline();
	return error;
}

static int streamctx_thread_start(void)
{
	int error = sctx_thread_attach();
	void *memory = error ? NULL : sctx_alloc(SCTX_POOL_PAGED, 1, SCTX_TAG('S', 'p', 'y', ' '));

	if (!error && !memory)
		error = -ENOMEM;
	sctx_free(memory, 0);
	sctx_thread_offline();
	return error;
}

static int streamctx_open(const struct spy_file *file, struct spy_stream **stream)
{
	struct sctx_stream *opened;
	int error;

	opening = file;
	error = sctx_open(registry, &file->id, 0, &opened);
	opening = NULL;
	sctx_thread_offline();
	*stream = (struct spy_stream *)opened;
	return error;
}

static void streamctx_close(struct spy_stream *stream)
{
	sctx_close((struct sctx_stream *)stream);
	sctx_thread_offline();
}

/* ---------------------------------------------------------------- events */

static struct sctx_context *create_late(const void *owner, const void *instance, void *file)
{
	struct sctx_context *ctx;
	struct loaded *module;

	if (sctx_context_alloc((struct sctx_owner *)owner, instance, 0, &ctx))
		return NULL;
	module = loaded_of(ctx);
	if (module->ops->attach)
		module->ops->attach(sctx_context_data(ctx), file);
	return ctx;
}

/* The module came after the stream was opened.  Outside any section: attach() may take locks. */
static int tell_late(struct sctx_stream *stream, struct loaded *module,
		     const struct spy_event *event)
{
	struct sctx_context *ctx;
	int error = sctx_get_or_create(stream, module->owner, NULL, create_late,
				       (void *)event->file, &ctx);

	if (error) /* a module that is leaving refuses nothing */
		return error == -ESHUTDOWN ? 0 : error;
	error = module->ops->event(sctx_context_data(ctx), event);
	sctx_put(ctx);
	return error;
}

/* Tell the modules that have a context; hold the others, and list them in @late. */
static int tell_linked(struct sctx_stream *stream, const struct spy_event *event,
		       struct loaded **late, int *n_late)
{
	int error = 0;

	sctx_read_lock();
	for (int i = 0; i < MODULES_MAX && !error; i++) {
		struct loaded *module = atomic_load_explicit(&modules[i], memory_order_acquire);
		struct sctx_context *ctx = module ? sctx_lookup(stream, module->owner, NULL) : NULL;

		if (ctx) {
			error = module->ops->event(sctx_context_data(ctx), event);
		} else if (module) {
			module->users++;
			late[(*n_late)++] = module;
		}
	}
	sctx_read_unlock();
	return error;
}

static int streamctx_event(struct spy_stream *stream, const struct spy_event *event)
{
	struct loaded *late[MODULES_MAX];
	int n_late = 0;
	int error = tell_linked((struct sctx_stream *)stream, event, late, &n_late);

	for (int i = 0; i < n_late; i++) {
		if (!error)
			error = tell_late((struct sctx_stream *)stream, late[i], event);
		late[i]->users--;
	}
	sctx_thread_offline();
	return error;
}

/* --------------------------------------------------------------- modules */

static int owner_attach(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
			struct sctx_context **ctx)
{
	struct loaded *module = sctx_owner_arg(owner);
	int error = sctx_context_alloc(owner, NULL, 0, ctx);

	(void)arg;
	(void)id;
	if (!error && module->ops->attach)
		module->ops->attach(sctx_context_data(*ctx), opening);
	return error;
}

static void owner_detached(struct sctx_context *ctx)
{
	loaded_of(ctx)->ops->detached(sctx_context_data(ctx));
}

static void owner_free(struct sctx_context *ctx)
{
	loaded_of(ctx)->ops->free(sctx_context_data(ctx));
}

static int streamctx_load(struct loaded *module)
{
	const struct sctx_owner_ops ops = {
		.size = sizeof(ops),
		.name = module->ops->name,
		.tag = module->ops->tag,
		.context_size = module->ops->context_size,
		.attach = owner_attach,
		.detached = module->ops->detached ? owner_detached : NULL,
		.free = module->ops->free ? owner_free : NULL,
		.arg = module,
	};

	int error = sctx_owner_register(registry, &ops, &module->owner);

	sctx_thread_offline();
	return error;
}

static int streamctx_unload(struct loaded *module, FILE *file)
{
	struct sctx_leaks leaks = { .size = sizeof(leaks) };
	int error = sctx_synchronize(); /* no section is left that found it in its place */

	while (!error && module->users) /* threads that hold it use it outside a section */
		usleep(1000);
	if (!error)
		error = sctx_owner_unregister(module->owner, &leaks);
	if (error == -EBUSY)
		sctx_leaks_print(&leaks, file);
	return error;
}

/* -------------------------------------------------------------- watching */

struct walk {
	void (*fn)(const struct spy_row *row, void *arg);
	void *arg;
};

static int walk_one(struct sctx_stream *stream, void *arg)
{
	struct walk *walk = arg;
	struct spy_row row = { 0 };

	row_name(&row, sctx_stream_id(stream));
	for (int i = 0; i < MODULES_MAX; i++) {
		struct loaded *module = atomic_load_explicit(&modules[i], memory_order_acquire);
		struct sctx_context *ctx = module ? sctx_lookup(stream, module->owner, NULL) : NULL;

		if (ctx && module->ops->row)
			module->ops->row(sctx_context_data(ctx), &row);
	}
	walk->fn(&row, walk->arg);
	return 0;
}

static void streamctx_for_each(void (*fn)(const struct spy_row *row, void *arg), void *arg)
{
	struct walk walk = { fn, arg };

	sctx_registry_for_each(registry, walk_one, &walk);
}

static int summary_owner(const struct sctx_owner_stats *stats, void *file)
{
	fprintf(file, "  %s %llu%s", stats->name, (unsigned long long)stats->contexts,
		stats->leaving ? " (leaving)" : "");
	return 0;
}

static void streamctx_summary(FILE *file)
{
	struct sctx_stats now = { .size = sizeof(now) };
	struct sctx_registry_stats table = { .size = sizeof(table) };
	double passed = seconds() - then;

	sctx_stats_get(&now);
	sctx_registry_stats_get(registry, &table);
	fprintf(file, "%s\n", sctx_version());
	fprintf(file, "streams %llu  buckets %llu  longest chain %llu  contexts:",
		(unsigned long long)table.streams, (unsigned long long)table.buckets,
		(unsigned long long)table.longest_chain);
	sctx_registry_owners(registry, summary_owner, file);
	fprintf(file, "\nlimbo %llu bytes, %llu callbacks, oldest %.1f ms",
		(unsigned long long)now.limbo_bytes, (unsigned long long)now.limbo_callbacks,
		(double)now.limbo_age_ns / 1e6);
	if (now.grace_periods)
		fprintf(file, "  grace period %.0f us",
			(double)now.grace_period_ns / (double)now.grace_periods / 1e3);
#define RATE(field) (double)(now.field - before.field) / passed
	fprintf(file,
		"\na second: opens %.0f  creates %.0f  closes %.0f  inserts %.0f"
		"  callbacks %.0f  grace periods %.0f\n",
		RATE(opens), RATE(creates), RATE(closes), RATE(inserts), RATE(callbacks_run),
		RATE(grace_periods));
#undef RATE
	before = now;
	then += passed;
}

static void streamctx_metrics(FILE *file)
{
	sctx_stats_print(registry, SCTX_PROMETHEUS, file);
}

static bool tags_leaked(FILE *file)
{
	struct sctx_tag_stats tags[SCTX_TAGS_MAX];
	int n = sctx_tag_stats_get(tags, sizeof(*tags), SCTX_TAGS_MAX);
	bool leaked = false;

	for (int i = 0; i < n; i++) {
		if (!tags[i].objects && !tags[i].bytes)
			continue;
		leaked = true;
		fprintf(file, "spyfs: leaked under tag %.4s: %llu bytes in %llu objects\n",
			(const char *)&tags[i].tag, (unsigned long long)tags[i].bytes,
			(unsigned long long)tags[i].objects);
	}
	return leaked;
}

static int streamctx_destroy(FILE *file)
{
	struct sctx_stats stats = { .size = sizeof(stats) };
	int error = sctx_registry_destroy(registry);
	bool leaked;

	if (error)
		sctx_registry_print(registry, file);
	sctx_barrier();
	sctx_stats_get(&stats);
	leaked = tags_leaked(file) || error || stats.limbo_bytes || stats.limbo_callbacks ||
		 stats.opens != stats.closes || stats.creates != stats.last_closes ||
		 stats.inserts != stats.removes;
	fprintf(file,
		"spyfs: %s: %llu opens, %llu closes; %llu streams, %llu closed for the last time;"
		" %llu contexts hung up, %llu taken off; limbo %llu\n",
		leaked ? "leaked" : "nothing left", (unsigned long long)stats.opens,
		(unsigned long long)stats.closes, (unsigned long long)stats.creates,
		(unsigned long long)stats.last_closes, (unsigned long long)stats.inserts,
		(unsigned long long)stats.removes, (unsigned long long)stats.limbo_callbacks);
	return leaked ? -EBUSY : 0;
}

const struct store store_streamctx = {
	.name = "streamctx",
	.create = streamctx_create,
	.thread_start = streamctx_thread_start,
	.open = streamctx_open,
	.close = streamctx_close,
	.event = streamctx_event,
	.load = streamctx_load,
	.unload = streamctx_unload,
	.for_each = streamctx_for_each,
	.summary = streamctx_summary,
	.metrics = streamctx_metrics,
	.destroy = streamctx_destroy,
};
