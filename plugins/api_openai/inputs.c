/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inputs.c - `prompt` of a completion, `input` of embeddings, and `stop`.
 *
 * A prompt or an input is a string, an array of strings, an array of token ids, or an array of such arrays. Token ids belong to one model's
 * vocabulary, so they are left as they are for a backend of the same dialect.
 */
#include "reader.h"

/* The array of token ids whose '[' is at hand, or its rest behind the first id. */
static bool read_ids(struct reader *r, const char *name, size_t i, bool first_read)
{
	struct ch_message *m = api_message(r, name);
	size_t start = r->tok.start;
	bool any = first_read;
	int64_t id;

	if (!m)
		return false;
	for (;; any = true) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			break;
		if (!ch_json_int(&r->tok, 0, API_INT_MAX, &id))
			return api_refuse(r, name, "`%s` mixes token ids with something else, or an id is no integer from 0 to %d.", name,
				API_INT_MAX);
	}
	if (!any)
		return api_refuse(r, api_path(r, name, "%s[%zu]", name, i), "An array of token ids must hold at least one.");
	m->json = (struct ch_str){ r->body.p + start, r->tok.end - start };
	r->out->args.needs |= CH_I_OTHER;
	r->out->args.other = "token ids in place of text";
	return true;
}

static bool read_list(struct reader *r, const char *name)
{
	size_t start = r->tok.start;
	int kind = 0;

	for (size_t i = 0;; i++) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return i > 0 || api_refuse(r, name, "`%s` is empty; send at least one.", name);
		if (i == 0)
			kind = r->tok.type;
		if (i == 0 && kind == CH_JSON_NUMBER) {
			int64_t id;

			if (!ch_json_int(&r->tok, 0, API_INT_MAX, &id))
				return api_refuse(r, name, "`%s` holds a token id that is no integer from 0 to %d.", name, API_INT_MAX);
			r->tok.start = start;
			return read_ids(r, name, 0, true);
		}
		if (r->tok.type != kind || (kind != CH_JSON_STRING && kind != CH_JSON_ARRAY))
			return api_refuse(r, api_path(r, name, "%s[%zu]", name, i),
				"`%s` must hold strings, token ids, or arrays of token ids, all of one kind.", name);
		if (kind == CH_JSON_ARRAY) {
			if (!read_ids(r, name, i, false))
				return false;
		} else {
			struct ch_message *m = api_message(r, name);

			if (!m || !api_text(r, &r->tok, &m->content))
				return false;
			m->json = (struct ch_str){ r->body.p + r->tok.start, r->tok.end - r->tok.start };
		}
	}
}

static bool read_texts(struct reader *r, const char *name)
{
	struct ch_message *m;

	if (r->tok.type == CH_JSON_ARRAY)
		return read_list(r, name);
	if (r->tok.type != CH_JSON_STRING)
		return api_refuse(r, name, "`%s` must be a string, or an array of strings or token ids.", name);
	m = api_message(r, name);
	if (!m)
		return false;
	m->json = (struct ch_str){ r->body.p + r->tok.start, r->tok.end - r->tok.start };
	return api_text(r, &r->tok, &m->content);
}

bool api_prompt(struct reader *r, const char *name)
{
	if (!read_texts(r, name))
		return false;
	if (r->out->args.nmessages > 1) /* an answer for each */
		r->out->args.needs |= CH_I_MANY;
	return true;
}

bool api_input(struct reader *r, const char *name)
{
	return read_texts(r, name);
}

/* ---- stop ---- */

static bool add_stop(struct reader *r, struct ch_str *all)
{
	struct ch_inference_args *a = &r->out->args;

	if (!r->tok.len) /* an empty text would end each answer at once: nobody means that */
		return true;
	return api_text(r, &r->tok, &all[a->nstop]) && ++a->nstop;
}

bool api_stop(struct reader *r, const char *name)
{
	struct ch_inference_args *a = &r->out->args;
	bool list = r->tok.type == CH_JSON_ARRAY;
	struct ch_str *all;

	if (!list && r->tok.type != CH_JSON_STRING)
		return api_refuse(r, name, "`stop` must be a string or an array of strings.");
	all = ch_alloc(r->c, (list ? API_STOP_MAX : 1) * sizeof(*all));
	if (!all)
		return api_no_memory(r);
	a->stop = all;
	if (!list)
		return add_stop(r, all);
	for (size_t i = 0;; i++) {
		if (!api_next(r))
			return false;
		if (r->tok.type == CH_JSON_ARRAY_END)
			return true;
		if (i == API_STOP_MAX)
			return api_refuse(r, name, "`stop` holds more than the %d texts that are allowed.", API_STOP_MAX);
		if (r->tok.type != CH_JSON_STRING)
			return api_refuse(r, api_path(r, name, "stop[%zu]", i), "`stop` must be a string or an array of strings.");
		if (!add_stop(r, all))
			return false;
	}
}
