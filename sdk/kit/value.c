/* SPDX-License-Identifier: MIT */
/* value.c - see chimera/kit/value.h. Text is looked at eight bytes at a time as long as it is ASCII: it nearly always is. */
#include <math.h>

#include <chimera/kit/value.h>

#include "json_text.h"

/* How many bytes from the front are neither NUL nor above 0x7f: at least the whole words of eight. */
static size_t ascii_run(const char *p, size_t n)
{
	const uint64_t ones = 0x0101010101010101u, high = ones << 7;
	size_t i = 0;

	for (; n - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, p + i, sizeof(x));
		if (((x - ones) | x) & high) /* a byte is 0 or above 0x7f, or perhaps only behind such a one */
			break;
	}
	return i;
}

bool ch_utf8(const char *p, size_t n)
{
	size_t i = 0, len;

	for (;;) {
		i += ascii_run(p + i, n - i);
		while (i < n && (signed char)p[i] > 0)
			i++;
		if (i == n)
			return true;
		len = json_utf8(p + i, n - i); /* 0 of a NUL, too */
		if (!len)
			return false;
		i += len;
	}
}

const char *ch_value_fault(const struct ch_value *v, int type)
{
	if (v->type != type)
		return "is of another type than its column";
	if (v->null)
		return NULL;
	switch (type) {
	case CH_V_INT: case CH_V_UUID:
		return NULL;
	case CH_V_BOOL:
		return v->u.i == 0 || v->u.i == 1 ? NULL : "is neither true (1) nor false (0)";
	case CH_V_REAL:
		return isfinite(v->u.d) ? NULL : "is infinite or not a number";
	case CH_V_TIME:
		return v->u.i >= CH_TIME_MIN && v->u.i <= CH_TIME_MAX ? NULL : "lies outside of the years 1 to 9999";
	case CH_V_BLOB:
		return v->u.s.p || !v->u.s.n ? NULL : "has a length and no bytes";
	case CH_V_TEXT:
		if (!v->u.s.p && v->u.s.n)
			return "has a length and no bytes";
		return ch_utf8(v->u.s.p, v->u.s.n) ? NULL : "is no UTF-8 text, or holds a NUL";
	default:
		return "is of no known type";
	}
}
