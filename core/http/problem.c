/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http/http.h"

#include <chimera/kit/openai.h>
#include <stdio.h>

enum { ASK_NOT = 0, RETRY, NO_RETRY }; /* x-should-retry: absent, true, false */

#define ROW(status, retry, name, type) { { sizeof(struct ch_code_info), status, name, type }, retry }

static const struct problem {
	struct ch_code_info info;
	int retry;
} table[] = {
	[CH_E_BAD_REQUEST] = ROW(400, ASK_NOT, "bad_request", "invalid_request_error"),
	[CH_E_UNAUTHORIZED] = ROW(401, ASK_NOT, "unauthorized", "authentication_error"),
	[CH_E_FORBIDDEN] = ROW(403, ASK_NOT, "forbidden", "permission_error"),
	[CH_E_NOT_FOUND] = ROW(404, ASK_NOT, "not_found", "invalid_request_error"),
	[CH_E_METHOD_NOT_ALLOWED] = ROW(405, ASK_NOT, "method_not_allowed", "invalid_request_error"),
	[CH_E_REQUEST_TIMEOUT] = ROW(408, RETRY, "request_timeout", "invalid_request_error"),
	[CH_E_CONFLICT] = ROW(409, ASK_NOT, "conflict", "invalid_request_error"),
	[CH_E_TOO_LARGE] = ROW(413, ASK_NOT, "too_large", "invalid_request_error"),
	[CH_E_URI_TOO_LONG] = ROW(414, ASK_NOT, "uri_too_long", "invalid_request_error"),
	[CH_E_UNSUPPORTED_MEDIA] = ROW(415, ASK_NOT, "unsupported_media_type", "invalid_request_error"),
	[CH_E_EXPECTATION] = ROW(417, ASK_NOT, "expectation_failed", "invalid_request_error"),
	[CH_E_UNPROCESSABLE] = ROW(422, ASK_NOT, "unprocessable", "invalid_request_error"),
	[CH_E_RATE_LIMITED] = ROW(429, ASK_NOT, "rate_limited", "rate_limit_error"),
	[CH_E_HEADERS_TOO_LARGE] = ROW(431, ASK_NOT, "headers_too_large", "invalid_request_error"),
	[CH_E_INTERNAL] = ROW(500, ASK_NOT, "internal_error", "server_error"),
	[CH_E_NOT_IMPLEMENTED] = ROW(501, NO_RETRY, "not_implemented", "server_error"),
	[CH_E_VERSION] = ROW(505, NO_RETRY, "http_version_not_supported", "server_error"),
	[CH_E_OVERLOADED] = ROW(503, RETRY, "overloaded", "server_error"),
	[CH_E_DRAINING] = ROW(503, RETRY, "draining", "server_error"),
	[CH_E_UNAVAILABLE] = ROW(503, RETRY, "unavailable", "server_error"),
	[CH_E_UPSTREAM_AUTH] = ROW(503, NO_RETRY, "upstream_auth", "server_error"),
	[CH_E_UPSTREAM_RATE_LIMITED] = ROW(429, RETRY, "upstream_rate_limited", "rate_limit_error"),
	[CH_E_UPSTREAM_ERROR] = ROW(503, RETRY, "upstream_error", "server_error"),
	[CH_E_UPSTREAM_INVALID] = ROW(503, RETRY, "upstream_invalid", "server_error"),
	[CH_E_UPSTREAM_TIMEOUT] = ROW(503, RETRY, "upstream_timeout", "server_error"),
	[CH_E_UPSTREAM_UNAVAILABLE] = ROW(503, RETRY, "upstream_unavailable", "server_error"),
	[CH_E_UPSTREAM_BUSY] = ROW(503, RETRY, "upstream_busy", "server_error"),
	[CH_E_MODEL_NOT_FOUND] = ROW(404, ASK_NOT, "model_not_found", "invalid_request_error"),
	[CH_E_IDEMPOTENCY_REUSED] = ROW(422, NO_RETRY, "idempotency_key_reused", "invalid_request_error"),
	[CH_E_IDEMPOTENCY_IN_PROGRESS] = ROW(409, RETRY, "idempotency_in_progress", "invalid_request_error"),
	[CH_E_IDEMPOTENCY_NOT_REPLAYABLE] = ROW(409, NO_RETRY, "idempotency_not_replayable", "invalid_request_error"),
	[CH_E_IDEMPOTENCY_INDETERMINATE] = ROW(409, NO_RETRY, "idempotency_indeterminate", "invalid_request_error"),
};

static const struct problem *problem_of(int code)
{
	bool known = code > 0 && (size_t)code < sizeof table / sizeof *table;
	return &table[known ? code : CH_E_INTERNAL];
}

int chi_problem_status(int code)
{
	return problem_of(code)->info.status;
}

const struct ch_code_info *chi_problem_info(int code)
{
	return &problem_of(code)->info;
}

const char *chi_problem_name(int code)
{
	return problem_of(code)->info.name;
}

