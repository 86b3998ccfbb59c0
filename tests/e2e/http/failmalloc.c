/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failmalloc.c - preloaded into a daemon under test: a share of its allocations fails. The file named by FAILMALLOC is mapped; its first 32 bits say
 * how many of 65,536 allocations fail (0: none), the next 32 are the seed. libfiu does this too, but looks up the real functions with dlsym at
 * the first call, which now and then locks up against a dlopen in another thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static _Atomic uint32_t *control;
static _Atomic uint64_t calls;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILMALLOC");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (p != MAP_FAILED)
		control = p;
}

static int fails(void)
{
	uint32_t share = control ? atomic_load(&control[0]) : 0;
	if (!share)
		return 0;
	uint64_t z = (atomic_fetch_add(&calls, 1) + atomic_load(&control[1])) * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	if (((z ^ z >> 27) & 0xffff) >= share)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return n && fails() ? NULL : __libc_realloc(p, n);
}
