/* SPDX-License-Identifier: MIT */
/* http_judge.c - what came of a call, beside what should. */
#include <stdio.h>
#include <strings.h>

#include "http_call.h"

enum {
	EARLY = 10,  /* milliseconds that a timeout may come before its time: clocks of loops are coarse */
	PERIOD = 251 /* byte i of misbehave.py's bodies is i % 251 */
};

static const char *const error_names[] = { "OK", "BAD_REQUEST", "BLOCKED", "BUSY", "RESOLVE", "CONNECT", "TLS", "TIMEOUT_CONNECT",
	"TIMEOUT_FIRST_BYTE", "TIMEOUT_IDLE", "TIMEOUT_TOTAL", "CLOSED", "INVALID", "TOO_LARGE", "CANCELLED" };

void complain(struct run *r, const struct call *k, const char *fmt, ...)
{
	char text[600];
	size_t room = sizeof(r->notes) - r->noted;
	va_list ap;
	int n;

	r->failed = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = *p == '\r' || *p == '\n' ? '|' : '?';
	if (room < sizeof(text) + 200)
		return; /* enough was said */
	if (k && k->row != r->row)
		n = snprintf(r->notes + r->noted, room, "# %s (beside the case's own call, %.100s)\n", text, k->url);
	else
		n = snprintf(r->notes + r->noted, room, "# %s\n", text);
	r->noted += (size_t)n;
}

static const char *name_of(int error)
{
	return error >= 0 && error < (int)(sizeof(error_names) / sizeof(error_names[0])) ? error_names[error] : "an error of no name";
}

static void names_of(unsigned errors, char *out, size_t n)
{
	size_t len = 0;

	*out = 0;
	for (int i = 0; i <= CH_HTTP_CANCELLED && len < n; i++)
		if (errors & 1u << i)
			len += (size_t)snprintf(out + len, n - len, "%s%s", len ? " or " : "", error_names[i]);
}

size_t expand(struct ch_str text, int port, char *out, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < text.n && len + 12 < n;) {
		if (text.n - i >= 6 && !memcmp(text.p + i, "{port}", 6)) {
			len += (size_t)snprintf(out + len, n - len, "%d", port);
			i += 6;
		} else {
			out[len++] = text.p[i++];
		}
	}
	out[len] = 0;
	return len;
}

/* The line at *at; lines end with a LF that has no CR before it, so that a line may hold CRLF. False at the end. */
static bool line_of(const char **at, struct ch_str *line)
{
	const char *p = *at, *end = p;

	if (!p || !*p)
		return false;
	while (*end && (*end != '\n' || (end > p && end[-1] == '\r')))
		end++;
	*line = (struct ch_str){ p, (size_t)(end - p) };
	*at = *end ? end + 1 : end;
	return true;
}

static bool contains(const char *text, const char *what)
{
	size_t n = strlen(what);

	for (; *text; text++)
		if (!strncasecmp(text, what, n))
			return true;
	return !n;
}

static bool has_byte(struct ch_str s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s.n && memchr(s.p, bytes[i], s.n))
			return true;
	return false;
}

static void judge_body(struct call *k)
{
	const struct row *w = k->row;
	struct run *r = k->run;
	struct ch_str line;
	char want[256];

	if (w->text && (k->bytes != (int64_t)strlen(w->text) || memcmp(k->text, w->text, (size_t)k->bytes)))
		complain(r, k, "expected the body \"%s\", found %lld bytes: \"%.60s\"", w->text, (long long)k->bytes, k->text);
	if (w->bytes && k->bytes != w->bytes)
		complain(r, k, "expected a body of %lld bytes, found %lld", (long long)w->bytes, (long long)k->bytes);
	for (const char *at = w->seen; line_of(&at, &line);) {
		expand(line, r->port, want, sizeof(want));
		if (!contains(k->text, want))
			complain(r, k, "expected that the server gets \"%s\", found \"%.300s\"", want, k->text);
	}
	for (const char *at = w->unseen; line_of(&at, &line);) {
		expand(line, r->port, want, sizeof(want));
		if (contains(k->text, want))
			complain(r, k, "expected that the server does not get \"%s\", found \"%.300s\"", want, k->text);
	}
}

