/* SPDX-License-Identifier: Apache-2.0 */
/* man.c - the generated part of chimera.ini(5), in man(7) macros. */
#include <stdio.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/options.h"
#include "core/conf/value.h"

/* Text for a line of its own or a part of one: backslashes, hyphens and what roff would take for a request or a quote. */
static void roff(const char *s, FILE *out)
{
	for (; s && *s; s++) {
		if (*s == '\\')
			fputs("\\e", out);
		else if (*s == '-')
			fputs("\\-", out);
		else if (*s == '"')
			fputs("\\(dq", out);
		else if (*s == '.' || *s == '\'')
			fprintf(out, "\\&%c", *s);
		else if (*s == '\n')
			fputc(' ', out);
		else
			fputc(*s, out);
	}
}

static void facts(const struct ch_option *o, FILE *out)
{
	char allowed[512];

	chi_value_allowed(o, allowed, sizeof(allowed));
	allowed[0] = (char)(allowed[0] >= 'a' && allowed[0] <= 'z' ? allowed[0] - 'a' + 'A' : allowed[0]);
	roff(allowed, out);
	fputs(".\n", out);
	if (o->def && *o->def) {
		fputs(".br\nDefault:\n.B ", out);
		roff(o->def, out);
		fputc('\n', out);
	}
	if (o->dev_def) {
		fputs(".br\nIn the profiles dev and ci:\n.B ", out);
		roff(*o->dev_def ? o->dev_def : "(empty)", out);
		fputc('\n', out);
	}
	if (o->iface) {
		fputs(".br\nThe instance provides\n.B ", out);
		roff(o->iface, out);
		fputc('\n', out);
	}
	if ((o->flags & CH_O_REQUIRED) && !(o->def && *o->def))
		fputs(".br\nRequired.\n", out);
	if (o->flags & CH_O_SECRET)
		fputs(".br\nA secret: never shown.\n", out);
	if (o->flags & CH_O_RELOAD)
		fputs(".br\nApplied on reload.\n", out);
	if (o->flags & CH_O_RESTART)
		fputs(".br\nA change takes a restart.\n", out);
	if (o->flags & CH_O_WATCH)
		fputs(".br\nThe file is watched: when it changes, the configuration is reloaded.\n", out);
	if (o->flags & CH_O_DEPRECATED)
		fputs(".br\nDeprecated.\n", out);
}

static void environment(const struct ch_option *o, const char *id, const char *row, FILE *out)
{
	const char *env = o->env ? o->env : "";
	char variable[256];
	struct chi_alias a;

	chi_option_variable(id, row, o->name, variable, sizeof(variable));
	fputs(".br\nEnvironment:\n.B ", out);
	roff(variable, out);
	while (chi_option_alias(&env, &a)) {
		fprintf(out, "\nor\n.B %.*s\n", (int)a.name.n, a.name.p);
		if (a.unit.n)
			fprintf(out, "(a bare number is in %.*s)", (int)a.unit.n, a.unit.p);
		if (a.deprecated)
			fputs(" (deprecated)", out);
	}
	fputc('\n', out);
}

static void table(const struct ch_table *t, const char *id, const char *row, FILE *out)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		struct ch_option o = chi_option_at(t, i);

		fputs(".TP\n.B ", out);
		roff(o.name, out);
		fputc('\n', out);
		if (o.help) {
			roff(o.help, out);
			fputs(".\n", out);
		}
		facts(&o, out);
		environment(&o, id, row, out);
	}
}

static void section(const struct ch_plugin *p, FILE *out)
{
	fputs(".SS [", out);
	roff(p->name, out);
	fputs("]\n", out);
	if (p->summary) {
		roff(p->summary, out);
		fputs(".\n", out);
	}
	table(&p->options, p->name, NULL, out);
	if (p->row_options.n) {
		fputs(".SS [", out);
		roff(p->name, out);
		fputs(".ROW]\n", out);
		table(&p->row_options, p->name, "ROW", out);
	}
}

void chi_conf_man(const struct ch_plugin *const *plugins, size_t n, FILE *out)
{
	size_t i;

	fputs(".\\\" Generated from the option tables: change those.\n.SH SECTIONS AND KEYS\n", out);
	section(&chi_server_section, out);
	section(&chi_log_section, out);
	for (i = 0; i < n; i++)
		section(plugins[i], out);
}
