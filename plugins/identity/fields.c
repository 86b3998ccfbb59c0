/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - entities as JSON and as words, by their table of fields. */
#include <stdio.h>

#include <chimera/kit/near.h>

#include "fields.h"
#include "identity.h"

static const char *const roles[] = { [CH_ROLE_NONE] = "none", [CH_ROLE_USER] = "user", [CH_ROLE_ADMIN] = "admin" };

const char *id_role_name(int64_t role)
{
	return role > CH_ROLE_NONE && role <= CH_ROLE_ADMIN ? roles[role] : roles[CH_ROLE_NONE];
}

int64_t id_role_of(const char *name)
{
	return !strcmp(name, "user") ? CH_ROLE_USER : !strcmp(name, "admin") ? CH_ROLE_ADMIN : CH_ROLE_NONE;
}

bool id_is_name(const char *s, size_t n)
{
	if (!n || n > ID_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char ch = s[i];

		if (!((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || (ch && strchr("._@:/-", ch))))
			return false;
	}
	return true;
}

/* ---- finding a field ---- */

static const struct id_field *find(const struct id_kind *kind, const char *name, size_t n)
{
	for (size_t i = 0; i < kind->n; i++)
		if (strlen(kind->fields[i].name) == n && !memcmp(kind->fields[i].name, name, n))
			return &kind->fields[i];
	return NULL;
}

static bool has(const struct id_field *f, bool changes)
{
	return f->flags & (changes ? ID_F_CHANGE : ID_F_CREATE);
}

static uint32_t bit_of(const struct id_kind *kind, const struct id_field *f)
{
	return UINT32_C(1) << (f - kind->fields);
}

static int no_such_field(struct ch_ctx *c, const struct id_kind *kind, bool changes, const char *name)
{
	char all[256] = "";
	struct ch_near near;

	ch_near_init(&near, name);
	for (size_t i = 0; i < kind->n; i++) {
		size_t n = strlen(all);

		if (!has(&kind->fields[i], changes))
			continue;
		ch_near_offer(&near, kind->fields[i].name);
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", kind->fields[i].name);
	}
	return ch_refuse_param(c, CH_E_BAD_REQUEST, name, "a %s has no \"%.64s\" that can be %s%s%s%s: there are %s", kind->what, name,
		changes ? "changed" : "given", *near.best ? " (did you mean " : "", near.best, *near.best ? "?)" : "", all);
}

/* ---- one value ---- */

static int64_t *number(const struct id_field *f, void *entity)
{
	return (int64_t *)(void *)((char *)entity + f->offset);
}

static const char **text(const struct id_field *f, void *entity)
{
	return (const char **)(void *)((char *)entity + f->offset);
}

static int set_text(struct ch_ctx *c, const struct id_field *f, struct ch_str s, void *entity)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name,
			"%s holds a control character (byte %zu is 0x%02x): leave it out", f->name,
				i + 1, (unsigned char)s.p[i]);
	if (s.n > f->max)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s has %zu bytes: %zu are allowed", f->name, s.n, f->max);
	*text(f, entity) = s.p;
	return CH_OK;
}

/* s.p has a final NUL and belongs to the ctx. */
static int set(struct ch_ctx *c, const struct id_field *f, struct ch_str s, void *entity)
{
	bool yes, no;

	switch (f->type) {
	case ID_F_NAME:
		if (!id_is_name(s.p, s.n))
			return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name,
				"%s must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", f->name);
		*text(f, entity) = s.p;
		return CH_OK;
	case ID_F_TEXT:
		return set_text(c, f, s, entity);
	case ID_F_ROLE:
		for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
			if (!strcmp(s.p, roles[i])) {
				*number(f, entity) = (int64_t)i;
				return CH_OK;
			}
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must be none, user or admin", f->name);
	case ID_F_BOOL:
		yes = !strcmp(s.p, "true") || !strcmp(s.p, "yes");
		no = !strcmp(s.p, "false") || !strcmp(s.p, "no");
		*number(f, entity) = yes;
		return yes || no ? CH_OK : ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must be true or false", f->name);
	case ID_F_TIME:
		*number(f, entity) = 0;
		if (!s.n || !strcmp(s.p, "never") || ch_time_read(s.p, s.n, ch_wall(), number(f, entity)))
			return CH_OK;
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name,
			"%s must be a time as in 2027-01-31T12:00:00Z, or how long from now, as in 30d, 12h or 5m", f->name);
	case ID_F_SECRET:
		if (!s.n || s.n > f->max || memchr(s.p, 0, s.n))
			return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must have 1 to %zu bytes and no NUL among them",
			f->name, f->max);
		*(struct ch_str *)(void *)((char *)entity + f->offset) = s;
		return CH_OK;
	default:
		return CH_ERROR;
	}
}

