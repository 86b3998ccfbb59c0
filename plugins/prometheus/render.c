/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render.c - the two text formats of Prometheus. Numbers are written by the shortest text that reads back equal. Bounds of buckets are
 * label values, compared as text by whoever stores them: they are the same in both formats, with a decimal point and without an exponent
 * ("0.005", "1.0").
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/json.h>

#include "render.h"

#define NUMBER_MAX 48 /* bytes that number_text and bound_text need at most */

/* ---- what the client wants ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct ch_str trim(struct ch_str s)
{
	while (s.n && is_blank(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* Cuts the part before the next `by` off *rest. A quoted string has none of ours: no parameter that we know needs quotes. */
static struct ch_str next_part(struct ch_str *rest, char by)
{
	const char *end = rest->n ? memchr(rest->p, by, rest->n) : NULL;
	struct ch_str part = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

	rest->p = end ? end + 1 : rest->p + rest->n;
	rest->n -= part.n + (end != NULL);
	return trim(part);
}

static bool same(struct ch_str s, const char *lower)
{
	size_t i;

	for (i = 0; i < s.n && lower[i]; i++)
		if ((s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]) != lower[i])
			return false;
	return i == s.n && !lower[i];
}

/* A weight as thousandths; what is no weight counts as 1. */
static int weight(struct ch_str s)
{
	int q = 0, digit = 1000;
	size_t i;

	if (!s.n || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return 1000;
	for (i = 0; i < s.n && digit; i++) {
		if (i == 1)
			continue;
		if (s.p[i] < '0' || s.p[i] > '9')
			return 1000;
		q += (s.p[i] - '0') * digit;
		digit /= 10;
	}
	return q > 1000 ? 1000 : q;
}

enum render_format render_choose(struct ch_str accept)
{
	int open = 0, text = -1, kind = -1; /* weights; how exact the range was that gave `text`: 0 for all, 1 text/all, 2 text/plain */
	struct ch_str range, part, key;

	while (accept.n) {
		bool ours = true;
		int q = 1000, is;

		range = next_part(&accept, ',');
		part = next_part(&range, ';');
		is = same(part, "application/openmetrics-text") ? 3 : same(part, "text/plain") ? 2 : same(part, "text/*") ? 1
			: same(part, "*/*") ? 0 : -1;
		while (range.n) {
			part = next_part(&range, ';');
			key = next_part(&part, '=');
			part = trim(part);
			if (same(key, "q"))
				q = weight(part);
			else if (same(key, "version"))
				ours = is == 3 ? same(part, "1.0.0") : same(part, "0.0.4");
		}
		if (!ours)
			continue;
		if (is == 3 && q > open)
			open = q;
		else if (is >= 0 && is < 3 && (is > kind || (is == kind && q > text))) {
			kind = is;
			text = q;
		}
	}
	return open > 0 && open >= text ? RENDER_OPENMETRICS : RENDER_TEXT;
}

const char *render_type(enum render_format format)
{
	if (format == RENDER_OPENMETRICS)
		return "application/openmetrics-text; version=1.0.0; charset=utf-8";
	return "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- bytes ---- */

/* Room for n more bytes at the end of the text, or NULL once memory has run out. */
static char *room(struct render *r, size_t n)
{
	size_t cap = r->cap ? r->cap : 64 * 1024;
	char *p;

	if (r->failed)
		return NULL;
	if (r->cap - r->n >= n)
		return r->p + r->n;
	while (cap - r->n < n)
		cap *= 2;
	p = realloc(r->p, cap);
	if (!p) {
		r->failed = true;
		return NULL;
	}
	r->p = p;
	r->cap = cap;
	return p + r->n;
}

static void put(struct render *r, const char *s, size_t n)
{
	char *to = room(r, n);

	if (to && n) {
		memcpy(to, s, n);
		r->n += n;
	}
}

static void put_cstr(struct render *r, const char *s)
{
	put(r, s, strlen(s));
}

/* With \ and the line feed escaped, and the quote if it is to stand in quotes. */
static void put_escaped(struct render *r, const char *s, bool quote)
{
	const char *odd = quote ? "\\\n\"" : "\\\n";
	size_t n;

	for (;;) {
		n = strcspn(s, odd);
		put(r, s, n);
		s += n;
		if (!*s)
			return;
		put(r, *s == '\n' ? "\\n" : *s == '"' ? "\\\"" : "\\\\", 2);
		s++;
	}
}

/* ---- numbers ---- */

static size_t uint_text(char *to, uint64_t v)
{
	char digits[20], *p = digits + sizeof(digits);
	size_t n;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	n = (size_t)(digits + sizeof(digits) - p);
	memcpy(to, p, n);
	return n;
}

/* Shortest text of a finite v >= 0 that is a whole number or has up to nine decimals, by hand; 0: it is neither. */
static size_t short_text(char *to, double v)
{
	static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };
	static const uint64_t whole_tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };
	uint64_t scaled, fraction;
	unsigned places, i;
	size_t n;

	for (places = 0; places < 10 && v * tens[places] < 9007199254740992.0; places++) {
		scaled = (uint64_t)(v * tens[places] + 0.5);
		/* Both are exact, so the quotient is what a reader makes of these digits. */
		if ((double)scaled / tens[places] != v)
			continue;
		n = uint_text(to, scaled / whole_tens[places]);
		if (!places)
			return n;
		fraction = scaled % whole_tens[places];
		to[n++] = '.';
		for (i = places; i--; fraction /= 10)
			to[n + i] = (char)('0' + fraction % 10);
		return n + places;
	}
	return 0;
}

