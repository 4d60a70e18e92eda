/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's version, and checks of what is compiled into its users' programs.
 */
#include "base/pool.h"
#include "rcu/rcu.h"

#include <stddef.h>
#include <string.h>

#ifdef SCTX_DEBUG
#define BUILD ", debug"
#else
#define BUILD ""
#endif

const char *sctx_version(void)
{
	if (strcmp(sctx__pool_name(), "jemalloc") == 0)
		return SCTX_VERSION ", " SCTX__RCU_NAME ", jemalloc" BUILD;
	return SCTX_VERSION ", " SCTX__RCU_NAME ", libc" BUILD;
}

unsigned int sctx_version_number(void)
{
	return SCTX_VERSION_NUMBER;
}

/*
 * Every program embeds these structs.  A change of them needs a new soname.
 */
#define IS_AT(type, member, offset) \
	_Static_assert(offsetof(type, member) == (offset), #type "." #member " has moved")

_Static_assert(sizeof(struct sctx_id) == 32, "sctx_id has another size");
_Static_assert(sizeof(struct sctx_entry) == 24, "sctx_entry has another size");
_Static_assert(sizeof(struct sctx_stream) == 88, "sctx_stream has another size");
_Static_assert(sizeof(struct sctx_context) == 48, "sctx_context has another size");
IS_AT(struct sctx_context, owner, 0);
IS_AT(struct sctx_context, instance, 8);
IS_AT(struct sctx_context, free_callback, 16);

/*
 * Programs with SCTX_INLINE also read these.  A change of them, of the encoding of
 * sctx_stream.list, of tags, or of the read section needs a new number in
 * SCTX__INLINE_ABI and in the symbol map.
 */
IS_AT(struct sctx_entry, owner, 0);
IS_AT(struct sctx_entry, instance, 8);
IS_AT(struct sctx_entry, context, 16);
IS_AT(struct sctx_stream, only, 0);
IS_AT(struct sctx_stream, inline_entry, 8);
IS_AT(struct sctx_stream, list, 56);
IS_AT(struct sctx__array, count, 16);
IS_AT(struct sctx__array, capacity, 20);
_Static_assert(sizeof(struct sctx__array) == 24, "sctx__array has another size");
_Static_assert(SCTX__LIST_ARRAY == 64, "lists are encoded in another way");
