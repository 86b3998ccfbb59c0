/* SPDX-License-Identifier: Apache-2.0 */
/* env.c - the command line and the environment over the files. */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "core/conf/load.h"
#include <chimera/kit/near.h>
#include "core/conf/options.h"
#include "core/conf/text.h"
#include "core/conf/value.h"

#define PREFIX "CHIMERA__"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Does the variable go on with this id, row or key? Returns what follows, or NULL. */
static const char *after(const char *var, const char *name)
{
	for (; *name; name++, var++) {
		if (is_alnum(*name) ? tolower((unsigned char)*var) != tolower((unsigned char)*name) : *var != '_')
			return NULL;
	}
	return var;
}

/* The same, and "__" behind it. */
static const char *after_part(const char *var, const char *name)
{
	var = after(var, name);
	return var && var[0] == '_' && var[1] == '_' ? var + 2 : NULL;
}

static bool is_key(const char *var, const char *key)
{
	var = after(var, key);
	return var && !*var;
}

static const char *place_of(struct load *l, const char *var)
{
	return chi_mem_print(l->mem, "environment %s", var);
}

/* ---- the command line ---- */

/* The section that an override names, or NULL; a row is made. */
static struct chi_sect *override_sect(struct load *l, struct chi_ini_name *name)
{
	struct chi_sect *s = name->id.p ? chi_load_by_id(l, name->id.p, name->id.n) : chi_load_by_id(l, name->plugin.p, name->plugin.n);

	if (!s || (name->id.p && (strlen(s->plugin) != name->plugin.n || memcmp(s->plugin, name->plugin.p, name->plugin.n))))
		return NULL;
	if (!name->row.p)
		return s;
	name->plugin = (struct ch_str){ s->plugin, strlen(s->plugin) };
	name->id = (struct ch_str){ s->id, strlen(s->id) };
	return chi_load_sect(l, name, "command line", 0);
}

static void not_enabled(struct load *l, const struct chi_ini_name *name, const char *key, const char *what)
{
	struct ch_near near;
	struct chi_sect *s;
	const char *id =
		name->id.p ? chi_mem_dup(&l->scratch, name->id.p, name->id.n) : chi_mem_dup(&l->scratch, name->plugin.p, name->plugin.n);

	ch_near_init(&near, id);
	ch_near_offer(&near, "server");
	ch_near_offer(&near, "log");
	for (s = l->priv->first; s; s = s->next)
		ch_near_offer(&near, s->id);
	if (*near.best)
		chi_report_key(l->report, CHI_R_ERROR, "command line", 0, what, key, NULL, "there is no such section; did you mean [%s]?",
			near.best);
	else
		chi_report_key(l->report, CHI_R_ERROR, "command line", 0, what, key, NULL,
			"this section is not enabled; add it to a file, or -o %s.enabled=yes", what);
}

static void override(struct load *l, const char *text, bool enabling)
{
	const char *eq = strchr(text, '='), *dot, *key, *what, *why;
	struct chi_ini_name name;
	struct chi_sect *s;

	dot = eq ? memrchr(text, '.', (size_t)(eq - text)) : NULL;
	if (!dot || dot + 1 == eq) {
		if (enabling) /* told once */
			chi_report_add(l->report, CHI_R_ERROR, "command line", 0,
				"an override cannot be read; write -o section.key=value, as in -o router.timeout=5m");
		return;
	}
	key = chi_mem_dup(&l->scratch, dot + 1, (size_t)(eq - dot - 1));
	if (enabling != !strcmp(key, "enabled"))
		return;
	what = chi_mem_dup(&l->scratch, text, (size_t)(dot - text));
	if (!chi_ini_name((struct ch_str){ what, strlen(what) }, &name, &why)) {
		chi_report_key(l->report, CHI_R_ERROR, "command line", 0, what, key, NULL, "this section name %s", why);
		return;
	}
	s = override_sect(l, &name);
	if (!s && enabling && !name.row.p) {
		if (!chi_value_bool(eq + 1))
			return;
		s = chi_load_sect(l, &name, "command line", 0);
		if (!s)
			return;
	}
	if (!s)
		not_enabled(l, &name, key, what);
	else if (s == l->priv->server && !strcmp(key, "include"))
		chi_report_key(
			l->report, CHI_R_ERROR, "command line", 0, "server", key, NULL, "can only stand in a file, where it is read");
	else
		chi_load_put(l, s, key, eq + 1, CHI_O_CLI, "command line", 0);
}

