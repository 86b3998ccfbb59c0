/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faildisk.c - preloaded into a daemon under test: a disk that fails. The file named by FAILDISK is mapped; its 32-bit words are: the errno of
 * fsync and fdatasync, the errno of pwrite (0: they work), 1 for a pwrite that writes the half of what it is given, how many milliseconds
 * fsync takes longer; then what is counted: how often fsync failed, how often pwrite failed, how often it was short, and fsyncs that went
 * well. Only files below the folder FAILDISK_FOLDER are meant.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SYNC, WRITE, SHORT, SLOW, SYNCS_FAILED, WRITES_FAILED, SHORT_WRITES, SYNCS, WORDS };

static _Atomic uint32_t *control;
static const char *folder;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILDISK");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, WORDS * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	folder = getenv("FAILDISK_FOLDER");
	if (p != MAP_FAILED && folder)
		control = p;
}

static int is_meant(int fd)
{
	char link[40], path[4096];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return 0;
	path[n] = 0;
	return !strncmp(path, folder, strlen(folder));
}

static int fails(int fd, int which, int counter)
{
	uint32_t error = control ? atomic_load(&control[which]) : 0;

	if (!control || !is_meant(fd))
		return 0;
	if (which == SYNC)
		usleep(atomic_load(&control[SLOW]) * 1000);
	if (!error) {
		if (which == SYNC)
			atomic_fetch_add(&control[SYNCS], 1);
		return 0;
	}
	atomic_fetch_add(&control[counter], 1);
	errno = (int)error;
	return 1;
}

int fsync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	return fails(fd, SYNC, SYNCS_FAILED) ? -1 : real(fd);
}

int fdatasync(int fd)
{
	static int (*real)(int);

	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return fails(fd, SYNC, SYNCS_FAILED) ? -1 : real(fd);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (!real)
		real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
	if (fails(fd, WRITE, WRITES_FAILED))
		return -1;
	if (n > 1 && control && atomic_load(&control[SHORT]) && is_meant(fd)) {
		atomic_fetch_add(&control[SHORT_WRITES], 1);
		n /= 2;
	}
	return real(fd, p, n, at);
}
