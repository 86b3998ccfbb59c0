/* SPDX-License-Identifier: Apache-2.0 */
/* fill.c - from settings to filled structs. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/conf/load.h"
#include <chimera/kit/near.h>
#include "core/conf/options.h"
#include "core/conf/text.h"
#include "core/conf/value.h"

/* ---- tables ---- */

/* A table's options in this daemon's struct. */
static const struct ch_option *copy_table(struct chi_mem *m, const struct ch_table *t)
{
	struct ch_option *o = chi_mem_alloc(m, (t->n + 1) * sizeof(*o));
	size_t i;

	for (i = 0; i < t->n; i++)
		o[i] = chi_option_at(t, i);
	return o;
}

/* Is an earlier option called the same, or do the two share bytes of the config struct? Options 0 to i - 1 are right in themselves. */
static bool clashes(const struct ch_option *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(v[k].name, v[i].name) ||
		    (v[k].offset < v[i].offset + chi_value_size(&v[i]) && v[i].offset < v[k].offset + chi_value_size(&v[k])))
			return true;
	return false;
}

bool chi_fill_describe(struct load *l, struct chi_sect *s)
{
	size_t conf_size = s->row ? s->desc->row_conf_size : s->desc->conf_size, i, size;
	const struct ch_table *t = s->row ? &s->desc->row_options : &s->desc->options;

	s->opts = copy_table(l->mem, t);
	s->nopts = t->n;
	for (i = 0; i < s->nopts; i++) {
		size = chi_value_size(&s->opts[i]);
		if (!s->opts[i].name || !size || s->opts[i].offset > conf_size || conf_size - s->opts[i].offset < size ||
		    (s->opts[i].type == CH_T_ENUM && (!s->opts[i].values || !s->opts[i].values[0])) ||
		    ((s->opts[i].flags & CH_O_WATCH) && s->opts[i].type != CH_T_PATH) || clashes(s->opts, i)) {
			chi_report_add(l->report, CHI_R_ERROR, s->place, s->line,
				"the plugin %s describes its option number %zu (%s) wrongly: ask `chimera-plugin check` what is wrong",
				s->plugin, i + 1, s->opts[i].name ? s->opts[i].name : "no name");
			s->opts = NULL;
			s->nopts = 0;
			return false;
		}
	}
	s->vals = chi_mem_alloc(l->mem, (s->nopts + 1) * sizeof(*s->vals));
	s->conf = chi_mem_alloc(l->mem, conf_size + 1);
	for (i = 0; i < s->nopts; i++) {
		s->vals[i].text = "";
		if (s->opts[i].type == CH_T_STR || s->opts[i].type == CH_T_PATH || s->opts[i].type == CH_T_DATA)
			memcpy((char *)s->conf + s->opts[i].offset, &s->vals[i].text, sizeof(const char *));
	}
	return true;
}

const struct ch_option *chi_fill_option(const struct chi_sect *s, const char *key)
{
	size_t i;

	for (i = 0; i < s->nopts; i++)
		if (!strcmp(s->opts[i].name, key))
			return &s->opts[i];
	return NULL;
}

/* ---- from what is written to what is meant ---- */

/* A text and the grammar that holds where it was written. */
struct written {
	const char *raw;
	const char *dir;                  /* of relative paths */
	const char *unit;                 /* of bare numbers, or NULL */
	bool quotes, vars, at;            /* "…", ${}, @ */
	bool is_path;                     /* out: the text came from a file named by @ */
	mode_t mode;                      /* out: of that file */
	const char *path;                 /* out: its path */
	struct chi_watched *file;         /* out: the same, watched */
};

static struct written as_written(const struct load *l, const struct chi_setting *set)
{
	bool in_file = set->origin == CHI_O_FILE;
	struct written w = { .raw = set->raw, .dir = in_file ? set->file->dir : l->main_dir, .unit = set->unit };

	w.quotes = w.vars = in_file;
	w.at = set->origin != CHI_O_ALIAS;
	return w;
}

static bool is_bare_number(const char *s)
{
	return *s && s[strspn(s, "0123456789.")] == '\0';
}

/* What the file behind an @ holds, less one final newline. */
static const char *read_at(struct load *l, struct written *w, const char *path, const char **why)
{
	const char *err;
	size_t n;
	char *p;

	w->path = chi_source_join(l, w->dir, path);
	w->file = *path ? chi_watch_look(l, w->path, false) : NULL;
	p = *path ? chi_source_slurp(l, w->path, CHI_SECRET_BYTES, false, &n, &w->mode, &err) : NULL;
	if (!p) {
		*why = !*path ? "has no path behind '@'; a value that begins with a plain '@' is written with '@@'"
			: chi_mem_print(&l->scratch,
				  "names the file %s, which cannot be read (%s); a value that begins with a plain '@' is written with '@@'",
				  w->path, err);
		return NULL;
	}
	if (w->file)
		chi_watch_content(w->file, p, n);
	if (memchr(p, '\0', n)) {
		*why = chi_mem_print(&l->scratch, "names the file %s, which holds a NUL byte: a value is text", w->path);
		return NULL;
	}
	if (n && p[n - 1] == '\n')
		p[n - 1] = '\0';
	return p;
}

