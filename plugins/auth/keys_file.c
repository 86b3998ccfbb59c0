/* SPDX-License-Identifier: Apache-2.0 */
/* keys_file.c - a table of fields; [name] begins a row, key = value sets a field of it. */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/near.h>
#include <chimera/kit/time.h>

#include "auth.h"
#include "keys_file.h"
#include "keys_values.h"
#include "lines.h"

/* ---- fields ---- */

enum type { HASH, NAME, TEXT, LIST, ROUTES, NETWORKS, LIMITS, TIER, ROLE, TIME, YES };

#define KEY(field, type, max) { #field, type, offsetof(struct auth_row, entry.key.field), max }
#define MORE(field, type, max) { #field, type, offsetof(struct auth_row, field), max }

static const struct field {
	const char *name;
	enum type type;
	size_t at, max;
} fields[] = {
	{ "hash", HASH, offsetof(struct auth_row, entry.sha256), 0 }, MORE(prefix, TEXT, AUTH_SHOWN), KEY(owner, NAME, AUTH_NAME_MAX),
	KEY(tier, TIER, 64), KEY(role, ROLE, 0), KEY(expires, TIME, 0), KEY(disabled, YES, 0), KEY(models, LIST, AUTH_TEXT_MAX),
	KEY(routes, ROUTES, AUTH_TEXT_MAX), KEY(backends, LIST, AUTH_TEXT_MAX), KEY(networks, NETWORKS, AUTH_TEXT_MAX),
	KEY(limits, LIMITS, 1024), MORE(created, TIME, 0), MORE(note, TEXT, 1024),
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

const char *auth_field(size_t i)
{
	return i < FIELDS ? fields[i].name : NULL;
}

static const struct field *find(const char *name)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

bool auth_is_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
			(s[i] && strchr("._@:/-", s[i]))))
			return false;
	return n && n <= AUTH_NAME_MAX;
}

/* ---- values: keys_values.c ---- */

static bool set(struct auth_row *row, const struct field *f, const char *text, const struct ch_list *tiers, char *why)
{
	void *to = (char *)row + f->at;

	switch (f->type) {
	case HASH:
		return auth_read_hash(text, to, why);
	case ROLE:
		return auth_read_role(text, to, why);
	case TIME:
		return auth_read_time(f->name, text, to, why);
	case YES:
		return auth_read_yes(f->name, text, to, why);
	case NAME:
		if (*text && !auth_is_name(text, strlen(text))) {
			snprintf(why, 512, "%s must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", f->name);
			return false;
		}
		break;
	case TIER:
		if (*text && !auth_tier_good(text, tiers, why))
			return false;
		break;
	case LIST:
	case ROUTES:
	case NETWORKS:
		if (!auth_list_good(f->name, text, f->type == ROUTES ? AUTH_L_ROUTES : f->type == NETWORKS ? AUTH_L_NETWORKS : AUTH_L_NAMES, why))
			return false;
		break;
	case LIMITS:
		if (!auth_limits_good(text, why))
			return false;
		break;
	case TEXT:
		break;
	}
	if (strlen(text) > f->max) {
		snprintf(why, 512, "%s has %zu bytes: %zu are allowed", f->name, strlen(text), f->max);
		return false;
	}
	*(const char **)to = text;
	return true;
}

bool auth_row_set(struct auth_row *row, const char *name, const char *text, const struct ch_list *tiers, char why[512])
{
	const struct field *f = find(name);
	struct ch_near near;
	char all[256] = "";

	if (f)
		return set(row, f, text, tiers, why);
	ch_near_init(&near, name);
	for (size_t i = 0; i < FIELDS; i++) {
		size_t n = strlen(all);

		ch_near_offer(&near, fields[i].name);
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", fields[i].name);
	}
	snprintf(why, 512, "there is no '%.64s'%s%s%s: a key has %s", name, *near.best ? ", did you mean " : "", near.best, *near.best ? "?"
		: "", all);
	return false;
}

void auth_row_text(const struct auth_row *row, size_t field, char *out)
{
	const struct field *f = &fields[field];
	const void *from = (const char *)row + f->at;
	char time[CH_TIME_CHARS];

	*out = 0;
	switch (f->type) {
	case HASH:
		ch_hex(from, CH_SHA256, out + sprintf(out, "sha256:"));
		return;
	case ROLE:
		if (*(const int *)from != CH_ROLE_USER)
			strcpy(out, auth_role_name(*(const int *)from));
		return;
	case TIME:
		if (*(const int64_t *)from)
			strcpy(out, ch_time_text(*(const int64_t *)from, time));
		return;
	case YES:
		if (*(const bool *)from)
			strcpy(out, "yes");
		return;
	default:
		auth_line_quote(*(const char *const *)from, out);
	}
}

/* ---- rows ---- */

struct reading {
	struct auth_rows *out;
	const struct ch_list *tiers;
	auth_wrong wrong;
	void *arg;
	char *texts;                      /* the next free byte */
	unsigned line, errors;
	uint32_t seen;                    /* fields of the row that is open */
	char why[512];
};

static void wrong(struct reading *r, unsigned line)
{
	r->errors++;
	r->wrong(r->arg, line, r->why);
}

/* The open row has come to its end. */
static void close_row(struct reading *r)
{
	const struct auth_row *row = r->out->n ? &r->out->v[r->out->n - 1] : NULL;

	if (!row || r->seen & 1u || !row->line)
		return;
	snprintf(r->why, sizeof(r->why), "[%s] has no hash: `chimeractl keys create` makes a key and writes it", row->entry.key.id);
	wrong(r, row->line);
}

