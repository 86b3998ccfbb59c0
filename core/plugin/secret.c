/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/secret.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct head {
	_Alignas(16) size_t size; /* of the mapping */
};

void *chi_secret_alloc(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	if (n > SIZE_MAX / 2)
		return NULL;
	size_t size = (n + sizeof(struct head) + page - 1) / page * page;
	struct head *h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (h == MAP_FAILED)
		return NULL;
	madvise(h, size, MADV_DONTDUMP);
	madvise(h, size, MADV_WIPEONFORK);
	if (mlock(h, size)) {
		/* Past RLIMIT_MEMLOCK it may be swapped: still better than not to run. */
	}
	h->size = size;
	return h + 1;
}

void chi_secret_free(void *p)
{
	if (!p)
		return;
	struct head *h = (struct head *)p - 1;
	size_t size = h->size;
	explicit_bzero(h, size);
	munmap(h, size);
}
