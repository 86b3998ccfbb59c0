/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_request.c - writes the JSON of /api/chat, /api/generate and /api/embed; what Ollama has no word for is refused. */
#include <stdlib.h>

#include "ollama_message.h"
#include "ollama_request.h"

/* ---- what stands beside them ---- */

/* tool_choice and the older `functions` have no place among the canonical fields. *tools false: the client wants none called. */
static bool look_at_tools(struct request *r, bool *tools)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, r->args->openai->body.p, r->args->openai->body.n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool older = ch_json_eq(&t, "functions") || ch_json_eq(&t, "function_call"), choice = ch_json_eq(&t, "tool_choice");

		ch_json_next(&j, &t);
		if (older && t.type != CH_JSON_NULL)
			return refuse(
				r, "functions is OpenAI's older form of tools, which this backend (Ollama) does not know: use tools.");
		if (choice && ch_json_eq(&t, "none"))
			*tools = false;
		else if (choice && t.type != CH_JSON_NULL && !ch_json_eq(&t, "auto"))
			return refuse(
				r, "tool_choice can only be \"auto\" or \"none\" on this backend: Ollama cannot be made to call a tool.");
		if (ch_json_skip(&j, &t))
			break;
	}
	return true;
}

static bool put_tools(struct request *r)
{
	const struct ch_openai *o = r->args->openai;
	bool tools = true;

	if (!o || !(r->args->needs & CH_I_TOOLS))
		return true;
	if (!look_at_tools(r, &tools))
		return false;
	if (tools && o->tools_n)
		put(r, "tools", (struct ch_str){ o->body.p + o->tools_at, o->tools_n });
	return true;
}

/* The schema inside of {"type":"json_schema","json_schema":{"schema":…}}; j stands behind json_schema's '{'. */
static struct ch_str read_schema(struct ch_json *j)
{
	struct ch_str schema = { NULL, 0 };
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool is_schema = ch_json_eq(&t, "schema");

		ch_json_next(j, &t);
		if (ch_json_skip(j, &t))
			break;
		if (is_schema)
			schema = raw(j, &t);
	}
	return schema;
}

static bool put_format(struct request *r)
{
	const struct ch_openai *o = r->args->openai;
	struct ch_str schema = { NULL, 0 };
	struct ch_json j;
	struct ch_json_tok t;
	bool text = false, object = false, by_schema = false;

	if (!o || !o->format_n)
		return true;
	ch_json_init(&j, o->body.p + o->format_at, o->format_n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool is_type = ch_json_eq(&t, "type"), is_schema = ch_json_eq(&t, "json_schema");

		if (ch_json_next(&j, &t) == CH_JSON_OBJECT && is_schema) {
			schema = read_schema(&j);
			continue;
		}
		if (is_type) {
			text = ch_json_eq(&t, "text");
			object = ch_json_eq(&t, "json_object");
			by_schema = ch_json_eq(&t, "json_schema");
		}
		if (ch_json_skip(&j, &t))
			break;
	}
	if (object) {
		ch_jw_key(&r->w, "format");
		ch_jw_cstr(&r->w, "json");
	} else if (by_schema && schema.n) {
		put(r, "format", schema);
	} else if (!text) {
		return refuse(r, "response_format must be {\"type\": \"text\"}, {\"type\": \"json_object\"} or {\"type\": \"json_schema\", "
			"\"json_schema\": {\"schema\": …}} on this backend (Ollama).");
	}
	return true;
}

static void put_options(struct request *r, const struct llama_conf *conf)
{
	const struct ch_inference_args *a = r->args;

	ch_jw_key(&r->w, "options");
	ch_jw_object(&r->w);
	if (conf->num_ctx) {
		ch_jw_key(&r->w, "num_ctx");
		ch_jw_int(&r->w, conf->num_ctx);
	}
	if (a->op == CH_I_EMBEDDINGS) {
		ch_jw_object_end(&r->w);
		return;
	}
	if (a->max_tokens) {
		ch_jw_key(&r->w, "num_predict");
		ch_jw_int(&r->w, a->max_tokens);
	}
	if (a->temperature >= 0) {
		ch_jw_key(&r->w, "temperature");
		ch_jw_double(&r->w, a->temperature);
	}
	if (a->top_p >= 0) {
		ch_jw_key(&r->w, "top_p");
		ch_jw_double(&r->w, a->top_p);
	}
	if (a->has_seed) {
		ch_jw_key(&r->w, "seed");
		ch_jw_int(&r->w, a->seed);
	}
	if (a->nstop) {
		ch_jw_key(&r->w, "stop");
		ch_jw_array(&r->w);
		for (size_t i = 0; i < a->nstop; i++)
			ch_jw_string(&r->w, a->stop[i].p, a->stop[i].n);
		ch_jw_array_end(&r->w);
	}
	ch_jw_object_end(&r->w);
}

