/* SPDX-License-Identifier: Apache-2.0 */
/* mem.c - memory that is freed as a whole. */

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/conf/mem.h"

#define BLOCK 32768 /* a multiple of every page size in use but 64k, which mmap rounds up to by itself */

struct chi_mem_block {
	struct chi_mem_block *next;
	size_t size, used;                /* with this head */
	size_t pad;                       /* keeps what follows aligned by 16 */
};

static void *block_get(struct chi_mem *m, size_t size)
{
	void *p;

	if (!m->secret)
		return calloc(1, size);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP); /* a kernel without it has no worse effect than a dump that holds more */
	return p;
}

void *chi_mem_alloc(struct chi_mem *m, size_t n)
{
	struct chi_mem_block *b = m->head;
	size_t need = (n + 15) & ~(size_t)15, size;
	void *p;

	if (n > SIZE_MAX / 2)
		longjmp(*m->oom, 1);
	if (!b || b->size - b->used < need) {
		size = sizeof(*b) + need;
		size = size <= BLOCK ? BLOCK : (size + BLOCK - 1) / BLOCK * BLOCK;
		b = block_get(m, size);
		if (!b)
			longjmp(*m->oom, 1);
		b->size = size;
		b->used = sizeof(*b);
		b->next = m->head;
		m->head = b;
	}
	p = (char *)b + b->used;
	b->used += need;
	return p;
}

char *chi_mem_dup(struct chi_mem *m, const char *s, size_t n)
{
	char *d = chi_mem_alloc(m, n + 1);

	if (n)
		memcpy(d, s, n);
	return d;
}

char *chi_mem_print(struct chi_mem *m, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = chi_mem_alloc(m, n < 0 ? 1 : (size_t)n + 1);
	va_start(ap, fmt);
	if (n > 0)
		vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void chi_mem_free(struct chi_mem *m)
{
	struct chi_mem_block *b, *next;
	size_t size;

	for (b = m->head; b; b = next) {
		next = b->next;
		size = b->size;
		if (m->secret) {
			explicit_bzero(b, size);
			munmap(b, size);
		} else {
			free(b);
		}
	}
	m->head = NULL;
}