/* The text of anything but a list. */
static const char *scalar(struct load *l, struct written *w, const char **why)
{
	const char *s = w->raw;

	if (w->quotes && *s == '"')
		s = chi_text_unquote(&l->scratch, s, strlen(s), why);
	if (s && w->at && *s == '@') {
		w->is_path = s[1] != '@';
		s++;
	}
	if (s && w->vars)
		s = chi_text_expand(&l->scratch, s, l->args->env, why);
	if (s && w->is_path)
		s = read_at(l, w, s, why);
	if (s && w->unit && is_bare_number(s))
		s = chi_mem_print(&l->scratch, "%s%s", s, w->unit);
	return s;
}

static bool list(struct load *l, struct written *w, struct ch_list *out, const char **why)
{
	const char *s = w->raw;

	if (!w->at || *s != '@')
		return chi_text_members(&l->scratch, s, w->vars, l->args->env, out, why);
	if (s[1] == '@')
		return chi_text_members(&l->scratch, s + 1, w->vars, l->args->env, out, why);
	s = scalar(l, w, why);
	return s && chi_text_members(&l->scratch, s, false, NULL, out, why);
}

const char *chi_fill_peek(struct load *l, const struct chi_setting *set, bool tell)
{
	struct written w = as_written(l, set);
	const char *why = "", *s = scalar(l, &w, &why);

	if (!s && tell)
		chi_load_problem(l, CHI_R_ERROR, set, set->raw, "%s", why);
	return s;
}

bool chi_fill_enabled(struct load *l, struct chi_sect *s)
{
	const struct chi_setting *set = chi_load_get(l, s, "enabled");
	const char *text = set ? chi_fill_peek(l, set, true) : "yes";
	int on = text ? chi_value_bool(text) : 0;

	if (on < 0)
		chi_load_problem(l, CHI_R_ERROR, set, text, "is neither yes nor no; write one of the two");
	return on > 0;
}

/* ---- one option ---- */

/* An option being filled: what is known about it, for storing and for messages. */
struct job {
	struct load *l;
	struct chi_sect *s;
	const struct ch_option *o;
	struct chi_val *val;
	const struct chi_setting *set;    /* NULL: the default */
	struct written w;
	struct chi_mem *mem;              /* of the texts that stay: the config's, or the secret one */
};

