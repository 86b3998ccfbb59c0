/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_misuse.c - a test plugin: what no plugin may do, and what looks like it and is allowed. GET /misuse?how=WORD; the words are the rows of
 * the table at the end, with what is wrong about each. The field X-Hook: WORD does the same in the LIMIT hook.
 *
 * Threads and ownership: everything on the request's loop, but for timer_off_loop, which is the mistake.
 */
#include <chimera/inference.h>

#include "query.h"
#include "tsvc.h"

struct t_misuse_conf {
	const struct ch_svc *service, *backend;
};

/* Lives in the ctx; found by ch_slot. */
struct misuse {
	struct ch_self *self;
	struct ch_ctx *c;
	ch_ticket ticket, left;
	struct ch_timer *timer;
	struct tsvc_result number;
	struct ch_inference_args args;
	struct ch_inference_result answer;
	int pieces, released;
};

static int ok(struct ch_ctx *c)
{
	return ch_respond(c, 200, "text/plain", "survived", 8);
}

static bool start_timer(struct misuse *m, ch_fn fn, int64_t ms)
{
	m->timer = ch_timer(ch_loop(m->c), fn, m);
	if (m->timer)
		ch_timer_set(m->timer, ms);
	return m->timer != NULL;
}

static void stop_timer(struct misuse *m)
{
	ch_timer_free(m->timer);
	m->timer = NULL;
}

/* ---- tickets ---- */

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct misuse *m = data;

	(void)result;
	if (why != CH_READY)
		ch_unsuspend(m->ticket);
	stop_timer(m);
	return why == CH_GONE ? CH_DONE : ok(c);
}

static int again(struct misuse *m)
{
	(void)m;
	return CH_AGAIN;
}

static int on_over_again(struct ch_ctx *c, void *data, int why, void *result)
{
	on_over(c, data, CH_GONE, result);
	return why == CH_GONE ? CH_DONE : CH_AGAIN;
}

static int again_after(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 5, on_over_again, m);
	return CH_AGAIN;
}

static int on_over_error(struct ch_ctx *c, void *data, int why, void *result)
{
	on_over(c, data, CH_GONE, result);
	return why == CH_GONE ? CH_DONE : CH_ERROR;
}

static int error_after(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 5, on_over_error, m);
	return CH_AGAIN;
}

static int ticket_left(struct misuse *m)
{
	m->left = ch_suspend(m->c, 0, on_over, m); /* END takes it back */
	return CH_OK;
}

static int double_resume(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 0, on_over, m);
	ch_resume(m->ticket, NULL, NULL);
	ch_resume(m->ticket, NULL, NULL);
	return CH_AGAIN;
}

static int resume_taken_back(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 0, on_over, m);
	ch_unsuspend(m->ticket);
	ch_resume(m->ticket, NULL, NULL);
	return ok(m->c);
}

static void on_take_back(void *data)
{
	struct misuse *m = data;

	stop_timer(m);
	ch_unsuspend(m->ticket);
}

static int take_back_last(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 0, on_over, m);
	return start_timer(m, on_take_back, 5) ? CH_AGAIN : CH_ERROR;
}

static int take_back_resumed(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 0, on_over, m);
	ch_resume(m->ticket, NULL, NULL);
	ch_unsuspend(m->ticket);
	return CH_AGAIN;
}

/* Allowed: the operation was still running at the timeout, and its holder confirms later. */
static int on_timeout(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	return why == CH_TIMEOUT ? ok(c) : CH_DONE;
}

static void on_resume(void *data)
{
	struct misuse *m = data;

	ch_timer_free(m->timer);
	ch_resume(m->ticket, NULL, NULL);
}

static int late_resume(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 5, on_timeout, m);
	return start_timer(m, on_resume, 30) ? CH_AGAIN : CH_ERROR;
}

/* ---- return values ---- */

static int value(struct misuse *m)
{
	(void)m;
	return 503;
}

static int error(struct misuse *m)
{
	(void)m;
	return CH_ERROR;
}

static int nothing(struct misuse *m)
{
	(void)m;
	return CH_DONE;
}

/* ---- the answer ---- */

static int respond_twice(struct misuse *m)
{
	ok(m->c);
	ch_respond(m->c, 201, "text/plain", "again", 5);
	return CH_DONE;
}

static int refuse_after_respond(struct misuse *m)
{
	ok(m->c);
	ch_refuse(m->c, CH_E_CONFLICT, 0, "changed its mind");
	return CH_DONE;
}

static int respond_after_begin(struct misuse *m)
{
	ch_begin(m->c, 200);
	ok(m->c);
	ch_write(m->c, "survived", 8, NULL, NULL);
	ch_end(m->c);
	return CH_DONE;
}

