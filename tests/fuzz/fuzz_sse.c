/* SPDX-License-Identifier: MIT */
/*
 * Event streams: whole, byte by byte and in pieces that the input chooses, the same events come out, and they are those of a slow reader
 * which does what WHATWG HTML 9.2.6 says, word by word. The first byte of the input sets the cap of one event.
 */
#include <stdbool.h>

#include "chimera/kit/sse.h"
#include "fuzz.h"

/* All that was told, in one line of bytes: lengths and texts. */
struct told {
	char *p;
	size_t len, cap;
};

static void put(struct told *t, const void *p, size_t n)
{
	if (t->cap - t->len < n) {
		t->cap = (t->len + n) * 2;
		t->p = realloc(t->p, t->cap);
		FUZZ_CHECK(t->p != NULL);
	}
	if (n)
		memcpy(t->p + t->len, p, n);
	t->len += n;
}

static void put_text(struct told *t, const char *p, size_t n)
{
	size_t len = p ? n : SIZE_MAX;

	put(t, &len, sizeof(len));
	if (p)
		put(t, p, n);
}

static void put_event(struct told *t, const struct ch_sse_event *ev)
{
	FUZZ_CHECK(ev->name && (ev->data || !ev->data_len) && (ev->id || !ev->id_len) && ev->retry_ms >= -1);
	FUZZ_CHECK(ev->data || ev->id || ev->retry_ms >= 0);
	put(t, "E", 1);
	put_text(t, ev->data, ev->data_len);
	put_text(t, ev->name, ev->name_len);
	put_text(t, ev->id, ev->id_len);
	put(t, &ev->retry_ms, sizeof(ev->retry_ms));
}

/* ---- the slow reader ---- */

struct block {
	char *data; /* each line with its line feed, as the standard has it */
	size_t data_len, kept;
	struct ch_sse_event ev;
};

static bool named(const char *line, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(line, name, len);
}

static void one_line(struct block *b, const char *line, size_t len)
{
	const char *colon = len ? memchr(line, ':', len) : NULL;
	size_t name = colon ? (size_t)(colon - line) : len, n = colon ? len - name - 1 : 0;
	const char *value = colon ? colon + 1 : "";

	if (n && *value == ' ') {
		value++;
		n--;
	}
	if (named(line, name, "event")) {
		b->kept += len;
		b->ev.name = value;
		b->ev.name_len = n;
	} else if (named(line, name, "data")) {
		b->kept += len;
		memcpy(b->data + b->data_len, value, n);
		b->data[b->data_len + n] = '\n';
		b->data_len += n + 1;
	} else if (named(line, name, "id") && !memchr(value, 0, n)) {
		b->kept += len;
		b->ev.id = value;
		b->ev.id_len = n;
	} else if (named(line, name, "retry") && n) {
		char digits[24];
		size_t zeros = 0;

		for (size_t i = 0; i < n; i++)
			if (value[i] < '0' || value[i] > '9')
				return;
		while (zeros < n && value[zeros] == '0')
			zeros++;
		n -= zeros;
		b->ev.retry_ms = INT64_MAX;
		if (n <= 19) { /* fits in 64 bits */
			unsigned long long ms;

			memcpy(digits, value + zeros, n);
			digits[n] = 0;
			ms = strtoull(digits, NULL, 10);
			b->ev.retry_ms = ms < INT64_MAX ? (int64_t)ms : INT64_MAX;
		}
	}
}

static void reset(struct block *b)
{
	b->data_len = b->kept = 0;
	b->ev = (struct ch_sse_event){ .name = "", .retry_ms = -1 };
}

static bool finish(struct block *b)
{
	b->ev.data = b->data_len ? b->data : NULL;
	b->ev.data_len = b->data_len ? b->data_len - 1 : 0;
	return b->ev.data || b->ev.id || b->ev.retry_ms >= 0;
}

static struct told slow(const char *p, size_t n, size_t max_event)
{
	struct block b = { .data = malloc(n + 1) };
	struct told t = { 0 };
	size_t at = 0;
	bool open = false;

