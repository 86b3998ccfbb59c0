/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plugin/host.h"

#include "core/http/http.h"
#include "core/log/log.h"
#include "core/metrics/metrics.h"
#include "core/plugin/capability.h"
#include "core/plugin/command.h"
#include "core/plugin/control.h"
#include "core/plugin/degraded.h"
#include "core/plugin/misuse.h"
#include "core/plugin/resolve.h"
#include "core/plugin/secret.h"
#include "core/plugin/thread.h"

#include <stdio.h>
#include <stdlib.h>

struct chi_surroundings chi_around;

/* ---- ctx ---- */

static void *host_alloc(struct ch_ctx *c, size_t n)
{
	return chi_arena_has(&c->arena, n) ? chi_arena_alloc(&c->arena, n) : NULL;
}

static char *host_vprint(struct ch_ctx *c, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	char *p = n < 0 || !chi_arena_has(&c->arena, (size_t)n + 1) ? NULL : chi_arena_raw(&c->arena, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

static struct ch_facts *host_facts(struct ch_ctx *c)
{
	return &c->facts;
}

static void **host_slot(struct ch_self *s, struct ch_ctx *c)
{
	return &c->slots[chi_inst_of(s)->slot];
}

static struct ch_loop *host_loop(struct ch_ctx *c)
{
	return c->loop;
}

static int64_t host_deadline(struct ch_ctx *c)
{
	return c->deadline;
}

static void host_deadline_set(struct ch_ctx *c, int64_t at)
{
	if (at > 0 && (!c->deadline || at < c->deadline))
		c->deadline = at;
}

/* ---- request ---- */

static const struct ch_str nothing = { NULL, 0 };

static bool host_is_http(struct ch_ctx *c)
{
	return c->req != NULL;
}

static struct ch_str host_path(struct ch_ctx *c)
{
	return c->req ? (struct ch_str){ c->req->path, c->req->path_len } : nothing;
}

static struct ch_str host_query(struct ch_ctx *c)
{
	return c->req ? c->req->query : nothing;
}

static struct ch_str host_param(struct ch_ctx *c, const char *name)
{
	return c->req ? chi_req_param(c->req, name) : nothing;
}

static struct ch_str host_header(struct ch_ctx *c, const char *name, size_t n)
{
	if (!c->req)
		return nothing;
	const struct ch_h1_field *f = ch_h1_find(&c->req->head, c->req->raw, name, n);
	return f ? (struct ch_str){ c->req->raw + f->value.off, f->value.len } : nothing;
}

static bool host_header_at(struct ch_ctx *c, size_t i, struct ch_str *name, struct ch_str *value)
{
	if (!c->req || i >= c->req->head.nfields)
		return false;
	const struct ch_h1_field *f = &c->req->head.fields[i];
	*name = (struct ch_str){ c->req->raw + f->name.off, f->name.len };
	*value = (struct ch_str){ c->req->raw + f->value.off, f->value.len };
	return true;
}

static const struct ch_route *host_route(struct ch_ctx *c)
{
	return c->req && c->req->route ? c->req->route->def : NULL;
}

static bool host_answer_header_at(struct ch_ctx *c, size_t i, struct ch_str *name, struct ch_str *value)
{
	return c->req && chi_resp_header_at(c->req, i, name, value);
}

static void host_outlive(struct ch_ctx *c, bool (*wanted)(void *), void *data)
{
	if (!c->req)
		return;
	c->req->outlive = wanted;
	c->req->outlive_data = data;
}

static void host_forsake(struct ch_ctx *c)
{
	if (c->req)
		chi_req_forsake(c->req);
}

static struct ch_str host_body(struct ch_ctx *c)
{
	return c->req ? (struct ch_str){ c->req->body, c->req->body_len } : nothing;
}

static bool host_peer_trusted(struct ch_ctx *c)
{
	return c->req && c->req->conn && chi_proxy_trusted(c->req->conn);
}

/* ---- answer ---- */

static int host_status(struct ch_ctx *c)
{
	return c->req ? c->req->status : 0;
}

/* The plugin asks for what the answer is too far for, or not far enough: it gets CH_ERROR, and hears of it. */
static void too_late(struct ch_ctx *c, bool it_is, const char *what)
{
	if (it_is)
		chi_misuse(chi_ctx_who(c), c, "it called %s", what);
}

static bool answered(const struct chi_req *r)
{
	return r->begun || r->answered;
}

static int host_header_set(struct ch_ctx *c, const char *name, size_t nn, const char *value, size_t vn)
{
	if (!c->req)
		return CH_ERROR;
	too_late(c, c->req->head_sent || c->req->pending, "ch_header_set after the head of the answer: set it before ch_begin, or in a RESPONSE hook");
	return chi_resp_header(c->req, name, nn, value, vn);
}

static int host_length(struct ch_ctx *c, uint64_t n)
{
	if (!c->req)
		return CH_ERROR;
	too_late(c, answered(c->req), "ch_length after the head of the answer: call it before ch_begin");
	return chi_resp_length(c->req, n);
}

static int host_begin(struct ch_ctx *c, int status)
{
	if (!c->req)
		return CH_ERROR;
	too_late(c, answered(c->req), "ch_begin for a request that is answered: answer each once");
	return chi_resp_begin(c->req, status);
}

static int host_write(struct ch_ctx *c, const void *p, size_t n, ch_fn release, void *arg)
{
	if (c->req) {
		too_late(c, !c->req->begun, "ch_write before ch_begin");
		too_late(c, c->req->ended || c->req->aborted, "ch_write after the answer's end: nothing goes behind ch_end or ch_abort");
		return chi_resp_write(c->req, p, n, release, arg);
	}
	if (release)
		release(arg);
	return CH_ERROR;
}

static int host_end(struct ch_ctx *c)
{
	if (!c->req)
		return CH_ERROR;
	too_late(c, !c->req->begun, "ch_end before ch_begin");
	too_late(c, c->req->ended || c->req->aborted, "ch_end after the answer's end: ch_end or ch_abort once");
	return chi_resp_end(c->req);
}

static void host_abort(struct ch_ctx *c)
{
	if (c->req)
		chi_resp_abort(c->req);
}

static void host_on_writable(struct ch_ctx *c, ch_fn fn, void *data)
{
	if (c->req) {
		c->req->on_writable = fn;
		c->req->on_writable_data = data;
	} else {
		chi_command_on_writable(c, fn, data);
	}
}

static int host_respond(struct ch_ctx *c, int status, const char *type, const void *body, size_t n)
{
	if (!c->req)
		return CH_DONE;
	too_late(c, answered(c->req), "ch_respond for a request that is answered: answer each once");
	return chi_resp_whole(c->req, status, type, body, n);
}

static int host_refuse_as(struct ch_ctx *c, const struct ch_refusal *what)
{
	struct ch_refusal full = { .size = 0 };
	memcpy(&full, what, what->size < sizeof full ? what->size : sizeof full);
	too_late(c, c->req && answered(c->req), "ch_refuse for a request that is answered: answer each once");
	if (!c->req || !answered(c->req))
		c->facts.code = chi_problem_name(full.code);
	if (c->command)
		chi_command_refuse(c, full.detail ? full.detail : chi_problem_name(full.code));
	return c->req ? chi_problem_as(c->req, &full) : CH_DONE;
}

static int host_vrefuse(struct ch_ctx *c, int code, int64_t retry_after_ms, const char *param, const char *fmt, va_list ap)
{
	char detail[1024];
	vsnprintf(detail, sizeof detail, fmt, ap);
	return host_refuse_as(c, &(struct ch_refusal){ .size = sizeof(struct ch_refusal),
					 .code = code,
					 .retry_after_ms = retry_after_ms,
					 .param = param,
					 .detail = detail });
}

/* ---- loops ---- */

static struct ch_loop *host_loop_at(unsigned i)
{
	return i < chi_around.nloops ? chi_around.loops[i] : NULL;
}

/*
 * The debug host looks whether a thing of a loop is used on that loop's thread. The production host cannot help: what another thread did to a
 * loop is done.
 */
static void on_loop(const struct ch_loop *l, const char *what)
{
	if (chi_strict && chi_loop_here() != l)
		chi_misuse(NULL, NULL, "%s was called off the loop %s: only functions marked [any] in plugin.h may be; use ch_post", what, l->name);
}

static struct ch_watch *host_watch(struct ch_loop *l, int fd, int events, ch_watch_fn fn, void *data)
{
	on_loop(l, "ch_watch");
	return chi_watch_new(l, fd, events, fn, data);
}

static void host_watch_set(struct ch_watch *w, int events)
{
	on_loop(w->loop, "ch_watch_set");
	chi_watch_set(w, events);
}

static void host_watch_free(struct ch_watch *w)
{
	if (w)
		on_loop(w->loop, "ch_watch_free");
	chi_watch_free(w);
}

static struct ch_timer *host_timer(struct ch_loop *l, ch_fn fn, void *data)
{
	on_loop(l, "ch_timer");
	return chi_timer_new(l, fn, data);
}

static void host_timer_set(struct ch_timer *t, int64_t ms)
{
	on_loop(t->loop, "ch_timer_set");
	chi_timer_set(t, ms);
}

static void host_timer_free(struct ch_timer *t)
{
	if (t)
		on_loop(t->loop, "ch_timer_free");
	chi_timer_free(t);
}

static void host_turn_end(struct ch_loop *l, ch_fn fn, void *data)
{
	on_loop(l, "ch_turn_end");
	chi_loop_turn_end(l, fn, data);
}

static unsigned host_loop_index(struct ch_loop *l)
{
	return l->index;
}

static void **host_loop_state(struct ch_self *s, struct ch_loop *l)
{
	return &chi_inst_of(s)->loop_state[l->index];
}

static bool host_offload(struct ch_self *s, void *(*work)(void *), void *data, ch_ticket t, ch_fn drop)
{
	return chi_around.offload(chi_inst_of(s), work, data, t, drop);
}

static bool host_task(struct ch_self *s, struct ch_loop *l, int64_t timeout_ms, ch_task_fn fn, void *data, ch_fn drop)
{
	return chi_task_start(chi_inst_of(s), l ? l : chi_around.loops[chi_around.nloops - 1], timeout_ms, fn, data, drop);
}

/* ---- metrics, log, server ---- */

static unsigned host_series(struct ch_self *s, unsigned index, const char *const *values)
{
	return index < s->plugin->metrics.n ? chi_metrics_series(chi_inst_of(s)->families[index], values) : 0;
}

static void host_add(unsigned series, double v)
{
	chi_metrics_add(series, v);
}

static void host_vlog(struct ch_self *s, struct ch_ctx *c, int level, const char *fmt, va_list ap)
{
	if (level == CH_ERR)
		chi_starting_said(s, fmt, ap);
	if (!chi_log_on(level))
		return;
	chi_vlog(level, &(struct chi_log_fields){ .plugin = s ? s->id : NULL, .req_id = c ? c->facts.req_id : NULL,
	                                          .trace_id = c ? c->facts.trace_id : NULL }, fmt, ap);
}

static void host_vconfig_error(struct ch_self *s, const char *row, const char *key, const char *fmt, va_list ap)
{
	if (chi_checking.report)
		chi_conf_problem(chi_inst_of(s)->conf, row, key, chi_checking.report, CHI_R_ERROR, fmt, ap);
	else
		host_vlog(s, NULL, CH_ERR, fmt, ap);
}

static void host_server(struct ch_server *out)
{
	struct ch_server full = { .size = sizeof full };
	size_t n = out->size < sizeof full ? out->size : sizeof full;
	if (chi_around.server)
		chi_around.server(&full);
	if (chi_checking.report) /* what is checked is the profile to be */
		full.profile = chi_profile_name(chi_checking.profile);
	memcpy(out, &full, n);
	out->size = n;
}

static void host_checks_walk(void (*fn)(void *, const struct ch_check_state *), void *data)
{
	chi_around.checks_walk(fn, data);
}

static void host_checks_interval(struct ch_self *s, int64_t ms)
{
	chi_inst_of(s)->checks_interval = ms;
}

static void host_instances_walk(struct ch_self *s, void (*fn)(void *, const struct ch_instance *), void *data)
{
	const struct ch_loop *l = chi_loop_here();
	const struct chi_gen *g = l ? chi_gen_of(l, chi_inst_of(s)) : chi_inst_of(s)->born;
	for (size_t k = 0; g && k < g->conf->ninsts; k++) { /* of the config: a process for one command has built but a few of them */
		const struct chi_conf_inst *conf = g->conf->insts[k];
		const struct chi_inst *i = chi_gen_find(g, conf->id);
		fn(data, &(struct ch_instance){ .size = sizeof(struct ch_instance),
				 .id = conf->id,
				 .plugin = conf->plugin->name,
				 .needed = i && chi_gen_needed(g, i),
				 .provides = conf->plugin->provides });
	}
}

/* ---- calls, seams, spans, commands ---- */

static bool host_fault(struct ch_ctx *c, int seam, struct ch_fault *out)
{
	if (seam < 0 || seam >= CH_SEAMS || !c->gen->seams[seam].fn)
		return false;
	return c->gen->seams[seam].fn(&c->gen->seams[seam].inst->self, c, out);
}

static int host_vout(struct ch_ctx *c, const char *fmt, va_list ap)
{
	char small[1024], *text = small;
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof small, fmt, again);
	va_end(again);
	if (n >= (int)sizeof small && (text = malloc((size_t)n + 1)))
		vsnprintf(text, (size_t)n + 1, fmt, ap);
	too_late(c, !c->command, "ch_out outside of a command");
	int rc = n < 0 || !text ? CH_ERROR : chi_command_out(c, text, (size_t)n);
	if (text != small)
		free(text);
	return rc;
}

/* ---- threads, names, secrets ---- */

static int host_resolve(struct ch_self *s, const char *host, struct ch_addrs *out, ch_ticket t)
{
	return chi_resolve(chi_inst_of(s), host, out, t);
}

static struct ch_thread *host_thread(struct ch_self *s, const char *name, ch_fn fn, void *data)
{
	return chi_thread_new(s, name, fn, data);
}

const struct ch_host chi_host = {
	.size = sizeof(struct ch_host),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.alloc = host_alloc,
	.vprint = host_vprint,
	.facts = host_facts,
	.slot = host_slot,
	.loop = host_loop,
	.deadline = host_deadline,
	.deadline_set = host_deadline_set,
	.suspend = chi_ticket_new,
	.unsuspend = chi_ticket_take_back,
	.resume = chi_ticket_resume,
	.is_http = host_is_http,
	.path = host_path,
	.query = host_query,
	.param = host_param,
	.header = host_header,
	.header_at = host_header_at,
	.body = host_body,
	.peer_trusted = host_peer_trusted,
	.status = host_status,
	.header_set = host_header_set,
	.length = host_length,
	.begin = host_begin,
	.write = host_write,
	.end = host_end,
	.abort_ = host_abort,
	.on_writable = host_on_writable,
	.respond = host_respond,
	.vrefuse = host_vrefuse,
	.watch = host_watch,
	.watch_set = host_watch_set,
	.watch_free = host_watch_free,
	.timer = host_timer,
	.timer_set = host_timer_set,
	.timer_free = host_timer_free,
	.post = chi_loop_post,
	.turn_end = host_turn_end,
	.now = chi_clock,
	.wall = chi_wall,
	.random = chi_random,
	.loop_at = host_loop_at,
	.loop_index = host_loop_index,
	.loop_state = host_loop_state,
	.offload = host_offload,
	.task = host_task,
	.series = host_series,
	.add = host_add,
	.set = chi_metrics_set,
	.observe = chi_metrics_observe,
	.metrics_walk = chi_metrics_walk,
	.vlog = host_vlog,
	.vconfig_error = host_vconfig_error,
	.server = host_server,
	.checks_walk = host_checks_walk,
	.code_info = chi_problem_info,
	.checks_interval = host_checks_interval,
	.instances_walk = host_instances_walk,
	.call_hooks = chi_call_hooks,
	.call_end = chi_call_end,
	.call = chi_call,
	.fault = host_fault,
	.span_begin = chi_span_begin,
	.span_note = chi_span_note,
	.span_end = chi_span_end,
	.spans_walk = chi_spans_walk,
	.vout = host_vout,
	.thread = host_thread,
	.thread_join = chi_thread_join,
	.resolve = host_resolve,
	.secret_alloc = chi_secret_alloc,
	.secret_free = chi_secret_free,
	.vdegraded = chi_degraded,
	.degraded_walk = chi_degraded_walk,
	.keep = chi_ctx_keep,
	.refuse_as = host_refuse_as,
	.progress = chi_command_progress,
	.hold = chi_ctx_hold,
	.let_go = chi_ctx_let_go,
	.route = host_route,
	.answer_header_at = host_answer_header_at,
	.outlive = host_outlive,
	.forsake = host_forsake,
	.capability = chi_capability,
	.capabilities_walk = chi_capabilities_walk,
};
