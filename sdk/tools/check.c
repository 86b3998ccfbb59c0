/* SPDX-License-Identifier: MIT */
/*
 * check: a child process loads the plugin by the core's own loader, reads its tables and writes what it finds into a pipe; so a plugin that
 * crashes, hangs or ends the process becomes a sentence.
 *
 * In the pipe: lines of a letter and a text. W wrong, U unwise, S what is being done now, I what it is, R a route, D done.
 */
#include "sdk/tools/tool.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/plugin/loader.h"

/* ---- the child ---- */

static FILE *findings;

static void find(char kind, const char *fmt, va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *s = text; *s; s++) /* a plugin's texts may hold anything */
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	fprintf(findings, "%c%s\n", kind, text);
	fflush(findings); /* before what comes next crashes */
}

void find_wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find('W', fmt, ap);
	va_end(ap);
}

void find_unwise(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find('U', fmt, ap);
	va_end(ap);
}

void find_stage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find('S', fmt, ap);
	va_end(ap);
}

void find_route(const char *method, const char *pattern, const char *summary)
{
	fprintf(findings, "R%s %s%s%s\n", method, pattern, summary ? "\t" : "", summary ? summary : "");
}

static void find_what(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void find_what(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find('I', fmt, ap);
	va_end(ap);
}

/* "2 options, 1 route" */
static const char *counts(const struct ch_plugin *p, char *buf, size_t cap)
{
	const struct {
		size_t n;
		const char *one;
	} all[] = {
		{ p->options.n, "option" }, { p->row_options.n, "row option" }, { p->metrics.n, "metric" }, { p->hooks.n, "hook" },
		{ p->taps.n, "tap" }, { p->routes.n, "route" }, { p->provides.n, "service" }, { p->checks.n, "check" },
		{ p->crons.n, "cron" }, { p->commands.n, "command" }, { p->seams.n, "seam" },
	};
	size_t at = 0;

	*buf = '\0';
	for (size_t i = 0; i < sizeof(all) / sizeof(*all) && at < cap; i++)
		if (all[i].n)
			at += (size_t)snprintf(buf + at, cap - at, "%s%zu %s%s", at ? ", " : "", all[i].n, all[i].one, all[i].n > 1 ? "s" : "");
	return *buf ? buf : "empty tables";
}

static void examine(const char *folder, const char *name, const char *path)
{
	const struct ch_plugin *p;
	char why[1024], text[512];
	void *handle;

	find_stage("while it was loaded, before its entry was called (a constructor of it or of a library)");
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle)
		check_elf(path, handle);
	find_stage("in its entry, ch_plugin_v1: it should return the descriptor and do nothing else");
	chi_loader_folder(folder, false);
	chi_loader_leave_tables();
	p = chi_loader_find(name, why, sizeof(why)); /* if dlopen failed it says why, in the words that the server uses */
	if (!p) {
		find_wrong("%s", why);
		return;
	}
	find_stage("while its descriptor was read");
	find_what("%s %s for plugin interface %u.%u: %s", p->name, p->version ? p->version : "without a version", p->abi_major, p->abi_minor,
		counts(p, text, sizeof(text)));
	check_tables(p);
}

static void child(const char *folder, const char *name, const char *path, int fd)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	const struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		signal(signals[i], SIG_DFL); /* a sanitizer may have its own in our place */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none); /* its crash is expected here */
	findings = fdopen(fd, "w");
	if (!findings)
		_exit(TOOL_OSERR);
	examine(folder, name, path);
	fputs("D\n", findings);
	fflush(findings);
	_exit(0); /* no destructor of the plugin's */
}

/* ---- the parent ---- */

#define LINE_CAP 4096

struct report {
	const char *file; /* as it was named */
	char **routes;    /* where they are gathered; NULL: nowhere */
	unsigned wrong;
	bool done, hung;
	char stage[LINE_CAP], what[LINE_CAP];
};

static void gather(struct report *r, const char *route)
{
	char *all;

	if (!r->routes)
		return;
	all = tool_print("%s%s\n", *r->routes ? *r->routes : "", route);
	free(*r->routes);
	*r->routes = all;
}

