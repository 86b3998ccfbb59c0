/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dryrun.c - a backend without a model: "inference/1" that makes its answers up, always the same ones from the same prompt. For trying a
 * configuration, for tests and for load: time to the first token and pace can be set.
 *
 * Threads and ownership: everything on the ctx's loop. A call lives in the ctx's arena and is found by out->call; its timer is freed before
 * the ticket is resumed, so nothing of a call is touched after that.
 */
#include <chimera/inference.h>

#include "words.h"

#define BURST 64 /* unpaced words a turn of the loop: a long answer must not hold up its neighbours */
#define HOUR 3.6e9 /* microseconds: the slowest pace, so that sums of it do not overflow */

struct dryrun_conf {
	struct ch_list models;
	const char *default_model;
	int64_t seed;
	int64_t latency; /* ms */
	double tokens_per_second;
	int64_t answer_tokens;
};

/* One answer being made. */
struct call {
	struct dryrun_words words;
	uint64_t total;    /* words to make */
	int64_t first_due; /* ch_now of the first word */
	double interval;   /* microseconds from word to word */
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	struct ch_timer *timer;
	ch_ticket ticket;
	bool paused;       /* the sink wants no more until go_on */
};

/* ---- models ---- */

/* "name", or "begin*" for all that begin so. */
static bool serves(const struct dryrun_conf *conf, const char *p, size_t n)
{
	for (size_t i = 0; i < conf->models.n; i++) {
		struct ch_str m = conf->models.v[i];
		bool open = m.n && m.p[m.n - 1] == '*';
		size_t len = m.n - open;

		if ((open ? n >= len : n == len) && !memcmp(m.p, p, len))
			return true;
	}
	return false;
}

static const char no_memory[] = "No memory is left for this request; ask for a shorter answer or send a shorter prompt.";

static int give_code(struct ch_inference_result *out, enum ch_code code, const char *detail)
{
	out->code = code;
	out->detail = detail ? detail : no_memory;
	return CH_OK;
}

static int no_such_model(struct ch_ctx *c, const struct dryrun_conf *conf, struct ch_str model, struct ch_inference_result *out)
{
	const char *names = "";

	for (size_t i = 0; i < conf->models.n && names; i++)
		names = ch_print(c, "%s%s%s", names, i ? ", " : "", conf->models.v[i].p);
	return give_code(out, CH_E_MODEL_NOT_FOUND,
		names ? ch_print(c, "There is no model \"%.*s\" here; there is: %s.", (int)(model.n < 128 ? model.n : 128), model.p, names)
		      : NULL);
}

/* ---- making an answer ---- */

static uint64_t digest(const struct dryrun_conf *conf, const struct ch_inference_args *args, const char *model)
{
	uint64_t h = dryrun_mix((uint64_t)conf->seed, model, strlen(model));

	for (size_t i = 0; i < args->nmessages; i++) {
		h = dryrun_mix(h, args->messages[i].role.p, args->messages[i].role.n);
		h = dryrun_mix(h, args->messages[i].content.p, args->messages[i].content.n);
	}
	return h;
}

/* Fills in all that is known before the first word. False: out holds a code. */
static bool prepare(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out,
                    struct dryrun_words *words, uint64_t *total)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct ch_str model = args->model;

	if (!model.n)
		model = (struct ch_str){ conf->default_model, strlen(conf->default_model) };
	if (!serves(conf, model.p, model.n)) {
		no_such_model(c, conf, model, out);
		return false;
	}
	out->model = ch_dup(c, model.p, model.n);
	if (!out->model) {
		give_code(out, CH_E_OVERLOADED, no_memory);
		return false;
	}
	out->backend = svc->id;
	out->tokens_in = 0;
	for (size_t i = 0; i < args->nmessages; i++)
		out->tokens_in += dryrun_count(args->messages[i].content.p, args->messages[i].content.n);
	*total = (uint64_t)conf->answer_tokens;
	out->finish_reason = "stop";
	if (args->max_tokens > 0 && (uint64_t)args->max_tokens < *total) {
		*total = (uint64_t)args->max_tokens;
		out->finish_reason = "length";
	}
	dryrun_words_init(words, digest(conf, args, out->model));
	return true;
}

static int fill_text(struct ch_ctx *c, struct dryrun_words *words, uint64_t total, struct ch_inference_result *out)
{
	char *text = ch_alloc(c, total * DRYRUN_WORD_MAX);
	size_t n = 0;

	if (!text)
		return give_code(out, CH_E_OVERLOADED, no_memory);
	while (words->made < total)
		n += dryrun_word(words, text + n);
	out->text = (struct ch_str){ text, n };
	out->tokens_out = total;
	return CH_OK;
}

/* ---- calls that take time ---- */

static void finish(struct call *call)
{
	ch_timer_free(call->timer);
	call->out->call = NULL;
	ch_resume(call->ticket, NULL, NULL);
}

static int64_t due(const struct call *call, uint64_t word)
{
	return call->first_due + (int64_t)((double)word * call->interval);
}

