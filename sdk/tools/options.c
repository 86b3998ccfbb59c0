/* SPDX-License-Identifier: MIT */
/* options.c - what the tables of options and metrics say, in sentences. In the child. */
#include "sdk/tools/tool.h"

#include <stdio.h>
#include <string.h>

#include "core/conf/options.h"
#include "core/conf/value.h"
#include "core/metrics/metrics.h"

#define FLAGS (CH_O_REQUIRED | CH_O_SECRET | CH_O_RELOAD | CH_O_DEPRECATED | CH_O_OFF | CH_O_RESTART | CH_O_WATCH)

/* A table being read: of the section, or of its rows. */
struct table {
	const struct ch_plugin *plugin;
	const struct ch_table *t;
	const char *what;  /* "option", "row option" */
	size_t conf_size;
	const char *size_name;
};

/* ---- one option ---- */

/* Has it values that are read: numbers, words? */
static bool has_value(const struct ch_option *o)
{
	switch (o->type) {
	case CH_T_INT:
	case CH_T_BOOL:
	case CH_T_DURATION:
	case CH_T_SIZE:
	case CH_T_RATE:
	case CH_T_SHARE:
	case CH_T_DOUBLE:
	case CH_T_ENUM:
		return true;
	default:
		return false;
	}
}

static bool has_range(const struct ch_option *o)
{
	return has_value(o) && o->type != CH_T_BOOL && o->type != CH_T_ENUM;
}

static double number(const struct ch_option *o, const struct chi_value *v)
{
	return o->type == CH_T_RATE || o->type == CH_T_SHARE || o->type == CH_T_DOUBLE ? v->d : (double)v->i;
}

/* A bound by its own grammar, without its being bounded. */
static bool read_bound(const struct table *t, const struct ch_option *o, const char *key, const char *text, double *out)
{
	struct ch_option bare = *o;
	struct chi_value v;
	char why[768];

	if (!text)
		return false;
	bare.min = bare.max = NULL;
	bare.flags &= ~CH_O_OFF;
	if (chi_value_read(&bare, text, &v, why, sizeof(why))) {
		*out = number(o, &v);
		return true;
	}
	find_wrong("%s %s: its %s '%s' %s", t->what, o->name, key, text, why);
	return false;
}

/* False: the range is wrong, so nothing is said of what lies in it. */
static bool check_range(const struct table *t, const struct ch_option *o)
{
	double min, max;
	bool has_min, has_max;

	if (!o->min && !o->max)
		return true;
	if (!has_range(o)) {
		find_unwise("%s %s has a range, which means nothing for a %s", t->what, o->name, chi_value_type(o));
		return false;
	}
	has_min = read_bound(t, o, "min", o->min, &min);
	has_max = read_bound(t, o, "max", o->max, &max);
	if (has_min && has_max && min > max) {
		find_wrong("%s %s has the range from %s to %s, in which there is nothing", t->what, o->name, o->min, o->max);
		return false;
	}
	return has_min == !!o->min && has_max == !!o->max;
}

static void check_default(const struct table *t, const struct ch_option *o, const char *key, const char *text)
{
	struct chi_value v;
	char why[768];

	if (!text || strstr(text, "${") || *text == '@') /* what the environment or a file says */
		return;
	if (!chi_value_read(o, text, &v, why, sizeof(why)))
		find_wrong("%s %s: its %s '%s' %s", t->what, o->name, key, text, why);
}

static void check_defaults(const struct table *t, const struct ch_option *o)
{
	struct chi_value v;
	char why[768];

	if (o->dev_def && o->def && !strcmp(o->dev_def, o->def))
		find_unwise("%s %s: its dev_def is its def: leave it out", t->what, o->name);
	if ((o->flags & CH_O_SECRET) && o->def && *o->def && !strstr(o->def, "${") && *o->def != '@')
		find_unwise("%s %s is a secret with a default, which everybody knows", t->what, o->name);
	if (!has_value(o))
		return;
	check_default(t, o, "def", o->def);
	check_default(t, o, "dev_def", o->dev_def);
	if (!o->def && has_range(o) && !(o->flags & CH_O_REQUIRED)) {
		static const char *const zero[CH_T_DOUBLE + 1] = { [CH_T_INT] = "0", [CH_T_DURATION] = "0s", [CH_T_SIZE] = "0",
			[CH_T_RATE] = "0/s", [CH_T_SHARE] = "0%", [CH_T_DOUBLE] = "0" };

		if (!chi_value_read(o, zero[o->type], &v, why, sizeof(why)))
			find_wrong("%s %s has no def, and what it is then, %s, lies outside its range: give it one, or CH_O_REQUIRED", t->what,
				o->name, zero[o->type]);
	}
}

