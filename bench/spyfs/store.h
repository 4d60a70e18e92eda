/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The seam between the filesystem and its registry of open streams: streamctx,
 * or the table that a daemon has without it.
 */
#ifndef SPYFS_STORE_H
#define SPYFS_STORE_H

#include <stdatomic.h>

#include "module.h"

#define MODULES_MAX 8

struct spy_stream; /* the store's own */

/* A module that is loaded. */
struct loaded {
	const struct spy_module *ops;
	void *code;               /* dlopen()'s */
	struct sctx_owner *owner; /* streamctx: what it is registered as */
	atomic_ulong users;       /* streamctx: threads that use it outside a section */
	atomic_ulong contexts;    /* mutex: not yet freed */
	char *arg;                /* or NULL */
};

/*
 * The modules that get events.  A thread inside a read section (streamctx), or
 * with a stream's lock (mutex), may use a module that it loads from here: unload
 * clears the place first and then waits for such threads.
 */
extern _Atomic(struct loaded *) modules[MODULES_MAX];

struct store {
	const char *name;
	int (*create)(void);
	int (*thread_start)(void); /* in each thread that will serve */
	int (*open)(const struct spy_file *file, struct spy_stream **stream);
	void (*close)(struct spy_stream *stream);
	/* Tell each module.  The first error ends it and is returned. */
	int (*event)(struct spy_stream *stream, const struct spy_event *event);

	int (*load)(struct loaded *module);
	/* After 0 the module is called no more; an error is explained to @file. */
	int (*unload)(struct loaded *module, FILE *file);

	/* A row for each open stream, filled in by all modules. */
	void (*for_each)(void (*fn)(const struct spy_row *row, void *arg), void *arg);
	void (*summary)(FILE *file); /* for people */
	void (*metrics)(FILE *file); /* for Prometheus */

	/* All is closed and unloaded.  Reports whether anything is left, as -EBUSY too. */
	int (*destroy)(FILE *file);
};

extern const struct store store_streamctx, store_mutex;
extern const struct store *store;

/* The name of a stream without the audit module, which puts a path there. */
static inline void row_name(struct spy_row *row, const struct sctx_id *id)
{
	snprintf(row->name, sizeof(row->name), "device %llx inode %llu",
		 (unsigned long long)id->volume, (unsigned long long)id->file[0]);
}

/* modules.c */

/* NAME or NAME=ARG.  Errors are explained to @file. */
int modules_load(const char *name, FILE *file);
int modules_unload(const char *name, FILE *file);
int modules_unload_all(FILE *file);
void modules_list(FILE *file);
void modules_metrics(FILE *file);

#endif /* SPYFS_STORE_H */
