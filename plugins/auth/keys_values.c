/* SPDX-License-Identifier: Apache-2.0 */
/* keys_values.c - hashes, lists, limits, tiers, times and roles as people write them. */
#include <stdio.h>

#include <chimera/kit/decimal.h>
#include <chimera/kit/near.h>
#include <chimera/kit/net.h>
#include <chimera/kit/time.h>
#include <chimera/kv.h>

#include "keys_values.h"

bool auth_read_hash(const char *text, unsigned char to[CH_SHA256], char why[512])
{
	static const unsigned char of_nothing[] = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14 };

	if (strlen(text) != 71 || strncmp(text, "sha256:", 7) || !ch_unhex(text + 7, CH_SHA256, to))
		snprintf(why, 512, "hash must be sha256: and 64 hexadecimal digits, as `chimeractl keys create` writes it");
	else if (!memcmp(to, of_nothing, sizeof(of_nothing)))
		snprintf(why, 512, "hash is that of an empty key, which anyone can show");
	else
		return true;
	return false;
}

/* ---- lists ---- */

/* Somebody who writes the address of a machine and a prefix behind it may mean either. */
static bool good_network(const char *name, const char *p, size_t n, char *why)
{
	const char *slash = memchr(p, '/', n);
	int shown = (int)(n < 64 ? n : 64);
	char text[INET6_ADDRSTRLEN];
	struct ch_net net, whole;

	if (!ch_net_read(p, n, &net)) {
		snprintf(why, 512, "%s holds '%.*s', which is no network: write 10.0.0.0/8, 192.168.1.7 or 2001:db8::/32", name, shown, p);
		return false;
	}
	whole = net;
	for (unsigned i = net.bits; i < 128; i++)
		whole.addr.s6_addr[i / 8] &= (unsigned char)~(0x80 >> i % 8);
	if (!memcmp(&whole.addr, &net.addr, sizeof(net.addr)) || !slash)
		return true;
	ch_addr_text(&whole.addr, text);
	snprintf(why, 512, "%s holds '%.*s', an address within a network: write %s%.*s for the network, or %.*s for the address alone",
		name, shown, p, text, (int)(p + n - slash), slash, (int)(slash - p), p);
	return false;
}

/* One item of a list, n bytes without blanks around them. None is empty, and a * stands at its end alone. */
static bool good_item(const char *name, const char *p, size_t n, enum auth_list_of of, char *why)
{
	int shown = (int)(n < 64 ? n : 64);

	if (n && of == AUTH_L_NETWORKS)
		return good_network(name, p, n, why);
	if (!n)
		snprintf(why, 512, "%s has an empty item: write names by comma, or leave it out to allow all", name);
	else if (memchr(p, '*', n - 1))
		snprintf(why, 512, "%s holds '%.*s': a * stands for the rest of a name, so it comes last", name, shown, p);
	else if (of == AUTH_L_ROUTES && *p != '/')
		snprintf(why, 512, "%s holds '%.*s', which no route is: write patterns that begin with /, as in /v1/chat/*", name, shown, p);
	else
		return true;
	return false;
}

/* An empty one, as of a variable that is not set, must not become one that allows all. */
bool auth_list_good(const char *name, const char *p, enum auth_list_of of, char why[512])
{
	if (!p[strspn(p, " ")]) {
		snprintf(why, 512, "%s is empty: write names by comma, or leave it out to allow all", name);
		return false;
	}
	for (bool more = true; more;) {
		const char *end = p + strcspn(p, ","), *to = end;

		while (p < to && *p == ' ')
			p++;
		while (to > p && to[-1] == ' ')
			to--;
		if (!good_item(name, p, (size_t)(to - p), of, why))
			return false;
		more = *end;
		p = end + more;
	}
	return true;
}

/* ---- limits ---- */

static bool is_count(const char *p, size_t n, int64_t least)
{
	struct ch_decimal d;

	return n && ch_decimal_read(p, n, &d) == n && !d.point && d.digits >= least && d.digits <= CH_KV_COUNT_MAX;
}

/* The words of a key's own limits, as ratelimit reads them. */
static const struct limit { const char *name; bool rate; int64_t least; bool unlimited; } limits[] = {
	{ "requests", true, 0, true }, { "burst", false, 1, false }, { "tokens", true, 0, true }, { "token_burst", false, 1, false },
	{ "concurrent", false, 0, true },
};
#define LIMITS_ARE "requests, burst, tokens, token_burst and concurrent, by blanks, as in requests=100/min burst=20"

