/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - see memory.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

#define FILE_MAX 8192                     /* memory.stat and meminfo are below 3 KiB */
#define UNLIMITED_V1 (UINT64_C(1) << 60)  /* version 1 says "no limit" by a number next to 2^63 */

int cgroup_path(const char *text, char out[CGROUP_PATH_MAX])
{
	int version = 0;

	while (*text && version != 1) {
		size_t n = strcspn(text, "\n");
		const char *controllers = memchr(text, ':', n), *path;
		const char *end = text + n;
		int found = 0;

		text = *end ? end + 1 : end;
		if (!controllers)
			continue;
		controllers++;
		path = memchr(controllers, ':', (size_t)(end - controllers));
		if (!path)
			continue;
		if (path == controllers) {
			found = 2;
		} else {
			for (const char *p = controllers; p < path;) {
				size_t len = strcspn(p, ",:");

				if (len == 6 && !memcmp(p, "memory", 6))
					found = 1;
				p += len + 1;
			}
		}
		path++;
		if (!found || (size_t)(end - path) >= CGROUP_PATH_MAX)
			continue;
		version = found;
		memcpy(out, path, (size_t)(end - path));
		out[end - path] = 0;
		if (strstr(out, "/.."))
			strcpy(out, "/");
	}
	return version;
}

bool memory_number(const char *text, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && end != text;
}

bool memory_field(const char *text, const char *key, uint64_t *out)
{
	size_t n = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (!strncmp(line, key, n) && (line[n] == ' ' || line[n] == '\t'))
			return memory_number(line + n + strspn(line + n, " \t"), out);
	}
	return false;
}

bool memory_of_machine(const char *text, struct memory_use *out)
{
	uint64_t total, available;

	if (!memory_field(text, "MemTotal:", &total) || !memory_field(text, "MemAvailable:", &available) || !total)
		return false;
	*out = (struct memory_use){ "machine", (total - (available < total ? available : total)) * 1024, total * 1024 };
	return true;
}

/* The whole file as text; false if it cannot be read. */
static bool slurp(const char *root, const char *dir, const char *path, const char *name, char text[FILE_MAX])
{
	char file[2 * CGROUP_PATH_MAX];
	ssize_t n = 0, got;
	int fd;

	if ((size_t)snprintf(file, sizeof(file), "%s%s%s%s", root, dir, path, name) >= sizeof(file))
		return false;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((got = read(fd, text + n, (size_t)(FILE_MAX - 1 - n))) > 0 || (got < 0 && errno == EINTR))
		n += got > 0 ? got : 0;
	close(fd);
	text[n] = 0;
	return got == 0;
}

static bool read_number(const char *root, const char *dir, const char *path, const char *name, uint64_t *out)
{
	char text[FILE_MAX];

	return slurp(root, dir, path, name, text) && memory_number(text, out);
}

/* One cgroup's use; false if it has no limit. */
static bool one_group(const char *root, int version, const char *path, struct memory_use *out)
{
	const char *dir = version == 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
	uint64_t limit, used, idle = 0;
	char stat[FILE_MAX];

	if (!read_number(root, dir, path, version == 1 ? "/memory.limit_in_bytes" : "/memory.max", &limit) || !limit ||
		limit >= UNLIMITED_V1)
		return false;
	if (!read_number(root, dir, path, version == 1 ? "/memory.usage_in_bytes" : "/memory.current", &used))
		return false;
	if (slurp(root, dir, path, "/memory.stat", stat))
		memory_field(stat, version == 1 ? "total_inactive_file" : "inactive_file", &idle);
	*out = (struct memory_use){ "cgroup", used - (idle < used ? idle : used), limit };
	return true;
}

static double share(const struct memory_use *u)
{
	return (double)u->used / (double)u->limit;
}

/* A limit may stand at any level (a unit, its slice, the pod): the tightest counts. */
static bool tightest_group(const char *root, struct memory_use *out)
{
	char text[FILE_MAX], path[CGROUP_PATH_MAX];
	bool found = false;
	int version;

	if (!slurp(root, "/proc/self/cgroup", "", "", text))
		return false;
	version = cgroup_path(text, path);
	if (!version)
		return false;
	for (;;) {
		char *slash = strrchr(path, '/');
		struct memory_use u;

		if (one_group(root, version, path, &u) && (!found || share(&u) > share(out))) {
			*out = u;
			found = true;
		}
		if (!slash)
			return found;
		*slash = 0;
	}
}

bool memory_read(const char *root, struct memory_use *out)
{
	char text[FILE_MAX];

	if (tightest_group(root, out))
		return true;
	return slurp(root, "/proc/meminfo", "", "", text) && memory_of_machine(text, out);
}