static bool is_field(const struct ch_http_field *f, struct ch_str line)
{
	size_t n = (size_t)((const char *)memchr(line.p, ':', line.n) - line.p), v = line.n - n - 2;

	return f->name.n == n && !strncasecmp(f->name.p, line.p, n) && f->value.n == v && (!v || !memcmp(f->value.p, line.p + n + 2, v));
}

static void judge_fields(struct call *k)
{
	const struct row *w = k->row;
	const struct ch_http_result *o = k->out;
	struct run *r = k->run;
	struct ch_str line;
	size_t i = 0;

	for (const char *at = w->has; line_of(&at, &line); i++) {
		while (i < o->nfields && !is_field(&o->fields[i], line))
			i++;
		if (i >= o->nfields)
			complain(r, k, "expected a field \"%.*s\" among the answer's, in this order", (int)line.n, line.p);
	}
	if (w->hasnt && ch_http_field(o, w->hasnt).p)
		complain(r, k, "expected no field %s in the answer", w->hasnt);
	for (i = 0; i < o->nfields; i++) {
		const struct ch_http_field *f = &o->fields[i];

		if (!f->name.n || has_byte(f->name, "\r\n", 3))
			complain(r, k, "field %zu of the answer has no name, or a CR, LF or NUL in it", i);
		if (has_byte(f->value, "\r\n", 3))
			complain(r, k, "field %zu of the answer, %.*s, has a CR, LF or NUL in its value", i, (int)f->name.n, f->name.p);
	}
}

static void judge_detail(struct call *k)
{
	const char *host = k->row->host ? k->row->host : "127.0.0.1", *detail = k->out->detail;
	struct run *r = k->run;

	if (!k->out->error)
		return;
	if (!detail || strlen(detail) < 10)
		complain(r, k, "expected a sentence in out->detail, found %s", detail ? detail : "NULL");
	else if (strstr(detail, "s3cret") || strpbrk(detail, "\r\n"))
		complain(r, k, "out->detail shows the query or a password, or has a line end: %s", detail);
	else if (!strstr(detail, host))
		complain(r, k, "expected that out->detail names %s, found: %s", host, detail);
}

static void judge_times(struct call *k, int rc)
{
	const struct ch_http_result *o = k->out;
	struct run *r = k->run;
	int64_t now = ch_now();

	if (rc == CH_AGAIN && (o->ended < k->began || o->ended > now))
		complain(r, k, "expected that ended lies between the call and now, found %lld us behind the call",
			(long long)(o->ended - k->began));
	if (o->first_byte && (o->first_byte < k->began || o->first_byte > now || (o->ended && o->first_byte > o->ended)))
		complain(r, k, "expected that first_byte lies between the call and ended, found %lld us behind the call",
			(long long)(o->first_byte - k->began));
	if (o->connected > now || (o->connected && o->first_byte && o->connected > o->first_byte))
		complain(r, k, "expected connected before first_byte");
	if (o->status && (!o->sent || !o->first_byte))
		complain(r, k, "found a status, but sent is %d and first_byte %lld", o->sent, (long long)o->first_byte);
	if (o->sent && !o->connected && !o->reused)
		complain(r, k, "found that a byte was sent, but neither connected nor reused");
}

/* Do the parts of *out fit to each other, whatever the case is? */
static void judge_out(struct call *k)
{
	const struct row *w = k->row;
	const struct ch_http_result *o = k->out;
	struct run *r = k->run;

	if (o->size != sizeof(*o))
		complain(r, k, "out->size was changed to %zu", o->size);
	if (o->status && (o->status < 200 || o->status > 999))
		complain(r, k, "expected a final status or 0, found %d", o->status);
	if (!o->error && !o->status)
		complain(r, k, "found no error and no status");
	if (!o->status && o->nfields)
		complain(r, k, "found fields without a status");
	if (o->status && o->version != 10 && o->version != 11 && o->version != 20)
		complain(r, k, "expected version 10, 11 or 20, found %d", o->version);
	if (o->body_bytes != (uint64_t)k->bytes)
		complain(r, k, "expected body_bytes %lld, as delivered, found %llu", (long long)k->bytes,
			(unsigned long long)o->body_bytes);
	if (w->sink && o->body.n)
		complain(r, k, "expected an empty out->body beside a sink, found %zu bytes", o->body.n);
	if (w->max_body && o->body_bytes > w->max_body)
		complain(r, k, "expected at most max_body %llu bytes, found %llu", (unsigned long long)w->max_body,
			(unsigned long long)o->body_bytes);
	if (w->sink == SINK && !o->error && !k->heads)
		complain(r, k, "the sink's head was not called");
}

