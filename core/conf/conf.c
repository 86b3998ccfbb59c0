/* SPDX-License-Identifier: Apache-2.0 */
/* conf.c - a load from end to end, and questions about its result. */

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/load.h"
#include <chimera/kit/near.h>
#include "core/conf/text.h"
#include "core/conf/value.h"

/* ---- sections and settings ---- */

static int by_id_and_row(const void *x, const void *y)
{
	const struct chi_sect *a = x, *b = y;
	int d = strcmp(a->id, b->id);

	if (d || (!a->row && !b->row))
		return d;
	return !a->row ? -1 : !b->row ? 1 : strcmp(a->row, b->row);
}

static int by_sect_and_key(const void *x, const void *y)
{
	const struct chi_setting *a = x, *b = y;

	return a->sect != b->sect ? ((uintptr_t)a->sect < (uintptr_t)b->sect ? -1 : 1) : strcmp(a->key, b->key);
}

static struct chi_sect *find(struct load *l, const char *id, const char *row)
{
	struct chi_sect key = { .id = id, .row = row }, **node = tfind(&key, &l->sects, by_id_and_row);

	return node ? *node : NULL;
}

struct chi_sect *chi_load_by_id(struct load *l, const char *id, size_t n)
{
	return find(l, chi_mem_dup(&l->scratch, id, n), NULL);
}

/* A new section, in the tree but in no list. */
static struct chi_sect *make(struct load *l, const char *plugin, const char *id, const char *row, const char *place, int line)
{
	struct chi_sect *s = chi_mem_alloc(l->mem, sizeof(*s));
	bool same = !strcmp(plugin, id);

	s->plugin = plugin;
	s->id = id;
	s->row = row;
	s->name = chi_mem_print(l->mem, "%s%s%s%s%s", plugin, same ? "" : ":", same ? "" : id, row ? "." : "", row ? row : "");
	s->place = place;
	s->line = line;
	s->last_row = &s->rows;
	s->last_setting = &s->settings;
	if (!tsearch(s, &l->sects, by_id_and_row))
		longjmp(l->oom, 1);
	return s;
}

/* The instance of a name; *id is in the config's memory. */
static struct chi_sect *instance(struct load *l, const struct chi_ini_name *name, const char *place, int line)
{
	const char *plugin = chi_mem_dup(l->mem, name->plugin.p, name->plugin.n);
	const char *id = name->id.p ? chi_mem_dup(l->mem, name->id.p, name->id.n) : plugin;
	struct chi_sect *s = find(l, id, NULL);

	if (s && !strcmp(s->plugin, plugin)) {
		if (!s->place) { /* [server] and [log] are there before they are mentioned */
			s->place = place;
			s->line = line;
		}
		return s;
	}
	if (s && (s == l->priv->server || s == l->priv->log)) {
		chi_report_add(l->report, CHI_R_ERROR, place, line,
			"[%s:%s] has an id that is the daemon's own: give the instance another one", plugin, id);
	} else if (s) {
		chi_report_add(l->report, CHI_R_ERROR, place, line,
			"the id \"%s\" is taken by [%s] (%s:%d): ids are unique over all plugins, so give one of them another", id, s->name,
			s->place, s->line);
	} else if (!strcmp(id, "auto")) {
		chi_report_add(l->report, CHI_R_ERROR, place, line,
			"an instance cannot be called \"auto\": that word stands for any instance, so give it another id");
	} else {
		s = make(l, plugin, id, NULL, place, line);
		*l->last = s;
		l->last = &s->next;
		return s;
	}
	return NULL;
}

struct chi_sect *chi_load_sect(struct load *l, const struct chi_ini_name *name, const char *place, int line)
{
	struct chi_sect *s = instance(l, name, place, line), *row;
	const char *text;

	if (!s || !name->row.p)
		return s;
	if (s == l->priv->server || s == l->priv->log) {
		chi_report_add(l->report, CHI_R_ERROR, place, line, "[%s] has no rows: write the key into [%s] itself", s->name, s->name);
		return NULL;
	}
	text = chi_mem_dup(l->mem, name->row.p, name->row.n);
	row = find(l, s->id, text);
	if (!row) {
		row = make(l, s->plugin, s->id, text, place, line);
		row->parent = s;
		*s->last_row = row;
		s->last_row = &row->next;
	}
	return row;
}

