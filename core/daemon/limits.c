/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static bool read_line(const char *path, char *buf, size_t n)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, (int)n, f);
	if (f)
		fclose(f);
	return ok;
}

/* The cgroup's CPU quota in cores, rounded up; 0: none. Version 2 below our own cgroup's path, else version 1's usual place. */
static unsigned quota(void)
{
	char line[512], path[700];
	FILE *f = fopen("/proc/self/cgroup", "re");
	double cores = 0;
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::", 3))
			continue;
		snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", line + 3);
		char text[80];
		double max, period;
		if ((read_line(path, text, sizeof text) || read_line("/sys/fs/cgroup/cpu.max", text, sizeof text)) &&
		    sscanf(text, "%lf %lf", &max, &period) == 2 && period > 0)
			cores = max / period;
	}
	if (f)
		fclose(f);
	char q[40], p[40];
	if (cores <= 0 && read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", q, sizeof q) &&
	    read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", p, sizeof p) && atof(q) > 0 && atof(p) > 0)
		cores = atof(q) / atof(p);
	unsigned n = (unsigned)cores;
	return cores > n ? n + 1 : n;
}

unsigned chi_cores(void)
{
	cpu_set_t set;
	unsigned n = sched_getaffinity(0, sizeof set, &set) ? (unsigned)sysconf(_SC_NPROCESSORS_ONLN) : (unsigned)CPU_COUNT(&set);
	unsigned q = quota();
	if (q && q < n)
		n = q;
	return n < 1 ? 1 : n > 64 ? 64 : n;
}

bool chi_become(const char *user, char *why, size_t cap)
{
	if (!*user || geteuid() != 0)
		return true;
	struct passwd *pw = getpwnam(user);
	if (!pw) {
		snprintf(why, cap, "there is no user '%s': create it, or change [server] user", user);
		return false;
	}
	if (initgroups(user, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid)) {
		snprintf(why, cap, "cannot become user '%s': %s", user, strerror(errno));
		return false;
	}
	return true;
}

void chi_raise_descriptors(int64_t want)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= (rlim_t)want)
		return;
	r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > (rlim_t)want ? (rlim_t)want : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}