static void judge_error(struct call *k)
{
	const struct row *w = k->row;
	const struct ch_http_result *o = k->out;
	struct run *r = k->run;
	int64_t ms = k->took / 1000, most = (w->ms ? w->ms : 1000) + conf_of(r)->slack;
	bool by_host = k->why == CH_TIMEOUT && w->deadline; /* the ctx's deadline: the host told us before the provider did */
	char want[200];

	names_of(w->error, want, sizeof(want));
	if (w == r->row)
		snprintf(r->found, sizeof(r->found), "expected %s, found %s after %lld ms", want,
			by_host ? "the ctx's end" : name_of(o->error), (long long)ms);
	if (!by_host && (o->error < 0 || o->error > CH_HTTP_CANCELLED || !(w->error & 1u << o->error)))
		complain(r, k, "expected %s, found %s: %s", want, name_of(o->error), o->detail ? o->detail : "no detail");
	if ((by_host || o->error) && !w->cancel && ms > most)
		complain(r, k, "expected the error within %lld ms, it came after %lld", (long long)most, (long long)ms);
	if (w->ms && ms < w->ms - EARLY)
		complain(r, k, "expected the error after %lld ms, it came after %lld", (long long)w->ms, (long long)ms);
}

void take(struct call *k, const char *p, size_t n)
{
	static char pattern[2 * PERIOD];
	size_t room = k->bytes < TEXT ? (size_t)(TEXT - k->bytes) : 0;

	for (int i = 0; i < 2 * PERIOD && !pattern[2 * PERIOD - 1]; i++)
		pattern[i] = (char)(i % PERIOD);
	if (n)
		memcpy(k->text + k->bytes * (room > 0), p, n < room ? n : room);
	while (n) {
		size_t part = n < PERIOD ? n : PERIOD;

		if (k->row->bytes && !k->wrong && memcmp(p, pattern + k->bytes % PERIOD, part)) {
			complain(k->run, k, "a byte of the body is wrong, behind byte %lld", (long long)k->bytes);
			k->wrong = true;
		}
		k->bytes += (int64_t)part;
		p += part;
		n -= part;
	}
}

void judge(struct call *k, int rc)
{
	const struct row *w = k->row;
	const struct ch_http_result *o = k->out;
	struct run *r = k->run;

	judge_error(k);
	if (k->why == CH_TIMEOUT)
		return; /* *out is still the provider's */
	if (!w->sink && o->body.n && !o->body.p)
		complain(r, k, "found a body of %zu bytes that lies nowhere", o->body.n);
	else if (!w->sink)
		take(k, o->body.p, o->body.n);
	judge_detail(k);
	judge_out(k);
	judge_times(k, rc);
	judge_body(k);
	judge_fields(k);
	if (w->status && o->status != (w->status == NONE ? 0 : w->status))
		complain(r, k, "expected status %d, found %d", w->status == NONE ? 0 : w->status, o->status);
	if (w->sent && o->sent != (w->sent == YES))
		complain(r, k, "expected sent %d, found %d", w->sent == YES, o->sent);
	if (w->reused && o->reused != (w->reused == YES))
		complain(r, k, "expected reused %d, found %d", w->reused == YES, o->reused);
	if (w->version && o->status && o->version != w->version)
		complain(r, k, "expected version %d, found %d", w->version, o->version);
	if (w->pause && !k->pauses)
		complain(r, k, "the sink was to answer AGAIN, but was not called for that");
}
