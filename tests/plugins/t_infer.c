/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_infer.c - a test plugin: questions to inference/1 with every field that a consumer may fill, and the books of models/1.
 *
 *   GET /infer?text=…         asks, and tells *out, a line for each field that says something: "code 0", "text …", …
 *       op=                   enum ch_inference_op, by number; 1 without it. 4 (PASS) sends an empty object
 *       model=, backend=, rule=, seed=, stop=, max=, needs=, base64=1, retry=, connect=, first=, idle=, total=, budget=
 *   GET /infer/about          what the provider says of itself
 *   GET /infer/manifests      what the registry says, a line for each model
 *
 * Threads and ownership: everything on the request's loop, in memory of the ctx.
 */
#include <chimera/inference.h>
#include <chimera/models.h>

#include "query.h"

struct t_infer_conf {
	const struct ch_svc *backend, *registry;
};

struct question {
	struct ch_ctx *c;
	struct ch_inference_call call;
	struct ch_inference_result out;
	struct ch_message message;
	struct ch_str stop;
	struct ch_openai openai;
	const char *text; /* what is told; NULL: no memory */
};

CH_PRINTF_(2, 3) static void add(struct question *q, const char *fmt, ...)
{
	va_list ap;
	char *line;

	va_start(ap, fmt);
	line = ch_vprint(q->c, fmt, ap);
	va_end(ap);
	q->text = q->text && line ? ch_print(q->c, "%s%s\n", q->text, line) : NULL;
}

static void add_text(struct question *q, const char *name, const char *value)
{
	if (value)
		add(q, "%s %s", name, value);
}

static void add_str(struct question *q, const char *name, struct ch_str value)
{
	if (value.n)
		add(q, "%s %.*s", name, (int)value.n, value.p);
}

static int told(struct question *q)
{
	if (!q->text)
		return ch_refuse(q->c, CH_E_OVERLOADED, 0, "what it has to tell does not fit into the request's memory");
	return ch_respond(q->c, 200, "text/plain", q->text, strlen(q->text));
}

static int tell(struct question *q)
{
	const struct ch_inference_result *o = &q->out;

	q->text = "";
	add(q, "code %d", o->code);
	add_text(q, "detail", o->detail);
	add_text(q, "reason", o->reason);
	add_text(q, "type", o->type);
	if (o->more.n)
		add_text(q, "more", ch_dup(q->c, o->more.p, o->more.n));
	add_str(q, "error", o->error);
	add(q, "status %d", o->status);
	add(q, "retry_after_ms %lld", (long long)o->retry_after_ms);
	add_text(q, "backend", o->backend);
	add_text(q, "model", o->model);
	add_text(q, "asked", ch_facts(q->c)->asked);
	add_text(q, "rule", o->rule);
	add_text(q, "content_type", o->content_type);
	add_str(q, "json", o->json);
	add_str(q, "text", o->text);
	add_str(q, "tool_calls", o->tool_calls);
	add_text(q, "finish_reason", o->finish_reason);
	for (size_t i = 0; i < o->nvectors; i++)
		add(q, "vector %zu %g", o->dimensions, (double)o->vectors[i * o->dimensions]);
	for (size_t i = 0; i < o->nmodels; i++)
		add(q, "served %.*s %.*s %lld %lld", (int)o->models[i].id.n, o->models[i].id.p, (int)o->models[i].owned_by.n,
			o->models[i].owned_by.p, (long long)o->models[i].created, (long long)o->models[i].context);
	add(q, "tokens %llu %llu%s", (unsigned long long)o->tokens_in, (unsigned long long)o->tokens_out, o->estimated ? " estimated" : "");
	add(q, "attempts %u", o->attempts);
	add(q, "first_delta %d", o->first_delta != 0);
	return told(q);
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)result;
	return why == CH_GONE ? CH_DONE : tell(data);
}

static struct question *begin(struct ch_ctx *c)
{
	struct question *q = ch_alloc(c, sizeof(*q));

	if (q)
		*q = (struct question){ .c = c, .text = "" };
	return q;
}

