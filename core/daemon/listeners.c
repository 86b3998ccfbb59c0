/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char *made[64]; /* unix socket files of ours */
static unsigned nmade;

static void say(const struct chi_listen_addr *a)
{
	static const char *const names[] = { "public", "status", "admin", "control" };
	struct chi_log_kv kv[] = {
		{ .key = "addr", .type = CHI_LOG_STR, .s = { a->text, strlen(a->text) } },
		{ .key = "class", .type = CHI_LOG_STR, .s = { names[a->cls], strlen(names[a->cls]) } },
	};
	chi_log(CH_INFO, &(struct chi_log_fields){ .kv = kv, .nkv = 2 }, "listening");
}

static void make_folder(const char *path)
{
	char folder[108];
	snprintf(folder, sizeof folder, "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = 0;
		mkdir(folder, 0755); /* if that fails, bind says why */
	}
}

static bool share(int fd, const struct chi_listen_addr *a, bool inherited, char *why, size_t cap)
{
	bool is_unix = a->sa.ss_family == AF_UNIX;
	for (unsigned i = 0; i < chi_daemon.nworkers; i++) {
		int own = i + 1 == chi_daemon.nworkers ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (own < 0 || !chi_loops_add_listener(own, i, a->cls, is_unix, inherited)) {
			snprintf(why, cap, "%s: %s", a->text, strerror(errno));
			return false;
		}
	}
	return true;
}

static bool open_one(const char *text, int cls, char *why, size_t cap)
{
	struct chi_listen_addr a = { .cls = cls };
	char reason[256], full[256];
	if (!strncmp(text, "unix:", 5) && text[5] != '/') { /* data: below state_dir */
		snprintf(full, sizeof full, "unix:%s/%s", chi_daemon.state_dir, text + 5);
		text = full;
	}
	if (!chi_listen_parse(text, &a, reason, sizeof reason)) {
		snprintf(why, cap, "'%s': %s", text, reason);
		return false;
	}
	bool is_unix = a.sa.ss_family == AF_UNIX;
	int fd = chi_inherited_take(&a);
	bool inherited = fd >= 0;
	if (!inherited) {
		if (is_unix)
			make_folder(((struct sockaddr_un *)(void *)&a.sa)->sun_path);
		if (!chi_listen_unused(&a, why, cap) || (fd = chi_listen_open(&a, cls == CHI_L_PUBLIC, why, cap)) < 0)
			return false;
		if (is_unix && nmade < 64)
			made[nmade++] = strdup(((struct sockaddr_un *)(void *)&a.sa)->sun_path);
	}
	say(&a);
	if (cls != CHI_L_PUBLIC)
		return chi_loops_add_listener(fd, chi_daemon.nworkers, cls, is_unix, inherited);
	if (inherited || is_unix)
		return share(fd, &a, inherited, why, cap);
	for (unsigned i = 0; i < chi_daemon.nworkers; i++) {
		if (i && (fd = chi_listen_open(&a, true, why, cap)) < 0)
			return false;
		if (!chi_loops_add_listener(fd, i, cls, false, false))
			return false;
	}
	return true;
}

static bool open_list(const struct ch_list *list, int cls, char *why, size_t cap)
{
	for (size_t i = 0; i < list->n; i++)
		if (!open_one(list->v[i].p, cls, why, cap))
			return false;
	return true;
}

bool chi_listeners_open(const struct chi_conf *conf, char *why, size_t cap)
{
	const struct chi_server_conf *s = conf->server;
	char control[160];
	snprintf(control, sizeof control, "unix:%s", s->control);
	return open_list(&s->status_listen, CHI_L_STATUS, why, cap) && open_list(&s->admin_listen, CHI_L_ADMIN, why, cap) &&
	       (!*s->control || open_one(control, CHI_L_CONTROL, why, cap)) && open_list(&s->listen, CHI_L_PUBLIC, why, cap);
}

void chi_listeners_unlink(void)
{
	while (nmade) {
		unlink(made[--nmade]);
		free(made[nmade]);
	}
}
