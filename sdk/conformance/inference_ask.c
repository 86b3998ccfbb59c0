/* SPDX-License-Identifier: MIT */
/* inference_ask.c - what is asked: the canonical fields and, if the row says so, an OpenAI client's JSON with its places and a splice. */
#include <stdlib.h>

#include <chimera/kit/json.h>

#include "inference_run.h"

/* Text that has to be escaped, is long in UTF-8, and looks like something else. */
#define ODD "\"quoted\" \\ back\tslash\r\n\x01\x7f \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 data: [DONE]\n\n{\"a\":[1,2]} </s>"

const char *model_of(const struct run *r, const struct row *w)
{
	const struct conform_conf *conf = conf_of(r);

	switch (w->model) {
	case DEFAULT: return "";
	case EMBEDDING: return *conf->embedding_model ? conf->embedding_model : conf->model;
	case UNKNOWN: return conf->unknown_model;
	case HANGS: return conf->hanging_model;
	case BREAKS: return conf->breaking_model;
	default: return conf->model;
	}
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

static bool fill_messages(struct call *k)
{
	static const char *const texts[] = { "Say a few words, one after the other.", "Fine. Go on." };
	const struct row *w = k->row;
	bool chat = op_of(w) == CH_I_CHAT;
	size_t n = w->messages ? w->messages : 1;

	k->messages = calloc(n, sizeof(*k->messages));
	if (!k->messages)
		return false;
	for (size_t i = 0; i < n; i++)
		k->messages[i] = (struct ch_message){
			.role = str(!chat ? "" : i % 2 ? "assistant" : "user"),
			.content = str(w->odd ? ODD : texts[i % 2]),
		};
	k->args.messages = k->messages;
	k->args.nmessages = n;
	return true;
}

/* The place of the value that was written last: from `at`, behind the colon. */
static void place(const struct ch_jw *w, size_t at, size_t *out_at, size_t *out_n)
{
	*out_at = at;
	*out_n = w->len - at;
}

static void write_inputs(struct call *k, struct ch_jw *w)
{
	bool chat = k->args.op == CH_I_CHAT;

	ch_jw_key(w, chat ? "messages" : k->args.op == CH_I_EMBEDDINGS ? "input" : "prompt");
	ch_jw_array(w);
	for (size_t i = 0; i < k->args.nmessages; i++) {
		struct ch_message *m = &k->messages[i];

		if (chat) {
			ch_jw_object(w);
			ch_jw_key(w, "role");
			ch_jw_string(w, m->role.p, m->role.n);
			ch_jw_key(w, "content");
		}
		ch_jw_string(w, m->content.p, m->content.n);
		if (chat)
			ch_jw_object_end(w);
	}
	ch_jw_array_end(w);
}

/* Members in an odd order, and one, `backend`, that must not reach anybody: another one stands in its place. */
static bool fill_openai(struct call *k)
{
	static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"conform\",\"parameters\":{\"type\":\"object\","
		"\"properties\":{\"word\":{\"type\":\"string\"}}}}}]";
	static const char format[] = "{\"type\":\"json_object\"}";
	struct ch_openai *o = &k->openai;
	struct ch_jw w;
	size_t at;

	ch_jw_init(&w, malloc(1024), 1024);
	w.grow = ch_jw_heap;
	*o = (struct ch_openai){ .size = sizeof(*o), .stream = k->row->sink, .usage = k->row->usage, .splices = &k->splice, .nsplices = 1 };
	o->path = k->args.op == CH_I_CHAT ? "chat/completions" : k->args.op == CH_I_EMBEDDINGS ? "embeddings" : "completions";
	ch_jw_object(&w);
	write_inputs(k, &w);
	if (k->args.model.n) {
		ch_jw_key(&w, "model");
		at = w.len;
		ch_jw_string(&w, k->args.model.p, k->args.model.n);
		place(&w, at, &o->model_at, &o->model_n);
	}
	at = w.len;
	ch_jw_key(&w, "backend");
	ch_jw_cstr(&w, "conform-somebody");
	k->splice = (struct ch_splice){ .at = at, .n = w.len - at, .with = CH_STR(",\"user\":\"conform\"") };
	if (k->row->needs & CH_I_TOOLS) {
		ch_jw_key(&w, "tools");
		at = w.len;
		ch_jw_raw(&w, tools, sizeof(tools) - 1);
		place(&w, at, &o->tools_at, &o->tools_n);
	}
	if (k->row->needs & CH_I_FORMAT) {
		ch_jw_key(&w, "response_format");
		at = w.len;
		ch_jw_raw(&w, format, sizeof(format) - 1);
		place(&w, at, &o->format_at, &o->format_n);
	}
	if (k->row->sink) {
		ch_jw_key(&w, "stream");
		ch_jw_bool(&w, true);
	}
	if (k->row->usage) {
		ch_jw_key(&w, "stream_options");
		at = w.len;
		ch_jw_object(&w);
		ch_jw_key(&w, "include_usage");
		ch_jw_bool(&w, true);
		ch_jw_object_end(&w);
		place(&w, at, &o->stream_options_at, &o->stream_options_n);
	}
	if (k->args.op != CH_I_EMBEDDINGS) {
		ch_jw_key(&w, "max_tokens");
		ch_jw_int(&w, k->args.max_tokens);
	}
	ch_jw_object_end(&w);
	k->body = w.buf;
	o->body = (struct ch_str){ w.buf, w.len };
	k->args.openai = o;
	return !w.failed;
}

bool fill_args(struct call *k)
{
	const struct row *w = k->row;
	int op = op_of(w);

	k->args = (struct ch_inference_args){
		.size = sizeof(k->args),
		.op = op,
		.model = str(model_of(k->run, w)),
		.backend = str(w->somebody ? "conform-somebody" : ""),
		.max_tokens = op == CH_I_EMBEDDINGS ? 0 : 64,
		.temperature = -1,
		.top_p = -1,
		.needs = w->needs,
		.first_token_timeout_ms = w->first,
		.idle_timeout_ms = w->idle,
		.timeout_ms = w->total,
	};
	if (op == CH_I_MODELS || op == CH_I_PROBE)
		return true;
	return fill_messages(k) && (!w->openai || fill_openai(k));
}
