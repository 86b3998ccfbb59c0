/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - reads the names of a router's config into tables, and says what is wrong with them.
 *
 * Threads and ownership: the boot thread alone. Texts point into the configs of the router, of its backends and of the registry, which live
 * as long as the instance.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/inspect.h>
#include <chimera/kit/near.h>

#include "table.h"

static const struct ch_backend_conf says_nothing = { .default_model = "", .weight = 1 };

/* Where a mistake stands: a key of [router], or of one of its rows. */
struct place { struct router *r; const char *row, *key; };

/* ---- small things ---- */

bool router_is_model(struct ch_str s)
{
	if (!s.n || s.n > 128)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && !(c && strchr("._:/@+-", c)))
			return false;
	}
	return true;
}

struct router_backend *router_backend_find(const struct router *r, struct ch_str id)
{
	for (size_t i = 0; i < r->nbackends; i++)
		if (!strncmp(r->backends[i].id, id.p, id.n) && !r->backends[i].id[id.n])
			return &r->backends[i];
	return NULL;
}

/* The rule of that name, made if it is not there: there is room for all. */
static struct router_rule *rule_of(struct router_backend *b, const char *name)
{
	for (size_t i = 0; i < b->nrules; i++)
		if (!strcmp(b->rules[i].name, name))
			return &b->rules[i];
	b->rules[b->nrules].name = name;
	return &b->rules[b->nrules++];
}

static void list(struct router_served *s, struct router_backend *b, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].rule->name, name))
			return;
	s->v[s->n] = (struct router_listed){ { name, strlen(name) }, false, rule_of(b, name) };
	s->v[s->n].pattern = s->v[s->n].name.n && name[s->v[s->n].name.n - 1] == '*';
	s->n++;
}

const struct router_listed *router_lists(const struct router *r, const struct router_backend *b, struct ch_str model)
{
	const struct router_served *s = &r->table->served[b->index];
	const struct router_listed *best = NULL;

	for (size_t i = 0; i < s->n; i++) {
		const struct router_listed *l = &s->v[i];

		if (!ch_model_matches(l->name, model))
			continue;
		if (!l->pattern)
			return l;
		if (!best || l->name.n > best->name.n)
			best = l;
	}
	return best;
}

size_t router_who_lists(const struct router *r, struct ch_str model, const char *as, struct router_entry *out)
{
	size_t n = 0, strength = 0;

	for (size_t i = 0; i < r->nbackends; i++) {
		const struct router_listed *l = router_lists(r, &r->backends[i], model);
		size_t is = !l ? 0 : l->pattern ? l->name.n : SIZE_MAX;

		if (!is || is < strength)
			continue;
		if (is > strength)
			n = 0;
		strength = is;
		out[n++] = (struct router_entry){ &r->backends[i], as, l->rule };
	}
	return n;
}

/* ---- "backend" and "backend/model" ---- */

static bool no_such_backend(const struct place *at, const char *text, size_t n)
{
	struct ch_near near;
	char id[136];

	snprintf(id, sizeof(id), "%.*s", (int)n, text);
	ch_near_init(&near, id);
	for (size_t i = 0; i < at->r->nbackends; i++)
		ch_near_offer(&near, at->r->backends[i].id);
	if (*near.best)
		ch_config_error(at->r->self, at->row, at->key, "there is no backend \"%s\"; did you mean \"%s\"?", id, near.best);
	else
		ch_config_error(at->r->self, at->row, at->key, "there is no backend \"%s\"; `backends` of [%s] says which there are", id,
			at->r->self->id);
	return false;
}

/* Reads one; a backend's id has no slash, a model may have many: the first decides. */
static bool read_ref(const struct place *at, struct ch_str text, struct router_entry *out)
{
	const char *slash = memchr(text.p, '/', text.n);
	size_t n = slash ? (size_t)(slash - text.p) : text.n;
	struct ch_str model = { slash ? slash + 1 : text.p, slash ? text.n - n - 1 : 0 };

	*out = (struct router_entry){ .backend = router_backend_find(at->r, (struct ch_str){ text.p, n }) };
	if (!out->backend)
		return no_such_backend(at, text.p, n);
	if (!slash)
		return true;
	if (!router_is_model(model)) {
		ch_config_error(at->r->self, at->row, at->key,
			"\"%s\": behind the first slash stands no model's name; write BACKEND or BACKEND/MODEL, "
			"with letters, digits and . _ : / @ + - in it",
			text.p);
		return false;
	}
	out->model = model.p;
	out->rule = rule_of(out->backend, model.p);
	return true;
}

static bool read_refs(const struct place *at, const struct ch_list *list_, struct router_refs *out)
{
	bool ok = true;

	out->v = calloc(list_->n + 1, sizeof(*out->v));
	for (size_t i = 0; out->v && i < list_->n; i++) {
		struct router_entry *ref = &out->v[out->n];

		if (read_ref(at, list_->v[i], ref))
			out->n++;
		else
			ok = false;
	}
	if (out->n > at->r->table->most)
		at->r->table->most = out->n;
	return ok && out->v;
}