struct chi_setting *chi_load_get(struct load *l, struct chi_sect *s, const char *key)
{
	struct chi_setting want = { .sect = s, .key = key }, **node = tfind(&want, &l->keys, by_sect_and_key);

	return node ? *node : NULL;
}

struct chi_setting *chi_load_put(
	struct load *l, struct chi_sect *s, const char *key, const char *raw, int origin, const char *place, int line)
{
	struct chi_setting *set = chi_load_get(l, s, key), old;

	if (set && set->origin > origin)
		return set;
	if (!set) {
		set = chi_mem_alloc(&l->scratch, sizeof(*set));
		set->sect = s;
		set->key = key;
		if (!tsearch(set, &l->keys, by_sect_and_key))
			longjmp(l->oom, 1);
		*s->last_setting = set;
		s->last_setting = &set->next;
	}
	old = *set;
	*set = (struct chi_setting){ .sect = s, .next = old.next, .key = old.key, .seen = old.seen };
	set->raw = raw;
	set->origin = origin;
	set->place = place;
	set->line = line;
	return set;
}

void chi_load_problem(struct load *l, int level, const struct chi_setting *s, const char *value, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	chi_report_vkey(l->report, level, s->place, s->line, s->sect->name, s->key, value, fmt, ap);
	va_end(ap);
}

/* ---- plugins ---- */

struct found {                            /* what find_plugin said about a name */
	const char *name;
	const struct ch_plugin *desc;
	const char *why;
};

static int by_found_name(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

/* The names that list_plugins tells: counted first, so that nothing is allocated under it. */
static void count_name(void *arg, const char *name)
{
	(void)name;
	++*(size_t *)arg;
}

struct names { char (*v)[72]; size_t n, cap; };

static void take_name(void *arg, const char *name)
{
	struct names *t = arg;

	if (t->n < t->cap && strlen(name) < sizeof(*t->v))
		strcpy(t->v[t->n++], name);
}

static void list_known(struct load *l)
{
	struct names t = { NULL, 0, 0 };
	size_t i;

	if (l->args->list_plugins) {
		l->args->list_plugins(l->args->arg, count_name, &t.cap);
		t.v = chi_mem_alloc(&l->scratch, (t.cap + 1) * sizeof(*t.v));
		l->args->list_plugins(l->args->arg, take_name, &t);
	}
	l->known = chi_mem_alloc(&l->scratch, (t.n + 1) * sizeof(*l->known));
	for (i = 0; i < t.n; i++)
		l->known[l->nknown++] = t.v[i];
}

/* The shape of a plugin's name: what has another one never reaches the loader, which makes a path of it. */
static bool is_plugin_name(const char *s)
{
	size_t n = strlen(s), i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (i && (s[i] == '_' || (s[i] >= '0' && s[i] <= '9')))))
			return false;
	return n >= 2 && n <= 31;
}

static const struct found *look_up(struct load *l, const char *name)
{
	struct found want = { .name = name }, *f, **node = tfind(&want, &l->found, by_found_name);
	char why[512] = "";

	if (node)
		return *node;
	f = chi_mem_alloc(&l->scratch, sizeof(*f));
	f->name = name;
	if (is_plugin_name(name) && l->args->find_plugin)
		f->desc = l->args->find_plugin(l->args->arg, name, why, sizeof(why));
	f->why = chi_mem_dup(&l->scratch, why, strlen(why));
	if (!tsearch(f, &l->found, by_found_name))
		longjmp(l->oom, 1);
	return f;
}

