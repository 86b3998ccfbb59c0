/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - `chimeractl users`, `keys` and `tokens`. One table says what each verb takes and which data access it is; what came is
 * shown by the
 * entity's table of fields.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/near.h>

#include "fields.h"
#include "identity.h"

#define PAGE 100 /* rows; the largest keys and tokens, 33 KiB each, stay below what a call of sql/1 gives */

struct job;
struct page;
struct verb {
	const char *name;
	size_t min_args, max_args;
	const char *args;
	int (*begin)(struct job *); /* reads the words and starts the data access: CH_AGAIN, or what ch_refuse returned */
	int (*end)(struct job *);   /* it went well: says so */
	bool rows;                  /* it shows rows, and knows --json */
};

#define ID_COLUMNS 16

struct job { /* in the command's arena */
	struct ch_self *self;
	struct ch_ctx *c;
	const struct id_kind *kind;
	const struct verb *verb;
	size_t argc;
	const char *const *argv; /* behind the verb */
	const char *id;          /* what a refusal names */
	struct id_result r;
	struct id_cleaned cleaned;
	ch_ticket ticket;
	const char *user, *provider, *owner;
	char secret[CH_KEY_CHARS + 1], prefix[ID_KEY_SHOWN + 1], key_id[32];
	unsigned char sha256[ID_SHA];
	union { struct id_user user; struct id_key key; struct id_token token; } e;
	bool json;               /* rows are shown as objects, one a line */
	bool heading, full;      /* of a list: the first page was shown; whoever reads has not read it yet */
	size_t widths[ID_COLUMNS];
	struct page *page;       /* of a list: the one that is under way */
	char *after;             /* the last row shown, from the heap; NULL: that was all */
};

/*
 * A page of a list is a task of its own, so that its rows are gone with its arena before the next one is asked for. Held by the task and by
 * the job that waits for it; `job` is the house loop's.
 */
struct page {
	atomic_uint refs;
	struct job *job;         /* NULL: it does not wait any more */
	ch_ticket outer, inner;  /* the job's, and the data access's */
	struct id_result r;
};

static int no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "there is no memory for this command now");
}

/* ---- waiting ---- */

static int on_done(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;

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
static bool wait(struct job *j)
{
	memset(&j->r, 0, sizeof(j->r));
	j->ticket = ch_suspend(j->c, 0, on_done, j);
	if (!j->ticket)
		no_memory(j->c);
	return j->ticket;
}

/* ---- showing ---- */

/* A row as an object on a line, in the words of the routes. False: no memory in c. */
static bool show_object(struct job *j, struct ch_ctx *c, const void *row)
{
	struct ch_jw w;

	ch_jw_ctx(&w, c, 1024);
	ch_jw_object(&w);
	id_write_json(&w, j->kind, row);
	ch_jw_object_end(&w);
	if (!w.failed)
		j->full = ch_out(j->c, "%.*s\n", (int)w.len, w.buf) == CH_AGAIN;
	return !w.failed;
}

/* One row, all fields, each on its line. */
static int show_one(struct job *j)
{
	if (j->json)
		return show_object(j, j->c, j->r.rows) ? CH_DONE : no_memory(j->c);
	for (size_t i = 0; i < j->kind->n; i++) {
		const struct id_field *f = &j->kind->fields[i];
		const char *text = f->flags & ID_F_HIDDEN ? NULL : id_shown(j->c, f, j->r.rows);

		if (text)
			ch_out(j->c, "%-10s %s\n", f->name, text);
	}
	return CH_DONE;
}

static const void *row_at(const struct job *j, const struct id_result *r, size_t i)
{
	return (const char *)r->rows + i * j->kind->size;
}

/* A page of rows as objects. The same. */
static bool show_objects(struct job *j, struct ch_ctx *c, const struct id_result *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!show_object(j, c, row_at(j, r, i)))
			return false;
	return true;
}