/* A backend whose answers are made up may be asked by its name, but stands in for nobody in production. */
static bool may_stand_in(const struct place *at, const struct router_entry *ref)
{
	struct ch_server server = { .size = sizeof(server) };

	ch_server(&server);
	if (!ref->backend->about->made_up || !server.profile || !strcmp(server.profile, "dev") || !strcmp(server.profile, "ci"))
		return true;
	ch_config_error(at->r->self, at->row, at->key,
		"the answers of \"%s\" are made up, and in the profile prod they stand in for no model: name another backend, "
		"or set profile = dev in [server]",
		ref->backend->id);
	return false;
}

/* ---- [router] ---- */

static bool read_fallback(const struct place *at, const struct ch_list *from, struct router_refs *out)
{
	bool ok;

	if (from->n == 1 && !strcmp(from->v[0].p, "none"))
		return read_refs(at, &(struct ch_list){ NULL, 0 }, out);
	ok = read_refs(at, from, out);
	for (size_t i = 0; i < out->n; i++)
		ok &= may_stand_in(at, &out->v[i]);
	return ok;
}

/* Where a request without a model goes if no default says so: to the one backend that can stand in, if it is the only one. */
static void only_backend(struct router *r)
{
	struct ch_server server = { .size = sizeof(server) };
	struct router_backend *only = NULL;
	bool any;

	ch_server(&server);
	any = !server.profile || !strcmp(server.profile, "dev") || !strcmp(server.profile, "ci");
	for (size_t i = 0; i < r->nbackends; i++) {
		if (r->backends[i].about->made_up && !any)
			continue;
		if (only)
			return;
		only = &r->backends[i];
	}
	if (only && r->table->served[only->index].standard)
		r->table->standard.backend = only;
}

static bool read_default(struct router *r, bool started)
{
	const struct place at = { r, NULL, "default" };
	struct router_entry *ref = &r->table->standard;
	const struct router_backend *b;

	if (!*r->conf->def) {
		only_backend(r);
		return true;
	}
	if (!read_ref(&at, (struct ch_str){ r->conf->def, strlen(r->conf->def) }, ref) || !may_stand_in(&at, ref))
		return false;
	b = ref->backend;
	if (ref->model || (!started && b->conf == &says_nothing) || r->table->served[b->index].standard)
		return true;
	ch_config_error(r->self, NULL, "default", "\"%s\" has no default_model: write %s/MODEL here, or set default_model in its section",
		b->id, b->id);
	return false;
}

static bool who_lists(const struct router *r, struct ch_str name, struct router_refs *out)
{
	free(out->v);
	out->v = calloc(r->nbackends + 1, sizeof(*out->v));
	out->n = out->v ? router_who_lists(r, name, NULL, out->v) : 0;
	return out->v;
}

static bool read_row(struct router *r, const struct ch_row *row, struct router_named *out)
{
	struct place at = { r, row->name, NULL };
	const struct router_row *conf = row->conf;
	struct ch_str name = { row->name, strlen(row->name) }, stem = name;
	bool ok = true;

	*out = (struct router_named){ .name = name, .conf = conf, .own_fallback = conf->fallback.n > 0 };
	stem.n -= stem.n && stem.p[stem.n - 1] == '*';
	if (stem.n && !router_is_model(stem)) {
		ch_config_error(r->self, row->name, NULL,
			"\"%s\" is no model's name: it has up to 128 letters, digits and . _ : / @ + -, "
			"and may end with * for all that begin so",
			row->name);
		ok = false;
	}
	at.key = "backends";
	ok &= read_refs(&at, &conf->backends, &out->backends);
	if (!conf->backends.n && stem.n == name.n)
		ok &= who_lists(r, name, &out->backends);
	for (size_t i = 0; i < out->backends.n; i++)
		if (!out->backends.v[i].model)
			out->backends.v[i].rule = rule_of(out->backends.v[i].backend, row->name);
	at.key = "fallback";
	return read_fallback(&at, &conf->fallback, &out->fallback) && ok;
}

/* ---- backends ---- */

static const struct ch_svc *manifest(const struct router *r, size_t i, struct ch_manifest *m)
{
	const struct ch_svc *registry = r->conf->registry;

	*m = (struct ch_manifest){ .size = sizeof(*m) };
	return registry && ((const struct ch_models_v1 *)registry->vt)->at(registry, i, m) ? registry : NULL;
}

static void fill_backend(struct router *r, size_t i)
{
	static const struct ch_inference_about knows_nothing = { .size = sizeof(knows_nothing) };
	const struct ch_svc *svc = r->conf->backends.v[i];
	struct router_backend *b = &r->backends[i];

	b->id = svc->id;
	b->svc = svc;
	b->vt = svc->vt;
	b->about = b->vt->about(svc);
	if (!b->about)
		b->about = &knows_nothing;
	b->conf = b->about->conf ? b->about->conf : &says_nothing;
	b->index = i;
}

