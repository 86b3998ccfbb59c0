/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/openapi.h"

#include <chimera/kit/http1.h>
#include <chimera/kit/json.h>
#include <ctype.h>
#include <stdlib.h>

#ifndef CHIMERA_VERSION
#define CHIMERA_VERSION "0"
#endif

static void pair(struct ch_jw *w, const char *key, const char *value)
{
	ch_jw_key(w, key);
	ch_jw_cstr(w, value);
}

/* A schema is the plugin's text. What is no valid JSON must not spoil the whole document: it becomes "anything". */
static void schema(struct ch_jw *w, const char *text)
{
	ch_jw_key(w, "schema");
	if (text && ch_json_valid(text, strlen(text), 0, 0, NULL, NULL)) {
		ch_jw_raw(w, text, strlen(text));
	} else {
		ch_jw_object(w);
		ch_jw_object_end(w);
	}
}

static void content(struct ch_jw *w, const char *type, const char *text)
{
	ch_jw_key(w, "content");
	ch_jw_object(w);
	ch_jw_key(w, type);
	ch_jw_object(w);
	schema(w, text);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
}

/* "/v1/files/{path...}" is "/v1/files/{path}" in OpenAPI. */
static void path_key(struct ch_jw *w, const char *pattern)
{
	char *copy = strdup(pattern), *dots = copy ? strstr(copy, "...}") : NULL;
	if (!copy) {
		w->failed = true;
		return;
	}
	if (dots)
		memmove(dots, dots + 3, strlen(dots + 3) + 1);
	ch_jw_key(w, copy);
	free(copy);
}

static bool repeatable(const struct chi_route *r, int method)
{
	return r->def->idempotent && method != CH_H1_GET && method != CH_H1_HEAD;
}