static int begin_twice(struct misuse *m)
{
	ch_begin(m->c, 200);
	return respond_after_begin(m);
}

static int write_before_begin(struct misuse *m)
{
	ch_write(m->c, "lost", 4, NULL, NULL);
	return ok(m->c);
}

static int end_before_begin(struct misuse *m)
{
	ch_end(m->c);
	return ok(m->c);
}

static int stream(struct misuse *m)
{
	ch_header_set(m->c, "Content-Type", "text/plain");
	ch_begin(m->c, 200);
	ch_write(m->c, "survived", 8, NULL, NULL);
	ch_end(m->c);
	return CH_DONE;
}

static void release(void *data)
{
	struct misuse *m = data;

	m->released++;
}

static int write_after_end(struct misuse *m)
{
	stream(m);
	ch_write(m->c, "lost", 4, release, m);
	return m->released == 1 ? CH_DONE : CH_ERROR; /* what was lent comes back, whatever happened */
}

static int end_twice(struct misuse *m)
{
	stream(m);
	ch_end(m->c);
	return CH_DONE;
}

static int header_after_head(struct misuse *m)
{
	stream(m);
	ch_header_set(m->c, "X-Late", "yes");
	return CH_DONE;
}

static int length_after_head(struct misuse *m)
{
	stream(m);
	ch_length(m->c, 8);
	return CH_DONE;
}

static int out(struct misuse *m)
{
	ch_out(m->c, "%s", "nobody typed this");
	return ok(m->c);
}

/* ---- questions ---- */

struct question { /* our own kind of question */
	size_t size;
	const char *iface;
	bool wait;
	ch_ticket ticket;
};

static int on_passed(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c;
	(void)data;
	(void)why;
	(void)result;
	return CH_OK;
}

static int on_call(struct ch_self *self, struct ch_ctx *c)
{
	struct question *q = ch_call(c);

	(void)self;
	if (strcmp(q->iface, "misuse/1") || !q->wait)
		return CH_OK;
	q->ticket = ch_suspend(c, 10, on_passed, q);
	return CH_AGAIN;
}

static int on_asked(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)data;
	(void)result;
	ch_call_end(c);
	return why == CH_READY ? ok(c) : CH_DONE;
}

static struct question *question(struct misuse *m, bool wait)
{
	struct question *q = ch_alloc(m->c, sizeof(*q));

	if (q)
		*q = (struct question){ sizeof(*q), "misuse/1", wait, 0 };
	return q;
}

static int end_without_question(struct misuse *m)
{
	ch_call_end(m->c);
	return ok(m->c);
}

static int two_questions(struct misuse *m)
{
	ch_call_hooks(m->c, question(m, false), on_asked, m);
	ch_call_hooks(m->c, question(m, false), on_asked, m);
	ch_call_end(m->c);
	return ok(m->c);
}

static int question_with_ticket(struct misuse *m)
{
	m->ticket = ch_suspend(m->c, 0, on_over, m);
	ch_call_hooks(m->c, question(m, false), on_asked, m);
	ch_unsuspend(m->ticket);
	return ok(m->c);
}

static int end_forgotten(struct misuse *m)
{
	ch_call_hooks(m->c, question(m, false), on_asked, m);
	return ok(m->c);
}

static int again_dropped(struct misuse *m)
{
	struct question *q = question(m, true);

	ch_call_hooks(m->c, q, on_asked, m); /* CH_AGAIN, which ought to be returned */
	ch_unsuspend(q->ticket);
	return ok(m->c);
}

/* ---- services: allowed, however late and often ---- */

static int on_number(struct ch_ctx *c, void *data, int why, void *result)
{
	struct misuse *m = data;
	const struct t_misuse_conf *conf = m->self->conf;
	const struct tsvc_v1 *vt = conf->service->vt;

	(void)result;
	vt->cancel(conf->service, c, &m->number);
	vt->cancel(conf->service, c, &m->number);
	return why == CH_GONE ? CH_DONE : ok(c);
}

static int cancel_after(struct misuse *m)
{
	const struct t_misuse_conf *conf = m->self->conf;

	if (!conf->service)
		return ch_refuse(m->c, CH_E_UNAVAILABLE, 0, "no tsvc/1 is enabled: add [t_service]");
	m->number.size = sizeof(m->number);
	m->ticket = ch_suspend(m->c, 0, on_number, m);
	return ((const struct tsvc_v1 *)conf->service->vt)->twice(conf->service, m->c, 21, 5, &m->number, m->ticket);
}

