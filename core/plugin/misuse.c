/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/misuse.h"

#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/work/work.h"

#include <stdio.h>

void (*chi_strict)(const char *plugin, const char *sentence);

static void count(const char *plugin)
{
	static const struct ch_metric m = { .name = "chimera_misuse_total",
		.kind = CH_COUNTER,
		.labels = { { "plugin", CH_L_HOST, NULL } },
		.help = "Rules of the SDK that a plugin broke; the log names them" };
	char err[200];
	chi_metrics_add(chi_metrics_series(chi_metrics_family(&m, err, sizeof err), (const char *const[]){ plugin ? plugin : "other" }), 1);
}

void chi_misuse(const char *plugin, struct ch_ctx *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	const char *where = plugin ? plugin : "not known which";
	if (chi_strict)
		chi_strict(where, text);
	count(plugin);
	chi_log(CH_ERR, &(struct chi_log_fields){ .plugin = plugin, .req_id = c ? c->facts.req_id : NULL },
	        "plugin %s: %s; this is a bug in the plugin", where, text);
}
