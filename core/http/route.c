/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/route.h"

#include "core/plugin/account.h"
#include "core/plugin/gen.h"

#include <chimera/kit/http1.h>
#include <stdio.h>
#include <stdlib.h>

/* A pattern with parts, cut at its slashes. */
struct seg {
	const char *p;
	size_t n;
	bool part;  /* {name}: p, n are the name */
	bool rest;  /* {name...} */
};

struct entry {
	struct chi_path path;
	char *text;
	size_t len;
	struct seg *segs; /* NULL: an exact path */
	size_t nsegs;
	size_t literal; /* bytes before the first part */
	struct entry *next; /* of the hash bucket */
};

struct chi_routes {
	struct entry **all; /* sorted: exact ones, then patterns by falling literal prefix, then text */
	size_t n, nexact;
	struct entry **buckets; /* exact ones */
	size_t nbuckets;
};

static const char *const methods[CHI_METHODS] = { "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "other" };

int chi_method_number(const char *name)
{
	for (int i = 0; i < CH_H1_OTHER; i++)
		if (!strcmp(methods[i], name))
			return i;
	return -1;
}

const char *chi_method_name(int number)
{
	return methods[number];
}

/*
 * FNV-1a. Paths of routes are the config's, so nobody outside can choose colliding ones; the chain that a client's path walks is bounded.
 */
static size_t hash(const char *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

struct chi_routes *chi_routes_new(void)
{
	return calloc(1, sizeof(struct chi_routes));
}

static void entry_free(struct entry *e)
{
	for (int i = 0; i < CHI_METHODS; i++)
		if (i != CH_H1_HEAD || e->path.methods[i] != e->path.methods[CH_H1_GET])
			free(e->path.methods[i]);
	free(e->text);
	free(e->segs);
	free(e);
}

void chi_routes_free(struct chi_routes *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		entry_free(r->all[i]);
	free(r->all);
	free(r->buckets);
	free(r);
}

static bool is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'z') && !(p[i] >= '0' && p[i] <= '9') && p[i] != '_')
			return false;
	return n > 0;
}

static bool cut(struct entry *e, const char **why)
{
	size_t parts = 0;
	e->nsegs = 0;
	e->segs = calloc(e->len + 1, sizeof *e->segs);
	if (!e->segs) {
		*why = "no memory";
		return false;
	}
	for (size_t at = 1; at <= e->len;) {
		const char *p = e->text + at, *end = memchr(p, '/', e->len - at);
		size_t n = end ? (size_t)(end - p) : e->len - at;
		struct seg s = { p, n, false, false };
		if (n && *p == '{') {
			if (p[n - 1] != '}') {
				*why = "a part must be a whole segment: /{name}/";
				return false;
			}
			s = (struct seg){ p + 1, n > 2 ? n - 2 : 0, true, false };
			if (s.n > 3 && !memcmp(s.p + s.n - 3, "...", 3)) {
				s.rest = true;
				s.n -= 3;
				if (end) {
					*why = "{name...} must be the last part";
					return false;
				}
			}
			if (!is_name(s.p, s.n)) {
				*why = "a part's name has letters, digits and _: /{name}/";
				return false;
			}
			if (!parts++)
				e->literal = at;
			if (parts > CHI_PARAMS) {
				*why = "a pattern may have 8 parts";
				return false;
			}
		} else if (memchr(p, '{', n) || memchr(p, '}', n)) {
			*why = "a part must be a whole segment: /{name}/";
			return false;
		}
		e->segs[e->nsegs++] = s;
		at += n + 1;
	}
	if (!parts) {
		free(e->segs);
		e->segs = NULL;
		e->literal = e->len;
	}
	return true;
}

static int order(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (!x->segs != !y->segs)
		return x->segs ? 1 : -1;
	if (x->segs && x->literal != y->literal)
		return x->literal < y->literal ? 1 : -1;
	return strcmp(x->text, y->text);
}

static bool rehash(struct chi_routes *r)
{
	size_t want = 16;
	while (want < r->n * 2)
		want *= 2;
	struct entry **v = calloc(want, sizeof *v);
	if (!v)
		return false;
	free(r->buckets);
	r->buckets = v;
	r->nbuckets = want;
	r->nexact = 0;
	for (size_t i = 0; i < r->n; i++)
		if (!r->all[i]->segs) {
			r->nexact++;
			struct entry **at = &v[hash(r->all[i]->text, r->all[i]->len) & (want - 1)];
			r->all[i]->next = *at;
			*at = r->all[i];
		}
	return true;
}

/* Do both take the same paths, their parts only being named otherwise? Then who answered would be chance. */
static bool same_shape(const struct entry *x, const struct entry *y)
{
	if (!x->segs || !y->segs || x->nsegs != y->nsegs)
		return false;
	for (size_t i = 0; i < x->nsegs; i++) {
		const struct seg *a = &x->segs[i], *b = &y->segs[i];
		if (a->part != b->part || a->rest != b->rest || (!a->part && (a->n != b->n || memcmp(a->p, b->p, a->n))))
			return false;
	}
	return true;
}

