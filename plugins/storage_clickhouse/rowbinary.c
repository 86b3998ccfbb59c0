/* SPDX-License-Identifier: Apache-2.0 */
/* rowbinary.c - see rowbinary.h. */
#include <endian.h>

#include "rowbinary.h"

static size_t length_size(size_t n)
{
	size_t size = 1;

	while (n >>= 7)
		size++;
	return size;
}

static char *put_length(char *to, size_t n)
{
	for (; n >= 0x80; n >>= 7)
		*to++ = (char)(n | 0x80);
	*to++ = (char)n;
	return to;
}

static char *put_64(char *to, uint64_t v)
{
	v = htole64(v);
	memcpy(to, &v, sizeof(v));
	return to + sizeof(v);
}

static uint64_t get_64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* ---- writing ---- */

size_t click_rb_size(const struct ch_value *v, bool nullable)
{
	if (v->null)
		return 1;
	switch (v->type) {
	case CH_V_TEXT: case CH_V_BLOB: return nullable + length_size(v->u.s.n) + v->u.s.n;
	case CH_V_BOOL: return nullable + (size_t)1;
	case CH_V_UUID: return nullable + (size_t)16;
	default: return nullable + (size_t)8;
	}
}

/* Each half of an id is a number whose highest byte is its first: the file has them turned round. */
char *click_rb_put_uuid(char *to, const unsigned char id[16])
{
	uint64_t half[2];

	memcpy(half, id, sizeof(half));
	to = put_64(to, be64toh(half[0]));
	return put_64(to, be64toh(half[1]));
}

char *click_rb_put(char *to, const struct ch_value *v, bool nullable)
{
	uint64_t bits;

	if (nullable)
		*to++ = v->null ? 1 : 0;
	if (v->null)
		return to;
	switch (v->type) {
	case CH_V_TEXT: case CH_V_BLOB:
		to = put_length(to, v->u.s.n);
		if (v->u.s.n)
			memcpy(to, v->u.s.p, v->u.s.n);
		return to + v->u.s.n;
	case CH_V_BOOL:
		*to++ = (char)v->u.i;
		return to;
	case CH_V_UUID:
		return click_rb_put_uuid(to, v->u.uuid);
	case CH_V_REAL:
		memcpy(&bits, &v->u.d, sizeof(bits));
		return put_64(to, bits);
	default:
		return put_64(to, (uint64_t)v->u.i);
	}
}

/* ---- reading ---- */

void click_rb_get_uuid(const char *p, unsigned char id[16])
{
	uint64_t half[2] = { htobe64(get_64(p)), htobe64(get_64(p + 8)) };

	memcpy(id, half, sizeof(half));
}

/* The bytes of a length, 0: not whole or no length that can be. */
static size_t get_length(const char *p, size_t n, size_t *length)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n && i < 9; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (!(p[i] & 0x80)) {
			*length = (size_t)v;
			return i + 1;
		}
	}
	return 0;
}

size_t click_rb_get(const char *p, size_t n, int type, bool nullable, struct ch_value *v)
{
	size_t at = nullable, length, width = type == CH_V_BOOL ? 1 : type == CH_V_UUID ? 16 : 8;
	uint64_t bits;

	*v = ch_v_null(type);
	if (n < at)
		return 0;
	if (nullable && p[0])
		return 1;
	if (type == CH_V_TEXT || type == CH_V_BLOB) {
		size_t used = get_length(p + at, n - at, &length);

		if (!used || n - at - used < length)
			return 0;
		*v = ch_v_bytes(type, p + at + used, length);
		return at + used + length;
	}
	if (n - at < width)
		return 0;
	v->null = 0;
	if (type == CH_V_UUID) {
		click_rb_get_uuid(p + at, v->u.uuid);
	} else if (type == CH_V_BOOL) {
		v->u.i = p[at] != 0;
	} else {
		bits = get_64(p + at);
		memcpy(&v->u, &bits, sizeof(bits)); /* a double or a whole number: the same eight bytes */
	}
	return at + width;
}