static size_t number_text(char *to, double v)
{
	size_t minus = 0, n;
	struct ch_jw w;

	if (v != v) {
		memcpy(to, "NaN", 3);
		return 3;
	}
	if (v < -DBL_MAX || v > DBL_MAX) {
		memcpy(to, v > 0 ? "+Inf" : "-Inf", 4);
		return 4;
	}
	if (v < 0) {
		to[minus++] = '-';
		v = -v;
	}
	n = short_text(to + minus, v);
	if (!n) { /* all digits that there are: the kit knows how */
		ch_jw_init(&w, to + minus, NUMBER_MAX - minus);
		ch_jw_double(&w, v);
		n = w.len;
	}
	return minus + n;
}

/* A bucket's bound: like number_text, with a point in any case and without an exponent from 1e-9 to 9e15. */
static size_t bound_text(char *to, double v)
{
	char number[NUMBER_MAX];
	size_t n = number_text(number, v), len = 0, i;
	char *e = memchr(number, 'e', n);
	int zeros;

	number[n] = '\0';
	zeros = e ? -atoi(e + 1) - 1 : 0;
	if (!e || zeros < 0 || zeros > 8) {
		memcpy(to, number, n);
		if (!e && !memchr(number, '.', n)) {
			memcpy(to + n, ".0", 2);
			n += 2;
		}
		return n;
	}
	if (v < 0)
		to[len++] = '-';
	memcpy(to + len, "0.00000000", 10);
	len += 2 + (size_t)zeros;
	for (i = v < 0; number + i < e; i++)
		if (number[i] != '.')
			to[len++] = number[i];
	return len;
}

static void put_number(struct render *r, double v)
{
	char *to = room(r, NUMBER_MAX);

	if (to)
		r->n += number_text(to, v);
}

static void put_uint(struct render *r, uint64_t v)
{
	char *to = room(r, NUMBER_MAX);

	if (to)
		r->n += uint_text(to, v);
}

/* ---- families ---- */

static bool ends_in(const char *s, size_t n, const char *tail)
{
	size_t t = strlen(tail);

	return n > t && !memcmp(s + n - t, tail, t);
}

/* The family's name as its metadata gives it: OpenMetrics' counters go without their _total there. */
static size_t name_length(const struct render *r, const struct ch_metric *m)
{
	size_t n = strlen(m->name);

	return r->format == RENDER_OPENMETRICS && m->kind == CH_COUNTER && ends_in(m->name, n, "_total") ? n - 6 : n;
}

static void put_metadata(struct render *r, const struct ch_metric *m)
{
	static const char *const kinds[] = { [CH_COUNTER] = " counter\n", [CH_GAUGE] = " gauge\n", [CH_HISTOGRAM] = " histogram\n" };
	static const char *const units[] = { "seconds", "bytes", "ratio", NULL };
	bool open = r->format == RENDER_OPENMETRICS;
	size_t n = name_length(r, m), len;
	const char *const *unit;

	put(r, "# HELP ", 7);
	put(r, m->name, n);
	put(r, " ", 1);
	put_escaped(r, m->help, open);
	put(r, "\n# TYPE ", 8);
	put(r, m->name, n);
	put_cstr(r, kinds[m->kind]);
	for (unit = units; open && *unit; unit++) {
		len = strlen(*unit);
		if (ends_in(m->name, n, *unit) && m->name[n - len - 1] == '_') {
			put(r, "# UNIT ", 7);
			put(r, m->name, n);
			put(r, " ", 1);
			put(r, *unit, len);
			put(r, "\n", 1);
		}
	}
}

