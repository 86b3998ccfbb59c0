/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c - from a question to the places where it may go. In this order: the backend that the request names; the model's own row;
 * whoever lists the model; and, where no model is named, the default. docs/routing.md tells it to people.
 *
 * Threads and ownership: pure, on the ctx's loop; the table is read-only, the plan lies in the ctx's arena.
 */
#include <stdio.h>

#include <chimera/kit/near.h>

#include "table.h"

#define NAMES 3 /* at most so many near names */

/* What is being resolved. */
struct asking {
	const struct router *r;
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct router_plan *plan;
	struct ch_inference_result *out;
	const char *model;                /* args->model with its final NUL; "": none is named */
	struct ch_str name;               /* the same */
	const struct router_named *row;   /* the model's; NULL: it has none */
	bool named;                       /* the request names a backend */
};

/* ---- what this caller may use ---- */

bool router_may_ask(const struct ch_inference_args *args, const struct router_backend *b)
{
	return !args->only_backends.n || ch_listed(args->only_backends, (struct ch_str){ b->id, strlen(b->id) });
}

bool router_may_name(const struct ch_inference_args *args, struct ch_str model)
{
	return !args->only_models.n || ch_listed(args->only_models, model);
}

/* ---- refusals ---- */

static bool refuse(const struct asking *q, enum ch_code code, const char *detail)
{
	ch_backend_refuse(q->out, code, 0, detail);
	return false;
}

/* The nearest of the names offered, nearest first. */
struct nearest {
	const char *wanted, *names[NAMES];
	unsigned edits[NAMES], limit;
	size_t n;
};

static void offer_as(struct nearest *near, const char *name, unsigned edits)
{
	size_t at;

	if (edits > near->limit)
		return;
	for (at = 0; at < near->n; at++)
		if (!strcmp(near->names[at], name))
			return;
	for (at = near->n < NAMES ? near->n++ : NAMES; at > 0 && near->edits[at - 1] > edits; at--)
		if (at < NAMES) {
			near->names[at] = near->names[at - 1];
			near->edits[at] = near->edits[at - 1];
		}
	if (at < NAMES) {
		near->names[at] = name;
		near->edits[at] = edits;
	}
}

/* A pattern is nothing that one can ask for. */
static void offer(struct nearest *near, struct ch_str name)
{
	if (name.n && name.p[name.n - 1] != '*')
		offer_as(near, name.p, ch_near_edits(near->wanted, name.p));
}

/* "did you mean "a" or "b"?" in the arena; NULL: no memory. */
static const char *near_names(const struct asking *q, const struct nearest *near, const char *else_)
{
	const char *s = near->n ? "did you mean " : else_;

	for (size_t i = 0; s && i < near->n; i++) {
		bool last = i + 1 == near->n;

		s = ch_print(q->c, "%s%s\"%s\"%s", s, !i ? "" : last ? " or " : ", ", near->names[i], last ? "?" : "");
	}
	return s;
}

static void offer_model(const struct asking *q, struct nearest *near, struct ch_str name)
{
	if (router_may_name(q->args, name))
		offer(near, name);
}

static bool no_such_model(const struct asking *q)
{
	struct nearest near = { .wanted = q->model, .limit = (unsigned)q->name.n / 3 + 1 };
	const struct router_table *t = q->r->table;
	const char *names;

	for (size_t i = 0; i < q->r->nbackends; i++)
		for (size_t k = 0; k < t->served[i].n && router_may_ask(q->args, &q->r->backends[i]); k++)
			offer_model(q, &near, t->served[i].v[k].name);
	for (size_t i = 0; i < t->nrows; i++)
		if (t->rows[i].backends.n)
			offer_model(q, &near, t->rows[i].name);
	names = near_names(q, &near, "GET /v1/models lists those that there are.");
	return refuse(q, CH_E_MODEL_NOT_FOUND, names ? ch_print(q->c, "There is no model \"%s\" here; %s", q->model, names) : NULL);
}

/* What was asked for need not be text that can be shown. */
static bool no_such_backend(const struct asking *q, struct ch_str id, const char *where)
{
	char wanted[136];
	struct nearest near = { .wanted = wanted, .limit = (unsigned)id.n / 3 + 1 };
	const char *names, *all = "";

	if (!router_is_model(id))
		return refuse(q, CH_E_BAD_REQUEST, ch_print(q->c, "%s holds no backend's name: it has letters, digits, _ and -.", where));
	snprintf(wanted, sizeof(wanted), "%.*s", (int)id.n, id.p);
	for (size_t i = 0, shown = 0; i < q->r->nbackends && all; i++) {
		if (!router_may_ask(q->args, &q->r->backends[i]))
			continue;
		offer(&near, (struct ch_str){ q->r->backends[i].id, strlen(q->r->backends[i].id) });
		if (shown++ < 10)
			all = ch_print(q->c, "%s%s%s", all, *all ? ", " : "", q->r->backends[i].id);
	}
	all = all ? ch_print(q->c, "there are: %s.", all) : NULL;
	names = near_names(q, &near, all);
	if (names)
		names = ch_print(q->c, "%s names \"%s\", and there is no such backend; %s", where, wanted, names);
	return refuse(q, CH_E_BAD_REQUEST, names);
}

