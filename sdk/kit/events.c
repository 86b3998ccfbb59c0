/* SPDX-License-Identifier: MIT */
/* events.c - see chimera/events.h. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <chimera/events.h>
#include <chimera/json.h>
#include <chimera/kit/openai.h>

#define FRAME_ON_STACK 4096

/* ---- silence ---- */

/* Does what was sent end with a blank line? Lines end with \n, \r\n or \r. */
static bool between_frames(const struct ch_events *e)
{
	const char *t = e->tail_;

	return (t[3] == '\n' && t[2] == '\n') || (t[3] == '\r' && (t[2] == '\r' || t[2] == '\n')) ||
	       (t[3] == '\n' && t[2] == '\r' && (t[1] == '\n' || t[1] == '\r'));
}

/* The timer is set anew only when it fires: a frame costs one look at the clock. */
static void on_silence(void *data)
{
	struct ch_events *e = (struct ch_events *)data;
	int64_t left = e->ping_ms - (ch_now() - e->last_) / 1000;

	if (e->ended_)
		return;
	if (left <= 0 && between_frames(e) && !e->paused) {
		bool gone = ch_events_write(e, ": ping\n\n", 8, NULL, NULL) == CH_AGAIN && !e->paused;

		e->paused = false; /* nobody was told to wait */
		if (gone)
			return;
	}
	ch_timer_set(e->timer_, left > 0 ? left : e->ping_ms);
}

static void free_timer(void *data)
{
	struct ch_events *e = (struct ch_events *)data;

	if (e->timer_)
		ch_timer_free(e->timer_);
	e->timer_ = NULL;
}

/* Without memory for it there are no pings. */
static void begin_pings(struct ch_events *e)
{
	if (e->ping_ms <= 0 || !e->events_)
		return;
	e->timer_ = ch_timer(ch_loop(e->c), on_silence, e);
	if (!e->timer_)
		return;
	if (ch_keep(e->c, free_timer, e))
		ch_timer_set(e->timer_, e->ping_ms);
	else
		free_timer(e);
}

/* ---- the stream ---- */

static void on_writable(void *data)
{
	struct ch_events *e = (struct ch_events *)data;

	if (!e->paused || e->ended_)
		return;
	e->paused = false;
	e->go_on(e->arg);
}

void ch_events_init(struct ch_events *e, struct ch_ctx *c, int64_t ping_ms, ch_fn go_on, void *arg)
{
	memset(e, 0, sizeof(*e));
	e->c = c;
	e->status = 200;
	e->ping_ms = ping_ms;
	e->go_on = go_on;
	e->arg = arg;
}

bool ch_events_begin(struct ch_events *e, const char *type)
{
	if (e->begun)
		return false;
	e->events_ = !type || !strncasecmp(type, CH_EVENTS_TYPE, sizeof(CH_EVENTS_TYPE) - 1);
	memset(e->tail_, '\n', sizeof(e->tail_));
	ch_header_set(e->c, "Content-Type", type ? type : CH_EVENTS_TYPE);
	if (e->events_) {
		ch_header_set(e->c, "Cache-Control", "no-cache");
		ch_header_set(e->c, "X-Accel-Buffering", "no");
	}
	ch_on_writable(e->c, on_writable, e);
	if (ch_begin(e->c, e->status) != CH_OK)
		return false;
	e->begun = true;
	e->last_ = ch_now();
	begin_pings(e);
	return true;
}

static void keep_tail(struct ch_events *e, const char *p, size_t n)
{
	size_t k = n < sizeof(e->tail_) ? n : sizeof(e->tail_);

	memmove(e->tail_, e->tail_ + k, sizeof(e->tail_) - k);
	memcpy(e->tail_ + sizeof(e->tail_) - k, p + n - k, k);
}

int ch_events_write(struct ch_events *e, const void *p, size_t n, ch_fn release, void *arg)
{
	if (e->ended_ || e->lost_) {
		if (release)
			release(arg);
		return CH_OK;
	}
	if (n)
		keep_tail(e, (const char *)p, n);
	e->last_ = ch_now();
	int rc = ch_write(e->c, p, n, release, arg);
	e->paused = rc == CH_AGAIN;
	return rc == CH_OK ? CH_OK : CH_AGAIN;
}

int ch_events_lost(struct ch_events *e)
{
	e->lost_ = true;
	return CH_OK;
}

static void blank_line_ends(char *p, size_t n)
{
	for (char *at = p; (at = (char *)memchr(at, '\n', (size_t)(p + n - at))); at++)
		*at = ' ';
	for (char *at = p; (at = (char *)memchr(at, '\r', (size_t)(p + n - at))); at++)
		*at = ' ';
}

int ch_events_frame(struct ch_events *e, const char *data, size_t n)
{
	char small[FRAME_ON_STACK], *buf = small;

	if (n > sizeof(small) - 8) {
		buf = (char *)malloc(n + 8);
		if (!buf)
			return ch_events_lost(e);
	}
	memcpy(buf, "data: ", 6);
	memcpy(buf + 6, data, n);
	blank_line_ends(buf + 6, n);
	memcpy(buf + 6 + n, "\n\n", 2);
	return ch_events_write(e, buf, n + 8, buf == small ? NULL : free, buf);
}

static int end(struct ch_events *e, bool whole)
{
	if (!e->ended_) {
		e->ended_ = true;
		ch_on_writable(e->c, NULL, NULL);
		free_timer(e);
		if (whole && !e->lost_)
			ch_end(e->c);
		else
			ch_abort(e->c);
	}
	return CH_DONE;
}

int ch_events_done(struct ch_events *e)
{
	if (!e->ended_)
		ch_events_frame(e, "[DONE]", 6);
	return end(e, true);
}

int ch_events_end(struct ch_events *e)
{
	return end(e, true);
}

static void write_error(struct ch_jw *w, enum ch_code code, const char *detail, struct ch_str error)
{
	const struct ch_code_info *info = ch_code_info(code);

	ch_jw_object(w);
	ch_jw_key(w, "error");
	if (error.n) {
		ch_jw_raw(w, error.p, error.n);
	} else {
		ch_openai_error(w, detail ? detail : info->name, info->type, NULL, info->name);
	}
	ch_jw_object_end(w);
}

int ch_events_fail(struct ch_events *e, enum ch_code code, const char *detail, struct ch_str error)
{
	char small[512];
	struct ch_jw w;

	if (e->ended_)
		return CH_DONE;
	ch_facts(e->c)->code = ch_code_info(code)->name; /* the status says 200 and is gone */
	if (!e->events_ || !between_frames(e))
		return end(e, false);
	ch_jw_init(&w, small, sizeof(small));
	w.grow = ch_jw_grow_;
	w.arg = e->c;
	write_error(&w, code, detail, error);
	if (w.failed)
		return end(e, false);
	ch_events_frame(e, w.buf, w.len);
	return end(e, true);
}

/* ---- types ---- */

bool ch_type_is_json(struct ch_str t)
{
	static const char json[] = "application/json";
	const size_t n = sizeof(json) - 1;
	size_t i = n;

	if (t.n < n || strncasecmp(t.p, json, n))
		return false;
	while (i < t.n && (t.p[i] == ' ' || t.p[i] == '\t'))
		i++;
	return i == t.n || t.p[i] == ';';
}
