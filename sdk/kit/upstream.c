/* SPDX-License-Identifier: MIT */
/*
 * upstream.c - what an upstream's failure means to a client. All of it happens once a failed call, so it may take its time; what it must
 * not do is believe the upstream, or let a credential through.
 */
#include <stdlib.h>
#include <strings.h>

#include <chimera/json.h>
#include <chimera/kit/backoff.h>

#include "upstream.h"

enum { SECRET_LEAST = 6, TOKEN_LEAST = 12, ERROR_MOST = 16384, MESSAGE_MOST = 300 };

/* ---- scrubbing ---- */

static bool token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-_.*+/=~", c));
}

static size_t token_length(const char *p, const char *end)
{
	const char *q = p;

	while (q < end && token_char(*q))
		q++;
	return (size_t)(q - p);
}

static bool begins(const char *p, const char *end, const char *with, size_t n)
{
	return (size_t)(end - p) >= n && !strncasecmp(p, with, n);
}

/* The bytes of the secret that stands at p; 0: none does. *keep: how many of them say what it was. */
static size_t secret_at(const char *p, const char *end, bool inside_word, const struct upstream_secrets *s, size_t *keep)
{
	static const struct { const char *text; size_t n; } marks[] = { { "sk-", 3 }, { "sk_", 3 }, { "pk-", 3 }, { "rk-", 3 },
		{ "gsk_", 4 }, { "hf_", 3 }, { "xai-", 4 }, { "nvapi-", 6 }, { "AIza", 4 }, { "eyJ", 3 } };
	size_t n = s->key ? strlen(s->key) : 0;

	*keep = 0;
	if (n >= SECRET_LEAST && (size_t)(end - p) >= n && !memcmp(p, s->key, n))
		return n;
	for (size_t i = 0; i < s->nfields; i++) {
		n = s->fields[i].value.n;
		if (n >= SECRET_LEAST && (size_t)(end - p) >= n && !memcmp(p, s->fields[i].value.p, n))
			return n;
	}
	if (inside_word)
		return 0;
	if (begins(p, end, "bearer ", 7)) {
		n = token_length(p + 7, end);
		*keep = 7;
		return n >= SECRET_LEAST ? 7 + n : 0;
	}
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (begins(p, end, marks[i].text, marks[i].n)) {
			n = token_length(p, end);
			return n >= TOKEN_LEAST ? n : 0;
		}
	return 0;
}

/* In place: what is written is never longer, as a secret is longer than its stars. */
static size_t scrub(char *text, size_t n, const struct upstream_secrets *s)
{
	const char *p = text, *end = text + n;
	char *w = text;
	bool inside = false;

	while (p < end) {
		size_t keep, len = secret_at(p, end, inside, s, &keep);
		char c = *p;

		if (len) {
			memmove(w, p, keep);
			memcpy(w + keep, "***", 3);
			w += keep + 3;
			p += len;
			c = '*';
		} else {
			*w++ = c;
			p++;
		}
		inside = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	}
	return (size_t)(w - text);
}

/* Ends a text before a byte that begins a character which does not fit. */
static size_t whole_characters(const char *p, size_t n, size_t most)
{
	if (n <= most)
		return n;
	while (most && ((unsigned char)p[most] & 0xc0) == 0x80)
		most--;
	return most;
}

struct ch_str upstream_scrub(struct ch_ctx *c, struct ch_str text, const struct upstream_secrets *s, size_t most)
{
	char *copy = ch_dup(c, text.p, text.n);
	size_t n = copy ? whole_characters(copy, scrub(copy, text.n, s), most) : 0;

	if (copy)
		copy[n] = 0;
	return (struct ch_str){ copy, n };
}

/* ---- an error object ---- */

struct said {
	struct ch_str object;     /* for the client: JSON without secrets; n 0: none */
	const char *message;      /* for people, without secrets; NULL: none */
	char code[64], type[64];  /* as they came, cut; "": none */
	int number;               /* `code` or `status` as a number; 0: none */
};

static struct ch_str unescaped(struct ch_ctx *c, const struct ch_json_tok *t)
{
	char *p = ch_alloc(c, t->len + 1);

	return (struct ch_str){ p, p ? ch_json_unescape(t, p) : 0 };
}

static struct ch_str clean_text(struct ch_ctx *c, const struct ch_json_tok *t, const struct upstream_secrets *s)
{
	struct ch_str text = unescaped(c, t);

	if (text.p) {
		text.n = scrub((char *)text.p, text.n, s);
		((char *)text.p)[text.n] = 0;
	}
	return text;
}

