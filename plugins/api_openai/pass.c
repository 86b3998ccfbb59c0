/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass.c - the routes of the option `passthrough`, and the answer to all other paths below /v1.
 *
 * A path that is passed on is one of the option's own texts: nothing that a client writes becomes part of an upstream's address.
 */
#include <strings.h>

#include "api_openai.h"

#define SHOWN_MAX 64 /* bytes of a client's path that are repeated to it */

/* Which of the option's names this path is; NULL: none. */
static const struct ch_str *find(const struct ch_list *l, struct ch_str path)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].n == path.n && !memcmp(l->v[i].p, path.p, path.n))
			return &l->v[i];
	return NULL;
}

static int no_route(struct ch_ctx *c, const struct ch_list *passed, struct ch_str path)
{
	char names[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < passed->n && at + passed->v[i].n + 16 < sizeof(names); i++) {
		memcpy(names + at, ", POST /v1/", 11);
		memcpy(names + at + 11, passed->v[i].p, passed->v[i].n + 1);
		at += 11 + passed->v[i].n;
	}
	return ch_refuse(c, CH_E_NOT_FOUND, 0,
		"There is no /v1/%.*s here. Of OpenAI's routes there are POST /v1/chat/completions, POST /v1/completions, POST "
		"/v1/embeddings, "
		"GET /v1/models, GET /v1/models/{id}%s; GET /openapi.json lists all.",
		(int)(path.n < SHOWN_MAX ? path.n : SHOWN_MAX), path.p, names);
}

int api_on_other(struct ch_self *self, struct ch_ctx *c)
{
	const struct api_conf *conf = self->conf;
	struct ch_str path = ch_param(c, "path");
	const struct ch_str *passed = find(&conf->passthrough, path);

	if (!passed)
		return no_route(c, &conf->passthrough, path);
	if (strcmp(ch_facts(c)->method, "POST") != 0) {
		ch_header_set(c, "Allow", "POST, OPTIONS");
		return ch_refuse(c, CH_E_METHOD_NOT_ALLOWED, 0, "/v1/%s is passed on by POST alone.", passed->p);
	}
	return api_ask(self, c, CH_I_PASS, passed->p);
}

/* A path relative to an upstream's base URL, without a way out of it. */
static bool is_path(struct ch_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool slash = s.p[i] == '/',
		     good = slash || (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_' || s.p[i] == '-';

		if (!good || (slash && (i == 0 || i + 1 == s.n || s.p[i - 1] == '/')))
			return false;
	}
	return s.n > 0;
}

bool api_pass_check(struct ch_self *self)
{
	static const char *const own[] = { "chat/completions", "completions", "embeddings", "models" };
	const struct api_conf *conf = self->conf;
	bool good = true;

	for (size_t i = 0; i < conf->passthrough.n; i++) {
		struct ch_str s = conf->passthrough.v[i];

		if (!is_path(s)) {
			ch_config_error(self, NULL, "passthrough",
				"\"%s\" is no route's name: write it as it stands behind /v1/, in a-z, 0-9, _, - and /, like audio/speech",
				s.p);
			good = false;
		}
		for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++) {
			if (strcmp(s.p, own[k]) != 0)
				continue;
			ch_config_error(self, NULL, "passthrough", "\"%s\" is a route of this plugin's own; take it out of the list", s.p);
			good = false;
		}
	}
	return good;
}
