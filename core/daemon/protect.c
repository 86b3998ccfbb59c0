/* SPDX-License-Identifier: Apache-2.0 */
/* Protected mode: in prod nobody serves the world without keys by mistake. */
#include "core/daemon/daemon.h"

#include "core/conf/value.h"

#include <netinet/in.h>

static bool reaches_outside(const char *text)
{
	struct chi_listen_addr a;
	char why[256];
	if (!chi_listen_parse(text, &a, why, sizeof why) || a.sa.ss_family == AF_UNIX)
		return false;
	if (a.sa.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *)(void *)&a.sa)->sin_addr.s_addr) >> 24 != 127;
	return !IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)(void *)&a.sa)->sin6_addr);
}

void chi_protect(const struct chi_gen *g, struct chi_report *report)
{
	const struct chi_server_conf *s = g->conf->server;
	const char *outside = NULL;
	for (size_t i = 0; i < s->listen.n; i++)
		if (reaches_outside(s->listen.v[i].p))
			outside = s->listen.v[i].p;
	if (s->profile != CHI_PROFILE_PROD || s->open_access || !outside)
		return;
	const struct chi_inst *auth = NULL, *open = NULL;
	for (size_t k = 0; k < g->ninsts; k++) {
		const struct chi_inst *i = g->insts[k];
		if (strcmp(i->self.plugin->name, "auth"))
			continue;
		const char *anonymous = chi_conf_text(i->conf, "anonymous");
		auth = i;
		open = anonymous && chi_value_bool(anonymous) == 1 ? i : open;
	}
	const char *file = g->conf->nfiles ? g->conf->files[0] : NULL;
	if (!auth)
		chi_report_key(report, CHI_R_ERROR, file, 0, "server", "listen", outside,
			"this address can be reached from other machines and no [auth] section asks for keys: listen on 127.0.0.1 behind "
			"something that does, or set open_access = yes");
	else if (open)
		chi_report_key(report, CHI_R_ERROR, file, 0, open->self.id, "anonymous", "yes",
			"%s can be reached from other machines and would answer without a key: set anonymous = no, listen on 127.0.0.1, or "
			"set [server] open_access = yes",
			outside);
}
