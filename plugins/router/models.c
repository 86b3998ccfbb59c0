/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.c - CH_I_MODELS: one list of what all backends serve. Names of the config are there at once; a backend with a pattern is asked
 * for its own list, all at the same time, and what it reports counts as far as its patterns allow. A list is remembered for models_ttl; a
 * backend that fails or takes longer than models_timeout has its configured names alone, and is left in peace for a while.
 *
 * Threads and ownership: a call lies in its ctx's arena, on the ctx's loop; its outer ticket is resumed when the last inner one is told.
 * What is remembered is malloc'd, shared by all loops and copied under its lock.
 */
#include <stdlib.h>

#include "models.h"
#include "table.h"

#define MOST 2000 /* models believed of one backend */
#define PEACE_US 10000000 /* so long a backend that failed is not asked again, unless models_ttl is shorter */

/* A model as a backend reported it. */
struct reported {
	char id[129], owned_by[64];
	int64_t created, context;
};

struct remembered {
	struct reported *v;
	size_t n;
	int64_t until;                    /* ch_now; 0: never asked */
};

struct router_models {
	pthread_mutex_t lock;
	size_t n;
	struct remembered of[];           /* by backend->index */
};

/* One backend that is being asked. */
struct asked {
	struct models_call *call;
	struct router_backend *backend;
	struct ch_inference_args args;
	struct ch_inference_result out;
	ch_ticket ticket;
	bool running;
};

struct models_call {
	void *mark;                       /* NULL: how the router's cancel tells it from a question (call.c) */
	struct router *r;
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_result *out;
	ch_ticket outer;
	size_t left;                      /* that run */
	bool over;
	struct asked of[];                /* by backend->index */
};

/* ---- what is remembered ---- */

struct router_models *router_models_new(const struct router *r)
{
	struct router_models *m = calloc(1, sizeof(*m) + r->nbackends * sizeof(m->of[0]));