static void complain(const struct job *j, int level, const char *found, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void complain(const struct job *j, int level, const char *found, const char *fmt, ...)
{
	va_list ap;

	if (found && j->val->hidden)
		found = "***";
	va_start(ap, fmt);
	if (j->set)
		chi_report_vkey(j->l->report, level, j->set->place, j->set->line, j->s->name, j->o->name, found, fmt, ap);
	else
		chi_report_vkey(j->l->report, level, j->s->place, j->s->line, j->s->name, j->o->name, found, fmt, ap);
	va_end(ap);
}

static const char *keep(const struct job *j, const char *s)
{
	return chi_mem_dup(j->mem, s, strlen(s));
}

static void *field(const struct job *j)
{
	return (char *)j->s->conf + j->o->offset;
}

static bool is_off_word(const struct ch_option *o, const char *s)
{
	return (o->flags & CH_O_OFF) && (!strcmp(s, "off") || !strcmp(s, "none") || !strcmp(s, "unlimited"));
}

/* LIST and SERVICES. */
static bool store_list(const struct job *j, struct ch_list *in)
{
	struct ch_list out = { NULL, in->n };
	struct ch_str *v;
	size_t i;

	if (in->n == 1 && is_off_word(j->o, in->v[0].p))
		in->n = out.n = 0;
	if (j->o->type == CH_T_SERVICES) {
		for (i = 0; i < in->n; i++) {
			if (chi_ini_is_id(in->v[i].p, in->v[i].n) || (in->n == 1 && !strcmp(in->v[i].p, "*")))
				continue;
			complain(j, CHI_R_ERROR, in->v[i].p,
				"is no instance id; write ids (letters, digits, '_' and '-') by comma, or * alone for all");
			return false;
		}
	} else {
		v = chi_mem_alloc(j->l->mem, (in->n + 1) * sizeof(*v));
		for (i = 0; i < in->n; i++)
			v[i] = (struct ch_str){ chi_mem_dup(j->mem, in->v[i].p, in->v[i].n), in->v[i].n };
		out.v = v;
		memcpy(field(j), &out, sizeof(out));
	}
	j->val->text = keep(j, chi_text_join(&j->l->scratch, in));
	return true;
}

/* CH_O_WATCH: what the file that was named holds is part of the value. That it is not there may be fine: its plugin knows. */
static void watch(const struct job *j)
{
	struct chi_watched *w = chi_watch_look(j->l, j->val->text, j->val->hidden);

	if (w) {
		chi_watch_content(w, NULL, 0);
		j->val->content = w->content;
	} else {
		complain(j, CHI_R_WARNING, j->val->text,
			"is no regular file, so a change of it is not seen: name a regular file, or reload by hand after a change");
	}
}

/* STR, PATH, DATA, SERVICE. */
static bool store_text(const struct job *j, const char *s)
{
	if (j->o->type != CH_T_STR && is_off_word(j->o, s))
		s = "";
	if (j->o->type == CH_T_SERVICE) {
		if (*s && !chi_ini_is_id(s, strlen(s))) {
			complain(j, CHI_R_ERROR, s, "is no instance id; write one (letters, digits, '_' and '-'), or auto");
			return false;
		}
		j->val->text = keep(j, s);
		return true;
	}
	if (*s && j->o->type == CH_T_PATH)
		s = chi_source_join(j->l, j->w.dir, s);
	if (*s && j->o->type == CH_T_DATA)
		s = chi_source_join(j->l, j->l->state_dir, s);
	j->val->text = keep(j, s);
	memcpy(field(j), &j->val->text, sizeof(const char *));
	if (*s && (j->o->flags & CH_O_WATCH))
		watch(j);
	return true;
}

static void store_number(const struct job *j, const struct chi_value *v)
{
	int word = (int)v->i;

	switch (j->o->type) {
	case CH_T_BOOL:
		memcpy(field(j), &v->b, sizeof(v->b));
		break;
	case CH_T_ENUM:
		memcpy(field(j), &word, sizeof(word));
		break;
	case CH_T_RATE:
	case CH_T_SHARE:
	case CH_T_DOUBLE:
		memcpy(field(j), &v->d, sizeof(v->d));
		break;
	default:
		memcpy(field(j), &v->i, sizeof(v->i));
	}
}

/* Everything with a value of its own. What is wrong leaves the default, so that one mistake does not look like several. */
static bool store_value(const struct job *j, const char *s)
{
	struct chi_value v;
	char why[768];

	if (!chi_value_read(j->o, s, &v, why, sizeof(why))) {
		complain(j, CHI_R_ERROR, s, "%s%s", why, j->set ? "" : " (this is the plugin's own default: its table is wrong)");
		if (j->o->def && chi_value_read(j->o, j->o->def, &v, why, sizeof(why)))
			store_number(j, &v);
		return false;
	}
	j->val->text = keep(j, j->o->type == CH_T_ENUM ? j->o->values[v.i] : s);
	store_number(j, &v);
	return true;
}

/* The text of the zero that a struct holds where a table gives no default. */
static const char *zero(const struct ch_option *o)
{
	static const char *const words[CH_T_SERVICES + 1] = {
		[CH_T_INT] = "0", [CH_T_BOOL] = "no", [CH_T_DURATION] = "0s", [CH_T_SIZE] = "0", [CH_T_RATE] = "0/s", [CH_T_SHARE] = "0%",
		[CH_T_DOUBLE] = "0",
	};

	return o->type == CH_T_ENUM ? o->values[0] : words[o->type];
}

/* Where the secret would stand inside of an address, and there is none: "redis://127.0.0.1:6379/0", "host=db dbname=chimera". */
static bool bare_address(const char *text)
{
	return strstr(text, "://") ? !strchr(text, '@') : (strstr(text, "host=") || strstr(text, "dbname=")) && !strstr(text, "password");
}

/* What a careful operator wants to know about where a secret stands. */
static void warn_secret(const struct job *j)
{
	struct chi_file *f = j->set ? j->set->file : NULL;

	if (!j->set || !*j->val->text)
		return;
	if (j->w.is_path) {
		if (j->w.mode & S_IROTH)
			complain(j, CHI_R_WARNING, NULL,
				"is read from %s, which every user of this machine may read: take the right away (chmod o-r)", j->w.path);
	} else if (!(j->o->flags & CH_O_SECRET) || bare_address(j->val->text)) {
		return;
	} else if (j->set->origin == CHI_O_CLI) {
		complain(j, CHI_R_WARNING, NULL,
			"is a secret on the command line, which every user of this machine may read: use @/path or the environment");
	} else if (f && !f->warned && !chi_text_has_var(j->set->raw) && (f->mode & (S_IROTH | S_IWGRP | S_IWOTH))) {
		f->warned = true;
		complain(j, CHI_R_WARNING, NULL,
			"is a secret in a file that %s: take the right away (chmod %s), or use @/path or ${VARIABLE}",
			f->mode & S_IROTH ? "every user of this machine may read" : "others than its owner may write",
			f->mode & S_IROTH ? "o-r" : "go-w");
	}
}

static void fill_option(struct load *l, struct chi_sect *s, size_t i)
{
	const struct ch_option *o = &s->opts[i];
	struct job j = { .l = l, .s = s, .o = o, .val = &s->vals[i], .set = chi_load_get(l, s, o->name), .mem = l->mem };
	bool is_list = o->type == CH_T_LIST || o->type == CH_T_SERVICES, is_value, ok;
	const char *def = l->profile && o->dev_def ? o->dev_def : o->def, *text = NULL, *why = "";
	struct ch_list members;
	char variable[256];

	if (j.set) {
		j.w = as_written(l, j.set);
		j.val->origin = j.set->origin;
		j.val->place = chi_mem_dup(l->mem, j.set->place, strlen(j.set->place));
		j.val->line = j.set->line;
	} else {
		j.w = (struct written){ .raw = def ? def : "", .dir = l->main_dir, .vars = true };
		j.val->origin = l->profile && o->dev_def ? CHI_O_PROFILE : CHI_O_DEFAULT;
		j.val->place = l->profile && o->dev_def ? l->profile : "default";
	}
	is_value = !is_list && zero(o);
	j.val->hidden = o->flags & CH_O_SECRET;
	ok = is_list ? list(l, &j.w, &members, &why) : (text = scalar(l, &j.w, &why)) != NULL;
	j.val->hidden = j.val->hidden || j.w.is_path;
	j.val->at = j.w.file;
	if (j.val->hidden)
		j.mem = l->secret;
	if (!ok) {
		complain(&j, CHI_R_ERROR, j.w.raw, "%s", why);
		return;
	}
	if (is_list)
		ok = store_list(&j, &members);
	else if (is_value && !j.set && !def)
		j.val->text = o->flags & CH_O_REQUIRED ? "" : zero(o);
	else if (is_value)
		ok = store_value(&j, text);
	else
		ok = store_text(&j, text);
	if (ok && !j.val->hidden && !chi_ini_is_utf8(j.val->text, strlen(j.val->text))) {
		complain(&j, CHI_R_ERROR, NULL, "holds bytes that are not UTF-8");
		return;
	}
	if (ok && (o->flags & CH_O_REQUIRED) && !*j.val->text && o->type != CH_T_SERVICE && o->type != CH_T_SERVICES) {
		chi_option_variable(s->id, s->row, o->name, variable, sizeof(variable));
		complain(&j, CHI_R_ERROR, NULL, "is required and has no value: set it here, or by %s in the environment", variable);
	}
	if (ok && j.set && (o->flags & CH_O_DEPRECATED))
		complain(&j, CHI_R_WARNING, NULL, "is deprecated and will go away: %s", o->help ? o->help : "see the manual");
	if (ok)
		warn_secret(&j);
}

/* ---- a section ---- */

/* A key that no option has. */
static void unknown(struct load *l, const struct chi_sect *s, const struct chi_setting *set)
{
	struct ch_near near;
	size_t i;

	ch_near_init(&near, set->key);
	for (i = 0; i < s->nopts; i++)
		ch_near_offer(&near, s->opts[i].name);
	if (s->row && s->parent && chi_fill_option(s->parent, set->key))
		chi_load_problem(l, CHI_R_ERROR, set, NULL, "is a key of [%s], not of its rows: move it there", s->parent->name);
	else if (!strcmp(set->key, "include"))
		chi_load_problem(l, CHI_R_ERROR, set, NULL, "is a key of [server] only: move it there");
	else if (*near.best)
		chi_load_problem(l, CHI_R_ERROR, set, NULL, "there is no such key; did you mean \"%s\"?", near.best);
	else
		chi_load_problem(
			l, CHI_R_ERROR, set, NULL, "there is no such key; `chimeractl options %s` shows those there are", s->plugin);
}

void chi_fill(struct load *l, struct chi_sect *s)
{
	const struct chi_setting *set;
	size_t i;

	for (i = 0; i < s->nopts; i++) {
		fill_option(l, s, i);
		if (s == l->priv->server && !strcmp(s->opts[i].name, "state_dir"))
			l->state_dir = s->vals[i].text;
	}
	for (set = s->settings; set; set = set->next)
		if (!chi_fill_option(s, set->key) && (strcmp(set->key, "enabled") || s == l->priv->server || s == l->priv->log))
			unknown(l, s, set);
}
