/* SPDX-License-Identifier: MIT */
/* store_value.c - values that came back, read as ch_v_as_* read them: a database has fewer types than we. */
#include <stdio.h>
#include <stdlib.h>

#include "store_run.h"

bool store_uuid(const struct ch_value *v, unsigned char out[16])
{
	struct ch_str s = ch_v_as_text(v);
	size_t at = 0;

	if (v->type == CH_V_UUID && !v->null) {
		memcpy(out, v->u.uuid, 16);
		return true;
	}
	if (v->type != CH_V_TEXT || s.n != 36) {
		if (s.n == 16)
			memcpy(out, s.p, 16);
		return s.n == 16;
	}
	for (unsigned i = 0; i < 16; i++, at += 2) {
		char two[3];

		at += i == 4 || i == 6 || i == 8 || i == 10;
		memcpy(two, s.p + at, 2);
		two[2] = 0;
		out[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	return true;
}

bool store_holds(const char *text, const char *p, size_t n)
{
	for (size_t len = strlen(text); len >= n; text++, len--)
		if (!memcmp(text, p, n))
			return true;
	return false;
}

bool store_same(const struct ch_value *want, const struct ch_value *v)
{
	struct ch_str s = ch_v_as_text(v);
	unsigned char id[16];

	if (v->type < CH_V_INT || v->type > CH_V_UUID || (v->null != 0) != (want->null != 0))
		return false;
	if (want->null)
		return true;
	switch (want->type) {
	case CH_V_REAL:
		return !s.p && v->type != CH_V_UUID && ch_v_as_real(v) == want->u.d;
	case CH_V_TEXT:
	case CH_V_BLOB:
		return s.p && s.n == want->u.s.n && !memcmp(s.p, want->u.s.p, s.n);
	case CH_V_UUID:
		return store_uuid(v, id) && !memcmp(id, want->u.uuid, 16);
	default:
		return !s.p && v->type != CH_V_UUID && ch_v_as_int(v) == want->u.i;
	}
}

void store_show(const struct ch_value *v, char *out, size_t cap)
{
	struct ch_str s = ch_v_as_text(v);

	if (v->null)
		snprintf(out, cap, "null");
	else if (v->type == CH_V_REAL)
		snprintf(out, cap, "%.17g", v->u.d);
	else if (s.p)
		snprintf(out, cap, "%zu bytes \"%.*s\"", s.n, (int)(s.n < 40 ? s.n : 40), s.p);
	else if (v->type == CH_V_UUID)
		snprintf(out, cap, "the UUID that begins with %02x%02x%02x%02x", v->u.uuid[0], v->u.uuid[1], v->u.uuid[2], v->u.uuid[3]);
	else
		snprintf(out, cap, "%lld of type %d", (long long)ch_v_as_int(v), v->type);
}
