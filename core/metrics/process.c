/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - what the daemon tells of itself, read from /proc before each walk. What cannot be read keeps its last value. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/metrics/metrics.h"

enum { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START, BUILD_INFO, NMETRICS };

static const struct ch_metric metrics[NMETRICS] = {
	[CPU] = { .name = "process_cpu_seconds_total", .kind = CH_COUNTER, .help = "Total user and system CPU time spent in seconds" },
	[RESIDENT] = { .name = "process_resident_memory_bytes", .kind = CH_GAUGE, .help = "Resident memory size in bytes" },
	[VIRTUAL] = { .name = "process_virtual_memory_bytes", .kind = CH_GAUGE, .help = "Virtual memory size in bytes" },
	[OPEN_FDS] = { .name = "process_open_fds", .kind = CH_GAUGE, .help = "Number of open file descriptors" },
	[MAX_FDS] = { .name = "process_max_fds", .kind = CH_GAUGE, .help = "Maximum number of open file descriptors" },
	[START] = { .name = "process_start_time_seconds", .kind = CH_GAUGE,
		.help = "Start time of the process since the Unix epoch in seconds" },
	[BUILD_INFO] = { .name = "chimera_build_info", .kind = CH_GAUGE, .labels = { { "version", CH_L_CONFIG, NULL }, { "commit",
		CH_L_CONFIG, NULL } },
		.help = "1 for the version and commit that this process was built from" },
};
static unsigned series[NMETRICS];

/* The file's first bytes as text, ended by NUL. False: it cannot be read. */
static bool read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return false;
	while (n < size - 1 && (got = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	buf[n] = '\0';
	return n > 0;
}

/* Since Linux 6.2 the folder's size is the number of descriptors; before it was 0. Counting them is slow with many connections. */
static long open_fds(void)
{
	struct stat st;
	struct dirent *e;
	long n = 0;
	DIR *dir;

	if (!stat("/proc/self/fd", &st) && st.st_size > 0)
		return (long)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return -1;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* but the folder itself */
}

static void collect(void *arg)
{
	struct rusage use;
	struct rlimit limit;
	long fds = open_fds(), page = sysconf(_SC_PAGESIZE);
	unsigned long virtual_pages, resident_pages;
	char text[256];

	(void)arg;
	if (!getrusage(RUSAGE_SELF, &use))
		chi_metrics_set(series[CPU], (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec)
				+ (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
	if (read_file("/proc/self/statm", text, sizeof(text)) && sscanf(text, "%lu %lu", &virtual_pages, &resident_pages) == 2) {
		chi_metrics_set(series[VIRTUAL], (double)virtual_pages * (double)page);
		chi_metrics_set(series[RESIDENT], (double)resident_pages * (double)page);
	}
	if (fds >= 0)
		chi_metrics_set(series[OPEN_FDS], (double)fds);
	if (!getrlimit(RLIMIT_NOFILE, &limit))
		chi_metrics_set(series[MAX_FDS], (double)limit.rlim_cur);
}

/* Seconds since the epoch when the process started: now, less the time since boot, plus the start in ticks after boot. */
static double start_time(void)
{
	struct timespec now, boot;
	unsigned long long ticks;
	char text[1024], *p;

	/* The 22nd field; the second one, a name in parentheses, may hold anything. */
	if (!read_file("/proc/self/stat", text, sizeof(text)) || !(p = strrchr(text, ')'))
	    || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1
	    || clock_gettime(CLOCK_REALTIME, &now) || clock_gettime(CLOCK_BOOTTIME, &boot))
		return (double)time(NULL);
	return (double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) / 1e9
		+ (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

void chi_metrics_process(const char *version, const char *commit)
{
	const char *const build[] = { version, commit };
	char err[256];
	unsigned i;

	for (i = 0; i < NMETRICS; i++)
		series[i] = chi_metrics_series(chi_metrics_family(&metrics[i], err, sizeof(err)), i == BUILD_INFO ? build : NULL);
	chi_metrics_set(series[BUILD_INFO], 1);
	chi_metrics_set(series[START], start_time());
	chi_metrics_collector(collect, NULL);
}