static const struct ch_message message = { .role = CH_STR("user"), .content = CH_STR("hello") };

static int on_delta(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct misuse *m = arg;
	const struct t_misuse_conf *conf = m->self->conf;
	const struct ch_inference_v1 *vt = conf->backend->vt;

	(void)d;
	if (++m->pieces == 3) { /* in the middle: from the sink, and once more */
		vt->cancel(conf->backend, c, &m->answer);
		vt->cancel(conf->backend, c, &m->answer);
	}
	return CH_OK;
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct misuse *m = data;
	const struct t_misuse_conf *conf = m->self->conf;
	const struct ch_inference_v1 *vt = conf->backend->vt;

	(void)result;
	vt->cancel(conf->backend, c, &m->answer);
	return why == CH_GONE ? CH_DONE : ok(c);
}

static int infer(struct misuse *m, bool stream_it)
{
	const struct t_misuse_conf *conf = m->self->conf;
	const struct ch_inference_v1 *vt = conf->backend ? conf->backend->vt : NULL;
	const struct ch_inference_sink sink = { sizeof(sink), on_delta, m };
	int rc;

	if (!vt)
		return ch_refuse(m->c, CH_E_UNAVAILABLE, 0, "no inference/1 is enabled: add [dryrun]");
	m->args = (struct ch_inference_args){ .size = sizeof(m->args), .op = CH_I_CHAT, .messages = &message, .nmessages = 1,
		.temperature = -1, .top_p = -1 };
	m->answer.size = sizeof(m->answer);
	m->ticket = ch_suspend(m->c, 0, on_answer, m);
	rc = vt->submit(conf->backend, m->c, &m->args, stream_it ? &sink : NULL, &m->answer, m->ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(m->ticket);
	vt->cancel(conf->backend, m->c, &m->answer); /* there is nothing to cancel any more */
	return rc == CH_OK ? ok(m->c) : CH_ERROR;
}

static int cancel_complete(struct misuse *m)
{
	return infer(m, false);
}

static int cancel_stream(struct misuse *m)
{
	return infer(m, true);
}

/* A sink that is full at each piece: go_on brings the next. */
static void on_go_on(void *data)
{
	struct misuse *m = data;
	const struct t_misuse_conf *conf = m->self->conf;

	((const struct ch_inference_v1 *)conf->backend->vt)->go_on(conf->backend, m->c, &m->answer);
}

static int on_full(struct ch_ctx *c, void *arg, const struct ch_inference_delta *d)
{
	struct misuse *m = arg;

	(void)d;
	m->pieces++;
	ch_turn_end(ch_loop(c), on_go_on, m);
	return CH_AGAIN;
}

static int full_sink(struct misuse *m)
{
	const struct t_misuse_conf *conf = m->self->conf;
	const struct ch_inference_sink sink = { sizeof(sink), on_full, m };
	int rc;

	if (!conf->backend)
		return ch_refuse(m->c, CH_E_UNAVAILABLE, 0, "no inference/1 is enabled: add [dryrun]");
	m->args = (struct ch_inference_args){ .size = sizeof(m->args), .op = CH_I_CHAT, .messages = &message, .nmessages = 1,
		.max_tokens = 5, .temperature = -1, .top_p = -1 };
	m->answer.size = sizeof(m->answer);
	m->ticket = ch_suspend(m->c, 0, on_answer, m);
	rc = ((const struct ch_inference_v1 *)conf->backend->vt)->submit(conf->backend, m->c, &m->args, &sink, &m->answer, m->ticket);
	if (rc != CH_AGAIN)
		ch_unsuspend(m->ticket);
	return rc;
}

/* ---- the rest ---- */

static int no_such_series(struct misuse *m)
{
	unsigned series = ch_series(m->self, 99, (const char *const[]){ "a", "b", "c", "d" });

	ch_add(series, 1);
	ch_set(series, 1);
	ch_observe(series, 1);
	return ok(m->c);
}

static int no_such_span(struct misuse *m)
{
	ch_span_end(m->c, 77, true);
	ch_span_note(m->c, 0, "key", "value");
	return ok(m->c);
}

static int no_such_seam(struct misuse *m)
{
	struct ch_fault f = { .size = sizeof(f) };

	return ch_fault(m->c, (enum ch_seam_name)-1, &f) || ch_fault(m->c, CH_SEAMS, &f) ? CH_ERROR : ok(m->c);
}

static void *set_in_pool(void *data)
{
	struct misuse *m = data;

	ch_timer_set(m->timer, 1);
	return NULL;
}

static int on_pool(struct ch_ctx *c, void *data, int why, void *result)
{
	struct misuse *m = data;

	(void)result;
	ch_timer_free(m->timer);
	return why == CH_GONE ? CH_DONE : ok(c);
}

static int timer_off_loop(struct misuse *m)
{
	if (!start_timer(m, on_take_back, 60000))
		return CH_ERROR;
	m->ticket = ch_suspend(m->c, 0, on_pool, m);
	return ch_offload(m->self, set_in_pool, m, m->ticket, NULL) ? CH_AGAIN : CH_ERROR;
}

static const struct {
	const char *how;
	int (*fn)(struct misuse *);
} ways[] = {
	/* wrong: 500 */
	{ "again", again },                               /* AGAIN, and no ticket is out */
	{ "again_after", again_after },                   /* the same after a wait */
	{ "error_after", error_after },
	{ "take_back_last", take_back_last },             /* nobody will ever resume it then */
	{ "take_back_resumed", take_back_resumed },
	{ "value", value },                               /* a status is no return code */
	{ "error", error },
	{ "nothing", nothing },                           /* DONE, and no answer was made */
	/* wrong, and the request is answered all the same */
	{ "ticket_left", ticket_left },                   /* in a hook: OK, with a ticket out */
	{ "double_resume", double_resume },
	{ "resume_taken_back", resume_taken_back },
	{ "respond_twice", respond_twice },
	{ "refuse_after_respond", refuse_after_respond },
	{ "respond_after_begin", respond_after_begin },
	{ "begin_twice", begin_twice },
	{ "write_before_begin", write_before_begin },
	{ "end_before_begin", end_before_begin },
	{ "write_after_end", write_after_end },
	{ "end_twice", end_twice },
	{ "header_after_head", header_after_head },
	{ "length_after_head", length_after_head },
	{ "out", out },                                   /* outside of a command */
	{ "end_without_question", end_without_question },
	{ "two_questions", two_questions },
	{ "question_with_ticket", question_with_ticket },
	{ "end_forgotten", end_forgotten },
	{ "again_dropped", again_dropped },               /* ch_call_hooks said AGAIN, the handler did not */
	/* allowed */
	{ "late_resume", late_resume },                   /* after TIMEOUT: the confirmation that the rule asks for */
	{ "cancel_after", cancel_after },                 /* of a call that has ended, twice */
	{ "cancel_complete", cancel_complete },
	{ "cancel_stream", cancel_stream },
	{ "full_sink", full_sink },
	{ "no_such_series", no_such_series },
	{ "no_such_span", no_such_span },
	{ "no_such_seam", no_such_seam },
	/* what only the debug host can say */
	{ "timer_off_loop", timer_off_loop },
};

static int misuse(struct ch_self *self, struct ch_ctx *c, struct ch_str how)
{
	struct misuse *m = ch_alloc(c, sizeof(*m));

	if (!m)
		return CH_ERROR;
	m->self = self;
	m->c = c;
	*ch_slot(self, c) = m;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (how.n == strlen(ways[i].how) && !memcmp(how.p, ways[i].how, how.n))
			return ways[i].fn(m);
	return ch_refuse_param(c, CH_E_BAD_REQUEST, "how", "there is no misuse of that name");
}

static int get_misuse(struct ch_self *self, struct ch_ctx *c)
{
	return misuse(self, c, query_text(c, "how"));
}

static int get_ok(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	return ok(c);
}

static int on_limit(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str how = ch_header(c, "X-Hook");

	return how.n ? misuse(self, c, how) : CH_OK;
}

static int on_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct misuse *m = *ch_slot(self, c);

	if (m)
		ch_unsuspend(m->left);
	return CH_OK;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_misuse_conf, service, SERVICE, .def = "auto", .iface = "tsvc/1", .help = "The service that is cancelled"),
	CH_OPT(struct t_misuse_conf, backend, SERVICE, .def = "auto", .iface = "inference/1", .help = "The backend that is cancelled"),
};
static const struct ch_hook hooks[] = {
	{ .phase = CH_P_LIMIT, .fn = on_limit },
	{ .phase = CH_P_CALL, .fn = on_call },
	{ .phase = CH_P_END, .fn = on_end },
};
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/misuse", .fn = get_misuse, .response_type = "text/plain", .summary = "Breaks a rule" },
	{ .method = "GET", .pattern = "/misuse/ok", .fn = get_ok, .response_type = "text/plain", .summary = "Breaks none" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_misuse",
	.version = "0.1",
	.summary = "Test: what no plugin may do",
	.conf_size = sizeof(struct t_misuse_conf),
	.options = CH_TABLE(options),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_misuse, plugin)
