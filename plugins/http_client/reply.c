/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c - see reply.h. */
#include <stdlib.h>
#include <string.h>

#include "reply.h"

enum { HEAD, BODY, END };

void hc_reply_init(struct hc_reply *r, int method, bool framed, const struct ch_h1_limits *limits)
{
	*r = (struct hc_reply){ .limits = *limits, .method = method, .framed = framed };
}

void hc_reply_free(struct hc_reply *r)
{
	free(r->kept);
	r->kept = NULL;
	r->kept_n = r->kept_cap = r->at = 0;
}

static enum hc_reply_rc bad(struct hc_reply *r, const char *error, bool too_large)
{
	r->error = error;
	r->too_large = too_large;
	return HC_R_BAD;
}

/* Adds to the bytes that wait. */
static bool keep(struct hc_reply *r, const char *p, size_t n)
{
	if (r->kept_n + n > r->kept_cap) {
		size_t cap = r->kept_cap ? r->kept_cap : 1024;
		char *more;

		while (cap < r->kept_n + n)
			cap *= 2;
		more = realloc(r->kept, cap);
		if (!more)
			return false;
		r->kept = more;
		r->kept_cap = cap;
	}
	memcpy(r->kept + r->kept_n, p, n);
	r->kept_n += n;
	return true;
}

bool hc_reply_hold(struct hc_reply *r, const char *p, size_t n)
{
	if (r->kept && p >= r->kept && p < r->kept + r->kept_cap) {
		r->at = (size_t)(p - r->kept);
		r->kept_n = r->at + n;
		return true;
	}
	r->at = r->kept_n = 0;
	return keep(r, p, n);
}

void hc_reply_held(struct hc_reply *r, char **p, size_t *n)
{
	*p = r->kept + r->at;
	*n = r->kept_n - r->at;
	r->at = r->kept_n;
}

/* What the head says of the body. */
static enum hc_reply_rc begin_body(struct hc_reply *r)
{
	r->state = BODY;
	r->left = 0;
	if (r->framed && r->head.body == CH_H1_BODY_LENGTH)
		r->left = r->head.content_length;
	if (r->framed && (r->head.body == CH_H1_BODY_NONE || (r->head.body == CH_H1_BODY_LENGTH && !r->left)))
		r->state = END;
	return HC_R_HEAD;
}

/* The heads at base[0..total). *used: the bytes behind which the next message, or the body, begins. */
static enum hc_reply_rc heads(struct hc_reply *r, const char *base, size_t total, size_t *used)
{
	for (*used = 0;;) {
		struct ch_h1_field *fields = r->head.fields;
		uint32_t cap = r->head.fields_cap;
		enum ch_h1_rc rc = ch_h1_parse_response(&r->head, &r->limits, r->method, base + *used, total - *used);

		r->head.fields = fields;
		r->head.fields_cap = cap;
		if (rc == CH_H1_MORE)
			return HC_R_MORE;
		if (rc == CH_H1_ERROR) /* the kit has one status for all faults of an answer; its sentences about limits say so */
			return bad(r, r->head.error, strstr(r->head.error, "limit") != NULL);
		if (r->head.status == 101)
			return bad(r, "it switches protocols (101), which was not asked for", false);
		r->head_p = base + *used;
		*used += r->head.head_len;
		if (r->head.status >= 200)
			return begin_body(r);
		r->interim += r->head.head_len;
		if (r->interim > r->limits.max_head)
			return bad(r, "its interim answers (1xx) are over the limit of a head", true);
	}
}

/* A head, or a part of one. What is not whole is kept, and looked at again when a line has ended or much has come. */
static enum hc_reply_rc next_head(struct hc_reply *r, char **p, size_t *n)
{
	enum hc_reply_rc rc;
	size_t used;

	if (!r->kept_n) {
		rc = heads(r, *p, *n, &used);
		*p += used;
		*n -= used;
		if (rc != HC_R_MORE)
			return rc;
		r->seen = *n;
		if (*n && !keep(r, *p, *n))
			return bad(r, "no memory is left for its head", true);
		*p += *n;
		*n = 0;
		return HC_R_MORE;
	}
	if (!keep(r, *p, *n))
		return bad(r, "no memory is left for its head", true);
	used = *n;
	*p += *n;
	*n = 0;
	if (!memchr(r->kept + r->kept_n - used, '\n', used) && r->kept_n < 2 * r->seen + 64)
		return HC_R_MORE;
	rc = heads(r, r->kept, r->kept_n, &used);
	if (rc == HC_R_HEAD) { /* the body's first bytes lie behind it */
		*p = r->kept + used;
		*n = r->kept_n - used;
		r->kept_n = 0;
		return rc;
	}
	r->kept_n -= used;
	memmove(r->kept, r->kept + used, r->kept_n);
	r->seen = r->kept_n;
	return rc;
}

/* All chunks that have come, moved together so that they are one piece. */
static enum hc_reply_rc next_chunks(struct hc_reply *r, char **p, size_t *n)
{
	char *to = *p;
	enum ch_h1_rc rc = CH_H1_MORE;

	r->data = to;
	while (*n && rc == CH_H1_MORE) {
		size_t used, len;
		const char *data;

		rc = ch_h1_chunked_next(&r->chunked, *p, *n, &used, &data, &len);
		if (rc == CH_H1_ERROR)
			return bad(r, r->chunked.error, false);
		if (len && to != data)
			memmove(to, data, len);
		to += len;
		/* The kit bounds framing by 16 KiB and the body. A server may send a byte a chunk: 16 KiB and 8 times the body. */
		r->chunked.overhead -= r->chunked.overhead < 7 * len ? r->chunked.overhead : 7 * len;
		*p += used;
		*n -= used;
	}
	r->data_n = (size_t)(to - r->data);
	if (rc == CH_H1_DONE)
		r->state = END;
	return r->data_n ? HC_R_DATA : r->state == END ? HC_R_END : HC_R_MORE;
}

static enum hc_reply_rc next_bytes(struct hc_reply *r, char **p, size_t *n)
{
	size_t take = *n;

	if (r->framed && r->head.body == CH_H1_BODY_LENGTH) {
		if (take > r->left)
			take = (size_t)r->left;
		r->left -= take;
		if (!r->left)
			r->state = END;
	}
	r->data = *p;
	r->data_n = take;
	*p += take;
	*n -= take;
	return HC_R_DATA;
}

enum hc_reply_rc hc_reply_next(struct hc_reply *r, char **p, size_t *n)
{
	if (r->state == END)
		return HC_R_END;
	if (!*n)
		return HC_R_MORE;
	if (r->state == HEAD)
		return next_head(r, p, n);
	return r->framed && r->head.body == CH_H1_BODY_CHUNKED ? next_chunks(r, p, n) : next_bytes(r, p, n);
}

bool hc_reply_ends_by_close(const struct hc_reply *r)
{
	return r->state == BODY && r->framed && r->head.body == CH_H1_BODY_CLOSE;
}

bool hc_reply_has_head(const struct hc_reply *r)
{
	return r->state != HEAD;
}
