/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SPYFS_TEXT_H
#define SPYFS_TEXT_H

/*
 * Make text from outside safe to print: each character
 * that a terminal might obey rather than show becomes a question mark, as does
 * each byte that is not UTF-8.  The text never grows.
 */
void text_clean(char *text);

#endif /* SPYFS_TEXT_H */
