/* SPDX-License-Identifier: Apache-2.0 */
/* traceparent.c - see traceparent.h. */
#include <string.h>

#include "traceparent.h"

#define MEMBERS_MAX 32

/* The value of a lower-case hex digit, or -1: upper case is invalid here. */
static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool all_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (hex(p[i]) < 0)
			return false;
	return true;
}

/* Hex digits of which at least one is not 0. */
static bool id_ok(const char *p, size_t n)
{
	bool zero = true;

	for (size_t i = 0; i < n; i++)
		zero = zero && p[i] == '0';
	return !zero && all_hex(p, n);
}

bool traceparent_parse(const char *p, size_t n, struct traceparent *out)
{
	bool first;

	if (n < TRACEPARENT_LEN || !all_hex(p, 2) || !memcmp(p, "ff", 2))
		return false;
	first = !memcmp(p, "00", 2);
	if (n > TRACEPARENT_LEN && (first || p[TRACEPARENT_LEN] != '-'))
		return false;
	if (p[2] != '-' || p[35] != '-' || p[52] != '-')
		return false;
	if (!id_ok(p + 3, 32) || !id_ok(p + 36, 16) || !all_hex(p + 53, 2))
		return false;
	memcpy(out->trace_id, p + 3, 32);
	out->trace_id[32] = 0;
	memcpy(out->parent_id, p + 36, 16);
	out->parent_id[16] = 0;
	out->sampled = hex(p[54]) & 1;
	return true;
}

/* Flags beyond `sampled` are not passed on: level 1 wants bits that we do not know to be 0. */
void traceparent_format(char out[TRACEPARENT_LEN + 1], const char *trace_id, const char *span_id, bool sampled)
{
	memcpy(out, "00-", 3);
	memcpy(out + 3, trace_id, 32);
	out[35] = '-';
	memcpy(out + 36, span_id, 16);
	memcpy(out + 52, sampled ? "-01" : "-00", 4);
}

bool tracestate_ok(const char *p, size_t n)
{
	unsigned members = 0;
	size_t i = 0;

	if (!n || n > TRACESTATE_MAX)
		return false;
	while (i <= n) {
		size_t start = i, equals = 0;
		bool text = false;

		for (; i < n && p[i] != ','; i++) {
			if (p[i] != '\t' && (p[i] < ' ' || p[i] > '~'))
				return false;
			if (p[i] == '=' && !equals)
				equals = i;
			text = text || (p[i] != ' ' && p[i] != '\t');
		}
		i++;
		if (!text)
			continue; /* empty members are allowed and count for nothing */
		if (!equals || equals == start || ++members > MEMBERS_MAX)
			return false;
	}
	return members > 0;
}
