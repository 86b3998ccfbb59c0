/* SPDX-License-Identifier: Apache-2.0 */
/* check, dump: the config as the daemon would load it, with everything that it would refuse. */
#include "core/ctl/ctl.h"

#include "core/plugin/loader.h"

#include <stdlib.h>

extern char **environ;

/* ---- [server] alone ---- */

struct wanted {
	char **control;
	bool known;
};

static void on_server(void *arg, const struct chi_server_conf *s)
{
	struct wanted *w = arg;

	w->known = s->plugin_dir != NULL;
	if (w->known)
		chi_loader_folder(s->plugin_dir, s->profile == CHI_PROFILE_PROD);
	if (w->control)
		*w->control = strdup(s->control ? s->control : "");
}

/* No plugin is loaded for this: none may run, or fail, because somebody asks how the server is. */
static const struct ch_plugin *no_plugin(void *arg, const char *name, char *why, size_t cap)
{
	(void)arg;
	snprintf(why, cap, "%s is not looked for", name);
	return NULL;
}

bool ctl_server(char **control)
{
	struct wanted w = { control, false };
	struct chi_report *report = chi_report_new();

	if (control)
		*control = NULL;
	chi_conf_free(chi_conf_load(&(struct chi_conf_args){ .file = chi_daemon.file,
					    .overrides = chi_daemon.overrides,
					    .env = environ,
					    .on_server = on_server,
					    .find_plugin = no_plugin,
					    .arg = &w },
		report));
	bool known = w.known && (!control || *control);
	if (!known)
		chi_report_print(report, stderr, false);
	chi_report_free(report);
	return known;
}

/* ---- verbs ---- */

int ctl_check(const struct ctl *ctl)
{
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);

	chi_report_print(report, ctl->json ? stdout : stderr, ctl->json);
	if (g && !ctl->json)
		fprintf(stderr, "%s: ok\n", chi_daemon.file);
	int code = g ? 0 : CHI_EXIT_CONFIG;
	chi_gen_free(g);
	chi_report_free(report);
	return code;
}

int ctl_dump(const struct ctl *ctl)
{
	struct chi_report *report = chi_report_new();
	struct chi_gen *g = chi_config_build(report);

	chi_report_print(report, stderr, false);
	if (g)
		chi_conf_dump(g->conf, stdout, ctl->json);
	int code = g ? 0 : CHI_EXIT_CONFIG;
	chi_gen_free(g);
	chi_report_free(report);
	return code;
}
