/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c - what handlers of ADMIN routes share: refusals, waiting, answers by an entity's table of fields, and the query. */
#include <stdlib.h>

#include "routes.h"

#define LIMIT 100
#define LIMIT_MAX 1000

/* ---- refusals ---- */

int id_refuse(struct ch_ctx *c, const struct id_result *r, const char *what, const char *id)
{
	struct ch_refusal refusal = { .size = sizeof(refusal), .code = CH_E_UNAVAILABLE, .retry_after_ms = RETRY_MS };

	switch (r->error) {
	case ID_NONE:
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no %s %.128s", what, id);
	case ID_EXISTS:
		return ch_refuse_param(c, CH_E_CONFLICT, "id", "there is a %s %.128s already", what, id);
	case ID_BAD:
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the database cannot hold a value: %.200s", r->detail);
	case ID_NO_OWNER:
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "owner", "%s: make the user first (`chimeractl users add`, POST /admin/users), or "
			"say that it is meant (--any-owner, \"any_owner\": true)", r->detail);
	case ID_BROKEN:
		refusal.detail = ch_print(c, "Nothing was done: %s", r->detail);
		return ch_refuse_as(c, &refusal);
	case ID_UNSURE:
		refusal.detail = ch_print(c, "Nobody knows whether it was done, look before you try again: %s", r->detail);
		return ch_refuse_as(c, &refusal);
	default:
		refusal.detail = ch_print(c, "The store of users, keys and tokens is away, nothing was done: %s", r->detail);
		return ch_refuse_as(c, &refusal);
	}
}

int id_route_no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, RETRY_MS, "There is no memory for this request now; try again later.");
}

/* ---- waiting ---- */

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_job *j = data;

	(void)result;
	if (why != CH_READY) {
		id_cancel(&j->r);
		return why == CH_GONE ? CH_DONE : ch_refuse(c, CH_E_UNAVAILABLE, RETRY_MS,
			"The store did not answer in time; try again later.");
	}
	return j->r.error ? id_refuse(c, &j->r, j->kind->what, j->id) : j->end(j);
}

/* NULL: refused. id: the route's {id}. */
struct id_job *id_route_begin(struct ch_self *self, struct ch_ctx *c, const struct id_kind *kind)
{
	struct ch_str id = ch_param(c, "id");
	struct id_job *j = ch_alloc(c, sizeof(*j));

	if (j)
		j->id = ch_dup(c, id.p, id.n);
	if (!j || !j->id) {
		id_route_no_memory(c);
		return NULL;
	}
	j->self = self;
	j->c = c;
	j->kind = kind;
	if (id.p && !id_is_name(id.p, id.n)) {
		ch_refuse(c, CH_E_NOT_FOUND, 0, "there is no such %s: an id is 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -",
			kind->what);
		return NULL;
	}
	return j;
}

/* False: refused. */
bool id_route_wait(struct id_job *j, int (*end)(struct id_job *))
{
	j->end = end;
	j->ticket = ch_suspend(j->c, 0, on_done, j);
	if (!j->ticket)
		id_route_no_memory(j->c);
	return j->ticket;
}

/* ---- answers ---- */

void id_route_wipe(void *data)
{
	struct ch_str *s = data;

	explicit_bzero((char *)(uintptr_t)s->p, s->n);
}

int id_route_answer(struct id_job *j, int status, const struct ch_jw *w)
{
	if (w->failed)
		return id_route_no_memory(j->c);
	return ch_respond(j->c, status, "application/json", w->buf, w->len);
}

int id_route_row(struct id_job *j, int status, const void *row)
{
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 1024);
	ch_jw_object(&w);
	id_write_json(&w, j->kind, row);
	ch_jw_object_end(&w);
	return id_route_answer(j, status, &w);
}

int id_route_got(struct id_job *j)
{
	return id_route_row(j, 200, j->r.rows);
}

int id_route_gone(struct id_job *j)
{
	return ch_respond(j->c, 204, NULL, NULL, 0);
}

/* {"data": […], "next": "the last id" or null} */
int id_route_listed(struct id_job *j)
{
	const char *last = NULL;
	struct ch_jw w;

	ch_jw_ctx(&w, j->c, 4096);
	ch_jw_object(&w);
	ch_jw_key(&w, "data");
	ch_jw_array(&w);
	for (size_t i = 0; i < j->r.n; i++) {
		const char *row = (const char *)j->r.rows + i * j->kind->size;

		ch_jw_object(&w);
		id_write_json(&w, j->kind, row);
		ch_jw_object_end(&w);
		last = *(const char *const *)(const void *)(row + j->kind->fields[0].offset);
	}
	ch_jw_array_end(&w);
	ch_jw_key(&w, "next");
	ch_jw_cstr(&w, (int64_t)j->r.n == j->limit ? last : NULL);
	ch_jw_object_end(&w);
	return id_route_answer(j, 200, &w);
}

/* ---- the query ---- */

static int hex(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

/* A member of the query, decoded; "" if it is not there. NULL: refused. */
const char *id_route_asked(struct ch_ctx *c, const char *name)
{
	struct ch_str q = ch_query(c);
	size_t n = strlen(name), k = 0;
	const char *p = q.p, *end = q.p + q.n, *stop = p;
	char *out;

	for (; p && p < end; p = stop + 1) {
		stop = memchr(p, '&', (size_t)(end - p));
		stop = stop ? stop : end;
		if ((size_t)(stop - p) > n && !memcmp(p, name, n) && p[n] == '=')
			break;
	}
	if (!p || p >= end)
		return "";
	out = ch_alloc(c, (size_t)(stop - p) + 1);
	if (!out) {
		id_route_no_memory(c);
		return NULL;
	}
	for (p += n + 1; p < stop; p++) {
		int high = *p == '%' && stop - p > 2 ? hex(p[1]) : -1, low = high >= 0 ? hex(p[2]) : -1;

		out[k++] = low >= 0 ? (char)(high << 4 | low) : *p;
		p += low >= 0 ? 2 : 0;
	}
	if (id_is_name(out, k))
		return out;
	ch_refuse_param(c, CH_E_BAD_REQUEST, name, "%s must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", name);
	return NULL;
}

/* False: refused. */
bool id_route_limit(struct id_job *j)
{
	const char *text = id_route_asked(j->c, "limit");
	char *end = NULL;

	j->limit = text && *text ? strtol(text, &end, 10) : LIMIT;
	if (text && (!end || (!*end && *text != '-')) && j->limit >= 1 && j->limit <= LIMIT_MAX)
		return true;
	if (text)
		ch_refuse_param(j->c, CH_E_BAD_REQUEST, "limit", "limit must be a number from 1 to %d", LIMIT_MAX);
	return false;
}