void chi_env_overrides(struct load *l)
{
	const char *const *o;

	for (o = l->args->overrides; o && *o; o++)
		override(l, *o, true);
	for (o = l->args->overrides; o && *o; o++)
		override(l, *o, false);
}

/* ---- the environment ---- */

/* Puts a variable to a key. One that fits two keys is put to neither on trust: that is an error. */
static void hit(struct load *l, struct chi_var *v, struct chi_sect *s, const char *key)
{
	if (v->sect) {
		chi_report_add(l->report, CHI_R_ERROR, place_of(l, v->name), 0,
			"this variable fits both [%s] %s and [%s] %s: unset it and set the key in a file, or rename one of the sections",
			v->sect->name, v->key, s->name, key);
		return;
	}
	v->sect = s;
	v->key = key;
	v->done = true;
	if (s == l->priv->server && !strcmp(key, "include"))
		chi_report_add(l->report, CHI_R_WARNING, place_of(l, v->name), 0,
			"this variable is not used: include can only stand in a file, where it is read");
	else
		chi_load_put(l, s, key, v->value, CHI_O_ENV, place_of(l, v->name), 0);
}

/* "…__ENABLED" of a whole instance. */
static void enable(struct load *l, struct chi_var *v)
{
	const char *rest = v->name + strlen(PREFIX);
	size_t n = strlen(rest), i;
	struct chi_sect *s;
	struct chi_ini_name name = { .id = { NULL, 0 } };
	char *plugin;

	if (n <= 9 || !is_key(rest + n - 9, "__enabled"))
		return;
	for (s = l->priv->first; s; s = s->next) {
		const char *key = after_part(rest, s->id);

		if (key && is_key(key, "enabled"))
			hit(l, v, s, "enabled");
		else if (key)
			return; /* a row's */
	}
	if (v->sect)
		return;
	plugin = chi_mem_dup(&l->scratch, rest, n - 9);
	for (i = 0; plugin[i]; i++)
		plugin[i] = (char)tolower((unsigned char)plugin[i]);
	if (strstr(plugin, "__") || !strcmp(plugin, "server") || !strcmp(plugin, "log"))
		return;
	v->done = true;
	name.plugin = (struct ch_str){ plugin, n - 9 };
	if (chi_value_bool(v->value) && (s = chi_load_sect(l, &name, place_of(l, v->name), 0)))
		hit(l, v, s, "enabled");
}

void chi_env_enabled(struct load *l)
{
	char *const *e;
	size_t n = 0, i;
	const char *eq;

	for (e = l->args->env; e && *e; e++)
		n += !strncmp(*e, PREFIX, strlen(PREFIX));
	l->vars = chi_mem_alloc(&l->scratch, (n + 1) * sizeof(*l->vars));
	for (e = l->args->env; e && *e; e++) {
		eq = strchr(*e, '=');
		if (strncmp(*e, PREFIX, strlen(PREFIX)) || !eq)
			continue;
		l->vars[l->nvars++] = (struct chi_var){ .name = chi_mem_dup(&l->scratch, *e, (size_t)(eq - *e)), .value = eq + 1 };
	}
	for (i = 0; i < l->nvars; i++)
		enable(l, &l->vars[i]);
}

static void apply(struct load *l, struct chi_var *v, struct chi_sect *s)
{
	const char *rest = after_part(v->name + strlen(PREFIX), s->id), *in_row;
	struct chi_sect *row;
	size_t i;

	for (i = 0; rest && i < s->nopts; i++)
		if (is_key(rest, s->opts[i].name))
			hit(l, v, s, s->opts[i].name);
	for (row = rest ? s->rows : NULL; row; row = row->next) {
		in_row = after_part(rest, row->row);
		for (i = 0; in_row && i < row->nopts; i++)
			if (is_key(in_row, row->opts[i].name))
				hit(l, v, row, row->opts[i].name);
		if (in_row && is_key(in_row, "enabled"))
			hit(l, v, row, "enabled");
	}
}

