/* SPDX-License-Identifier: MIT */
/* backend.c - what all backends share before they ask anybody: their options, the model, the time that a call may take. */
#include <stdlib.h>
#include <strings.h>

#include <chimera/backend.h>
#include <chimera/kit/http1.h>

static const char no_memory[] = "No memory is left for this request; ask for less at once, or raise what a request may use.";

/* ---- header fields ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Splits "Name: value"; false: it is none. */
static bool split_field(struct ch_str line, struct ch_http_field *f)
{
	const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	size_t name = colon ? (size_t)(colon - line.p) : 0, at = name + 1, end = line.n;

	if (!ch_h1_token(line.p, name))
		return false;
	while (at < end && blank(line.p[at]))
		at++;
	while (end > at && blank(line.p[end - 1]))
		end--;
	if (!ch_h1_value(line.p + at, end - at))
		return false;
	*f = (struct ch_http_field){ { line.p, name }, { line.p + at, end - at } };
	return true;
}

static bool is_ours(struct ch_str name)
{
	static const char *const ours[] = { "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Upgrade",
		"Accept", "Accept-Encoding", "TE", "Trailer", "Expect" };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (name.n == strlen(ours[i]) && !strncasecmp(name.p, ours[i], name.n))
			return true;
	return false;
}

struct ch_http_field *ch_backend_fields(const struct ch_backend_conf *conf, size_t *n)
{
	struct ch_http_field *fields = conf->extra_headers.n ? calloc(conf->extra_headers.n, sizeof(*fields)) : NULL;

	*n = 0;
	for (size_t i = 0; fields && i < conf->extra_headers.n; i++)
		*n += split_field(conf->extra_headers.v[i], &fields[*n]);
	return fields;
}

/* ---- check ---- */

/* No request can name such a model. */
static bool has_blank(const char *name)
{
	while ((unsigned char)*name > 0x20 && *name != 0x7f)
		name++;
	return *name;
}

static bool check_models(struct ch_self *self, const struct ch_backend_conf *conf)
{
	bool ok = true;

	if (!conf->models.n && !conf->default_model[0]) {
		ch_config_error(self, NULL, "models", "it answers for no model: name some (\"*\" stands for all), or set default_model");
		return false;
	}
	for (size_t i = 0; i < conf->models.n; i++) {
		const struct ch_str *m = &conf->models.v[i];
		const char *star = m->n ? memchr(m->p, '*', m->n) : NULL;

		if (has_blank(m->p)) {
			ch_config_error(self, NULL, "models", "\"%s\" has a blank in it, as no model's name has: names are parted by commas",
				m->p);
			ok = false;
		}
		if (star && star != m->p + m->n - 1) {
			ch_config_error(self, NULL, "models",
				"\"%s\" has a * inside: it may only stand at a name's end, for all that begin so",
				m->p);
			ok = false;
		}
	}
	if (has_blank(conf->default_model)) {
		ch_config_error(self, NULL, "default_model", "\"%s\" has a blank in it, as no model's name has", conf->default_model);
		ok = false;
	}
	if (strchr(conf->default_model, '*')) {
		ch_config_error(self, NULL, "default_model", "\"%s\" is a pattern: set it to one model's name", conf->default_model);
		ok = false;
	}
	return ok;
}

/* The option is a secret: only what stands before a colon is shown, and not even that where there is none. */
static bool check_headers(struct ch_self *self, const struct ch_list *headers)
{
	bool ok = true;

	for (size_t i = 0; i < headers->n; i++) {
		struct ch_http_field f;

		if (!split_field(headers->v[i], &f)) {
			ch_config_error(self, NULL, "extra_headers", "entry %zu is no header field: write it as \"Name: value\"", i + 1);
			ok = false;
		} else if (is_ours(f.name)) {
			ch_config_error(self, NULL, "extra_headers", "%.*s is set by the backend itself: leave it out", (int)f.name.n,
				f.name.p);
			ok = false;
		}
	}
	return ok;
}

bool ch_backend_check(struct ch_self *self, const struct ch_backend_conf *conf)
{
	bool models = check_models(self, conf), headers = check_headers(self, &conf->extra_headers);

	return models && headers;
}

/* ---- models ---- */

bool ch_model_matches(struct ch_str entry, struct ch_str model)
{
	if (entry.n && entry.p[entry.n - 1] == '*')
		return entry.n - 1 <= model.n && !memcmp(entry.p, model.p ? model.p : "", entry.n - 1);
	return entry.n && entry.n == model.n && !memcmp(entry.p, model.p, entry.n);
}

bool ch_listed(struct ch_str list, struct ch_str name)
{
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		struct ch_str entry = { list.p, comma ? (size_t)(comma - list.p) : list.n };
		size_t step = entry.n + (comma != NULL);

		while (entry.n && (*entry.p == ' ' || *entry.p == '\t'))
			entry.p++, entry.n--;
		while (entry.n && (entry.p[entry.n - 1] == ' ' || entry.p[entry.n - 1] == '\t'))
			entry.n--;
		if (ch_model_matches(entry, name))
			return true;
		list.p += step;
		list.n -= step;
	}
	return false;
}

static bool is_pattern(struct ch_str entry)
{
	return entry.n && entry.p[entry.n - 1] == '*';
}

const char *ch_backend_rule(const struct ch_backend_conf *conf, struct ch_str model)
{
	const struct ch_str *best = NULL;
	struct ch_str standard = { conf->default_model, strlen(conf->default_model) };

	if (ch_model_matches(standard, model))
		return standard.p;
	for (size_t i = 0; i < conf->models.n; i++) {
		const struct ch_str *m = &conf->models.v[i];

		if (!ch_model_matches(*m, model))
			continue;
		if (!is_pattern(*m))
			return m->p;
		if (!best || m->n > best->n)
			best = m;
	}
	return best ? best->p : NULL;
}

