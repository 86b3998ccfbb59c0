/* SPDX-License-Identifier: Apache-2.0 */
/* values.c - typed values in SQLite's five types: BOOL and TIME are integers, a UUID is its text in lower case. */
#include "sqlite.h"

static const char hex[] = "0123456789abcdef";

void sq_uuid_text(const unsigned char id[16], char out[SQ_UUID_TEXT])
{
	for (int i = 0; i < 16; i++) {
		*out++ = hex[id[i] >> 4];
		*out++ = hex[id[i] & 15];
		if (i == 3 || i == 5 || i == 7 || i == 9)
			*out++ = '-';
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sq_uuid_read(const char *p, size_t n, unsigned char out[16])
{
	if (n != SQ_UUID_TEXT)
		return false;
	for (int i = 0; i < 16; i++) {
		int high, low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
			return false;
		high = digit(p[0]);
		low = digit(p[1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
		p += 2;
	}
	return true;
}

static bool has_bytes(const struct ch_value *v)
{
	return !v->null && (v->type == CH_V_TEXT || v->type == CH_V_BLOB);
}

size_t sq_values_size(const struct ch_value *v, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		if (has_bytes(&v[i]))
			size += v[i].u.s.n;
	return size;
}

void sq_values_copy(const struct ch_value *v, size_t n, struct ch_value *to)
{
	char *p = (char *)(to + n);

	if (n)
		memcpy(to, v, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		if (!has_bytes(&to[i]))
			continue;
		if (v[i].u.s.n)
			memcpy(p, v[i].u.s.p, v[i].u.s.n);
		to[i].u.s.p = p; /* never NULL, which SQLite would take for a null */
		p += v[i].u.s.n;
	}
}

int sq_bind(sqlite3_stmt *st, int at, const struct ch_value *v, char uuid[SQ_UUID_TEXT])
{
	if (v->null)
		return sqlite3_bind_null(st, at);
	switch (v->type) {
	case CH_V_REAL:
		return sqlite3_bind_double(st, at, v->u.d);
	case CH_V_TEXT:
		return sqlite3_bind_text64(st, at, v->u.s.p, v->u.s.n, SQLITE_STATIC, SQLITE_UTF8);
	case CH_V_BLOB:
		return sqlite3_bind_blob64(st, at, v->u.s.p, v->u.s.n, SQLITE_STATIC);
	case CH_V_UUID:
		sq_uuid_text(v->u.uuid, uuid);
		return sqlite3_bind_text64(st, at, uuid, SQ_UUID_TEXT, SQLITE_STATIC, SQLITE_UTF8);
	default:
		return sqlite3_bind_int64(st, at, v->u.i);
	}
}

struct ch_value sq_column(sqlite3_stmt *st, int i)
{
	const void *p;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		return ch_v_int(sqlite3_column_int64(st, i));
	case SQLITE_FLOAT:
		return ch_v_real(sqlite3_column_double(st, i));
	case SQLITE_TEXT:
		p = sqlite3_column_text(st, i);
		return ch_v_bytes(CH_V_TEXT, p ? p : "", (size_t)sqlite3_column_bytes(st, i));
	case SQLITE_BLOB:
		p = sqlite3_column_blob(st, i);
		return ch_v_bytes(CH_V_BLOB, p ? p : "", (size_t)sqlite3_column_bytes(st, i));
	default:
		return ch_v_null(CH_V_TEXT);
	}
}

void sq_value_as(struct ch_value *v, int type)
{
	unsigned char id[16];

	switch (type) {
	case CH_V_UUID:
		*v = ch_v_uuid(has_bytes(v) && sq_uuid_read(v->u.s.p, v->u.s.n, id) ? id : NULL);
		break;
	case CH_V_REAL:
		*v = v->null || has_bytes(v) ? ch_v_null(type) : ch_v_real(ch_v_as_real(v));
		break;
	case CH_V_TEXT:
	case CH_V_BLOB:
		if (!has_bytes(v))
			*v = ch_v_null(type);
		v->type = type;
		break;
	default:
		*v = v->null || has_bytes(v) ? ch_v_null(type) : ch_v_of(type, ch_v_as_int(v));
	}
}