static void wait_until(struct call *call, int64_t when)
{
	int64_t us = when - ch_now();

	ch_timer_set(call->timer, us > 0 ? (us + 999) / 1000 : 0);
}

static void on_whole(void *data)
{
	struct call *call = data;

	fill_text(call->c, &call->words, call->total, call->out);
	finish(call);
}

static void on_word(void *data)
{
	struct call *call = data;
	char word[DRYRUN_WORD_MAX];
	unsigned burst = 0;

	while (call->words.made < call->total) {
		int64_t when = due(call, call->words.made);
		bool full;
		size_t n;

		if (when > ch_now() || burst++ == BURST) {
			wait_until(call, when);
			return;
		}
		n = dryrun_word(&call->words, word);
		call->out->tokens_out = call->words.made;
		full = call->sink.delta(call->c, call->sink.arg, &(struct ch_inference_delta){ .size = sizeof(struct ch_inference_delta), .text = { word, n } }) == CH_AGAIN;
		if (call->out->call != call)
			return; /* cancelled by its own sink */
		if (full) {
			call->paused = true;
			return;
		}
	}
	finish(call);
}

/* Starts a call that ends in `fn`. CH_OK: out holds a code. */
static int begin(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out, ch_ticket ticket,
	const struct dryrun_words *words, uint64_t total, const struct ch_inference_sink *sink, ch_fn fn)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct call *call = ch_alloc(c, sizeof(*call));

	if (!call)
		return give_code(out, CH_E_OVERLOADED, no_memory);
	call->timer = ch_timer(ch_loop(c), fn, call);
	if (!call->timer)
		return give_code(out, CH_E_OVERLOADED, no_memory);
	call->words = *words;
	call->total = total;
	if (conf->tokens_per_second > 0)
		call->interval = 1e6 / conf->tokens_per_second;
	if (call->interval > HOUR)
		call->interval = HOUR;
	call->first_due = ch_now() + conf->latency * 1000;
	call->c = c;
	call->out = out;
	if (sink)
		call->sink = *sink;
	call->ticket = ticket;
	out->call = call;
	wait_until(call, due(call, sink ? 0 : total - 1));
	return CH_AGAIN;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
                  struct ch_inference_result *out, ch_ticket ticket)
{
	const struct dryrun_conf *conf = svc->self->conf;
	struct dryrun_words words;
	uint64_t total;

	if (args->op != CH_I_CHAT)
		return give_code(out, CH_E_NOT_IMPLEMENTED, "dryrun answers chats.");
	if (!prepare(svc, c, args, out, &words, &total))
		return CH_OK;
	if (sink)
		return begin(svc, c, out, ticket, &words, total, sink, on_word);
	if (!conf->latency && conf->tokens_per_second <= 0)
		return fill_text(c, &words, total, out);
	return begin(svc, c, out, ticket, &words, total, NULL, on_whole);
}

static void go_on(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct call *call = out->call;

	(void)svc;
	(void)c;
	if (!call || !call->paused)
		return;
	call->paused = false;
	ch_timer_set(call->timer, 0);
}

static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	(void)c;
	if (!out->call)
		return;
	give_code(out, CH_E_UPSTREAM_UNAVAILABLE, "The call was given up.");
	finish(out->call);
}

/* ---- tables ---- */

static int check(struct ch_self *self)
{
	const struct dryrun_conf *conf = self->conf;

	if (serves(conf, conf->default_model, strlen(conf->default_model)))
		return CH_OK;
	ch_config_error(self, NULL, "default_model", "\"%s\" is none of `models`: name it there too, or set default_model to one of them",
		conf->default_model);
	return CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct dryrun_conf, models, LIST, .flags = CH_O_REQUIRED, .def = "dryrun",
		.help = "The models it answers for; one that ends with * stands for all names that begin so"),
	CH_OPT(struct dryrun_conf, default_model, STR, .flags = CH_O_REQUIRED, .def = "dryrun",
		.help = "The model of a request that names none"),
	CH_OPT(struct dryrun_conf, seed, INT, .def = "0", .help = "Another seed gives other answers to the same prompts"),
	CH_OPT(struct dryrun_conf, latency, DURATION, .def = "0ms", .min = "0ms", .max = "1h", .help = "Time before the first token"),
	CH_OPT(struct dryrun_conf, tokens_per_second, DOUBLE, .def = "0", .min = "0", .max = "1000000",
		.help = "Pace of the tokens after the first one; 0 gives them all at once"),
	CH_OPT(struct dryrun_conf, answer_tokens, INT, .def = "16", .min = "1", .max = "100000",
		.help = "Length of an answer in tokens, unless the request allows fewer"),
};

static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	static const struct ch_inference_about what = { .size = sizeof(what), .provider = "dryrun", .ops = 1u << CH_I_CHAT, .made_up = true };

	(void)svc;
	return &what;
}

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
	.version = "0.1",
	.summary = "A backend that makes its answers up",
	.conf_size = sizeof(struct dryrun_conf),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
	.check = check,
};

CH_PLUGIN(dryrun, dryrun)
