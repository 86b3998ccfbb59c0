/* SPDX-License-Identifier: MIT */
/*
 * run: a server with the plugin, built and started anew at each save. A plugin that was loaded is never loaded again by the same process,
 * so what is new comes with a new process, on the same port; a changed .ini is a reload.
 */
#include "sdk/tools/server.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SETS 64
#define CHECK_MS 10000

struct run {
	char dir[PATH_MAX];      /* what is watched, and built if `make` */
	char so[PATH_MAX];       /* "" as long as nothing was built */
	char name[64];
	char *const *make;       /* how it is built, or NULL */
	const char *make_dir;
	char *routes;
	struct server server;
	char *options[2 * SETS + 1];
	size_t noptions;
};

/* ---- what is to be run ---- */

static bool is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

static void name_by(struct run *r, const char *so)
{
	const char *base = strrchr(so, '/') + 1;

	snprintf(r->name, sizeof(r->name), "%.*s", (int)strlen(base) - 3, base);
}

/* The one .so of the folder. False: told. */
static bool find_so(struct run *r)
{
	char *pattern = tool_print("%s/*.so", r->dir);
	glob_t g = { .gl_pathc = 0 };
	bool good = !glob(pattern, 0, NULL, &g) && g.gl_pathc == 1;

	if (good)
		snprintf(r->so, sizeof(r->so), "%s", g.gl_pathv[0]);
	else
		tool_fail(0, "make has built %s in %s: one plugin at a time, its file NAME.so in the folder itself; or name the file",
			g.gl_pathc ? "several .so" : "no .so", r->dir);
	globfree(&g);
	free(pattern);
	return good;
}

static bool from_tree(struct run *r)
{
	static char *make[] = { "make", "-s", NULL, NULL };
	const char *source = tool_build_source(), *name = strrchr(r->dir, '/') + 1;

	if (!source || strncmp(source, r->dir, strlen(source))) {
		tool_fail(0, "%s is a plugin of a chimera tree: run the chimera-plugin that the tree's build has made", r->dir);
		return false;
	}
	make[2] = tool_print("plugins/%s.la", name);
	r->make = make;
	r->make_dir = tool_folder();
	snprintf(r->name, sizeof(r->name), "%s", name);
	return snprintf(r->so, sizeof(r->so), "%s/plugins/.libs/%s.so", tool_folder(), name) < (int)sizeof(r->so);
}

/* False: told. */
static bool find_plugin(struct run *r, const char *given)
{
	static char *make[] = { "make", "-s", NULL };

	if (!realpath(given, r->dir)) {
		tool_fail(0, "there is no %s: name the file of a plugin, or the folder of its sources", given);
		return false;
	}
	if (is_file(r->dir)) {
		size_t n = strlen(r->dir);

		if (strcmp(r->dir + n - 3, ".so")) {
			tool_fail(0, "%s is no plugin's file: it is called NAME.so", given);
			return false;
		}
		memcpy(r->so, r->dir, n + 1);
		name_by(r, r->so);
		*strrchr(r->dir, '/') = '\0';
		return true;
	}
	if (tool_exists(r->dir, "plugin.am"))
		return from_tree(r);
	if (!tool_exists(r->dir, "Makefile")) {
		tool_fail(0, "%s holds neither a Makefile nor a plugin.am: chimera-plugin-new makes a folder that does", given);
		return false;
	}
	r->make = make;
	r->make_dir = r->dir;
	return true;
}

/* ---- build, check, start ---- */

static void say(const struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct run *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%s: ", *r->name ? r->name : "chimera-plugin");
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	va_end(ap);
}

/* False: told. */
static bool build(struct run *r)
{
	if (r->make && tool_call(r->make, r->make_dir)) {
		say(r, "the build failed, and make says why above");
		return false;
	}
	if (!*r->so) {
		if (!find_so(r))
			return false;
		name_by(r, r->so);
	}
	free(r->routes);
	r->routes = NULL;
	return tool_check_file(r->so, CHECK_MS, &r->routes) == TOOL_OK;
}

static bool prepare_server(struct run *r, int port)
{
	char *ini = tool_print("%s/%s.ini", r->dir, r->name);
	bool good = server_new(&r->server, r->name, is_file(ini) ? ini : NULL, port, r->options);

	free(ini);
	return good;
}

/* What is wrong was told; this says what goes on, so that nobody waits for a server that does not come. */
static void say_waiting(const struct run *r)
{
	const char *what = r->make ? "save a source" : "build the file anew";

	if (r->server.pid)
		say(r, "the server goes on with what it had: %s, and it is tried again", what);
	else
		say(r, "no server runs: put that right and %s, then it is tried again; Ctrl-C ends this", what);
}

/* Keys of --set: KEY=VALUE to -o NAME.KEY=VALUE; the name is known after the first build. */
static void name_options(struct run *r)
{
	for (size_t i = 1; i < r->noptions; i += 2) {
		char *unnamed = r->options[i];

		if (*unnamed != '=')
			return;
		r->options[i] = tool_print("%s.%s", r->name, unnamed + 1);
		free(unnamed);
	}
}

