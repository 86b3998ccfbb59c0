/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llama.c - a backend for models on one's own machines: "inference/1" over Ollama's native API, or over the server of llama.cpp, which
 * speaks OpenAI's protocol (`dialect`).
 *
 * Threads and ownership: struct llama is filled at start and only read after that; each call lives in its ctx, on the ctx's loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "llama.h"
#include "ollama.h"
#include "ollama_request.h"

static const char *const dialects[] = { "ollama", "openai", NULL };

static struct llama *of(const struct ch_svc *svc)
{
	return svc->self->state;
}

/* ---- the service ---- */

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket)
{
	const struct llama *l = of(svc);

	if (l->conf->dialect == LLAMA_OPENAI)
		return ch_openai_submit(&l->openai, svc, c, args, sink, out, ticket);
	return ollama_submit(l, svc, c, args, sink, out, ticket);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	const struct llama *l = of(svc);

	if (l->conf->dialect == LLAMA_OPENAI)
		ch_openai_go_on(&l->openai, c, out);
	else
		ollama_go_on(out);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	const struct llama *l = of(svc);

	if (l->conf->dialect == LLAMA_OPENAI)
		ch_openai_cancel(&l->openai, c, out);
	else
		ollama_cancel(out);
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	return &of(svc)->about;
}

/* ---- check ---- */

static bool ends_with(const char *text, size_t n, const char *end)
{
	size_t k = strlen(end);

	return n >= k && !memcmp(text + n - k, end, k);
}

/* What is configured, or the dialect's own; *n without slashes at the end. */
static const char *base_url(const struct llama_conf *conf, size_t *n)
{
	const char *url = conf->base_url[0] ? conf->base_url
		: conf->dialect == LLAMA_OLLAMA ? "http://127.0.0.1:11434" : "http://127.0.0.1:8080";

	*n = strlen(url);
	while (*n && url[*n - 1] == '/')
		--*n;
	return url;
}

static bool check_url(struct ch_self *self, const struct llama_conf *conf)
{
	size_t n;
	const char *url = base_url(conf, &n);

	if ((strncasecmp(url, "http://", 7) || n <= 7) && (strncasecmp(url, "https://", 8) || n <= 8))
		ch_config_error(self, NULL, "base_url", "\"%s\" is no address of a server: write it as http://127.0.0.1:11434", url);
	else if (url[strcspn(url, "?#@ \t\r\n")])
		ch_config_error(self, NULL, "base_url",
			"it holds one of ? # @ or a blank: write scheme, host, port and path alone, and a key as api_key");
	else if (conf->dialect == LLAMA_OLLAMA && (ends_with(url, n, "/v1") || ends_with(url, n, "/api")))
		ch_config_error(self, NULL, "base_url",
			"\"%s\" goes too far: leave /v1 or /api out, or set dialect = openai for OpenAI's protocol", url);
	else
		return true;
	return false;
}

/* It becomes a header field. */
static bool check_key(struct ch_self *self, const struct llama_conf *conf)
{
	const struct ch_list *extra = &conf->backend.extra_headers;
	bool ok = true;

	for (const char *p = conf->api_key; *p && ok; p++)
		ok = (unsigned char)*p > 0x20 && *p != 0x7f;
	if (!ok)
		ch_config_error(
			self, NULL, "api_key", "it holds a blank or a control character, perhaps the end of a line: write the key alone");
	for (size_t i = 0; i < extra->n && conf->api_key[0]; i++)
		if (!strncasecmp(extra->v[i].p, "Authorization:", 14)) {
			ch_config_error(self, NULL, "extra_headers", "Authorization is made of api_key: set one of both");
			ok = false;
		}
	return ok;
}

/* What this instance is; others may ask before it starts. */
static void fill_about(struct llama *l, const struct llama_conf *conf)
{
	l->about = (struct ch_inference_about){
		.size = sizeof(l->about),
		.provider = dialects[conf->dialect],
		.ops = conf->dialect == LLAMA_OLLAMA ? OLLAMA_OPS : CH_OPENAI_OPS,
		.can = conf->dialect == LLAMA_OLLAMA ? OLLAMA_CAN : CH_OPENAI_CAN,
		.conf = &conf->backend,
	};
}

