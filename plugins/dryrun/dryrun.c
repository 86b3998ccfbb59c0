/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dryrun.c - a backend without a model: "inference/1" that makes its answers up, always the same ones from the same prompt. For trying a
 * configuration, for tests and for load: time to the first token, pace, failures and silence can be set.
 *
 *   answer.c   what is answered: words, a JSON object, the call of a tool
 *   tools.c    which tool, with which arguments
 *   fate.c     which calls fail, hang or take longer
 *   words.c    the made-up text and vectors
 *
 * Threads and ownership: everything on the ctx's loop but the count of calls, which is atomic. A call lives in the ctx's arena and is found
 * by out->call; its timer is freed before the ticket is resumed, so nothing of a call is touched after that.
 */
#include "answer.h"
#include "dryrun.h"

#define BURST 64 /* unpaced pieces a turn of the loop: a long answer must not hold up its neighbours */
#define HOUR 3.6e9 /* microseconds: the slowest pace, so that sums of it do not overflow */

/* One answer being made; all times are ch_now's. */
struct call {
	struct dryrun_answer answer;
	struct dryrun_fate fate;
	int64_t first_due;  /* of the first piece */
	double interval;    /* from piece to piece */
	int64_t whole_by, first_by, idle; /* the timeouts; idle: a span */
	int64_t last;       /* the last piece, or when the sink took more again */
	const struct ch_svc *svc;
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	struct ch_timer *timer;
	ch_ticket ticket;
	bool paused;        /* the sink wants no more until go_on */
};

/* ---- calls that take time ---- */

static void finish(struct call *call)
{
	ch_timer_free(call->timer);
	call->out->call = NULL;
	ch_resume(call->ticket, NULL, NULL);
}

/* When the next thing happens: a piece, the end, the failure. */
static int64_t due(const struct call *call)
{
	const struct dryrun_answer *a = &call->answer;
	uint64_t piece = call->sink.delta ? a->made : a->total;

	if (call->paused || call->fate.hang)
		return INT64_MAX;
	if (piece >= a->total)
		piece = a->total ? a->total - 1 : 0;
	return call->first_due + (int64_t)((double)piece * call->interval);
}

/* When the call has taken too long. */
static int64_t limit(const struct call *call)
{
	int64_t by = call->answer.made ? call->last + call->idle : call->first_by;

	return !call->sink.delta || call->paused || call->whole_by < by ? call->whole_by : by;
}

static void wait_until(struct call *call, int64_t when)
{
	int64_t us = when - ch_now();

	ch_timer_set(call->timer, us > 0 ? (us + 999) / 1000 : 0);
}

/* Gives the sink its next piece. False: the call is over. */
static bool give_piece(struct call *call)
{
	struct ch_inference_delta d;
	char buf[DRYRUN_PIECE_MAX];
	bool full;

	dryrun_answer_piece(&call->answer, buf, &d);
	call->last = ch_now();
	if (!call->out->first_delta)
		call->out->first_delta = call->last;
	call->out->tokens_out = call->answer.made;
	full = call->sink.delta(call->c, call->sink.arg, &d) == CH_AGAIN;
	if (call->out->call != call)
		return false; /* cancelled by its own sink */
	call->paused = full;
	return true;
}

/* What was due. False: the call is over. */
static bool step(struct call *call)
{
	struct dryrun_answer *a = &call->answer;

	if (call->fate.code && (!call->sink.delta || a->made >= call->fate.after || a->made == a->total))
		dryrun_failed(call->svc, call->c, &call->fate, call->out);
	else if (!call->sink.delta)
		dryrun_answer_whole(call->c, a, call->out);
	else if (a->made < a->total)
		return give_piece(call);
	finish(call);
	return false;
}

static void on_time(void *data)
{
	struct call *call = data;

	for (unsigned burst = 0;; burst++) {
		int64_t now = ch_now(), when = due(call), by = limit(call);

		if (when > by && now >= by) {
			ch_backend_refuse(call->out, CH_E_UPSTREAM_TIMEOUT, 0, call->answer.made ?
				"The backend did not go on with its answer in time." : "The backend did not answer in time.");
			finish(call);
			return;
		}
		if (when > now || burst == BURST) {
			wait_until(call, when < by ? when : by);
			return;
		}
		if (!step(call))
			return;
	}
}

