/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai.c - inference/1 from any server that speaks OpenAI's protocol: OpenAI, vLLM, llama.cpp, Ollama's /v1, Azure.
 *
 *     [openai]                              [openai:vllm]
 *     base_url = https://api.openai.com/v1  base_url = http://127.0.0.1:8000/v1
 *     api_key = ${OPENAI_API_KEY}           models = Qwen/Qwen3*
 *     models = gpt-*                        default_model = Qwen/Qwen3-32B
 *
 * The protocol is the kit's (chimera/backend.h); here are the options, and what is made of them once.
 *
 * Threads and ownership: what start makes is read-only until stop; a call lives on its ctx's loop, in its memory.
 */
#include <stdlib.h>
#include <strings.h>

#include "openai.h"

#define DEFAULT_MODEL "gpt-4o-mini"

static const char *const max_tokens_names[] = { "max_tokens", "max_completion_tokens", NULL };

/* ---- inference/1 ---- */

static struct openai_state *state_of(const struct ch_svc *svc)
{
	return svc->self->state;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket)
{
	const struct openai_conf *conf = svc->self->conf;

	return conf->caller_tokens.n ? openai_submit_for_caller(svc, c, args, sink, out, ticket)
		: ch_openai_submit(&state_of(svc)->up, svc, c, args, sink, out, ticket);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	ch_openai_go_on(&state_of(svc)->up, c, out);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	if (!openai_cancel_for_caller(svc, c, out))
		ch_openai_cancel(&state_of(svc)->up, c, out);
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	return &state_of(svc)->about;
}

static const struct ch_inference_v1 inference = { sizeof(inference), submit, go_on, cancel, about };

/* ---- config ---- */

static bool has_field(const struct ch_list *headers, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < headers->n; i++)
		if (headers->v[i].n > n && headers->v[i].p[n] == ':' && !strncasecmp(headers->v[i].p, name, n))
			return true;
	return false;
}

static bool check_url(struct ch_self *self, const char *url)
{
	size_t scheme = !strncasecmp(url, "https://", 8) ? 8 : !strncasecmp(url, "http://", 7) ? 7 : 0;
	size_t host = scheme ? strcspn(url + scheme, "/?#") : 0;

	if (!scheme || !host)
		ch_config_error(self, NULL, "base_url", "\"%s\" is no address of a server: write it as https://api.openai.com/v1", url);
	else if (memchr(url + scheme, '@', host))
		ch_config_error(self, NULL, "base_url", "it holds a name or a password before an @: put a key into api_key");
	else if (url[strcspn(url, "?#")])
		ch_config_error(self, NULL, "base_url", "\"%s\" has a ? or # in it: what belongs behind a ? goes into query", url);
	else
		return true;
	return false;
}

static bool check_plain(struct ch_self *self, const char *key, const char *value, bool show)
{
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p <= 0x20 || *p == 0x7f) {
			ch_config_error(self, NULL, key, "%s%s%sit holds a blank or a control character at byte %d: leave that out",
				show ? "\"" : "", show ? value : "", show ? "\": " : "", (int)(p - value) + 1);
			return false;
		}
	return true;
}

static bool is_listed(const struct ch_list *models, const char *model)
{
	for (size_t i = 0; i < models->n; i++)
		if (ch_model_matches(models->v[i], (struct ch_str){ model, strlen(model) }))
			return true;
	return false;
}

static int check(struct ch_self *self)
{
	const struct openai_conf *conf = self->conf;
	struct openai_state *s = self->state;
	bool ok = ch_backend_check(self, &conf->backend);

	s->conf = conf->backend;
	if (!strcmp(s->conf.default_model, DEFAULT_MODEL) && !is_listed(&s->conf.models, DEFAULT_MODEL))
		s->conf.default_model = "";
	/* A router asks for this in its own check. */
	s->about = (struct ch_inference_about){ .size = sizeof(s->about), .provider = "openai", .ops = CH_OPENAI_OPS, .can = CH_OPENAI_CAN,
		.conf = &s->conf };

	ok &= check_plain(self, "base_url", conf->base_url, false) && check_url(self, conf->base_url);
	ok &= check_plain(self, "query", conf->query, false);
	ok &= check_plain(self, "api_key", conf->api_key, false);
	ok &= check_plain(self, "organization", conf->organization, true);
	ok &= check_plain(self, "project", conf->project, true);
	ok &= check_plain(self, "probe", conf->probe, true);
	if (conf->query[0] == '?') {
		ch_config_error(self, NULL, "query", "leave out the ? in front: it is put there");
		ok = false;
	}
	if (conf->caller_tokens.n > 1) {
		ch_config_error(self, NULL, "caller_tokens", "there are %zu: name the one that keeps the callers' tokens", conf->caller_tokens.n);
		ok = false;
	}
	if (conf->caller_tokens_only && !conf->caller_tokens.n) {
		ch_config_error(self, NULL, "caller_tokens_only", "it needs caller_tokens: the instance that keeps the callers' tokens, [identity] as a rule");
		ok = false;
	}
	if (conf->caller_tokens.n && has_field(&conf->backend.extra_headers, "Authorization")) {
		ch_config_error(self, NULL, "extra_headers", "Authorization is made of the caller's token or of api_key: take it out");
		ok = false;
	}
	if (conf->api_key[0] && has_field(&conf->backend.extra_headers, "Authorization")) {
		ch_config_error(self, NULL, "extra_headers", "Authorization is made of api_key: set one of both");
		ok = false;
	}
	return ok ? CH_OK : CH_ERROR;
}

