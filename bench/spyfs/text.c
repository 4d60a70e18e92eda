/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "text.h"

static locale_t utf8;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_utf8(void)
{
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* Characters that iswprint() accepts and that still reorder or hide a line. */
static bool reorders(wint_t c)
{
	static const wint_t ranges[][2] = {
		{ 0x061c, 0x061c }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	return false;
}

/* The bytes of the character at @text, or 0 if it must not be printed. */
static size_t printable(const char *text, size_t left)
{
	mbstate_t state = { 0 };
	wchar_t c;
	size_t n;

	if (!utf8) /* ASCII alone */
		return *text >= ' ' && *text <= '~';
	n = mbrtowc(&c, text, left, &state);
	if (n == (size_t)-1 || n == (size_t)-2)
		return 0;
	return iswprint_l((wint_t)c, utf8) && !reorders((wint_t)c) ? n : 0;
}

void text_clean(char *text)
{
	char *to = text;
	size_t left = strlen(text);
	locale_t before;

	pthread_once(&once, find_utf8);
	before = uselocale(utf8);
	while (left) {
		size_t n = printable(text, left);

		if (n)
			memmove(to, text, n);
		else
			*to = '?';
		to += n ? n : 1;
		text += n ? n : 1;
		left -= n ? n : 1;
	}
	*to = '\0';
	uselocale(before);
}
