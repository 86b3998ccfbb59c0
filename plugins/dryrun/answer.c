/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c - see answer.h. */
#include <chimera/json.h>

#include "answer.h"

#define JSON_HEAD "{\"answer\":\""
#define JSON_TAIL "\"}"
#define ARGUMENTS_PIECE 24 /* bytes of arguments in a piece, at most */

uint64_t dryrun_digest(const struct dryrun_conf *conf, const struct ch_inference_args *args, const char *model, const struct ch_message *m,
	size_t n)
{
	uint64_t h = dryrun_mix((uint64_t)conf->seed, model, strlen(model));

	if (args->has_seed)
		h = dryrun_mix(h + (uint64_t)args->seed, "seed", 4);
	for (size_t i = 0; i < n; i++) {
		h = dryrun_mix(h, m[i].role.p, m[i].role.n);
		h = dryrun_mix(h, m[i].content.p, m[i].content.n);
	}
	return h;
}

/* ---- words ---- */

/* Where the first text of `stop` begins in the words. False: no memory. */
static bool find_stop(struct ch_ctx *c, const struct ch_inference_args *args, struct dryrun_answer *a)
{
	struct dryrun_words words = a->words;
	size_t n = 0, pieces = 0;
	char *text;

	a->room = UINT64_MAX;
	if (!args->nstop)
		return true;
	text = ch_alloc(c, a->total * DRYRUN_WORD_MAX);
	if (!text)
		return false;
	while (words.made < a->total)
		n += dryrun_word(&words, text + n);
	for (size_t i = 0; i < args->nstop; i++) {
		const char *p = args->stop[i].n ? memmem(text, n, args->stop[i].p, args->stop[i].n) : NULL;

		if (p && (uint64_t)(p - text) < a->room)
			a->room = (uint64_t)(p - text);
	}
	for (words = a->words, n = 0; n < a->room && pieces < a->total; pieces++)
		n += dryrun_word(&words, text + n);
	a->total = pieces;
	return true;
}

static size_t next_word(struct dryrun_answer *a, char *out)
{
	size_t n = dryrun_word(&a->words, out);

	if (n > a->room)
		n = (size_t)a->room;
	a->room -= n;
	return n;
}

/* ---- arguments ---- */

/* How many bytes of the arguments the next piece takes: no character is cut. */
static size_t arguments_piece(struct ch_str s, size_t at)
{
	size_t n = s.n - at;

	if (n <= ARGUMENTS_PIECE)
		return n;
	for (n = ARGUMENTS_PIECE; n > 1 && ((unsigned char)s.p[at + n] & 0xc0) == 0x80;)
		n--;
	return n;
}

/* The array of OpenAI's tool_calls; in a stream a call has an index. */
static void put_tool(struct ch_jw *w, const struct dryrun_answer *a, bool stream, struct ch_str arguments)
{
	ch_jw_array(w);
	ch_jw_object(w);
	if (stream) {
		ch_jw_key(w, "index");
		ch_jw_int(w, 0);
	}
	ch_jw_key(w, "id");
	ch_jw_cstr(w, a->tool.id);
	ch_jw_key(w, "type");
	ch_jw_cstr(w, "function");
	ch_jw_key(w, "function");
	ch_jw_object(w);
	ch_jw_key(w, "name");
	ch_jw_string(w, a->tool.name.p, a->tool.name.n);
	ch_jw_key(w, "arguments");
	ch_jw_string(w, arguments.p, arguments.n);
	ch_jw_object_end(w);
	ch_jw_object_end(w);
	ch_jw_array_end(w);
}

/* The first piece of a streamed call, and how many follow. */
static bool begin_tool(struct ch_ctx *c, struct dryrun_answer *a)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, 160 + a->tool.name.n);
	put_tool(&w, a, true, (struct ch_str){ "", 0 });
	a->head = (struct ch_str){ w.buf, w.len };
	a->total = 1;
	for (size_t at = 0; at < a->tool.arguments.n; at += arguments_piece(a->tool.arguments, at))
		a->total++;
	return !w.failed;
}

static struct ch_str next_arguments(struct dryrun_answer *a, char buf[DRYRUN_PIECE_MAX])
{
	size_t n = arguments_piece(a->tool.arguments, a->at);
	struct ch_jw w;