static int check(struct ch_self *self)
{
	const struct llama_conf *conf = self->conf;
	bool ok = ch_backend_check(self, &conf->backend);

	fill_about(self->state, conf);
	ok &= check_url(self, conf);
	ok &= check_key(self, conf);
	if (!ollama_keep_alive_ok(conf->keep_alive)) {
		ch_config_error(self, NULL, "keep_alive", "\"%s\" is no time: write it like 5m or 1h30m, 0 to unload at once, or forever",
			conf->keep_alive);
		ok = false;
	}
	if (conf->dialect == LLAMA_OPENAI && conf->num_ctx) {
		ch_config_error(
			self, NULL, "num_ctx", "it is for dialect = ollama; llama.cpp's server is told by its own option --ctx-size");
		ok = false;
	}
	if (conf->dialect == LLAMA_OPENAI && conf->keep_alive[0]) {
		ch_config_error(
			self, NULL, "keep_alive", "it is for dialect = ollama; llama.cpp's server keeps its model as long as it runs");
		ok = false;
	}
	return ok ? CH_OK : CH_ERROR;
}

/* ---- start ---- */

static bool make_base(struct llama *l)
{
	size_t n;
	const char *url = base_url(l->conf, &n), *v1 = l->conf->dialect == LLAMA_OPENAI && !ends_with(url, n, "/v1") ? "/v1" : "";

	return asprintf(&l->base, "%.*s%s", (int)n, url, v1) > 0 || (l->base = NULL, false);
}

static bool make_fields(struct llama *l)
{
	struct ch_http_field *f;
	size_t nextra;

	l->extra = ch_backend_fields(&l->conf->backend, &nextra);
	l->fields = calloc(nextra + 2, sizeof(*l->fields));
	if (!l->fields || (!l->extra && l->conf->backend.extra_headers.n))
		return false;
	f = l->fields;
	*f++ = (struct ch_http_field){ CH_STR("Content-Type"), CH_STR("application/json") };
	if (l->conf->api_key[0]) {
		size_t n = strlen(l->conf->api_key) + 7;

		l->authorization = ch_secret_alloc(n + 1);
		if (!l->authorization)
			return false;
		snprintf(l->authorization, n + 1, "Bearer %s", l->conf->api_key);
		*f++ = (struct ch_http_field){ CH_STR("Authorization"), { l->authorization, n } };
	}
	if (nextra)
		memcpy(f, l->extra, nextra * sizeof(*f));
	l->nfields = (size_t)(f - l->fields) + nextra;
	l->openai.fields = l->extra;
	l->openai.nfields = nextra;
	return true;
}

static void stop(struct ch_self *self)
{
	struct llama *l = self->state;

	if (l->authorization)
		ch_secret_free(l->authorization);
	free(l->fields);
	free(l->extra);
	free(l->base);
	*l = (struct llama){ 0 };
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct llama *l = self->state;

	(void)prev;
	l->conf = self->conf;
	if (!make_base(l) || !make_fields(l)) {
		ch_log(self, NULL, CH_ERR, "no memory is left to start with");
		stop(self);
		return CH_ERROR;
	}
	fill_about(l, l->conf);
	l->openai.size = sizeof(l->openai);
	l->openai.http = l->conf->http;
	l->openai.conf = &l->conf->backend;
	l->openai.base_url = l->base;
	l->openai.api_key = l->conf->api_key;
	l->openai.probe = "/health"; /* llama.cpp's server has it below /v1, too */
	l->openai.inject_usage = true;
	return CH_OK;
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct llama_conf, dialect, ENUM, .def = "ollama", .values = dialects,
		.help = "What the server speaks: ollama is Ollama's own API, openai that of llama.cpp's server"),
	CH_OPT(struct llama_conf, base_url, STR,
		.help = "Where the server is; empty: http://127.0.0.1:11434, with dialect = openai http://127.0.0.1:8080"),
	CH_OPT(struct llama_conf, api_key, STR, .flags = CH_O_SECRET, .help = "Sent as Authorization: Bearer; empty: none"),
	CH_OPT(struct llama_conf, http, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "http/1",
		.help = "Who makes the requests"),
	CH_OPT(struct llama_conf, num_ctx, INT, .def = "0", .min = "0", .max = "10000000",
		.help = "Ollama: the context in tokens that a model is loaded with; 0 is the model's own"),
	CH_OPT(struct llama_conf, keep_alive, STR,
		.help = "Ollama: how long a model stays loaded after a request, like 5m; 0 unloads at once, forever never; empty: the "
			"server's own"),
	CH_BACKEND_OPTIONS(struct llama_conf, backend, NULL, NULL),
};

static const struct ch_inference_v1 inference = {
	.size = sizeof(inference),
	.submit = submit,
	.go_on = go_on,
	.cancel = cancel,
	.about = about,
};

static const struct ch_provide provides[] = {
	{ .iface = "inference/1", .vt = &inference },
};

static const struct ch_plugin llama = {
	.size = sizeof(llama),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "llama",
	.version = "0.1",
	.summary = "A backend for Ollama and for llama.cpp's server",
	.conf_size = sizeof(struct llama_conf),
	.state_size = sizeof(struct llama),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
	.check = check,
	.start = start,
	.stop = stop,
};

CH_PLUGIN(llama, llama)
