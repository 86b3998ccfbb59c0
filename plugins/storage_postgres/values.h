/* SPDX-License-Identifier: Apache-2.0 */
/* values.h - values as PostgreSQL's binary format has them, and back. */
#ifndef PG_VALUES_H
#define PG_VALUES_H

#include <libpq-fe.h>

#include <chimera/value.h>

/* PostgreSQL's catalog: pg_type.oid. */
enum {
	PG_BOOL = 16, PG_BYTEA = 17, PG_CHAR = 18, PG_NAME = 19, PG_INT8 = 20, PG_INT2 = 21, PG_INT4 = 23, PG_TEXT = 25, PG_OID = 26,
	PG_JSON = 114, PG_FLOAT4 = 700, PG_FLOAT8 = 701, PG_UNKNOWN = 705, PG_BPCHAR = 1042, PG_VARCHAR = 1043, PG_DATE = 1082,
	PG_TIMESTAMP = 1114, PG_TIMESTAMPTZ = 1184, PG_NUMERIC = 1700, PG_UUID = 2950,
	PG_BOOL_ARRAY = 1000, PG_BYTEA_ARRAY = 1001, PG_TEXT_ARRAY = 1009, PG_INT8_ARRAY = 1016, PG_FLOAT8_ARRAY = 1022,
	PG_TIMESTAMPTZ_ARRAY = 1185, PG_UUID_ARRAY = 2951
};

/* The type that a value of that enum ch_value_type is sent as; 0: there is no such. */
Oid pg_type_of(int type);
Oid pg_array_of(int type);

/* Words for behind a column's name; NULL: the value may go to a column of that type. Static text. */
const char *pg_value_fault(const struct ch_value *v, int type);

#define PG_VALUE_MAX 16            /* bytes of a value that is neither TEXT nor BLOB */
/*
 * The bytes of a value that is not null: *p of them, in `room` (PG_VALUE_MAX bytes) or the value's own. The value must be without fault.
 */
size_t pg_encode(const struct ch_value *v, char *room, const char **p);
/* Reads n bytes of that type; text and bytes are pointed to. What is of a type without a name here is BLOB. p NULL: null. */
struct ch_value pg_decode(Oid type, const char *p, size_t n);

static inline char *pg_put16(char *p, uint16_t v)
{
	p[0] = (char)(v >> 8);
	p[1] = (char)v;
	return p + 2;
}
static inline char *pg_put32(char *p, uint32_t v)
{
	return pg_put16(pg_put16(p, (uint16_t)(v >> 16)), (uint16_t)v);
}
static inline char *pg_put64(char *p, uint64_t v)
{
	return pg_put32(pg_put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

#endif
