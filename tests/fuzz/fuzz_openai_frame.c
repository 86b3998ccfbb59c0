/* SPDX-License-Identifier: MIT */
/*
 * What an OpenAI server says: whatever comes, what is read lies within it; a document that is read is valid JSON, and stays so, less one
 * member, when its usage is cut out; its embeddings are as many as were counted, or there is a reason.
 */
#include "chimera/kit/json.h"
#include "fuzz.h"
#include "sdk/kit/openai_frame.h"

static void check_inside(const char *p, size_t n, const char *s, size_t len)
{
	FUZZ_CHECK(!len || (s >= p && len <= n && (size_t)(s - p) <= n - len));
}

/* How many members of that name the outermost object has; *members: all. */
static size_t count(const char *p, size_t n, const char *name, size_t *members)
{
	struct ch_json j;
	struct ch_json_tok t;
	size_t found = 0;

	*members = 0;
	ch_json_init(&j, p, n, 0, 0);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		found += ch_json_eq(&t, name);
		++*members;
		ch_json_next(&j, &t);
		FUZZ_CHECK(!ch_json_skip(&j, &t));
	}
	return found;
}

static void check_cut(const char *p, size_t n, const struct openai_frame *f)
{
	size_t before, after, usages = count(p, n, "usage", &before);
	char *rest;

	FUZZ_CHECK(!f->cut_n == !usages);
	if (!usages)
		return;
	FUZZ_CHECK(f->cut_at > 0 && f->cut_at < n && f->cut_n < n - f->cut_at);
	rest = fuzz_copy(p, n - f->cut_n);
	memcpy(rest + f->cut_at, p + f->cut_at + f->cut_n, n - f->cut_at - f->cut_n);
	FUZZ_CHECK(ch_json_valid(rest, n - f->cut_n, 0, 0, NULL, NULL));
	FUZZ_CHECK(count(rest, n - f->cut_n, "usage", &after) == usages - 1);
	FUZZ_CHECK(after == before - 1);
	free(rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *p = fuzz_copy(data, size);
	struct openai_frame f;

	if (openai_frame_read(p, size, &f)) {
		size_t n, dimensions;
		const char *why;
		float *v;

		FUZZ_CHECK(!f.why && ch_json_valid(p, size, 0, 0, NULL, NULL));
		check_inside(p, size, f.error.p, f.error.n);
		check_inside(p, size, f.tool_calls.p, f.tool_calls.n);
		FUZZ_CHECK(!f.error.n || ch_json_valid(f.error.p, f.error.n, 0, 0, NULL, NULL));
		FUZZ_CHECK(!f.tool_calls.n || ch_json_valid(f.tool_calls.p, f.tool_calls.n, 0, 0, NULL, NULL));
		if (f.text.type == CH_JSON_STRING)
			check_inside(p, size, f.text.s, f.text.len);
		if (f.finish.type == CH_JSON_STRING) {
			check_inside(p, size, f.finish.s, f.finish.len);
			FUZZ_CHECK(f.finished);
		}
		check_cut(p, size, &f);
		v = openai_vectors(p, size, &n, &dimensions, &why);
		FUZZ_CHECK(v ? n && dimensions : why != NULL);
		for (size_t i = 0; v && i < n * dimensions; i++)
			FUZZ_CHECK(v[i] == v[i] || v[i] != v[i]); /* each is there to be read */
		free(v);
	} else {
		FUZZ_CHECK(f.why);
	}
	free(p);
	return 0;
}
