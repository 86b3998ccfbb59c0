/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's side of commands: GET /control/commands, and POST /control/run/{instance}/{command}, whose body is a JSON array of
 * strings and whose answer is lines of JSON, each sent as it comes: {"out":"text"}, {"progress":{"done":1,"total":2,"what":"text"}}, at
 * last {"exit":0} or {"exit":1,"error":"…"}. The first line is an empty piece of output, which says at once that the server is there.
 *
 * The HTTP ctx waits by a ticket, and what is kept for the verb lies in its memory, which the ticket holds until the verb has ended.
 */
#include "core/plugin/control.h"

#include "core/http/http.h"
#include "core/log/log.h"
#include "core/plugin/command.h"

#include <chimera/json.h>
#include <stdio.h>
#include <stdlib.h>

#define UNREAD_MAX (8 << 20) /* bytes beyond stream_high that wait for a client, before it is given up */

struct run {
	struct chi_command cmd;
	struct ch_ctx *http;
	ch_ticket ticket;
	bool gone;
};

int chi_control_commands(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	struct ch_jw w;
	ch_jw_ctx(&w, c, 2048);
	chi_commands_json(c->gen, &w);
	if (w.failed)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "the answer does not fit into the request's memory");
	return ch_respond(c, 200, "application/json", w.buf, w.len);
}

/* ---- what is asked for ---- */

/* The strings of the body, in the ctx's memory. CH_OK, or what came of it. */
static int arguments(struct ch_ctx *c, size_t *argc, const char *const **argv)
{
	static const char wrong[] = "the body must be a JSON array of strings without NUL bytes, the arguments: [\"one\",\"two\"]";
	struct ch_str b = ch_body(c);
	struct ch_json j;
	struct ch_json_tok tok;
	size_t n = 0, most = 1;
	*argc = 0;
	for (size_t k = 0; k < b.n; k++)
		most += b.p[k] == ',';
	const char **v = ch_alloc(c, most * sizeof *v);
	char *text = ch_alloc(c, b.n + most); /* decoding never grows; a NUL behind each */
	if (!v || !text)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "the arguments do not fit into the request's memory");
	*argv = v;
	if (!b.n)
		return CH_OK;
	ch_json_init(&j, b.p, b.n, 1, 0);
	if (ch_json_next(&j, &tok) != CH_JSON_ARRAY)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", wrong);
	while (ch_json_next(&j, &tok) == CH_JSON_STRING) {
		size_t len = ch_json_unescape(&tok, text);
		if (memchr(text, 0, len))
			return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", wrong);
		text[len] = 0;
		v[n++] = text;
		text += len + 1;
	}
	if (tok.type != CH_JSON_ARRAY_END || ch_json_next(&j, &tok) != CH_JSON_END)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", wrong);
	*argc = n;
	return CH_OK;
}

static char *param(struct ch_ctx *c, const char *name)
{
	struct ch_str s = ch_param(c, name);
	return ch_dup(c, s.p, s.n);
}

/* ---- what is answered ---- */

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	(void)arg;
	(void)used;
	return realloc(old, want);
}

/* Sends what the writer has, whose buffer becomes the connection's. CH_DONE: nobody reads. */
static int send_line(struct run *r, struct ch_jw *w)
{
	if (!w->failed)
		return ch_write(r->http, w->buf, w->len, free, w->buf);
	free(w->buf);
	if (r->http->req->conn) /* no memory: a piece must not be missing unseen */
		chi_conn_lost(r->http->req->conn);
	return CH_DONE;
}

static struct ch_jw writer(void)
{
	struct ch_jw w;
	ch_jw_init(&w, NULL, 0);
	w.grow = grow;
	return w;
}

