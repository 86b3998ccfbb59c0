/* SPDX-License-Identifier: MIT */
/*
 * openai_request.c - what is sent to an OpenAI server. Where it goes and who we are come from the config, the path from a fixed table;
 * nothing that a client said is in the URL or the header.
 */
#include "openai_call.h"

enum { FIELDS_OF_OURS = 5 }; /* Authorization, Content-Type, Accept, traceparent, tracestate */

static const char *path_of(const struct openai_call *k)
{
	static const char *const paths[] = { "", "chat/completions", "completions", "embeddings", "", "models", "" };
	const char *path = k->args->op == CH_I_PROBE ? k->up->probe : k->args->openai ? k->args->openai->path : paths[k->args->op];

	return path[0] == '/' ? path + 1 : path;
}

static char *put(char *w, const char *p, size_t n)
{
	memcpy(w, p, n);
	return w + n;
}

/* base_url/path?query. False: no memory. */
static bool set_url(struct openai_call *k)
{
	const char *path = path_of(k), *query = k->up->query ? k->up->query : "";
	size_t base = strlen(k->up->base_url), n = strlen(path), q = strlen(query);
	char *url = ch_alloc(k->x.c, base + n + q + 2), *w = url;

	if (!url)
		return false;
	w = put(w, k->up->base_url, base);
	*w++ = '/';
	w = put(w, path, n);
	if (q) {
		*w++ = '?';
		w = put(w, query, q);
	}
	k->x.request.url = (struct ch_str){ url, (size_t)(w - url) };
	return true;
}

static void add(struct ch_http_field *fields, size_t *n, struct ch_str name, struct ch_str value)
{
	fields[(*n)++] = (struct ch_http_field){ name, value };
}

static void wipe(void *value)
{
	explicit_bzero(value, strlen(value));
}

/* False: no memory. */
static bool add_key(struct openai_call *k, struct ch_http_field *fields, size_t *n)
{
	size_t len = k->up->api_key ? strlen(k->up->api_key) : 0;
	char *value = len ? ch_alloc(k->x.c, 7 + len + 1) : NULL;

	if (!len)
		return true;
	if (!value || !ch_keep(k->x.c, wipe, value))
		return false;
	put(put(value, "Bearer ", 7), k->up->api_key, len);
	add(fields, n, (struct ch_str)CH_STR("Authorization"), (struct ch_str){ value, 7 + len });
	return true;
}

static bool set_fields(struct openai_call *k, bool post, bool stream)
{
	struct ch_http_field *fields = ch_alloc(k->x.c, (FIELDS_OF_OURS + k->up->nfields) * sizeof(*fields));
	size_t n = 0;

	if (!fields || !add_key(k, fields, &n))
		return false;
	if (post)
		add(fields, &n, (struct ch_str)CH_STR("Content-Type"), (struct ch_str)CH_STR("application/json"));
	add(fields, &n, (struct ch_str)CH_STR("Accept"),
		stream ? (struct ch_str)CH_STR("text/event-stream") : (struct ch_str)CH_STR("application/json"));
	n += ch_backend_trace(k->x.c, k->traceparent, fields + n);
	for (size_t i = 0; i < k->up->nfields; i++)
		fields[n++] = k->up->fields[i];
	k->x.request.fields = fields;
	k->x.request.nfields = n;
	return true;
}

bool openai_request(struct openai_call *k, const char *model)
{
	const struct ch_openai *o = k->args->openai;
	struct ch_http_args *r = &k->x.request;
	bool post = k->args->op != CH_I_MODELS && k->args->op != CH_I_PROBE, stream = k->events || (k->sink.delta && o && o->stream);
	bool inject = k->events && k->up->inject_usage && !(o && o->usage);

	k->hide_usage = k->events && o && !o->usage;
	r->size = sizeof(*r);
	r->method = post ? (struct ch_str)CH_STR("POST") : (struct ch_str)CH_STR("GET");
	if (post) {
		r->body = ch_openai_body(k->up, k->x.c, k->args, model, k->events, inject);
		if (!r->body.p && !(o && !o->body.n))
			return false;
	}
	ch_backend_timeouts(k->args, k->up->conf, stream, r);
	if (k->sink.delta)
		r->max_body = (uint64_t)k->up->conf->max_stream;
	k->x.first_ms = stream ? r->first_byte_timeout_ms : 0;
	return set_url(k) && set_fields(k, post, stream);
}