/* What there is to wait for begins. CH_AGAIN, or CH_OK: out has a code. */
static int begin(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket, const struct dryrun_answer *answer, const struct dryrun_fate *fate)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct call *call = ch_alloc(c, sizeof(*call));
	int64_t now = ch_now();
	struct ch_http_args t;

	if (call)
		call->timer = ch_timer(ch_loop(c), on_time, call);
	if (!call || !call->timer)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	ch_backend_timeouts(args, &conf->backend, sink != NULL, &t);
	call->answer = *answer;
	call->fate = *fate;
	call->first_due = now + fate->latency;
	if (conf->tokens_per_second > 0)
		call->interval = 1e6 / conf->tokens_per_second;
	if (call->interval > HOUR)
		call->interval = HOUR;
	call->whole_by = now + t.total_timeout_ms * 1000;
	call->first_by = now + t.first_byte_timeout_ms * 1000;
	call->idle = t.idle_timeout_ms * 1000;
	call->svc = svc;
	call->c = c;
	call->out = out;
	if (sink)
		call->sink = *sink;
	call->ticket = ticket;
	out->call = call;
	wait_until(call, due(call) < limit(call) ? due(call) : limit(call));
	return CH_AGAIN;
}

/* ---- what is answered without a sink ---- */

static int give_vectors(
	struct ch_ctx *c, const struct dryrun_conf *conf, const struct ch_inference_args *args, struct ch_inference_result *out)
{
	size_t n = args->nmessages, dimensions = (size_t)conf->dimensions;
	float *v = ch_alloc(c, n * dimensions * sizeof(*v));

	if (!v)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	for (size_t i = 0; i < n; i++)
		dryrun_vector(dryrun_digest(conf, args, out->model, &args->messages[i], 1), v + i * dimensions, dimensions);
	out->vectors = v;
	out->nvectors = n;
	out->dimensions = dimensions;
	return CH_OK;
}

/* The names that stand for one model each. */
static int give_models(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	const struct ch_backend_conf *conf = &((const struct dryrun_conf *)svc->self->conf)->backend;
	struct ch_model *models = ch_alloc(c, (conf->models.n + 1) * sizeof(*models));
	size_t n = 0;
	bool listed = !*conf->default_model;

	if (!models)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	for (size_t i = 0; i <= conf->models.n; i++) {
		struct ch_str id = { conf->default_model, strlen(conf->default_model) };

		if (i < conf->models.n)
			id = conf->models.v[i];
		else if (listed)
			break;
		if (!id.n || id.p[id.n - 1] == '*')
			continue;
		listed = listed || !strcmp(id.p, conf->default_model);
		models[n++] = (struct ch_model){ .id = id, .owned_by = { svc->id, strlen(svc->id) } };
	}
	out->models = models;
	out->nmodels = n;
	return CH_OK;
}

/* ---- the service ---- */

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct dryrun_answer answer = { .total = 0 };
	struct dryrun_fate fate;

	if (!ch_backend_accept(svc, c, args, out))
		return CH_OK;
	if (args->op == CH_I_MODELS)
		return give_models(svc, c, out);
	for (size_t i = 0; i < args->nmessages; i++)
		out->tokens_in += dryrun_count(args->messages[i].content.p, args->messages[i].content.n);
	if ((args->op == CH_I_CHAT || args->op == CH_I_COMPLETION) && !dryrun_answer_begin(svc, c, args, &answer, out))
		return CH_OK;
	if (args->op == CH_I_EMBEDDINGS && give_vectors(c, conf, args, out) == CH_OK && out->code)
		return CH_OK;
	fate = dryrun_draw(svc, c, out->model ? out->model : "");
	if (sink || fate.latency || fate.hang || fate.code || (conf->tokens_per_second > 0 && answer.total))
		return begin(svc, c, args, sink, out, ticket, &answer, &fate);
	return answer.total ? dryrun_answer_whole(c, &answer, out) : CH_OK;
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct call *call = out->call;

	(void)svc;
	(void)c;
	if (!call || !call->paused)
		return;
	call->paused = false;
	call->last = ch_now();
	ch_timer_set(call->timer, 0);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	(void)c;
	if (!out->call)
		return;
	ch_backend_refuse(out, CH_E_UPSTREAM_UNAVAILABLE, 0, "The call was given up.");
	finish(out->call);
}

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	return &((const struct dryrun_state *)svc->self->state)->about;
}

