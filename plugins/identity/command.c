/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - `chimeractl users`, `keys` and `tokens`. One table says what each verb takes and which data access it is; rows are shown by
 * command_rows.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/near.h>

#include "command.h"

int id_command_no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
}

/* ---- waiting ---- */

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_command *j = data;

	(void)result;
	if (why != CH_READY) {
		id_cancel(&j->r);
		return CH_DONE;
	}
	if (j->r.error)
		return id_refuse(c, &j->r, j->kind->what, j->id);
	return j->verb->end(j);
}

/* The ticket for the data access, in j->ticket. False: refused. */
static bool wait(struct id_command *j)
{
	memset(&j->r, 0, sizeof(j->r));
	j->ticket = ch_suspend(j->c, 0, on_done, j);
	if (!j->ticket)
		id_command_no_memory(j->c);
	return j->ticket;
}

/* ---- users ---- */

static int words(struct id_command *j, size_t from, bool changes)
{
	for (size_t i = from; i < j->argc; i++) {
		int rc = id_read_word(j->c, j->kind, j->argv[i], changes, &j->e);

		if (rc != CH_OK)
			return rc;
	}
	return CH_OK;
}

static int user_add(struct id_command *j)
{
	struct ch_str id = { j->argv[0], strlen(j->argv[0]) };
	int rc = id_read_text(j->c, j->kind, "id", id, &j->e);

	rc = rc == CH_OK ? words(j, 1, false) : rc;
	if (rc != CH_OK || !wait(j))
		return CH_DONE;
	if (!(j->e.user.given & 1u << ID_USER_ROLE))
		j->e.user.role = CH_ROLE_USER;
	j->e.user.created = ch_wall();
	id_user_add(j->self, j->c, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_show(struct id_command *j)
{
	if (!wait(j))
		return CH_DONE;
	id_user_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_switch(struct id_command *j)
{
	if (!wait(j))
		return CH_DONE;
	j->e.user.given = 1u << ID_USER_DISABLED;
	j->e.user.disabled = !strcmp(j->verb->name, "disable");
	id_user_set(j->self, j->c, j->id, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_remove(struct id_command *j)
{
	if (!wait(j))
		return CH_DONE;
	id_user_remove(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int said(struct id_command *j)
{
	static const char *const past[][2] = { { "add", "is there now" }, { "disable",
		"is disabled, with its keys, within a second everywhere" },
		{ "enable", "is enabled" }, { "remove", "is gone, with its keys and tokens" }, { "revoke",
		"is revoked, within a second everywhere" } };

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		if (!strcmp(past[i][0], j->verb->name))
			ch_out(j->c, "%s %s %s\n", j->kind->what, j->id, past[i][1]);
	return CH_DONE;
}

/* ---- keys ---- */

static void wipe(void *data)
{
	struct id_command *j = data;

	explicit_bzero(j->secret, sizeof(j->secret));
}

/* False: refused. */
static bool make_secret(struct id_command *j)
{
	if (!ch_keep(j->c, wipe, j) || !ch_key_make(j->secret, j->sha256, j->key_id)) {
		ch_refuse(j->c, CH_E_UNAVAILABLE, 1000, "there is no memory, or the system gives no random bytes now");
		return false;
	}
	memcpy(j->prefix, j->secret, ID_KEY_SHOWN);
	return true;
}

static int key_words(struct id_command *j)
{
	int rc = CH_OK;

	for (size_t i = 1; i < j->argc && rc == CH_OK; i++)
		rc = id_read_word(j->c, j->kind, strcmp(j->argv[i], "--any-owner") ? j->argv[i] : "any_owner=yes", false, &j->e);
	return rc;
}

static int key_create(struct id_command *j)
{
	struct id_key *key = &j->e.key;
	struct ch_str owner = { j->argv[0], strlen(j->argv[0]) };
	int rc = id_read_text(j->c, j->kind, "owner", owner, key);

	rc = rc == CH_OK ? key_words(j) : rc;
	if (rc != CH_OK || !make_secret(j) || !wait(j))
		return CH_DONE;
	j->id = key->id = j->key_id;
	key->prefix = j->prefix;
	key->created = ch_wall();
	if (!(key->given & 1u << ID_KEY_ROLE))
		key->role = CH_ROLE_USER;
	id_key_add(j->self, j->c, key, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_rotate(struct id_command *j)
{
	if (!make_secret(j) || !wait(j))
		return CH_DONE;
	id_key_rotate(j->self, j->c, j->id, j->prefix, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_told(struct id_command *j)
{
	ch_out(j->c, "id   %s\nkey  %s\nThis is the only time that the key is shown: keep it now.\n", j->id, j->secret);
	return CH_DONE;
}

static int key_revoke(struct id_command *j)
{
	if (!wait(j))
		return CH_DONE;
	j->e.key.given = 1u << ID_KEY_DISABLED;
	j->e.key.disabled = true;
	id_key_set(j->self, j->c, j->id, &j->e.key, &j->r, j->ticket);
	return CH_AGAIN;
}

/* ---- tokens ---- */

static int token_revoke(struct id_command *j)
{
	if (!wait(j))
		return CH_DONE;
	id_tokens_revoke(j->self, j->c, j->argv[0], j->argv[1], &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_revoked(struct id_command *j)
{
	ch_out(j->c, "%llu tokens of %s at %s are revoked, within a second everywhere\n", (unsigned long long)j->r.count, j->argv[0],
		j->argv[1]);
	return CH_DONE;
}

static int on_cleaned(struct ch_ctx *c, void *data, int why, void *result)
{
	struct id_command *j = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (j->cleaned.r.error)
		return id_refuse(c, &j->cleaned.r, "token", "");
	ch_out(c, "%llu tokens that were over have been removed, %llu were encrypted anew%s\n", (unsigned long long)j->cleaned.cleaned,
		(unsigned long long)j->cleaned.rekeyed, j->cleaned.after ? "; more are being encrypted in the background" : "");
	if (j->cleaned.unread)
		ch_out(c, "%s\n", j->cleaned.unread);
	id_cleanup_on(j->self, j->cleaned.after);
	return CH_DONE;
}

static int token_cleanup(struct id_command *j)
{
	j->ticket = ch_suspend(j->c, 0, on_cleaned, j);
	if (!j->ticket)
		return id_command_no_memory(j->c);
	id_cleanup_run(j->self, j->c, "", &j->cleaned, j->ticket);
	return CH_AGAIN;
}

/* ---- tables ---- */

#define FIELDS_MOST 16

static const struct id_verb user_verbs[] = {
	{ "list", 0, 0, "[--json]", id_command_list, NULL, true },
	{ "add", 1, FIELDS_MOST, "ID [name=…] [email=…] [role=…]", user_add, said, false },
	{ "show", 1, 1, "ID [--json]", user_show, id_command_show, true },
	{ "disable", 1, 1, "ID", user_switch, said, false },
	{ "enable", 1, 1, "ID", user_switch, said, false },
	{ "remove", 1, 1, "ID", user_remove, said, false },
	{ 0 },
};
static const struct id_verb key_verbs[] = {
	{ "list", 0, 1, "[owner=…] [--json]", id_command_list, NULL, true },
	{ "create", 1, FIELDS_MOST, "OWNER [--any-owner] [tier=…] [role=…] [expires=30d] [models=…] …", key_create, key_told, false },
	{ "revoke", 1, 1, "ID", key_revoke, said, false },
	{ "rotate", 1, 1, "ID", key_rotate, key_told, false },
	{ 0 },
};
static const struct id_verb token_verbs[] = {
	{ "list", 0, 2, "[user=…] [provider=…] [--json]", id_command_list, NULL, true },
	{ "revoke", 2, 2, "USER PROVIDER", token_revoke, token_revoked, false },
	{ "cleanup", 0, 0, "", token_cleanup, NULL, false },
	{ 0 },
};

static int refuse_verb(struct ch_ctx *c, const char *name, const struct id_verb *verbs)
{
	char all[128] = "";
	struct ch_near near;

	ch_near_init(&near, name);
	for (const struct id_verb *v = verbs; v->name; v++) {
		size_t n = strlen(all);

		ch_near_offer(&near, v->name);
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", v->name);
	}
	return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'%.64s' is none of %s%s%s%s", name, all, *near.best ? ": did you mean " : "", near.best,
		*near.best ? "?" : "");
}

static int run(struct ch_self *self, struct ch_ctx *c, const struct id_kind *kind, const struct id_verb *verbs, size_t argc,
	const char *const *argv)
{
	const struct id_verb *v = verbs;
	const char **words = ch_alloc(c, argc * sizeof(*words));
	struct id_command *j = ch_alloc(c, sizeof(*j));

	if (!j || !words)
		return id_command_no_memory(c);
	while (v->name && strcmp(v->name, argv[0]))
		v++;
	if (!v->name)
		return refuse_verb(c, argv[0], verbs);
	for (size_t i = 1; i < argc; i++) {
		if (v->rows && !strcmp(argv[i], "--json"))
			j->json = true;
		else
			words[j->argc++] = argv[i];
	}
	if (j->argc < v->min_args || j->argc > v->max_args)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'%s %s' takes %s", kind->command, v->name, *v->args ? v->args : "no arguments");
	j->self = self;
	j->c = c;
	j->kind = kind;
	j->verb = v;
	j->argv = words;
	j->id = j->argc ? j->argv[0] : "";
	return v->begin(j);
}

static int users(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return run(self, c, &id_user_kind, user_verbs, argc, argv);
}

static int keys(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return run(self, c, &id_key_kind, key_verbs, argc, argv);
}

static int tokens(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	return run(self, c, &id_token_kind, token_verbs, argc, argv);
}

const struct ch_command id_commands[3] = {
	{ "users", CH_LIVE | CH_OFFLINE, "list [--json] | add ID [name=…] [email=…] [role=…] | show|disable|enable|remove ID", 1, 1 + FIELDS_MOST,
		"The users that this server knows", users },
	{ "keys", CH_LIVE | CH_OFFLINE, "list [owner=…] [--json] | create OWNER [--any-owner] [tier=…] [expires=30d] … | revoke|rotate ID", 1, 1 + FIELDS_MOST,
		"API keys: a new one is shown once", keys },
	{ "tokens", CH_LIVE | CH_OFFLINE, "list [user=…] [provider=…] | revoke USER PROVIDER | cleanup", 1, 4,
		"What providers of models gave to users, kept encrypted", tokens },
};