static int take(struct ch_ctx *c, const struct id_kind *kind, const struct id_field *f, struct ch_str s, void *entity)
{
	int rc = set(c, f, s, entity);

	*(uint32_t *)entity |= bit_of(kind, f);
	return rc;
}

/* ---- JSON ---- */

static void wipe(void *data)
{
	struct ch_str *s = data;

	explicit_bzero((char *)(uintptr_t)s->p, s->n);
}

/* What lies there is wiped with the ctx. False: no memory. */
static bool wiped(struct ch_ctx *c, const void *p, size_t n)
{
	struct ch_str *s = ch_alloc(c, sizeof(*s));

	if (s)
		*s = (struct ch_str){ p, n };
	return s && ch_keep(c, wipe, s);
}

static int no_memory(struct ch_ctx *c)
{
	return ch_refuse(c, CH_E_OVERLOADED, 1000, "There is no memory for this request now; try again later.");
}

static int read_member(struct ch_ctx *c, const struct id_kind *kind, const struct id_field *f, const struct ch_json_tok *tok, void *entity)
{
	bool is_word = tok->type == CH_JSON_TRUE || tok->type == CH_JSON_FALSE || tok->type == CH_JSON_NULL;
	struct ch_str s = { NULL, 0 };
	char *p;

	if (tok->type != CH_JSON_STRING && !is_word)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must be a %s", f->name, f->type == ID_F_BOOL ? "boolean"
		: "string");
	if (is_word && (f->type == ID_F_BOOL) == (tok->type == CH_JSON_NULL))
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must be a %s", f->name, f->type == ID_F_BOOL ? "boolean"
		: "string");
	if (tok->type == CH_JSON_STRING && f->type == ID_F_BOOL)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s must be a boolean, not a string", f->name);
	p = ch_alloc(c, tok->len + 1);
	if (!p || (f->type == ID_F_SECRET && !wiped(c, p, tok->len)))
		return no_memory(c);
	s.p = p;
	if (tok->type == CH_JSON_STRING)
		s.n = ch_json_unescape(tok, p);
	else if (tok->type != CH_JSON_NULL)
		memcpy(p, tok->s, s.n = tok->len);
	else if (f->type != ID_F_TEXT && f->type != ID_F_TIME)
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s may not be null", f->name);
	return take(c, kind, f, s, entity);
}

int id_read_json(struct ch_ctx *c, const struct id_kind *kind, bool changes, void *entity)
{
	struct ch_str body = ch_body(c);
	struct ch_json j;
	struct ch_json_tok tok;
	int rc = CH_OK;

	for (size_t i = 0; i < kind->n; i++)
		if (kind->fields[i].type == ID_F_SECRET && body.n && !wiped(c, body.p, body.n))
			return no_memory(c);
	ch_json_init(&j, body.p, body.n, 2, 0);
	if (ch_json_next(&j, &tok) != CH_JSON_OBJECT)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the body must be a JSON object: the fields of the %s", kind->what);
	while (rc == CH_OK && ch_json_next(&j, &tok) == CH_JSON_KEY) {
		char *name = ch_alloc(c, tok.len + 1);
		const struct id_field *f;

		if (!name)
			return no_memory(c);
		name[ch_json_unescape(&tok, name)] = 0;
		f = find(kind, name, strlen(name));
		if (!f || !has(f, changes))
			return no_such_field(c, kind, changes, name);
		if (*(uint32_t *)entity & bit_of(kind, f))
			return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s is there twice", f->name);
		if (ch_json_next(&j, &tok) != CH_JSON_ERROR)
			rc = read_member(c, kind, f, &tok, entity);
	}
	if (rc != CH_OK)
		return rc;
	if (tok.type != CH_JSON_OBJECT_END || ch_json_next(&j, &tok) != CH_JSON_END)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the body is no valid JSON: %s (byte %zu)", j.error ? j.error
		: "it does not end", j.pos + 1);
	if (changes && !*(uint32_t *)entity)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "the body names no field: nothing would change");
	return changes ? CH_OK : id_read_whole(c, kind, entity);
}