/* A page of rows, in columns as wide as need be, out of the memory of c. False: there is none. */
static bool show_table(struct job *j, struct ch_ctx *c, const struct id_result *r)
{
	const struct id_kind *kind = j->kind;
	size_t n = r->n, columns = 0, width = 2, *widths = j->widths;
	const char **cells = ch_alloc(c, (n + 1) * kind->n * sizeof(*cells));
	char *line;

	if (!cells)
		return false;
	for (size_t k = 0; k < kind->n; k++) {
		if (!(kind->fields[k].flags & ID_F_COLUMN))
			continue;
		for (size_t i = 0; i <= n; i++) {
			const char *text = i ? id_shown(c, &kind->fields[k], row_at(j, r, i - 1)) : kind->fields[k].name;

			if (!text)
				return false;
			cells[i * kind->n + columns] = text;
			widths[columns] = strlen(text) > widths[columns] ? strlen(text) : widths[columns];
		}
		width += widths[columns++] + 2;
	}
	line = ch_alloc(c, width);
	if (!line)
		return false;
	for (size_t i = j->heading ? 1 : 0; i <= n; i++) { /* one piece a row, as programs read it */
		size_t at = 0;

		for (size_t k = 0; k < columns; k++)
			at += (size_t)snprintf(line + at, width - at, k + 1 < columns ? "%-*s  " : "%.*s",
				(int)widths[k], cells[i * kind->n + k]);
		j->full = ch_out(j->c, "%s\n", line) == CH_AGAIN;
	}
	j->heading = true;
	return true;
}

/* "owner=…" of a list; "" without. */
static void filter(struct job *j, const char *name, const char **to)
{
	size_t n = strlen(name);

	*to = "";
	for (size_t i = 0; i < j->argc; i++)
		if (!strncmp(j->argv[i], name, n) && j->argv[i][n] == '=')
			*to = j->argv[i] + n + 1;
}

/* Each word is a filter of that list. */
static bool only_filters(struct job *j, const char *a, const char *b)
{
	for (size_t i = 0; i < j->argc; i++) {
		size_t n = strcspn(j->argv[i], "=");
		bool known = j->argv[i][n] && ((a && strlen(a) == n && !strncmp(j->argv[i], a, n)) || (b && strlen(b) == n &&
			!strncmp(j->argv[i], b, n)));

		if (!known) {
			ch_refuse(j->c, CH_E_BAD_REQUEST, 0, "'%.64s' is no filter of this list: there %s%s%s%s", j->argv[i], a ? "is "
				: "is none", a ? a : "",
				b ? "=… and " : a ? "=…" : "", b ? b : "");
			return false;
		}
	}
	return true;
}

/* ---- lists ---- */

static void page_put(void *data)
{
	struct page *p = data;

	if (atomic_fetch_sub(&p->refs, 1) == 1)
		free(p);
}

/* Also when the task could not begin. [any] */
static void page_over(void *data)
{
	ch_resume(((struct page *)data)->outer, NULL, NULL);
	page_put(data);
}

/* What came is shown; the last row's id is where the next page begins. */
static void show_page(struct job *j, struct ch_ctx *c, const struct id_result *r)
{
	const void *last = r->n ? row_at(j, r, r->n - 1) : NULL;

	if (r->error)
		id_refuse(j->c, r, j->kind->what, j->id);
	else if (!(j->json ? show_objects : show_table)(j, c, r))
		no_memory(j->c);
	else if (r->n == PAGE && !(j->after = strdup(*(const char *const *)((const char *)last + j->kind->fields[0].offset))))
		no_memory(j->c); /* id is the first text of each entity */
}

static int on_page_came(struct ch_ctx *c, void *data, int why, void *result)
{
	struct page *p = data;

	(void)result;
	if (why != CH_READY)
		id_cancel(&p->r);
	if (p->job)
		show_page(p->job, c, &p->r);
	page_over(p);
	return CH_DONE;
}

static int page_task(struct ch_ctx *c, void *data)
{
	struct page *p = data;
	struct job *j = p->job;
	char *after = j && j->after ? ch_dup(c, j->after, strlen(j->after)) : NULL;

	p->inner = after ? ch_suspend(c, 0, on_page_came, p) : 0;
	if (!p->inner) {
		page_over(p);
		return CH_DONE;
	}
	free(j->after);
	j->after = NULL;
	if (j->kind == &id_user_kind)
		id_users_list(j->self, c, after, PAGE, &p->r, p->inner);
	else if (j->kind == &id_key_kind)
		id_keys_list(j->self, c, after, j->owner, PAGE, &p->r, p->inner);
	else
		id_tokens_list(j->self, c, after, j->user, j->provider, PAGE, &p->r, p->inner);
	return CH_AGAIN;
}

