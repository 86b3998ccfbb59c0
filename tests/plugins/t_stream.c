/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_stream.c - a test plugin: answers that are streamed. Everything on the request's loop; a stream lives in its ctx.
 *
 *   GET /stream?bytes=N&chunk=M   N bytes in pieces of M; byte i is i % 251
 *        &length=1                with Content-Length
 *        &release=1               pieces that are lent and released, not copied
 *        &after=cut|short|hold    behind the bytes: ch_abort, an end too early (with length=1, one byte is promised more), or no end
 *                                 until the client leaves
 */
#include <stdlib.h>

#include "query.h"

enum { M_LENT, M_OVER };
enum { COMPLETE, GONE };

struct t_stream_state {
	unsigned lent, over[2];
};

struct stream {
	struct t_stream_state *state;
	struct ch_ctx *c;
	ch_ticket ticket;
	int64_t at, bytes, chunk;
	bool release, hold, cut;
	bool waiting; /* the hook has returned AGAIN */
	bool gone;    /* ch_write said so */
	bool over;    /* nothing more is written */
};

struct piece {
	unsigned lent;
	char bytes[];
};

static void on_release(void *data)
{
	struct piece *p = data;

	ch_add(p->lent, -1);
	free(p);
}

static void fill(char *p, int64_t at, int64_t n)
{
	unsigned v = (unsigned)(at % 251);

	for (int64_t i = 0; i < n; i++) {
		p[i] = (char)v;
		v = v == 250 ? 0 : v + 1;
	}
}

static int write_piece(struct stream *s, int64_t n)
{
	struct piece *p = malloc(sizeof(*p) + (size_t)n);
	int rc;

	if (!p)
		return CH_ERROR;
	p->lent = s->state->lent;
	fill(p->bytes, s->at, n);
	if (s->release) {
		ch_add(p->lent, 1);
		return ch_write(s->c, p->bytes, (size_t)n, on_release, p);
	}
	rc = ch_write(s->c, p->bytes, (size_t)n, NULL, NULL);
	free(p);
	return rc;
}

static void end(struct stream *s)
{
	s->over = true;
	if (s->hold)
		return; /* GONE will come */
	if (s->cut)
		ch_abort(s->c);
	else
		ch_end(s->c);
	if (s->waiting)
		ch_resume(s->ticket, NULL, NULL);
}

static void pump(void *data)
{
	struct stream *s = data;
	int rc = CH_OK;

	while (!s->over && rc == CH_OK && s->at < s->bytes) {
		int64_t n = s->bytes - s->at < s->chunk ? s->bytes - s->at : s->chunk;

		rc = write_piece(s, n);
		s->at += n;
	}
	if (rc == CH_DONE)
		s->over = s->gone = true; /* GONE will come */
	else if (!s->over && (rc == CH_ERROR || s->at == s->bytes))
		end(s);
}

static int on_over(struct ch_ctx *c, void *data, int why, void *result)
{
	struct stream *s = data;

	(void)result;
	ch_on_writable(c, NULL, NULL);
	s->over = true;
	ch_add(s->state->over[why == CH_READY ? COMPLETE : GONE], 1);
	if (why != CH_READY)
		ch_unsuspend(s->ticket);
	return CH_DONE;
}

static int get_stream(struct ch_self *self, struct ch_ctx *c)
{
	struct stream *s = ch_alloc(c, sizeof(*s));
	bool too_few = query_is(c, "after", "short");

	if (!s)
		return CH_ERROR;
	s->state = self->state;
	s->c = c;
	s->bytes = query_int(c, "bytes", 0);
	s->chunk = query_int(c, "chunk", 4096);
	s->release = query_int(c, "release", 0) == 1;
	s->hold = query_is(c, "after", "hold");
	s->cut = query_is(c, "after", "cut");
	if (s->chunk < 1 || s->chunk > 1 << 20 || s->bytes < 0)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, "chunk", "chunk must be from 1 to 1048576 and bytes not negative");
	if (query_int(c, "length", 0) == 1)
		ch_length(c, (uint64_t)s->bytes + too_few);
	ch_header_set(c, "Content-Type", "application/octet-stream");
	if (ch_begin(c, 200) != CH_OK)
		return CH_DONE;
	ch_on_writable(c, pump, s);
	pump(s);
	if (s->over && !s->hold) {
		ch_add(s->state->over[s->gone ? GONE : COMPLETE], 1);
		return CH_DONE;
	}
	s->ticket = ch_suspend(c, 0, on_over, s);
	s->waiting = true;
	return s->ticket ? CH_AGAIN : CH_ERROR;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	struct t_stream_state *state = self->state;

	(void)prev;
	state->lent = ch_series(self, M_LENT, NULL);
	state->over[COMPLETE] = ch_series(self, M_OVER, (const char *const[]){ "complete" });
	state->over[GONE] = ch_series(self, M_OVER, (const char *const[]){ "gone" });
	return CH_OK;
}

static const char *const ends[] = { "complete", "gone", NULL };

static const struct ch_metric metrics[] = {
	[M_LENT] = { .name = "t_stream_lent", .kind = CH_GAUGE, .help = "Pieces that the host has and has not released." },
	[M_OVER] = {
		.name = "t_stream_over_total",
		.kind = CH_COUNTER,
		.labels = { { "end", CH_L_FIXED, ends } },
		.help = "Streams that are over.",
	},
};

static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/stream", .fn = get_stream, .response_type = "application/octet-stream", .summary = "A stream" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(struct ch_plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_stream",
	.version = "0.1",
	.summary = "Test: streamed answers",
	.state_size = sizeof(struct t_stream_state),
	.metrics = CH_TABLE(metrics),
	.routes = CH_TABLE(routes),
	.start = start,
};

CH_PLUGIN(t_stream, plugin)
