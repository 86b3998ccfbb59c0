/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ollama's answers: a stream gives the same lines however it was cut, those that a slow reader finds; and what is read of a line, a list of
 * vectors or of models lies inside of the bytes given, which are JSON then. The first byte of the input sets the longest line.
 */
#include <chimera/kit/json.h>

#include "fuzz.h"
#include "plugins/llama/ndjson.h"
#include "plugins/llama/ollama_answer.h"

/* ---- lines ---- */

/* All lines, each behind its length; a last byte says how it ended. */
struct told {
	char *p;
	size_t len;
};

static void put(struct told *t, const void *p, size_t n)
{
	t->p = realloc(t->p, t->len + n + 1);
	FUZZ_CHECK(t->p != NULL);
	if (n)
		memcpy(t->p + t->len, p, n);
	t->len += n;
}

static void put_line(struct told *t, const char *p, size_t n)
{
	put(t, &n, sizeof(n));
	put(t, p, n);
}

static struct told slow(const char *p, size_t n, size_t max_line)
{
	struct told t = { 0 };

	for (size_t at = 0; at < n;) {
		size_t len = 0;
		bool ended;

		while (at + len < n && p[at + len] != '\n')
			len++;
		ended = at + len < n;
		size_t line = len && p[at + len - 1] == '\r' ? len - 1 : len;

		if (line > max_line) {
			put(&t, "!", 1);
			return t;
		}
		if (line)
			put_line(&t, p + at, line);
		at += len + ended;
	}
	put(&t, ".", 1);
	return t;
}

static void *grow(void *arg, void *old, size_t used, size_t want)
{
	(void)arg, (void)used;
	return realloc(old, want);
}

/* piece 0: pieces whose sizes `salt` chooses. */
static struct told split(const char *p, size_t n, size_t max_line, size_t piece, uint64_t salt)
{
	struct ndjson s = { .grow = grow, .max_line = max_line };
	struct ndjson_line line;
	struct told t = { 0 };
	enum ndjson_rc rc = NDJSON_MORE;

	for (size_t at = 0; at < n && rc >= 0;) {
		size_t take = piece ? piece : 1 + (salt = salt * 6364136223846793005u + 1) % 40, used;
		char *copy;

		take = n - at < take ? n - at : take;
		copy = fuzz_copy(p + at, take);
		for (size_t from = 0; from < take && rc >= 0; from += used) {
			rc = ndjson_next(&s, copy + from, take - from, &used, &line);
			FUZZ_CHECK(used <= take - from && (rc != NDJSON_MORE || used == take - from));
			if (rc == NDJSON_LINE)
				put_line(&t, line.p, line.n);
		}
		free(copy);
		at += take;
	}
	if (rc >= 0) {
		rc = ndjson_end(&s, &line);
		if (rc == NDJSON_LINE)
			put_line(&t, line.p, line.n);
	}
	FUZZ_CHECK(rc != NDJSON_NO_MEMORY && s.cap <= 2 * (max_line + 1) + 1024);
	put(&t, rc == NDJSON_TOO_LONG ? "!" : ".", 1);
	free(s.buf);
	return t;
}

static void check_same(const struct told *want, struct told got)
{
	FUZZ_CHECK(want->len == got.len && !memcmp(want->p, got.p, got.len));
	free(got.p);
}

/* ---- what is read ---- */

static void inside(const char *p, size_t n, const char *at, size_t len)
{
	FUZZ_CHECK(at >= p && len <= n && (size_t)(at - p) <= n - len);
}

static bool is_json(const char *p, size_t n)
{
	return ch_json_valid(p, n, 0, 0, NULL, NULL);
}

static void check_calls(struct ch_str calls, bool stream)
{
	struct ch_jw w;
	size_t ncalls = 0;

	ch_jw_init(&w, NULL, 0);
	w.grow = grow;
	if (ollama_write_calls(&w, calls, stream, 1, &ncalls)) {
		FUZZ_CHECK(!w.failed && is_json(w.buf, w.len) && w.buf[0] == '[');
		FUZZ_CHECK((ncalls == 0) == (w.len == 2));
	}
	free(w.buf);
}

static void read_piece(const char *p, size_t n)
{
	struct ollama_piece piece;
	const char *why = NULL;

	if (!ollama_read(p, n, &piece, &why)) {
		FUZZ_CHECK(why != NULL);
		return;
	}
	FUZZ_CHECK(is_json(p, n) && piece.finish_reason && piece.tokens_in >= -1 && piece.tokens_out >= -1);
	if (piece.text.type) {
		char *text = malloc(piece.text.len + 1);

		FUZZ_CHECK(piece.text.type == CH_JSON_STRING && text);
		inside(p, n, piece.text.s, piece.text.len);
		FUZZ_CHECK(ch_json_unescape(&piece.text, text) <= piece.text.len);
		free(text);
	}
	if (piece.error.n) {
		inside(p, n, piece.error.p, piece.error.n);
		FUZZ_CHECK(is_json(piece.error.p, piece.error.n));
	}
	if (piece.calls.n) {
		inside(p, n, piece.calls.p, piece.calls.n);
		check_calls(piece.calls, false);
		check_calls(piece.calls, true);
	}
}

static bool count_float(void *arg, float v)
{
	FUZZ_CHECK(v == v && v - v == 0); /* a finite number */
	++*(size_t *)arg;
	return true;
}

struct models {
	const char *p;
	size_t n, count;
};

static bool count_model(void *arg, const struct ollama_model *m)
{
	struct models *models = arg;

	FUZZ_CHECK(m->name.type == CH_JSON_STRING && m->name.len);
	inside(models->p, models->n, m->name.s, m->name.len);
	return ++models->count < 1000;
}

static void read_lists(const char *p, size_t n)
{
	struct models models = { .p = p, .n = n };
	size_t count = 0, nvectors, dimensions;
	int64_t tokens;
	const char *why;

	if (ollama_read_vectors(p, n, count_float, &count, &nvectors, &dimensions, &tokens, &why))
		FUZZ_CHECK(is_json(p, n) && count == nvectors * dimensions && tokens >= -1);
	else
		FUZZ_CHECK(why != NULL);
	if (ollama_read_tags(p, n, count_model, &models, &why))
		FUZZ_CHECK(is_json(p, n));
	ollama_time(p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t max_line = size && data[0] < 250 ? (size_t)data[0] + 1 : 1 << 20;
	size_t n = size - (size > 0);
	char *p = fuzz_copy(data + (size > 0), n);
	struct told want = slow(p, n, max_line);

	check_same(&want, split(p, n, max_line, n, 0));
	check_same(&want, split(p, n, max_line, 1, 0));
	check_same(&want, split(p, n, max_line, 0, fuzz_hash(data, size)));
	for (size_t at = 0, len; at + sizeof(len) < want.len; at += sizeof(len) + len) {
		memcpy(&len, want.p + at, sizeof(len));
		if (len > want.len - at - sizeof(len))
			break;
		char *line = fuzz_copy(want.p + at + sizeof(len), len);

		read_piece(line, len);
		read_lists(line, len);
		free(line);
	}
	free(want.p);
	free(p);
	return 0;
}
