/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structs that carry their own size.  Used by every function that takes one.
 *
 * A program and the library may come from different releases, so each may know
 * members that the other does not.  Members are only added at the end, and 0
 * must mean what releases without the member did.  `size` is the first member.
 *
 * Each function passes the size of the struct in its first release, which never
 * changes: SCTX__SIZE_TO(type, its last member then).
 */
#ifndef SCTX_SIZED_H
#define SCTX_SIZED_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A larger size is garbage. */
#define SCTX__SIZE_MAX 65536

#define SCTX__SIZE_TO(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))

static inline size_t sctx__size_of(const void *sized)
{
	size_t size;

	memcpy(&size, sized, sizeof(size));
	return size;
}

/* Errors: -EINVAL, shorter than @first; -E2BIG, longer than any release's. */
static inline int sctx__size_check(size_t size, size_t first)
{
	if (size < first)
		return -EINVAL;
	return size > SCTX__SIZE_MAX ? -E2BIG : 0;
}

static inline bool sctx__all_zero(const void *from, size_t n)
{
	const unsigned char *byte = (const unsigned char *)from;

	for (size_t i = 0; i < n; i++)
		if (byte[i])
			return false;
	return true;
}

/*
 * Read the program's options @theirs into @ours, of @size bytes.  Members that
 * the program does not know are 0.
 * Errors: as sctx__size_check(); -E2BIG, the program sets a member that the
 * library does not know.
 */
static inline int sctx__sized_read(void *ours, size_t size, size_t first, const void *theirs)
{
	size_t given = sctx__size_of(theirs), known = given < size ? given : size;
	int error = sctx__size_check(given, first);

	if (error)
		return error;
	if (!sctx__all_zero((const char *)theirs + known, given - known))
		return -E2BIG;
	memset(ours, 0, size);
	memcpy(ours, theirs, known);
	memcpy(ours, &size, sizeof(size));
	return 0;
}

/*
 * Copy @ours, of @size bytes, to @theirs, which has room for @room, and zero the
 * rest of it.  Returns the number of bytes copied.
 */
static inline size_t sctx__sized_copy(void *theirs, size_t room, const void *ours, size_t size)
{
	size_t known = room < size ? room : size;

	memcpy(theirs, ours, known);
	memset((char *)theirs + known, 0, room - known);
	return known;
}

/* Write the results @ours into @theirs, whose size was checked before. */
static inline void sctx__sized_write(void *theirs, const void *ours, size_t size)
{
	size_t known = sctx__sized_copy(theirs, sctx__size_of(theirs), ours, size);

	memcpy(theirs, &known, sizeof(known));
}

#endif /* SCTX_SIZED_H */
