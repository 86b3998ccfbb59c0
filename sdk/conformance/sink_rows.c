/* SPDX-License-Identifier: MIT */
/* sink_rows.c - the rows of the suite of "sink/1": made of their numbers, so that what is found can be compared. */
#include <float.h>
#include <math.h>

#include "sink_run.h"

static const struct ch_column event_columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "tag", CH_V_TEXT, 0 }, { "i", CH_V_INT, CH_COLUMN_NULL },
	{ "r", CH_V_REAL, CH_COLUMN_NULL }, { "b", CH_V_BOOL, CH_COLUMN_NULL }, { "t", CH_V_TEXT, CH_COLUMN_NULL },
	{ "x", CH_V_BLOB, CH_COLUMN_NULL }, { "at", CH_V_TIME, CH_COLUMN_NULL }, { "u", CH_V_UUID, CH_COLUMN_NULL },
};
static const struct ch_column note_columns[] = {
	{ "row_id", CH_V_UUID, 0 }, { "time", CH_V_TIME, 0 }, { "tag", CH_V_TEXT, 0 }, { "n", CH_V_INT, 0 },
};
static const struct ch_relation tables[] = {
	{ sizeof(struct ch_relation), "conform_events", CH_TABLE(event_columns) },
	{ sizeof(struct ch_relation), "conform_notes", CH_TABLE(note_columns) },
	{ sizeof(struct ch_relation), "conform_nowhere", CH_TABLE(note_columns) },
};

const struct ch_relation *sink_table(int table)
{
	return &tables[table];
}

/* ---- values that are easily lost ---- */

#define S(lit) { "" lit, sizeof(lit) - 1 }
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const int64_t ints[] = { 0, -1, INT64_MIN, INT64_MAX, (INT64_C(1) << 53) + 1, 42, INT64_C(-2147483649) };
static const double reals[] = { 0.0, 0.1, 1.0 / 3.0, DBL_MAX, -DBL_MAX, DBL_MIN,
	4.9406564584124654e-324, -2.5e-7, 5.0, 1e300, 9223372036854775808.0 };
static const struct ch_str texts[] = {
	S(""), S("plain"), S("it's \"quoted\" `twice` ''\\' $1 ?1 :a %s;--"), S("a\r\nb\tc\x1f\x7f\x01"), S("\\N"), S("NULL"), S("null"),
	S("\\x41\\n\\t\\0"), S("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\xa6\x81 \xf4\x8f\xbf\xbf"), S("'); DROP TABLE conform_events; --"),
	S("{\"a\":[1,\"\\u0000\"]}"),
	S("  both ends  "), S("0123.50e1"), S("<b>&amp;</b>"), S("a,b;\"c\",d"), S("${jndi} $(rm) `id`"), S("\xef\xbf\xbf\xef\xbb\xbf"),
};
static const struct ch_str blobs[] = { S(""), S("\0"), S("\0a\0\0b\0"), S("\xff\xfe\x80\xc0'\\\""), S("\\x4142"), S("\r\n\t\\N"),
	S("'); DROP TABLE conform_events; --") };
static const int64_t times[] = { 0, -1, INT64_C(-62135596800000000), INT64_C(253402300799999999), INT64_C(951782400000000),
	INT64_C(1732190400123457), INT64_C(-12219292800000000) };

/* A long one, now and then. */
static struct ch_str long_text(void)
{
	static char text[100000];
	static const char part[] = "0123456789 it's \\ long\n";

	if (!text[0])
		for (size_t i = sizeof(text); i-- > 0;)
			text[i] = part[i % (sizeof(part) - 1)];
	return (struct ch_str){ text, sizeof(text) };
}

/* ---- ids ---- */

void sink_tag(const struct store_run *r, char *out, size_t cap)
{
	snprintf(out, cap, "conform-%08llx-%zu", (unsigned long long)r->id & 0xffffffff, r->next);
}

