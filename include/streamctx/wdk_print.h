/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DbgPrint() and assertions.  Included by <streamctx/wdk.h>.
 *
 * The formats are the kernel's, which differ from printf's: `l` is 32 bits,
 * I64 is 64, I is a pointer's size; %S and %ws are UTF-16; %wZ is a
 * UNICODE_STRING, %Z an ANSI_STRING.  UTF-16 is printed as UTF-8.
 */
#ifndef STREAMCTX_WDK_PRINT_H
#define STREAMCTX_WDK_PRINT_H

#include <stdarg.h>
#include <stdlib.h>
#include <streamctx/wdk_types.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline void sctx_nt_print_code(FILE *to, uint32_t code)
{
	if (code < 0x80) {
		putc((int)code, to);
		return;
	}
	if (code >= 0x10000) {
		putc((int)(0xf0 | code >> 18), to);
		putc((int)(0x80 | (code >> 12 & 0x3f)), to);
	} else if (code >= 0x800) {
		putc((int)(0xe0 | code >> 12), to);
	}
	if (code >= 0x800)
		putc((int)(0x80 | (code >> 6 & 0x3f)), to);
	else
		putc((int)(0xc0 | code >> 6), to);
	putc((int)(0x80 | (code & 0x3f)), to);
}

/* At most @n units; without @counted, up to a zero.  Half a surrogate pair is U+FFFD. */
static inline void sctx_nt_print_utf16(FILE *to, const WCHAR *text, size_t n, bool counted)
{
	for (size_t i = 0; i < n && (counted || text[i]); i++) {
		uint32_t code = text[i];

		if (code >= 0xd800 && code < 0xdc00 && i + 1 < n && text[i + 1] >= 0xdc00 &&
		    text[i + 1] < 0xe000)
			code = 0x10000 + ((code - 0xd800) << 10) + (text[++i] - 0xdc00u);
		else if (code >= 0xd800 && code < 0xe000)
			code = 0xfffd;
		sctx_nt_print_code(to, code);
	}
}

/* One directive, as it was read. */
struct sctx_nt_directive {
	char format[48]; /* for printf, up to the length modifier */
	size_t length;   /* of it */
	int precision;   /* -1: none */
	int bytes;       /* of an integer */
	bool wide;
};

/* A va_list that a function may be given a pointer to. */
struct sctx_nt_args {
	va_list list;
};

/* Flags, width and precision. */
static inline const char *sctx_nt_read_flags(struct sctx_nt_directive *d, const char *at,
					     struct sctx_nt_args *args)
{
	bool precision = false;

	d->format[0] = '%';
	d->length = 1;
	d->precision = -1;
	for (; *at && strchr("-+ #.*0123456789", *at) && d->length < 32; at++) {
		int number = *at - '0';

		if (*at == '*') {
			number = va_arg(args->list, int);
			d->length += (size_t)snprintf(d->format + d->length, 13, "%d", number);
			if (precision)
				d->precision = number;
			continue;
		}
		d->format[d->length++] = *at;
		if (*at == '.') {
			precision = true;
			d->precision = 0;
		} else if (precision && d->precision < 100000) {
			d->precision = 10 * d->precision + number;
		}
	}
	d->format[d->length] = 0;
	return at;
}

static inline const char *sctx_nt_read_size(struct sctx_nt_directive *d, const char *at)
{
	d->bytes = 4;
	d->wide = false;
	for (; *at && strchr("hlwIzjt", *at); at++) {
		if (*at == 'h') {
			d->bytes /= 2;
		} else if (*at == 'w' || (*at == 'l' && !d->wide)) {
			d->wide = true;
		} else if (strncmp(at, "I32", 3) == 0 || strncmp(at, "I64", 3) == 0) {
			d->bytes = at[1] == '3' ? 4 : 8;
			at += 2;
		} else {
			d->bytes = 8; /* ll, or a size's or a pointer's */
		}
	}
	return at;
}