/* Reason phrases of RFC 9110 and RFC 6585; the ones that an answer of ours can have. */
const char *chi_status_text(int status)
{
	static const char *const low[] = { [0] = "OK", [1] = "Created", [2] = "Accepted", [4] = "No Content", [6] = "Partial Content" };
	static const char *const mid[] = {
		[0] = "Bad Request",
		[1] = "Unauthorized",
		[2] = "Payment Required",
		[3] = "Forbidden",
		[4] = "Not Found",
		[5] = "Method Not Allowed",
		[6] = "Not Acceptable",
		[8] = "Request Timeout",
		[9] = "Conflict",
		[10] = "Gone",
		[11] = "Length Required",
		[12] = "Precondition Failed",
		[13] = "Content Too Large",
		[14] = "URI Too Long",
		[15] = "Unsupported Media Type",
		[16] = "Range Not Satisfiable",
		[17] = "Expectation Failed",
		[22] = "Unprocessable Content",
		[28] = "Precondition Required",
		[29] = "Too Many Requests",
		[31] = "Request Header Fields Too Large",
	};
	static const char *const high[] = {
		[0] = "Internal Server Error", [1] = "Not Implemented", [2] = "Bad Gateway", [3] = "Service Unavailable",
		[4] = "Gateway Timeout", [5] = "HTTP Version Not Supported",
	};
	const char *text = NULL;
	size_t i = (size_t)status % 100;
	if (status / 100 == 2 && i < sizeof low / sizeof *low)
		text = low[i];
	else if (status / 100 == 4 && i < sizeof mid / sizeof *mid)
		text = mid[i];
	else if (status / 100 == 5 && i < sizeof high / sizeof *high)
		text = high[i];
	else if (status == 302)
		text = "Found";
	else if (status == 304)
		text = "Not Modified";
	return text ? text : "";
}

/* error: NULL: none is shown; n 0: it is made of the rest. */
static void write_problem(struct ch_jw *w, const struct ch_refusal *what, const struct ch_str *error, const char *req_id)
{
	const struct ch_code_info *p = &problem_of(what->code)->info;
	const char *detail = what->detail ? what->detail : chi_status_text(p->status);
	char type[80];
	snprintf(type, sizeof type, "urn:chimera:problem:%s", p->name);
	ch_jw_object(w);
	ch_jw_key(w, "type");
	ch_jw_cstr(w, what->type ? what->type : type);
	ch_jw_key(w, "title");
	ch_jw_cstr(w, chi_status_text(p->status));
	ch_jw_key(w, "status");
	ch_jw_int(w, p->status);
	ch_jw_key(w, "detail");
	ch_jw_cstr(w, detail);
	ch_jw_key(w, "code");
	ch_jw_cstr(w, p->name);
	if (what->param) {
		ch_jw_key(w, "param");
		ch_jw_cstr(w, what->param);
	}
	if (req_id) {
		ch_jw_key(w, "req_id");
		ch_jw_cstr(w, req_id);
	}
	if (what->more.n)
		ch_jw_raw(w, what->more.p, what->more.n);
	if (error) {
		ch_jw_key(w, "error");
		if (error->n)
			ch_jw_raw(w, error->p, error->n);
		else
			ch_openai_error(w, detail, p->type, what->param, p->name);
	}
	ch_jw_object_end(w);
}

void chi_problem_body(struct ch_jw *w, int code, const char *param, const char *req_id, const char *detail)
{
	write_problem(w, &(struct ch_refusal){ .code = code, .param = param, .detail = detail }, NULL, req_id);
}

/* Whose clients call that path? Also of one whose method is wrong. */
static bool speaks_openai(const struct chi_req *r)
{
	const struct chi_path *path = r->match.path;
	for (int i = 0; path && i < CHI_METHODS; i++)
		if (path->methods[i])
			return path->methods[i]->def->dialect == CH_D_OPENAI;
	return false;
}

int chi_problem_as(struct chi_req *r, const struct ch_refusal *what)
{
	const struct problem *p = problem_of(what->code);
	struct ch_facts *f = &r->ctx->facts;
	bool openai = speaks_openai(r);
	size_t texts = (what->detail ? strlen(what->detail) : 0) + (what->param ? strlen(what->param) : 0) + (what->type ? strlen(what->type) : 0);
	size_t cap = 768 + texts * (openai ? 12 : 6) + what->error.n + what->more.n;
	char *buf = chi_arena_raw(&r->ctx->arena, cap), num[24];
	int64_t retry_after_ms = what->retry_after_ms;
	if (buf) {
		struct ch_jw w;
		ch_jw_init(&w, buf, cap);
		write_problem(&w, what, openai ? &what->error : NULL, f->req_id);
		cap = w.failed ? 0 : w.len;
	}
	f->code = p->info.name;
	if (!retry_after_ms && p->info.status == 503 && p->retry != NO_RETRY)
		retry_after_ms = 1000; /* a 503 always says when to come back */
	if (retry_after_ms > 0) {
		int n = snprintf(num, sizeof num, "%lld", (long long)((retry_after_ms + 999) / 1000));
		chi_resp_header(r, "Retry-After", 11, num, (size_t)n);
		n = snprintf(num, sizeof num, "%lld", (long long)retry_after_ms);
		chi_resp_header(r, "retry-after-ms", 14, num, (size_t)n);
	}
	if (p->retry != ASK_NOT)
		chi_resp_header(r, "x-should-retry", 14, p->retry == RETRY ? "true" : "false", p->retry == RETRY ? 4 : 5);
	return chi_resp_whole(r, p->info.status, "application/problem+json", buf, buf ? cap : 0);
}

int chi_problem(struct chi_req *r, int code, int64_t retry_after_ms, const char *param, const char *detail)
{
	return chi_problem_as(r, &(struct ch_refusal){ .code = code, .retry_after_ms = retry_after_ms, .param = param, .detail = detail });
}