/* Built and well: into the server, which begins anew. False: it does not run, which was told. */
static bool restart(struct run *r, int port)
{
	if (!build(r)) {
		say_waiting(r);
		return r->server.pid;
	}
	name_options(r);
	if (!*r->server.folder && !prepare_server(r, port))
		return false;
	server_stop(&r->server);
	return server_take(&r->server, r->so) && server_start(&r->server);
}

static void tell_ready(const struct run *r)
{
	const char *line = r->routes ? r->routes : "";

	say(r, "runs at http://127.0.0.1:%d", r->server.port);
	for (size_t n; *line; line += n + 1) { /* "GET /v1/x", then a tab and its summary */
		size_t method = strcspn(line, " "), path;

		n = strcspn(line, "\n");
		path = strcspn(line, "\t\n");
		printf("  %-6.*s http://127.0.0.1:%d%.*s%s%.*s\n", (int)method, line, r->server.port, (int)(path - method - 1), line + method + 1,
			path < n ? "   " : "", path < n ? (int)(n - path - 1) : 0, line + path + 1);
	}
	printf("  chimeractl --socket %s/state/control.sock plugins --live\nSave a source and it is built and started anew; Ctrl-C ends it.\n",
		r->server.folder);
	fflush(stdout);
}

/* ---- waiting ---- */

/* Editors write several files at once: what comes within 100 ms is one save. */
static int all_saved(struct watch *w)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	int saved = watch_read(w), more;

	do {
		nanosleep(&pause, NULL);
		more = watch_read(w);
		saved |= more;
	} while (more);
	return saved;
}

static void on_saved(struct run *r, struct watch *w, int port)
{
	int saved = all_saved(w);

	if (saved & (r->make ? SAVED_SOURCE : SAVED_SO)) {
		say(r, "saved: building and starting anew");
		restart(r, port);
		watch_read(w); /* what the build itself has written */
	} else if ((saved & SAVED_CONFIG) && r->server.pid) {
		say(r, "saved: reloading the config");
		kill(r->server.pid, SIGHUP);
	} else if ((saved & SAVED_CONFIG) && *r->so) {
		restart(r, port);
	}
}

/* True: somebody wants an end. */
static bool on_signal(struct run *r, int signals)
{
	struct signalfd_siginfo si;
	int status;

	while (read(signals, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo != SIGCHLD)
			return true;
		if (r->server.pid && waitpid(r->server.pid, &status, WNOHANG) == r->server.pid)
			server_ended(&r->server, status);
	}
	return false;
}

static int loop(struct run *r, int port)
{
	struct watch *w = watch_new(r->dir);
	sigset_t set;
	int signals;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (!w || signals < 0)
		return TOOL_OSERR;
	restart(r, port);
	watch_read(w);
	for (;;) {
		struct pollfd v[3] = { { signals, POLLIN, 0 }, { watch_fd(w), POLLIN, 0 },
			{ *r->server.folder ? r->server.notify : -1, POLLIN, 0 } };

		if (poll(v, 3, -1) < 0 && errno != EINTR)
			break;
		if (on_signal(r, signals))
			break;
		if (v[2].revents && server_heard(&r->server))
			tell_ready(r);
		if (v[1].revents)
			on_saved(r, w, port);
	}
	server_stop(&r->server);
	server_free(&r->server);
	watch_free(w);
	close(signals);
	free(r->routes);
	return TOOL_OK;
}

/* ---- arguments ---- */

/* "greeting=hello" to what name_options turns into "NAME.greeting=hello". False: told. */
static bool add_set(struct run *r, const char *text)
{
	if (!text || !strchr(text, '=') || *text == '=') {
		tool_fail(0, "--set wants KEY=VALUE behind it, a key of the plugin's section or ROW.KEY");
		return false;
	}
	if (r->noptions >= 2 * SETS) {
		tool_fail(0, "there are more than %d --set: put the keys into the plugin's .ini", SETS);
		return false;
	}
	r->options[r->noptions++] = "-o";
	r->options[r->noptions++] = tool_print("=%s", text);
	return true;
}

int tool_run(int argc, char **argv)
{
	static struct run r;
	const char *given = NULL;
	int port = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--set")) {
			if (!add_set(&r, ++i < argc ? argv[i] : NULL))
				return TOOL_USAGE;
		} else if (!strcmp(argv[i], "--port")) {
			port = ++i < argc ? atoi(argv[i]) : 0;
			if (port < 1 || port > 65535)
				return tool_fail(TOOL_USAGE, "--port wants a number from 1 to 65535 behind it");
		} else if (argv[i][0] == '-' || given) {
			return tool_fail(TOOL_USAGE, "%s '%s': see chimera-plugin run --help", given ? "there is one plugin too many," : "there is no option",
				argv[i]);
		} else {
			given = argv[i];
		}
	}
	return find_plugin(&r, given ? given : ".") ? loop(&r, port) : TOOL_USAGE;
}