static void parameters(struct ch_jw *w, const struct chi_route *r, int method)
{
	const char *p = r->path->pattern;
	if (!strchr(p, '{') && !repeatable(r, method))
		return;
	ch_jw_key(w, "parameters");
	ch_jw_array(w);
	while ((p = strchr(p, '{'))) {
		size_t n = strcspn(++p, ".}");
		ch_jw_object(w);
		ch_jw_key(w, "name");
		ch_jw_string(w, p, n);
		pair(w, "in", "path");
		ch_jw_key(w, "required");
		ch_jw_bool(w, true);
		schema(w, "{\"type\":\"string\"}");
		ch_jw_object_end(w);
	}
	if (repeatable(r, method)) {
		ch_jw_object(w);
		pair(w, "name", "Idempotency-Key");
		pair(w, "in", "header");
		pair(w, "description", "Where the server has [idempotency]: requests with the same key and payload are answered once and repeated");
		schema(w, "{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}");
		ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
}

static void problem(struct ch_jw *w, const char *status)
{
	ch_jw_key(w, status);
	ch_jw_object(w);
	pair(w, "$ref", "#/components/responses/Problem");
	ch_jw_object_end(w);
}

/* "get_v1_ask": unique, since a method stands once a pattern. */
static void operation_id(struct ch_jw *w, int method, const char *pattern)
{
	char id[256];
	size_t n = 0;
	for (const char *p = chi_method_name(method); *p && n < 16; p++)
		id[n++] = (char)tolower((unsigned char)*p);
	for (const char *p = pattern; *p && n < sizeof id - 1; p++)
		if (*p != '{' && *p != '}')
			id[n++] = isalnum((unsigned char)*p) ? *p : '_';
	ch_jw_key(w, "operationId");
	ch_jw_string(w, id, n);
}

/* auth: some plugin asks who it is. */
static void operation(struct ch_jw *w, const struct chi_route *r, int method, bool auth)
{
	bool asked = auth && r->def->cls != CH_OPEN;
	static const char *const classes[] = { "public", "ops", "admin", "open" };
	char name[16] = "";
	for (size_t i = 0; chi_method_name(method)[i] && i < sizeof name - 1; i++)
		name[i] = (char)tolower((unsigned char)chi_method_name(method)[i]);
	ch_jw_key(w, name);
	ch_jw_object(w);
	operation_id(w, method, r->path->pattern);
	if (r->def->summary)
		pair(w, "summary", r->def->summary);
	ch_jw_key(w, "tags");
	ch_jw_array(w);
	ch_jw_cstr(w, r->handler.inst->self.id);
	ch_jw_array_end(w);
	pair(w, "x-chimera-class", classes[r->def->cls]);
	parameters(w, r, method);
	if (asked) {
		ch_jw_key(w, "security");
		ch_jw_raw(w, "[{\"key\":[]}]", 12);
	}
	if (r->def->body == CH_BODY_BUFFER) {
		ch_jw_key(w, "requestBody");
		ch_jw_object(w);
		ch_jw_key(w, "required");
		ch_jw_bool(w, true);
		content(w, "application/json", r->def->request_schema);
		ch_jw_object_end(w);
	}
	ch_jw_key(w, "responses");
	ch_jw_object(w);
	ch_jw_key(w, "200");
	ch_jw_object(w);
	pair(w, "description", "The answer");
	content(w, r->def->response_type ? r->def->response_type : "application/json", r->def->response_schema);
	ch_jw_object_end(w);
	if (asked)
		problem(w, "401");
	if (repeatable(r, method)) {
		problem(w, "409");
		problem(w, "422");
	}
	problem(w, "default");
	ch_jw_object_end(w);
	ch_jw_object_end(w);
}

static void components(struct ch_jw *w, bool auth)
{
	static const char problem[] = "{\"type\":\"object\",\"description\":\"RFC "
				      "9457\",\"required\":[\"type\",\"title\",\"status\",\"detail\",\"code\"],\"properties\":{"
				      "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":\"integer\"},"
				      "\"detail\":{\"type\":\"string\"},"
				      "\"code\":{\"type\":\"string\"},\"param\":{\"type\":\"string\"},\"req_id\":{\"type\":\"string\"}}}";
	ch_jw_key(w, "components");
	ch_jw_object(w);
	ch_jw_key(w, "responses");
	ch_jw_object(w);
	ch_jw_key(w, "Problem");
	ch_jw_object(w);
	pair(w, "description", "An error; `detail` says what to do");
	content(w, "application/problem+json", problem);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
	if (auth) {
		static const char schemes[] = "{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"An API key of this server\"}}";
		ch_jw_key(w, "securitySchemes");
		ch_jw_raw(w, schemes, sizeof schemes - 1);
	}
	ch_jw_object_end(w);
}

static bool shown(const struct chi_route *r, int method)
{
	return r && r->def->cls < CHI_ROUTE_CONTROL && chi_method_number(r->def->method) == method;
}

bool chi_openapi_make(struct chi_gen *g)
{
	bool auth = g->phases[CH_P_AUTH].n > 0;
	struct ch_jw w;
	ch_jw_init(&w, malloc(8192), 8192);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	pair(&w, "openapi", "3.1.0");
	ch_jw_key(&w, "info");
	ch_jw_object(&w);
	pair(&w, "title", "chimera");
	pair(&w, "version", CHIMERA_VERSION);
	pair(&w, "summary", "The routes that this server's config enables");
	ch_jw_object_end(&w);
	ch_jw_key(&w, "paths");
	ch_jw_object(&w);
	for (size_t k = 0; k < chi_routes_count(g->routes); k++) {
		const struct chi_path *p = chi_routes_at(g->routes, k);
		bool any = false;
		for (int m = 0; m < CHI_METHODS; m++) {
			if (!shown(p->methods[m], m))
				continue;
			if (!any) {
				path_key(&w, p->pattern);
				ch_jw_object(&w);
			}
			any = true;
			operation(&w, p->methods[m], m, auth);
		}
		if (any)
			ch_jw_object_end(&w);
	}
	ch_jw_object_end(&w);
	components(&w, auth);
	ch_jw_object_end(&w);
	g->openapi = w.buf;
	g->openapi_len = w.len;
	return !w.failed;
}

void chi_openapi_free(struct chi_gen *g)
{
	free(g->openapi);
	g->openapi = NULL;
}
