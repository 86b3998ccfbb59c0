/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/answer.h"

#include <chimera/kit/http1.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FIELDS 64

/* An answer on its way. The body is put together where it came in: what frames it only ever makes it shorter. */
struct reader {
	char *in;
	size_t n, cap; /* bytes that came */
	size_t used; /* of these, looked at */
	bool have_head;
	struct ch_h1_head head;
	struct ch_h1_field fields[FIELDS];
	struct ch_h1_chunked chunked;
	size_t body_at, body_n;
	ctl_line line; /* NULL: the body is put together */
	void *arg;
	bool given; /* a line */
};

int64_t ctl_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum ch_h1_rc read_head(struct reader *r, const char **error)
{
	static const struct ch_h1_limits limits = { .max_line = 8192, .max_field = 16384, .max_head = 65536, .max_fields = FIELDS };
	enum ch_h1_rc rc;

	r->head.fields = r->fields;
	r->head.fields_cap = FIELDS;
	while ((rc = ch_h1_parse_response(&r->head, &limits, CH_H1_GET, r->in, r->n)) == CH_H1_DONE && r->head.status < 200) {
		memmove(r->in, r->in + r->head.head_len, r->n - r->head.head_len);
		r->n -= r->head.head_len;
	}
	if (rc == CH_H1_ERROR)
		*error = r->head.error;
	r->have_head = rc == CH_H1_DONE;
	r->used = r->body_at = r->have_head ? r->head.head_len : 0;
	return rc;
}

static enum ch_h1_rc read_chunks(struct reader *r, const char **error)
{
	enum ch_h1_rc rc = CH_H1_MORE;
	const char *data;
	size_t took, n;

	while (rc == CH_H1_MORE && r->used < r->n) {
		rc = ch_h1_chunked_next(&r->chunked, r->in + r->used, r->n - r->used, &took, &data, &n);
		if (rc == CH_H1_ERROR) {
			*error = r->chunked.error;
			break;
		}
		memmove(r->in + r->body_at + r->body_n, data, n);
		r->body_n += n;
		r->used += took;
	}
	return rc;
}

/* What can be said of the bytes that came so far; `over`: there will be no more. */
static enum ch_h1_rc look(struct reader *r, bool over, const char **error)
{
	if (!r->have_head) {
		enum ch_h1_rc rc = read_head(r, error);
		if (rc != CH_H1_DONE)
			return rc;
	}
	if (r->head.body == CH_H1_BODY_NONE)
		return CH_H1_DONE;
	if (r->head.body == CH_H1_BODY_CHUNKED)
		return read_chunks(r, error);
	r->body_n = r->n - r->body_at;
	if (r->head.body == CH_H1_BODY_CLOSE)
		return over ? CH_H1_DONE : CH_H1_MORE;
	if (r->body_n < r->head.content_length)
		return CH_H1_MORE;
	r->body_n = (size_t)r->head.content_length;
	return CH_H1_DONE;
}

/* Bytes read, 0 at the end; -1: why. */
static ssize_t fill(struct reader *r, int fd, int64_t deadline, char *why, size_t cap)
{
	struct pollfd p = { fd, POLLIN, 0 };
	ssize_t got;

	if (r->n == r->cap) {
		char *grown = r->cap < CTL_ANSWER_MAX ? realloc(r->in, r->cap * 2 + 8192 + 1) : NULL;
		if (!grown) {
			snprintf(why, cap, "gives an answer of more than %u MiB", CTL_ANSWER_MAX >> 20);
			return -1;
		}
		r->in = grown;
		r->cap = r->cap * 2 + 8192;
	}
	do {
		int64_t left = deadline - ctl_clock();
		int ready = poll(&p, 1, deadline < 0 ? -1 : left > 0 ? (int)left : 0);
		if (!ready) {
			snprintf(why, cap, "does not answer within %d s", CTL_PATIENCE_MS / 1000);
			return -1;
		}
		got = ready < 0 ? -1 : recv(fd, r->in + r->n, r->cap - r->n, MSG_DONTWAIT);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	if (got < 0)
		snprintf(why, cap, "breaks off: %s", strerror(errno));
	else
		r->n += (size_t)got;
	return got;
}

/* Gives whole lines away, so that the rest alone is kept. False: there was the last one that is wanted. */
static bool give_lines(struct reader *r)
{
	char *p = r->in + r->body_at, *end = p + r->body_n, *newline;
	bool more = true;

	while (more && (newline = memchr(p, '\n', (size_t)(end - p)))) {
		r->given = true;
		more = r->line(r->arg, p, (size_t)(newline - p));
		p = newline + 1;
	}
	r->body_n = (size_t)(end - p);
	memmove(r->in + r->body_at, p, r->body_n);
	r->n = r->used = r->body_at + r->body_n; /* all that came was looked at: what is chunked is used as it comes */
	return more;
}

static bool comes_in_lines(const struct reader *r)
{
	return r->line && r->have_head && r->head.status == 200 && r->head.body == CH_H1_BODY_CHUNKED;
}

bool ctl_read_lines(int fd, int64_t deadline, ctl_line line, void *arg, struct ctl_answer *out, char *why, size_t cap)
{
	struct reader r = { .line = line, .arg = arg };
	enum ch_h1_rc rc = CH_H1_MORE;
	const char *error = "";
	ssize_t got = 1;

	while (rc == CH_H1_MORE && got > 0) {
		got = fill(&r, fd, r.given ? -1 : deadline, why, cap);
		if (got >= 0)
			rc = look(&r, !got, &error);
		if (got >= 0 && rc != CH_H1_ERROR && comes_in_lines(&r) && !give_lines(&r))
			rc = CH_H1_DONE;
	}
	if (rc == CH_H1_DONE) {
		memmove(r.in, r.in + r.body_at, r.body_n);
		r.in[r.body_n] = '\0';
		*out = (struct ctl_answer){ r.head.status, r.in, r.body_n };
		return true;
	}
	if (rc == CH_H1_ERROR)
		snprintf(why, cap, "answers with something that is no HTTP (%s)", error);
	else if (!got)
		snprintf(why, cap, r.given ? "cuts its answer, which was not all: it stops, or what it said was not read for too long"
					   : "ends the connection before its answer is whole");
	free(r.in);
	return false;
}

bool ctl_read_answer(int fd, int64_t deadline, struct ctl_answer *out, char *why, size_t cap)
{
	return ctl_read_lines(fd, deadline, NULL, NULL, out, why, cap);
}