static int get_infer(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_infer_conf *conf = self->conf;
	struct question *q = begin(c);
	struct ch_str rule = query_text(c, "rule");
	struct ch_inference_args *a;
	int rc;

	if (!q)
		return CH_ERROR;
	a = &q->call.args;
	q->message = (struct ch_message){ .role = CH_STR("user"), .content = query_text(c, "text") };
	q->stop = query_text(c, "stop");
	q->out.size = sizeof(q->out);
	q->call = (struct ch_inference_call){ .size = sizeof(q->call), .svc = conf->backend, .out = &q->out, .fn = on_answer, .data = q };
	a->size = sizeof(*a);
	a->op = (int)query_int(c, "op", CH_I_CHAT);
	a->model = query_text(c, "model");
	a->backend = query_text(c, "backend");
	a->rule = rule.n ? ch_dup(c, rule.p, rule.n) : NULL;
	if (a->op < CH_I_PASS) {
		a->messages = &q->message;
		a->nmessages = 1;
	}
	a->max_tokens = query_int(c, "max", 0);
	a->temperature = a->top_p = -1;
	a->only_models = query_text(c, "only_models");
	a->only_backends = query_text(c, "only_backends");
	a->seed = query_int(c, "seed", 0);
	a->has_seed = query_text(c, "seed").n;
	a->stop = &q->stop;
	a->nstop = q->stop.n > 0;
	a->needs = (unsigned)query_int(c, "needs", 0);
	a->other = a->needs & CH_I_OTHER ? "what it was not told" : NULL;
	a->base64 = query_int(c, "base64", 0);
	a->retry = (unsigned)query_int(c, "retry", 0);
	a->connect_timeout_ms = query_int(c, "connect", 0);
	a->first_token_timeout_ms = query_int(c, "first", 0);
	a->idle_timeout_ms = query_int(c, "idle", 0);
	a->timeout_ms = query_int(c, "total", 0);
	a->budget_ms = query_int(c, "budget", 0);
	if (a->op == CH_I_PASS) {
		q->openai = (struct ch_openai){ .size = sizeof(q->openai), .path = "responses", .body = CH_STR("{}") };
		a->openai = &q->openai;
	}
	rc = ch_infer(c, &q->call);
	return rc == CH_OK ? tell(q) : rc;
}

static int get_about(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_infer_conf *conf = self->conf;
	const struct ch_inference_about *about = ((const struct ch_inference_v1 *)conf->backend->vt)->about(conf->backend);
	struct question *q = begin(c);

	if (!q)
		return CH_ERROR;
	add(q, "provider %s", about->provider);
	add(q, "ops 0x%x", about->ops);
	add(q, "can 0x%x", about->can);
	add(q, "made_up %d", about->made_up);
	add(q, "conf %s", about->conf ? "yes" : "no");
	return told(q);
}

static int get_manifests(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_infer_conf *conf = self->conf;
	struct ch_manifest m = { .size = sizeof(m) };
	struct question *q = begin(c);

	if (!q)
		return CH_ERROR;
	if (!conf->registry)
		return ch_refuse(c, CH_E_UNAVAILABLE, 0, "no models/1 is enabled: add [model_registry]");
	for (size_t i = 0; ((const struct ch_models_v1 *)conf->registry->vt)->at(conf->registry, i, &m); i++)
		add(q, "%s path=%s revision=%s sha256=%s backend=%s context=%lld bytes=%lld created=%lld", m.name, m.path, m.revision, m.sha256,
			m.backend, (long long)m.context, (long long)m.bytes, (long long)m.created);
	return told(q);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_infer_conf, backend, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "inference/1", .help = "Whom it asks"),
	CH_OPT(struct t_infer_conf, registry, SERVICE, .def = "auto", .iface = "models/1", .help = "Whose books it reads"),
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/infer", .fn = get_infer, .response_type = "text/plain", .summary = "Asks" },
	{ .method = "GET", .pattern = "/infer/about", .fn = get_about, .response_type = "text/plain", .summary = "Tells of the backend" },
	{ .method = "GET", .pattern = "/infer/manifests", .fn = get_manifests, .response_type = "text/plain", .summary = "Tells the models" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_infer",
	.version = "0.1",
	.summary = "Test: questions with every field",
	.conf_size = sizeof(struct t_infer_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_infer, plugin)