	if (!m)
		return NULL;
	m->n = r->nbackends;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void router_models_free(struct router_models *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		free(m->of[i].v);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* v: from malloc, the memory's own from now on. */
static void remember(struct router_models *m, size_t of, struct reported *v, size_t n, int64_t until)
{
	pthread_mutex_lock(&m->lock);
	struct reported *was = m->of[of].v;

	m->of[of] = (struct remembered){ v, n, until };
	pthread_mutex_unlock(&m->lock);
	free(was);
}

static bool is_old(struct router_models *m, size_t of)
{
	pthread_mutex_lock(&m->lock);
	bool old = m->of[of].until <= ch_now();

	pthread_mutex_unlock(&m->lock);
	return old;
}

static void copy(char *to, size_t cap, struct ch_str from)
{
	size_t n = from.n < cap ? from.n : cap - 1;

	if (n)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

/* Ollama's tag goes where the config names the model without it: it is the same one, and should be listed once. */
static struct ch_str known_as(const struct router *r, const struct router_backend *b, struct ch_str id)
{
	static const char tag[] = ":latest";
	struct ch_str stem = { id.p, id.n - (sizeof(tag) - 1) };
	const struct router_listed *is, *plain;

	if (id.n < sizeof(tag) || memcmp(id.p + stem.n, tag, sizeof(tag) - 1))
		return id;
	is = router_lists(r, b, id);
	plain = router_lists(r, b, stem);
	return plain && !plain->pattern && (!is || is->pattern) ? stem : id;
}

/* Whatever an upstream says: only names that can be asked for, and that its patterns let through. */
static void take(struct asked *a)
{
	const struct router *r = a->call->r;
	const struct ch_inference_result *out = &a->out;
	size_t most = out->nmodels < MOST ? out->nmodels : MOST, n = 0;
	struct reported *v = out->code ? NULL : calloc(most + 1, sizeof(*v));
	int64_t ttl = r->conf->models_ttl * 1000;

	if (!v) {
		remember(r->models, a->backend->index, NULL, 0, ch_now() + (ttl < PEACE_US ? ttl : PEACE_US));
		return;
	}
	for (size_t i = 0; i < out->nmodels && n < most; i++) {
		const struct ch_model *m = &out->models[i];

		if (!router_is_model(m->id))
			continue;
		struct ch_str id = known_as(r, a->backend, m->id);

		if (!router_lists(r, a->backend, id))
			continue;
		copy(v[n].id, sizeof(v[n].id), id);
		copy(v[n].owned_by, sizeof(v[n].owned_by), m->owned_by);
		v[n].created = m->created;
		v[n].context = m->context;
		n++;
	}
	remember(r->models, a->backend->index, v, n, ch_now() + ttl);
}

/* ---- the list ---- */

struct row { struct ch_model model; size_t order; };
struct rows { const struct ch_inference_args *args; struct row *v; size_t n, cap; }; /* args: what this caller may use */

/* Outside of the arena, as long as the ctx: lists of many backends may be larger than all of that. NULL: no memory. */
static void *room(struct ch_ctx *c, size_t n)
{
	struct ch_heap *h = ch_alloc(c, sizeof(*h));

	if (h)
		h->c = c;
	return h ? ch_heap_grow(h, NULL, 0, n) : NULL;
}

static void put(struct rows *l, struct ch_str id, struct ch_str owner, int64_t created, int64_t context)
{
	if (!router_may_name(l->args, id))
		return;
	if (l->n < l->cap)
		l->v[l->n] = (struct row){ { id, owner, created, context }, l->n };
	l->n++;
}

static struct ch_str text(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

/* What backends reported goes first: it knows more of a model than the config does. Under the lock; texts are still the memory's. */
static void put_reported(const struct router *r, struct rows *l)
{
	for (size_t i = 0; i < r->nbackends; i++)
		for (size_t k = 0; k < r->models->of[i].n && router_may_ask(l->args, &r->backends[i]); k++) {
			const struct reported *m = &r->models->of[i].v[k];

			put(l, text(m->id), text(*m->owned_by ? m->owned_by : r->backends[i].id), m->created, m->context);
		}
}

/* The first of them that this caller may use; NULL: none. */
static const struct router_backend *allowed(const struct rows *l, const struct router_entry *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (router_may_ask(l->args, v[i].backend))
			return v[i].backend;
	return NULL;
}

/* Those whose files are there. */
static void put_manifests(const struct router *r, struct ch_ctx *c, struct rows *l)
{
	const struct ch_svc *registry = r->conf->registry;
	struct ch_manifest m = { .size = sizeof(m) };
	struct router_entry *who = ch_alloc(c, (r->nbackends + 1) * sizeof(*who));
	const struct router_backend *b;

	for (size_t i = 0; registry && who && ((const struct ch_models_v1 *)registry->vt)->at(registry, i, &m); i++)
		if (m.bytes >= 0 && router_is_model(text(m.name)) &&
			(b = allowed(l, who, router_who_lists(r, text(m.name), m.name, who))))
			put(l, text(m.name), text(b->id), m.created, m.context);
}

static void put_configured(const struct router *r, struct rows *l)
{
	for (size_t i = 0; i < r->nbackends; i++)
		for (size_t k = 0; k < r->table->served[i].named && router_may_ask(l->args, &r->backends[i]); k++)
			if (!r->table->served[i].v[k].pattern)
				put(l, r->table->served[i].v[k].name, text(r->backends[i].id), 0, 0);
	for (size_t i = 0; i < r->table->nrows; i++) {
		const struct router_named *row = &r->table->rows[i];
		const struct router_backend *b = allowed(l, row->backends.v, row->backends.n);

		if (b && row->name.p[row->name.n - 1] != '*')
			put(l, row->name, text(b->id), 0, 0);
	}
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	size_t n = x->model.id.n < y->model.id.n ? x->model.id.n : y->model.id.n;
	int d = memcmp(x->model.id.p, y->model.id.p, n);

	if (!d)
		d = (x->model.id.n > y->model.id.n) - (x->model.id.n < y->model.id.n);
	return d ? d : (x->order > y->order) - (x->order < y->order);
}

/* Each once, by name; of several the first says whose it is, and what it does not know the next may. */
static bool settle(struct rows *l, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct ch_model *v = room(c, (l->n + 1) * sizeof(*v));
	size_t n = 0;

	if (!v)
		return false;
	qsort(l->v, l->n, sizeof(*l->v), compare);
	for (size_t i = 0; i < l->n; i++) {
		const struct ch_model *m = &l->v[i].model;

		if (!n || v[n - 1].id.n != m->id.n || memcmp(v[n - 1].id.p, m->id.p, m->id.n)) {
			v[n++] = *m;
			continue;
		}
		v[n - 1].created = v[n - 1].created ? v[n - 1].created : m->created;
		v[n - 1].context = v[n - 1].context ? v[n - 1].context : m->context;
	}
	out->models = v;
	out->nmodels = n;
	return true;
}

/* The memory's texts may go when the lock is let go: the ctx gets its own. */
static bool own(struct rows *l, size_t n, struct ch_ctx *c)
{
	size_t size = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		size += l->v[i].model.id.n + l->v[i].model.owned_by.n + 2;
	p = room(c, size + 1);
	for (size_t i = 0; p && i < n; i++) {
		l->v[i].model.id.p = strcpy(p, l->v[i].model.id.p);
		p += l->v[i].model.id.n + 1;
		l->v[i].model.owned_by.p = strcpy(p, l->v[i].model.owned_by.p);
		p += l->v[i].model.owned_by.n + 1;
	}
	return p;
}

static size_t count(const struct router *r, struct ch_ctx *c, const struct ch_inference_args *args)
{
	struct rows l = { .args = args };

	put_manifests(r, c, &l);
	put_configured(r, &l);
	return l.n;
}

static void merge(struct router *r, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out)
{
	struct rows l = { .args = args, .cap = count(r, c, args) };
	bool ok;

	pthread_mutex_lock(&r->models->lock);
	for (size_t i = 0; i < r->nbackends; i++)
		l.cap += r->models->of[i].n;
	l.v = room(c, (l.cap + 1) * sizeof(*l.v));
	if (l.v)
		put_reported(r, &l);
	ok = l.v && own(&l, l.n, c);
	pthread_mutex_unlock(&r->models->lock);
	if (ok) {
		put_manifests(r, c, &l);
		put_configured(r, &l);
		l.n = l.n < l.cap ? l.n : l.cap;
		ok = settle(&l, c, out);
	}
	if (!ok)
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
}

/* ---- asking ---- */

static void cancel_one(struct asked *a)
{
	a->running = false;
	a->backend->vt->cancel(a->backend->svc, a->call->c, &a->out);
}

static int on_list(struct ch_ctx *c, void *data, int why, void *result)
{
	struct asked *a = data;
	struct models_call *call = a->call;
	bool was = a->running;

	(void)result;
	a->running = false;
	if (why != CH_READY && was) {
		cancel_one(a);
		ch_backend_refuse(&a->out, CH_E_UPSTREAM_TIMEOUT, 0, "The backend did not list its models in time.");
	}
	if (call->over)
		return CH_AGAIN;
	if (why != CH_GONE)
		take(a);
	if (--call->left)
		return CH_AGAIN;
	call->over = true;
	merge(call->r, c, call->args, call->out);
	call->out->call = NULL;
	ch_resume(call->outer, NULL, NULL);
	return CH_AGAIN;
}

/* Is there something to learn from it? */
static bool worth_asking(const struct router *r, const struct router_backend *b)
{
	bool pattern = false;

	for (size_t i = 0; i < r->table->served[b->index].n; i++)
		pattern |= r->table->served[b->index].v[i].pattern;
	return pattern && (b->about->ops & 1u << CH_I_MODELS) && router_backend_usable(b, ch_now()) && is_old(r->models, b->index);
}

static void ask(struct asked *a)
{
	struct models_call *call = a->call;
	const struct router_backend *b = a->backend;
	int64_t timeout = call->r->conf->models_timeout;
	int rc;

	a->args = (struct ch_inference_args){ .size = sizeof(a->args), .op = CH_I_MODELS, .temperature = -1, .top_p = -1,
		.timeout_ms = timeout };
	a->out.size = sizeof(a->out);
	a->ticket = ch_suspend(call->c, timeout, on_list, a);
	if (!a->ticket)
		return;
	a->running = true;
	call->left++;
	rc = b->vt->submit(b->svc, call->c, &a->args, NULL, &a->out, a->ticket);
	if (rc == CH_AGAIN)
		return;
	ch_unsuspend(a->ticket);
	a->running = false;
	call->left--;
	if (rc != CH_OK)
		a->out.code = CH_E_UPSTREAM_ERROR;
	take(a);
}

int router_models(struct router *r, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out,
                  ch_ticket ticket)
{
	struct models_call *call = ch_alloc(c, sizeof(*call) + r->nbackends * sizeof(call->of[0]));

	if (!call)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	call->args = args;
	call->r = r;
	call->c = c;
	call->out = out;
	call->outer = ticket;
	for (size_t i = 0; i < r->nbackends; i++) {
		call->of[i].call = call;
		call->of[i].backend = &r->backends[i];
		if (router_may_ask(args, &r->backends[i]) && worth_asking(r, &r->backends[i]))
			ask(&call->of[i]);
	}
	if (call->left) {
		out->call = call;
		return CH_AGAIN;
	}
	merge(r, c, args, out);
	return CH_OK;
}

void router_models_cancel(struct router *r, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct models_call *call = out->call;

	(void)c;
	if (!call)
		return;
	call->over = true;
	out->call = NULL;
	for (size_t i = 0; i < r->nbackends; i++)
		if (call->of[i].running)
			cancel_one(&call->of[i]);
	ch_backend_refuse(out, CH_E_UPSTREAM_UNAVAILABLE, 0, "The call was given up.");
	ch_resume(call->outer, NULL, NULL);
}
