/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t_owner.c - a test plugin: what an authenticator does with keys/1, and what it leaves for others.
 *
 *   X-Owner: NAME       in AUTH: facts.owner; X-Role: admin: facts.role; X-Tier: facts.tier; X-Key-Id: facts.key; X-Limits: facts.limits
 *   GET /t/key          X-Key: SECRET is looked up by its SHA-256, or X-Sha256: 64 hexadecimal digits:
 *                       {"error": "ok" | "unknown" | "unavailable", "id", "owner", "tier", "role", "disabled", "expires", "revision", "at_once"}
 *   GET /t/revision     {"revision": …}
 *
 * Threads and ownership: everything on the request's loop, in its memory.
 */
#include <openssl/evp.h>

#include <chimera/json.h>
#include <chimera/keys.h>

struct t_owner_conf {
	struct ch_svcs keys; /* one at most */
};

/* ---- who it is ---- */

static const char *said(struct ch_ctx *c, const char *name)
{
	struct ch_str v = ch_header(c, name);

	return v.n ? ch_dup(c, v.p, v.n) : NULL;
}

static int on_auth(struct ch_self *self, struct ch_ctx *c)
{
	struct ch_str role = ch_header(c, "X-Role");
	struct ch_facts *facts = ch_facts(c);

	(void)self;
	facts->owner = said(c, "X-Owner");
	facts->tier = said(c, "X-Tier");
	facts->key = said(c, "X-Key-Id");
	facts->limits = said(c, "X-Limits");
	if (role.n == 5 && !memcmp(role.p, "admin", 5))
		facts->role = CH_ROLE_ADMIN;
	return CH_OK;
}

/* ---- a key ---- */

struct find {
	const struct ch_svc *svc;
	struct ch_keys_result out;
	bool at_once;
};

static const struct ch_keys_v1 *vt(const struct ch_svc *svc)
{
	return svc->vt;
}

static int no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this");
}

static int answer(struct ch_ctx *c, const struct find *f)
{
	static const char *const errors[] = { "ok", "unknown", "unavailable" };
	const struct ch_key *k = &f->out.key;
	struct ch_jw w;

	ch_jw_ctx(&w, c, 1024);
	ch_jw_object(&w);
	ch_jw_key(&w, "error");
	ch_jw_cstr(&w, errors[f->out.error]);
	ch_jw_key(&w, "detail");
	ch_jw_cstr(&w, f->out.detail);
	ch_jw_key(&w, "id");
	ch_jw_cstr(&w, k->id);
	ch_jw_key(&w, "owner");
	ch_jw_cstr(&w, k->owner);
	ch_jw_key(&w, "tier");
	ch_jw_cstr(&w, k->tier);
	ch_jw_key(&w, "role");
	ch_jw_int(&w, k->role);
	ch_jw_key(&w, "disabled");
	ch_jw_bool(&w, k->disabled);
	ch_jw_key(&w, "expires");
	ch_jw_int(&w, k->expires);
	ch_jw_key(&w, "revision");
	ch_jw_uint(&w, f->out.revision);
	ch_jw_key(&w, "at_once");
	ch_jw_bool(&w, f->at_once);
	ch_jw_object_end(&w);
	return w.failed ? no_memory(c) : ch_respond(c, 200, "application/json", w.buf, w.len);
}

static int on_found(struct ch_ctx *c, void *data, int why, void *result)
{
	struct find *f = data;

	(void)result;
	if (why == CH_READY)
		return answer(c, f);
	vt(f->svc)->cancel(f->svc, c, &f->out);
	return CH_DONE;
}

static int digit(char ch)
{
	return ch >= '0' && ch <= '9' ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool hash_of(struct ch_ctx *c, unsigned char out[32])
{
	struct ch_str key = ch_header(c, "X-Key"), hex = ch_header(c, "X-Sha256");

	if (key.n)
		return EVP_Digest(key.p, key.n, out, NULL, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; hex.n == 64 && i < 32; i++)
		out[i] = (unsigned char)(digit(hex.p[2 * i]) << 4 | digit(hex.p[2 * i + 1]));
	return hex.n == 64;
}

static int on_key(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_owner_conf *conf = self->conf;
	struct find *f = ch_alloc(c, sizeof(*f));
	unsigned char sha256[32];
	ch_ticket t;
	int rc;

	if (!f)
		return no_memory(c);
	if (!conf->keys.n || !hash_of(c, sha256))
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "it takes [t_owner] keys, and X-Key or X-Sha256");
	f->svc = conf->keys.v[0];
	f->out.size = sizeof(f->out);
	f->out.key.size = sizeof(f->out.key);
	t = ch_suspend(c, 0, on_found, f);
	if (!t)
		return no_memory(c);
	rc = vt(f->svc)->find(f->svc, c, sha256, &f->out, t);
	if (rc == CH_AGAIN)
		return CH_AGAIN;
	ch_unsuspend(t);
	f->at_once = true;
	return rc == CH_OK ? answer(c, f) : CH_ERROR;
}

static int on_revision(struct ch_self *self, struct ch_ctx *c)
{
	const struct t_owner_conf *conf = self->conf;
	char *text;

	if (!conf->keys.n)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "it takes [t_owner] keys");
	text = ch_print(c, "{\"revision\":%llu}", (unsigned long long)vt(conf->keys.v[0])->revision(conf->keys.v[0]));
	return text ? ch_respond(c, 200, "application/json", text, strlen(text)) : no_memory(c);
}

static const struct ch_option options[] = {
	CH_OPT(struct t_owner_conf, keys, SERVICES, .iface = "keys/1", .help = "Who knows the keys; empty: nobody"),
};
static const struct ch_hook hooks[] = { { .phase = CH_P_AUTH, .fn = on_auth } };
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/t/key", .fn = on_key, .summary = "Looks a key up" },
	{ .method = "GET", .pattern = "/t/revision", .fn = on_revision, .summary = "The revision of the keys" },
};

static const struct ch_plugin plugin = {
	.size = sizeof(plugin),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "t_owner",
	.version = "1",
	.summary = "Tests: who asks, and keys/1",
	.conf_size = sizeof(struct t_owner_conf),
	.options = CH_TABLE(options),
	.hooks = CH_TABLE(hooks),
	.routes = CH_TABLE(routes),
};

CH_PLUGIN(t_owner, plugin)
