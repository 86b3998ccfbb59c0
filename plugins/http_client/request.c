/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - see request.h. */
#include <string.h>
#include <strings.h>

#include <chimera/kit/http1.h>

#include "request.h"

#define METHOD_MAX 32
#define FIELDS_MAX 1000

/* ---- checks ---- */

static bool is_ours(const char *p, size_t n)
{
	static const struct ch_str ours[] = { CH_STR("Host"), CH_STR("Content-Length"), CH_STR("Transfer-Encoding"), CH_STR("Connection"),
		CH_STR("Upgrade"), CH_STR("Accept-Encoding"), CH_STR("TE"), CH_STR("Trailer"), CH_STR("Expect"), CH_STR("Keep-Alive"),
		CH_STR("Proxy-Connection") };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (n == ours[i].n && !strncasecmp(p, ours[i].p, n))
			return true;
	return false;
}

static int kind_of(const char *method)
{
	static const char *const names[] = { [CH_H1_GET] = "GET", [CH_H1_HEAD] = "HEAD", [CH_H1_POST] = "POST", [CH_H1_PUT] = "PUT",
		[CH_H1_DELETE] = "DELETE", [CH_H1_PATCH] = "PATCH", [CH_H1_OPTIONS] = "OPTIONS", [CH_H1_CONNECT] = "CONNECT",
		[CH_H1_TRACE] = "TRACE" };

	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		if (!strcmp(names[i], method))
			return i;
	return CH_H1_OTHER;
}

static const char *said(const char *sentence)
{
	return sentence ? sentence : "The request is not as it should be, and no memory is left to say how.";
}

static const char *check_field(struct ch_ctx *c, const struct ch_http_field *f)
{
	if (!ch_h1_token(f->name.p, f->name.n))
		return "A field's name is no token: letters, digits and !#$%&'*+-.^_`|~ are allowed, and at least one of them.";
	if (is_ours(f->name.p, f->name.n))
		return said(ch_print(c, "The field %.*s is the client's own: leave it out.", (int)f->name.n, f->name.p));
	if (!ch_h1_value(f->value.p, f->value.n))
		return said(ch_print(c, "The value of the field %.*s holds a control character, which would split the request.",
			(int)(f->name.n < 64 ? f->name.n : 64), f->name.p));
	return NULL;
}

const char *hc_request_check(struct hc_request *r, struct ch_ctx *c, const struct ch_http_args *a)
{
	if (a->method.n > METHOD_MAX || !ch_h1_token(a->method.p, a->method.n))
		return "The method is no token of 1 to 32 letters.";
	r->method = ch_dup(c, a->method.p, a->method.n);
	if (!r->method)
		return said(NULL);
	r->kind = kind_of(r->method);
	if (r->kind == CH_H1_CONNECT)
		return "The method CONNECT is not for requests: set the option `proxy` to go through a proxy.";
	r->idempotent = r->kind != CH_H1_POST && r->kind != CH_H1_PATCH && r->kind != CH_H1_OTHER;
	if (a->nfields > FIELDS_MAX)
		return "There are more than 1000 fields.";
	for (size_t i = 0; i < a->nfields; i++) {
		const char *why = check_field(c, &a->fields[i]);

		if (why)
			return why;
	}
	return NULL;
}

/* ---- laying out ---- */

static char *put(char *to, const char *p, size_t n)
{
	if (n)
		memcpy(to, p, n);
	return to + n;
}

#define PUT(to, lit) put(to, "" lit, sizeof(lit) - 1)

static char *put_number(char *to, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do
		digits[--n] = (char)('0' + v % 10);
	while (v /= 10);
	return put(to, digits + n, sizeof(digits) - n);
}

size_t hc_request_authority(char *out, const struct hc_url *u, bool with_port)
{
	char *to = out;

	if (u->v6)
		to = PUT(to, "[");
	to = put(to, u->host, u->host_n);
	if (u->v6)
		to = PUT(to, "]");
	if (with_port || !u->usual_port) {
		to = PUT(to, ":");
		to = put_number(to, u->port);
	}
	return (size_t)(to - out);
}

bool hc_request_says_empty(const struct hc_request *r)
{
	return r->kind == CH_H1_POST || r->kind == CH_H1_PUT || r->kind == CH_H1_PATCH;
}

bool hc_request_write(struct hc_request *r, struct ch_ctx *c, const struct ch_http_args *a, const struct hc_url *u)
{
	bool inside = a->body.n <= HC_INLINE_BODY;
	/* every fixed text below, an authority, a number */
	size_t room = a->method.n + u->target_n + HC_HOST_MAX + 160 + (inside ? a->body.n : 0);
	char *p, *to;

	for (size_t i = 0; i < a->nfields; i++)
		room += a->fields[i].name.n + a->fields[i].value.n + 4;
	p = to = ch_alloc(c, room);
	if (!p)
		return false;
	to = put(to, a->method.p, a->method.n);
	to = u->slash ? PUT(to, " /") : PUT(to, " ");
	to = put(to, u->target, u->target_n);
	to = PUT(to, " HTTP/1.1\r\nHost: ");
	to += hc_request_authority(to, u, false);
	to = PUT(to, "\r\nAccept-Encoding: identity\r\n");
	for (size_t i = 0; i < a->nfields; i++) {
		to = put(to, a->fields[i].name.p, a->fields[i].name.n);
		to = PUT(to, ": ");
		to = put(to, a->fields[i].value.p, a->fields[i].value.n);
		to = PUT(to, "\r\n");
	}
	if (a->body.n || hc_request_says_empty(r)) {
		to = PUT(to, "Content-Length: ");
		to = put_number(to, a->body.n);
		to = PUT(to, "\r\n");
	}
	to = PUT(to, "\r\n");
	if (inside)
		to = put(to, a->body.p, a->body.n);
	else
		r->body = a->body;
	r->head = (struct ch_str){ p, (size_t)(to - p) };
	return true;
}

void hc_request_wipe(const struct hc_request *r, const struct ch_http_args *a)
{
	if (r->head.n)
		explicit_bzero((char *)r->head.p, r->head.n - (r->body.n ? 0 : a->body.n));
}
