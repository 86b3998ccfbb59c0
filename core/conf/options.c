/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - what a plugin can be told, from its tables: for `chimeractl options`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chimera/kit/json.h>

#include "core/conf/load.h"
#include "core/conf/options.h"
#include "core/conf/value.h"

struct ch_option chi_option_at(const struct ch_table *t, size_t i)
{
	struct ch_option o = { .name = NULL };

	memcpy(&o, (const char *)t->rows + i * t->row_size, t->row_size < sizeof(o) ? t->row_size : sizeof(o));
	return o;
}

bool chi_option_alias(const char **p, struct chi_alias *out)
{
	const char *s = *p + strspn(*p, ", "), *end = s + strcspn(s, ", "), *colon, *next;

	if (s == end)
		return false;
	*out = (struct chi_alias){ .name = { s, strcspn(s, ":, ") } };
	for (colon = s + out->name.n; colon < end; colon = next) {
		next = colon + 1 + strcspn(colon + 1, ":, ");
		if (next - colon == 11 && !memcmp(colon + 1, "deprecated", 10))
			out->deprecated = true;
		else
			out->unit = (struct ch_str){ colon + 1, (size_t)(next - colon - 1) };
	}
	*p = end;
	return true;
}

void chi_option_variable(const char *id, const char *row, const char *key, char *buf, size_t cap)
{
	char *s;

	snprintf(buf, cap, "CHIMERA__%s__%s%s%s", id, row ? row : "", row ? "__" : "", key);
	for (s = buf; *s; s++)
		*s = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ? *s : '_';
}

/* ---- text ---- */

static const char *or_dash(const char *s)
{
	return s && *s ? s : "-";
}

/* How wide the columns name, type and default are. */
static void widen(const struct ch_table *t, int w[3])
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		struct ch_option o = chi_option_at(t, i);
		int n[3] = { (int)strlen(o.name), (int)strlen(chi_value_type(&o)), (int)strlen(or_dash(o.def)) };

		for (int k = 0; k < 3; k++)
			if (n[k] > w[k] && n[k] <= 32)
				w[k] = n[k];
	}
}

static void text_flags(const struct ch_option *o, FILE *out)
{
	if ((o->flags & CH_O_REQUIRED) && !(o->def && *o->def))
		fputs("; required", out);
	if (o->flags & CH_O_SECRET)
		fputs("; secret", out);
	if (o->flags & CH_O_RELOAD)
		fputs("; applied on reload", out);
	if (o->flags & CH_O_RESTART)
		fputs("; takes a restart", out);
	if (o->flags & CH_O_WATCH)
		fputs("; file is watched", out);
	if (o->flags & CH_O_DEPRECATED)
		fputs("; deprecated", out);
	if (o->iface)
		fprintf(out, "; provides %s", o->iface);
	if (o->dev_def)
		fprintf(out, "; default in dev and ci: %s", or_dash(o->dev_def));
}

static void text_table(const struct ch_plugin *plugin, const struct ch_table *t, const char *row, const int w[3], FILE *out)
{
	char allowed[512], variable[256];
	struct chi_alias a;
	size_t i;

	for (i = 0; i < t->n; i++) {
		struct ch_option o = chi_option_at(t, i);
		const char *env = o.env ? o.env : "";

		chi_value_allowed(&o, allowed, sizeof(allowed));
		chi_option_variable(plugin->name, row, o.name, variable, sizeof(variable));
		fprintf(out, "  %-*s  %-*s  %-*s  %s", w[0], o.name, w[1], chi_value_type(&o), w[2], or_dash(o.def), allowed);
		text_flags(&o, out);
		fprintf(out, "\n      %s\n      environment: %s", o.help ? o.help : "", variable);
		while (chi_option_alias(&env, &a))
			fprintf(out, ", %.*s%s%.*s%s", (int)a.name.n, a.name.p, a.unit.n ? " in " : "", (int)a.unit.n,
				a.unit.p ? a.unit.p : "", a.deprecated ? " (deprecated)" : "");
		fputc('\n', out);
	}
}