/* Sets s->desc, or tells why there is none. */
static bool find_plugin(struct load *l, struct chi_sect *s)
{
	const struct found *f = look_up(l, s->plugin);
	struct ch_near near;
	bool exists = false;
	size_t i;

	s->desc = f->desc;
	if (f->desc && f->desc->size < offsetof(struct ch_plugin, metrics)) {
		chi_report_add(l->report, CHI_R_ERROR, s->place, s->line,
			"the plugin %s has a descriptor that is too short: rebuild it against this version's headers", s->plugin);
		return false;
	}
	if (f->desc)
		return true;
	ch_near_init(&near, s->plugin);
	ch_near_offer(&near, "server");
	ch_near_offer(&near, "log");
	for (i = 0; i < l->nknown; i++) {
		ch_near_offer(&near, l->known[i]);
		exists = exists || !strcmp(l->known[i], s->plugin);
	}
	if (exists || (*f->why && !l->nknown && !*near.best))
		chi_report_add(
			l->report, CHI_R_ERROR, s->place, s->line, "[%s]: %s", s->name, *f->why ? f->why : "the plugin cannot be loaded");
	else if (*near.best)
		chi_report_add(l->report, CHI_R_ERROR, s->place, s->line, "[%s]: there is no plugin \"%s\" in %s; did you mean [%s]?",
			s->name, s->plugin, l->priv->conf.server->plugin_dir, near.best);
	else
		chi_report_add(l->report, CHI_R_ERROR, s->place, s->line,
			"[%s]: there is no plugin \"%s\" in %s, which plugin_dir names; `chimeractl options` shows those there are", s->name,
			s->plugin, l->priv->conf.server->plugin_dir);
	return false;
}

/* ---- the load ---- */

static void server_failed(void *arg, const char *key, const char *sentence)
{
	struct load *l = arg;
	const struct chi_setting *set = chi_load_get(l, l->priv->server, key);
	const struct ch_option *o = chi_fill_option(l->priv->server, key);
	const char *found = o ? l->priv->server->vals[o - l->priv->server->opts].text : NULL;

	if (set)
		chi_load_problem(l, CHI_R_ERROR, set, found, "%s", sentence);
	else
		chi_report_key(l->report, CHI_R_ERROR, l->priv->server->place, l->priv->server->line, "server", key, found, "%s", sentence);
}

/* The profile comes before everything: defaults depend on it. */
static void find_profile(struct load *l)
{
	struct chi_setting *set = chi_load_get(l, l->priv->server, "profile");
	const char *ci = chi_text_getenv(l->args->env, "CI", 2), *text;

	if (!set && ci && chi_value_bool(ci) == 1)
		set = chi_load_put(l, l->priv->server, "profile", "ci", CHI_O_ALIAS, "environment CI", 0);
	text = set ? chi_fill_peek(l, set, false) : NULL; /* what is wrong with it is told when it is filled */
	l->profile = !text ? NULL : !strcmp(text, "dev") ? "profile dev" : !strcmp(text, "ci") ? "profile ci" : NULL;
}

static void own_section(struct load *l, struct chi_sect *s, const struct ch_plugin *desc)
{
	s->enabled = true;
	s->desc = desc;
	chi_fill_describe(l, s);
	chi_env_apply(l, s);
	if (s == l->priv->server)
		find_profile(l);
	chi_fill(l, s);
}

static void prepare(struct load *l, struct chi_sect *s)
{
	const struct chi_setting *set;
	struct chi_sect *row;

	s->enabled = chi_fill_enabled(l, s);
	if (!s->enabled) {
		for (set = s->settings; set; set = set->next)
			if (set->origin == CHI_O_CLI && strcmp(set->key, "enabled"))
				chi_load_problem(l, CHI_R_WARNING, set, NULL,
					"is not used: this section is not enabled (-o %s.enabled=yes does)", s->name);
		return;
	}
	if (!find_plugin(l, s) || !chi_fill_describe(l, s)) {
		s->desc = NULL;
		return;
	}
	for (row = s->rows; row; row = row->next) {
		row->desc = s->desc;
		if (!s->desc->row_options.n)
			chi_report_add(l->report, CHI_R_ERROR, row->place, row->line,
				"[%s]: the plugin %s has no rows, so its keys belong into [%s]; a second instance is [%s:name]", row->name,
				s->plugin, s->name, s->plugin);
		else
			chi_fill_describe(l, row);
	}
	chi_env_apply(l, s);
}

static struct chi_conf_inst *finish(struct load *l, struct chi_sect *s)
{
	struct chi_conf_inst *inst = chi_mem_alloc(l->mem, sizeof(*inst));
	struct ch_row *rows;
	struct chi_sect *row;
	size_t n = 0;

	chi_fill(l, s);
	for (row = s->rows; row; row = row->next) {
		row->enabled = row->vals && chi_fill_enabled(l, row);
		if (row->enabled)
			chi_fill(l, row);
		n += row->enabled;
	}
	rows = chi_mem_alloc(l->mem, (n + 1) * sizeof(*rows));
	for (row = s->rows; row; row = row->next)
		if (row->enabled)
			rows[inst->nrows++] = (struct ch_row){ row->row, row->conf };
	inst->id = s->id;
	inst->plugin = s->desc;
	inst->conf = s->conf;
	inst->rows = rows;
	inst->file = s->place;
	inst->line = s->line;
	inst->sect = s;
	return inst;
}