/* As UUIDs of version 7 are laid out: what they were made at, then what tells them apart. */
static void make_id(const struct store_run *r, int64_t us, unsigned kind, unsigned number, unsigned char *out)
{
	uint64_t ms = (uint64_t)us / 1000;

	for (unsigned i = 0; i < 6; i++)
		out[i] = (unsigned char)(ms >> (40 - 8 * i));
	out[6] = (unsigned char)(0x70 | kind);
	out[7] = (unsigned char)r->next;
	out[8] = (unsigned char)(0x80 | (r->next >> 8 & 0x3f));
	out[9] = (unsigned char)(r->id >> 16);
	out[10] = (unsigned char)(r->id >> 8);
	out[11] = (unsigned char)r->id;
	for (unsigned i = 0; i < 4; i++)
		out[12 + i] = (unsigned char)(number >> (24 - 8 * i));
}

void sink_batch_id(const struct store_run *r, int batch, unsigned char *out)
{
	make_id(r, FIRST_DAY, 1, (unsigned)batch, out);
}

void sink_row_id(const struct store_run *r, unsigned number, unsigned char *out)
{
	make_id(r, sink_time(number), 2, number, out);
}

bool sink_row_number(const struct store_run *r, const struct ch_value *row_id, unsigned *number)
{
	unsigned char id[16], want[16];

	if (!store_uuid(row_id, id))
		return false;
	*number = (unsigned)id[12] << 24 | (unsigned)id[13] << 16 | (unsigned)id[14] << 8 | id[15];
	sink_row_id(r, *number, want);
	return !memcmp(id, want, 16);
}

/* ---- rows ---- */

int64_t sink_time(unsigned number)
{
	return FIRST_DAY + DAY / 2 + (int64_t)number * 1001;
}

static struct ch_value str(int type, struct ch_str s)
{
	return ch_v_bytes(type, s.p, s.n);
}

void sink_row(const struct store_run *r, int table, unsigned number, const char *tag, struct ch_value *row)
{
	unsigned char id[16];

	sink_row_id(r, number, id);
	row[C_ROW_ID] = ch_v_uuid(id);
	row[C_TIME] = ch_v_time(sink_time(number));
	row[C_TAG] = ch_v_text(tag);
	row[C_I] = ch_v_int(ints[number % COUNT(ints)]);
	if (table != EVENTS) {
		row[C_N] = ch_v_int(number);
		return;
	}
	row[C_R] = ch_v_real(reals[number % COUNT(reals)]);
	row[C_B] = ch_v_bool(number % 2);
	row[C_T] = str(CH_V_TEXT, number % 500 == 63 ? long_text() : texts[number % COUNT(texts)]);
	row[C_X] = str(CH_V_BLOB, blobs[number % COUNT(blobs)]);
	row[C_AT] = ch_v_time(times[number % COUNT(times)]);
	row[C_U] = ch_v_uuid(id);
	for (unsigned c = C_I; c < COLUMNS; c++)
		if (number % 13 == c)
			row[c] = ch_v_null(event_columns[c].type);
}

void sink_make_odd(struct ch_value *row, int odd)
{
	switch (odd) {
	case NAN_REAL: row[C_R] = ch_v_real(NAN); break;
	case INFINITE_REAL: row[C_R] = ch_v_real(-INFINITY); break;
	case NUL_IN_TEXT: row[C_T] = ch_v_bytes(CH_V_TEXT, "a\0b", 3); break;
	case NO_UTF8: row[C_T] = ch_v_bytes(CH_V_TEXT, "caf\xe9 au lait", 12); break;
	case NULL_TAG: row[C_TAG] = ch_v_null(CH_V_TEXT); break;
	case TIME_TOO_EARLY: row[C_TIME] = ch_v_time(INT64_C(-62135596800000001)); break;
	case TIME_TOO_LATE: row[C_TIME] = ch_v_time(INT64_MAX); break;
	case AT_TOO_LATE: row[C_AT] = ch_v_time(INT64_C(253402300800000000)); break;
	case NULL_ROW_ID: row[C_ROW_ID] = ch_v_null(CH_V_UUID); break;
	case NULL_TIME: row[C_TIME] = ch_v_null(CH_V_TIME); break;
	case ALL_NULL:
		for (unsigned c = C_I; c < COLUMNS; c++)
			row[c] = ch_v_null(event_columns[c].type);
		break;
	}
}