static void text(const struct ch_plugin *plugin, FILE *out)
{
	int w[3] = { 4, 4, 7 };

	widen(&plugin->options, w);
	widen(&plugin->row_options, w);
	fprintf(out, "%s %s: %s\n", plugin->name, plugin->version ? plugin->version : "", plugin->summary ? plugin->summary : "");
	fprintf(out, "\n[%s]\n  %-*s  %-*s  %-*s  %s\n", plugin->name, w[0], "key", w[1], "type", w[2], "default", "allowed");
	text_table(plugin, &plugin->options, NULL, w, out);
	if (plugin->row_options.n) {
		fprintf(out, "\n[%s.ROW]\n", plugin->name);
		text_table(plugin, &plugin->row_options, "ROW", w, out);
	}
}

/* ---- JSON ---- */

static void pair(struct ch_jw *w, const char *key, const char *value)
{
	ch_jw_key(w, key);
	ch_jw_cstr(w, value);
}

static void json_flag(struct ch_jw *w, const char *key, bool on)
{
	ch_jw_key(w, key);
	ch_jw_bool(w, on);
}

static void json_option(struct ch_jw *w, const struct ch_plugin *plugin, const struct ch_option *o, const char *row)
{
	const char *const *v, *env = o->env ? o->env : "";
	char variable[256];
	struct chi_alias a;

	chi_option_variable(plugin->name, row, o->name, variable, sizeof(variable));
	ch_jw_object(w);
	pair(w, "name", o->name);
	pair(w, "type", chi_value_type(o));
	pair(w, "default", o->def);
	pair(w, "dev_default", o->dev_def ? o->dev_def : o->def);
	pair(w, "min", o->min);
	pair(w, "max", o->max);
	ch_jw_key(w, "values");
	ch_jw_array(w);
	for (v = o->type == CH_T_ENUM ? o->values : NULL; v && *v; v++)
		ch_jw_cstr(w, *v);
	ch_jw_array_end(w);
	pair(w, "interface", o->iface);
	json_flag(w, "required", o->flags & CH_O_REQUIRED);
	json_flag(w, "secret", o->flags & CH_O_SECRET);
	json_flag(w, "reload", o->flags & CH_O_RELOAD);
	json_flag(w, "restart", o->flags & CH_O_RESTART);
	json_flag(w, "watch", o->flags & CH_O_WATCH);
	json_flag(w, "deprecated", o->flags & CH_O_DEPRECATED);
	json_flag(w, "off", o->flags & CH_O_OFF);
	pair(w, "variable", variable);
	ch_jw_key(w, "aliases");
	ch_jw_array(w);
	while (chi_option_alias(&env, &a)) {
		ch_jw_object(w);
		ch_jw_key(w, "name");
		ch_jw_string(w, a.name.p, a.name.n);
		ch_jw_key(w, "unit");
		ch_jw_string(w, a.unit.p, a.unit.n);
		json_flag(w, "deprecated", a.deprecated);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
	pair(w, "help", o->help);
	ch_jw_object_end(w);
}

static void json_table(struct ch_jw *w, const struct ch_plugin *plugin, const struct ch_table *t, const char *row)
{
	size_t i;

	ch_jw_array(w);
	for (i = 0; i < t->n; i++) {
		struct ch_option o = chi_option_at(t, i);

		json_option(w, plugin, &o, row);
	}
	ch_jw_array_end(w);
}

static void json(const struct ch_plugin *plugin, FILE *out)
{
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	pair(&w, "plugin", plugin->name);
	pair(&w, "version", plugin->version);
	pair(&w, "summary", plugin->summary);
	ch_jw_key(&w, "options");
	json_table(&w, plugin, &plugin->options, NULL);
	ch_jw_key(&w, "rows");
	json_table(&w, plugin, &plugin->row_options, "ROW");
	ch_jw_object_end(&w);
	if (w.failed)
		fputs("null\n", out);
	else
		fprintf(out, "%.*s\n", (int)w.len, w.buf);
	free(w.buf);
}

void chi_conf_options(const struct ch_plugin *plugin, FILE *out, bool as_json)
{
	if (as_json)
		json(plugin, out);
	else
		text(plugin, out);
}
