/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - `chimeractl keys` over the keys file, in the words of identity's command of that name. The file is read, written and, once it
 * has changed, loaded in the pool: who has an answer finds it in force.
 */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/json.h>
#include <chimera/kit/key.h>
#include <chimera/kit/near.h>
#include <chimera/kit/time.h>

#include "auth.h"
#include "edit.h"
#include "file.h"
#include "keys_values.h"

struct job;
struct verb {
	const char *name;
	size_t min_args, max_args;
	const char *args;
	int (*begin)(struct job *);       /* reads the words: CH_OK, or refused */
	char *(*make)(void *job, const char *text, size_t *n, char why[512]); /* [pool] the file's new text; NULL: it is only read */
	int (*end)(struct job *);         /* it went well: says so */
};

struct job { /* in the command's arena */
	struct ch_self *self;
	struct ch_ctx *c;
	const struct verb *verb;
	const char *path;
	size_t argc;
	const char *const *argv;          /* behind the verb */
	const char *id, *owner;
	struct auth_row row;
	char key[CH_KEY_CHARS + 1], prefix[AUTH_SHOWN + 1], made[CH_ID_CHARS];
	struct auth_rows rows;            /* of a list */
	bool ok, disabled, json;          /* json: of a list, objects */
	int64_t expires;                  /* of a key that is rotated */
	char why[512];
};

static int no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
}

/* ---- in the pool ---- */

static char *wrong(char why[512], const char *text)
{
	if (text)
		snprintf(why, 512, "%s", text);
	return NULL;
}

static char *make_create(void *data, const char *text, size_t *n, char why[512])
{
	struct job *j = data;

	if (auth_edit_has(text, *n, j->id)) {
		snprintf(why, 512, "there is a key %s already: take another name, or rotate that one", j->id);
		return NULL;
	}
	char *out = auth_edit_add(text, n, &j->row);

	return out ? out : wrong(why, "there is no memory for this command now");
}

static bool there_is(const struct job *j, const char *text, size_t n, char why[512])
{
	if (auth_edit_has(text, n, j->id))
		return true;
	snprintf(why, 512, "there is no key %.128s in %.256s: `keys list` shows those that there are", j->id, j->path);
	return false;
}

static char *make_revoke(void *data, const char *text, size_t *n, char why[512])
{
	struct job *j = data;

	if (!there_is(j, text, *n, why))
		return NULL;
	char *out = auth_edit_set(text, n, j->id, "disabled", "yes");

	return out ? out : wrong(why, "there is no memory for this command now");
}

static char *make_rotate(void *data, const char *text, size_t *n, char why[512])
{
	struct job *j = data;
	char hash[8 + 2 * CH_SHA256] = "sha256:", *half, *out;

	if (!there_is(j, text, *n, why))
		return NULL;
	ch_hex(j->row.entry.sha256, CH_SHA256, hash + 7);
	half = auth_edit_set(text, n, j->id, "hash", hash);
	out = half ? auth_edit_set(half, n, j->id, "prefix", j->prefix) : NULL;
	free(half);
	return out ? out : wrong(why, "there is no memory for this command now");
}

/* The first mistake is enough to send somebody to the file. */
static void first_wrong(void *data, unsigned line, const char *why)
{
	struct job *j = data;

	if (!*j->why)
		snprintf(j->why, sizeof(j->why), "%.256s:%u: %s", j->path, line, why);
}

static bool readable(struct job *j, const char *text, size_t n, struct auth_rows *rows)
{
	const struct auth_conf *conf = j->self->conf;

	return auth_rows_read(text, n, &conf->tiers, first_wrong, j, rows);
}

/* What was wrong before is mended by hand: a file that nobody reads must not look as if it were in force. */
static char *make(void *data, const char *text, size_t *n, char why[512])
{
	struct job *j = data;
	struct auth_rows rows;
	size_t all = *n;
	char *out;

	if (!readable(j, text, *n, &rows))
		return NULL;
	for (size_t i = 0; i < rows.n; i++)
		if (!strcmp(rows.v[i].entry.key.id, j->id)) {
			j->disabled = rows.v[i].entry.key.disabled;
			j->expires = rows.v[i].entry.key.expires;
		}
	auth_rows_free(&rows);
	out = j->verb->make(j, text, &all, why);
	*n = all;
	return out;
}

static void *work(void *data)
{
	struct job *j = data;
	bool there;
	size_t n;

	if (j->verb->make) {
		j->ok = auth_file_change(j->path, make, j, j->why);
		if (j->ok)
			auth_file_load(((const struct auth *)j->self->state)->file);
		return NULL;
	}
	char *text = auth_file_text(j->path, &n, &there, j->why);

	j->ok = text && readable(j, text, n, &j->rows);
	free(text);
	return NULL;
}

