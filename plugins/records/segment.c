/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - see segment.h.
 *
 * The checksum is XXH3 with 64 bits: about 30 ns for a row of 350 bytes, where zlib's crc32 takes as long as all the rest of an append.
 * It finds random damage, which is what it is for; nobody but the server writes here.
 */
#include <endian.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "segment.h"

#define MARKER UINT32_C(0x9d524ac8)        /* the bytes c8 'J' 'R' 9d, which no UTF-8 text has */
#define HEADER_BYTES 40                    /* before its checksum */

static const char magic[8] = "CHJRNL1\n";

static inline void put32(unsigned char *p, uint32_t v) { v = htole32(v); memcpy(p, &v, 4); }
static inline void put64(unsigned char *p, uint64_t v) { v = htole64(v); memcpy(p, &v, 8); }
static inline uint32_t get32(const unsigned char *p) { uint32_t v; memcpy(&v, p, 4); return le32toh(v); }
static inline uint64_t get64(const unsigned char *p) { uint64_t v; memcpy(&v, p, 8); return le64toh(v); }

/* ---- header ---- */

void segment_put_header(unsigned char *page, const struct segment_header *h)
{
	memcpy(page, magic, sizeof(magic));
	put32(page + 8, SEGMENT_VERSION);
	put32(page + 12, SEGMENT_PAGE);
	put64(page + 16, h->number);
	put64(page + 24, h->bytes);
	put64(page + 32, (uint64_t)h->created);
	put64(page + HEADER_BYTES, XXH3_64bits(page, HEADER_BYTES));
}

bool segment_get_header(const unsigned char *p, size_t n, struct segment_header *h)
{
	if (n < SEGMENT_PAGE || memcmp(p, magic, sizeof(magic)) || get32(p + 8) != SEGMENT_VERSION || get32(p + 12) != SEGMENT_PAGE ||
	    get64(p + HEADER_BYTES) != XXH3_64bits(p, HEADER_BYTES))
		return false;
	*h = (struct segment_header){ get64(p + 16), get64(p + 24), (int64_t)get64(p + 32) };
	return true;
}

/* ---- records ---- */

/* The place and the length are part of the checksum: a record that is found where it does not belong is none. */
static uint64_t checksum(const unsigned char *record, uint64_t number, size_t at, size_t length, size_t hashed)
{
	uint64_t place = number * UINT64_C(0x9e3779b97f4a7c15) + at * UINT64_C(0xc2b2ae3d27d4eb4f) + length * UINT64_C(0x165667b19e3779f9);

	return XXH3_64bits(record + 16, SEGMENT_RECORD - 16 + hashed) ^ place;
}

void segment_put(unsigned char *base, uint64_t number, size_t at, const struct segment_record *r)
{
	unsigned char *p = base + at;

	put64(p + 16, r->row);
	put32(p + 24, r->table);
	put32(p + 28, (uint32_t)r->kind);
	put32(p + 4, (uint32_t)r->length);
	put64(p + 8, checksum(p, number, at, r->length, r->kind == SEGMENT_PAD ? 0 : r->length));
	__asm__ volatile("" ::: "memory"); /* kill -9 sees the stores in the order of the program, so only the compiler must be held */
	put32(p, MARKER);
}

bool segment_get(const struct segment_view *v, size_t at, struct segment_record *out)
{
	const unsigned char *p = v->base + at;
	uint32_t kind;
	size_t length;

	if (v->end < at || v->end - at < SEGMENT_RECORD || get32(p) != MARKER)
		return false;
	length = get32(p + 4);
	kind = get32(p + 28);
	if (kind < SEGMENT_ROW || kind > SEGMENT_REPEATED || v->end - at < segment_room(length))
		return false;
	if (get64(p + 8) != checksum(p, v->number, at, length, kind == SEGMENT_PAD ? 0 : length))
		return false;
	if (kind == SEGMENT_REPEATED && length != SEGMENT_REPEATED_BYTES)
		return false;
	*out = (struct segment_record){ (int)kind, get32(p + 24), get64(p + 16), p + SEGMENT_RECORD, length, at + segment_room(length) };
	return true;
}

size_t segment_content_end(const struct segment_view *v, size_t at)
{
	size_t end = v->end;

	/* Downwards in words; what is mapped begins at a page. */
	while (end > at && end % 8)
		if (v->base[--end])
			return end + 1;
	while (end - at >= 8 && end > at && !get64(v->base + end - 8))
		end -= 8;
	while (end > at && !v->base[end - 1])
		end--;
	return end;
}

