/* SPDX-License-Identifier: MIT */
/* server.c - see server.h. */
#include "sdk/tools/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_ERROR 78 /* chimerad's exit code for a config that is wrong */

#ifndef CHIMERA_PLUGIN_DIR
#define CHIMERA_PLUGIN_DIR "/usr/local/lib/chimera/plugins"
#endif

/* What runs beside the plugin, if it is there. */
static const char *const beside[] = { "trace", "health", "prometheus", "http_client", "dryrun", "ask", NULL };

/* ---- the folder ---- */

/* Where chimera's own plugins are. */
static char *own_plugins(void)
{
	const char *given = getenv("CHIMERA_PLUGINS");

	if (given && *given)
		return tool_print("%s", given);
	if (tool_build_source())
		return tool_print("%s/plugins/.libs", tool_folder());
	return tool_print("%s", CHIMERA_PLUGIN_DIR);
}

static bool link_plugins(struct server *s, FILE *ini)
{
	char *dir = own_plugins();
	bool good = true;

	for (const char *const *name = beside; *name && good; name++) {
		char *from = tool_print("%s/%s.so", dir, *name), *to = tool_print("%s/plugins/%s.so", s->folder, *name);

		if (!access(from, R_OK) && strcmp(*name, s->name)) {
			good = !symlink(from, to);
			fprintf(ini, "[%s]\n", *name);
		}
		free(from);
		free(to);
	}
	free(dir);
	return good;
}

static bool write_config(struct server *s, const char *plugin_ini)
{
	char *path = tool_print("%s/chimera.ini", s->folder);
	FILE *f = fopen(path, "w");
	bool good;

	free(path);
	if (!f)
		return false;
	fprintf(f, "[server]\nprofile = dev\nlisten = 127.0.0.1:%d\nstate_dir = state\nplugin_dir = plugins\ncontrol = control.sock\n"
		   "drain_delay = 0s\n[log]\nformat = text\naccess = all\n", s->port);
	good = link_plugins(s, f);
	fprintf(f, "[%s]\n", s->name);
	if (plugin_ini) /* read last, so that it is the stronger one */
		fprintf(f, "[server]\ninclude = \"%s\"\n", plugin_ini);
	return !fclose(f) && good;
}

/* A port that nobody listens on now. */
static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || getsockname(fd, (struct sockaddr *)&a, &n))
		a.sin_port = 0;
	if (fd >= 0)
		close(fd);
	return ntohs(a.sin_port);
}

static int notify_socket(const char *folder)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify.sock", folder);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a))) {
		close(fd);
		fd = -1;
	}
	setenv("NOTIFY_SOCKET", a.sun_path, 1);
	return fd;
}

bool server_new(struct server *s, const char *name, const char *ini, int port, char **options)
{
	const char *tmp = getenv("TMPDIR");
	char *plugins;
	bool made;

	s->options = options;
	snprintf(s->name, sizeof(s->name), "%s", name);
	/* A short path: it has to fit into that of a socket. */
	snprintf(s->folder, sizeof(s->folder), "%s/chimera-plugin-XXXXXX", tmp && *tmp == '/' && strlen(tmp) < 60 ? tmp : "/tmp");
	if (!mkdtemp(s->folder)) {
		tool_fail(0, "no folder can be made in %s: %s", s->folder, strerror(errno));
		*s->folder = '\0';
		return false;
	}
	s->port = port ? port : free_port();
	plugins = tool_print("%s/plugins", s->folder);
	s->notify = notify_socket(s->folder);
	made = s->port && s->notify >= 0 && !mkdir(plugins, 0755) && write_config(s, ini);
	if (!made)
		tool_fail(0, "the server's folder %s cannot be filled: %s", s->folder, strerror(errno));
	free(plugins);
	return made;
}

static bool copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n = in < 0 || out < 0 ? -1 : 1;

	while (n > 0)
		n = sendfile(out, in, NULL, 1 << 20);
	if (in >= 0)
		close(in);
	return out >= 0 && !close(out) && !n;
}

bool server_take(struct server *s, const char *so)
{
	char *to = tool_print("%s/plugins/%s.so", s->folder, s->name), *fresh = tool_print("%s.new", to);
	bool good = copy(so, fresh) && !rename(fresh, to);

	if (!good)
		tool_fail(0, "%s cannot be copied to %s: %s", so, s->folder, strerror(errno));
	free(to);
	free(fresh);
	return good;
}

/* ---- the process ---- */

bool server_start(struct server *s)
{
	char *ini = tool_print("%s/chimera.ini", s->folder), **argv;
	size_t n = 0;

	while (s->options[n])
		n++;
	argv = calloc(n + 5, sizeof(*argv));
	if (!argv)
		exit(tool_fail(TOOL_OSERR, "there is no memory"));
	argv[0] = tool_program("CHIMERAD", "chimerad");
	argv[1] = "--strict"; /* a rule that the plugin breaks is told where it breaks it */
	argv[2] = "-c";
	argv[3] = ini;
	memcpy(argv + 4, s->options, n * sizeof(*argv));
	s->ready = false;
	s->pid = tool_spawn(argv, NULL, true);
	if (s->pid < 0)
		s->pid = 0;
	free(argv[0]);
	free(argv);
	free(ini);
	return s->pid;
}

bool server_heard(struct server *s)
{
	char text[512];
	bool before = s->ready;
	ssize_t n;

	while ((n = recv(s->notify, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = '\0';
		s->ready = s->ready || strstr(text, "READY=1");
	}
	return s->ready && !before;
}

void server_stop(struct server *s)
{
	const struct timespec pause = { .tv_nsec = 20000000 };

	if (!s->pid)
		return;
	kill(s->pid, SIGTERM);
	for (int i = 0; i < 500; i++) {
		if (waitpid(s->pid, NULL, WNOHANG)) {
			s->pid = 0;
			return;
		}
		nanosleep(&pause, NULL);
	}
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void server_ended(struct server *s, int status)
{
	s->pid = 0;
	if (WIFSIGNALED(status))
		tool_fail(0, "the server died by signal %d (%s): save a change and it starts again", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == CONFIG_ERROR && s->options[0])
		tool_fail(0,
			"the server ended with exit code 78: its config is wrong, as it says above. A --set stays as it was given: end "
			"this with Ctrl-C and start it with the right one; what stands in %s.ini, correct there and save",
			s->name);
	else if (WEXITSTATUS(status) == CONFIG_ERROR)
		tool_fail(0, "the server ended with exit code 78: its config is wrong, as it says above. Correct %s.ini and save it",
			s->name);
	else
		tool_fail(0, "the server ended with exit code %d, and says why above: save a change and it starts again", WEXITSTATUS(status));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path), 0;
}

void server_free(struct server *s)
{
	if (*s->folder)
		nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	*s->folder = '\0';
	if (s->notify > 0)
		close(s->notify);
}
