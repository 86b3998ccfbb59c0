/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caller.c - a request with its caller's own token (tokens/1) in place of the server's key.
 *
 * The call goes through once the token is known: at once if the store has it in memory, else when a ticket of ours is resumed. From then on
 * it is one like any other, to an upstream that differs from the server's in its key.
 */
#include "openai.h"

#define RETRY_MS 1000

struct wait { /* in the ctx's arena; those that wait hang on the instance's slot of the ctx */
	struct wait *next;
	const struct ch_svc *svc;
	struct ch_ctx *c;
	const struct ch_inference_args *args;
	struct ch_inference_sink sink;
	struct ch_inference_result *out;
	ch_ticket outer;
	struct ch_tokens_result token;
	struct ch_openai_upstream up; /* the server's, with the caller's key */
	bool streamed, over;
};

static const struct openai_conf *conf_of(const struct ch_svc *svc)
{
	return svc->self->conf;
}

static struct openai_state *state_of(const struct ch_svc *svc)
{
	return svc->self->state;
}

static const struct ch_svc *store_of(const struct ch_svc *svc)
{
	return conf_of(svc)->caller_tokens.v[0];
}

static const struct ch_tokens_v1 *tokens_of(const struct ch_svc *svc)
{
	return store_of(svc)->vt;
}

/* ---- those that wait ---- */

static struct wait **list_of(const struct ch_svc *svc, struct ch_ctx *c)
{
	return (struct wait **)ch_slot(svc->self, c);
}

static void unlist(struct wait *w)
{
	struct wait **at = list_of(w->svc, w->c);

	while (*at && *at != w)
		at = &(*at)->next;
	if (*at)
		*at = w->next;
}

/* ---- with the token, or without ---- */

/* May it stand in a header field? */
static bool is_plain(struct ch_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return s.n;
}

static int refuse_without(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	return ch_backend_refuse(out, CH_E_FORBIDDEN, 0,
		ch_print(c, "You have no token of %s, and this server lends none: sign in to it, or ask the operator to keep one for you.",
			state_of(svc)->provider));
}

static int submit(struct wait *w, const struct ch_openai_upstream *up)
{
	return ch_openai_submit(up, w->svc, w->c, w->args, w->streamed ? &w->sink : NULL, w->out, w->outer);
}

/* What came of the token: the call goes on. Returns as submit. */
static int go(struct wait *w)
{
	struct openai_state *s = state_of(w->svc);
	const struct ch_token *t = &w->token.token;

	switch (w->token.error) {
	case CH_TOKENS_OK:
		break;
	case CH_TOKENS_NONE:
		return conf_of(w->svc)->caller_tokens_only ? refuse_without(w->svc, w->c, w->out) : submit(w, &s->up);
	case CH_TOKENS_UNREADABLE:
		ch_log(w->svc->self, w->c, CH_ERR, "a caller's token cannot be used: %s", w->token.detail);
		return ch_backend_refuse(w->out, CH_E_UNAVAILABLE, 0,
			"This server has a token of yours that it cannot read: its operator must look at it.");
	default:
		return ch_backend_refuse(w->out, CH_E_UNAVAILABLE, RETRY_MS, "The store of tokens cannot be asked now; try again later.");
	}
	if (!is_plain(t->access))
		return ch_backend_refuse(w->out, CH_E_FORBIDDEN, 0, ch_print(w->c,
			"Your token of %s holds a blank or another byte that no header field takes: keep it anew.", s->provider));
	w->up = s->up;
	w->up.api_key = t->access.p;
	w->up.callers_key = true;
	return submit(w, &w->up);
}

static int on_token(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;

	(void)result;
	if (w->over)
		return CH_AGAIN;
	w->over = true;
	unlist(w);
	if (why != CH_READY) {
		tokens_of(w->svc)->cancel(store_of(w->svc), c, &w->token);
		w->token.error = CH_TOKENS_UNAVAILABLE;
	}
	if (go(w) != CH_AGAIN)
		ch_resume(w->outer, NULL, NULL);
	return CH_AGAIN;
}

/* ---- the call ---- */

int openai_submit_for_caller(const struct ch_svc *svc, struct ch_ctx *c, const struct ch_inference_args *args,
	const struct ch_inference_sink *sink, struct ch_inference_result *out, ch_ticket ticket)
{
	bool asks = args->op != CH_I_MODELS && args->op != CH_I_PROBE; /* those are the server's own questions */
	const char *owner = ch_facts(c)->owner;
	struct wait *w;
	ch_ticket own;
	int rc;

	if (!asks || !owner || !*owner)
		return asks && conf_of(svc)->caller_tokens_only ? refuse_without(svc, c, out)
			: ch_openai_submit(&state_of(svc)->up, svc, c, args, sink, out, ticket);
	w = ch_alloc(c, sizeof(*w));
	own = w ? ch_suspend(c, 0, on_token, w) : 0;
	if (!own)
		return ch_backend_refuse(out, CH_E_OVERLOADED, 0, NULL);
	*w = (struct wait){ .svc = svc, .c = c, .args = args, .out = out, .outer = ticket, .streamed = sink, .token.size = sizeof(w->token),
		.token.token.size = sizeof(w->token.token), .next = *list_of(svc, c) };
	if (sink)
		w->sink = *sink;
	rc = tokens_of(svc)->current(store_of(svc), c, owner, state_of(svc)->provider, &w->token, own);
	if (rc == CH_AGAIN) {
		*list_of(svc, c) = w;
		return CH_AGAIN;
	}
	ch_unsuspend(own);
	w->over = true;
	if (rc != CH_OK)
		w->token.error = CH_TOKENS_UNAVAILABLE;
	return go(w);
}

bool openai_cancel_for_caller(const struct ch_svc *svc, struct ch_ctx *c, struct ch_inference_result *out)
{
	struct wait *w = conf_of(svc)->caller_tokens.n ? *list_of(svc, c) : NULL;

	while (w && w->out != out)
		w = w->next;
	if (!w)
		return false;
	w->over = true;
	unlist(w);
	ch_backend_refuse(out, CH_E_UPSTREAM_ERROR, 0, "The question was given up.");
	ch_resume(w->outer, NULL, NULL);
	tokens_of(svc)->cancel(store_of(svc), c, &w->token);
	return true;
}
