/* SPDX-License-Identifier: Apache-2.0 */
/*
 * b_proxy.c - for tests/bench alone: sends a request's body on to `url` by http/1 and relays the answer: POST /whole when all of it is
 * there, POST /parts piece by piece.
 *
 * Threads and ownership: a relay lies in its ctx's arena, which lives until the provider has resumed the ticket.
 */
#include <stdlib.h>

#include <chimera/http.h>

struct proxy_conf {
	const struct ch_svc *http;
	const char *url;
};

struct relay {
	struct ch_ctx *c;
	const struct ch_svc *http;
	struct ch_http_field type;
	struct ch_http_args args;
	struct ch_http_result out;
	ch_ticket ticket;
	bool begun;
};

static const struct ch_http_v1 *vt(const struct relay *r)
{
	return r->http->vt;
}

static const char *text(const struct relay *r, const char *field)
{
	struct ch_str s = ch_http_field(&r->out, field);

	return s.p ? ch_dup(r->c, s.p, s.n) : NULL;
}

/* ---- the answer ---- */

static int on_head(struct ch_ctx *c, void *arg, const struct ch_http_result *out)
{
	struct relay *r = arg;
	const char *type = text(r, "Content-Type"), *length = text(r, "Content-Length");

	if (type)
		ch_header_set(c, "Content-Type", type);
	if (length)
		ch_length(c, strtoull(length, NULL, 10));
	r->begun = ch_begin(c, out->status) == CH_OK;
	return r->begun ? CH_OK : CH_DONE;
}

static int on_data(struct ch_ctx *c, void *arg, const char *p, size_t n)
{
	int rc = ch_write(c, p, n, NULL, NULL);

	(void)arg;
	return rc == CH_OK || rc == CH_AGAIN ? rc : CH_DONE;
}

static void on_writable(void *data)
{
	struct relay *r = data;

	vt(r)->go_on(r->http, r->c, &r->out);
}

static int finish(struct relay *r)
{
	const struct ch_http_result *out = &r->out;

	if (out->error && !r->begun)
		return ch_refuse(r->c, CH_E_UPSTREAM_UNAVAILABLE, 1000, "%s", out->detail);
	if (!r->begun)
		return ch_respond(r->c, out->status, text(r, "Content-Type"), out->body.p, out->body.n);
	if (out->error)
		ch_abort(r->c);
	else
		ch_end(r->c);
	return CH_DONE;
}

static int on_answer(struct ch_ctx *c, void *data, int why, void *result)
{
	struct relay *r = data;

	(void)result;
	ch_on_writable(c, NULL, NULL);
	if (why == CH_READY)
		return finish(r);
	vt(r)->cancel(r->http, c, &r->out);
	return why == CH_GONE ? CH_DONE : ch_refuse(c, CH_E_UPSTREAM_TIMEOUT, 1000, "the other server did not answer in time");
}

/* ---- the request ---- */

static int relay(struct ch_self *self, struct ch_ctx *c, bool stream)
{
	const struct proxy_conf *conf = self->conf;
	struct relay *r = ch_alloc(c, sizeof(*r));
	const struct ch_http_sink sink = { .size = sizeof(sink), .head = on_head, .data = on_data, .arg = r };
	int rc;

	if (!r)
		return CH_ERROR;
	r->c = c;
	r->http = conf->http;
	r->type = (struct ch_http_field){ CH_STR("Content-Type"), ch_header(c, "Content-Type") };
	r->args = (struct ch_http_args){ .size = sizeof(r->args), .method = CH_STR("POST"), .url = { conf->url, strlen(conf->url) },
		.fields = &r->type, .nfields = r->type.value.p ? 1 : 0, .body = ch_body(c) };
	r->out.size = sizeof(r->out);
	r->ticket = ch_suspend(c, 0, on_answer, r);
	if (!r->ticket)
		return CH_ERROR;
	if (stream)
		ch_on_writable(c, on_writable, r);
	rc = vt(r)->request(r->http, c, &r->args, stream ? &sink : NULL, &r->out, r->ticket);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(r->ticket);
	ch_on_writable(c, NULL, NULL);
	return rc == CH_OK ? finish(r) : CH_ERROR;
}

static int post_whole(struct ch_self *self, struct ch_ctx *c) { return relay(self, c, false); }
static int post_parts(struct ch_self *self, struct ch_ctx *c) { return relay(self, c, true); }

static const struct ch_option options[] = {
	CH_OPT(struct proxy_conf, http, SERVICE, .def = "auto", .flags = CH_O_REQUIRED, .iface = "http/1", .help = "Who sends requests"),
	CH_OPT(struct proxy_conf, url, STR, .flags = CH_O_REQUIRED, .help = "Where to"),
};

static const struct ch_route routes[] = {
	{ .method = "POST", .pattern = "/whole", .cls = CH_PUBLIC, .body = CH_BODY_BUFFER, .fn = post_whole, .summary = "Relays a whole answer" },
	{ .method = "POST", .pattern = "/parts", .cls = CH_PUBLIC, .body = CH_BODY_BUFFER, .fn = post_parts, .summary = "Relays piece by piece" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "b_proxy",
	.version = "0.1",
	.summary = "A proxy by http/1, for the benchmark",
	.conf_size = sizeof(struct proxy_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(b_proxy, plugin)
