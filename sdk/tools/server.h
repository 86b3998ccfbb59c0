/* SPDX-License-Identifier: MIT */
/* sdk/tools/server.h - a chimerad for `chimera-plugin run`: its folder below /tmp, its config, its process. */
#ifndef TOOL_SERVER_H
#define TOOL_SERVER_H

#include <limits.h>

#include "sdk/tools/tool.h"

struct server {
	char folder[80];         /* all of it lies there; "" before server_new */
	char name[64];           /* the plugin's */
	int port;
	char **options;          /* "-o", "name.key=value", …; NULL-ended, the caller's */
	int notify;              /* a socket: READY=1 comes here */
	pid_t pid;               /* 0: it does not run */
	bool ready;
};

/* Makes folder, config and socket. ini: the plugin's config, absolute, or NULL; port 0: a free one. False: told. */
bool server_new(struct server *s, const char *name, const char *ini, int port, char **options);
/* Puts the plugin's file where the server looks for it, in one step. False: told. */
bool server_take(struct server *s, const char *so);
bool server_start(struct server *s);
/* Reads the socket; true: it has become ready just now. */
bool server_heard(struct server *s);
/* SIGTERM, and SIGKILL if that does not help within 10 s; waits. */
void server_stop(struct server *s);
/* Its process has ended: tells how, unless it was asked to. */
void server_ended(struct server *s, int status);
/* Takes the folder away; the server does not run. */
void server_free(struct server *s);

#endif
