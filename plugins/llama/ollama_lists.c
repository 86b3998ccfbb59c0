/* SPDX-License-Identifier: Apache-2.0 */
/* ollama_lists.c - answers that are lists: vectors of /api/embed, models of /api/tags. */
#include <math.h>
#include <time.h>

#include "ollama_answer.h"

static bool bad(const char **why, const char *sentence)
{
	*why = sentence;
	return false;
}

/* Begins an object of an answer. False: it is none. */
static bool begin(struct ch_json *j, const char *p, size_t n, const char **why)
{
	struct ch_json_tok t;

	*why = NULL;
	ch_json_init(j, p, n, 0, 0);
	return ch_json_next(j, &t) == CH_JSON_OBJECT || bad(why, "it is no JSON object");
}

/* Its members are read, the last token was t. */
static bool finish(struct ch_json *j, struct ch_json_tok *t, const char **why)
{
	return (t->type == CH_JSON_OBJECT_END && ch_json_next(j, t) == CH_JSON_END) || bad(why, "it is no JSON");
}

static bool pass_over(struct ch_json *j, struct ch_json_tok *t)
{
	ch_json_next(j, t);
	return !ch_json_skip(j, t);
}

/* ---- vectors ---- */

/* j stands behind the '[' of a vector. *n is how long it is. */
static bool read_vector(struct ch_json *j, ollama_float put, void *arg, size_t *n, const char **why)
{
	struct ch_json_tok t;
	double v;

	*n = 0;
	while (ch_json_next(j, &t) == CH_JSON_NUMBER) {
		if (!ch_json_double(&t, &v) || !isfinite((float)v))
			return bad(why, "a vector holds a number that is too large");
		if (!put(arg, (float)v))
			return false;
		++*n;
	}
	return t.type == CH_JSON_ARRAY_END || bad(why, "a vector holds something that is no number");
}

static bool read_all(struct ch_json *j, ollama_float put, void *arg, size_t *nvectors, size_t *dimensions, const char **why)
{
	struct ch_json_tok t;
	size_t n;

	if (*nvectors || ch_json_next(j, &t) != CH_JSON_ARRAY)
		return bad(why, "embeddings is no array, or comes twice");
	while (ch_json_next(j, &t) == CH_JSON_ARRAY) {
		if (!read_vector(j, put, arg, &n, why))
			return false;
		if (!n || (*nvectors && n != *dimensions))
			return bad(why, "its vectors are empty, or not all of the same length");
		*dimensions = n;
		++*nvectors;
	}
	return t.type == CH_JSON_ARRAY_END || bad(why, "embeddings holds something that is no array");
}

bool ollama_read_vectors(const char *p, size_t n, ollama_float put, void *arg, size_t *nvectors, size_t *dimensions, int64_t *tokens,
	const char **why)
{
	struct ch_json j;
	struct ch_json_tok t;

	*nvectors = *dimensions = 0;
	*tokens = -1;
	if (!begin(&j, p, n, why))
		return false;
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		bool count = ch_json_eq(&t, "prompt_eval_count");

		if (ch_json_eq(&t, "embeddings")) {
			if (!read_all(&j, put, arg, nvectors, dimensions, why))
				return false;
		} else if (!pass_over(&j, &t)) {
			break;
		} else if (count && t.type == CH_JSON_NUMBER && !ch_json_int(&t, 0, INT64_MAX, tokens)) {
			return bad(why, "prompt_eval_count is no count");
		}
	}
	return finish(&j, &t, why);
}

/* ---- models ---- */

/* So many digits at p; -1: they are not there. */
static int digits(const char *p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

int64_t ollama_time(const char *p, size_t n)
{
	struct tm tm = { 0 };
	int zone = 0, hours, minutes;
	size_t at = 19;

	if (n < 20 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != 't') || p[13] != ':' || p[16] != ':')
		return 0;
	tm.tm_year = digits(p, 4);
	tm.tm_mon = digits(p + 5, 2);
	tm.tm_mday = digits(p + 8, 2);
	tm.tm_hour = digits(p + 11, 2);
	tm.tm_min = digits(p + 14, 2);
	tm.tm_sec = digits(p + 17, 2);
	if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (p[at] == '.')
		for (at++; at < n && p[at] >= '0' && p[at] <= '9';)
			at++;
	if (at == n)
		return 0;
	if (p[at] == '+' || p[at] == '-') {
		if (n - at != 6 || p[at + 3] != ':')
			return 0;
		hours = digits(p + at + 1, 2);
		minutes = digits(p + at + 4, 2);
		if (hours < 0 || minutes < 0)
			return 0;
		zone = (hours * 60 + minutes) * (p[at] == '-' ? -60 : 60);
	} else if (n - at != 1 || (p[at] != 'Z' && p[at] != 'z')) {
		return 0;
	}
	return (int64_t)timegm(&tm) - zone;
}

static bool read_model(struct ch_json *j, ollama_model_fn fn, void *arg, const char **why)
{
	struct ollama_model m = { 0 };
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool name = ch_json_eq(&t, "name"), model = ch_json_eq(&t, "model") && !m.name.type, time = ch_json_eq(&t, "modified_at");

		if (!pass_over(j, &t))
			return bad(why, "it is no JSON");
		if ((name || model) && t.type == CH_JSON_STRING)
			m.name = t;
		if (time && t.type == CH_JSON_STRING && !t.escaped)
			m.created = ollama_time(t.s, t.len);
	}
	if (t.type != CH_JSON_OBJECT_END)
		return bad(why, "it is no JSON");
	if (!m.name.len)
		return bad(why, "a model has no name");
	return fn(arg, &m);
}

bool ollama_read_tags(const char *p, size_t n, ollama_model_fn fn, void *arg, const char **why)
{
	struct ch_json j;
	struct ch_json_tok t;
	bool found = false;

	if (!begin(&j, p, n, why))
		return false;
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		if (!ch_json_eq(&t, "models")) {
			if (!pass_over(&j, &t))
				break;
			continue;
		}
		found = true;
		/* Without a model Ollama has written null for the list. */
		if (ch_json_next(&j, &t) == CH_JSON_NULL)
			continue;
		if (t.type != CH_JSON_ARRAY)
			return bad(why, "models is no array");
		while (ch_json_next(&j, &t) == CH_JSON_OBJECT)
			if (!read_model(&j, fn, arg, why))
				return false;
		if (t.type != CH_JSON_ARRAY_END)
			return bad(why, "models holds something that is no object");
	}
	if (!finish(&j, &t, why))
		return false;
	return found || bad(why, "it holds no models");
}