/* False: there is no reading its values. */
static bool check_words(const struct table *t, const struct ch_option *o)
{
	if (o->type != CH_T_ENUM) {
		if (o->values)
			find_unwise("%s %s has values, which mean nothing for a %s", t->what, o->name, chi_value_type(o));
		return true;
	}
	if (!o->values || !o->values[0]) {
		find_wrong("%s %s is an ENUM without values: list them, ended by NULL", t->what, o->name);
		return false;
	}
	for (size_t k = 0; o->values[k]; k++)
		for (size_t j = 0; j < k; j++)
			if (!strcmp(o->values[j], o->values[k]))
				find_wrong("%s %s has the value '%s' twice", t->what, o->name, o->values[k]);
	return true;
}

static void check_flags(const struct table *t, const struct ch_option *o)
{
	if (o->flags & ~FLAGS)
		find_wrong("%s %s has the flags 0x%x, which plugin interface %d.%d does not know", t->what, o->name, o->flags & ~FLAGS,
			CH_ABI_MAJOR, CH_ABI_MINOR);
	if ((o->flags & CH_O_RELOAD) && (o->flags & CH_O_RESTART))
		find_wrong("%s %s is both CH_O_RELOAD and CH_O_RESTART", t->what, o->name);
	else if ((o->flags & CH_O_RELOAD) && !t->plugin->reload)
		find_unwise("%s %s is CH_O_RELOAD, which means nothing as long as the plugin has no `reload`", t->what, o->name);
	if ((o->flags & CH_O_WATCH) && o->type != CH_T_PATH)
		find_wrong("%s %s is CH_O_WATCH and no path: there is no file to watch", t->what, o->name);
}

static void check_iface(const struct table *t, const struct ch_option *o)
{
	bool service = o->type == CH_T_SERVICE || o->type == CH_T_SERVICES;
	const char *slash = o->iface ? strchr(o->iface, '/') : NULL;

	if (!service && o->iface)
		find_unwise("%s %s has an interface, which means nothing for a %s", t->what, o->name, chi_value_type(o));
	if (service && (!slash || slash == o->iface || !slash[1] || slash[1 + strspn(slash + 1, "0123456789")]))
		find_wrong("%s %s is bound to a service and does not say which: .iface = \"inference/1\"", t->what, o->name);
}

