/* SPDX-License-Identifier: Apache-2.0 */
/*
 * values.c - PostgreSQL's binary formats: big-endian numbers, times as microseconds since 2000-01-01T00:00:00Z, numeric in digits of base
 * 10,000 (what SUM of whole numbers gives).
 */
#include <math.h>

#include <chimera/kit/value.h>

#include "values.h"

#define EPOCH INT64_C(946684800000000) /* 2000-01-01T00:00:00Z, in microseconds */
#define MOST ((size_t)256 << 20)
#define DAY INT64_C(86400000000)

Oid pg_type_of(int type)
{
	static const Oid of[] = { [CH_V_INT] = PG_INT8, [CH_V_REAL] = PG_FLOAT8, [CH_V_BOOL] = PG_BOOL, [CH_V_TEXT] = PG_TEXT,
		[CH_V_BLOB] = PG_BYTEA, [CH_V_TIME] = PG_TIMESTAMPTZ, [CH_V_UUID] = PG_UUID };

	return type > 0 && (size_t)type < sizeof(of) / sizeof(of[0]) ? of[type] : 0;
}

Oid pg_array_of(int type)
{
	static const Oid of[] = { [CH_V_INT] = PG_INT8_ARRAY, [CH_V_REAL] = PG_FLOAT8_ARRAY, [CH_V_BOOL] = PG_BOOL_ARRAY,
		[CH_V_TEXT] = PG_TEXT_ARRAY, [CH_V_BLOB] = PG_BYTEA_ARRAY, [CH_V_TIME] = PG_TIMESTAMPTZ_ARRAY,
			[CH_V_UUID] = PG_UUID_ARRAY };

	return type > 0 && (size_t)type < sizeof(of) / sizeof(of[0]) ? of[type] : 0;
}

const char *pg_value_fault(const struct ch_value *v, int type)
{
	if (!pg_type_of(type))
		return "is of no type";
	if (!v->null && (v->type == CH_V_TEXT || v->type == CH_V_BLOB) && v->u.s.n > MOST)
		return "is larger than the 256 MiB that are passed on to PostgreSQL";
	return ch_value_fault(v, type);
}

size_t pg_encode(const struct ch_value *v, char *room, const char **p)
{
	uint64_t bits;

	*p = room;
	switch (v->type) {
	case CH_V_INT:
		pg_put64(room, (uint64_t)v->u.i);
		return 8;
	case CH_V_TIME:
		pg_put64(room, (uint64_t)(v->u.i - EPOCH));
		return 8;
	case CH_V_REAL:
		memcpy(&bits, &v->u.d, 8);
		pg_put64(room, bits);
		return 8;
	case CH_V_BOOL:
		*room = v->u.i != 0;
		return 1;
	case CH_V_UUID:
		*p = (const char *)v->u.uuid;
		return 16;
	default:
		*p = v->u.s.n ? v->u.s.p : "";
		return v->u.s.n;
	}
}

static uint64_t get(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static int64_t time_of(int64_t us)
{
	if (us == INT64_MAX || us > CH_TIME_MAX - EPOCH) /* "infinity" */
		return CH_TIME_MAX;
	return us < CH_TIME_MIN - EPOCH ? CH_TIME_MIN : us + EPOCH;
}

/* A whole number that fits is INT, all else is REAL; NaN and the infinities of numeric are null, as no value of ours holds them. */
static struct ch_value numeric(const char *p, size_t n)
{
	size_t digits = n >= 8 ? (size_t)get(p, 2) : 0;
	int weight = n >= 8 ? (int16_t)get(p + 2, 2) : 0;
	unsigned sign = n >= 8 ? (unsigned)get(p + 4, 2) : 0xc000;
	bool whole = true, fits = true;
	int64_t i = 0; /* of the opposite sign of a positive number: there is one more negative one */
	double d = 0;

	if ((sign & 0xc000) == 0xc000 || n < 8 + 2 * digits)
		return ch_v_null(CH_V_REAL);
	for (size_t k = 0; k < digits; k++) {
		int64_t digit = (int64_t)get(p + 8 + 2 * k, 2);

		d += (double)digit * pow(10000, weight - (int)k);
		if ((int)k > weight)
			whole &= !digit;
	}
	for (int k = 0; whole && k <= weight && fits; k++) {
		int64_t digit = (size_t)k < digits ? (int64_t)get(p + 8 + 2 * (size_t)k, 2) : 0;

		fits = !__builtin_mul_overflow(i, 10000, &i) && !__builtin_sub_overflow(i, digit, &i);
	}
	if (!sign)
		fits = fits && !__builtin_sub_overflow(0, i, &i);
	if (whole && fits)
		return ch_v_int(i);
	return ch_v_real(sign ? -d : d);
}

/* Days since 2000-01-01; "infinity" is far beyond year 9999. */
static struct ch_value date_of(int32_t days)
{
	const int32_t far = 4000000;

	return ch_v_time(time_of((days > far ? far : days < -far ? -far : days) * DAY));
}

static struct ch_value real_of(double d)
{
	return isfinite(d) ? ch_v_real(d) : ch_v_null(CH_V_REAL);
}

struct ch_value pg_decode(Oid type, const char *p, size_t n)
{
	uint64_t bits = p && n <= 8 ? get(p, n) : 0;
	uint32_t low = (uint32_t)bits;
	double d;
	float f;

	switch (type) {
	case PG_INT8:
		return p ? ch_v_int((int64_t)bits) : ch_v_null(CH_V_INT);
	case PG_INT4:
		return p ? ch_v_int((int32_t)low) : ch_v_null(CH_V_INT);
	case PG_INT2:
		return p ? ch_v_int((int16_t)low) : ch_v_null(CH_V_INT);
	case PG_OID:
		return p ? ch_v_int(low) : ch_v_null(CH_V_INT);
	case PG_BOOL:
		return p ? ch_v_bool(bits != 0) : ch_v_null(CH_V_BOOL);
	case PG_FLOAT8:
		memcpy(&d, &bits, 8);
		return p ? real_of(d) : ch_v_null(CH_V_REAL);
	case PG_FLOAT4:
		memcpy(&f, &low, 4);
		return p ? real_of((double)f) : ch_v_null(CH_V_REAL);
	case PG_NUMERIC:
		return p ? numeric(p, n) : ch_v_null(CH_V_REAL);
	case PG_TIMESTAMP:
	case PG_TIMESTAMPTZ:
		return p ? ch_v_time(time_of((int64_t)bits)) : ch_v_null(CH_V_TIME);
	case PG_DATE:
		return p ? date_of((int32_t)low) : ch_v_null(CH_V_TIME);
	case PG_UUID:
		return ch_v_uuid(n == 16 ? (const unsigned char *)p : NULL);
	case PG_TEXT:
	case PG_VARCHAR:
	case PG_BPCHAR:
	case PG_NAME:
	case PG_CHAR:
	case PG_JSON:
	case PG_UNKNOWN:
		return ch_v_bytes(CH_V_TEXT, p, n);
	default:
		return ch_v_bytes(CH_V_BLOB, p, n);
	}
}
