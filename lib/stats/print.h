/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the printers. */
#ifndef SCTX_PRINT_H
#define SCTX_PRINT_H

#include <errno.h>
#include <streamctx.h>

struct sctx__printer {
	FILE *file;
	enum sctx_format format;
	int row, column; /* in a list */
};

struct sctx__label {
	const char *name;
	const char *value;
};

void sctx__print_quoted(struct sctx__printer *p, const char *name);
/* A blank and the context's owner: name and tag if registered, else its address. */
void sctx__print_owner(struct sctx__printer *p, const struct sctx_context *ctx);
void sctx__print_id(FILE *file, const struct sctx_id *id);

static inline int sctx__print_end(FILE *file)
{
	return fflush(file) || ferror(file) ? -EIO : 0;
}

#endif /* SCTX_PRINT_H */