/* The environment names: NAME:unit:deprecated. */
static void check_env(const struct table *t, const struct ch_option *o)
{
	const char *p = o->env ? o->env : "";
	struct chi_alias a;

	while (chi_option_alias(&p, &a)) {
		char text[64], why[768];
		struct chi_value v;
		struct ch_option bare = *o;

		for (size_t i = 0; i < a.name.n; i++) {
			char c = a.name.p[i];

			if ((c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_') {
				find_wrong("%s %s: '%.*s' can be no variable of the environment: capitals, digits and _", t->what, o->name,
					(int)a.name.n, a.name.p);
				break;
			}
		}
		bare.min = bare.max = NULL;
		snprintf(text, sizeof(text), "1%.*s", (int)(a.unit.n < 32 ? a.unit.n : 32), a.unit.n ? a.unit.p : "");
		if (a.unit.n && (!has_range(o) || !chi_value_read(&bare, text, &v, why, sizeof(why))))
			find_wrong("%s %s: '%.*s' is no unit of a %s", t->what, o->name, (int)a.unit.n, a.unit.p, chi_value_type(o));
	}
}

static void check_place(const struct table *t, size_t i, const struct ch_option *o)
{
	size_t size = chi_value_size(o);

	if (o->offset > t->conf_size || t->conf_size - o->offset < size) {
		find_wrong("%s %s takes the bytes %zu to %zu of a config struct of %zu: set .%s = sizeof(struct …), the one that CH_OPT names",
			t->what, o->name, o->offset, o->offset + size - 1, t->conf_size, t->size_name);
		return;
	}
	for (size_t k = 0; k < i; k++) {
		struct ch_option other = chi_option_at(t->t, k);
		size_t n = chi_value_size(&other);

		if (n && o->offset < other.offset + n && other.offset < o->offset + size)
			find_wrong("%s %s takes the same bytes of the config struct as %s: each option has a field of its own", t->what, o->name,
				other.name ? other.name : "the one before");
	}
}

static void check_option(const struct table *t, size_t i)
{
	struct ch_option o = chi_option_at(t->t, i);

	if (!is_snake(o.name, 63)) {
		find_wrong("%s %zu is called '%s': a name is lower snake case", t->what, i, o.name ? o.name : "");
		return;
	}
	if (!strcmp(o.name, "enabled") || !strcmp(o.name, "include"))
		find_wrong("%s %s: that key is the host's own: take another name", t->what, o.name);
	for (size_t k = 0; k < i; k++) {
		struct ch_option other = chi_option_at(t->t, k);

		if (other.name && !strcmp(other.name, o.name))
			find_wrong("two %ss are called %s: rows %zu and %zu", t->what, o.name, k, i);
	}
	if (!chi_value_size(&o)) {
		find_wrong("%s %s has the type %d, which there is not: enum ch_type goes from CH_T_STR (%d) to CH_T_SERVICES (%d)", t->what, o.name,
			o.type, CH_T_STR, CH_T_SERVICES);
		return;
	}
	check_place(t, i, &o);
	check_flags(t, &o);
	check_iface(t, &o);
	check_env(t, &o);
	if (check_words(t, &o) && check_range(t, &o))
		check_defaults(t, &o);
	if (!o.help || !*o.help)
		find_unwise("%s %s has no help: the manual page and chimeractl options show one sentence", t->what, o.name);
	else if (o.help[strlen(o.help) - 1] == '.')
		find_unwise("%s %s: its help ends with a stop, which the manual page puts itself", t->what, o.name);
}

/* ---- tables ---- */

void check_options(const struct ch_plugin *p)
{
	const struct table tables[] = {
		{ p, &p->options, "option", p->conf_size, "conf_size" },
		{ p, &p->row_options, "row option", p->row_conf_size, "row_conf_size" },
	};

	for (size_t k = 0; k < 2; k++)
		if (check_rows(k ? "row options" : "options", tables[k].t, sizeof(struct ch_option)))
			for (size_t i = 0; i < tables[k].t->n; i++)
				check_option(&tables[k], i);
}

bool find_str_option(const struct ch_plugin *p, const char *name, struct ch_option *out)
{
	for (size_t i = 0; i < p->options.n && p->options.rows; i++) {
		*out = chi_option_at(&p->options, i);
		if (out->name && !strcmp(out->name, name))
			return out->type == CH_T_STR;
	}
	return false;
}

void check_metrics(const struct ch_plugin *p)
{
	size_t n = p->name ? strlen(p->name) : 0;

	if (!check_rows("metrics", &p->metrics, sizeof(struct ch_metric)))
		return;
	for (size_t i = 0; i < p->metrics.n; i++) {
		static struct ch_metric rows[64]; /* the registry keeps their address */
		struct ch_metric *m = &rows[i % 64], other;
		char why[512];

		take_row(&p->metrics, i, m, sizeof(*m));
		if (!chi_metrics_family(m, why, sizeof(why)))
			find_wrong("metric %zu is refused: %s", i, why);
		if (!m->name)
			continue;
		for (size_t k = 0; k < i; k++) {
			take_row(&p->metrics, k, &other, sizeof(other));
			if (other.name && !strcmp(other.name, m->name))
				find_wrong("two metrics are called %s: rows %zu and %zu", m->name, k, i);
		}
		if (strncmp(m->name, p->name, n))
			find_unwise("metric %s does not begin with the plugin's name: another plugin could have one that is called so", m->name);
	}
}