static char *keep(struct reading *r, struct ch_str s)
{
	char *p = r->texts;

	memcpy(p, s.p, s.n);
	p[s.n] = 0;
	r->texts += s.n + 1;
	return p;
}

static void open_row(struct reading *r, const struct auth_line *l)
{
	struct auth_row *row = &r->out->v[r->out->n++];
	struct ch_key *k = &row->entry.key;

	*row = (struct auth_row){ .prefix = "", .note = "", .line = l->number };
	*k = (struct ch_key){ .size = sizeof(*k), .role = CH_ROLE_USER, .owner = "", .tier = "", .models = "", .routes = "", .backends = "",
		.networks = "", .limits = "" };
	r->seen = 0;
	k->id = keep(r, l->name);
	*r->why = 0;
	if (!auth_is_name(l->name.p, l->name.n))
		snprintf(r->why, sizeof(r->why), "[%.64s]: a name is 1 to 128 of the characters A-Z a-z 0-9 . _ @ : / -", k->id);
	else if (!strcmp(k->id, AUTH_CONFIG_KEY))
		snprintf(r->why, sizeof(r->why), "[%s] is what the config's own key is called: take another name", k->id);
	if (*r->why)
		wrong(r, l->number);
}

static void read_field(struct reading *r, const struct auth_line *l)
{
	struct auth_row *row = r->out->n ? &r->out->v[r->out->n - 1] : NULL;
	char *name = keep(r, l->name), *value = r->texts, why[512];
	ssize_t n = auth_line_value(l->value, value);
	const struct field *f = find(name);
	uint32_t bit = f ? 1u << (f - fields) : 0;

	*why = 0;
	if (!row)
		snprintf(why, sizeof(why), "'%.64s' stands before the first [name]", name);
	else if (n < 0)
		snprintf(why, sizeof(why), "%.64s: quotes go around the whole value, and inside of them \\\" and \\\\ stand for \" and \\", name);
	else if (r->seen & bit)
		snprintf(why, sizeof(why), "%s is there twice", name);
	else
		auth_row_set(row, name, value, r->tiers, why);
	r->seen |= bit;
	r->texts += n < 0 ? 0 : n + 1;
	if (!*why)
		return;
	snprintf(r->why, sizeof(r->why), "%s%s%s%s", row ? "[" : "", row ? row->entry.key.id : "", row ? "] " : "", why);
	wrong(r, l->number);
}

/* ---- the whole ---- */

static int by_id(const void *a, const void *b)
{
	const struct auth_row *const *x = a, *const *y = b;

	return strcmp((*x)->entry.key.id, (*y)->entry.key.id);
}

static int by_hash(const void *a, const void *b)
{
	const struct auth_row *const *x = a, *const *y = b;

	return memcmp((*x)->entry.sha256, (*y)->entry.sha256, CH_SHA256);
}

/* Two of one name, or of one hash. */
static void look_for_twins(struct reading *r, const struct auth_row **v, int (*compare)(const void *, const void *), const char *what)
{
	size_t n = r->out->n;

	qsort(v, n, sizeof(*v), compare);
	for (size_t i = 1; i < n; i++) {
		const struct auth_row *a = v[i - 1], *b = v[i], *later = a->line > b->line ? a : b, *first = later == a ? b : a;

		if (compare(&v[i - 1], &v[i]))
			continue;
		snprintf(r->why, sizeof(r->why), "[%s] %s line %u: leave one", later->entry.key.id, what, first->line);
		wrong(r, later->line);
	}
}

static size_t count_sections(const char *text, size_t n)
{
	struct auth_line l = { 0 };
	size_t rows = 0;

	while (auth_line_next(text, n, &l))
		rows += l.kind == AUTH_L_SECTION;
	return rows;
}

bool auth_rows_read(const char *text, size_t n, const struct ch_list *tiers, auth_wrong report, void *arg, struct auth_rows *out)
{
	struct reading r = { .out = out, .tiers = tiers, .wrong = report, .arg = arg };
	size_t rows = count_sections(text, n);
	const struct auth_row **order = malloc((rows + 1) * sizeof(*order));
	struct auth_line l = { 0 };

	/* A text and its NUL take no more than it does in the file, with the [ ], = or line end that goes with it. */
	*out = (struct auth_rows){ .v = calloc(rows + 1, sizeof(*out->v)), .texts = malloc(n + 2) };
	r.texts = out->texts;
	if (!order || !out->v || !out->texts) {
		snprintf(r.why, sizeof(r.why), "there is no memory to read it");
		wrong(&r, 0);
	}
	while (order && out->v && out->texts && auth_line_next(text, n, &l)) {
		if (l.kind == AUTH_L_SECTION) {
			close_row(&r);
			open_row(&r, &l);
		} else if (l.kind == AUTH_L_KEY) {
			read_field(&r, &l);
		} else if (l.kind == AUTH_L_WRONG) {
			snprintf(r.why, sizeof(r.why), "%s", l.error);
			wrong(&r, l.number);
		}
	}
	close_row(&r);
	for (size_t i = 0; order && i < out->n; i++)
		order[i] = &out->v[i];
	if (!r.errors)
		look_for_twins(&r, order, by_id, "has the name of");
	if (!r.errors)
		look_for_twins(&r, order, by_hash, "has the same hash as the key in");
	free(order);
	if (r.errors)
		auth_rows_free(out);
	return !r.errors;
}

void auth_rows_free(struct auth_rows *rows)
{
	free(rows->v);
	free(rows->texts);
	*rows = (struct auth_rows){ 0 };
}