static void on_line(struct report *r, const char *line)
{
	switch (*line) {
	case 'W':
	case 'U':
		r->wrong += *line == 'W';
		printf("%s: %s: %s\n", r->file, *line == 'W' ? "wrong" : "unwise", line + 1);
		break;
	case 'S':
		snprintf(r->stage, sizeof(r->stage), "%s", line + 1);
		break;
	case 'I':
		snprintf(r->what, sizeof(r->what), "%s", line + 1);
		break;
	case 'R':
		gather(r, line + 1);
		break;
	case 'D':
		r->done = true;
		break;
	}
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads to the end, or for so long. */
static void hear(struct report *r, int fd, int timeout_ms)
{
	char line[LINE_CAP];
	size_t n = 0;
	int64_t until = now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - now_ms();
		int ready = left > 0 && !r->done ? poll(&p, 1, (int)left) : 0;
		ssize_t got;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			r->hung = !r->done;
			return;
		}
		got = read(fd, line + n, 1);
		if (got <= 0)
			return;
		if (line[n] != '\n') {
			n += n < sizeof(line) - 1;
			continue;
		}
		line[n] = '\0';
		n = 0;
		on_line(r, line);
	}
}

static void tell_end(struct report *r, int status, int timeout_ms)
{
	if (r->hung)
		printf("%s: wrong: it did not come back within %g s %s\n", r->file, timeout_ms / 1e3, r->stage);
	else if (WIFSIGNALED(status))
		printf("%s: wrong: it crashed by signal %d (%s) %s\n", r->file, WTERMSIG(status), strsignal(WTERMSIG(status)), r->stage);
	else
		printf("%s: wrong: it ended the process with exit code %d %s\n", r->file, WEXITSTATUS(status), r->stage);
	r->wrong++;
}

/* "b/name.so" to its absolute path, folder and name. A symbolic link counts as what it is called. False: told. */
static bool take_apart(const char *file, char path[PATH_MAX], char folder[PATH_MAX], char name[128])
{
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	char *dir = slash ? tool_print("%.*s/", (int)(slash - file), file) : tool_print(".");
	bool readable = !access(file, R_OK) && realpath(dir, folder);
	int error = errno;
	size_t n = strlen(base);

	free(dir);
	if (!readable) {
		printf("%s: wrong: it cannot be read: %s\n", file, strerror(error));
		return false;
	}
	if (n < 4 || n > 100 || strcmp(base + n - 3, ".so")) {
		printf("%s: wrong: a plugin's file is called NAME.so, as the plugin is called\n", file);
		return false;
	}
	snprintf(name, 128, "%.*s", (int)n - 3, base);
	return snprintf(path, PATH_MAX, "%s/%s", folder, base) < PATH_MAX;
}

int tool_check_file(const char *file, int timeout_ms, char **routes)
{
	struct report r = { .file = file, .routes = routes };
	char path[PATH_MAX], folder[PATH_MAX], name[128];
	int pipes[2], status = 0;
	pid_t pid;

	if (!take_apart(file, path, folder, name))
		return TOOL_WRONG;
	fflush(stdout);
	if (pipe(pipes) || (pid = fork()) < 0)
		return tool_fail(TOOL_OSERR, "no process can be started to load %s: %s", file, strerror(errno));
	if (!pid) {
		close(pipes[0]);
		child(folder, name, path, pipes[1]);
	}
	close(pipes[1]);
	hear(&r, pipes[0], timeout_ms);
	close(pipes[0]);
	if (r.hung)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!r.done)
		tell_end(&r, status, timeout_ms);
	if (!r.wrong && !routes)
		printf("%s: ok: %s\n", file, r.what);
	fflush(stdout);
	return r.wrong ? TOOL_WRONG : TOOL_OK;
}

int tool_check(int argc, char **argv)
{
	int timeout_ms = 10000, rc = TOOL_OK, n = 0;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--timeout")) {
			char *end = argv[i];
			double s = ++i < argc ? strtod(argv[i], &end) : 0;

			if (i == argc || end == argv[i] || *end || !(s > 0 && s <= 3600))
				return tool_fail(TOOL_USAGE, "--timeout wants a number of seconds, up to 3600, behind it");
			timeout_ms = (int)(s * 1000);
		} else if (argv[i][0] == '-' && argv[i][1]) {
			return tool_fail(TOOL_USAGE, "there is no option %s: see chimera-plugin check --help", argv[i]);
		} else {
			argv[n++] = argv[i];
		}
	}
	if (!n)
		return tool_fail(TOOL_USAGE, "check wants the file of a plugin: chimera-plugin check NAME.so");
	for (int i = 0; i < n; i++) {
		int one = tool_check_file(argv[i], timeout_ms, NULL);

		rc = one > rc ? one : rc;
	}
	return rc;
}