/* Writes the family's bounds as text once, for all its series. */
static void keep_bounds(struct render *r, const struct ch_sample *s)
{
	size_t i, n = 0;
	void *p;

	if (r->bounds_cap < s->nbounds) {
		p = realloc(r->bounds, s->nbounds * NUMBER_MAX);
		if (p)
			r->bounds = p;
		r->failed |= !p;
		p = realloc(r->bound_ends, s->nbounds * sizeof(*r->bound_ends));
		if (p)
			r->bound_ends = p;
		r->failed |= !p;
		if (r->failed)
			return;
		r->bounds_cap = s->nbounds;
	}
	for (i = 0; i < s->nbounds; i++) {
		n += bound_text(r->bounds + n, s->bounds[i]);
		r->bound_ends[i] = n;
	}
}

/* `{a="x",b="y"` without the brace at the end; nothing without labels. */
static void put_labels(struct render *r, const struct ch_sample *s)
{
	unsigned i;

	for (i = 0; i < 4 && s->family->labels[i].name; i++) {
		put(r, i ? "," : "{", 1);
		put_cstr(r, s->family->labels[i].name);
		put(r, "=\"", 2);
		put_escaped(r, s->labels[i], true);
		put(r, "\"", 1);
	}
}

/* `name_sum{labels} ` of a histogram, from the labels that stand in the text already. */
static void put_part(struct render *r, const struct ch_metric *m, const char *suffix, size_t labels, size_t nlabels)
{
	char *to;

	put_cstr(r, m->name);
	put_cstr(r, suffix);
	to = room(r, nlabels + 2);
	if (!to)
		return;
	if (nlabels) {
		memcpy(to, r->p + labels, nlabels);
		to[nlabels++] = '}';
	}
	to[nlabels++] = ' ';
	r->n += nlabels;
}

static void put_histogram(struct render *r, const struct ch_sample *s)
{
	const struct ch_metric *m = s->family;
	size_t start = r->n, labels, nlabels, head, i, at = 0;
	uint64_t count = 0;

	put_cstr(r, m->name);
	put(r, "_bucket", 7);
	labels = r->n;
	put_labels(r, s);
	nlabels = r->n - labels;
	put_cstr(r, nlabels ? ",le=\"" : "{le=\"");
	head = r->n - start;
	for (i = 0; i <= s->nbounds && !r->failed; i++) {
		char *to = i ? room(r, head) : NULL;

		if (to) {
			memcpy(to, r->p + start, head);
			r->n += head;
		}
		if (i < s->nbounds) {
			put(r, r->bounds + at, r->bound_ends[i] - at);
			at = r->bound_ends[i];
		} else {
			put(r, "+Inf", 4);
		}
		put(r, "\"} ", 3);
		count += s->counts[i];
		put_uint(r, count);
		put(r, "\n", 1);
	}
	/* OpenMetrics: with bounds below 0 a sum is no counter and must not be there. */
	if (r->format == RENDER_TEXT || !s->nbounds || s->bounds[0] >= 0) {
		put_part(r, m, "_sum", labels, nlabels);
		put_number(r, s->sum);
		put(r, "\n", 1);
	}
	put_part(r, m, "_count", labels, nlabels);
	put_uint(r, count);
	put(r, "\n", 1);
}

/* ---- the whole ---- */

void render_begin(struct render *r, enum render_format format)
{
	memset(r, 0, sizeof(*r));
	r->format = format;
}

void render_sample(void *data, const struct ch_sample *s)
{
	struct render *r = data;
	size_t labels;

	if (s->first) {
		put_metadata(r, s->family);
		if (s->family->kind == CH_HISTOGRAM)
			keep_bounds(r, s);
	}
	if (r->failed)
		return;
	if (s->family->kind == CH_HISTOGRAM) {
		put_histogram(r, s);
		return;
	}
	put_cstr(r, s->family->name);
	labels = r->n;
	put_labels(r, s);
	if (r->n > labels)
		put(r, "}", 1);
	put(r, " ", 1);
	put_number(r, s->value);
	put(r, "\n", 1);
}

bool render_end(struct render *r)
{
	if (r->format == RENDER_OPENMETRICS)
		put(r, "# EOF\n", 6);
	free(r->bounds);
	free(r->bound_ends);
	r->bounds = NULL;
	r->bound_ends = NULL;
	if (!r->failed)
		return true;
	free(r->p);
	r->p = NULL;
	return false;
}