static int ask_page(struct job *j);

static int on_room(struct ch_ctx *c, void *data, int why, void *result)
{
	(void)c, (void)result;
	return why == CH_READY ? ask_page(data) : CH_DONE;
}

static void on_writable(void *data)
{
	struct job *j = data;
	ch_ticket t = j->ticket;

	j->full = false;
	j->ticket = 0;
	if (t)
		ch_resume(t, NULL, NULL);
}

static int wait_for_room(struct job *j)
{
	j->ticket = ch_suspend(j->c, 0, on_room, j);
	return j->ticket ? CH_AGAIN : no_memory(j->c);
}

static int on_page(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;
	struct page *p = j->page;
	bool ran = p->inner;

	(void)result;
	j->page = NULL;
	p->job = NULL;
	if (why != CH_READY)
		id_cancel(&p->r); /* from here on nobody reads our words any more */
	page_put(p);
	if (why != CH_READY)
		return CH_DONE;
	if (!ran)
		return no_memory(c);
	return !j->after ? CH_DONE : j->full ? wait_for_room(j) : ask_page(j);
}

static int ask_page(struct job *j)
{
	struct page *p = calloc(1, sizeof(*p));

	j->page = p;
	if (p) {
		p->refs = 2;
		p->job = j;
		p->outer = ch_suspend(j->c, 0, on_page, j);
	}
	if (p && p->outer && ch_task(j->self, NULL, 0, page_task, p, page_over))
		return CH_AGAIN;
	if (p)
		ch_unsuspend(p->outer);
	free(p);
	return no_memory(j->c);
}

static void free_after(void *data)
{
	free(((struct job *)data)->after);
}

static int list(struct job *j)
{
	bool keys = j->kind == &id_key_kind, tokens = j->kind == &id_token_kind;

	filter(j, "owner", &j->owner);
	filter(j, "user", &j->user);
	filter(j, "provider", &j->provider);
	if (!only_filters(j, keys ? "owner" : tokens ? "user" : NULL, tokens ? "provider" : NULL))
		return CH_DONE;
	ch_on_writable(j->c, on_writable, j);
	j->after = strdup("");
	return j->after && ch_keep(j->c, free_after, j) ? ask_page(j) : no_memory(j->c);
}

/* ---- users ---- */

static int words(struct job *j, size_t from, bool changes)
{
	for (size_t i = from; i < j->argc; i++) {
		int rc = id_read_word(j->c, j->kind, j->argv[i], changes, &j->e);

		if (rc != CH_OK)
			return rc;
	}
	return CH_OK;
}

static int user_add(struct job *j)
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

