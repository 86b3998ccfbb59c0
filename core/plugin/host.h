/* SPDX-License-Identifier: Apache-2.0 */
/* core/plugin/host.h - the table behind every wrapper of chimera/plugin.h, and what of it the daemon or the harness must provide. */
#ifndef CHI_HOST_H
#define CHI_HOST_H

#include <chimera/inspect.h>

#include "core/conf/report.h"
#include "core/plugin/gen.h"

extern const struct ch_host chi_host;

/* The report that ch_config_error writes to while a check runs on this thread, and the profile of the config that is checked. */
extern _Thread_local struct chi_checking {
	struct chi_report *report;
	int profile;
} chi_checking;

/* An instance whose start runs logs an error: that is why it will not start. [any] */
void chi_starting_said(const struct ch_self *s, const char *fmt, va_list ap);

/* What the host table asks of its surroundings: the daemon sets it at boot, the harness sets its own. */
struct chi_surroundings {
	struct ch_loop *loops[CHI_MAX_LOOPS + 1]; /* workers, then the house loop, then NULL */
	unsigned nloops;
	bool (*offload)(struct chi_inst *, void *(*work)(void *), void *data, ch_ticket, ch_fn drop); /* [any] */
	void (*server)(struct ch_server *);                                                         /* [any] */
	bool (*reload)(ch_ticket); /* [any] wants a reload; the ticket gets its report, JSON of malloc, or NULL; false: not now. May be NULL */
	void (*checks_walk)(void (*)(void *, const struct ch_check_state *), void *);                /* [any] */
	/* Boot thread: every plugin that could be loaded, while no server runs. May be NULL. */
	void (*plugins)(void (*)(void *, const struct ch_plugin *), void *);
};
extern struct chi_surroundings chi_around;

#endif