/* Writes a valid document anew, each text in it without secrets: escapes cannot hide one. False: no memory. */
static bool rewrite(struct ch_ctx *c, struct ch_jw *w, struct ch_str json, const struct upstream_secrets *s)
{
	struct ch_json j;
	struct ch_json_tok t;

	ch_json_init(&j, json.p, json.n, 0, 0);
	while (ch_json_next(&j, &t) > CH_JSON_END) {
		struct ch_str text = { NULL, 0 };

		if (t.type == CH_JSON_KEY || t.type == CH_JSON_STRING) {
			text = clean_text(c, &t, s);
			if (!text.p)
				return false;
		}
		switch (t.type) {
		case CH_JSON_OBJECT: ch_jw_object(w); break;
		case CH_JSON_OBJECT_END: ch_jw_object_end(w); break;
		case CH_JSON_ARRAY: ch_jw_array(w); break;
		case CH_JSON_ARRAY_END: ch_jw_array_end(w); break;
		case CH_JSON_KEY: ch_jw_key(w, text.p); break;
		case CH_JSON_STRING: ch_jw_string(w, text.p, text.n); break;
		default: ch_jw_raw(w, t.s, t.len);
		}
	}
	return t.type == CH_JSON_END && !w->failed;
}

static void keep_short(char out[64], const struct ch_json_tok *t)
{
	if (t->type == CH_JSON_STRING && !t->escaped && t->len < 64) {
		memcpy(out, t->s, t->len);
		out[t->len] = 0;
	}
}

static void keep_number(struct said *said, const struct ch_json_tok *t)
{
	int64_t v;

	if (t->type == CH_JSON_NUMBER && ch_json_int(t, 100, 599, &v))
		said->number = (int)v;
	else if (t->type == CH_JSON_STRING && t->len == 3 && t->s[0] >= '1' && t->s[0] <= '5')
		said->number = atoi((char[]){ t->s[0], t->s[1], t->s[2], 0 });
}

static void keep_message(struct ch_ctx *c, struct said *said, const struct ch_json_tok *t, const struct upstream_secrets *s)
{
	struct ch_str text = t->len ? clean_text(c, t, s) : (struct ch_str){ NULL, 0 };

	if (!text.p)
		return;
	text.n = whole_characters(text.p, text.n, MESSAGE_MOST);
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20)
			((char *)text.p)[i] = ' ';
	((char *)text.p)[text.n] = 0;
	said->message = text.p;
}

/* The members of the object whose bracket is read. *inner: the value of its `error`, where it has one. */
static void read_object(struct ch_ctx *c, struct ch_json *j, struct said *said, struct ch_str *inner, const struct upstream_secrets *s)
{
	struct ch_json_tok key, t;

	while (ch_json_next(j, &key) == CH_JSON_KEY) {
		ch_json_next(j, &t);
		if (t.type == CH_JSON_STRING && (ch_json_eq(&key, "message") || ch_json_eq(&key, "detail")))
			keep_message(c, said, &t, s);
		else if (ch_json_eq(&key, "type"))
			keep_short(said->type, &t);
		if (ch_json_eq(&key, "code"))
			keep_short(said->code, &t);
		if (ch_json_eq(&key, "code") || ch_json_eq(&key, "status"))
			keep_number(said, &t);
		if (ch_json_skip(j, &t))
			return;
		if (ch_json_eq(&key, "error"))
			*inner = (struct ch_str){ j->p + t.start, t.end - t.start };
	}
}

/* A text is made an object as OpenAI's are. */
static void make_object(struct ch_ctx *c, struct said *said)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, 256);
	ch_jw_object(&w);
	ch_jw_key(&w, "message");
	ch_jw_cstr(&w, said->message);
	ch_jw_key(&w, "type");
	ch_jw_cstr(&w, "invalid_request_error");
	ch_jw_key(&w, "param");
	ch_jw_null(&w);
	ch_jw_key(&w, "code");
	ch_jw_null(&w);
	ch_jw_object_end(&w);
	if (!w.failed)
		said->object = (struct ch_str){ w.buf, w.len };
}

/*
 * Reads an `error` object, a document that has one, or the other ways to say it: {"error":"text"}, {"message":"text"}, {"detail":"text"}.
 */
static void read_error(struct ch_ctx *c, struct ch_str json, const struct upstream_secrets *s, struct said *said)
{
	struct ch_str inner = { NULL, 0 };
	struct ch_json j;
	struct ch_json_tok t;
	struct ch_jw w;

	memset(said, 0, sizeof(*said));
	if (json.n > ERROR_MOST || !ch_json_valid(json.p, json.n, 0, 0, NULL, NULL))
		return;
	ch_json_init(&j, json.p, json.n, 0, 0);
	if (ch_json_next(&j, &t) == CH_JSON_OBJECT)
		read_object(c, &j, said, &inner, s);
	if (inner.n) {
		json = inner;
		ch_json_init(&j, json.p, json.n, 0, 0);
		if (ch_json_next(&j, &t) == CH_JSON_OBJECT)
			read_object(c, &j, said, &inner, s);
	}
	if (t.type == CH_JSON_STRING)
		keep_message(c, said, &t, s);
	if (!said->message)
		return;
	if (t.type != CH_JSON_OBJECT) {
		make_object(c, said);
		return;
	}
	ch_jw_ctx(&w, c, json.n + 64);
	if (rewrite(c, &w, json, s))
		said->object = (struct ch_str){ w.buf, w.len };
}