void id_write_json(struct ch_jw *w, const struct id_kind *kind, const void *entity)
{
	char time[CH_TIME_CHARS];

	for (size_t i = 0; i < kind->n; i++) {
		const struct id_field *f = &kind->fields[i];
		int64_t n = f->type >= ID_F_ROLE && f->type <= ID_F_COUNT ? *number(f, (void *)(uintptr_t)entity) : 0;

		if (f->flags & ID_F_HIDDEN)
			continue;
		ch_jw_key(w, f->name);
		switch (f->type) {
		case ID_F_ROLE:
			ch_jw_cstr(w, id_role_name(n));
			break;
		case ID_F_BOOL:
			ch_jw_bool(w, n);
			break;
		case ID_F_TIME:
			ch_jw_cstr(w, n ? ch_time_text(n, time) : NULL);
			break;
		case ID_F_COUNT:
			ch_jw_int(w, n);
			break;
		default:
			ch_jw_cstr(w, *text(f, (void *)(uintptr_t)entity) ? *text(f, (void *)(uintptr_t)entity) : "");
		}
	}
}

/* ---- words ---- */

int id_read_text(struct ch_ctx *c, const struct id_kind *kind, const char *name, struct ch_str value, void *entity)
{
	return take(c, kind, find(kind, name, strlen(name)), value, entity);
}

int id_read_word(struct ch_ctx *c, const struct id_kind *kind, const char *word, bool changes, void *entity)
{
	const char *is = strchr(word, '=');
	const struct id_field *f;
	char *name;

	if (!is)
		return ch_refuse(c, CH_E_BAD_REQUEST, 0, "'%.64s' has no '=' in it: write name=value", word);
	f = find(kind, word, (size_t)(is - word));
	if (!f || !has(f, changes)) {
		name = ch_dup(c, word, (size_t)(is - word));
		return name ? no_such_field(c, kind, changes, name) : no_memory(c);
	}
	if (!changes && !is[1]) /* an unset variable of the shell must not make a key that may do everything */
		return ch_refuse_param(c, CH_E_BAD_REQUEST, f->name, "%s= has no value: leave the word out, or give it one", f->name);
	return take(c, kind, f, (struct ch_str){ is + 1, strlen(is + 1) }, entity);
}

int id_read_whole(struct ch_ctx *c, const struct id_kind *kind, const void *entity)
{
	uint32_t given = *(const uint32_t *)entity;

	for (size_t i = 0; i < kind->n; i++)
		if ((kind->fields[i].flags & ID_F_REQUIRED) && !(given & UINT32_C(1) << i))
			return ch_refuse_param(c, CH_E_BAD_REQUEST, kind->fields[i].name, "%s must be given", kind->fields[i].name);
	return CH_OK;
}

const char *id_shown(struct ch_ctx *c, const struct id_field *f, const void *entity)
{
	void *e = (void *)(uintptr_t)entity;
	const char *s;
	char *time;

	switch (f->type) {
	case ID_F_ROLE:
		return id_role_name(*number(f, e));
	case ID_F_BOOL:
		return *number(f, e) ? "yes" : "no";
	case ID_F_TIME:
		time = *number(f, e) ? ch_alloc(c, CH_TIME_CHARS) : NULL;
		return !*number(f, e) ? "-" : time ? ch_time_text(*number(f, e) / 1000000 * 1000000, time) : NULL;
	case ID_F_COUNT:
		return ch_print(c, "%lld", (long long)*number(f, e));
	case ID_F_SECRET:
		return "***";
	default:
		s = *text(f, e);
		return s && *s ? s : "-";
	}
}