	ch_jw_init(&w, buf, DRYRUN_PIECE_MAX); /* ARGUMENTS_PIECE bytes, six times as many escaped, fit */
	ch_jw_array(&w);
	ch_jw_object(&w);
	ch_jw_key(&w, "index");
	ch_jw_int(&w, 0);
	ch_jw_key(&w, "function");
	ch_jw_object(&w);
	ch_jw_key(&w, "arguments");
	ch_jw_string(&w, a->tool.arguments.p + a->at, n);
	ch_jw_object_end(&w);
	ch_jw_object_end(&w);
	ch_jw_array_end(&w);
	a->at += n;
	return (struct ch_str){ buf, w.len };
}

static int whole_tool(struct ch_ctx *c, const struct dryrun_answer *a, struct ch_inference_result *out)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, 160 + a->tool.name.n + 2 * a->tool.arguments.n);
	put_tool(&w, a, false, a->tool.arguments);
	if (w.failed)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	out->tool_calls = (struct ch_str){ w.buf, w.len };
	out->tokens_out = a->total;
	return CH_OK;
}

/* ---- all of it ---- */

bool dryrun_answer_begin(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct dryrun_answer *a,
	struct ch_inference_result *out)
{
	const struct dryrun_conf *conf = svc->self->conf;
	uint64_t digest = dryrun_digest(conf, args, out->model, args->messages, args->nmessages);

	if (dryrun_wants_schema(args)) {
		ch_backend_refuse(out, CH_E_BAD_REQUEST, 0, "This backend keeps to no schema: of response_format it knows json_object alone.");
		return false;
	}
	*a = (struct dryrun_answer){ .total = (uint64_t)conf->answer_tokens, .json = args->needs & CH_I_FORMAT };
	dryrun_words_init(&a->words, digest);
	out->finish_reason = "stop";
	if (!dryrun_tool_choose(c, args, conf->tool_calls, digest, &a->tool) || (a->tool.name.n && !begin_tool(c, a))) {
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return false;
	}
	if (a->tool.name.n) {
		out->finish_reason = "tool_calls";
		return true;
	}
	if (args->max_tokens > 0 && (uint64_t)args->max_tokens < a->total) {
		a->total = (uint64_t)args->max_tokens;
		out->finish_reason = "length";
	}
	if (!find_stop(c, args, a)) {
		ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
		return false;
	}
	if (a->room != UINT64_MAX)
		out->finish_reason = "stop";
	if (a->json && !a->total)
		a->total = 1; /* an object with no words in it */
	return true;
}

/* The next words with what stands around them in a JSON object. */
static size_t next_text(struct dryrun_answer *a, char *out)
{
	size_t n = 0;

	if (a->json && !a->made) {
		memcpy(out, JSON_HEAD, sizeof(JSON_HEAD) - 1);
		n = sizeof(JSON_HEAD) - 1;
	}
	n += next_word(a, out + n);
	a->made++;
	if (a->json && a->made == a->total) {
		memcpy(out + n, JSON_TAIL, sizeof(JSON_TAIL) - 1);
		n += sizeof(JSON_TAIL) - 1;
	}
	return n;
}

void dryrun_answer_piece(struct dryrun_answer *a, char buf[DRYRUN_PIECE_MAX], struct ch_inference_delta *out)
{
	*out = (struct ch_inference_delta){ .size = sizeof(*out) };
	if (!a->tool.name.n)
		out->text = (struct ch_str){ buf, next_text(a, buf) };
	else
		out->tool_calls = a->made++ ? next_arguments(a, buf) : a->head;
}

int dryrun_answer_whole(struct ch_ctx *c, struct dryrun_answer *a, struct ch_inference_result *out)
{
	size_t n = 0;
	char *text;

	if (a->tool.name.n)
		return whole_tool(c, a, out);
	text = ch_alloc(c, a->total * DRYRUN_WORD_MAX + sizeof(JSON_HEAD JSON_TAIL));
	if (!text)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	while (a->made < a->total)
		n += next_text(a, text + n);
	out->text = (struct ch_str){ text, n };
	out->tokens_out = a->total;
	return CH_OK;
}
