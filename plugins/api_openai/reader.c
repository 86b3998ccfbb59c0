/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - see reader.h and read.h. */
#include <stdlib.h>

#include "reader.h"

/* Of a body: from here on decoded texts lie outside of the arena, which has 4 MiB and zeroes what it gives. */
#define LARGE ((size_t)64 << 10)

/* ---- refusing ---- */

bool api_refuse(struct reader *r, const char *param, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->fault->code = CH_E_BAD_REQUEST;
	r->fault->param = param;
	r->fault->detail = ch_vprint(r->c, fmt, ap);
	va_end(ap);
	if (!r->fault->detail)
		r->fault->detail = "The body is not as it should be, and no memory is left to say how.";
	return false;
}

bool api_no_memory(struct reader *r)
{
	r->fault->code = CH_E_OVERLOADED;
	r->fault->param = NULL;
	r->fault->detail = "No memory is left to read this request; send a shorter one, or try again.";
	return false;
}

bool api_twice(struct reader *r, const char *param)
{
	return api_refuse(r, param, "`%s` stands twice in the body; send it once.", param);
}

const char *api_path(struct reader *r, const char *otherwise, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	const char *path = ch_vprint(r->c, fmt, ap);
	va_end(ap);
	return path ? path : otherwise;
}

/* ---- tokens ---- */

static bool bad_json(struct reader *r)
{
	return api_refuse(r, NULL, "The body cannot be read as JSON: %s, at byte %zu.", r->j.error, r->j.pos);
}

bool api_next(struct reader *r)
{
	return ch_json_next(&r->j, &r->tok) != CH_JSON_ERROR || bad_json(r);
}

bool api_skip(struct reader *r)
{
	return ch_json_skip(&r->j, &r->tok) == 0 || bad_json(r);
}

bool api_empty(const struct reader *r)
{
	if (r->tok.type == CH_JSON_STRING)
		return !r->tok.len;
	for (size_t i = r->tok.start + 1; i + 1 < r->tok.end; i++)
		if (!strchr(" \t\r\n", r->body.p[i]))
			return false;
	return true;
}

/* ---- values ---- */

char *api_room(struct reader *r, size_t n)
{
	char *p;

	if (r->body.n < LARGE)
		return ch_alloc(r->c, n);
	if (!r->texts) {
		p = malloc(r->body.n);
		if (p && !ch_keep(r->c, free, p)) {
			free(p);
			p = NULL;
		}
		if (!p)
			return NULL;
		r->texts = p;
	}
	p = r->texts;
	r->texts += n;
	return p;
}

bool api_text(struct reader *r, const struct ch_json_tok *tok, struct ch_str *out)
{
	char *copy;

	if (!tok->escaped) {
		*out = (struct ch_str){ tok->s, tok->len };
		return true;
	}
	copy = api_room(r, tok->len);
	if (!copy)
		return api_no_memory(r);
	*out = (struct ch_str){ copy, ch_json_unescape(tok, copy) };
	return true;
}

bool api_bool(struct reader *r, const char *name, bool *out)
{
	if (r->tok.type != CH_JSON_TRUE && r->tok.type != CH_JSON_FALSE)
		return api_refuse(r, name, "`%s` must be true or false.", name);
	*out = r->tok.type == CH_JSON_TRUE;
	return true;
}

bool api_int(struct reader *r, const char *name, int64_t min, int64_t max, int64_t *out)
{
	return ch_json_int(&r->tok, min, max, out) ||
	       api_refuse(r, name, "`%s` must be an integer from %lld to %lld.", name, (long long)min, (long long)max);
}

bool api_double(struct reader *r, const char *name, double min, double max, double *out)
{
	if (r->tok.type == CH_JSON_NUMBER && ch_json_double(&r->tok, out) && *out >= min && *out <= max)
		return true;
	return api_refuse(r, name, "`%s` must be a number from %g to %g.", name, min, max);
}

/* The room doubles: 8, 16, … */
struct ch_message *api_message(struct reader *r, const char *param)
{
	struct ch_inference_args *a = &r->out->args;
	size_t n = a->nmessages;

	if (n == API_MESSAGES_MAX) {
		api_refuse(r, param, "`%s` holds more than the %d entries that are allowed.", param, API_MESSAGES_MAX);
		return NULL;
	}
	if (n == 0 || (n >= 8 && !(n & (n - 1)))) {
		struct ch_message *more = ch_alloc(r->c, (n ? 2 * n : 8) * sizeof(*more));

		if (!more) {
			api_no_memory(r);
			return NULL;
		}
		if (n)
			memcpy(more, r->messages, n * sizeof(*more));
		a->messages = r->messages = more;
	}
	return &r->messages[a->nmessages++];
}

/* ---- header fields ---- */

int64_t api_seconds(struct ch_str t)
{
	int64_t ms = 0, unit = 1000;
	size_t i = 0;

	for (; i < t.n && t.p[i] >= '0' && t.p[i] <= '9' && ms < INT64_C(1000000000000); i++)
		ms = ms * 10 + (t.p[i] - '0') * 1000;
	if (!i || (i < t.n && t.p[i] != '.'))
		return 0;
	for (i++; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return 0;
		unit /= 10;
		ms += (t.p[i] - '0') * unit;
	}
	return ms;
}
