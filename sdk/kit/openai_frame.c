/* SPDX-License-Identifier: MIT */
/* openai_frame.c - see openai_frame.h. */
#include <stdlib.h>

#include "openai_frame.h"

/* ---- small things ---- */

static bool is_name(const struct ch_json_tok *t, const char *name, size_t n)
{
	return !t->escaped ? t->len == n && !memcmp(t->s, name, n) : ch_json_eq(t, name);
}
#define IS(tok, lit) is_name(tok, lit, sizeof(lit) - 1)

/* Skips the value that `t` begins. False: the document is broken there. */
static bool skip(struct ch_json *j, struct ch_json_tok *t)
{
	return !ch_json_skip(j, t) && t->type != CH_JSON_ERROR;
}

/* ---- the parts ---- */

/* The opening bracket is read. Both of OpenAI's ways to name the counts. */
static bool read_usage(struct ch_json *j, struct openai_frame *f)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool in = IS(&t, "prompt_tokens") || IS(&t, "input_tokens"), out = IS(&t, "completion_tokens") || IS(&t, "output_tokens");
		int64_t v;

		if (ch_json_next(j, &t) == CH_JSON_NUMBER && (in || out) && ch_json_int(&t, 0, INT64_C(1) << 53, &v))
			*(in ? &f->tokens_in : &f->tokens_out) = (uint64_t)v;
		if (!skip(j, &t))
			return false;
	}
	f->usage = true;
	return t.type == CH_JSON_OBJECT_END;
}

/* A choice's delta or message. */
static bool read_message(struct ch_json *j, struct openai_frame *f, bool first)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool text = IS(&t, "content"), tools = IS(&t, "tool_calls");

		ch_json_next(j, &t);
		if (text && first && t.type == CH_JSON_STRING)
			f->text = t;
		if (!skip(j, &t))
			return false;
		if (tools && first && t.type == CH_JSON_ARRAY)
			f->tool_calls = (struct ch_str){ j->p + t.start, t.end - t.start };
	}
	return t.type == CH_JSON_OBJECT_END;
}

/* Some servers write "" or "null" into every chunk, where others write null. */
static bool is_reason(const struct ch_json_tok *t)
{
	return t->type == CH_JSON_STRING && t->len && !IS(t, "null");
}

static bool read_choice(struct ch_json *j, struct openai_frame *f, bool first)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool message = IS(&t, "delta") || IS(&t, "message"), text = IS(&t, "text"), finish = IS(&t, "finish_reason");

		ch_json_next(j, &t);
		if (message && t.type == CH_JSON_OBJECT) {
			if (!read_message(j, f, first))
				return false;
			continue;
		}
		if (text && first && t.type == CH_JSON_STRING)
			f->text = t;
		if (finish && is_reason(&t)) {
			f->finished = true;
			if (first)
				f->finish = t;
		}
		if (!skip(j, &t))
			return false;
	}
	return t.type == CH_JSON_OBJECT_END;
}

static bool read_choices(struct ch_json *j, struct openai_frame *f)
{
	struct ch_json_tok t;

	f->choices = true;
	f->nchoices = 0;
	while (ch_json_next(j, &t) > CH_JSON_END && t.type != CH_JSON_ARRAY_END) {
		bool first = !f->nchoices++;

		if (t.type == CH_JSON_OBJECT ? !read_choice(j, f, first) : !skip(j, &t))
			return false;
	}
	return t.type == CH_JSON_ARRAY_END;
}

static bool read_datum(struct ch_json *j, struct openai_frame *f)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		bool embedding = IS(&t, "embedding");

		ch_json_next(j, &t);
		if (embedding && (t.type == CH_JSON_STRING || t.type == CH_JSON_ARRAY)) {
			f->vectors++;
			*(t.type == CH_JSON_STRING ? &f->base64 : &f->floats) = true;
		}
		if (!skip(j, &t))
			return false;
	}
	return t.type == CH_JSON_OBJECT_END;
}

static bool read_data(struct ch_json *j, struct openai_frame *f)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) > CH_JSON_END && t.type != CH_JSON_ARRAY_END)
		if (t.type == CH_JSON_OBJECT ? !read_datum(j, f) : !skip(j, &t))
			return false;
	return t.type == CH_JSON_ARRAY_END;
}

/* ---- the whole ---- */

/* One member of the outermost object; its name is `key`. *end: behind its value. */
static bool read_member(struct ch_json *j, const struct ch_json_tok *key, struct openai_frame *f, bool *error, size_t *end)
{
	struct ch_json_tok t;
	bool ok;

	ch_json_next(j, &t);
	if (IS(key, "choices") && t.type == CH_JSON_ARRAY) {
		ok = read_choices(j, f);
	} else if (IS(key, "usage") && t.type == CH_JSON_OBJECT) {
		ok = read_usage(j, f);
	} else if (IS(key, "data") && t.type == CH_JSON_ARRAY) {
		ok = read_data(j, f);
	} else if (IS(key, "error")) {
		bool none = t.type == CH_JSON_NULL || t.type == CH_JSON_FALSE;

		ok = skip(j, &t);
		if (ok && !none)
			f->error = (struct ch_str){ j->p + t.start, t.end - t.start };
	} else {
		if (IS(key, "choices") && t.type != CH_JSON_NULL)
			f->why = "has `choices` that are no list";
		*error |= IS(key, "object") && t.type == CH_JSON_STRING && IS(&t, "error");
		ok = skip(j, &t);
	}
	*end = j->pos;
	return ok;
}

