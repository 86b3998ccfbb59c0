/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of requests in OpenAI's dialect: whatever comes, the reader accepts it or names what is wrong; what it accepts is valid JSON, its
 * ranges and messages lie in the body and are values, and what is left after the splices is valid JSON without chimera's own member. The
 * first byte of the input chooses the operation.
 */
#include <stdbool.h>

#include "fuzz.h"
#include "plugins/api_openai/read.h"

/* ---- a host of three functions ---- */

static void *blocks[1 << 16];
static size_t nblocks;

static void *host_alloc(struct ch_ctx *c, size_t n)
{
	(void)c;
	FUZZ_CHECK(nblocks < sizeof(blocks) / sizeof(blocks[0]));
	blocks[nblocks] = calloc(1, n ? n : 1);
	FUZZ_CHECK(blocks[nblocks] != NULL);
	return blocks[nblocks++];
}

static char *host_vprint(struct ch_ctx *c, const char *fmt, va_list ap)
{
	char text[1024];
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	char *copy;

	FUZZ_CHECK(n >= 0 && (size_t)n < sizeof(text)); /* no refusal repeats what is long */
	copy = host_alloc(c, (size_t)n + 1);
	return memcpy(copy, text, (size_t)n + 1);
}

static bool host_keep(struct ch_ctx *c, ch_fn fn, void *data)
{
	(void)c;
	FUZZ_CHECK(fn == free);
	blocks[nblocks++] = data;
	return true;
}

static const struct ch_host host = { .size = sizeof(host), .alloc = host_alloc, .vprint = host_vprint, .keep = host_keep };
const struct ch_host *ch_host_ = &host;

/* ---- what must hold ---- */

static bool inside(struct ch_str body, size_t at, size_t n)
{
	return at <= body.n && n <= body.n - at;
}

static bool valid(const char *p, size_t n)
{
	return ch_json_valid(p, n, 0, 0, NULL, NULL);
}

static void check_range(const struct ch_openai *o, size_t at, size_t n, char first)
{
	if (!n)
		return;
	FUZZ_CHECK(inside(o->body, at, n) && o->body.p[at] == first && valid(o->body.p + at, n));
	for (size_t i = 0; i < o->nsplices; i++)
		FUZZ_CHECK(at + n <= o->splices[i].at || o->splices[i].at + o->splices[i].n <= at);
}

/* The members of the outer object by that name. */
static size_t members(const char *p, size_t n, const char *name)
{
	struct ch_json j;
	struct ch_json_tok tok;
	size_t found = 0;

	ch_json_init(&j, p, n, 0, 0);
	FUZZ_CHECK(ch_json_next(&j, &tok) == CH_JSON_OBJECT);
	while (ch_json_next(&j, &tok) == CH_JSON_KEY) {
		found += ch_json_eq(&tok, name);
		ch_json_next(&j, &tok);
		FUZZ_CHECK(ch_json_skip(&j, &tok) == 0);
	}
	return found;
}

static void check_spliced(const struct ch_openai *o)
{
	char *rest = malloc(o->body.n);
	size_t n = 0, from = 0;

	FUZZ_CHECK(rest != NULL);
	for (size_t i = 0; i < o->nsplices; i++) {
		const struct ch_splice *s = &o->splices[i];

		FUZZ_CHECK(s->at >= from && s->n && inside(o->body, s->at, s->n) && !s->with.n);
		memcpy(rest + n, o->body.p + from, s->at - from);
		n += s->at - from;
		from = s->at + s->n;
	}
	memcpy(rest + n, o->body.p + from, o->body.n - from);
	n += o->body.n - from;
	FUZZ_CHECK(valid(rest, n));
	FUZZ_CHECK(members(rest, n, "backend") == 0);
	FUZZ_CHECK(members(rest, n, "model") >= (o->model_n ? 1 : 0) && members(rest, n, "model") <= 1);
	free(rest);
}

static void check_accepted(const struct api_request *q, int op)
{
	const struct ch_inference_args *a = &q->args;
	const struct ch_openai *o = &q->openai;

	FUZZ_CHECK(valid(o->body.p, o->body.n));
	check_range(o, o->model_at, o->model_n, '"');
	check_range(o, o->stream_options_at, o->stream_options_n, '{');
	check_range(o, o->tools_at, o->tools_n, '[');
	check_range(o, o->format_at, o->format_n, '{');
	check_spliced(o);
	FUZZ_CHECK(!o->usage || o->stream);
	FUZZ_CHECK(a->model.n <= API_NAME_MAX && (a->model.n > 0) == (o->model_n > 0));
	FUZZ_CHECK(a->nstop <= API_STOP_MAX && a->max_tokens >= 0);
	FUZZ_CHECK(op == CH_I_PASS ? !a->nmessages : a->nmessages && a->nmessages <= API_MESSAGES_MAX);
	for (size_t i = 0; i < a->nmessages; i++) {
		const struct ch_message *m = &a->messages[i];

		FUZZ_CHECK(m->json.n && valid(m->json.p, m->json.n));
		FUZZ_CHECK(m->json.p > o->body.p && m->json.p + m->json.n < o->body.p + o->body.n);
		FUZZ_CHECK((m->role.n > 0) == (op == CH_I_CHAT));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int ops[] = { CH_I_CHAT, CH_I_COMPLETION, CH_I_EMBEDDINGS, CH_I_PASS };
	struct api_request q;
	struct api_fault fault;
	char *body;
	int op;

	if (!size)
		return 0;
	op = ops[data[0] % 4];
	body = fuzz_copy(data + 1, size - 1);
	memset(&q, 0, sizeof(q));
	memset(&fault, 0, sizeof(fault));
	if (api_read(NULL, op, (struct ch_str){ body, size - 1 }, &q, &fault))
		check_accepted(&q, op);
	else
		FUZZ_CHECK(fault.code == CH_E_BAD_REQUEST && fault.detail && *fault.detail);
	while (nblocks)
		free(blocks[--nblocks]);
	free(body);
	return 0;
}
