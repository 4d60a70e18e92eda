/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a module is: a shared object with one of these, named spy_module.  It
 * keeps a context on each open stream, wherever the store hangs it up, and
 * knows nothing of the store.
 *
 * All but start and stop may be called by several threads at once, for one
 * context too.  event and row run inside a read section, as does attach where
 * the module came after the stream: they should not take long.
 */
#ifndef SPYFS_MODULE_H
#define SPYFS_MODULE_H

#include <stdio.h>
#include <streamctx.h>
#include <sys/types.h>

/* An open file, as modules see it. */
struct spy_file {
	struct sctx_id id; /* device and inode: the same for all who have it open */
	int fd;            /* of this open */
};

enum spy_event_type {
	SPY_OPENED,
	SPY_READ,
	SPY_WRITE, /* is about to happen: a module may refuse it with a negative errno */
	SPY_WROTE, /* has happened, or failed; follows each SPY_WRITE that none refused */
};

struct spy_event {
	enum spy_event_type type;
	const struct spy_file *file;
	uid_t uid;    /* who asked */
	size_t asked; /* bytes */
	size_t bytes; /* that it came to */
	uint64_t ns;  /* that it took, the filesystem below alone */
};

/* A line of `spyfs top`: each module fills in what it knows. */
struct spy_row {
	char name[64];
	uint64_t opens, reads, writes, bytes, ns;
	double heat;
};

struct spy_module {
	const char *name;
	uint32_t tag;
	size_t context_size;           /* of a context, which begins as zeros */
	int (*start)(const char *arg); /* loaded, as NAME=ARG; NULL without */
	void (*stop)(void);            /* the last context is gone */
	/* Optional, as are the rest: a context was made, taken off its stream, is to be freed. */
	void (*attach)(void *context, const struct spy_file *file);
	void (*detached)(void *context);
	void (*free)(void *context);
	int (*event)(void *context, const struct spy_event *event);
	void (*row)(const void *context, struct spy_row *row);
	void (*metrics)(FILE *file); /* in Prometheus' text format */
};

extern const struct spy_module spy_module;

#endif /* SPYFS_MODULE_H */