size_t segment_resync(const struct segment_view *v, size_t at)
{
	struct segment_record r;

	for (at = segment_aligned(at + 1); at < v->end && v->end - at >= SEGMENT_RECORD; at += SEGMENT_ALIGN)
		if (get32(v->base + at) == MARKER && segment_get(v, at, &r))
			return at;
	return v->end;
}

void segment_put_repeated(unsigned char out[SEGMENT_REPEATED_BYTES], const uint64_t v[3])
{
	for (size_t i = 0; i < 3; i++)
		put64(out + 8 * i, v[i]);
}

void segment_get_repeated(const unsigned char *payload, uint64_t v[3])
{
	for (size_t i = 0; i < 3; i++)
		v[i] = get64(payload + 8 * i);
}

/* ---- tables ---- */

static bool is_name(const char *s, size_t n)
{
	if (!n || n > 63 || s[0] < 'a' || s[0] > 'z')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_'))
			return false;
	return true;
}

const char *segment_table_error(const struct ch_relation *t)
{
	if (!t->name || !is_name(t->name, strlen(t->name)))
		return "its name is not [a-z][a-z0-9_]{0,62}";
	if (t->columns.n < 2 || t->columns.n > JOURNAL_COLUMNS_MAX)
		return "it has not 2 to 64 columns";
	for (size_t i = 0; i < t->columns.n; i++) {
		const struct ch_column *c = ch_column_at(t, i);

		if (!c->name || !is_name(c->name, strlen(c->name)))
			return "a column's name is not [a-z][a-z0-9_]{0,62}";
		if (c->type < CH_V_INT || c->type > CH_V_UUID)
			return "a column's type is none";
	}
	if (ch_column_at(t, 0)->type != CH_V_UUID || strcmp(ch_column_at(t, 0)->name, "row_id") || ch_column_at(t, 1)->type != CH_V_TIME)
		return "its first column is not row_id UUID, or its second no TIME";
	return NULL;
}

static size_t put_name(unsigned char *out, const char *name)
{
	size_t n = strlen(name);

	out[0] = (unsigned char)n;
	memcpy(out + 1, name, n);
	return n + 1;
}

size_t segment_put_table(unsigned char *out, const struct ch_relation *t)
{
	size_t n = 1;

	out[0] = (unsigned char)t->columns.n;
	n += put_name(out + n, t->name);
	for (size_t i = 0; i < t->columns.n; i++) {
		const struct ch_column *c = ch_column_at(t, i);

		out[n++] = (unsigned char)c->type;
		out[n++] = (unsigned char)c->flags;
		n += put_name(out + n, c->name);
	}
	return n;
}

uint32_t segment_table_id(const unsigned char *description, size_t n)
{
	return (uint32_t)XXH3_64bits(description, n);
}

/* A table and all that it points to. */
struct table_block {
	struct ch_relation table;
	struct ch_column columns[JOURNAL_COLUMNS_MAX];
	char text[SEGMENT_TABLE_MAX];
};

/* One name of the description, copied to *text with a NUL. */
static const char *get_name(const unsigned char **p, size_t *n, char **text)
{
	const char *name = *text;
	size_t len;

	if (!*n || (len = **p) >= *n || !is_name((const char *)*p + 1, len))
		return NULL;
	memcpy(*text, *p + 1, len);
	(*text)[len] = 0;
	*text += len + 1;
	*p += len + 1;
	*n -= len + 1;
	return name;
}

struct ch_relation *segment_get_table(const unsigned char *description, size_t n)
{
	struct table_block *b;
	char *text;
	size_t columns;

	if (n < 1 || n > SEGMENT_TABLE_MAX || !(b = calloc(1, sizeof(*b))))
		return NULL;
	text = b->text;
	columns = *description++;
	n--;
	b->table.size = sizeof(b->table);
	b->table.columns = (struct ch_table){ b->columns, columns, sizeof(b->columns[0]) };
	b->table.name = get_name(&description, &n, &text);
	for (size_t i = 0; b->table.name && i < columns && i < JOURNAL_COLUMNS_MAX; i++) {
		if (n < 2)
			break;
		b->columns[i].type = description[0];
		b->columns[i].flags = description[1];
		description += 2;
		n -= 2;
		if (!(b->columns[i].name = get_name(&description, &n, &text)))
			break;
	}
	if (n || segment_table_error(&b->table)) {
		free(b);
		return NULL;
	}
	return &b->table;
}

/* ---- rows ---- */

/* First a bit for each column, set: null. Then the values that are there. */
static size_t nulls_size(size_t columns) { return (columns + 7) / 8; }

static uint64_t zigzag(int64_t v) { return (uint64_t)v << 1 ^ (uint64_t)(v >> 63); }
static int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1 ^ (0 - (v & 1))); }

