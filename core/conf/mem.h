/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/conf/mem.h - memory that is freed as a whole: a config, its secrets, the scratch of a load.
 *
 * Not thread safe: one owner at a time. Out of memory does not come back to the caller: it jumps to `oom`, so that a load
 * checks it in one place; whoever allocates holds no other resource (fd, DIR) meanwhile.
 */
#ifndef CHI_CONF_MEM_H
#define CHI_CONF_MEM_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

struct chi_mem_block;
struct chi_mem {
	struct chi_mem_block *head;
	bool secret;                      /* pages of its own, kept out of core dumps, wiped when freed */
	jmp_buf *oom;                     /* must be valid at every allocation */
};

/* n zeroed bytes, aligned for any type; never NULL. */
void *chi_mem_alloc(struct chi_mem *m, size_t n);
/* A copy of n bytes with a final NUL. */
char *chi_mem_dup(struct chi_mem *m, const char *s, size_t n);
/* printf into memory of m. */
char *chi_mem_print(struct chi_mem *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Wipes (if secret) and frees everything; m is empty afterwards and may be used again. */
void chi_mem_free(struct chi_mem *m);

#endif
