/* SPDX-License-Identifier: MIT */
/*
 * skeleton.c - a backend: provides "inference/1" (chimera/inference.h): chats, whole and streamed. This one says what it was told:
 *
 *     [skeleton]
 *     model = parrot
 *     intro = "You said: "
 *
 * Put your model in its place: what can answer at once fills *out and returns CH_OK; what takes time returns CH_AGAIN and resumes the
 * ticket later, exactly once, whatever happens (a timer here; a socket by ch_watch, or a service such as http/1, elsewhere).
 *
 * Threads and ownership: everything happens on the ctx's loop. A call lives in the ctx's arena and is found by out->call; its timer is
 * freed before the ticket is resumed, and nothing of a call is touched after that.
 */
#include <chimera/inference.h>

#define PIECE 24 /* bytes of a delta, about: a real model sends tokens */

/* [skeleton]. The host fills it from the table of options below; CH_OPT checks each field's type when this is compiled. */
struct skeleton_conf {
	const char *model;
	const char *intro;
};

/* A stream on its way. */
struct call {
	struct ch_ctx *c;
	struct ch_inference_result *out;
	struct ch_inference_sink sink;
	ch_ticket ticket;
	struct ch_timer *timer;
	struct ch_str text;
	size_t sent;
	bool paused; /* the sink wants no more until go_on */
};

/* ---- the answer ---- */

static const char no_memory[] = "No memory is left for this request; send a shorter one.";

/* A failure is no CH_ERROR, which means that this plugin is broken, but a code and a sentence that says what to do. */
static void refuse(struct ch_inference_result *out, enum ch_code code, const char *detail)
{
	out->code = code;
	out->detail = detail ? detail : no_memory;
}

/* How many words there are: this model's tokens. */
static uint64_t count(struct ch_str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] != ' ' && (!i || s.p[i - 1] == ' ');
	return n;
}

/* Fills in all of *out, the text into *text. False: *out holds a code. */
static bool answer(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, struct ch_inference_result *out,
	struct ch_str *text)
{
	const struct skeleton_conf *conf = svc->self->conf;
	struct ch_str said = args->messages[args->nmessages - 1].content;
	size_t intro = strlen(conf->intro);
	char *p;

	if (args->model.n && (args->model.n != strlen(conf->model) || memcmp(args->model.p, conf->model, args->model.n))) {
		refuse(out, CH_E_MODEL_NOT_FOUND, ch_print(c, "[%s] has the model %s and no other.", svc->id, conf->model));
		return false;
	}
	p = ch_alloc(c, intro + said.n + 1);
	if (!p) {
		refuse(out, CH_E_OVERLOADED, no_memory);
		return false;
	}
	memcpy(p, conf->intro, intro);
	if (said.n)
		memcpy(p + intro, said.p, said.n);
	*text = (struct ch_str){ p, intro + said.n };
	out->backend = svc->id;
	out->model = conf->model;
	out->finish_reason = "stop";
	for (size_t i = 0; i < args->nmessages; i++)
		out->tokens_in += count(args->messages[i].content);
	out->tokens_out = count(*text);
	return true;
}

/* ---- streams ---- */

static void finish(struct call *call)
{
	ch_timer_free(call->timer);
	call->out->call = NULL;
	ch_resume(call->ticket, NULL, NULL);
}

/* Deltas are whole UTF-8 sequences: up to PIECE bytes, and the rest of a sequence that began in them. */
static size_t piece(struct ch_str s, size_t at)
{
	size_t end = s.n - at > PIECE ? at + PIECE : s.n;

	while (end < s.n && ((unsigned char)s.p[end] & 0xc0) == 0x80)
		end++;
	return end - at;
}

static void on_time(void *data)
{
	struct call *call = data;
	size_t n = piece(call->text, call->sent);
	struct ch_inference_delta d = { .size = sizeof(d), .text = { call->text.p + call->sent, n } };

	call->sent += n;
	call->paused = n && call->sink.delta(call->c, call->sink.arg, &d) == CH_AGAIN;
	if (call->out->call != call || call->paused)
		return; /* cancelled by its own sink, or no more for now */
	if (call->sent < call->text.n)
		ch_timer_set(call->timer, 0); /* one a turn of the loop: a long answer must not hold up its neighbours */
	else
		finish(call);
}

static int stream(struct ch_ctx *c, struct ch_str text, const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	struct call *call = ch_alloc(c, sizeof(*call));

	if (call)
		call->timer = ch_timer(ch_loop(c), on_time, call);
	if (!call || !call->timer) {
		refuse(out, CH_E_OVERLOADED, no_memory);
		return CH_OK;
	}
	call->c = c;
	call->out = out;
	call->sink = *sink;
	call->ticket = ticket;
	call->text = text;
	out->call = call;
	ch_timer_set(call->timer, 0); /* nothing is called back inside the call */
	return CH_AGAIN;
}

static int submit(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args, const struct ch_inference_sink *sink,
	struct ch_inference_result *out, ch_ticket ticket)
{
	struct ch_str text;

	if (args->op != CH_I_CHAT) {
		refuse(out, CH_E_NOT_IMPLEMENTED, "This backend answers chats and nothing else.");
		return CH_OK;
	}
	if (!answer(svc, c, args, out, &text))
		return CH_OK;
	if (sink)
		return stream(c, text, sink, out, ticket);
	out->text = text;
	return CH_OK; /* the ticket is untouched: the answer is there at once */
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

/* May come twice, and after the end: out->call tells. */
static void cancel(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	(void)svc;
	(void)c;
	if (!out->call)
		return;
	refuse(out, CH_E_UPSTREAM_UNAVAILABLE, "The call was given up.");
	finish(out->call);
}

/* ---- tables ---- */

static const struct ch_option options[] = {
	CH_OPT(struct skeleton_conf, model, STR, .flags = CH_O_REQUIRED, .def = "parrot", .help = "The name of its one model"),
	CH_OPT(struct skeleton_conf, intro, STR, .def = "You said: ", .help = "What stands before what was said"),
};

/* What callers may ask for: chats, and nothing beside text. */
static const struct ch_inference_about *about(const struct ch_svc *svc)
{
	static const struct ch_inference_about what = { .size = sizeof(what), .provider = "skeleton", .ops = 1u << CH_I_CHAT };

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

/* Who asks for `auto` gets the provider of highest rank. */
static const struct ch_provide provides[] = {
	{ .iface = "inference/1", .vt = &inference, .rank = 0 },
};

static const struct ch_plugin skeleton_plugin = {
	.size = sizeof(skeleton_plugin), /* how the host knows what this plugin was built with */
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "skeleton",
	.version = "0.1.0",
	.summary = "A backend that says what it was told",
	.conf_size = sizeof(struct skeleton_conf),
	.options = CH_TABLE(options),
	.provides = CH_TABLE(provides),
};

/* The one exported symbol. */
CH_PLUGIN(skeleton, skeleton_plugin)
