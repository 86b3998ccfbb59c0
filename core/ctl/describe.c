/* SPDX-License-Identifier: Apache-2.0 */
/* options, man, version: what there is to be configured. From the plugins' tables alone; nothing is started. */
#include "core/ctl/ctl.h"
#include "core/ctl/table.h"

#include <chimera/kit/near.h>
#include "core/plugin/loader.h"

#include <chimera/kit/json.h>

#include <stdlib.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif
#if __has_include("core/commit.h")
#include "core/commit.h"
#else
#define CHIMERA_COMMIT "unknown"
#endif

/* ---- options ---- */

struct names {
	struct ch_near near;
	bool exists;
	char all[512];
};

static void offer(void *arg, const char *name)
{
	struct names *n = arg;
	size_t used = strlen(n->all);

	ch_near_offer(&n->near, name);
	n->exists |= !strcmp(name, n->near.wanted);
	if (used + strlen(name) + 6 < sizeof(n->all))
		sprintf(n->all + used, "%s%s", used ? ", " : "", name);
	else if (used && n->all[used - 1] != '.')
		strcpy(n->all + used, " ...");
}

static int unknown(const char *name, const char *why)
{
	struct names n = { .exists = false };

	ch_near_init(&n.near, name);
	offer(&n, "server");
	offer(&n, "log");
	chi_loader_list(offer, &n);
	if (n.exists)
		return ctl_fail(CHI_EXIT_CONFIG, "%s", why);
	if (*n.near.best)
		return ctl_fail(CHI_EXIT_USAGE, "there is no plugin '%s': did you mean %s? There are %s", name, n.near.best, n.all);
	return ctl_fail(CHI_EXIT_USAGE, "there is no plugin '%s': there are %s", name, n.all);
}

static void list_one(void *arg, const char *name)
{
	char why[512];
	const struct ch_plugin *p = chi_loader_find(name, why, sizeof(why));

	ctl_table_row(arg, (const char *const[]){ name, p ? p->version : "-", p ? p->summary : why });
}

/* What can be asked about; a plugin that cannot be loaded stands there with the reason. */
static int list(const struct ctl *ctl)
{
	struct ctl_table t = { .columns = 3 };

	chi_config_default(NULL);
	if (!ctl_server(NULL))
		return CHI_EXIT_CONFIG;
	ctl_table_row(&t, (const char *const[]){ "plugin", "version", "summary" });
	ctl_table_row(&t, (const char *const[]){ "server", CHIMERA_VERSION, chi_server_section.summary });
	ctl_table_row(&t, (const char *const[]){ "log", CHIMERA_VERSION, chi_log_section.summary });
	chi_loader_list(list_one, &t);
	if (ctl->json)
		ctl_table_json(&t, stdout);
	else
		ctl_table_print(&t, stdout, ctl->colour);
	return 0;
}

int ctl_options(const struct ctl *ctl)
{
	if (!ctl->nargs)
		return list(ctl);
	const char *name = ctl->args[0];
	const struct ch_plugin *p = !strcmp(name, "server") ? &chi_server_section : !strcmp(name, "log") ? &chi_log_section : NULL;
	char why[512];

	if (!p) {
		chi_config_default(NULL); /* without any file the defaults say where plugins are */
		if (!ctl_server(NULL))
			return CHI_EXIT_CONFIG;
		/* A name is a file's name: what leads elsewhere is none. */
		p = strchr(name, '/') || *name == '.' ? NULL : chi_loader_find(name, why, sizeof(why));
	}
	if (!p)
		return unknown(name, why);
	chi_conf_options(p, stdout, ctl->json);
	return 0;
}

/* ---- man ---- */

struct found {
	const struct ch_plugin *plugins[256];
	size_t n;
	int code;
};

static void load(void *arg, const char *name)
{
	struct found *f = arg;
	char why[512];
	const struct ch_plugin *p = chi_loader_find(name, why, sizeof(why));

	if (!p)
		f->code = ctl_fail(CHI_EXIT_CONFIG, "%s", why);
	else if (f->n < sizeof(f->plugins) / sizeof(*f->plugins))
		f->plugins[f->n++] = p;
}

int ctl_man(const struct ctl *ctl)
{
	struct found f = { .n = 0 };

	(void)ctl;
	if (!ctl_server(NULL)) /* of -c's file, or of none: a manual does not depend on what this machine is configured to be */
		return CHI_EXIT_CONFIG;
	chi_loader_list(load, &f);
	if (!f.code)
		chi_conf_man(f.plugins, f.n, stdout);
	return f.code;
}

/* ---- version ---- */

int ctl_version(const struct ctl *ctl)
{
	struct ch_jw w;
	char abi[24];

	snprintf(abi, sizeof(abi), "%u.%u", CH_ABI_MAJOR, CH_ABI_MINOR);
	if (!ctl->json) {
		printf("chimera %s\ncommit %s\nplugin interface %s\n", CHIMERA_VERSION, CHIMERA_COMMIT, abi);
		return 0;
	}
	ch_jw_init(&w, NULL, 0);
	w.grow = ctl_grow;
	ch_jw_object(&w);
	ch_jw_key(&w, "version");
	ch_jw_cstr(&w, CHIMERA_VERSION);
	ch_jw_key(&w, "commit");
	ch_jw_cstr(&w, CHIMERA_COMMIT);
	ch_jw_key(&w, "abi");
	ch_jw_cstr(&w, abi);
	ch_jw_object_end(&w);
	printf("%.*s\n", w.failed ? 4 : (int)w.len, w.failed ? "null" : w.buf);
	free(w.buf);
	return 0;
}
