/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow_disk.c - LD_PRELOAD: each msync, fsync and fdatasync takes SLOW_DISK_MS longer once the file SLOW_DISK_FROM is there; with
 * SLOW_DISK_FAIL=FILE they fail once FILE is there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int slow(void)
{
	const char *ms = getenv("SLOW_DISK_MS"), *from = getenv("SLOW_DISK_FROM"), *fail = getenv("SLOW_DISK_FAIL");
	long n = ms ? atol(ms) : 0;
	struct timespec t = { n / 1000, n % 1000 * 1000000 };

	if (from && !access(from, F_OK))
		nanosleep(&t, NULL);
	if (!fail || access(fail, F_OK))
		return 0;
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");

	return slow() ? -1 : real(fd);
}

int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	return slow() ? -1 : real(fd);
}

int msync(void *p, size_t n, int flags)
{
	int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");

	return slow() ? -1 : real(p, n, flags);
}