static bool may_not_name(const struct asking *q, const char *model)
{
	return refuse(q, CH_E_FORBIDDEN,
		ch_print(q->c, "This key may not use the model \"%s\": GET /v1/models lists those that it may use.", model));
}

/* ---- entries ---- */

static bool capable(const struct router_entry *e, const struct ch_inference_args *args)
{
	const struct ch_inference_about *about = e->backend->about;

	return (about->ops & 1u << args->op) && !(args->needs & ~about->can);
}

static bool same(const struct router_entry *a, const struct router_entry *b)
{
	return a->backend == b->backend && !strcmp(a->model, b->model);
}

static bool among(const struct router_entry *v, size_t n, const struct router_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (same(&v[i], e))
			return true;
	return false;
}

static void equal(const struct asking *q, struct router_backend *b, const char *model, const struct router_rule *rule)
{
	q->plan->equals[q->plan->nequals++] = (struct router_entry){ b, model, rule };
}

/* The row's entries; only: of that backend alone. */
static void by_row(const struct asking *q, const struct router_backend *only)
{
	const struct router_refs *refs = &q->row->backends;

	for (size_t i = 0; i < refs->n; i++)
		if (!only || refs->v[i].backend == only)
			equal(q, refs->v[i].backend, refs->v[i].model ? refs->v[i].model : q->model, refs->v[i].rule);
}

/*
 * Of the equals those stay that this caller may use. A model that it named it may use, whatever a row of the config makes of the name; a
 * default is no name of its own. False: none is left, and it is told.
 */
static bool keep_allowed(const struct asking *q)
{
	const struct ch_inference_args *args = q->args;
	const char *model = q->plan->equals[0].model;
	size_t n = 0;

	if (!args->only_models.n && !args->only_backends.n)
		return true;
	if (!q->name.n && !router_may_name(args, (struct ch_str){ model, strlen(model) }))
		return refuse(q, CH_E_FORBIDDEN, "This key may not use the model that is asked where none is named: name one in \"model\" "
			"(GET /v1/models lists those that it may use).");
	for (size_t i = 0; i < q->plan->nequals; i++)
		if (router_may_ask(args, q->plan->equals[i].backend))
			q->plan->equals[n++] = q->plan->equals[i];
	q->plan->nequals = n;
	return n || refuse(q, CH_E_FORBIDDEN, ch_print(q->c, "This key may use none of the backends that serve the model \"%s\": name another "
		"model, or use another key.", q->name.n ? q->model : model));
}

/* Of several equals those stay that can do what is asked; if none can, the first says what it lacks. */
static void keep_capable(const struct asking *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->plan->nequals; i++)
		if (capable(&q->plan->equals[i], q->args))
			q->plan->equals[n++] = q->plan->equals[i];
	if (n)
		q->plan->nequals = n;
}

/*
 * Vectors of one model mean nothing to another: embeddings fall back to another one only where the model's own row says so. A fallback that
 * cannot do what is asked is no fallback.
 */
static void add_fallback(const struct asking *q, const struct router_entry *ref)
{
	struct router_plan *p = q->plan;
	struct router_entry e = *ref;
	const struct router_listed *listed;

	if (!e.model && (listed = router_lists(q->r, e.backend, q->name))) {
		e.model = q->model;
		e.rule = listed->rule;
	} else if (!e.model) {
		e.rule = q->r->table->served[e.backend->index].standard;
		e.model = e.rule ? e.rule->name : NULL;
	}
	if (!e.model || !capable(&e, q->args) || among(p->equals, p->nequals, &e) || among(p->fallbacks, p->nfallbacks, &e))
		return;
	if (!router_may_ask(q->args, e.backend) || !router_may_name(q->args, (struct ch_str){ e.model, strlen(e.model) }))
		return;
	if (q->args->op == CH_I_EMBEDDINGS && !(q->row && q->row->own_fallback) && strcmp(e.model, q->model))
		return;
	p->fallbacks[p->nfallbacks++] = e;
}

/* ---- the rules ---- */

static const struct router_named *find_row(const struct router *r, struct ch_str model)
{
	const struct router_named *best = NULL;

	for (size_t i = 0; i < r->table->nrows; i++) {
		const struct router_named *row = &r->table->rows[i];

		if (!ch_model_matches(row->name, model))
			continue;
		if (row->name.p[row->name.n - 1] != '*')
			return row;
		if (!best || row->name.n > best->name.n)
			best = row;
	}
	return best;
}

