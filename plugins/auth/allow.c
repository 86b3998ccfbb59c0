/* SPDX-License-Identifier: Apache-2.0 */
/* allow.c - what a key may be used for: from where, for which routes, from which tier on; and which models and backends, when it asks. */
#include <chimera/backend.h>
#include <chimera/json.h>
#include <chimera/kit/net.h>

#include "auth.h"

/* ---- the request ---- */

/* The tier's place in the order, from 1; 0: it is none. */
static size_t rank(const struct auth_conf *conf, const char *tier)
{
	for (size_t i = 0; i < conf->tiers.n; i++)
		if (!strcmp(conf->tiers.v[i].p, tier))
			return i + 1;
	return 0;
}

bool auth_is_tier(const struct auth_conf *conf, const char *tier, const char *least)
{
	size_t wanted = rank(conf, least);

	return wanted && rank(conf, tier) >= wanted;
}

static struct ch_str str(const char *s)
{
	return (struct ch_str){ s, strlen(s) };
}

/* A text that is no network allows nothing. */
static bool from_there(const char *networks, const char *client)
{
	struct in6_addr a;
	struct ch_net net;

	if (!client || !ch_addr_read(client, strlen(client), &a))
		return false;
	while (*networks) {
		size_t n = strcspn(networks, ","), from = strspn(networks, " \t"), to = n;

		while (to > from && (networks[to - 1] == ' ' || networks[to - 1] == '\t'))
			to--;
		if (from < to && ch_net_read(networks + from, to - from, &net) && ch_nets_have(&net, 1, &a))
			return true;
		networks += n + (networks[n] == ',');
	}
	return false;
}

int auth_allowed(const struct auth_conf *conf, struct ch_ctx *c, const struct ch_key *k, const char **why)
{
	const struct ch_facts *facts = ch_facts(c);
	const char *least = ch_route(c)->tier;

	if (*k->networks && !from_there(k->networks, facts->client))
		*why = "This key may not be used from this address: use it from one of its networks, or ask the operator.";
	else if (*k->routes && !ch_listed(str(k->routes), str(facts->endpoint)))
		*why = "This key may not be used for this route: use another key, or ask the operator.";
	else if (least && !rank(conf, least))
		*why = "This route wants a tier that [auth] tiers does not have, so it is closed: the operator must put that tier there.";
	else if (least && !auth_is_tier(conf, facts->tier, least))
		*why = "This route wants a key of a higher tier: use another key, or ask the operator.";
	else
		return 0;
	return CH_E_FORBIDDEN;
}

/* ---- the questions ---- */

struct limits { struct ch_str models, backends; }; /* in the ctx's slot, if the key has any */

bool auth_restrict(struct ch_self *self, struct ch_ctx *c, const char *models, const char *backends)
{
	size_t m = strlen(models), b = strlen(backends);
	struct limits *l;
	char *p;

	if (!m && !b)
		return true;
	l = ch_alloc(c, sizeof(*l) + m + b);
	if (!l)
		return false;
	p = (char *)(l + 1);
	l->models = (struct ch_str){ memcpy(p, models, m), m };
	l->backends = (struct ch_str){ memcpy(p + m, backends, b), b };
	*ch_slot(self, c) = l;
	return true;
}

/* OpenAI's own object says which member it is about. */
static int forbid(struct ch_ctx *c, struct ch_inference_call *call, const char *param, const char *detail)
{
	struct ch_jw w;

	call->out->code = CH_E_FORBIDDEN;
	call->out->detail = detail ? detail : "This key may not be used for that.";
	ch_jw_ctx(&w, c, 512);
	ch_jw_object(&w);
	ch_jw_key(&w, "message");
	ch_jw_cstr(&w, call->out->detail);
	ch_jw_key(&w, "type");
	ch_jw_cstr(&w, ch_code_info(CH_E_FORBIDDEN)->type);
	ch_jw_key(&w, "param");
	ch_jw_cstr(&w, param);
	ch_jw_key(&w, "code");
	ch_jw_cstr(&w, ch_code_info(CH_E_FORBIDDEN)->name);
	ch_jw_object_end(&w);
	if (!w.failed)
		call->out->error = (struct ch_str){ w.buf, w.len };
	return CH_DONE;
}

static bool forbidden(struct ch_str list, struct ch_str name)
{
	return list.n && !ch_listed(list, name);
}

/* A backend by itself does not look: what it would be asked for is its default where no model is named. */
static int judge_backend(struct ch_ctx *c, struct ch_inference_call *call, const struct limits *l, const struct ch_backend_conf *conf)
{
	struct ch_str model = str(conf->default_model ? conf->default_model : "");

	if (forbidden(l->backends, str(call->svc->id)))
		return forbid(c, call, NULL, ch_print(c, "This key may not use the backend \"%s\": use another key, or ask the operator.",
			call->svc->id));
	if (!call->args.model.n && call->args.op < CH_I_MODELS && forbidden(l->models, model))
		return forbid(c, call, "model", "This key may not use the model that is asked where none is named: name one in \"model\".");
	return CH_OK;
}

int auth_on_call(struct ch_self *self, struct ch_ctx *c)
{
	const struct limits *l = *ch_slot(self, c);
	struct ch_inference_call *call = l ? ch_inference_call(c) : NULL;
	const struct ch_inference_about *about;

	if (!call)
		return CH_OK;
	call->args.only_models = l->models;
	call->args.only_backends = l->backends;
	if (call->args.model.n && call->args.op < CH_I_MODELS && forbidden(l->models, call->args.model))
		return forbid(c, call, "model", "This key may not use this model: GET /v1/models lists those that it may use.");
	if (call->args.backend.n && forbidden(l->backends, call->args.backend))
		return forbid(c, call, "backend", "This key may not use this backend: leave \"backend\" out.");
	about = ((const struct ch_inference_v1 *)call->svc->vt)->about(call->svc);
	return about && about->conf ? judge_backend(c, call, l, about->conf) : CH_OK;
}

/* Of a list of models those stay that the key may use. */
int auth_on_call_end(struct ch_self *self, struct ch_ctx *c)
{
	const struct limits *l = *ch_slot(self, c);
	struct ch_inference_call *call = l && l->models.n ? ch_inference_call(c) : NULL;
	struct ch_inference_result *out = call ? call->out : NULL;
	struct ch_model *v;
	size_t n = 0, all = 0;

	if (!out || call->args.op != CH_I_MODELS)
		return CH_OK;
	while (all < out->nmodels && ch_listed(l->models, out->models[all].id))
		all++;
	if (all == out->nmodels)
		return CH_OK;
	v = ch_alloc(c, out->nmodels * sizeof(*v));
	for (size_t i = 0; v && i < out->nmodels; i++)
		if (ch_listed(l->models, out->models[i].id))
			v[n++] = out->models[i];
	out->models = v;
	out->nmodels = n; /* without memory none */
	return CH_OK;
}
