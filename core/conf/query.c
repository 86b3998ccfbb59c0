/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - questions about a loaded config. */
#include <stdio.h>
#include <string.h>

#include "core/conf/load.h"

struct chi_conf_inst *chi_conf_find(const struct chi_conf *conf, const char *id)
{
	size_t i;

	for (i = 0; i < conf->ninsts; i++)
		if (!strcmp(conf->insts[i]->id, id))
			return conf->insts[i];
	return NULL;
}

/* The instance's section, or that of one of its rows. */
static const struct chi_sect *part(const struct chi_conf_inst *inst, const char *row)
{
	const struct chi_sect *s = inst->sect;

	if (!row)
		return s;
	for (s = s->rows; s; s = s->next)
		if (s->enabled && !strcmp(s->row, row))
			return s;
	return NULL;
}

static const struct chi_val *value(const struct chi_sect *s, const char *key)
{
	const struct ch_option *o = s ? chi_fill_option(s, key) : NULL;

	return o ? &s->vals[o - s->opts] : NULL;
}

const char *chi_conf_text(const struct chi_conf_inst *inst, const char *key)
{
	return chi_conf_row_text(inst, NULL, key);
}

const char *chi_conf_row_text(const struct chi_conf_inst *inst, const char *row, const char *key)
{
	const struct chi_val *v = value(part(inst, row), key);

	return v ? v->text : NULL;
}

bool chi_conf_where(const struct chi_conf_inst *inst, const char *row, const char *key, const char **file, int *line, const char **origin)
{
	const struct chi_sect *s = part(inst, row);
	const struct chi_val *v = key ? value(s, key) : NULL;
	bool in_file = v && v->origin == CHI_O_FILE;

	if (!s || (key && !v))
		return false;
	if (file)
		*file = in_file ? v->place : s->line ? s->place : NULL;
	if (line)
		*line = in_file ? v->line : s->line;
	if (origin)
		*origin = v ? (in_file ? "file" : v->place) : s->line ? "file" : s->place;
	return true;
}

void chi_conf_problem(
	const struct chi_conf_inst *inst, const char *row, const char *key, struct chi_report *r, int level, const char *fmt, va_list ap)
{
	const struct chi_sect *s = part(inst, row);
	const struct chi_val *v = key ? value(s, key) : NULL;

	if (!s)
		s = inst->sect;
	if (v && v->origin >= CHI_O_FILE)
		chi_report_vkey(r, level, v->place, v->line, s->name, key, v->hidden ? "***" : v->text, fmt, ap);
	else
		chi_report_vkey(r, level, s->place, s->line, s->name, key, v ? (v->hidden ? "***" : v->text) : NULL, fmt, ap);
}

/* FNV-1a, 64 bit, over texts and the NUL behind each. */
static uint64_t mix(uint64_t h, const char *s)
{
	do {
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	} while (*s++);
	return h;
}

static uint64_t mix_section(uint64_t h, const struct chi_sect *s)
{
	size_t i;

	h = mix(h, s->name);
	for (i = 0; i < s->nopts; i++) {
		h = mix(h, s->opts[i].name);
		h = mix(h, s->vals[i].hidden ? "***" : s->vals[i].text);
	}
	for (s = s->rows; s; s = s->next)
		if (s->enabled)
			h = mix_section(h, s);
	return h;
}

uint64_t chi_conf_hash(const struct chi_conf *conf)
{
	uint64_t h = mix_section(mix_section(0xcbf29ce484222325u, conf->priv->server), conf->priv->log);
	size_t i;

	for (i = 0; i < conf->ninsts; i++)
		h = mix_section(h, conf->insts[i]->sect);
	return h;
}