/* ---- the words ---- */

static int set(struct job *j, const char *name, const char *text)
{
	const struct auth_conf *conf = j->self->conf;

	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return ch_refuse_param(j->c, CH_E_BAD_REQUEST, name, "%s holds a control character: leave it out", name);
	return auth_row_set(&j->row, name, text, &conf->tiers, j->why) ? CH_OK : ch_refuse_param(j->c, CH_E_BAD_REQUEST, name, "%s", j->why);
}

/* A moment, or how long from now. */
static int set_expires(struct job *j, const char *text)
{
	int64_t now = ch_wall() / 1000000 * 1000000;

	if (!strcmp(text, "never"))
		return CH_OK;
	if (!ch_time_read(text, strlen(text), now, &j->row.entry.key.expires) || j->row.entry.key.expires <= 0)
		return ch_refuse_param(j->c, CH_E_BAD_REQUEST, "expires",
			"expires must be a time as in 2027-01-31T12:00:00Z, or how long from now, as in 30d, 12h or 5m");
	if (j->row.entry.key.expires > now)
		return CH_OK;
	return ch_refuse_param(j->c, CH_E_BAD_REQUEST, "expires",
		"expires is over already (%s): give a time to come, or how long from now, as in 30d, 12h or 5m", text);
}

static int word(struct job *j, const char *text)
{
	static const char *const own[] = { "hash", "prefix", "created", "owner" };
	const char *is = strchr(text, '=');
	char *name = is ? ch_dup(j->c, text, (size_t)(is - text)) : NULL;

	if (!strcmp(text, "--any-owner")) /* there are no users here that an owner could be one of */
		return CH_OK;
	if (!is)
		return ch_refuse(j->c, CH_E_BAD_REQUEST, 0, "'%.64s' has no '=' in it: write name=value", text);
	if (!name)
		return no_memory(j->c);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(name, own[i]))
			return ch_refuse_param(j->c, CH_E_BAD_REQUEST, name, "%s is not yours to give: leave it out", name);
	if (!strcmp(name, "expires"))
		return set_expires(j, is + 1);
	if (strcmp(name, "name"))
		return set(j, name, is + 1);
	j->id = is + 1;
	return auth_is_name(j->id, strlen(j->id)) && strcmp(j->id, AUTH_CONFIG_KEY) ? CH_OK
		: ch_refuse_param(j->c, CH_E_BAD_REQUEST, "name", "name must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -, and not "
			AUTH_CONFIG_KEY);
}

static int make_key(struct job *j)
{
	if (!ch_key_make(j->key, j->row.entry.sha256, j->made))
		return ch_refuse(j->c, CH_E_UNAVAILABLE, 1000, "the system gives no random bytes now");
	memcpy(j->prefix, j->key, AUTH_SHOWN);
	return CH_OK;
}

static int begin_create(struct job *j)
{
	struct ch_key *k = &j->row.entry.key;
	int rc;

	j->row = (struct auth_row){ .prefix = "", .note = "" };
	*k = (struct ch_key){ .size = sizeof(*k), .role = CH_ROLE_USER, .owner = "", .tier = "", .models = "", .routes = "", .backends = "",
		.networks = "", .limits = "" };
	j->id = NULL;
	rc = *j->argv[0] && *j->argv[0] != '-' ? set(j, "owner", j->argv[0]) : ch_refuse_param(j->c, CH_E_BAD_REQUEST, "owner",
		*j->argv[0] ? "owner '%.64s' begins with -: name whose key it is, before all other words" : "owner must not be empty",
		j->argv[0]);
	for (size_t i = 1; i < j->argc && rc == CH_OK; i++)
		rc = word(j, j->argv[i]);
	rc = rc == CH_OK ? make_key(j) : rc;
	if (!j->id)
		j->id = j->made;
	k->id = j->id;
	j->row.prefix = j->prefix;
	j->row.created = ch_wall() / 1000000 * 1000000;
	return rc;
}

static int begin_list(struct job *j)
{
	j->owner = "";
	for (size_t i = 0; i < j->argc; i++) {
		if (!strcmp(j->argv[i], "--json"))
			j->json = true;
		else if (!strncmp(j->argv[i], "owner=", 6))
			j->owner = j->argv[i] + 6;
		else
			return ch_refuse(j->c, CH_E_BAD_REQUEST, 0, "'%.64s' is no filter of this list: there is owner=…", j->argv[i]);
	}
	return CH_OK;
}

static int begin_revoke(struct job *j)
{
	(void)j;
	return CH_OK;
}

/* ---- the ends ---- */

