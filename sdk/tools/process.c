/* SPDX-License-Identifier: MIT */
/* process.c - programs: where they are, running them. */
#include "sdk/tools/tool.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const char *tool_folder(void)
{
	static char path[PATH_MAX];
	ssize_t n = *path ? 0 : readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
	}
	return path;
}

bool tool_exists(const char *dir, const char *name)
{
	char *path = tool_print("%s/%s", dir, name);
	bool there = !access(path, F_OK);

	free(path);
	return there;
}

char *tool_program(const char *variable, const char *name)
{
	static const char *const places[] = { "", "../sbin/", "../bin/" };
	const char *given = getenv(variable);

	if (given && *given)
		return tool_print("%s", given);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char *path = tool_print("%s/%s%s", tool_folder(), places[i], name);

		if (!access(path, X_OK))
			return path;
		free(path);
	}
	return tool_print("%s", name);
}

const char *tool_build_source(void)
{
	static char source[PATH_MAX];
	char *path = tool_print("%s/Makefile", tool_folder()), line[PATH_MAX + 64];
	FILE *f = tool_exists(tool_folder(), "config.status") ? fopen(path, "r") : NULL;

	free(path);
	while (f && !*source && fgets(line, sizeof(line), f))
		if (sscanf(line, "abs_top_srcdir = %4095[^\n]", source) == 1)
			break;
	if (f)
		fclose(f);
	return *source ? source : NULL;
}

pid_t tool_spawn(char *const *argv, const char *dir, bool group)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return tool_fail(-1, "%s cannot be started: %s", argv[0], strerror(errno));
	if (pid)
		return pid;
	if (group) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM); /* should we be killed, it ends too */
	}
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dir && chdir(dir))
		_exit(tool_fail(TOOL_OSERR, "the folder %s cannot be entered: %s", dir, strerror(errno)));
	execvp(argv[0], argv);
	_exit(tool_fail(127, "%s cannot be run: %s; install it, or put its folder into PATH", argv[0], strerror(errno)));
}

int tool_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return TOOL_OSERR;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int tool_call(char *const *argv, const char *dir)
{
	pid_t pid = tool_spawn(argv, dir, false);

	return pid < 0 ? TOOL_OSERR : tool_wait(pid);
}
