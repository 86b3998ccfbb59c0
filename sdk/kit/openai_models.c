/* SPDX-License-Identifier: MIT */
/* openai_models.c - what an OpenAI server says it serves. Names that no client could send, or that nobody should print, are left out. */
#include "openai_call.h"

enum { MODELS_MOST = 2000, NAME_MOST = 128 };

static bool is_name(const struct ch_json_tok *t)
{
	if (t->type != CH_JSON_STRING || t->escaped || !t->len || t->len > NAME_MOST)
		return false;
	for (size_t i = 0; i < t->len; i++) {
		char c = t->s[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && !strchr("._:/@+-", c))
			return false;
	}
	return true;
}

static bool is_context(const struct ch_json_tok *key)
{
	return ch_json_eq(key, "max_model_len") || ch_json_eq(key, "context_length") || ch_json_eq(key, "context_window");
}

/* The members of one model, whose bracket is read. False: no more can be read. */
static bool read_model(struct ch_json *j, struct ch_model *m)
{
	struct ch_json_tok key, t;

	*m = (struct ch_model){ .created = 0 };
	while (ch_json_next(j, &key) == CH_JSON_KEY) {
		ch_json_next(j, &t);
		if (ch_json_eq(&key, "id") && is_name(&t))
			m->id = (struct ch_str){ t.s, t.len };
		else if (ch_json_eq(&key, "owned_by") && is_name(&t))
			m->owned_by = (struct ch_str){ t.s, t.len };
		else if (ch_json_eq(&key, "created") && t.type == CH_JSON_NUMBER)
			ch_json_int(&t, 0, INT64_C(1) << 40, &m->created);
		else if (is_context(&key) && t.type == CH_JSON_NUMBER)
			ch_json_int(&t, 0, INT64_C(1) << 40, &m->context);
		if (ch_json_skip(j, &t))
			return false;
	}
	return key.type == CH_JSON_OBJECT_END;
}

/* The elements of `data`, whose bracket is read, into v; how many. */
static size_t read_list(struct ch_json *j, struct ch_model *v)
{
	struct ch_json_tok t;
	size_t n = 0;

	while (n < MODELS_MOST && ch_json_next(j, &t) == CH_JSON_OBJECT && read_model(j, &v[n]))
		n += v[n].id.n > 0;
	return n;
}

/* No list has more elements than brackets. */
static size_t at_most(struct ch_str body)
{
	size_t n = 0;

	for (size_t i = 0; i < body.n && n < MODELS_MOST; i++)
		n += body.p[i] == '{';
	return n;
}

/* Up to the first element of `data`. False: there is no such list. */
static bool find_list(struct ch_json *j)
{
	struct ch_json_tok key, t;

	ch_json_next(j, &t);
	while (ch_json_next(j, &key) == CH_JSON_KEY) {
		if (ch_json_next(j, &t) == CH_JSON_ARRAY && ch_json_eq(&key, "data"))
			return true;
		if (ch_json_skip(j, &t))
			return false;
	}
	return false;
}

void openai_on_models(struct ch_exchange *x, struct ch_str body)
{
	struct openai_call *k = (struct openai_call *)x;
	struct ch_json j;
	struct ch_model *v;

	ch_json_init(&j, body.p, body.n, 0, 0);
	if (!ch_json_valid(body.p, body.n, 0, 0, NULL, NULL) || !find_list(&j)) {
		ch_backend_refuse(x->out, CH_E_UPSTREAM_INVALID, 0, "The backend's list of models is no JSON object with a list `data`.");
		return;
	}
	v = ch_heap_grow(&k->scratch_heap, NULL, 0, (at_most(body) + 1) * sizeof(*v));
	if (!v) {
		ch_backend_refuse(x->out, CH_E_OVERLOADED, 0, NULL);
		return;
	}
	x->out->models = v;
	x->out->nmodels = read_list(&j, v);
}
