/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon/daemon.h"

#include "core/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_mutex_t made_lock = PTHREAD_MUTEX_INITIALIZER; /* a signal may end the process while the boot thread starts plugins */
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

/* A socket that is bound, and nobody is heard on yet. */
struct bound {
	struct chi_listen_addr a;
	int fd;
	unsigned loop;
	bool inherited, more; /* more: another one of the same address */
};
static struct bound *sockets;
static unsigned nsockets;

static bool keep(int fd, const struct chi_listen_addr *a, unsigned loop, bool inherited, bool more, char *why, size_t cap)
{
	struct bound *v = realloc(sockets, (nsockets + 1) * sizeof *v);
	if (fd < 0 || !v) {
		if (!*why || fd >= 0)
			snprintf(why, cap, "%s: %s", a->text, strerror(errno));
		return false;
	}
	sockets = v;
	v[nsockets++] = (struct bound){ .a = *a, .fd = fd, .loop = loop, .inherited = inherited, .more = more };
	return true;
}

/* One socket for all workers. */
static bool share(int fd, const struct chi_listen_addr *a, bool inherited, char *why, size_t cap)
{
	for (unsigned i = 0; i < chi_daemon.nworkers; i++)
		if (!keep(i ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : fd, a, i, inherited, i > 0, why, cap))
			return false;
	return true;
}

static void remember(const char *path)
{
	pthread_mutex_lock(&made_lock);
	if (nmade < sizeof made / sizeof *made && (made[nmade] = strdup(path)))
		nmade++;
	pthread_mutex_unlock(&made_lock);
}

static bool bind_one(const char *text, int cls, char *why, size_t cap)
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
		if (!chi_listen_unused(&a, why, cap) || (fd = chi_listen_bind(&a, cls == CHI_L_PUBLIC, why, cap)) < 0)
			return false;
		if (is_unix)
			remember(((struct sockaddr_un *)(void *)&a.sa)->sun_path);
	}
	if (cls != CHI_L_PUBLIC)
		return keep(fd, &a, chi_daemon.nworkers, inherited, false, why, cap);
	if (inherited || is_unix)
		return share(fd, &a, inherited, why, cap);
	for (unsigned i = 0; i < chi_daemon.nworkers; i++) {
		if (i && (fd = chi_listen_bind(&a, true, why, cap)) < 0)
			return false;
		if (!keep(fd, &a, i, false, i > 0, why, cap))
			return false;
	}
	return true;
}

static bool bind_list(const struct ch_list *list, int cls, char *why, size_t cap)
{
	for (size_t i = 0; i < list->n; i++)
		if (!bind_one(list->v[i].p, cls, why, cap))
			return false;
	return true;
}

/* Sockets that root has made for a server that will be somebody else: who acts as that user may ask it. */
static void give_made(const char *user)
{
	const struct passwd *pw = *user && geteuid() == 0 ? getpwnam(user) : NULL;
	pthread_mutex_lock(&made_lock);
	for (unsigned i = 0; pw && i < nmade; i++)
		if (lchown(made[i], pw->pw_uid, pw->pw_gid))
			chi_log(CH_WARN, NULL, "%s cannot be given to user '%s': %s", made[i], user, strerror(errno));
	pthread_mutex_unlock(&made_lock);
}

bool chi_listeners_bind(const struct chi_conf *conf, char *why, size_t cap)
{
	const struct chi_server_conf *s = conf->server;
	char control[160];
	snprintf(control, sizeof control, "unix:%s", s->control);
	if (!bind_list(&s->status_listen, CHI_L_STATUS, why, cap) || !bind_list(&s->admin_listen, CHI_L_ADMIN, why, cap) ||
	    (*s->control && !bind_one(control, CHI_L_CONTROL, why, cap)) || !bind_list(&s->listen, CHI_L_PUBLIC, why, cap))
		return false;
	give_made(s->user);
	return true;
}

bool chi_listeners_open(char *why, size_t cap)
{
	for (unsigned i = 0; i < nsockets; i++) {
		struct bound *b = &sockets[i];
		bool is_unix = b->a.sa.ss_family == AF_UNIX, again = is_unix && b->more;
		if (!b->inherited && !again && !chi_listen_begin(b->fd, &b->a, why, cap))
			return false;
		if (!b->more)
			say(&b->a);
		if (!chi_loops_add_listener(b->fd, b->loop, b->a.cls, is_unix, b->inherited)) {
			snprintf(why, cap, "%s: %s", b->a.text, strerror(errno));
			return false;
		}
	}
	free(sockets);
	sockets = NULL;
	nsockets = 0;
	return true;
}

void chi_listeners_unlink(void)
{
	pthread_mutex_lock(&made_lock);
	while (nmade) {
		unlink(made[--nmade]);
		free(made[nmade]);
	}
	pthread_mutex_unlock(&made_lock);
}
