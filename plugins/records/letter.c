/* SPDX-License-Identifier: Apache-2.0 */
/* letter.c - rows as JSON and back. */
#include <stdio.h>
#include <stdlib.h>

#include <chimera/kit/uuid.h>

#include "letter.h"

static const char letters[] = " irbsxtu"; /* by enum ch_value_type */

/* ---- times ---- */

/* Days since 1970-01-01 of a date of the Gregorian calendar; years from 1. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, year;

	y -= m <= 2;
	era = y / 400;
	year = y - era * 400;
	return era * 146097 + year * 365 + year / 4 - year / 100 + (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1 - 719468;
}

const char *letter_time(char out[LETTER_TIME], int64_t us)
{
	int64_t day = us / 86400000000, rest = us % 86400000000, era, doe, yoe, doy, mp, y, m;

	if (rest < 0) {
		rest += 86400000000;
		day--;
	}
	day += 719468;
	era = day / 146097;
	doe = day - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	m = mp < 10 ? mp + 3 : mp - 9;
	y = yoe + era * 400 + (m <= 2);
	snprintf(out, LETTER_TIME, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)y % 10000, (unsigned)m % 100,
		(unsigned)(doy - (153 * mp + 2) / 5 + 1) % 100, (unsigned)(rest / 3600000000) % 100, (unsigned)(rest / 60000000 % 60),
		(unsigned)(rest / 1000000 % 60), (unsigned)(rest % 1000000));
	return out;
}

static bool digits(const char *p, size_t n, int64_t low, int64_t high, int64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*out = *out * 10 + (p[i] - '0');
	}
	return *out >= low && *out <= high;
}

bool letter_time_read(struct ch_str s, int64_t *us)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	int64_t y, m, d, hour, minute, second, micro;

	if (s.n != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (form[i] != '0' && s.p[i] != form[i])
			return false;
	if (!digits(s.p, 4, 1, 9999, &y) || !digits(s.p + 5, 2, 1, 12, &m) || !digits(s.p + 8, 2, 1, 31, &d) ||
	    !digits(s.p + 11, 2, 0, 23, &hour) || !digits(s.p + 14, 2, 0, 59, &minute) || !digits(s.p + 17, 2, 0, 59, &second) ||
	    !digits(s.p + 20, 6, 0, 999999, &micro))
		return false;
	*us = (((days_of(y, m, d) * 24 + hour) * 60 + minute) * 60 + second) * 1000000 + micro;
	return true;
}

/* ---- out ---- */

static const char *uuid(char text[CH_UUID_TEXT], const unsigned char id[16])
{
	ch_uuid_text(id, text);
	return text;
}