static struct entry *entry_for(struct chi_routes *r, const char *pattern, const char **why, char *buf, size_t cap)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->all[i]->text, pattern))
			return r->all[i];
	struct entry *e = calloc(1, sizeof *e), **v = realloc(r->all, (r->n + 1) * sizeof *v);
	if (v)
		r->all = v;
	if (!e || !v || !(e->text = strdup(pattern))) {
		*why = "no memory";
		free(e);
		return NULL;
	}
	e->len = strlen(pattern);
	e->path.pattern = e->text;
	if (!cut(e, why)) {
		entry_free(e);
		return NULL;
	}
	for (size_t i = 0; i < r->n; i++)
		if (same_shape(r->all[i], e)) {
			snprintf(buf, cap, "%s takes the same paths: give their parts the same names", r->all[i]->text);
			*why = buf;
			entry_free(e);
			return NULL;
		}
	r->all[r->n++] = e;
	qsort(r->all, r->n, sizeof *r->all, order);
	if (!rehash(r)) {
		*why = "no memory";
		return NULL;
	}
	return e;
}

static void write_allow(struct chi_path *p)
{
	size_t at = 0;
	for (int i = 0; i < CH_H1_CONNECT; i++)
		if (p->methods[i] || i == CH_H1_OPTIONS)
			at += (size_t)snprintf(p->allow + at, sizeof p->allow - at, "%s%s", at ? ", " : "", methods[i]);
}

const char *chi_routes_add(
	struct chi_routes *r, struct chi_inst *inst, const struct ch_route *def, const char *pattern, char *buf, size_t cap)
{
	const char *why = NULL;
	int method = def->method ? chi_method_number(def->method) : -1;
	if (method < 0 || method == CH_H1_CONNECT || method == CH_H1_TRACE) {
		snprintf(buf, cap, "its method %s is none of GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
			def->method ? def->method : "(none)");
		return buf;
	}
	if (!pattern || *pattern != '/')
		return "a pattern must begin with /";
	if (!def->fn)
		return "it has no handler";
	struct entry *e = entry_for(r, pattern, &why, buf, cap);
	if (!e)
		return why;
	struct chi_route *old = e->path.methods[method];
	if (old && !(method == CH_H1_HEAD && old == e->path.methods[CH_H1_GET])) {
		snprintf(buf, cap, "[%s] has %s %s already: change the path of one of them or switch one off", old->handler.inst->self.id,
			def->method, pattern);
		return buf;
	}
	struct chi_route *route = calloc(1, sizeof *route);
	if (!route)
		return "no memory";
	route->def = def;
	route->path = &e->path;
	route->max_body = def->max_body;
	route->handler = (struct chi_hook){ .fn = def->fn, .inst = inst, .phase = "content", .budget = def->budget_us };
	chi_account_init(&route->handler);
	e->path.methods[method] = route;
	if (method == CH_H1_GET && !e->path.methods[CH_H1_HEAD])
		e->path.methods[CH_H1_HEAD] = route;
	write_allow(&e->path);
	return NULL;
}

/* Does the path fit the pattern's segments? Fills the parts. */
static bool fits(const struct entry *e, const char *path, size_t n, struct chi_route_match *m)
{
	size_t at = 1, params = 0;
	for (size_t i = 0; i < e->nsegs; i++) {
		const struct seg *s = &e->segs[i];
		if (at > n)
			return false;
		const char *p = path + at, *end = memchr(p, '/', n - at);
		size_t len = s->rest || !end ? n - at : (size_t)(end - p);
		if (s->part ? !len : len != s->n || memcmp(p, s->p, len))
			return false;
		if (s->part) {
			m->params[params].name = s->p;
			m->params[params].name_len = s->n;
			m->params[params++].value = (struct ch_str){ p, len };
		}
		at += len + 1;
	}
	m->nparams = params;
	return at == n + 1;
}

void chi_routes_find(const struct chi_routes *r, const char *path, size_t n, struct chi_route_match *m)
{
	m->path = NULL;
	m->nparams = 0;
	if (r->nbuckets)
		for (struct entry *e = r->buckets[hash(path, n) & (r->nbuckets - 1)]; e; e = e->next)
			if (e->len == n && !memcmp(e->text, path, n)) {
				m->path = &e->path;
				return;
			}
	for (size_t i = r->nexact; i < r->n; i++) {
		struct entry *e = r->all[i];
		if (n >= e->literal && !memcmp(e->text, path, e->literal) && fits(e, path, n, m)) {
			m->path = &e->path;
			return;
		}
	}
}

size_t chi_routes_count(const struct chi_routes *r)
{
	return r->n;
}

const struct chi_path *chi_routes_at(const struct chi_routes *r, size_t i)
{
	return &r->all[i]->path;
}
