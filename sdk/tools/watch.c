/* SPDX-License-Identifier: MIT */
/* watch.c - folders in which somebody saves: inotify on each that holds sources. Editors save by writing, or by renaming over. */
#include "sdk/tools/tool.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define DEPTH 8

struct watch {
	int fd;
};

/* What is made by builds and tools, and holds nothing that anybody writes by hand. */
static bool is_made(const char *name)
{
	return *name == '.' || !strncmp(name, "build", 5) || !strcmp(name, "debian");
}

static void add(struct watch *w, const char *dir, int depth)
{
	DIR *d = inotify_add_watch(w->fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO) >= 0 ? opendir(dir) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char *path;

		if (is_made(e->d_name) || depth == DEPTH || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
			continue;
		path = tool_print("%s/%s", dir, e->d_name);
		add(w, path, depth + 1); /* of what is no folder opendir knows */
		free(path);
	}
	if (d)
		closedir(d);
}

struct watch *watch_new(const char *dir)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		tool_fail(0, "%s cannot be watched: %s", dir, strerror(errno));
		free(w);
		return NULL;
	}
	add(w, dir, 0);
	return w;
}

int watch_fd(const struct watch *w)
{
	return w->fd;
}

static bool ends_in(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n > t && !strcmp(s + n - t, tail);
}

int watch_read(struct watch *w)
{
	_Alignas(struct inotify_event) char buf[16384];
	ssize_t n;
	int saved = 0;

	while ((n = read(w->fd, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)p;

			p += sizeof(*e) + e->len;
			if (e->mask & IN_Q_OVERFLOW)
				saved |= SAVED_SOURCE | SAVED_CONFIG | SAVED_SO;
			else if (!e->len || e->name[0] == '.')
				continue; /* an editor's own */
			else if (ends_in(e->name, ".c") || ends_in(e->name, ".h") || ends_in(e->name, ".am") || !strcmp(e->name, "Makefile"))
				saved |= SAVED_SOURCE;
			else if (ends_in(e->name, ".ini"))
				saved |= SAVED_CONFIG;
			else if (ends_in(e->name, ".so"))
				saved |= SAVED_SO;
		}
	}
	return saved;
}

void watch_free(struct watch *w)
{
	if (w)
		close(w->fd);
	free(w);
}
