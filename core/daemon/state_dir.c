/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool chi_state_dir_make(const struct chi_server_conf *s, char *why, size_t cap)
{
	const char *path = s->state_dir;
	const struct passwd *pw = *s->user && geteuid() == 0 ? getpwnam(s->user) : NULL;
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n >= sizeof part)
		n = sizeof part - 1;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && i != n)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, i == n ? 0750 : 0755) && errno != EEXIST) {
			snprintf(why, cap, "state_dir cannot be made: %.400s: %s; make it, or name another folder", part, strerror(errno));
			return false;
		}
	}
	struct stat st;
	if (pw && !stat(path, &st) && st.st_uid == 0 && chown(path, pw->pw_uid, pw->pw_gid)) {
		snprintf(why, cap, "state_dir cannot be given to user '%s': %s", s->user, strerror(errno));
		return false;
	}
	return true;
}
