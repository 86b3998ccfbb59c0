/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/ctl/ctl.h - chimeractl: what its verbs share. One process, one thread, one verb.
 *
 *   main.c      arguments, help, the table of verbs
 *   config.c    check, dump: the config as the daemon would load it
 *   describe.c  options, man, version: what there is to be configured
 *   plugins.c   plugins: what the config makes of it, or what a running server has
 *   live.c      status, log level: questions to a running server
 *   reload.c    reload: a new config for a running server
 *   run.c       run, and commands that are verbs: in a running server or in this process
 *   commands.c  which commands there are
 *   client.c    one question over the control socket
 *   answer.c    reading what comes back
 *   doc.c       reading JSON that came from the server
 *   table.c     aligned columns
 *   bar.c       how far a command is
 */
#ifndef CTL_H
#define CTL_H

#include <chimera/kit/near.h>
#include "core/daemon/daemon.h"

struct ctl {
	const char *socket; /* --socket; NULL: the config's */
	bool json;
	bool colour; /* stdout is a terminal that wants some */
	bool offline; /* --offline */
	int verbose; /* how many -v */
	char **args; /* behind the verb, NULL-ended */
	int nargs;
};

/* Verbs: an exit code of sysexits. They have told people on stderr what is wrong. */
int ctl_check(const struct ctl *ctl);
int ctl_dump(const struct ctl *ctl);
int ctl_options(const struct ctl *ctl);
int ctl_man(const struct ctl *ctl);
int ctl_version(const struct ctl *ctl);
int ctl_plugins(const struct ctl *ctl);
int ctl_plugins_live(const struct ctl *ctl);
int ctl_status(const struct ctl *ctl);
int ctl_log_level(const struct ctl *ctl);
int ctl_reload(const struct ctl *ctl);
int ctl_run(const struct ctl *ctl);
/*
 * What is no verb of ours may be a command that one instance has: ctl->args begin with its name, and all behind it is the command's own.
 * CTL_NO_VERB: it is none either, and *near was offered what there is; nobody has heard of it yet.
 */
enum { CTL_NO_VERB = -1 };
int ctl_run_verb(const struct ctl *ctl, struct ch_near *near);

/* "chimeractl: …" and a newline on stderr; returns code. */
int ctl_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * Reads just enough of the config to know [server]: plugin_dir, for the loader, and the control socket's path, malloc'd, into *control
 * (NULL: not wanted). What is wrong elsewhere does not matter here. False: there is not even a [server], told on stderr.
 */
bool ctl_server(char **control);
/* A buffer of realloc for a struct ch_jw: w.grow. */
void *ctl_grow(void *arg, void *old, size_t used, size_t want);

#endif