static int end_create(struct job *j)
{
	ch_out(j->c, "id   %s\nkey  %s\nThis is the only time that the key is shown: keep it now.\n", j->id, j->key);
	return CH_DONE;
}

/* Another key does not make good what the id is refused for. */
static int end_rotate(struct job *j)
{
	char time[CH_TIME_CHARS];

	end_create(j);
	if (j->disabled)
		ch_out(j->c, "It is still disabled: nobody comes in with it before 'disabled = no' stands in [%s] of %s.\n", j->id, j->path);
	else if (j->expires && j->expires <= ch_wall())
		ch_out(j->c, "It has still expired (%s): nobody comes in with it before [%s] of %s has a later one.\n",
			ch_time_text(j->expires / 1000000 * 1000000, time), j->id, j->path);
	return CH_DONE;
}

static int end_revoke(struct job *j)
{
	ch_out(j->c, "key %s is revoked: here at once, and within a second in each other server that reads %s\n", j->id, j->path);
	return CH_DONE;
}

enum { COLUMNS = 8 };

struct cells {
	const char *v[COLUMNS];
	char expires[CH_TIME_CHARS + sizeof(" (over)")];
};

static const struct cells heads = { { "id", "prefix", "owner", "tier", "role", "expires", "disabled", "note" }, "" };

static void cells_of(const struct auth_row *r, int64_t now, struct cells *out)
{
	const struct ch_key *k = &r->entry.key;
	char time[CH_TIME_CHARS];

	snprintf(out->expires, sizeof(out->expires), "%s%s", k->expires ? ch_time_text(k->expires / 1000000 * 1000000, time) : "",
		k->expires && k->expires <= now ? " (over)" : "");
	const char *const all[COLUMNS] = { k->id, r->prefix, k->owner, *k->tier ? k->tier : AUTH_CONFIG_KEY, auth_role_name(k->role),
		out->expires, k->disabled ? "yes" : "no", r->note };

	for (size_t i = 0; i < COLUMNS; i++)
		out->v[i] = *all[i] ? all[i] : "-";
}

static void out_cells(struct ch_ctx *c, const struct cells *x, const int widths[COLUMNS])
{
	for (size_t k = 0; k < COLUMNS; k++)
		ch_out(c, "%-*s  ", widths[k], x->v[k]);
}

/* What a key is limited to, as the words that `create` takes; last of all, because it may be long. */
static void out_limits(struct ch_ctx *c, const struct ch_key *k)
{
	const char *const texts[][2] = { { "models", k->models }, { "routes", k->routes }, { "backends", k->backends },
		{ "networks", k->networks }, { "limits", k->limits } };
	bool any = false;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (*texts[i][1]) {
			ch_out(c, "%s%s=%s", any ? "; " : "", texts[i][0], texts[i][1]);
			any = true;
		}
	ch_out(c, "%s\n", any ? "" : "-");
}

static bool is_listed(const struct job *j, const struct auth_row *r)
{
	return !*j->owner || !strcmp(j->owner, r->entry.key.owner);
}

/* A moment, or null. */
static void write_time(struct ch_jw *w, const char *name, int64_t us)
{
	char time[CH_TIME_CHARS];

	ch_jw_key(w, name);
	ch_jw_cstr(w, us ? ch_time_text(us / 1000000 * 1000000, time) : NULL);
}

static void write_text(struct ch_jw *w, const char *name, const char *text)
{
	ch_jw_key(w, name);
	ch_jw_cstr(w, text);
}

/* For programs: all that is known of a key, in the words of the file, on a line; not of the arena's memory, as there may be many. False: none. */
static bool out_object(struct ch_ctx *c, const struct auth_row *r)
{
	const struct ch_key *k = &r->entry.key;
	struct ch_jw w;

	ch_jw_init(&w, NULL, 0);
	w.grow = ch_jw_heap;
	ch_jw_object(&w);
	write_text(&w, "id", k->id);
	write_text(&w, "prefix", r->prefix);
	write_text(&w, "owner", k->owner);
	write_text(&w, "tier", *k->tier ? k->tier : AUTH_CONFIG_KEY);
	write_text(&w, "role", auth_role_name(k->role));
	write_text(&w, "limits", k->limits);
	write_text(&w, "models", k->models);
	write_text(&w, "routes", k->routes);
	write_text(&w, "backends", k->backends);
	write_text(&w, "networks", k->networks);
	write_time(&w, "expires", k->expires);
	ch_jw_key(&w, "disabled");
	ch_jw_bool(&w, k->disabled);
	write_time(&w, "created", r->created);
	write_text(&w, "note", r->note);
	ch_jw_object_end(&w);
	if (!w.failed)
		ch_out(c, "%.*s\n", (int)w.len, w.buf);
	free(w.buf);
	return !w.failed;
}

