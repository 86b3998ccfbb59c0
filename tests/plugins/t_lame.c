/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_lame.c - a test plugin: a backend that breaks one rule of chimera/inference.h, which its option `fault` names, so that the conformance
 * suite shows that it notices. Of a model whose name is none of `lame` and `hung` it says MODEL_NOT_FOUND; `hung` never answers.
 *
 * Threads and ownership: everything on the ctx's loop; a call lives in the ctx's arena. With most faults a call is 3 pieces by a timer.
 */
#include <stdlib.h>

#include <chimera/inference.h>

enum fault {
	NONE, DELTA_INSIDE, DELTA_CANCELLED, DELTA_PAUSED, SLOW_CANCEL, NO_DETAIL, ODD_CODE, ANY_OP, ANY_NEED, ANY_MODEL, HALF_TEXT,
	BARE_FRAME, NO_BACKEND, NO_REASON, NO_USAGE, NO_FIRST_DELTA, TEXT_TWICE, SILENT, CHANGED_LATE, NO_TIMEOUT, LEAK
};
static const char *const faults[] = {
	"none", "delta_inside", "delta_cancelled", "delta_paused", "slow_cancel", "no_detail", "odd_code", "any_op", "any_need",
	"any_model", "half_text", "bare_frame", "no_backend", "no_reason", "no_usage", "no_first_delta", "text_twice", "silent", "changed_late",
	"no_timeout", "leak", NULL
};

struct t_lame_conf {
	int fault;
};

struct call {
	const struct t_lame_conf *conf;
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	struct ch_timer *timer;
	ch_ticket ticket;
	int64_t limit; /* ch_now; 0: none */
	unsigned sent;
	bool paused, hung, cancelled;
};

static int give_code(struct ch_inference_result *out, int code, const char *detail)
{
	out->code = code;
	out->detail = detail;
	return CH_OK;
}

static void finish(struct call *k)
{
	ch_timer_free(k->timer);
	k->out->call = NULL;
	ch_resume(k->ticket, NULL, NULL);
}

static int give(struct call *k)
{
	struct ch_inference_delta d = { .size = sizeof(d), .text = CH_STR("word ") };

	if (k->conf->fault == HALF_TEXT)
		d.text = (struct ch_str)CH_STR("w\xc3");
	if (k->conf->fault == BARE_FRAME)
		d.frame = (struct ch_str)CH_STR("{}");
	k->sent++;
	return k->sink.delta(k->c, k->sink.arg, &d);
}

static void on_time(void *data)
{
	struct call *k = data;
	int fault = k->conf->fault;

	if (k->limit && ch_now() >= k->limit) {
		give_code(k->out, CH_E_UPSTREAM_TIMEOUT, "It took too long.");
		finish(k);
		return;
	}
	if (k->cancelled || k->hung || !k->sink.delta || k->sent == 3 || fault == SILENT) {
		if (k->cancelled && fault == DELTA_CANCELLED)
			give(k);
		finish(k);
		return;
	}
	if (k->paused && fault != DELTA_PAUSED)
		return;
	if (fault != NO_FIRST_DELTA && !k->out->first_delta)
		k->out->first_delta = ch_now();
	k->paused = give(k) == CH_AGAIN;
	if (k->out->call == k && (!k->paused || fault == DELTA_PAUSED))
		ch_timer_set(k->timer, 1);
}

static void fill(const struct t_lame_conf *conf, struct ch_inference_result *out, bool streamed)
{
	out->backend = conf->fault == NO_BACKEND ? NULL : "lame";
	out->model = "lame";
	out->finish_reason = conf->fault == NO_REASON ? NULL : "stop";
	out->tokens_in = 1;
	out->tokens_out = conf->fault == NO_USAGE ? 0 : 3;
	if (!streamed || conf->fault == TEXT_TWICE)
		out->text = (struct ch_str)CH_STR("word word word");
}

/* Where memory would be given back. */
static void *volatile lost;
static void forget(void *p)
{
	lost = p;
}

static bool named(struct ch_str model, const char *name)
{
	return model.n == strlen(name) && !memcmp(model.p, name, model.n);
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	const struct t_lame_conf *conf = svc->self->conf;
	bool hung = named(args->model, "hung");
	struct call *k;

	if (args->op != CH_I_CHAT && conf->fault != ANY_OP)
		return give_code(out, CH_E_NOT_IMPLEMENTED, conf->fault == NO_DETAIL ? NULL : "It answers chats.");
	if (args->needs && conf->fault != ANY_NEED)
		return give_code(out, CH_E_BAD_REQUEST, "It knows text alone.");
	if (args->model.n && !named(args->model, "lame") && !hung && conf->fault != ANY_MODEL)
		return give_code(out, conf->fault == ODD_CODE ? 4711 : CH_E_MODEL_NOT_FOUND, "It knows lame and hung.");
	k = ch_alloc(c, sizeof(*k));
	if (!k || !(k->timer = ch_timer(ch_loop(c), on_time, k)))
		return CH_ERROR;
	*k = (struct call){ .conf = conf, .c = c, .out = out, .timer = k->timer, .ticket = ticket, .hung = hung };
	if (sink)
		k->sink = *sink;
	fill(conf, out, sink);
	out->call = k;
	if (conf->fault == LEAK && !ch_keep(c, forget, malloc(4096)))
		return CH_ERROR;
	if (conf->fault == DELTA_INSIDE && sink)
		give(k);
	if (hung && args->timeout_ms && conf->fault != NO_TIMEOUT)
		k->limit = ch_now() + (args->first_token_timeout_ms ? args->first_token_timeout_ms : args->timeout_ms) * 1000;
	ch_timer_set(k->timer, !hung ? 1 : k->limit ? (k->limit - ch_now()) / 1000 + 1 : 3000);
	return CH_AGAIN;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct call *k = out->call;

	(void)svc;
	(void)c;
	if (!k || !k->paused)
		return;
	k->paused = false;
	ch_timer_set(k->timer, 0);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	const struct t_lame_conf *conf = svc->self->conf;
	struct call *k = out->call;

	(void)c;
	if (!k && conf->fault == CHANGED_LATE)
		out->tokens_out++;
	if (!k || k->cancelled)
		return;
	give_code(out, CH_E_UPSTREAM_UNAVAILABLE, "The call was given up.");
	k->cancelled = true;
	if (conf->fault == SLOW_CANCEL || conf->fault == DELTA_CANCELLED)
		ch_timer_set(k->timer, 20);
	else
		finish(k);
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	static const struct ch_inference_about what = { .size = sizeof(what), .provider = "lame", .ops = 1u << CH_I_CHAT, .made_up = true };

	(void)svc;
	return &what;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_lame_conf, fault, ENUM, .def = "none", .values = faults, .help = "The rule that it breaks"),
};
static const struct ch_inference_v1 inference = { .size = sizeof(inference), .submit = submit, .go_on = go_on, .cancel = cancel,
	.about = about };
static const struct ch_provide provides[] = { { .iface = "inference/1", .vt = &inference, .rank = -20 } };

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_lame",
	.version = "0.1",
	.summary = "Test: a backend that breaks a rule",
	.conf_size = sizeof(struct t_lame_conf),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
};

CH_PLUGIN(t_lame, plugin)
