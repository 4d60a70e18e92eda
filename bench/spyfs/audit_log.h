/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of the audit module.  Its lines come from FreeCallbacks, which must
 * not wait for a disk: they only append to memory, and a thread writes.
 */
#ifndef SPYFS_AUDIT_LOG_H
#define SPYFS_AUDIT_LOG_H

#include <stdint.h>

/*
 * Append to the file at @path, which only its owner may read.
 * Errors: -EPERM, it is another user's, or no plain file, or has other names;
 * -ELOOP, it is a symbolic link; those of open(2).
 */
int audit_log_open(const char *path);

/* Any thread, without waiting for the disk.  Does nothing if no log is open. */
void audit_log_add(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lines for which there was no memory, or no place on the disk. */
uint64_t audit_log_lost(void);

/* Returns when every line is written. */
void audit_log_close(void);

#endif /* SPYFS_AUDIT_LOG_H */
