/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ctl/doc.h"

#include <chimera/kit/json.h>

#include <stdlib.h>

bool ctl_each(struct ch_str doc, size_t *at, struct ch_str *key, struct ch_str *value)
{
	struct ch_json j;
	struct ch_json_tok tok;
	bool object;

	/* From the start each time: a scanner's state is not worth keeping for documents of this size. */
	ch_json_init(&j, doc.p, doc.n, 0, 0);
	object = ch_json_next(&j, &tok) == CH_JSON_OBJECT;
	if (!object && tok.type != CH_JSON_ARRAY)
		return false;
	for (size_t i = 0;; i++) {
		if (ch_json_next(&j, &tok) <= CH_JSON_END || tok.type == CH_JSON_OBJECT_END || tok.type == CH_JSON_ARRAY_END)
			return false;
		if (object) {
			if (key)
				*key = (struct ch_str){ tok.s, tok.len };
			ch_json_next(&j, &tok);
		}
		if (ch_json_skip(&j, &tok))
			return false;
		if (i < *at)
			continue;
		*value = (struct ch_str){ doc.p + tok.start, tok.end - tok.start };
		++*at;
		return true;
	}
}

struct ch_str ctl_member(struct ch_str doc, const char *name)
{
	struct ch_str key = { NULL, 0 }, value;

	for (size_t at = 0; ctl_each(doc, &at, &key, &value);)
		if (key.p && key.n == strlen(name) && !memcmp(key.p, name, key.n))
			return value;
	return (struct ch_str){ NULL, 0 };
}

/* Appends the text of a value that is no container; returns the new end. `out` has room for the value's bytes. */
static char *put(char *out, struct ch_str value)
{
	struct ch_json j;
	struct ch_json_tok tok;
	size_t n = value.n;

	ch_json_init(&j, value.p, value.n, 0, 0);
	if (ch_json_next(&j, &tok) == CH_JSON_STRING)
		n = ch_json_unescape(&tok, out);
	else if (tok.type == CH_JSON_NULL)
		n = 0;
	else
		memcpy(out, value.p, n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	return out + n;
}

char *ctl_text(struct ch_str value)
{
	char *text = malloc(2 * value.n + 1), *end = text; /* an element is at least two bytes with its comma, so ", " fits */
	struct ch_str element;
	size_t at = 0;

	if (!text)
		return NULL;
	if (value.n && value.p[0] == '[') {
		while (ctl_each(value, &at, NULL, &element)) {
			if (end > text) {
				memcpy(end, ", ", 2);
				end += 2;
			}
			end = put(end, element);
		}
	} else if (value.n) {
		end = put(end, value);
	}
	*end = '\0';
	return text;
}

double ctl_number(struct ch_str value)
{
	struct ch_json j;
	struct ch_json_tok tok;
	double d;

	ch_json_init(&j, value.p, value.n, 0, 0);
	return value.n && ch_json_next(&j, &tok) == CH_JSON_NUMBER && ch_json_double(&tok, &d) ? d : 0;
}
