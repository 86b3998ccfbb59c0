/* SPDX-License-Identifier: Apache-2.0 */
/* models.c - which models there are, and one of them. */
#include <chimera/kit/near.h>

#include "api_openai.h"

struct models_call {
	struct api_call call; /* its result, and who asks */
	struct ch_str id; /* the model asked for; p NULL: all */
};

static const struct ch_inference_v1 *vt(const struct models_call *m)
{
	return m->call.call.svc->vt;
}

/* The model is not there: says so, and which name may have been meant. */
static int not_found(struct models_call *m)
{
	const struct ch_inference_result *r = &m->call.result;
	const char *id = ch_dup(m->call.c, m->id.p, m->id.n);
	struct ch_near near;

	ch_near_init(&near, id ? id : "");
	for (size_t i = 0; id && i < r->nmodels; i++) {
		const char *name = ch_dup(m->call.c, r->models[i].id.p, r->models[i].id.n);

		if (name)
			ch_near_offer(&near, name);
	}
	if (id && *near.best)
		return ch_refuse_param(m->call.c, CH_E_MODEL_NOT_FOUND, "model",
			"There is no model \"%.64s\"; did you mean \"%s\"? GET /v1/models lists all.", id, near.best);
	return ch_refuse_param(m->call.c, CH_E_MODEL_NOT_FOUND, "model",
		"There is no model \"%.64s\"; GET /v1/models lists those there are.", id ? id : "");
}

static int answer(struct models_call *m)
{
	const struct ch_inference_result *r = &m->call.result;
	struct api_buf b;

	if (r->code)
		return api_failed(&m->call);
	api_buf_init(&b);
	if (!m->id.p) {
		api_write_models(&b.w, r->models, r->nmodels);
		return api_buf_respond(m->call.c, &b);
	}
	for (size_t i = 0; i < r->nmodels; i++) {
		const struct ch_str *id = &r->models[i].id;

		if (id->n == m->id.n && !memcmp(id->p, m->id.p, id->n)) {
			api_write_model(&b.w, &r->models[i]);
			return api_buf_respond(m->call.c, &b);
		}
	}
	return not_found(m);
}

static int on_listed(struct ch_ctx *c, void *data, int why, void *result)
{
	struct models_call *m = data;

	(void)c, (void)result;
	if (why == CH_GONE)
		return CH_DONE;
	if (why == CH_TIMEOUT)
		api_set_code(&m->call, CH_E_UPSTREAM_TIMEOUT, api_too_late);
	return answer(m);
}

/* With its hooks, for those that say which models this caller may see. */
static int ask(struct ch_self *self, struct ch_ctx *c, struct ch_str id)
{
	const struct api_conf *conf = self->conf;
	struct models_call *m = ch_alloc(c, sizeof(*m));
	int rc;

	if (!m)
		return ch_refuse(c, CH_E_OVERLOADED, 0, "%s", api_no_memory_text);
	m->id = id;
	m->call.self = self;
	m->call.c = c;
	m->call.result.size = sizeof(m->call.result);
	m->call.call = (struct ch_inference_call){ .size = sizeof(m->call.call), .svc = conf->backend, .out = &m->call.result,
		.fn = on_listed, .data = m };
	m->call.call.args =
		(struct ch_inference_args){ .size = sizeof(m->call.call.args), .op = CH_I_MODELS, .temperature = -1, .top_p = -1 };
	if (!(vt(m)->about(conf->backend)->ops & 1u << CH_I_MODELS))
		return ch_refuse(c, CH_E_NOT_IMPLEMENTED, 0, "The backend \"%s\" cannot list its models; put a [router] before it.",
			conf->backend->id);
	rc = ch_infer(c, &m->call.call);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	if (rc != CH_OK)
		api_set_code(&m->call, CH_E_UPSTREAM_ERROR, api_broken);
	return answer(m);
}

int api_on_models(struct ch_self *self, struct ch_ctx *c)
{
	return ask(self, c, (struct ch_str){ NULL, 0 });
}

int api_on_model(struct ch_self *self, struct ch_ctx *c)
{
	return ask(self, c, ch_param(c, "id"));
}