static int user_show(struct job *j)
{
	if (!wait(j))
		return CH_DONE;
	id_user_get(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_switch(struct job *j)
{
	if (!wait(j))
		return CH_DONE;
	j->e.user.given = 1u << ID_USER_DISABLED;
	j->e.user.disabled = !strcmp(j->verb->name, "disable");
	id_user_set(j->self, j->c, j->id, &j->e.user, &j->r, j->ticket);
	return CH_AGAIN;
}

static int user_remove(struct job *j)
{
	if (!wait(j))
		return CH_DONE;
	id_user_remove(j->self, j->c, j->id, &j->r, j->ticket);
	return CH_AGAIN;
}

static int said(struct job *j)
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
	struct job *j = data;

	explicit_bzero(j->secret, sizeof(j->secret));
}

/* False: refused. */
static bool make_secret(struct job *j)
{
	if (!ch_keep(j->c, wipe, j) || !ch_key_make(j->secret, j->sha256, j->key_id)) {
		ch_refuse(j->c, CH_E_UNAVAILABLE, 1000, "there is no memory, or the system gives no random bytes now");
		return false;
	}
	memcpy(j->prefix, j->secret, ID_KEY_SHOWN);
	return true;
}

static int key_words(struct job *j)
{
	int rc = CH_OK;

	for (size_t i = 1; i < j->argc && rc == CH_OK; i++)
		rc = id_read_word(j->c, j->kind, strcmp(j->argv[i], "--any-owner") ? j->argv[i] : "any_owner=yes", false, &j->e);
	return rc;
}

static int key_create(struct job *j)
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

static int key_rotate(struct job *j)
{
	if (!make_secret(j) || !wait(j))
		return CH_DONE;
	id_key_rotate(j->self, j->c, j->id, j->prefix, j->sha256, &j->r, j->ticket);
	return CH_AGAIN;
}

static int key_told(struct job *j)
{
	ch_out(j->c, "id   %s\nkey  %s\nThis is the only time that the key is shown: keep it now.\n", j->id, j->secret);
	return CH_DONE;
}

static int key_revoke(struct job *j)
{
	if (!wait(j))
		return CH_DONE;
	j->e.key.given = 1u << ID_KEY_DISABLED;
	j->e.key.disabled = true;
	id_key_set(j->self, j->c, j->id, &j->e.key, &j->r, j->ticket);
	return CH_AGAIN;
}

/* ---- tokens ---- */

static int token_revoke(struct job *j)
{
	if (!wait(j))
		return CH_DONE;
	id_tokens_revoke(j->self, j->c, j->argv[0], j->argv[1], &j->r, j->ticket);
	return CH_AGAIN;
}

static int token_revoked(struct job *j)
{
	ch_out(j->c, "%llu tokens of %s at %s are revoked, within a second everywhere\n", (unsigned long long)j->r.count, j->argv[0],
		j->argv[1]);
	return CH_DONE;
}

static int on_cleaned(struct ch_ctx *c, void *data, int why, void *result)
{
	struct job *j = data;

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

static int token_cleanup(struct job *j)
{
	j->ticket = ch_suspend(j->c, 0, on_cleaned, j);
	if (!j->ticket)
		return no_memory(j->c);
	id_cleanup_run(j->self, j->c, "", &j->cleaned, j->ticket);
	return CH_AGAIN;
}

/* ---- tables ---- */

#define FIELDS_MOST 16

static const struct verb user_verbs[] = {
	{ "list", 0, 0, "[--json]", list, NULL, true },
	{ "add", 1, FIELDS_MOST, "ID [name=…] [email=…] [role=…]", user_add, said, false },
	{ "show", 1, 1, "ID [--json]", user_show, show_one, true },
	{ "disable", 1, 1, "ID", user_switch, said, false },
	{ "enable", 1, 1, "ID", user_switch, said, false },
	{ "remove", 1, 1, "ID", user_remove, said, false },
	{ 0 },
};
static const struct verb key_verbs[] = {
	{ "list", 0, 1, "[owner=…] [--json]", list, NULL, true },
	{ "create", 1, FIELDS_MOST, "OWNER [--any-owner] [tier=…] [role=…] [expires=30d] [models=…] …", key_create, key_told, false },
	{ "revoke", 1, 1, "ID", key_revoke, said, false },
	{ "rotate", 1, 1, "ID", key_rotate, key_told, false },
	{ 0 },
};
static const struct verb token_verbs[] = {
	{ "list", 0, 2, "[user=…] [provider=…] [--json]", list, NULL, true },
	{ "revoke", 2, 2, "USER PROVIDER", token_revoke, token_revoked, false },
	{ "cleanup", 0, 0, "", token_cleanup, NULL, false },
	{ 0 },
};

static int refuse_verb(struct ch_ctx *c, const char *name, const struct verb *verbs)
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

static int run(struct ch_self *self, struct ch_ctx *c, const struct id_kind *kind, const struct verb *verbs, size_t argc,
	const char *const *argv)
{
	const struct verb *v = verbs;
	const char **words = ch_alloc(c, argc * sizeof(*words));
	struct job *j = ch_alloc(c, sizeof(*j));

	if (!j || !words)
		return no_memory(c);
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
	{ "users", CH_LIVE | CH_OFFLINE, "list | add ID [name=…] [email=…] [role=…] | show|disable|enable|remove ID", 1, 1 + FIELDS_MOST,
		"The users that this server knows", users },
	{ "keys", CH_LIVE | CH_OFFLINE, "list [owner=…] | create OWNER [--any-owner] [tier=…] [expires=30d] … | revoke|rotate ID", 1, 1 + FIELDS_MOST,
		"API keys: a new one is shown once", keys },
	{ "tokens", CH_LIVE | CH_OFFLINE, "list [user=…] [provider=…] | revoke USER PROVIDER | cleanup", 1, 4,
		"What providers of models gave to users, kept encrypted", tokens },
};