/* Would the key cross a network in the clear? */
static bool is_open_way(const char *url)
{
	const char *host = url + 7;
	size_t n;

	if (strncasecmp(url, "http://", 7))
		return false;
	n = strcspn(host, ":/");
	return strncmp(host, "127.", 4) && strncmp(host, "[::1]", 5) && (n != 9 || strncasecmp(host, "localhost", 9));
}

/* ---- life ---- */

static void add_field(struct openai_state *s, const char *name, const char *value)
{
	if (value[0])
		s->fields[s->up.nfields++] = (struct ch_http_field){ { name, strlen(name) }, { value, strlen(value) } };
}

/* The fields of each request: extra_headers, and two that OpenAI knows. False: no memory. */
static bool make_fields(struct openai_state *s, const struct openai_conf *conf)
{
	size_t n;
	struct ch_http_field *extra = ch_backend_fields(&conf->backend, &n);

	s->fields = calloc(n + 2, sizeof(*s->fields));
	if (s->fields && n)
		memcpy(s->fields, extra, n * sizeof(*extra));
	free(extra);
	if (!s->fields || n != conf->backend.extra_headers.n)
		return false;
	s->up.nfields = n;
	add_field(s, "OpenAI-Organization", conf->organization);
	add_field(s, "OpenAI-Project", conf->project);
	return true;
}

static void stop(struct ch_self *self)
{
	struct openai_state *s = self->state;

	free(s->fields);
	free(s->base_url);
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct openai_conf *conf = self->conf;
	struct openai_state *s = self->state;
	size_t n = strlen(conf->base_url);

	(void)prev;
	while (n && conf->base_url[n - 1] == '/')
		n--;
	s->base_url = strndup(conf->base_url, n);
	if (!s->base_url || !make_fields(s, conf)) {
		ch_log(self, NULL, CH_ERR, "no memory is left to start with");
		stop(self);
		return CH_ERROR;
	}
	s->up.size = sizeof(s->up);
	s->up.http = conf->http;
	s->up.conf = &s->conf;
	s->up.base_url = s->base_url;
	s->up.query = conf->query;
	s->up.api_key = conf->api_key;
	s->up.fields = s->fields;
	s->up.probe = conf->probe;
	s->up.inject_usage = conf->inject_usage;
	s->up.max_tokens = max_tokens_names[conf->max_tokens_as];
	s->provider = conf->caller_provider[0] ? conf->caller_provider : self->id;
	if (!conf->api_key[0] && !conf->backend.extra_headers.n && !strncasecmp(s->base_url, "https://api.openai.com", 22))
		ch_log(self, NULL, CH_WARN, "api_key is empty, and OpenAI answers nobody without one: set it to ${OPENAI_API_KEY}");
	if (conf->api_key[0] && is_open_way(s->base_url))
		ch_log(self, NULL, CH_WARN,
			"base_url is http, so api_key crosses the network in the clear: use https, if the server has it");
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct openai_conf, base_url, STR, .def = "https://api.openai.com/v1", .flags = CH_O_REQUIRED,
		.help = "Where the server's routes begin: what stands before /chat/completions"),
	CH_OPT(struct openai_conf, query, STR,
		.help = "What stands behind the ? of each URL: api-version=2024-10-21 of Azure's older form"),
	CH_OPT(struct openai_conf, api_key, STR, .flags = CH_O_SECRET, .help = "Sent as Authorization: Bearer; empty: none is sent"),
	CH_OPT(struct openai_conf, caller_tokens, SERVICES, .iface = "tokens/1",
		.help = "Who keeps the callers' own tokens, which take api_key's place; empty: nobody"),
	CH_OPT(struct openai_conf, caller_provider, STR, .help = "What this server is called among the tokens; empty: the id of this instance"),
	CH_OPT(struct openai_conf, caller_tokens_only, BOOL, .def = "no",
		.help = "Refuse a caller who has no token here; no: api_key is used for such a caller"),
	CH_OPT(struct openai_conf, organization, STR, .help = "Sent as OpenAI-Organization; empty: not sent"),
	CH_OPT(struct openai_conf, project, STR, .help = "Sent as OpenAI-Project; empty: not sent"),
	CH_OPT(struct openai_conf, probe, STR, .def = "/models",
		.help = "Asked for by GET, below base_url, to see whether the server lives"),
	CH_OPT(struct openai_conf, inject_usage, BOOL, .def = "yes",
		.help = "Ask for each stream's usage, and hide it from a client that did not ask; no: the server refuses stream_options"),
	CH_OPT(struct openai_conf, max_tokens_as, ENUM, .def = "max_tokens", .values = max_tokens_names,
		.help = "How the server calls max_tokens in a chat of /v1/ask's; OpenAI's models that reason want max_completion_tokens"),
	CH_OPT(struct openai_conf, http, SERVICE, .def = "auto", .flags = CH_O_REQUIRED, .iface = "http/1",
		.help = "Who speaks HTTP for it"),
	CH_BACKEND_OPTIONS(struct openai_conf, backend, "gpt-*, chatgpt-*, o1*, o3*, o4*, text-embedding-*", DEFAULT_MODEL),
};

static const struct ch_provide provides[] = { { .iface = "inference/1", .vt = &inference } };

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "openai",
	.version = CHIMERA_VERSION,
	.summary = "Models of any server that speaks OpenAI's protocol",
	.conf_size = sizeof(struct openai_conf),
	.state_size = sizeof(struct openai_state),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
	.check = check,
	.start = start,
	.stop = stop,
};

CH_PLUGIN(openai, plugin)
