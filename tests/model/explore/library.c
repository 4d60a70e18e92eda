/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's static data: saved once, restored before each execution; and
 * what it keeps until it is unloaded.  The
 * library is a shared object here, so that its data are a segment of their own
 * and one explorer serves a library and its planted mistakes alike.
 */
#include "engine.h"

#include "thread/counter.h"
#include "memory.h"

#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *begin;
static char *saved;
static size_t size;

/* What is read only after relocation lies at the segment's beginning. */
static int find_data(struct dl_phdr_info *info, size_t unused, void *name)
{
	uintptr_t from = 0, to = 0, relro = 0;

	(void)unused;
	if (!strstr(info->dlpi_name, name))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && p->p_flags & PF_W) {
			from = at;
			to = at + p->p_memsz;
		} else if (p->p_type == PT_GNU_RELRO) {
			relro = at + p->p_memsz;
		}
	}
	if (relro > from && relro <= to)
		from = relro;
	begin = (char *)from;
	size = to - from;
	return 1;
}

void library_save(const char *name)
{
	if (!dl_iterate_phdr(find_data, (void *)(uintptr_t)name) || !size) {
		fprintf(stderr, "explore: no data of %s\n", name);
		exit(2);
	}
	saved = malloc(size);
	if (!saved)
		exit(2);
	memcpy(saved, begin, size);
}

void library_restore(void)
{
	memcpy(begin, saved, size);
}

/* As its destructor does it, with the counters of threads that are stopped. */
void library_end(void)
{
	for (int i = LIBRARY_FIRST; i < THREADS_MAX; i++) {
		struct sctx__thread *t = threads[i].record;

		if (threads[i].exists && t->counter)
			memory_free(t->counter, t->counters * sizeof(*t->counter));
	}
	sctx__counters_fini();
}
