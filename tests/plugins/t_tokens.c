/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_tokens.c - a test plugin: every operation of tokens/1, by name.
 *
 *   GET /t/tokens?op=persist&user=U&provider=P&access=A&refresh=R&expires=US&family=F
 *       op=get&id=I   op=current&user=U&provider=P   op=rotate&id=I&access=A   op=revoke&user=U&provider=P; cancel=1: given up at once
 *   {"error": a number of enum ch_tokens_error, "detail", "id", "family", "user", "provider", "access", "refresh", "expires", "revoked",
 *    "count", "at_once"}
 *
 * Threads and ownership: everything on the request's loop, in its memory.
 */
#include <chimera/json.h>
#include <chimera/tokens.h>

#include "query.h"

struct t_tokens_conf {
	const struct ch_svc *tokens;
};

struct call {
	const struct ch_svc *svc;
	struct ch_token given;
	struct ch_tokens_result out;
	bool at_once;
};

static const char *word(struct ch_ctx *c, const char *name)
{
	struct ch_str v = query_text(c, name);

	return v.n ? ch_dup(c, v.p, v.n) : NULL;
}

static void text(struct ch_jw *w, const char *key, const char *value)
{
	ch_jw_key(w, key);
	if (value)
		ch_jw_cstr(w, value);
	else
		ch_jw_null(w);
}

static int answer(struct ch_ctx *c, const struct call *k)
{
	const struct ch_token *t = &k->out.token;
	struct ch_jw w;

	ch_jw_ctx(&w, c, 1024);
	ch_jw_object(&w);
	ch_jw_key(&w, "error");
	ch_jw_int(&w, k->out.error);
	text(&w, "detail", k->out.detail);
	text(&w, "id", t->id);
	text(&w, "family", t->family);
	text(&w, "user", t->user);
	text(&w, "provider", t->provider);
	ch_jw_key(&w, "access");
	ch_jw_string(&w, t->access.p ? t->access.p : "", t->access.n);
	ch_jw_key(&w, "refresh");
	ch_jw_string(&w, t->refresh.p ? t->refresh.p : "", t->refresh.n);
	ch_jw_key(&w, "expires");
	ch_jw_int(&w, t->expires);
	ch_jw_key(&w, "revoked");
	ch_jw_bool(&w, t->revoked);
	ch_jw_key(&w, "count");
	ch_jw_uint(&w, k->out.revoked);
	ch_jw_key(&w, "at_once");
	ch_jw_bool(&w, k->at_once);
	ch_jw_object_end(&w);
	return w.failed ? CH_ERROR : ch_respond(c, 200, "application/json", w.buf, w.len);
}

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct call *k = data;
	const struct ch_tokens_v1 *tokens = k->svc->vt;

	(void)result;
	if (why == CH_READY)
		return answer(c, k);
	tokens->cancel(k->svc, c, &k->out);
	return CH_DONE;
}

static int begin(struct ch_ctx *c, struct call *k, struct ch_str op, ch_ticket t)
{
	const struct ch_tokens_v1 *tokens = k->svc->vt;
	const char *id = word(c, "id"), *user = k->given.user ? k->given.user : "", *provider = k->given.provider ? k->given.provider : "";

	if (op.n == 7 && !memcmp(op.p, "persist", 7))
		return tokens->persist(k->svc, c, &k->given, &k->out, t);
	if (op.n == 3 && !memcmp(op.p, "get", 3))
		return tokens->get_by_id(k->svc, c, id ? id : "", &k->out, t);
	if (op.n == 7 && !memcmp(op.p, "current", 7))
		return tokens->current(k->svc, c, user, provider, &k->out, t);
	if (op.n == 6 && !memcmp(op.p, "rotate", 6))
		return tokens->rotate(k->svc, c, id ? id : "", &k->given, &k->out, t);
	return tokens->revoke_family(k->svc, c, user, provider, &k->out, t);
}

static int on_tokens(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_tokens_conf *conf = self->conf;
	struct call *k = ch_alloc(c, sizeof(*k));
	const char *access = word(c, "access"), *refresh = word(c, "refresh");
	const struct ch_tokens_v1 *tokens;
	ch_ticket t;
	int rc;

	if (!k || !conf->tokens)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "it takes [t_tokens] tokens");
	k->svc = conf->tokens;
	k->given = (struct ch_token){ .size = sizeof(k->given), .family = word(c, "family"), .user = word(c, "user"),
		.provider = word(c, "provider"), .expires = query_int(c, "expires", 0) };
	k->given.access = (struct ch_str){ access, access ? strlen(access) : 0 };
	k->given.refresh = (struct ch_str){ refresh, refresh ? strlen(refresh) : 0 };
	k->out.size = sizeof(k->out);
	k->out.token.size = sizeof(k->out.token);
	t = ch_suspend(c, 0, on_done, k);
	if (!t)
		return CH_ERROR;
	rc = begin(c, k, query_text(c, "op"), t);
	tokens = k->svc->vt;
	if (rc == CH_AGAIN && query_int(c, "cancel", 0))
		tokens->cancel(k->svc, c, &k->out);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	k->at_once = true;
	return rc == CH_OK ? answer(c, k) : CH_ERROR;
}

static const struct ch_option options[] = {
	CH_OPT(struct t_tokens_conf, tokens, SERVICE, .iface = "tokens/1", .def = "auto", .help = "Who keeps the tokens"),
};
static const struct ch_route routes[] = { { .method = "GET", .pattern = "/t/tokens", .fn = on_tokens, .summary = "One operation of tokens/1" } };

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_tokens",
	.version = "1",
	.summary = "Tests: tokens/1",
	.conf_size = sizeof(struct t_tokens_conf),
	.options = CH_TABLE(options),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_tokens, plugin)