/* Room for every name under which a question may come to it. */
static bool make_room(struct router *r, struct router_backend *b, size_t manifests)
{
	const struct router_row *row;
	size_t listed = b->conf->models.n + 1 + manifests, rules = listed + 1 + r->conf->fallback.n;

	for (size_t i = 0; i < r->self->nrows; i++) {
		row = r->self->rows[i].conf;
		rules += 1 + row->backends.n + row->fallback.n;
	}
	b->rules = calloc(rules, sizeof(*b->rules));
	r->table->served[b->index].v = calloc(listed, sizeof(*r->table->served[b->index].v));
	return b->rules && r->table->served[b->index].v;
}

static void list_models(struct router *r, struct router_backend *b)
{
	struct router_served *s = &r->table->served[b->index];
	struct ch_manifest m;

	for (size_t i = 0; i < b->conf->models.n; i++)
		list(s, b, b->conf->models.v[i].p);
	if (*b->conf->default_model) {
		list(s, b, b->conf->default_model);
		s->standard = rule_of(b, b->conf->default_model);
	}
	s->named = s->n;
	for (size_t i = 0; manifest(r, i, &m); i++)
		if (!strcmp(m.backend, b->id))
			list(s, b, m.name);
}

/* A model's price stands in its own row, else in the longest pattern that it matches. */
static void price(const struct router *r, struct router_rule *rule, const char *as)
{
	const struct router_row *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < r->table->nrows; i++) {
		const struct router_named *row = &r->table->rows[i];
		bool exact = !strcmp(row->name.p, as);

		if (!exact && (!ch_model_matches(row->name, (struct ch_str){ as, strlen(as) }) || (best && row->name.n < longest)))
			continue;
		best = row->conf;
		longest = exact ? SIZE_MAX : row->name.n;
	}
	if (!best)
		return;
	rule->price_in = best->price_in;
	rule->price_out = best->price_out;
}

/* What really answers is what costs: "backend/model" in a row has its own model's price, and the row's only if there is none. */
static void price_all(struct router *r)
{
	for (size_t i = 0; i < r->nbackends; i++)
		for (size_t k = 0; k < r->backends[i].nrules; k++)
			price(r, &r->backends[i].rules[k], r->backends[i].rules[k].name);
	for (size_t i = 0; i < r->table->nrows; i++)
		for (size_t k = 0; k < r->table->rows[i].backends.n; k++) {
			const struct router_entry *e = &r->table->rows[i].backends.v[k];
			struct router_rule *rule = &e->backend->rules[e->rule - e->backend->rules];

			if (rule->price_in <= 0 && rule->price_out <= 0)
				price(r, rule, r->table->rows[i].name.p);
		}
}

/* ---- the whole ---- */

static bool read_all(struct router *r, bool started)
{
	struct router_table *t = r->table;
	const struct place fallback = { r, NULL, "fallback" };
	bool ok = true;

	for (size_t i = 0; i < r->nbackends; i++)
		list_models(r, &r->backends[i]);
	ok &= read_default(r, started);
	ok &= read_fallback(&fallback, &r->conf->fallback, &t->fallback);
	for (size_t i = 0; i < r->self->nrows; i++, t->nrows++)
		ok &= read_row(r, &r->self->rows[i], &t->rows[i]);
	price_all(r);
	return ok;
}

bool router_table_make(struct router *r, bool started)
{
	struct router_table *t = r->table = calloc(1, sizeof(*t));
	struct ch_manifest m;
	size_t n = r->conf->backends.n, manifests = 0;
	bool room;

	while (manifest(r, manifests, &m))
		manifests++;
	r->backends = calloc(n + 1, sizeof(*r->backends));
	if (!t || !r->backends)
		return false;
	r->nbackends = n;
	t->most = n;
	t->served = calloc(n + 1, sizeof(*t->served));
	t->rows = calloc(r->self->nrows + 1, sizeof(*t->rows));
	room = t->served && t->rows;
	for (size_t i = 0; i < n; i++) {
		fill_backend(r, i);
		room = room && make_room(r, &r->backends[i], manifests);
	}
	return room && read_all(r, started);
}

void router_table_free(struct router *r)
{
	struct router_table *t = r->table;

	for (size_t i = 0; i < r->nbackends; i++) {
		free(r->backends[i].rules);
		if (t && t->served)
			free(t->served[i].v);
	}
	if (t) {
		for (size_t i = 0; i < t->nrows; i++) {
			free(t->rows[i].backends.v);
			free(t->rows[i].fallback.v);
		}
		free(t->fallback.v);
		free(t->served);
		free(t->rows);
	}
	free(t);
	free(r->backends);
	r->table = NULL;
	r->backends = NULL;
	r->nbackends = 0;
}