/* One word=value, n bytes. */
static bool good_limit(const char *p, size_t n, char *why)
{
	const char *is = memchr(p, '=', n), *value = is ? is + 1 : p + n;
	size_t of = (size_t)(is ? is - p : 0), rest = (size_t)(p + n - value);
	int shown = (int)(n < 64 ? n : 64);
	const struct limit *l = NULL;
	double rate;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strlen(limits[i].name) == of && !memcmp(limits[i].name, p, of))
			l = &limits[i];
	if (!l)
		snprintf(why, 512, "limits holds '%.*s': there are " LIMITS_ARE, shown, p);
	else if (l->rate && !ch_rate_read(value, rest, &rate))
		snprintf(why, 512, "limits holds '%.*s': %s must be a rate, as in 100/min, 5/s, 0 or unlimited", shown, p, l->name);
	else if (!l->rate && !is_count(value, rest, l->least) && !(l->unlimited && rest == 9 && !memcmp(value, "unlimited", 9)))
		snprintf(why, 512, "limits holds '%.*s': %s must be a whole number from %d on%s", shown, p, l->name, (int)l->least,
			l->unlimited ? ", or unlimited" : "");
	else
		return true;
	return false;
}

bool auth_limits_good(const char *p, char why[512])
{
	if (!p[strspn(p, " \t")]) {
		snprintf(why, 512, "limits is empty: write " LIMITS_ARE ", or leave it out for those of its tier");
		return false;
	}
	while (*(p += strspn(p, " \t"))) {
		size_t n = strcspn(p, " \t");

		if (!good_limit(p, n, why))
			return false;
		p += n;
	}
	return true;
}

/* ---- tiers ---- */

bool auth_tier_good(const char *text, const struct ch_list *tiers, char why[512])
{
	char all[256] = "";
	struct ch_near near;

	ch_near_init(&near, text);
	for (size_t i = 0; i < tiers->n; i++) {
		size_t n = strlen(all);

		if (!strcmp(tiers->v[i].p, text))
			return true;
		ch_near_offer(&near, tiers->v[i].p);
		snprintf(all + n, sizeof(all) - n, "%s%s", n ? ", " : "", tiers->v[i].p);
	}
	snprintf(why, 512, "tier is '%.64s'%s%s%s: there are %s ([auth] tiers)", text, *near.best ? ", did you mean " : "", near.best,
		*near.best ? "?" : "", all);
	return false;
}

/* ---- the others ---- */

/* A file stays as it is while time goes on: how long from now would mean something else each time. */
bool auth_read_time(const char *name, const char *text, int64_t *to, char why[512])
{
	*to = 0;
	if (!strcmp(text, "never") || (strchr(text, '-') && ch_time_read(text, strlen(text), 0, to) && *to > 0))
		return true;
	snprintf(why, 512, "%s must be a date or a time, as in 2027-01-31 or 2027-01-31T12:00:00Z, or never", name);
	return false;
}

static const char *const roles[] = { [CH_ROLE_NONE] = "none", [CH_ROLE_USER] = "user", [CH_ROLE_ADMIN] = "admin" };

const char *auth_role_name(int role)
{
	return role > CH_ROLE_NONE && role <= CH_ROLE_ADMIN ? roles[role] : roles[CH_ROLE_NONE];
}

bool auth_read_role(const char *text, int *to, char why[512])
{
	for (int i = 0; i <= CH_ROLE_ADMIN; i++)
		if (!strcmp(text, roles[i])) {
			*to = i;
			return true;
		}
	snprintf(why, 512, "role is '%.64s': there are none, user and admin", text);
	return false;
}

bool auth_read_yes(const char *name, const char *text, bool *to, char why[512])
{
	*to = !strcmp(text, "yes") || !strcmp(text, "true") || !strcmp(text, "on") || !strcmp(text, "1");
	if (*to || !strcmp(text, "no") || !strcmp(text, "false") || !strcmp(text, "off") || !strcmp(text, "0"))
		return true;
	snprintf(why, 512, "%s must be yes or no", name);
	return false;
}
