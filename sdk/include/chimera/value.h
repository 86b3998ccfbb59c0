/* SPDX-License-Identifier: MIT */
/*
 * chimera/value.h - typed values, and tables of them: what sql/1, sink/1 and ledger/1 speak in. Since 0.4.
 */
#ifndef CHIMERA_VALUE_H
#define CHIMERA_VALUE_H

#include <chimera/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Only ever appended to; the numbers are written to disk. */
enum ch_value_type {
	CH_V_INT = 1,                     /* i: a whole number of 64 bits */
	CH_V_REAL,                        /* d: finite; an infinity or NaN is refused by its column's name */
	CH_V_BOOL,                        /* i: 0 or 1 */
	CH_V_TEXT,                        /* s: UTF-8 without NUL; anything else is refused by its column's name */
	CH_V_BLOB,                        /* s: bytes of any kind */
	CH_V_TIME,                        /* i: microseconds since 1970-01-01T00:00:00Z, from year 1 to 9999 */
	CH_V_UUID                         /* uuid: sixteen bytes, in the order of RFC 9562's text */
};

/* 24 bytes for ever: arrays of them have no row size. */
struct ch_value {
	int type;                         /* enum ch_value_type, of a null too */
	int null;                         /* 1: no value */
	union {
		int64_t i;
		double d;
		struct ch_str s;
		unsigned char uuid[16];
	} u;
};

static inline struct ch_value ch_v_null(int type) { struct ch_value v; memset(&v, 0, sizeof(v)); v.type = type; v.null = 1; return v; }
static inline struct ch_value ch_v_of(int type, int64_t i) { struct ch_value v = ch_v_null(type); v.null = 0; v.u.i = i; return v; }
static inline struct ch_value ch_v_int(int64_t i) { return ch_v_of(CH_V_INT, i); }
static inline struct ch_value ch_v_bool(bool b) { return ch_v_of(CH_V_BOOL, b); }
static inline struct ch_value ch_v_time(int64_t us) { return ch_v_of(CH_V_TIME, us); }
static inline struct ch_value ch_v_real(double d) { struct ch_value v = ch_v_of(CH_V_REAL, 0); v.u.d = d; return v; }
/* p NULL: null. The bytes stay yours. */
static inline struct ch_value ch_v_bytes(int type, const char *p, size_t n)
{
	struct ch_value v = ch_v_null(type);
	v.null = !p;
	v.u.s.p = p;
	v.u.s.n = p ? n : 0;
	return v;
}
static inline struct ch_value ch_v_text(const char *s) { return ch_v_bytes(CH_V_TEXT, s, s ? strlen(s) : 0); }
static inline struct ch_value ch_v_blob(const void *p, size_t n) { return ch_v_bytes(CH_V_BLOB, (const char *)p, n); }
static inline struct ch_value ch_v_uuid(const unsigned char *id) /* sixteen bytes, copied; NULL: null */
{
	struct ch_value v = ch_v_null(CH_V_UUID);
	v.null = !id;
	if (id)
		memcpy(v.u.uuid, id, 16);
	return v;
}
/*
 * Reading back. A database has fewer types than we: INT, BOOL and TIME are read as whole numbers, and a UUID of sql/1 is TEXT
 * (ch_uuid_parse of kit/uuid.h).
 */
static inline int64_t ch_v_as_int(const struct ch_value *v)
{
	if (v->null)
		return 0;
	return v->type == CH_V_INT || v->type == CH_V_BOOL || v->type == CH_V_TIME ? v->u.i : v->type == CH_V_REAL ? (int64_t)v->u.d : 0;
}
static inline double ch_v_as_real(const struct ch_value *v)
{
	return v->type == CH_V_REAL && !v->null ? v->u.d : (double)ch_v_as_int(v);
}
/* TEXT and BLOB; p NULL: null, or another type. */
static inline struct ch_str ch_v_as_text(const struct ch_value *v)
{
	struct ch_str none = { NULL, 0 };
	return !v->null && (v->type == CH_V_TEXT || v->type == CH_V_BLOB) ? v->u.s : none;
}

/* ---- tables ---- */

#define CH_COLUMN_NULL 1u                 /* may be null */

struct ch_column {
	const char *name;                 /* [a-z][a-z0-9_]{0,62} */
	int type;                         /* enum ch_value_type */
	unsigned flags;                   /* CH_COLUMN_* */
};
/*
 * A table that rows are appended to: static storage. Its first column is `row_id` UUID, the second of type TIME (by which rows are
 * partitioned and expire); the table in the database has these columns and `batch_id` UUID. A later version appends columns, which may be
 * null, and changes none.
 */
struct ch_relation {
	size_t size;
	const char *name;                 /* as a column's; "inference_records" */
	struct ch_table columns;          /* CH_TABLE of struct ch_column; 64 at most */
};
static inline const struct ch_column *ch_column_at(const struct ch_relation *r, size_t i)
{
	return (const struct ch_column *)(const void *)((const char *)r->columns.rows + i * r->columns.row_size);
}

#ifdef __cplusplus
}
#endif
#endif