/* Seven bits a byte, low ones first, the top bit set in all but the last. */
static size_t varint_size(uint64_t v) { return (size_t)(70 - __builtin_clzll(v | 1)) / 7; }
static unsigned char *put_varint(unsigned char *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	*p++ = (unsigned char)v;
	return p;
}
static const unsigned char *get_varint(const unsigned char *p, const unsigned char *end, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; p < end && shift < 70; shift += 7, p++) {
		if (shift == 63 && *p > 1)
			return NULL;
		*v |= (uint64_t)(*p & 0x7f) << shift;
		if (!(*p & 0x80))
			return p + 1;
	}
	return NULL;
}

size_t segment_row_size(const struct ch_relation *t, const struct ch_value *row)
{
	size_t n = nulls_size(t->columns.n);

	for (size_t i = 0; i < t->columns.n; i++) {
		const struct ch_column *c = ch_column_at(t, i);

		if (row[i].type != c->type || (row[i].null && !(c->flags & CH_COLUMN_NULL)))
			return 0;
		if (row[i].null)
			continue;
		switch (c->type) {
		case CH_V_INT:
			n += varint_size(zigzag(row[i].u.i));
			break;
		case CH_V_BOOL:
			n += 1;
			break;
		case CH_V_REAL:
		case CH_V_TIME:
			n += 8;
			break;
		case CH_V_UUID:
			n += 16;
			break;
		default:
			n += varint_size(row[i].u.s.n) + row[i].u.s.n;
			if (row[i].u.s.n > JOURNAL_ROW_MAX)
				return JOURNAL_ROW_MAX + 1;
		}
	}
	return n;
}

void segment_put_row(unsigned char *out, const struct ch_relation *t, const struct ch_value *row)
{
	unsigned char *p = out + nulls_size(t->columns.n);

	memset(out, 0, nulls_size(t->columns.n));
	for (size_t i = 0; i < t->columns.n; i++) {
		const struct ch_value *v = &row[i];
		uint64_t bits;

		if (v->null) {
			out[i / 8] |= (unsigned char)(1u << i % 8);
			continue;
		}
		switch (v->type) {
		case CH_V_INT:
			p = put_varint(p, zigzag(v->u.i));
			break;
		case CH_V_BOOL:
			*p++ = v->u.i != 0;
			break;
		case CH_V_REAL:
			memcpy(&bits, &v->u.d, 8);
			put64(p, bits);
			p += 8;
			break;
		case CH_V_TIME:
			put64(p, (uint64_t)v->u.i);
			p += 8;
			break;
		case CH_V_UUID:
			memcpy(p, v->u.uuid, 16);
			p += 16;
			break;
		default:
			p = put_varint(p, v->u.s.n);
			if (v->u.s.n)
				memcpy(p, v->u.s.p, v->u.s.n);
			p += v->u.s.n;
		}
	}
}

/* One value that is not null; returns what is behind it, NULL: it is not there. */
static const unsigned char *get_value(const unsigned char *p, const unsigned char *end, struct ch_value *v)
{
	size_t left = (size_t)(end - p);
	uint64_t bits;

	switch (v->type) {
	case CH_V_INT:
		p = get_varint(p, end, &bits);
		v->u.i = unzigzag(bits);
		return p;
	case CH_V_BOOL:
		if (left < 1 || *p > 1)
			return NULL;
		v->u.i = *p;
		return p + 1;
	case CH_V_REAL:
	case CH_V_TIME:
		if (left < 8)
			return NULL;
		bits = get64(p);
		memcpy(&v->u.i, &bits, 8); /* of the union's d too */
		return p + 8;
	case CH_V_UUID:
		if (left < 16)
			return NULL;
		memcpy(v->u.uuid, p, 16);
		return p + 16;
	default:
		if (!(p = get_varint(p, end, &bits)) || bits > (uint64_t)(end - p))
			return NULL;
		v->u.s.p = (const char *)p;
		v->u.s.n = (size_t)bits;
		return p + bits;
	}
}

bool segment_get_row(const unsigned char *payload, size_t n, const struct ch_relation *t, struct ch_value *values)
{
	const unsigned char *p = payload + nulls_size(t->columns.n), *end = payload + n;

	if (n < nulls_size(t->columns.n))
		return false;
	for (size_t i = 0; i < t->columns.n; i++) {
		values[i] = ch_v_null(ch_column_at(t, i)->type);
		if (payload[i / 8] >> i % 8 & 1)
			continue;
		values[i].null = 0;
		if (!(p = get_value(p, end, &values[i])))
			return false;
	}
	return p == end;
}