/* ---- tables ---- */

static int check(struct ch_self *self)
{
	const struct dryrun_conf *conf = self->conf;
	struct dryrun_state *state = self->state;

	state->about = (struct ch_inference_about){
		.size = sizeof(state->about),
		.provider = "dryrun",
		.ops = 1u << CH_I_CHAT | 1u << CH_I_COMPLETION | 1u << CH_I_EMBEDDINGS | 1u << CH_I_MODELS | 1u << CH_I_PROBE,
		.can = CH_I_TOOLS | CH_I_FORMAT,
		.made_up = true,
		.conf = &conf->backend,
	};
	return ch_backend_check(self, &conf->backend) ? CH_OK : CH_ERROR;
}

static const char *const tool_calls[] = { "named", "offered", "never", NULL };

static const struct ch_option options[] = {
	CH_BACKEND_OPTIONS(struct dryrun_conf, backend, "dryrun", "dryrun"),
	CH_OPT(struct dryrun_conf, seed, INT, .def = "0", .help = "Another seed gives other answers to the same prompts, and other luck to calls"),
	CH_OPT(struct dryrun_conf, answer_tokens, INT, .def = "16", .min = "1", .max = "100000",
		.help = "Length of an answer in tokens, unless the request allows fewer"),
	CH_OPT(struct dryrun_conf, dimensions, INT, .def = "256", .min = "1", .max = "4096", .help = "Numbers of an embedding"),
	CH_OPT(struct dryrun_conf, tool_calls, ENUM, .def = "named", .values = tool_calls,
		.help = "When a tool is called that the request offers: if the user's last message holds its name, always the first one, or only "
			"if tool_choice says so"),
	CH_OPT(struct dryrun_conf, latency, DURATION, .def = "0ms", .min = "0ms", .max = "1h", .help = "Time before the first token"),
	CH_OPT(struct dryrun_conf, latency_jitter, DURATION, .def = "0ms", .min = "0ms", .max = "1h",
		.help = "Up to so much more, drawn for each call from the seed and the call's number"),
	CH_OPT(struct dryrun_conf, tokens_per_second, DOUBLE, .def = "0", .min = "0", .max = "1000000",
		.help = "Pace of the tokens after the first one; 0 gives them all at once"),
	CH_OPT(struct dryrun_conf, fail, SHARE, .def = "0%", .help = "Share of the calls that fail, drawn as latency_jitter"),
	CH_OPT(struct dryrun_conf, fail_code, ENUM, .def = "upstream_error", .values = dryrun_fail_codes, .help = "How they fail"),
	CH_OPT(struct dryrun_conf, fail_after, INT, .def = "0", .min = "0", .max = "100000",
		.help = "Tokens of a stream before it fails, which breaks it; 0 refuses it"),
	CH_OPT(struct dryrun_conf, hang, SHARE, .def = "0%", .help = "Share of the calls that never answer, drawn likewise"),
	CH_OPT(struct dryrun_conf, faulty_models, LIST,
		.help = "The models that fail and hang are about, as in models; empty is all of them, and probes"),
};

static const struct ch_inference_v1 inference = {
	.size = sizeof(inference),
	.submit = submit,
	.go_on = go_on,
	.cancel = cancel,
	.about = about,
};

/* Below 0, the rank of a backend that says nothing: a made-up answer is never preferred to a real one. */
static const struct ch_provide provides[] = {
	{ .iface = "inference/1", .vt = &inference, .rank = -10 },
};

static const struct ch_plugin dryrun = {
	.size = sizeof(dryrun),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "dryrun",
	.version = "0.2",
	.summary = "A backend that makes its answers up",
	.conf_size = sizeof(struct dryrun_conf),
	.state_size = sizeof(struct dryrun_state),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
	.check = check,
};

CH_PLUGIN(dryrun, dryrun)