/* ---- what it means ---- */

static bool client_can_mend(int code)
{
	return code == CH_E_BAD_REQUEST || code == CH_E_NOT_FOUND || code == CH_E_MODEL_NOT_FOUND || code == CH_E_TOO_LARGE ||
	       code == CH_E_UNSUPPORTED_MEDIA || code == CH_E_UNPROCESSABLE;
}

static bool one_of(const char *word, const char *const *words)
{
	while (*words && strcasecmp(word, *words))
		words++;
	return *words;
}

static int code_of_status(int status)
{
	switch (status) {
	case 400: return CH_E_BAD_REQUEST;
	case 401: case 402: case 403: return CH_E_UPSTREAM_AUTH;
	case 404: return CH_E_NOT_FOUND;
	case 408: return CH_E_UPSTREAM_TIMEOUT;
	case 413: return CH_E_TOO_LARGE;
	case 415: return CH_E_UNSUPPORTED_MEDIA;
	case 422: return CH_E_UNPROCESSABLE;
	case 429: return CH_E_UPSTREAM_RATE_LIMITED;
	default: return status >= 400 ? CH_E_UPSTREAM_ERROR : CH_E_UPSTREAM_INVALID;
	}
}

/* Of an error object that came without a status of its own. */
static int code_of_words(const struct said *said)
{
	static const char *const rate[] = { "rate_limit_exceeded", "rate_limit_error", "insufficient_quota", "too_many_requests", NULL };
	static const char *const auth[] = { "invalid_api_key", "authentication_error", "permission_error", NULL };
	static const char *const busy[] = { "overloaded", "overloaded_error", "server_busy", "server_overloaded", NULL };
	static const char *const request[] = { "invalid_request_error", "context_length_exceeded", "BadRequestError", NULL };

	if (said->number)
		return code_of_status(said->number);
	if (!strcmp(said->code, "model_not_found"))
		return CH_E_MODEL_NOT_FOUND;
	if (one_of(said->code, rate) || one_of(said->type, rate))
		return CH_E_UPSTREAM_RATE_LIMITED;
	if (one_of(said->code, auth) || one_of(said->type, auth))
		return CH_E_UPSTREAM_AUTH;
	if (one_of(said->code, busy) || one_of(said->type, busy))
		return CH_E_UPSTREAM_BUSY;
	if (one_of(said->code, request) || one_of(said->type, request))
		return CH_E_BAD_REQUEST;
	return CH_E_UPSTREAM_ERROR;
}

static int code_of_transport(int error)
{
	switch (error) {
	case CH_HTTP_BUSY: return CH_E_UPSTREAM_BUSY;
	case CH_HTTP_BAD_REQUEST: case CH_HTTP_BLOCKED: case CH_HTTP_RESOLVE: case CH_HTTP_CONNECT: case CH_HTTP_TLS:
	case CH_HTTP_TIMEOUT_CONNECT: return CH_E_UPSTREAM_UNAVAILABLE; /* nothing was sent: it may be asked for again */
	case CH_HTTP_TIMEOUT_FIRST_BYTE: case CH_HTTP_TIMEOUT_IDLE: case CH_HTTP_TIMEOUT_TOTAL: return CH_E_UPSTREAM_TIMEOUT;
	case CH_HTTP_INVALID: case CH_HTTP_TOO_LARGE: return CH_E_UPSTREAM_INVALID;
	default: return CH_E_UPSTREAM_ERROR;
	}
}

/* For clients, who have no business with hosts and addresses: those stand in out->reason. */
static const char *words_of_transport(int error)
{
	switch (error) {
	case CH_HTTP_BUSY: return "All connections to the backend are in use; try again later.";
	case CH_HTTP_TIMEOUT_CONNECT: return "The backend cannot be reached in time; try again later.";
	case CH_HTTP_TIMEOUT_FIRST_BYTE: case CH_HTTP_TIMEOUT_TOTAL:
		return "The backend did not answer in time; ask for less, or try again later.";
	case CH_HTTP_TIMEOUT_IDLE: return "The backend stopped in the middle of its answer; try again.";
	case CH_HTTP_INVALID: return "What the backend sent is no valid HTTP answer.";
	case CH_HTTP_TOO_LARGE: return "The backend's answer is larger than allowed; ask for less.";
	case CH_HTTP_CLOSED: return "The backend broke the connection off; try again.";
	case CH_HTTP_CANCELLED: return "The question was given up.";
	default: return "The backend cannot be reached; try again later.";
	}
}