/* The first alias of an option that is set and not empty. */
static void aliases(struct load *l, struct chi_sect *s, const struct ch_option *o)
{
	const struct chi_setting *had = chi_load_get(l, s, o->name);
	const char *env = o->env ? o->env : "", *value = NULL;
	struct chi_setting *set;
	struct chi_alias a;
	char variable[256];

	if (had && had->origin > CHI_O_ALIAS)
		return;
	while ((!value || !*value) && chi_option_alias(&env, &a))
		value = chi_text_getenv(l->args->env, a.name.p, a.name.n);
	if (!value || !*value)
		return;
	set = chi_load_put(l, s, o->name, value, CHI_O_ALIAS, place_of(l, chi_mem_dup(&l->scratch, a.name.p, a.name.n)), 0);
	set->unit = a.unit.n ? chi_mem_dup(&l->scratch, a.unit.p, a.unit.n) : NULL;
	chi_option_variable(s->id, NULL, o->name, variable, sizeof(variable));
	if (a.deprecated)
		chi_load_problem(l, CHI_R_WARNING, set, NULL, "this variable is deprecated: set the key in a file, or by %s", variable);
}

void chi_env_apply(struct load *l, struct chi_sect *s)
{
	size_t i;

	for (i = 0; i < l->nvars; i++)
		apply(l, &l->vars[i], s);
	/* a second instance is another server: a key that was meant for the first must not go there */
	for (i = 0; i < s->nopts && !strcmp(s->id, s->plugin); i++)
		aliases(l, s, &s->opts[i]);
}

static void offer(struct ch_near *near, const struct chi_sect *s)
{
	char variable[256];
	size_t i;

	for (i = 0; i < s->nopts; i++) {
		chi_option_variable(s->id, s->row, s->opts[i].name, variable, sizeof(variable));
		ch_near_offer(near, variable);
	}
	for (s = s->rows; s; s = s->next)
		offer(near, s);
}

static void not_on(struct load *l, const struct chi_var *v, const char *name, const char *id)
{
	char variable[256];

	chi_option_variable(id, NULL, "enabled", variable, sizeof(variable));
	chi_report_add(l->report, CHI_R_WARNING, place_of(l, v->name), 0,
		"this variable is not used: [%s] is not enabled (%s=yes does that)", name, variable);
}

static void leftover(struct load *l, const struct chi_var *v)
{
	const char *rest = v->name + strlen(PREFIX);
	struct ch_near near;
	struct chi_sect *s;
	size_t i;

	ch_near_init(&near, v->name);
	offer(&near, l->priv->server);
	offer(&near, l->priv->log);
	for (s = l->priv->first; s; s = s->next) {
		offer(&near, s);
		if (!s->enabled && after_part(rest, s->id)) {
			not_on(l, v, s->name, s->id);
			return;
		}
	}
	for (i = 0; i < l->nknown; i++) {
		if (after_part(rest, l->known[i]) && !chi_load_by_id(l, l->known[i], strlen(l->known[i]))) {
			not_on(l, v, l->known[i], l->known[i]);
			return;
		}
	}
	if (*near.best)
		chi_report_add(l->report, CHI_R_WARNING, place_of(l, v->name), 0,
			"this variable is not used: no section has such a key; did you mean %s?", near.best);
	else
		chi_report_add(l->report, CHI_R_WARNING, place_of(l, v->name), 0,
			"this variable is not used: no enabled section has such a key; the form is " PREFIX "<ID>__<KEY> or " PREFIX
			"<ID>__<ROW>__<KEY>");
}

void chi_env_leftovers(struct load *l)
{
	size_t i;

	for (i = 0; i < l->nvars; i++)
		if (!l->vars[i].done)
			leftover(l, &l->vars[i]);
}
