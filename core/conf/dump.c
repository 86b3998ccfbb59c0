/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c - the effective config, as INI text or JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chimera/kit/json.h>

#include "core/conf/load.h"
#include "core/conf/text.h"

static bool is_list(const struct ch_option *o)
{
	return o->type == CH_T_LIST || o->type == CH_T_SERVICES;
}

/* What may be shown of a value: an empty secret is shown as empty, which tells that it is not set. */
static const char *shown(const struct chi_val *v)
{
	return v->hidden && *v->text ? "***" : v->text;
}

/* ---- INI ---- */

static void ini_section(struct chi_mem *m, const struct chi_sect *s, FILE *out)
{
	size_t i;

	fprintf(out, "\n[%s]\n", s->name);
	for (i = 0; i < s->nopts; i++) {
		const struct chi_val *v = &s->vals[i];
		const char *text = chi_text_written(m, shown(v), is_list(&s->opts[i]));
		/* what was included stands below already */
		bool done = !strcmp(s->opts[i].name, "include") && !strcmp(s->id, "server") && *text;

		if ((s->opts[i].flags & CH_O_DEPRECATED) && v->origin < CHI_O_FILE)
			continue;
		fprintf(out, "%s%s = %s%s; %s", done ? "; " : "", s->opts[i].name, text, *text ? " " : "", v->place);
		if (v->line)
			fprintf(out, ":%d", v->line);
		fputc('\n', out);
	}
	for (s = s->rows; s; s = s->next)
		if (s->enabled)
			ini_section(m, s, out);
}

static void ini(struct chi_mem *m, const struct chi_conf *conf, FILE *out)
{
	size_t i;

	fprintf(out, "; The effective configuration. Behind each value stands where it comes from; secrets are shown as ***.\n");
	ini_section(m, conf->priv->server, out);
	ini_section(m, conf->priv->log, out);
	for (i = 0; i < conf->ninsts; i++)
		ini_section(m, conf->insts[i]->sect, out);
}

/* ---- JSON ---- */

static void pair(struct ch_jw *w, const char *key, const char *value)
{
	ch_jw_key(w, key);
	ch_jw_cstr(w, value);
}

static void json_value(struct ch_jw *w, struct chi_mem *m, const struct ch_option *o, const struct chi_val *v)
{
	struct ch_list members;
	const char *why;
	size_t i;

	ch_jw_key(w, o->name);
	ch_jw_object(w);
	ch_jw_key(w, "value");
	if (is_list(o) && !v->hidden && chi_text_members(m, v->text, false, NULL, &members, &why)) {
		ch_jw_array(w);
		for (i = 0; i < members.n; i++)
			ch_jw_string(w, members.v[i].p, members.v[i].n);
		ch_jw_array_end(w);
	} else {
		ch_jw_cstr(w, shown(v));
	}
	pair(w, "origin", v->origin == CHI_O_FILE ? "file" : v->place);
	if (v->origin == CHI_O_FILE) {
		pair(w, "file", v->place);
		ch_jw_key(w, "line");
		ch_jw_int(w, v->line);
	}
	ch_jw_object_end(w);
}

static void json_options(struct ch_jw *w, struct chi_mem *m, const struct chi_sect *s)
{
	size_t i;

	ch_jw_object(w);
	for (i = 0; i < s->nopts; i++)
		json_value(w, m, &s->opts[i], &s->vals[i]);
	ch_jw_object_end(w);
}

static void json_instance(struct ch_jw *w, struct chi_mem *m, const struct chi_conf_inst *inst)
{
	const struct chi_sect *row;

	ch_jw_object(w);
	pair(w, "id", inst->id);
	pair(w, "plugin", inst->sect->plugin);
	ch_jw_key(w, "options");
	json_options(w, m, inst->sect);
	ch_jw_key(w, "rows");
	ch_jw_array(w);
	for (row = inst->sect->rows; row; row = row->next) {
		if (!row->enabled)
			continue;
		ch_jw_object(w);
		pair(w, "name", row->row);
		ch_jw_key(w, "options");
		json_options(w, m, row);
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

static void json(struct ch_jw *w, struct chi_mem *m, const struct chi_conf *conf)
{
	size_t i;

	ch_jw_object(w);
	ch_jw_key(w, "server");
	json_options(w, m, conf->priv->server);
	ch_jw_key(w, "log");
	json_options(w, m, conf->priv->log);
	ch_jw_key(w, "instances");
	ch_jw_array(w);
	for (i = 0; i < conf->ninsts; i++)
		json_instance(w, m, conf->insts[i]);
	ch_jw_array_end(w);
	ch_jw_object_end(w);
}

/* ---- both ---- */

struct dump {                             /* all that a jump out of it must find again */
	jmp_buf oom;
	struct chi_mem m;
	struct ch_jw w;
};

static bool dump(struct dump *d, const struct chi_conf *conf, FILE *out, bool as_json)
{
	if (setjmp(d->oom))
		return false;
	if (as_json)
		json(&d->w, &d->m, conf);
	else
		ini(&d->m, conf, out);
	return !d->w.failed;
}

void chi_conf_dump(const struct chi_conf *conf, FILE *out, bool as_json)
{
	struct dump d = { .w = { .grow = ch_jw_heap } };

	d.m.oom = &d.oom;
	if (!dump(&d, conf, out, as_json))
		fprintf(out, "%s\n", as_json ? "null" : "; the rest is missing: there is not enough memory");
	else if (as_json)
		fprintf(out, "%.*s\n", (int)d.w.len, d.w.buf);
	chi_mem_free(&d.m);
	free(d.w.buf);
}