/* The members of the outermost object, whose bracket is read. */
static bool read_members(struct ch_json *j, struct openai_frame *f, bool *error)
{
	struct ch_json_tok t;
	size_t before = 0; /* end of the member before; 0: none */

	while (ch_json_next(j, &t) == CH_JSON_KEY) {
		size_t start = t.start, end;
		bool usage = IS(&t, "usage");

		/* The first one, to be cut, takes the comma behind it, and the blanks up to this name. */
		if (f->cut_n && !f->cut_at)
			f->cut_at = f->cut_n, f->cut_n = start - f->cut_n;
		if (!read_member(j, &t, f, error, &end))
			return false;
		if (usage && before)
			f->cut_at = before, f->cut_n = end - before;
		else if (usage)
			f->cut_at = 0, f->cut_n = start; /* until we know where the next one begins */
		before = end;
	}
	if (f->cut_n && !f->cut_at)
		f->cut_at = f->cut_n, f->cut_n = before - f->cut_at;
	return t.type == CH_JSON_OBJECT_END;
}

bool openai_frame_read(const char *p, size_t n, struct openai_frame *f)
{
	struct ch_json j;
	struct ch_json_tok t;
	bool error = false;

	*f = (struct openai_frame){ .text.type = CH_JSON_END, .finish.type = CH_JSON_END };
	ch_json_init(&j, p, n, 0, 0);
	if (ch_json_next(&j, &t) == CH_JSON_OBJECT && read_members(&j, f, &error) && ch_json_next(&j, &t) == CH_JSON_END) {
		if (error && !f->error.n)
			f->error = (struct ch_str){ p, n };
		return !f->why;
	}
	f->why = j.error ? "is no valid JSON" : "is no JSON object";
	return false;
}

/* ---- embeddings ---- */

struct vectors {
	float *v;
	size_t n, cap;            /* numbers, of all vectors so far */
	size_t count, dimensions;
	const char *why;
};

static bool add(struct vectors *o, float x)
{
	if (o->n == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 4096;
		float *more = realloc(o->v, cap * sizeof(*more));

		if (!more) {
			o->why = "has more numbers than there is memory for";
			return false;
		}
		o->v = more;
		o->cap = cap;
	}
	o->v[o->n++] = x;
	return true;
}

static int digit64(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52 :
		c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Little-endian floats of 32 bits in base64. */
static bool add_text(struct vectors *o, const struct ch_json_tok *t)
{
	uint64_t bits = 0;
	unsigned have = 0;
	size_t n = t->len;

	while (n && t->s[n - 1] == '=')
		n--;
	/* An escape can only be \/ here: JSON writers of some languages put it. */
	for (size_t i = 0; i < n; i++) {
		int d = digit64(t->s[i]);

		if (t->escaped && t->s[i] == '\\' && i + 1 < n && t->s[i + 1] == '/')
			continue;
		if (d < 0) {
			o->why = "has an embedding that is no base64";
			return false;
		}
		bits = bits << 6 | (unsigned)d;
		have += 6;
		if (have >= 32) {
			uint32_t four = __builtin_bswap32((uint32_t)(bits >> (have - 32)));
			float x;

			memcpy(&x, &four, sizeof(x));
			if (!add(o, x))
				return false;
			have -= 32;
		}
	}
	if (have >= 8) {
		o->why = "has an embedding whose base64 is no row of 32-bit numbers";
		return false;
	}
	return true;
}

static bool add_array(struct vectors *o, struct ch_json *j)
{
	struct ch_json_tok t;
	double x;

	while (ch_json_next(j, &t) == CH_JSON_NUMBER) {
		if (!ch_json_double(&t, &x)) {
			o->why = "has a number that is too large";
			return false;
		}
		if (!add(o, (float)x))
			return false;
	}
	if (t.type != CH_JSON_ARRAY_END)
		o->why = "has an embedding with something that is no number";
	return t.type == CH_JSON_ARRAY_END;
}

static bool add_datum(struct vectors *o, struct ch_json *j)
{
	struct ch_json_tok key, t;
	size_t before = o->n, n;

	while (ch_json_next(j, &key) == CH_JSON_KEY) {
		bool embedding = IS(&key, "embedding");

		ch_json_next(j, &t);
		if (embedding && t.type == CH_JSON_ARRAY) {
			if (!add_array(o, j))
				return false;
		} else if (embedding && t.type == CH_JSON_STRING) {
			if (!add_text(o, &t))
				return false;
		} else if (!skip(j, &t)) {
			return false;
		}
	}
	n = o->n - before;
	if (!n || (o->count && n != o->dimensions)) {
		o->why = "has embeddings of different lengths, or an empty one";
		return false;
	}
	o->dimensions = n;
	o->count++;
	return true;
}

static bool add_data(struct vectors *o, struct ch_json *j)
{
	struct ch_json_tok t;

	while (ch_json_next(j, &t) == CH_JSON_OBJECT)
		if (!add_datum(o, j))
			return false;
	return t.type == CH_JSON_ARRAY_END;
}

float *openai_vectors(const char *p, size_t n, size_t *count, size_t *dimensions, const char **why)
{
	struct vectors o = { .why = "has no embeddings" };
	struct ch_json j;
	struct ch_json_tok key, t;
	bool ok = true;

	ch_json_init(&j, p, n, 0, 0);
	ch_json_next(&j, &t);
	while (ok && ch_json_next(&j, &key) == CH_JSON_KEY) {
		ch_json_next(&j, &t);
		ok = IS(&key, "data") && t.type == CH_JSON_ARRAY ? add_data(&o, &j) : skip(&j, &t);
	}
	*count = o.count;
	*dimensions = o.dimensions;
	*why = o.why;
	if (ok && o.count)
		return o.v;
	free(o.v);
	return NULL;
}