/* ---- accept ---- */

int ch_backend_refuse(struct ch_inference_result *out, enum ch_code code, int64_t retry_after_ms, const char *detail)
{
	out->code = detail ? (int)code : CH_E_OVERLOADED;
	out->retry_after_ms = retry_after_ms;
	out->detail = detail ? detail : no_memory;
	return CH_OK;
}

static bool refuse(struct ch_inference_result *out, enum ch_code code, const char *detail)
{
	ch_backend_refuse(out, code, 0, detail);
	return false;
}

static const char *op_name(int op)
{
	static const char *const names[] = { NULL, "chat completions", "completions", "embeddings", "this route", "a list of models",
		"probes" };

	return op > 0 && op < (int)(sizeof(names) / sizeof(names[0])) ? names[op] : "that";
}

/* What of `needs` it lacks, for people; the first is enough. */
static const char *need_name(const struct ch_inference_args *args, unsigned missing)
{
	static const char *const names[] = { "tools (tools, functions, tool_choice)", "content that is no text", "response_format",
		"logprobs", "several answers (n, best_of)", "a member of the request that it does not know" };

	if (missing == CH_I_OTHER && args->other)
		return args->other;
	return names[__builtin_ctz(missing | 1u << 5)];
}

static bool printable(struct ch_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

/* "a, b, c" of what the config names, for people. NULL: no memory. */
static const char *served(struct ch_ctx *c, const struct ch_backend_conf *conf)
{
	const char *text = conf->default_model;
	size_t shown = 0;

	for (size_t i = 0; text && i < conf->models.n && shown < 8; i++) {
		if (!strcmp(conf->models.v[i].p, conf->default_model))
			continue;
		text = ch_print(c, "%s%s%s", text, text[0] ? ", " : "", conf->models.v[i].p);
		shown++;
	}
	return text && shown == 8 && conf->models.n > 8 ? ch_print(c, "%s, …", text) : text;
}

static bool find_model(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_backend_conf *conf,
	struct ch_inference_result *out)
{
	struct ch_str model = args->model;
	const char *names;

	if (!model.n && !conf->default_model[0] && args->op == CH_I_PASS)
		return true; /* such a route may know no models */
	if (!model.n && !conf->default_model[0])
		return refuse(out, CH_E_BAD_REQUEST,
			ch_print(c, "The request names no model, and the backend %s has no default_model: name one.", svc->id));
	if (!model.n)
		model = (struct ch_str){ conf->default_model, strlen(conf->default_model) };
	if (!printable(model))
		return refuse(out, CH_E_BAD_REQUEST, "The model's name holds a control character.");
	out->rule = args->rule ? args->rule : ch_backend_rule(conf, model);
	if (!out->rule) {
		names = served(c, conf);
		return refuse(out, CH_E_MODEL_NOT_FOUND, names ? ch_print(c, "The backend %s serves no model \"%.*s\"; it serves %s.",
			svc->id, model.n < 128 ? (int)model.n : 128, model.p, names) : NULL);
	}
	if (strlen(out->rule) == model.n && !memcmp(out->rule, model.p, model.n))
		out->model = out->rule;
	else
		out->model = ch_dup(c, model.p, model.n);
	return out->model || refuse(out, CH_E_OVERLOADED, NULL);
}

bool ch_backend_accept(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out)
{
	const struct ch_inference_about *about = ((const struct ch_inference_v1 *)svc->vt)->about(svc);
	unsigned missing = args->needs & ~about->can;

	out->backend = svc->id;
	if (args->op <= 0 || args->op > 31 || !(about->ops & 1u << args->op))
		return refuse(out, CH_E_NOT_IMPLEMENTED, ch_print(c, "The backend %s cannot do %s.", svc->id, op_name(args->op)));
	if (args->op == CH_I_MODELS || args->op == CH_I_PROBE)
		return true;
	if (!find_model(svc, c, args, about->conf, out))
		return false;
	if (missing)
		return refuse(out, CH_E_BAD_REQUEST, ch_print(c, "The backend %s cannot do %s: leave it out, or choose another model.",
			svc->id, need_name(args, missing)));
	return true;
}

/* ---- time ---- */

static int64_t choose(int64_t asked, int64_t own, int64_t kit)
{
	return asked > 0 ? asked : own > 0 ? own : kit;
}

void ch_backend_timeouts(const struct ch_inference_args *args, const struct ch_backend_conf *conf, bool streamed, struct ch_http_args *out)
{
	int64_t total = choose(args->timeout_ms, conf->timeout, CH_BACKEND_TIMEOUT_MS);
	int64_t first = choose(args->first_token_timeout_ms, conf->first_token_timeout, CH_BACKEND_FIRST_TOKEN_MS);
	int64_t idle = choose(args->idle_timeout_ms, conf->idle_timeout, CH_BACKEND_IDLE_MS);
	int64_t *patient = streamed ? &first : &total;

	if (args->budget_ms > 0 && args->budget_ms < *patient) /* which a router in between has shortened already */
		*patient = args->budget_ms;

	out->connect_timeout_ms = choose(args->connect_timeout_ms, conf->connect_timeout, CH_BACKEND_CONNECT_MS);
	out->total_timeout_ms = total;
	/* A whole answer may be long in the making, with its head before or behind that: the time of the attempt bounds it. */
	out->first_byte_timeout_ms = streamed && first < total ? first : total;
	out->idle_timeout_ms = streamed && idle < total ? idle : total;
	out->max_body = (uint64_t)(streamed ? conf->max_stream : conf->max_answer);
}