static void write_hex(struct ch_jw *w, struct ch_str s)
{
	char *hex = malloc(s.n * 2 + 1);

	if (!hex) {
		w->failed = true;
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		hex[2 * i] = "0123456789abcdef"[(unsigned char)s.p[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[(unsigned char)s.p[i] & 15];
	}
	ch_jw_string(w, hex, s.n * 2);
	free(hex);
}

void letter_value(struct ch_jw *w, const struct ch_value *v)
{
	char text[CH_UUID_TEXT > LETTER_TIME ? CH_UUID_TEXT : LETTER_TIME];

	if (v->null)
		ch_jw_null(w);
	else if (v->type == CH_V_INT)
		ch_jw_int(w, v->u.i);
	else if (v->type == CH_V_REAL)
		ch_jw_double(w, v->u.d);
	else if (v->type == CH_V_BOOL)
		ch_jw_bool(w, v->u.i != 0);
	else if (v->type == CH_V_TEXT)
		ch_jw_string(w, v->u.s.p, v->u.s.n);
	else if (v->type == CH_V_BLOB)
		write_hex(w, v->u.s);
	else if (v->type == CH_V_TIME)
		ch_jw_cstr(w, letter_time(text, v->u.i));
	else
		ch_jw_cstr(w, uuid(text, v->u.uuid));
}

static void begin(struct ch_jw *w, int64_t now, const char *sink)
{
	char time[LETTER_TIME];

	ch_jw_object(w);
	ch_jw_key(w, "time");
	ch_jw_cstr(w, letter_time(time, now));
	ch_jw_key(w, "sink");
	ch_jw_cstr(w, sink);
}

static void write_id(struct ch_jw *w, const unsigned char id[16])
{
	char text[CH_UUID_TEXT];

	ch_jw_key(w, "row_id");
	ch_jw_cstr(w, uuid(text, id));
}

void letter_write(struct ch_jw *w, int64_t now, const char *sink, const struct ch_relation *table, const struct ch_value *row,
	const char *reason)
{
	char types[65];
	size_t n = table->columns.n < 64 ? table->columns.n : 64;

	begin(w, now, sink);
	ch_jw_key(w, "table");
	ch_jw_cstr(w, table->name);
	write_id(w, row[0].u.uuid);
	ch_jw_key(w, "reason");
	ch_jw_cstr(w, reason ? reason : "");
	for (size_t i = 0; i < n; i++)
		types[i] = letters[ch_column_at(table, i)->type];
	ch_jw_key(w, "types");
	ch_jw_string(w, types, n);
	ch_jw_key(w, "payload");
	ch_jw_object(w);
	for (size_t i = 0; i < n; i++) {
		ch_jw_key(w, ch_column_at(table, i)->name);
		letter_value(w, &row[i]);
	}
	ch_jw_object_end(w);
	ch_jw_object_end(w);
	ch_jw_raw(w, "\n", 1);
}

void letter_write_mark(struct ch_jw *w, int64_t now, const char *sink, const unsigned char row_id[16])
{
	begin(w, now, sink);
	write_id(w, row_id);
	ch_jw_key(w, "replayed");
	ch_jw_bool(w, true);
	ch_jw_object_end(w);
	ch_jw_raw(w, "\n", 1);
}

/* ---- in ---- */

bool letter_read(const char *p, size_t n, struct letter *out)
{
	static const char *const names[] = { "time", "sink", "table", "reason", "types" };
	struct ch_str *const texts[] = { &out->time, &out->sink, &out->table, &out->reason, &out->types };
	struct ch_json j;
	struct ch_json_tok t, v;
	bool id = false;

	memset(out, 0, sizeof(*out));
	ch_json_init(&j, p, n, 4, 512);
	if (ch_json_next(&j, &t) != CH_JSON_OBJECT)
		return false;
	while (ch_json_next(&j, &t) == CH_JSON_KEY) {
		ch_json_next(&j, &v);
		if (ch_json_skip(&j, &v))
			return false;
		for (size_t i = 0; i < 5; i++)
			if (v.type == CH_JSON_STRING && ch_json_eq(&t, names[i]))
				*texts[i] = (struct ch_str){ v.s, v.len };
		if (v.type == CH_JSON_STRING && ch_json_eq(&t, "row_id"))
			id = ch_uuid_parse(v.s, v.len, out->row_id);
		else if (v.type == CH_JSON_OBJECT && ch_json_eq(&t, "payload"))
			out->payload = (struct ch_str){ p + v.start, v.end - v.start };
		else if (v.type == CH_JSON_TRUE && ch_json_eq(&t, "replayed"))
			out->replayed = true;
	}
	return ch_json_next(&j, &t) == CH_JSON_END && id && out->sink.n && (out->replayed || (out->table.n && out->types.n &&
		out->payload.n));
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(struct ch_str from, char *to)
{
	for (size_t i = 0; i + 1 < from.n; i += 2) {
		int high = nibble(from.p[i]), low = nibble(from.p[i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i / 2] = (char)(high << 4 | low);
	}
	return from.n % 2 == 0;
}

/* `room` takes the text of a value; it is behind it afterwards. */
static bool read_value(const struct ch_json_tok *t, int type, char **room, struct ch_value *out)
{
	struct ch_str s = { *room, 0 };

	*out = ch_v_null(type);
	if (t->type == CH_JSON_NULL)
		return true;
	out->null = 0;
	if (type == CH_V_INT)
		return t->type == CH_JSON_NUMBER && ch_json_int(t, INT64_MIN, INT64_MAX, &out->u.i);
	if (type == CH_V_REAL)
		return t->type == CH_JSON_NUMBER && ch_json_double(t, &out->u.d);
	if (type == CH_V_BOOL) {
		out->u.i = t->type == CH_JSON_TRUE;
		return t->type == CH_JSON_TRUE || t->type == CH_JSON_FALSE;
	}
	if (t->type != CH_JSON_STRING)
		return false;
	s.n = ch_json_unescape(t, *room);
	if (type == CH_V_TIME)
		return letter_time_read(s, &out->u.i);
	if (type == CH_V_UUID)
		return ch_uuid_parse(s.p, s.n, out->u.uuid);
	if (type == CH_V_BLOB) {
		struct ch_str hex = { t->s, t->len };

		if (!unhex(hex, *room))
			return false;
		s.n = hex.n / 2;
	}
	out->u.s = s;
	*room += s.n;
	return true;
}

struct letter_row *letter_row(const struct letter *l)
{
	struct letter_row *r = l->types.n <= 64 ? calloc(1, sizeof(*r) + l->payload.n + l->table.n + 2) : NULL;
	struct ch_json j;
	struct ch_json_tok t;
	char *room;
	size_t i = 0;

	if (!r)
		return NULL;
	room = r->text = (char *)(r + 1);
	r->table = (struct ch_relation){ sizeof(r->table), room, { r->columns, l->types.n, sizeof(r->columns[0]) } };
	memcpy(room, l->table.p, l->table.n); /* a name has no escapes */
	room += l->table.n + 1;
	ch_json_init(&j, l->payload.p, l->payload.n, 2, 512);
	ch_json_next(&j, &t);
	while (ch_json_next(&j, &t) == CH_JSON_KEY && i < l->types.n) {
		const char *type = strchr(letters + 1, l->types.p[i]);

		r->columns[i] = (struct ch_column){ room, type && *type ? (int)(type - letters) : 0, CH_COLUMN_NULL };
		room += ch_json_unescape(&t, room);
		*room++ = 0;
		ch_json_next(&j, &t);
		if (!r->columns[i].type || !read_value(&t, r->columns[i].type, &room, &r->values[i]))
			break;
		i++;
	}
	if (i == l->types.n && t.type == CH_JSON_OBJECT_END)
		return r;
	free(r);
	return NULL;
}
