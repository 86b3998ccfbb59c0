/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - see api_openai.h. */
#include "api_openai.h"

const char api_no_memory_text[] = "No memory is left for this request; send a shorter one or try again.";
const char api_too_late[] = "The backend did not finish before the request's deadline; ask for fewer tokens, or try again later.";
const char api_broken[] = "The backend failed on its side; try again, and tell the operator if it stays so.";

void api_note(struct api_call *call)
{
	struct ch_facts *f = ch_facts(call->c);

	f->backend = call->result.backend;
	f->model = call->result.model;
	f->tokens_in = call->result.tokens_in;
	f->tokens_out = call->result.tokens_out;
}

void api_stamp_call(struct api_call *call)
{
	api_stamp(&call->stamp, call->call.args.op == CH_I_CHAT, ch_wall() / 1000000, ch_random(), ch_random());
	call->stamp.usage = call->openai.usage;
}

static void number_header(struct ch_ctx *c, const char *name, int64_t v)
{
	char text[24] = "";
	struct ch_jw w;

	ch_jw_init(&w, text, sizeof(text) - 1);
	ch_jw_int(&w, v);
	ch_header_set(c, name, text);
}

void api_name(struct api_call *call)
{
	const struct ch_inference_result *r = &call->result;

	api_note(call);
	if (r->backend)
		ch_header_set(call->c, "X-Chimera-Backend", r->backend);
	if (r->attempts)
		number_header(call->c, "X-Chimera-Attempts", r->attempts);
	number_header(call->c, "openai-processing-ms", (ch_now() - ch_facts(call->c)->started) / 1000);
}

void api_set_code(struct api_call *call, enum ch_code code, const char *detail)
{
	if (call->result.code)
		return;
	call->result.code = code;
	call->result.detail = detail;
}

int api_failed(struct api_call *call)
{
	const struct ch_inference_result *r = &call->result;
	struct ch_refusal refusal = {
		.size = sizeof(refusal),
		.code = r->code,
		.retry_after_ms = r->retry_after_ms,
		.detail = r->detail ? r->detail : api_no_memory_text,
		.error = r->error,
		.type = r->type,
		.more = r->more,
	};

	api_name(call);
	return ch_refuse_as(call->c, &refusal);
}

/*
 * How long the client waits for us, less a little, so that our answer comes before it gives up: Python says how long it waits for bytes,
 * Node (whole seconds, rounded down) for the head.
 */
static int64_t patience(struct ch_ctx *c)
{
	int64_t ms = api_seconds(ch_header(c, "x-stainless-read-timeout"));

	if (!ms)
		ms = api_seconds(ch_header(c, "x-stainless-timeout"));
	if (ms <= 1)
		return ms;
	int64_t less = ms / 50 < 20 ? 20 : ms / 50 > 1000 ? 1000 : ms / 50;
	return ms > 2 * less ? ms - less : ms / 2;
}

static unsigned retries(struct ch_ctx *c)
{
	int64_t n = api_seconds(ch_header(c, "x-stainless-retry-count")) / 1000;

	return (unsigned)(n < 100 ? n : 100);
}

/* Without a router there is one backend, and who names another one must not hear that one's answer. False: refused. */
static bool check_backend(const struct api_call *call)
{
	const struct ch_svc *svc = call->call.svc;
	const struct ch_inference_about *about = ((const struct ch_inference_v1 *)svc->vt)->about(svc);
	struct ch_str named = call->call.args.backend;

	if (!about || !about->conf || !named.n || (named.n == strlen(svc->id) && !memcmp(named.p, svc->id, named.n)))
		return true;
	ch_refuse_param(call->c, CH_E_BAD_REQUEST, "backend", "There is one backend here, \"%s\": leave \"backend\" out, or name that one.",
		svc->id);
	return false;
}

/* The question as the service sees it. False: refused. */
static bool read_question(struct api_call *call, int op, const char *path)
{
	struct api_request q = { .args = { .size = 0 } };
	struct api_fault fault;

	q.openai.path = path;
	if (!api_read(call->c, op, ch_body(call->c), &q, &fault)) {
		ch_refuse_param(call->c, fault.code, fault.param, "%s", fault.detail);
		return false;
	}
	call->call.args = q.args;
	call->call.args.openai = &call->openai;
	call->openai = q.openai;
	call->splice = q.splice;
	call->openai.splices = &call->splice;
	call->call.args.budget_ms = patience(call->c);
	call->call.args.retry = retries(call->c);
	return check_backend(call);
}

int api_ask(struct ch_self *self, struct ch_ctx *c, int op, const char *path)
{
	const struct api_conf *conf = self->conf;
	struct ch_str type = ch_header(c, "Content-Type");
	struct api_call *call;

	if (type.n && !ch_type_is_json(type))
		return ch_refuse(c, CH_E_UNSUPPORTED_MEDIA, 0, "The body is \"%.*s\"; send application/json.",
			(int)(type.n < 64 ? type.n : 64), type.p);
	call = ch_alloc(c, sizeof(*call));
	if (!call)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "%s", api_no_memory_text);
	call->self = self;
	call->c = c;
	call->call = (struct ch_inference_call){ .size = sizeof(call->call), .svc = conf->backend, .out = &call->result, .data = call };
	call->result.size = sizeof(call->result);
	if (!read_question(call, op, path))
		return CH_DONE;
	return op == CH_I_PASS || call->openai.stream ? api_stream_begin(call) : api_answer_begin(call);
}
