/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * uthash for tables whose keys users choose: without memory an element is not
 * added, where uthash alone would exit, and a secret keeps chains short.
 */
#ifndef SPYFS_TABLE_H
#define SPYFS_TABLE_H

#define HASH_NONFATAL_OOM 1
#define XXH_INLINE_ALL
#include <stdint.h>
#include <xxhash.h>

extern uint32_t table_secret; /* inode.c; random */

#define HASH_FUNCTION(key, length, hash) ((hash) = XXH32(key, length, table_secret))
#include <uthash.h>

/* After HASH_ADD. */
#define TABLE_HAS(element) ((element)->hh.tbl != NULL)

#endif /* SPYFS_TABLE_H */