static int end_objects(struct job *j)
{
	for (size_t i = 0; i < j->rows.n; i++)
		if (is_listed(j, &j->rows.v[i]) && !out_object(j->c, &j->rows.v[i]))
			return no_memory(j->c);
	return CH_DONE;
}

static int end_list(struct job *j)
{
	int64_t now = ch_wall();
	int widths[COLUMNS];
	struct cells x;

	if (j->json)
		return end_objects(j);
	for (size_t k = 0; k < COLUMNS; k++)
		widths[k] = (int)strlen(heads.v[k]);
	for (size_t i = 0; i < j->rows.n; i++) {
		cells_of(&j->rows.v[i], now, &x);
		for (size_t k = 0; k < COLUMNS && is_listed(j, &j->rows.v[i]); k++)
			widths[k] = (int)strlen(x.v[k]) > widths[k] ? (int)strlen(x.v[k]) : widths[k];
	}
	out_cells(j->c, &heads, widths);
	ch_out(j->c, "limited to\n");
	for (size_t i = 0; i < j->rows.n; i++) {
		if (!is_listed(j, &j->rows.v[i]))
			continue;
		cells_of(&j->rows.v[i], now, &x);
		out_cells(j->c, &x, widths);
		out_limits(j->c, &j->rows.v[i].entry.key);
	}
	return CH_DONE;
}

/* ---- running ---- */

static const struct verb verbs[] = {
	{ "list", 0, 2, "[owner=…] [--json]", begin_list, NULL, end_list },
	{ "create", 1, 16, "OWNER [name=…] [tier=…] [role=…] [expires=30d] [models=…] [routes=…] [backends=…] [networks=…] [limits=…] "
	  "[note=…]",
	  begin_create, make_create, end_create },
	{ "revoke", 1, 1, "ID", begin_revoke, make_revoke, end_revoke },
	{ "rotate", 1, 1, "ID", make_key, make_rotate, end_rotate },
	{ 0 },
};

static void drop(void *data)
{
	struct job *j = data;

	explicit_bzero(j->key, sizeof(j->key));
	auth_rows_free(&j->rows);
}

static int on_worked(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;

	(void)result;
	if (why != CH_READY)
		return CH_DONE;
	if (!j->ok)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "%s", j->why);
	return j->verb->end(j);
}

static int run(struct job *j)
{
	ch_ticket t;

	if (!ch_keep(j->c, drop, j))
		return no_memory(j->c);
	if (j->verb->begin(j) != CH_OK)
		return CH_DONE;
	t = ch_suspend(j->c, 0, on_worked, j);
	if (t && ch_offload(j->self, work, j, t, NULL))
		return CH_AGAIN;
	ch_unsuspend(t);
	return ch_refuse(j->c, CH_E_OVERLOADED, 1000, "the pool of threads takes no more work now: try again");
}

static int refuse_verb(struct ch_ctx *c, const char *name)
{
	char all[128] = "";
	struct ch_near near;

	ch_near_init(&near, name);
	for (const struct verb *v = verbs; v->name; v++) {
		size_t n = strlen(all);

		ch_near_offer(&near, v->name);
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", v->name);
	}
	return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'%.64s' is none of %s%s%s%s", name, all, *near.best ? ": did you mean " : "", near.best,
		*near.best ? "?" : "");
}

static bool wants_help(size_t argc, const char *const *argv)
{
	for (size_t i = 0; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int help(struct ch_ctx *c)
{
	for (const struct verb *v = verbs; v->name; v++)
		ch_out(c, "keys %s %s\n", v->name, v->args);
	return CH_DONE;
}

int auth_command(struct ch_self *self, struct ch_ctx *c, size_t argc, const char *const *argv)
{
	const struct auth_conf *conf = self->conf;
	const struct verb *v = verbs;
	struct job *j;

	if (wants_help(argc, argv))
		return help(c);
	while (v->name && strcmp(v->name, argv[0]))
		v++;
	if (!v->name)
		return refuse_verb(c, argv[0]);
	if (argc - 1 < v->min_args || argc - 1 > v->max_args)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'keys %s' takes %s", v->name, v->args);
	if (!*conf->keys_file)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "[%s] has no keys_file to look into: set one, as in keys_file = keys.ini", self->id);
	j = ch_alloc(c, sizeof(*j));
	if (!j)
		return no_memory(c);
	j->self = self;
	j->c = c;
	j->verb = v;
	j->path = conf->keys_file;
	j->argc = argc - 1;
	j->argv = argv + 1;
	j->id = j->argc ? j->argv[0] : "";
	return run(j);
}
