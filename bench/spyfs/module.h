/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A module is a shared object with one of these, named spy_module.  It keeps a
 * context on each open stream, and does not know which store links it there.
 *
 * Threads may call all but start and stop at once, for one context too.
 *
 * event, row and detached run inside a read section: no I/O, no wait, and no
 * lock but one in detached that is held for a few instructions.  free runs on
 * the thread that frees for all: no I/O there, and no file or descriptor that
 * is closed only there, since closes can come faster than grace periods.
 */
#ifndef SPYFS_MODULE_H
#define SPYFS_MODULE_H

#include <stdio.h>
#include <streamctx.h>
#include <sys/types.h>

#define SPY_NAME 64

/* An open file, as modules see it. */
struct spy_file {
	struct sctx_id id;   /* device, inode and generation: one for all opens of a file */
	int fd;              /* of this open */
	char name[SPY_NAME]; /* the end of its path, safe to print */
};

enum spy_event_type {
	SPY_OPENED,
	SPY_READ,
	SPY_CHARGE,    /* asks to write or allocate; a module may refuse with a negative errno */
	SPY_WROTE,     /* ends a charge: by a write, which may have failed */
	SPY_ALLOCATED, /* ends a charge: by fallocate(2), which may have failed */
	SPY_REFUSED,   /* ends a charge: some module refused */
};

/* What the quota module charged for one request.  Begins as zeros. */
struct spy_charge {
	uint64_t load; /* of the module, which may be another one by the end */
	uint64_t bytes;
};

struct spy_event {
	enum spy_event_type type;
	const struct spy_file *file;
	struct spy_charge *charge; /* from SPY_CHARGE to its end; else NULL */
	uid_t uid;                 /* the caller's */
	uint64_t asked, bytes;     /* asked for, and done */
	uint64_t ns;               /* spent in the filesystem below */
};

/* A line of `spyfs top`: each module fills in what it knows. */
struct spy_row {
	char name[SPY_NAME];
	uint64_t opens, reads, writes, bytes, ns;
	double heat;
};

struct spy_module {
	const char *name;
	uint32_t tag;
	size_t context_size;           /* of a context, which begins as zeros */
	int (*start)(const char *arg); /* loaded, as NAME=ARG; NULL without */
	void (*stop)(void);            /* the last context is freed */
	/* These and the rest are optional. */
	void (*attach)(void *context, const struct spy_file *file);
	void (*detached)(void *context);
	void (*free)(void *context);
	int (*event)(void *context, const struct spy_event *event);
	void (*row)(const void *context, struct spy_row *row);
	void (*metrics)(FILE *file); /* in Prometheus' text format */
};

extern const struct spy_module spy_module;

#endif /* SPYFS_MODULE_H */
