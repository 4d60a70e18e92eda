/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format of bench/traces/trace.h once more, written from its comment: grammar by
 * regular expressions, numbers by strtoull(), opens in a plain list.  Slow.
 */
#include "trace_valid.h"

#include <errno.h>
#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct open {
	uint64_t process, handle;
	bool closed;
};

struct state {
	struct open *open;
	size_t opens, closes;
	uint64_t files, processes;
	bool ended, begun; /* the e line, an f, o or c line has been read */
};

#define N " (0|[1-9][0-9]*)"

/* A kind of line, the numbers in it, and its pattern, compiled at first use. */
struct form {
	const char *pattern;
	int numbers;
	bool compiled;
	regex_t re;
};

static struct form file_form = { .pattern = "^f" N N "$", .numbers = 2 },
		   open_form = { .pattern = "^o" N N N "$", .numbers = 3 };
static struct form close_form = { .pattern = "^c" N N "$", .numbers = 2 },
		   end_form = { .pattern = "^e" N N N "$", .numbers = 3 };

static bool fits(const char *line, struct form *form, uint64_t *out)
{
	regmatch_t match[4];
	bool ok;

	if (!form->compiled && regcomp(&form->re, form->pattern, REG_EXTENDED))
		abort();
	form->compiled = true;
	ok = regexec(&form->re, line, 4, match, 0) == 0;
	for (int i = 1; ok && i <= form->numbers; i++) {
		errno = 0;
		out[i - 1] = strtoull(line + match[i].rm_so, NULL, 10);
		ok = errno == 0;
	}
	return ok;
}

/* The last open of that handle, or NULL. */
static struct open *find(const struct state *s, uint64_t process, uint64_t handle)
{
	for (size_t i = s->opens; i > 0; i--)
		if (s->open[i - 1].process == process && s->open[i - 1].handle == handle)
			return &s->open[i - 1];
	return NULL;
}

static uint64_t handles_of(const struct state *s, uint64_t process)
{
	uint64_t handles = 0;

	for (size_t i = 0; i < s->opens; i++)
		if (s->open[i].process == process && s->open[i].handle >= handles)
			handles = s->open[i].handle + 1;
	return handles;
}

static bool open_line(struct state *s, const uint64_t n[3])
{
	const struct open *last;

	if (n[0] > s->processes || n[2] >= s->files || n[1] > handles_of(s, n[0]))
		return false;
	last = find(s, n[0], n[1]);
	if (last && !last->closed)
		return false;
	s->open[s->opens++] = (struct open){ n[0], n[1], false };
	if (n[0] == s->processes)
		s->processes++;
	return true;
}

static bool close_line(struct state *s, const uint64_t n[2])
{
	struct open *last = find(s, n[0], n[1]);

	if (!last || last->closed)
		return false;
	last->closed = true;
	s->closes++;
	return true;
}

static bool line_valid(struct state *s, const char *line)
{
	uint64_t n[3];

	if (fits(line, &file_form, n)) {
		s->files++;
		s->begun = true;
		return true;
	}
	if (fits(line, &open_form, n)) {
		s->begun = true;
		return open_line(s, n);
	}
	if (fits(line, &close_form, n))
		return close_line(s, n);
	if (fits(line, &end_form, n)) {
		s->ended = true;
		return s->opens == s->closes && n[0] == s->opens && n[1] == s->files &&
		       n[2] == s->processes;
	}
	return false;
}

static bool lines_valid(struct state *s, const char *text, const char *end)
{
	for (int number = 0; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		char *line = newline ? strndup(text, (size_t)(newline - text)) : NULL;
		bool comment = line && number && text[0] == '#' && !s->begun && !s->ended;
		bool valid =
			line && !s->ended && (comment || strlen(line) == (size_t)(newline - text));

		if (valid && number == 0)
			valid = strcmp(line, "streamctx-trace 1") == 0;
		else if (valid && !comment)
			valid = line_valid(s, line);
		free(line);
		if (!valid)
			return false;
		text = newline + 1;
	}
	return s->ended;
}

bool trace_valid(const char *text, size_t length)
{
	struct state s = { .open = calloc(length + 1, sizeof(*s.open)) };
	bool valid = s.open && lines_valid(&s, text, text + length);

	free(s.open);
	return valid;
}