static void set(struct ch_inference_result *out, int code, const char *detail)
{
	ch_backend_refuse(out, (enum ch_code)code, out->retry_after_ms, detail);
}

/* The sentence, and what of the object the client may see. `from`: "HTTP 500", "an error in its answer". */
static void tell(struct ch_ctx *c, int code, const char *from, const struct said *said, struct ch_inference_result *out)
{
	if (code == CH_E_UPSTREAM_AUTH) { /* its message is about our key, and none of the client's business */
		set(out, code, ch_print(c, "The backend refused this server's own credentials (%s): its operator must look at them.",
			from));
		return;
	}
	if (client_can_mend(code)) {
		out->error = said->object;
		set(out, code, said->message ? said->message : ch_print(c, "The backend refused the request (%s) and did not say why.",
			from));
		return;
	}
	if (said->message)
		set(out, code, ch_print(c, "The backend answered with %s: %s", from, said->message));
	else
		set(out, code, ch_print(c, "The backend answered with %s.", from));
}

static int64_t retry_after(const struct ch_http_result *r)
{
	struct ch_str ms = ch_http_field(r, "retry-after-ms"), s = ch_http_field(r, "Retry-After");
	int64_t us = -1;

	if (ms.n)
		us = ch_retry_after_ms(ms.p, ms.n, 1000000, 120000000);
	if (us < 0 && s.n)
		us = ch_retry_after(s.p, s.n, ch_wall(), 1000000, 120000000);
	return us < 0 ? 0 : us / 1000;
}

/* A 503 that says it has too much to do, which is no fault of the server's. */
static bool says_busy(struct ch_str body)
{
	size_t n = body.n < 4096 ? body.n : 4096;

	for (size_t i = 0; i + 4 <= n; i++)
		if (!strncasecmp(body.p + i, "busy", 4) || (i + 8 <= n && !strncasecmp(body.p + i, "overload", 8)))
			return true;
	return false;
}

void upstream_failed(struct ch_ctx *c, const struct ch_http_result *r, struct ch_str body, const struct upstream_secrets *s,
	struct ch_inference_result *out)
{
	struct said said = { .number = 0 };
	int code;

	out->status = r->status;
	out->retry_after_ms = 0;
	out->error = (struct ch_str){ NULL, 0 };
	if (r->status < 400 && r->error) {
		struct ch_str text = { r->detail, r->detail ? strlen(r->detail) : 0 };

		set(out, code_of_transport(r->error), words_of_transport(r->error));
		out->reason = upstream_scrub(c, text, s, 1000).p;
		return;
	}
	code = code_of_status(r->status);
	if (code == CH_E_UPSTREAM_INVALID) {
		set(out, code, ch_print(c, "The backend answered with HTTP %d, which is no answer to this request%s.", r->status,
			r->status / 100 == 3 ? "; redirects are not followed, so correct its base_url" : ""));
		return;
	}
	read_error(c, body, s, &said);
	if (code == CH_E_NOT_FOUND && !strcmp(said.code, "model_not_found"))
		code = CH_E_MODEL_NOT_FOUND;
	if (r->status == 503 && says_busy(body))
		code = CH_E_UPSTREAM_BUSY;
	if (code != CH_E_UPSTREAM_AUTH && !client_can_mend(code)) /* the same request would fail again, however long one waits */
		out->retry_after_ms = retry_after(r);
	tell(c, code, ch_print(c, "HTTP %d", r->status), &said, out);
}

void upstream_said(struct ch_ctx *c, struct ch_str error, const struct upstream_secrets *s, struct ch_inference_result *out)
{
	struct said said;
	int code;

	read_error(c, error, s, &said);
	code = code_of_words(&said);
	out->error = (struct ch_str){ NULL, 0 };
	tell(c, code == CH_E_UPSTREAM_INVALID ? CH_E_UPSTREAM_ERROR : code, "an error in place of an answer", &said, out);
}

/* ---- for those with one secret ---- */

void ch_upstream_failed(struct ch_ctx *c, const struct ch_http_result *r, struct ch_str body, const char *secret,
	struct ch_inference_result *out)
{
	upstream_failed(c, r, body, &(struct upstream_secrets){ .key = secret }, out);
}

void ch_upstream_said(struct ch_ctx *c, struct ch_str error, const char *secret, struct ch_inference_result *out)
{
	upstream_said(c, error, &(struct upstream_secrets){ .key = secret }, out);
}