static inline void sctx_nt_print_integer(FILE *to, struct sctx_nt_directive *d, char conversion,
					 struct sctx_nt_args *args)
{
	bool is_signed = conversion == 'd' || conversion == 'i';
	int64_t value;

	value = d->bytes == 8 ? va_arg(args->list, int64_t) : va_arg(args->list, int);
	if (d->bytes == 2)
		value = is_signed ? (int16_t)value : (uint16_t)value;
	else if (d->bytes == 1)
		value = is_signed ? (int8_t)value : (uint8_t)value;
	else if (d->bytes == 4 && !is_signed)
		value = (uint32_t)value;
	snprintf(d->format + d->length, 4, "ll%c", conversion);
	fprintf(to, d->format, (long long)value);
}

static inline void sctx_nt_print_string(FILE *to, struct sctx_nt_directive *d, char conversion,
					struct sctx_nt_args *args)
{
	bool wide = conversion == 'S' ? d->bytes == 4 : d->wide;
	size_t most = d->precision < 0 ? SIZE_MAX : (size_t)d->precision;
	const void *text = va_arg(args->list, const void *);

	if (!text)
		fputs("(null)", to);
	else if (wide)
		sctx_nt_print_utf16(to, (const WCHAR *)text, most, false);
	else
		fprintf(to, strcat(d->format, "s"), (const char *)text);
}

static inline void sctx_nt_print_counted(FILE *to, const struct sctx_nt_directive *d,
					 struct sctx_nt_args *args)
{
	const void *string = va_arg(args->list, const void *);
	const UNICODE_STRING *wide = (const UNICODE_STRING *)string;
	const ANSI_STRING *narrow = (const ANSI_STRING *)string;

	if (!string || !wide->Buffer)
		fputs("(null)", to);
	else if (d->wide)
		sctx_nt_print_utf16(to, wide->Buffer, wide->Length / sizeof(WCHAR), true);
	else
		fwrite(narrow->Buffer, 1, narrow->Length, to);
}

/* From after a '%'; returns what follows the directive. */
static inline const char *sctx_nt_print_directive(FILE *to, const char *at,
						  struct sctx_nt_args *args)
{
	struct sctx_nt_directive d;

	at = sctx_nt_read_flags(&d, at, args);
	at = sctx_nt_read_size(&d, at);
	if (!*at)
		return at;
	if (strchr("diuxXo", *at))
		sctx_nt_print_integer(to, &d, *at, args);
	else if (*at == 's' || *at == 'S')
		sctx_nt_print_string(to, &d, *at, args);
	else if (*at == 'Z')
		sctx_nt_print_counted(to, &d, args);
	else if (*at == 'c' || *at == 'C')
		sctx_nt_print_code(to, (uint32_t)va_arg(args->list, int) & 0xffff);
	else if (*at == 'p')
		fprintf(to, strcat(d.format, "p"), va_arg(args->list, void *));
	else
		putc(*at, to);
	return at + 1;
}

static inline void sctx_nt_print(FILE *to, const char *format, struct sctx_nt_args *args)
{
	while (*format)
		if (*format != '%')
			putc(*format++, to);
		else
			format = sctx_nt_print_directive(to, format + 1, args);
}

static inline ULONG DbgPrint(PCSTR format, ...)
{
	struct sctx_nt_args args;

	va_start(args.list, format);
	sctx_nt_print(stderr, format, &args);
	va_end(args.list);
	return 0;
}

#if defined(DBG) && DBG
#define KdPrint(arguments) ((void)DbgPrint arguments)
#define NT_ASSERT(condition)                                                                       \
	((condition) ? (void)0                                                                     \
		     : (DbgPrint("%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition), \
			abort()))
#else
#define KdPrint(arguments)   ((void)0)
#define NT_ASSERT(condition) ((void)0)
#endif
#define FLT_ASSERT NT_ASSERT
#define ASSERT     NT_ASSERT

#ifdef __cplusplus
}
#endif

#endif /* STREAMCTX_WDK_PRINT_H */