static int on_out(struct chi_command *cmd, const char *p, size_t n)
{
	struct run *r = cmd->arg;
	struct chi_conn *conn = r->http->req->conn;
	struct ch_jw w = writer();
	if (!conn)
		return CH_DONE;
	if (conn->out_bytes > (size_t)conn->http->conf->stream_high + UNREAD_MAX) {
		chi_log(CH_WARN, &(struct chi_log_fields){ .plugin = cmd->inst->self.id },
			"command %s: its asker does not read, %zu bytes wait: it is given up", cmd->row->name, conn->out_bytes);
		chi_conn_lost(conn);
		return CH_DONE;
	}
	chi_command_line(&w, p, n);
	return send_line(r, &w);
}

/* For whoever looks on: one who does not read what came before sees it later, or not at all. */
static void on_progress(struct chi_command *cmd, uint64_t done, uint64_t total, const char *what)
{
	struct run *r = cmd->arg;
	struct chi_conn *conn = r->http->req->conn;
	struct ch_jw w = writer();
	if (!conn || conn->out_bytes > (size_t)conn->http->conf->stream_high)
		return;
	chi_command_far(&w, done, total, what);
	if (!w.failed)
		send_line(r, &w);
	else
		free(w.buf);
}

static void on_writable(void *data)
{
	struct run *r = data;
	if (!r->gone)
		chi_command_writable(&r->cmd);
}

static void on_ended(struct chi_command *cmd, int code)
{
	struct run *r = cmd->arg;
	struct ch_jw w = writer();
	if (!r->gone) {
		ch_on_writable(r->http, NULL, NULL);
		chi_command_last(&w, code, cmd->why);
		if (send_line(r, &w) != CH_DONE)
			ch_end(r->http);
	}
	ch_resume(r->ticket, NULL, NULL);
}

static int on_resumed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct run *r = data;
	(void)c;
	(void)result;
	if (why != CH_READY) {
		r->gone = true;
		chi_command_gone(&r->cmd);
	}
	return CH_DONE;
}

static int begin(struct ch_ctx *c, struct chi_inst *inst, const struct ch_command *row, size_t argc, const char *const *argv)
{
	struct run *r = ch_alloc(c, sizeof *r);
	ch_ticket t = r ? chi_ticket_timeless(c, on_resumed, r) : 0; /* a request's time limit is not a command's */
	if (!t)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for a command now");
	*r = (struct run){ .cmd = { .row = row, .inst = inst, .out = on_out, .progress = on_progress, .ended = on_ended, .arg = r }, .http = c, .ticket = t };
	ch_header_set(c, "Content-Type", "application/x-ndjson");
	if (ch_begin(c, 200) != CH_OK || on_out(&r->cmd, "", 0) == CH_DONE) {
		ch_unsuspend(t);
		return CH_DONE;
	}
	ch_on_writable(c, on_writable, r);
	chi_command_run(&r->cmd, c->loop, c->gen, argc, argv);
	return CH_AGAIN;
}

int chi_control_run(struct ch_self *self, struct ch_ctx *c)
{
	(void)self;
	const char *id = param(c, "instance"), *name = param(c, "command"), *const *argv = NULL;
	if (!id || !name)
		return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for a command now");
	struct chi_inst *inst = chi_gen_find(c->gen, id);
	const struct ch_command *row = NULL;
	char why[1024] = "";
	size_t argc = 0;
	if (!inst)
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "the running server has no instance '%.80s': chimeractl run lists what there is",
			id);
	if (!(row = chi_command_find(inst, name, why, sizeof why)))
		return ch_refuse(c, CH_E_NOT_FOUND, 0, "%s", why);
	if (!(row->modes & CH_LIVE))
		return ch_refuse(c, CH_E_CONFLICT, 0,
			"'%s' works on data that the running server uses: stop the server first, or --offline if this one uses other data",
			name);
	int rc = arguments(c, &argc, &argv);
	if (rc != CH_OK)
		return rc;
	if (!chi_command_fits(row, argc, why, sizeof why))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", why);
	return begin(c, inst, row, argc, argv);
}