/* 1: the request names a backend, and that one is asked or nobody. */
static bool by_request(const struct asking *q, struct ch_str id, const char *where)
{
	struct router_backend *b = router_backend_find(q->r, id);
	const struct router_listed *listed;
	const struct router_rule *rule;

	if (q->args->only_backends.n && !ch_listed(q->args->only_backends, id))
		return refuse(q, CH_E_FORBIDDEN, ch_print(q->c, "This key may not use the backend that %s names: leave %s out.", where, where));
	if (!b || !id.n)
		return no_such_backend(q, id, where);
	if (!q->name.n) {
		rule = q->r->table->served[b->index].standard;
		if (!rule)
			return refuse(q, CH_E_BAD_REQUEST,
				ch_print(q->c, "The backend \"%s\" has no default_model: name a model in \"model\".", b->id));
		equal(q, b, rule->name, rule);
		return true;
	}
	if (q->row)
		by_row(q, b);
	if (q->plan->nequals)
		return true;
	if (q->row && q->row->conf->backends.n)
		return refuse(q, CH_E_BAD_REQUEST,
			ch_print(q->c, "The model \"%s\" is not served by the backend \"%s\": leave %s out, or name another one.", q->model,
				b->id, where));
	listed = router_lists(q->r, b, q->name);
	if (!listed)
		return refuse(q, CH_E_MODEL_NOT_FOUND,
			ch_print(q->c, "The backend \"%s\" serves no model \"%s\": leave %s out, or name one of its models.", b->id,
				q->model, where));
	equal(q, b, q->model, listed->rule);
	return true;
}

/* 4: neither a backend nor a model is named. */
static bool by_default(const struct asking *q)
{
	const struct router_entry *standard = &q->r->table->standard;
	const struct router_rule *rule;

	if (!standard->backend)
		return refuse(q, CH_E_BAD_REQUEST,
			ch_print(q->c,
				"The request names no model, and no default is set: name one in \"model\" (GET /v1/models lists them), "
				"or have `default` set in [%s].",
				q->r->self->id));
	rule = standard->rule ? standard->rule : q->r->table->served[standard->backend->index].standard;
	equal(q, standard->backend, rule->name, rule);
	return true;
}

static bool choose(struct asking *q)
{
	const struct router_conf *conf = q->r->conf;
	struct ch_str id = q->args->backend;
	const char *where = "\"backend\"";

	if (id.n && !conf->allow_backend_member)
		return refuse(q, CH_E_BAD_REQUEST,
			"Requests may not choose a backend here (allow_backend_member = no): leave \"backend\" out.");
	if (!id.n) {
		id = ch_header(q->c, "X-Chimera-Backend");
		where = "X-Chimera-Backend";
		if (id.p && !conf->allow_backend_header)
			return refuse(q, CH_E_BAD_REQUEST,
				"Requests may not choose a backend by a header here (allow_backend_header = no): "
				"leave X-Chimera-Backend out.");
	}
	q->named = id.p;
	if (q->named)
		return by_request(q, id, where);
	if (!q->name.n)
		return by_default(q);
	if (q->row && q->row->backends.n)
		by_row(q, NULL);
	else
		q->plan->nequals = router_who_lists(q->r, q->name, q->model, q->plan->equals);
	return q->plan->nequals || no_such_model(q);
}

/* The row's rules, or the router's; and where to go when the equals fail. */
static void settle(struct asking *q)
{
	const struct router_conf *conf = q->r->conf;
	const struct router_row *row;
	const struct router_refs *fallback = &q->r->table->fallback;
	struct router_plan *p = q->plan;

	if (!q->name.n) {
		q->model = p->equals[0].model;
		q->name = (struct ch_str){ q->model, strlen(q->model) };
		q->row = find_row(q->r, q->name);
	}
	row = q->row ? q->row->conf : NULL;
	p->row = row;
	p->balance = row && row->balance ? row->balance - 1 : conf->balance;
	p->timeout_ms = row ? row->timeout : 0;
	p->budget_ms = row && row->budget ? row->budget : conf->budget;
	keep_capable(q);
	if (q->named)
		return;
	if (q->row && q->row->own_fallback)
		fallback = &q->row->fallback;
	for (size_t i = 0; i < fallback->n; i++)
		add_fallback(q, &fallback->v[i]);
}

bool router_resolve(const struct router *r, struct ch_ctx *c, const struct ch_inference_args *args, struct router_plan *plan,
                    struct ch_inference_result *out)
{
	struct asking q = { .r = r, .c = c, .args = args, .plan = plan, .out = out, .model = "", .name = args->model };
	size_t most = r->table->most;
	struct router_entry *room;

	if (args->op <= 0 || args->op > 31)
		return refuse(&q, CH_E_NOT_IMPLEMENTED, "The router knows no such kind of question.");
	if (q.name.n && !router_is_model(q.name))
		return refuse(&q, CH_E_BAD_REQUEST,
			"\"model\" is no model's name: it has up to 128 letters, digits and . _ : / @ + - in it.");
	room = ch_alloc(c, 2 * most * sizeof(*room) + q.name.n + 1);
	if (!room)
		return refuse(&q, CH_E_OVERLOADED, NULL);
	*plan = (struct router_plan){ .equals = room, .fallbacks = room + most };
	if (q.name.n) {
		q.model = memcpy(room + 2 * most, q.name.p, q.name.n);
		q.name.p = q.model;
		q.row = find_row(r, q.name);
	}
	if (q.name.n && !router_may_name(args, q.name))
		return may_not_name(&q, q.model);
	if (!choose(&q) || !keep_allowed(&q))
		return false;
	settle(&q);
	return true;
}
