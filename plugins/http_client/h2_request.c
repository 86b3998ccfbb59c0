/* SPDX-License-Identifier: Apache-2.0 */
/* h2_request.c - a call's request as libcurl is told it. */
#include "h2.h"

/* ---- the body, as libcurl asks for it ---- */

static size_t on_upload(char *p, size_t size, size_t n, void *arg)
{
	struct hc_transfer *t = arg;
	struct ch_str body = t->call->args->body;
	size_t left = body.n - t->uploaded;

	n *= size;
	if (n > left)
		n = left;
	if (n)
		memcpy(p, body.p + t->uploaded, n);
	t->uploaded += n;
	hc_hub_moved(&t->job);
	return n;
}

static int on_rewind(void *arg, curl_off_t offset, int origin)
{
	struct hc_transfer *t = arg;

	if (origin != SEEK_SET || offset < 0 || (size_t)offset > t->call->args->body.n)
		return CURL_SEEKFUNC_FAIL;
	t->uploaded = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* ---- fields and options ---- */

static bool add_field(struct hc_transfer *t, const char *line)
{
	struct curl_slist *more = curl_slist_append(t->fields, line);

	if (more)
		t->fields = more;
	return more != NULL;
}

/* The caller's, then those that libcurl would add by itself: "Name:" takes one away, "Name;" sends an empty one. */
static bool add_fields(struct hc_transfer *t)
{
	static const char *const unwanted[] = { "Accept", "Content-Type", "Expect", "User-Agent" };
	const struct ch_http_args *a = t->call->args;
	bool ok = add_field(t, "Accept-Encoding: identity"), given[4] = { false };

	for (size_t i = 0; ok && i < a->nfields; i++) {
		const struct ch_http_field *f = &a->fields[i];
		const char *line = f->value.n ? ch_print(t->call->c, "%.*s: %.*s", (int)f->name.n, f->name.p, (int)f->value.n, f->value.p)
		                              : ch_print(t->call->c, "%.*s;", (int)f->name.n, f->name.p);

		ok = line && add_field(t, line);
		if (line)
			explicit_bzero((char *)line, strlen(line)); /* it may be a key: libcurl's copy is enough */
		for (int k = 0; k < 4; k++)
			given[k] |= f->name.n == strlen(unwanted[k]) && ch_h1_list_has(f->name.p, f->name.n, unwanted[k]);
	}
	for (int k = 0; ok && k < 4; k++) {
		char line[32];

		snprintf(line, sizeof(line), "%s:", unwanted[k]);
		ok = given[k] || add_field(t, line);
	}
	return ok;
}

static bool set_body(struct hc_transfer *t)
{
	const struct hc_call *call = t->call;
	CURL *easy = t->job.easy;
	bool ok;

	if (!call->args->body.n && call->request.kind == CH_H1_HEAD)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	if (!call->args->body.n && !hc_request_says_empty(&call->request))
		ok = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	else
		ok = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->args->body.n) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_READDATA, t) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind) == CURLE_OK &&
		     curl_easy_setopt(easy, CURLOPT_SEEKDATA, t) == CURLE_OK;
	return ok && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->request.method) == CURLE_OK;
}

bool hc_h2_request(struct hc_transfer *t)
{
	struct hc_call *call = t->call;
	struct hc_pool *p = call->pool;
	struct ch_str url = call->args->url;
	const char *text = ch_dup(call->c, url.p, url.n);
	CURL *easy = t->job.easy;

	return text && hc_dial_options(easy, call->host, &t->resolve, t->errors, call->connect_ms) && add_fields(t) && set_body(t) &&
	       curl_easy_setopt(easy, CURLOPT_URL, text) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)(hc_set(p, HC_KEEPALIVE_TIMEOUT) / 1000 + 1)) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->fields) == CURLE_OK;
}