	FUZZ_CHECK(b.data != NULL);
	reset(&b);
	for (bool first = true;; first = false) {
		size_t end = at, mark = 0;

		while (end < n && p[end] != '\n' && p[end] != '\r')
			end++;
		if (end - at + b.kept > max_event) {
			put(&t, "!", 1);
			goto out;
		}
		if (first && end - at >= 3 && !memcmp(p + at, "\xef\xbb\xbf", 3))
			mark = 3;
		if (end == n) {
			open = n - at > mark && p[at + mark] != ':';
			break;
		}
		if (end > at + mark) {
			one_line(&b, p + at + mark, end - at - mark);
		} else {
			if (finish(&b))
				put_event(&t, &b.ev);
			reset(&b);
		}
		at = end + (p[end] == '\r' && end + 1 < n && p[end + 1] == '\n' ? 2 : 1);
	}
	if (finish(&b) || b.ev.name_len || open || b.kept) {
		put(&t, "O", 1);
		if (!b.ev.id)
			b.ev.id = ""; /* put_event wants to see something */
		put_event(&t, &b.ev);
	}
out:
	free(b.data);
	return t;
}

/* ---- the splitter ---- */

static size_t largest;

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	char *p = malloc(want);

	(void)arg;
	FUZZ_CHECK(p != NULL);
	if (old)
		memcpy(p, old, used);
	free(old);
	if (want > largest)
		largest = want;
	return p;
}

/* Pieces are of `step` bytes, or of 1 to 16 chosen by `choice` when step is 0. */
static struct told split(const char *p, size_t n, size_t max_event, size_t step, uint64_t choice)
{
	struct told t = { 0 };
	struct ch_sse s;
	struct ch_sse_event ev;
	enum ch_sse_rc rc = CH_SSE_MORE;
	size_t used;

	ch_sse_init(&s, NULL, 0, max_event);
	s.grow = grow;
	largest = 0;
	for (size_t at = 0; at < n && rc == CH_SSE_MORE;) {
		size_t len = step ? step : (size_t)(choice >> 60) + 1, i = 0;
		char *piece;

		choice = choice * 6364136223846793005u + 1442695040888963407u;
		if (len > n - at)
			len = n - at;
		piece = fuzz_copy(p + at, len);
		while ((rc = ch_sse_next(&s, piece + i, len - i, &used, &ev)) == CH_SSE_EVENT) {
			FUZZ_CHECK(used > 0 && used <= len - i);
			i += used;
			put_event(&t, &ev);
		}
		FUZZ_CHECK(used == (rc == CH_SSE_MORE ? len - i : 0));
		free(piece);
		at += len;
	}
	if (rc == CH_SSE_ERROR) {
		FUZZ_CHECK(s.fault == CH_SSE_TOO_LONG && s.error);
		FUZZ_CHECK(ch_sse_next(&s, "\n", 1, &used, &ev) == CH_SSE_ERROR);
		put(&t, "!", 1);
	} else if (ch_sse_end(&s, &ev)) {
		put(&t, "O", 1);
		if (!ev.id)
			ev.id = "";
		put_event(&t, &ev);
	}
	FUZZ_CHECK(largest <= (max_event < 256 ? 256 : max_event));
	free(s.buf);
	return t;
}

static void check_same(const struct told *a, struct told b)
{
	FUZZ_CHECK(a->len == b.len && (!b.len || !memcmp(a->p, b.p, b.len)));
	free(b.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t max_event = size && data[0] < 250 ? (size_t)data[0] + 1 : 1 << 20;
	const char *p = (const char *)data + (size > 0);
	size_t n = size - (size > 0);
	struct told want = slow(p, n, max_event);

	check_same(&want, split(p, n, max_event, n, 0));
	check_same(&want, split(p, n, max_event, 1, 0));
	check_same(&want, split(p, n, max_event, 0, fuzz_hash(data, size)));
	free(want.p);
	return 0;
}