static void instances(struct load *l)
{
	struct chi_conf *conf = &l->priv->conf;
	struct chi_sect *s;
	size_t n = 0;

	for (s = l->priv->first; s; s = s->next, n++)
		prepare(l, s);
	chi_env_leftovers(l);
	conf->insts = chi_mem_alloc(l->mem, (n + 1) * sizeof(*conf->insts));
	for (s = l->priv->first; s; s = s->next)
		if (s->desc)
			conf->insts[conf->ninsts++] = finish(l, s);
}

static void forget(struct chi_sect *s)
{
	for (; s; s = s->next) {
		s->settings = NULL;
		s->last_setting = &s->settings;
		forget(s->rows);
	}
}

static void run(struct load *l)
{
	struct chi_conf_priv *priv = l->priv;

	priv->server = make(l, "server", "server", NULL, NULL, 0);
	priv->log = make(l, "log", "log", NULL, NULL, 0);
	l->last = &priv->first;
	l->last_watched = &priv->watched;
	l->state_dir = "";
	chi_source_read(l);
	if (!l->main_dir)
		return; /* no file, so nothing else is worth saying */
	chi_env_overrides(l);
	chi_env_enabled(l);
	own_section(l, priv->server, &chi_server_section);
	own_section(l, priv->log, &chi_log_section);
	priv->conf.server = priv->server->conf;
	priv->conf.log = priv->log->conf;
	priv->conf.files = priv->files;
	priv->conf.nfiles = l->readings;
	priv->conf.priv = priv;
	chi_server_conf_check(priv->server->conf, server_failed, l);
	if (l->args->on_server)
		l->args->on_server(l->args->arg, priv->conf.server);
	list_known(l);
	instances(l);
	forget(priv->first);
	forget(priv->server);
	forget(priv->log);
}

static void keep_node(void *node)
{
	(void)node; /* its memory is not the tree's */
}

/* setjmp in a function without locals of its own: nothing to be clobbered. */
static bool run_unless_oom(struct load *l)
{
	if (setjmp(l->oom))
		return false;
	run(l);
	return true;
}

struct chi_conf *chi_conf_load(const struct chi_conf_args *args, struct chi_report *report)
{
	struct chi_report *own = report ? NULL : chi_report_new(); /* somebody has to count */
	struct load *l = calloc(1, sizeof(*l));
	struct chi_conf_priv *priv = calloc(1, sizeof(*priv));
	struct chi_conf *conf = NULL;
	size_t before = chi_report_errors(report);
	bool ok = false;

	if (l && priv && (report || own)) {
		l->args = args;
		l->report = report ? report : own;
		l->priv = priv;
		priv->owners = 1;
		l->mem = &priv->mem;
		l->secret = &priv->secret;
		l->secret->secret = l->scratch.secret = true;
		l->mem->oom = l->secret->oom = l->scratch.oom = &l->oom;
		ok = run_unless_oom(l);
		globfree(&l->glob);
		tdestroy(l->sects, keep_node);
		tdestroy(l->keys, keep_node);
		tdestroy(l->found, keep_node);
		tdestroy(l->watched, keep_node);
		chi_mem_free(&l->scratch);
		conf = ok && chi_report_errors(l->report) == before ? &priv->conf : NULL;
	}
	if (!ok)
		chi_report_add(report, CHI_R_ERROR, args->file, 0, "there is not enough memory to load the config");
	if (!conf && priv) {
		chi_mem_free(&priv->mem);
		chi_mem_free(&priv->secret);
		free(priv);
	}
	free(l);
	chi_report_free(own);
	return conf;
}

void chi_conf_hold(struct chi_conf *conf)
{
	conf->priv->owners++;
}

void chi_conf_free(struct chi_conf *conf)
{
	struct chi_conf_priv *priv = conf ? conf->priv : NULL;

	if (!priv || --priv->owners)
		return;
	chi_mem_free(&priv->mem);
	chi_mem_free(&priv->secret);
	free(priv);
}