/* A time as Go writes it ("5m", "1h30m"), or a number of seconds; how many bytes of it are good. */
static size_t go_duration(const char *s)
{
	static const char *const units[] = { "ms", "h", "m", "s" };
	size_t n = strspn(s, "0123456789"), all = 0;

	if (n && !s[n])
		return n;
	while (n) {
		size_t u = 0;

		while (u < 4 && strncmp(s + all + n, units[u], strlen(units[u])))
			u++;
		if (u == 4)
			return 0;
		all += n + strlen(units[u]);
		n = strspn(s + all, "0123456789");
	}
	return all;
}

bool ollama_keep_alive_ok(const char *text)
{
	size_t n = strlen(text);

	return !n || !strcmp(text, "forever") || (n <= 16 && go_duration(text) == n);
}

static void put_keep_alive(struct request *r, const char *text)
{
	if (!*text)
		return;
	ch_jw_key(&r->w, "keep_alive");
	if (!strcmp(text, "forever"))
		ch_jw_int(&r->w, -1);
	else if (!text[strspn(text, "0123456789")])
		ch_jw_int(&r->w, strtoll(text, NULL, 10));
	else
		ch_jw_cstr(&r->w, text);
}

/* ---- the whole ---- */

static void put_inputs(struct request *r)
{
	ch_jw_key(&r->w, "input");
	ch_jw_array(&r->w);
	for (size_t i = 0; i < r->args->nmessages; i++)
		ch_jw_string(&r->w, r->args->messages[i].content.p, r->args->messages[i].content.n);
	ch_jw_array_end(&r->w);
}

static bool put_prompt(struct request *r)
{
	if (r->args->nmessages > 1)
		return refuse(r, "prompt holds several texts, and this backend (Ollama) answers one at a time: send a request for each.");
	ch_jw_key(&r->w, "prompt");
	ch_jw_string(&r->w, r->args->messages[0].content.p, r->args->messages[0].content.n);
	return true;
}

/* Enough in most cases, so that the text is written once and not moved. */
static size_t estimate(const struct ch_inference_args *a)
{
	size_t n = 512;

	for (size_t i = 0; i < a->nmessages; i++)
		n += 64 + a->messages[i].content.n + a->messages[i].content.n / 8 +
			(a->needs & (CH_I_TOOLS | CH_I_IMAGES) ? a->messages[i].json.n : 0);
	return n + (a->openai ? a->openai->tools_n + a->openai->format_n : 0);
}

const char *ollama_path(int op)
{
	return op == CH_I_CHAT ? "/api/chat" : op == CH_I_COMPLETION ? "/api/generate" : op == CH_I_EMBEDDINGS ? "/api/embed" : NULL;
}

static bool put_all(struct request *r, const struct llama_conf *conf, const char *model, bool stream)
{
	ch_jw_object(&r->w);
	ch_jw_key(&r->w, "model");
	ch_jw_cstr(&r->w, model);
	if (r->args->op == CH_I_EMBEDDINGS) {
		put_inputs(r);
	} else {
		if (!(r->args->op == CH_I_CHAT ? ollama_put_messages(r) : put_prompt(r)) || !put_tools(r) || !put_format(r))
			return false;
		ch_jw_key(&r->w, "stream");
		ch_jw_bool(&r->w, stream);
	}
	put_options(r, conf);
	put_keep_alive(r, conf->keep_alive);
	ch_jw_object_end(&r->w);
	return true;
}

struct ch_str ollama_request(struct ch_ctx *c, const struct llama_conf *conf, const struct ch_inference_args *args, const char *model,
	bool stream, struct ch_inference_result *out)
{
	struct ch_heap *heaps = ch_alloc(c, 2 * sizeof(*heaps));
	struct request r;

	if (heaps)
		heaps[0].c = heaps[1].c = c;
	if (!heaps || !ch_heap_grow(heaps, NULL, 0, estimate(args))) {
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	r.c = c;
	r.args = args;
	r.out = out;
	r.text = &heaps[1];
	r.i = r.ncalls = 0;
	ch_jw_init(&r.w, heaps[0].p, heaps[0].cap);
	r.w.grow = ch_heap_grow;
	r.w.arg = heaps;
	if (!put_all(&r, conf, model, stream) || r.w.failed) {
		if (!out->code)
			ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return (struct ch_str){ NULL, 0 };
	}
	return (struct ch_str){ r.w.buf, r.w.len };
}
